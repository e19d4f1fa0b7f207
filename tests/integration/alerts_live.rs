//! The alert rules, live: real runs with one problem each, which report to every sink, and for each sink a Prometheus with its
//! rules, and a vmalert. What needs a control group with a limit is in tests/system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::harness::wait_for;
use super::harness::watched::{WHILE_THERE, Watched, text};

#[test]
fn each_trouble_of_a_real_run_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    let long = watched.spawn_known("long", &["--max-age", "8"], &["sleep", "300"]);
    watched.spawn_known("lost", &[], &["sleep", "30"]).kill(Signal::SIGKILL);
    watched.counted("good", &["--max-age", "1h", "--timeout", "1h"]).run(["true"]).exit(0);
    watched.call("failure", &[]).run(["false"]).exit(1);
    watched.call("not_started", &[]).run(["no-such-command"]).exit(127);
    watched.call("signal", &[]).run(["sh", "-c", "kill -9 $$"]).signal(Signal::SIGKILL as i32);
    let terminated = watched.spawn_known("terminated", &[], &["sleep", "300"]);
    terminated.kill(Signal::SIGTERM);
    terminated.wait().signal(Signal::SIGTERM as i32);
    watched.call("timeout", &["--timeout", "1"]).run(["sleep", "99"]).exit(124);
    for _ in 0..3 {
        watched.counted("keeps", &[]).run(["false"]).exit(1);
    }
    watched.call("overdue", &["--max-age", "1"]).run(["true"]).exit(0);
    watched.call("never", &["--max-age", "1h"]).run(["false"]).exit(1);
    // Somebody's script has pushed a metric of pushwrap's as a counter; only the one job that has a metrics file sends it.
    let counter = "# TYPE pushwrap_textfile_mtime_seconds counter\npushwrap_textfile_mtime_seconds 0\n";
    watched.gateway.push("POST", "job/script", counter);
    let refused = watched.call("refused", &[]).textfile("x 1\n").run(["true"]).exit(0);
    refused.stderr_has("cannot push to").stderr_has("400 Bad Request");

    let common = [
        "JobFailed failure",
        "JobFailed not_started",
        "JobFailed signal",
        "JobFailed terminated",
        "JobFailed timeout",
        "JobKeepsFailing keeps",
        "JobLost lost",
        "JobNeverSucceeded never",
        "JobOverdue overdue",
    ];
    let of_all = [&common[..], &["JobRunningTooLong long"]].concat();
    let of_gateway = [&common[..], &["JobPushRefused refused", "JobRunningTooLong long"]].concat();
    watched.expect_of_sinks(&of_gateway, &of_all, &of_all);
    for job in ["good", "steady"] {
        watched.never_fired(job);
    }
    for prometheus in watched.each_prometheus() {
        for (labels, _) in prometheus.query("ALERTS{alertname=\"JobFailed\",alertstate=\"firing\"}") {
            let job = labels.get("exported_job").unwrap_or(&labels["job"]);
            assert_eq!(&labels["outcome"], job, "the alert says how the run ended");
        }
    }
    long.kill(Signal::SIGTERM);
}

/// A zone in which the next minute begins in five seconds, so that a test does not wait a minute for a time of cron.
fn zone_before_a_minute() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("XXX-0:00:{:02}", (60 + 55 - now % 60) % 60)
}

/// Options of a job that cron starts every minute.
const EACH_MINUTE: [&str; 4] = ["--schedule", "* * * * *", "--schedule-margin", "0"];

#[test]
fn a_job_that_misses_its_schedule_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    let minutely = |job: &str| watched.call(job, &EACH_MINUTE).env("TZ", zone_before_a_minute());
    watched.counted("good", &["--schedule", "@yearly"]).run(["true"]).exit(0);
    minutely("overdue").run(["true"]).exit(0).stderr("");
    minutely("overdue_fails").run(["false"]).exit(1);
    let long = minutely("long").args(["--push-interval", "1"]).spawn(["sleep", "300"]);
    // It runs past its next time, and then it has succeeded since.
    let waits = tempfile::NamedTempFile::new().unwrap();
    let late = minutely("late").args(["--push-interval", "1"]).spawn(["sh", "-c", WHILE_THERE, text(waits.path())]);

    let alerts = ["JobOverdue overdue", "JobOverdue overdue_fails", "JobRunningTooLong late", "JobRunningTooLong long"];
    watched.expect(&alerts);
    waits.close().unwrap();
    late.wait().exit(0).stderr("");
    watched.expect(&["JobOverdue overdue", "JobOverdue overdue_fails", "JobRunningTooLong long"]);
    for job in ["good", "steady"] {
        watched.never_fired(job);
    }
    long.kill(Signal::SIGTERM);
}

#[test]
fn each_warning_of_a_real_run_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    // 92 % of the limit, and more than a second for a machine that is busy.
    let near = watched.call("near", &["--timeout", "20"]).spawn(["sleep", "18.5"]);
    let good = ["--max-age", "1h", "--timeout", "1h", "--skip-codes", "75"];
    watched.counted("good", &good).textfile("x 1\n").run(["true"]).exit(0);
    watched.call("skipped", &["--skip-codes", "75"]).run(["true"]).exit(0);
    watched.call("history", &[]).run(["true"]).exit(0);
    watched.counted("gets_lost", &[]).run(["true"]).exit(0);
    watched.call("broken", &[]).textfile("x{ 1\n").run(["true"]).exit(0);
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.prom");
    fs::write(&old, "x 1\n").unwrap();
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(&old).status().unwrap().success());
    watched.call("stale", &["--textfile", old.to_str().unwrap()]).run(["true"]).exit(0);
    make_a_habit(&watched, "slow");
    near.wait().exit(0);

    let longer = watched.spawn_known("history", &[], &["sleep", "300"]);
    watched.call("slow", &[]).run(["sleep", "2"]).exit(0);
    watched.call("skipped", &["--skip-codes", "75"]).run(["sh", "-c", "exit 75"]).exit(75);
    // Its pushwrap is killed as soon as the state directory knows of it, and the next run comes before anybody misses it.
    let lost = watched.counted("gets_lost", &[]).spawn(["sleep", "300"]);
    wait_for("the mark of the run that is to be lost", || has_mark(&watched.state()).then_some(()));
    lost.kill(Signal::SIGKILL);
    lost.wait().signal(Signal::SIGKILL as i32);
    watched.counted("gets_lost", &[]).run(["true"]).exit(0);

    watched.expect(&[
        "JobMetricsBroken broken",
        "JobMetricsStale stale",
        "JobNearItsTimeLimit near",
        "JobOnlySkipped skipped",
        "JobRunningTooLong history",
        "JobRunsGetLost gets_lost",
        "JobSlow slow",
    ]);
    for job in ["good", "steady"] {
        watched.never_fired(job);
    }
    longer.kill(Signal::SIGTERM);
}

/// Runs `true` as this job until a median of its run times is that of these runs, also where one more run is added.
fn make_a_habit(watched: &Watched, job: &str) {
    // Remote write gives a sample for each run.
    for _ in 0..3 {
        watched.call(job, &[]).run(["true"]).exit(0);
    }
    // Others repeat the last one.
    for prometheus in [watched.by_gateway(), watched.by_output()] {
        let series = format!("{{__name__=\"pushwrap_duration_seconds\",exported_job=~\"|{job}\",job=~\"node|{job}\"}}");
        prometheus.wait_for(&format!("count_over_time({series}[1h]) > 15"));
    }
}

/// Whether a run in progress has left its mark somewhere below a directory.
fn has_mark(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.iter().any(|path| path.extension().is_some_and(|end| end == "mark") || path.is_dir() && has_mark(path))
}

#[test]
fn a_sink_that_is_broken_fires_its_own_alert() {
    let mut watched = Watched::start();
    watched.call("good", &["--max-age", "1h"]).run(["true"]).exit(0);
    watched.call("bad", &[]).run(["false"]).exit(1);
    watched.expect(&["JobFailed bad"]);
    // A file of somebody else's.
    fs::write(watched.output().join("other.prom"), "x{\n").unwrap();
    watched.end_steady();
    let collector = ["JobFailed bad", "TextfileCollectorBroken node"];
    watched.expect_of_sinks(&["JobFailed bad"], &collector, &["JobFailed bad", "NoJobReports "]);
    watched.end_exporter();
    watched.end_gateway();
    let last = ["JobFailed bad", "NoJobReports "];
    watched.expect_of_sinks(&["PushgatewayDown pushgateway"], &["NodeExporterDown node"], &last);
}

//! The alert rules, live: real runs with one problem each, the real servers, and a Prometheus that loads the rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::harness::alerts::{Judge, firing, wait_for_exactly};
use super::harness::pushgateway::Version;
use super::harness::server::{self, Server};
use super::harness::{Prometheus, Pushgateway, Pushwrap, Running, http, wait_for};

/// Runs that report to one gateway, which a Prometheus with its alerts scrapes.
struct Watched {
    gateway: Pushgateway,
    prometheus: Prometheus,
    state: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let gateway = Pushgateway::start(Version::Newest);
        let prometheus = Judge::alerts("gateway.yml").of_gateway(&gateway).start();
        Self { gateway, prometheus, state: tempfile::tempdir().unwrap() }
    }

    fn call(&self, job: &str, options: &[&str]) -> Pushwrap {
        Pushwrap::new().push_to(&self.gateway, job).args(options)
    }

    fn run(&self, job: &str, options: &[&str], command: &[&str]) {
        self.call(job, options).run(command);
    }

    /// The same with a state directory, so that runs are counted.
    fn run_counted(&self, job: &str, command: &[&str]) {
        self.counted(job).run(command);
    }

    fn counted(&self, job: &str) -> Pushwrap {
        self.call(job, &["--state-dir", self.state.path().to_str().unwrap()])
    }

    /// A run of which the gateway knows that it has begun.
    fn spawn_known(&self, job: &str, options: &[&str], command: &[&str]) -> Running {
        let running = self.call(job, options).args(["--push-interval", "1"]).spawn(command);
        let is_known =
            || self.gateway.group([("job", job)])?.value("pushwrap_running", []).filter(|value| value == "1");
        wait_for(&format!("the first push of '{job}'"), is_known);
        running
    }
}

#[test]
fn each_trouble_of_a_real_run_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    let long = watched.spawn_known("long", &["--max-age", "8"], &["sleep", "300"]);
    watched.spawn_known("lost", &[], &["sleep", "30"]).kill(Signal::SIGKILL);
    watched.run("good", &["--max-age", "1h", "--timeout", "1h"], &["true"]);
    watched.run("failing", &[], &["false"]);
    for _ in 0..3 {
        watched.run_counted("keeps", &["false"]);
    }
    watched.run("overdue", &["--max-age", "1"], &["true"]);
    watched.run("never", &["--max-age", "1h"], &["false"]);
    watched.run("timeout", &["--timeout", "1"], &["sleep", "99"]);
    watched.run("broken", &[], &["sh", "-c", "echo 'x{ 1' >>\"$PUSHWRAP_TEXTFILE\""]);
    let conflict = b"# TYPE pushwrap_running counter\npushwrap_running 1\n";
    let refused = http::request("POST", &format!("{}/metrics/job/refused", watched.gateway.url()), conflict);
    assert!(refused.is_ok_and(|answer| answer.status == 400), "the gateway refuses another type");

    wait_for_exactly(
        &watched.prometheus,
        &[
            "JobFailed failing",
            "JobFailed timeout",
            "JobKeepsFailing keeps",
            "JobLost lost",
            "JobMetricsBroken broken",
            "JobNeverSucceeded never",
            "JobOverdue overdue",
            "JobPushRefused refused",
            "JobRunningTooLong long",
        ],
    );
    long.kill(Signal::SIGTERM);
    drop(watched.gateway);
    watched.prometheus.wait_for("ALERTS{alertname=\"PushgatewayDown\",alertstate=\"firing\"}");
}

/// Runs `true` as this job again and again until Prometheus has so many samples of its duration that the median stays theirs.
fn make_a_habit(watched: &Watched, job: &str) {
    watched.run(job, &[], &["true"]);
    watched.prometheus.wait_for(&format!("count_over_time(pushwrap_duration_seconds{{job=\"{job}\"}}[1h]) > 15"));
}

#[test]
fn each_warning_of_a_real_run_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    // 92 % of the limit, and more than a second for a machine that is busy.
    let near = watched.call("near", &["--timeout", "20"]).spawn(["sleep", "18.5"]);
    watched.run("good", &["--max-age", "1h", "--timeout", "1h", "--skip-codes", "75"], &["true"]);
    watched.run("skipped", &["--skip-codes", "75"], &["true"]);
    watched.run("history", &[], &["true"]);
    watched.run_counted("gets_lost", &["true"]);
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.prom");
    fs::write(&old, "x 1\n").unwrap();
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(&old).status().unwrap().success());
    watched.run("stale", &["--textfile", old.to_str().unwrap()], &["true"]);
    make_a_habit(&watched, "slow");
    near.wait().exit(0);

    let longer = watched.spawn_known("history", &[], &["sleep", "300"]);
    watched.run("slow", &[], &["sleep", "2"]);
    watched.run("skipped", &["--skip-codes", "75"], &["sh", "-c", "exit 75"]);
    // Its pushwrap is killed as soon as the state directory knows of it, and the next run comes before anybody misses it.
    let lost = watched.counted("gets_lost").spawn(["sleep", "300"]);
    wait_for("the mark of the run that is to be lost", || has_mark(watched.state.path()).then_some(()));
    lost.kill(Signal::SIGKILL);
    lost.wait().signal(Signal::SIGKILL as i32);
    watched.run_counted("gets_lost", &["true"]);

    wait_for_exactly(
        &watched.prometheus,
        &[
            "JobMetricsStale stale",
            "JobNearItsTimeLimit near",
            "JobOnlySkipped skipped",
            "JobRunningTooLong history",
            "JobRunsGetLost gets_lost",
            "JobSlow slow",
        ],
    );
    longer.kill(Signal::SIGTERM);
}

/// Whether a run in progress has left its mark somewhere below a directory.
fn has_mark(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.iter().any(|path| path.extension().is_some_and(|end| end == "mark") || path.is_dir() && has_mark(path))
}

#[test]
fn alerts_of_jobs_that_report_through_node_exporter() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = Server::start(&server::program("node_exporter"), |port, _| {
        vec![
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.textfile".to_owned(),
            format!("--collector.textfile.directory={}", directory.path().display()),
        ]
    });
    let prometheus = Judge::alerts("output.yml").scraping("node", &exporter.address(), false).start();
    let run = |job: &str, options: &[&str], command: &[&str]| {
        let file = directory.path().join(format!("{job}.prom"));
        let call = Pushwrap::new().args(["--job", job, "--instance", "db1", "--output"]).arg(file);
        call.args(options).run(command);
    };
    run("good", &["--max-age", "1h", "--timeout", "1h"], &["true"]);
    run("failing", &[], &["false"]);
    run("overdue", &["--max-age", "1"], &["true"]);
    wait_for_exactly(&prometheus, &["JobFailed failing", "JobOverdue overdue"]);
    // A file of somebody else's.
    fs::write(directory.path().join("other.prom"), "x{\n").unwrap();
    wait_for_exactly(&prometheus, &["JobFailed failing", "JobOverdue overdue", "TextfileCollectorBroken node"]);
    drop(exporter);
    wait_for_exactly(&prometheus, &["NodeExporterDown node"]);
}

#[test]
fn alerts_of_jobs_that_report_by_remote_write() {
    let prometheus = Judge::alerts("remote-write.yml").flag("--web.enable-remote-write-receiver").start();
    wait_for_exactly(&prometheus, &["NoJobReports "]);
    let url = format!("{}/api/v1/write", prometheus.url());
    let run = |job: &str, options: &[&str], command: &[&str]| {
        let call = Pushwrap::new().args(["--remote-write", &url, "--job", job, "--instance", "none"]);
        call.args(options).run(command);
    };
    // As long as a job reports, the sink is in order.
    wait_for("the alert of the failing job, and no other", || {
        run("good", &["--max-age", "1h", "--timeout", "1h"], &["true"]);
        run("failing", &[], &["false"]);
        (firing(&prometheus) == ["JobFailed failing"]).then_some(())
    });
    run("overdue", &["--max-age", "1"], &["true"]);
    wait_for_exactly(&prometheus, &["JobFailed failing", "JobOverdue overdue", "NoJobReports "]);
}

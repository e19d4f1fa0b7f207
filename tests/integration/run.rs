//! The main job: a command runs, and a real gateway then holds what is true about the run.

use std::fs;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::fake::FullBacklog;
use super::harness::{FakeGateway, Prometheus, Pushgateway, Pushwrap, Reply, Run, Version, wait_for, within_limit};

/// What the gateway holds in `{job="…"}` for `name`, label sets and all.
fn families(gateway: &Pushgateway, job: &str) -> Vec<String> {
    let group = format!("job=\"{job}\"");
    let page = gateway.metrics();
    let lines = page.lines().filter(|line| line.contains(&group) && !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn assert_lacks(gateway: &Pushgateway, job: &str, name: &str) {
    assert!(!families(gateway, job).iter().any(|known| known == name), "'{name}' is there:\n{}", gateway.metrics());
}

#[test]
fn a_failing_command_keeps_its_status_and_is_reported_with_its_metrics() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let run = Pushwrap::new().push_to(&gateway, "sh").env("TZ", "UTC");
        let run = run.run(["sh", "-c", r#"echo "x 1" > $PUSHWRAP_TEXTFILE; exit 3"#]).exit(3).stdout("");
        run.stderr("").pushed(
            &gateway,
            "sh",
            "x 1\npushwrap_exit_code 3\npushwrap_success 0\npushwrap_running 0\npushwrap_textfile_samples 1\n\
             pushwrap_outcome{outcome=\"failure\"} 1\npushwrap_outcome{outcome=\"success\"} 0\n\
             pushwrap_textfile_errors 0\n",
        );
        assert_lacks(&gateway, "sh", "pushwrap_last_success_timestamp_seconds");
    }
}

#[test]
fn a_failing_run_does_not_erase_the_last_success() {
    let gateway = Pushgateway::start(Version::Newest);
    Pushwrap::new().push_to(&gateway, "j").run(["true"]).exit(0).stderr("").pushed(&gateway, "j", "pushwrap_success 1");
    let lines = |gateway: &Pushgateway| {
        let page = gateway.metrics();
        page.lines().filter(|line| line.starts_with("pushwrap_last_success")).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let before = lines(&gateway);
    assert_eq!(before.len(), 1, "{before:?}");
    Pushwrap::new().push_to(&gateway, "j").run(["false"]).exit(1).pushed(&gateway, "j", "pushwrap_success 0");
    assert_eq!(lines(&gateway), before);
}

#[test]
fn replace_is_a_put_for_a_success_only() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/j", "stale 1\n");
    Pushwrap::new().push_to(&gateway, "j").arg("--replace").run(["false"]).exit(1).pushed(&gateway, "j", "stale 1");
    Pushwrap::new().push_to(&gateway, "j").arg("--replace").run(["true"]).exit(0);
    assert_lacks(&gateway, "j", "stale");
}

#[test]
fn delete_on_success_deletes_exactly_this_group() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/j/l/other", "stays 1\n");
    let run = |command: &str| Pushwrap::new().push_to(&gateway, "j").arg("--delete-on-success").run([command]);
    run("false").exit(1).pushed(&gateway, "j", "pushwrap_success 0");
    run("true").exit(0).stderr("");
    wait_for("the group to be gone", || gateway.group([("job", "j")]).is_none().then_some(()));
    assert!(gateway.group([("job", "j"), ("l", "other")]).is_some());
}

#[test]
fn every_way_to_end_has_its_outcome() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let ended = |job: &str, options: &[&str], command: &[&str]| -> Run {
        Pushwrap::new().push_to(&gateway, job).args(options).run(command.iter().copied())
    };
    let outcome = |run: Run, job: &str, name: &str, code: i32| {
        let expected = format!("pushwrap_outcome{{outcome=\"{name}\"}} 1\npushwrap_exit_code {code}\n");
        run.pushed(&gateway, job, &expected);
    };
    outcome(ended("a", &[], &["true"]).exit(0), "a", "success", 0);
    outcome(ended("b", &[], &["false"]).exit(1), "b", "failure", 1);
    ended("c", &["--skip-codes", "75"], &["sh", "-c", "exit 75"]).exit(75);
    assert_lacks(&gateway, "c", "pushwrap_success");
    assert_lacks(&gateway, "c", "pushwrap_outcome");
    outcome(ended("r", &["--success-codes", "0,20-29"], &["sh", "-c", "exit 24"]).exit(24), "r", "success", 24);
    outcome(ended("d", &["--success-codes", "0,24"], &["sh", "-c", "exit 24"]).exit(24), "d", "success", 24);
    outcome(ended("e", &[], &["sh", "-c", "kill -9 $$"]).signal(9), "e", "signal", 137);
    outcome(ended("f", &["--timeout", "0.2"], &["sleep", "60"]).exit(124), "f", "timeout", 124);
    outcome(ended("g", &[], &["/nonexistent/command"]).exit(127), "g", "not_started", 127);
    outcome(ended("h", &[], &["/"]).exit(126), "h", "not_started", 126);
}

#[test]
fn told_to_stop_is_reported_at_once_and_again_at_the_end() {
    let gateway = Pushgateway::start(Version::Newest);
    let script = "trap 'echo got; sleep 1; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let running = Pushwrap::new().push_to(&gateway, "j").spawn(["sh", "-c", script]);
    running.wait_for_stdout("ready");
    running.kill(Signal::SIGTERM);
    wait_for("the interim push", || {
        let page = gateway.metrics();
        let stopping = page.contains("outcome=\"terminated\"} 1");
        let still_runs = page.lines().any(|line| line.starts_with("pushwrap_running{") && line.ends_with(" 1"));
        (stopping && still_runs).then_some(())
    });
    let run = running.wait().exit(9).stdout("ready\ngot\n").stderr("");
    run.pushed(&gateway, "j", "pushwrap_running 0\npushwrap_outcome{outcome=\"terminated\"} 1\npushwrap_exit_code 9\n");
}

#[test]
fn a_running_command_is_seen_while_it_runs() {
    let gateway = Pushgateway::start(Version::Newest);
    let call = Pushwrap::new().push_to(&gateway, "k").args(["--push-interval", "1s"]);
    let gate = call.directory().join("gate");
    let script = format!(
        "echo 'step 1' > $PUSHWRAP_TEXTFILE; printf 'half 2' >> $PUSHWRAP_TEXTFILE; until [ -e {} ]; do sleep 0.05; done",
        gate.display()
    );
    let running = call.spawn(["sh", "-c", &script]);
    wait_for("the push of a running command", || gateway.group([("job", "k")]).map(drop));
    let page = gateway.metrics();
    assert!(page.contains("step{") && !page.contains("half{"), "{page}");
    assert!(page.lines().any(|line| line.starts_with("pushwrap_running{") && line.ends_with(" 1")), "{page}");
    assert!(!page.contains("pushwrap_exit_code"), "{page}");
    fs::write(gate, "").unwrap();
    running.wait().exit(0).pushed(&gateway, "k", "pushwrap_running 0\nhalf 2\n");
}

#[test]
fn without_a_gateway_the_metrics_are_printed() {
    let run = Pushwrap::new().run(["sh", "-c", "echo out; echo 'x 1' > $PUSHWRAP_TEXTFILE"]).exit(0).stdout("out\n");
    assert!(run.stderr.contains("\npushwrap_exit_code 0\n") && run.stderr.contains("\nx 1\n"), "{}", run.stderr);
    let last = run.stderr.lines().last().unwrap();
    assert_eq!(last, "pushwrap: these metrics go to a Pushgateway with --url URL or PUSHWRAP_URL");
}

#[test]
fn url_none_reports_nowhere_and_says_nothing() {
    Pushwrap::new().args(["--url", "none"]).run(["sh", "-c", "echo out; exit 4"]).exit(4).stdout("out\n").stderr("");
}

#[test]
fn quiet_says_nothing_at_all() {
    Pushwrap::new().arg("-q").run(["true"]).exit(0).stderr("");
    Pushwrap::new().args(["-q", "--url", "127.0.0.1:1", "--push-timeout", "0.5"]).run(["true"]).exit(0).stderr("");
}

#[test]
fn a_dry_run_prints_the_request_and_sends_nothing() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let run = Pushwrap::new().args(["-n", "--url", &gateway.url(), "--job", "a b", "--instance", "none"]);
    let run = run.textfile("x 1\n").run(["true"]).exit(0).stdout("");
    assert!(run.stderr.starts_with("POST /metrics/job@base64/YSBi HTTP/1.1\n"), "{}", run.stderr);
    run.stderr_has("\nx 1\n").stderr_has("curl -sS -X POST");
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn a_summary_tells_a_person_or_a_program_about_the_run() {
    let gateway = Pushgateway::start(Version::Newest);
    let call = || Pushwrap::new().push_to(&gateway, "j").textfile("x 1\n");
    let run = call().arg("--summary").run(["sh", "-c", "exit 3"]).exit(3).stdout("");
    assert!(run.stderr.lines().all(|line| line.starts_with("pushwrap: ")), "{}", run.stderr);
    let run =
        run.stderr_has("pushwrap: outcome   failure, exit status 3\n").stderr_has("pushwrap: metrics   1 sample\n");
    run.stderr_has(&format!("pushwrap: pushed    to {}", gateway.url())).stderr_lacks("\u{1b}");
    let run = call().arg("--summary=json").run(["true"]).exit(0);
    let account: serde_json::Value = serde_json::from_str(run.stderr.trim_end()).expect("one line of JSON");
    assert_eq!(account["outcome"], "success");
    assert_eq!(account["pushes"][0]["status"], 200);
    Pushwrap::new().arg("--summary=xml").run(["true"]).exit(125).stderr_has("'xml'").stderr_has("text or json");
}

#[test]
fn a_shell_as_job_name_is_said_once() {
    let gateway = Pushgateway::start(Version::Newest);
    let run = || Pushwrap::new().args(["--url", &gateway.url()]);
    run()
        .run(["sh", "-c", ":"])
        .exit(0)
        .stderr("pushwrap: the job is named 'sh', as every other job that sh runs; name it with --job\n");
    run().args(["--job", "named"]).run(["sh", "-c", ":"]).exit(0).stderr("");
    run().run(["true"]).exit(0).stderr("");
}

#[test]
fn identity_is_in_run_info_and_not_in_the_key() {
    let gateway = Pushgateway::start(Version::Newest);
    let run =
        Pushwrap::new().push_to(&gateway, "j").args(["--info", "commit=a b\"c", "--max-age", "26h", "--timeout", "1h"]);
    run.run(["sh", "-c", ": secret"]).exit(0).pushed(
        &gateway,
        "j",
        "pushwrap_max_age_seconds 93600\npushwrap_timeout_seconds 3600\n",
    );
    let page = gateway.metrics();
    let info = page.lines().find(|line| line.starts_with("pushwrap_run_info{")).unwrap();
    assert!(info.contains("commit=\"a b\\\"c\"") && info.contains("command=\"sh\""), "{info}");
    assert!(!page.contains("secret"), "{page}");
}

/// Then the series of both groups are the same for the gateway, and it would refuse every run of the second.
#[test]
fn an_info_that_is_another_groups_label_does_not_keep_the_run_from_being_reported() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let first = Pushwrap::new().push_to(&gateway, "j").args(["--info", "zone=eu"]);
        first.run(["sh", "-c", "exit 0"]).exit(0).stderr("");
        let second = Pushwrap::new().push_to(&gateway, "j").args(["-l", "zone=eu"]).textfile("own 1\n");
        let run = second.run(["sh", "-c", "exit 3"]).exit(3);
        let group = gateway.group([("job", "j"), ("zone", "eu")]).expect("the second group");
        assert_eq!(group.value("pushwrap_exit_code", []).as_deref(), Some("3"));
        run.stderr_has(
            "refused run_info, whose labels another group has in its grouping key; the rest was pushed: 400",
        );
    }
}

/// A command that goes to another directory finds its file all the same.
#[test]
fn a_relative_textfile_is_absolute_for_the_command() {
    let gateway = Pushgateway::start(Version::Newest);
    let call = Pushwrap::new().push_to(&gateway, "j").args(["--textfile", "own.prom"]);
    let directory = call.directory().to_owned();
    let run = call.current_dir(&directory).run(["sh", "-c", "cd / && echo 'own 1' >\"$PUSHWRAP_TEXTFILE\""]);
    run.exit(0).stderr("").pushed(&gateway, "j", "own 1\npushwrap_textfile_samples 1\n");
}

/// A job whose metrics use the names of all other runs would block these by another type.
#[test]
fn the_default_names_are_kept_free_under_another_prefix_too() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let call = Pushwrap::new().push_to(&gateway, "j").args(["--prefix", "my_"]).textfile("pushwrap_running 3\n");
    call.run(["true"]).exit(0).stderr_has("pushwrap itself").pushed(&gateway, "j", "my_success 1\n");
    Pushwrap::new().push_to(&gateway, "k").run(["true"]).exit(0).stderr("");
}

#[test]
fn several_gateways_each_get_it_and_one_that_is_down_takes_nothing_from_the_others() {
    let (first, second) = (Pushgateway::start(Version::Bookworm), Pushgateway::start(Version::Newest));
    let run = Pushwrap::new().push_to(&first, "j").args(["--url", "127.0.0.1:1", "--url", &second.url()]);
    let run = run.args(["--push-timeout", "2"]).run(["true"]).exit(0);
    let run = run.pushed(&first, "j", "pushwrap_success 1").pushed(&second, "j", "pushwrap_success 1");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    run.stderr_has("pushwrap: cannot push to 'http://127.0.0.1:1'").stderr_has("connection refused");
}

/// The command's time, the budget, and 0.3 s.
#[test]
fn a_gateway_that_never_answers_costs_no_more_than_the_budget() {
    let silent = FakeGateway::start([Reply::NoAnswer]);
    let full = FullBacklog::start();
    for url in [silent.url(), full.url(), "127.0.0.1:1".to_owned()] {
        let run = within_limit(Duration::from_millis(1800), || {
            let call = Pushwrap::new().args(["--url", &url, "--job", "j", "--push-timeout", "1.5"]);
            call.run(["sh", "-c", "exit 7"]).exit(7).stdout("")
        });
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        run.stderr_has("pushwrap: cannot push to 'http://127.0.0.1:");
    }
}

#[test]
fn require_push_makes_only_a_successful_run_fail() {
    let call = || Pushwrap::new().args(["--url", "127.0.0.1:1", "--push-timeout", "0.5", "--require-push"]);
    call().run(["true"]).exit(125).stderr_has("cannot push to");
    call().run(["sh", "-c", "exit 3"]).exit(3);
    call().run(["sh", "-c", "kill -15 $$"]).signal(15);
    Pushwrap::new().arg("--require-push").run(["true"]).exit(125);
    Pushwrap::new().args(["--require-push", "--url", "none"]).run(["true"]).exit(0);
}

#[test]
fn metrics_of_the_command_that_the_gateway_refuses_do_not_take_the_run_along() {
    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("PUT", "job/other", "# TYPE clash counter\nclash 1\n");
    let run = Pushwrap::new().push_to(&gateway, "j").textfile("# TYPE clash gauge\nclash 1\n").run(["true"]).exit(0);
    let run =
        run.pushed(&gateway, "j", "pushwrap_success 1\npushwrap_textfile_errors 1\npushwrap_textfile_samples 0\n");
    run.stderr_has(
        "refused 'clash' ($PUSHWRAP_TEXTFILE:2), and the rest was pushed: another group holds 'clash' as a counter",
    );
}

/// A type that differs from that of other groups makes the gateway refuse every later run of every job.
#[test]
fn a_pushed_file_cannot_change_the_type_of_a_runs_metrics() {
    let gateway = Pushgateway::start(Version::Newest);
    let push =
        |text: &str| Pushwrap::new().args(["push", "--url", &gateway.url(), "--job", "p", "-"]).stdin(text).call();
    push("pushwrap_running 1\npushwrap_runs_total 4\n").exit(0).stderr("");
    let run = push("x 1\n# TYPE pushwrap_success counter\npushwrap_success 1\n").exit(1);
    run.stderr_has("'pushwrap_success' is a gauge of every run");
    Pushwrap::new().push_to(&gateway, "j").run(["true"]).exit(0).stderr("").pushed(&gateway, "j", "pushwrap_success 1");
}

/// On a fresh gateway these metrics of its own are not there yet: it would accept them and then fail for everybody.
#[test]
fn the_gateways_own_names_are_never_pushed() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let poison = "pushgateway_http_requests_total{code=\"200\"} 1\nx 1\n";
        let run = Pushwrap::new().push_to(&gateway, "j").textfile(poison).run(["true"]).exit(0);
        let run = run.pushed(&gateway, "j", "x 1\npushwrap_textfile_samples 1\npushwrap_textfile_errors 1\n");
        run.stderr_has("'pushgateway_http_requests_total' is written by the Pushgateway itself");
        Pushwrap::new().push_to(&gateway, "k").run(["true"]).exit(0).stderr("");
        Pushwrap::new()
            .args(["check", "-"])
            .stdin(poison)
            .call()
            .exit(1)
            .stderr_has("is written by the Pushgateway itself");
    }
}

#[test]
fn beside_a_directory_of_metrics_the_command_has_its_private_file() {
    let gateway = Pushgateway::start(Version::Newest);
    let call = Pushwrap::new().push_to(&gateway, "j");
    let directory = call.directory().join("metrics");
    fs::create_dir(&directory).unwrap();
    let script = format!("echo 'x 1' > $PUSHWRAP_TEXTFILE; echo 'y 2' > {}/y.prom", directory.display());
    let run = call.arg("--textfile").arg(&directory).run(["sh", "-c", &script]).exit(0).stderr("");
    run.pushed(&gateway, "j", "x 1\ny 2\npushwrap_textfile_samples 2\n");
}

#[test]
fn the_private_file_is_private_and_gone_afterwards() {
    let script = "stat -c '%a %n' $(dirname $PUSHWRAP_TEXTFILE); umask; echo 'x 1' > $PUSHWRAP_TEXTFILE; stat -c %a $PUSHWRAP_TEXTFILE";
    let run = Pushwrap::new().args(["--url", "none"]).run(["sh", "-c", script]).exit(0);
    assert_eq!(run.stdout.lines().last(), Some("600"), "the umask must not decide about the file");
    let directory = run.stdout.lines().next().unwrap().strip_prefix("700 ").expect("mode 0700").to_owned();
    assert!(!std::path::Path::new(&directory).exists(), "'{directory}' is still there");
}

#[test]
fn the_command_does_not_see_secrets() {
    let call = Pushwrap::new().env("PUSHWRAP_USER", "me:s3cret").env("PUSHWRAP_HEADER", "X-Token: s3cret");
    let call = call.env("PUSHWRAP_URL", "http://me:s3cret@127.0.0.1:1").env("PUSHWRAP_PUSH_TIMEOUT", "0.2");
    let run = call.run(["env"]).exit(0);
    assert!(!run.stdout.contains("s3cret") && !run.stderr.contains("s3cret"), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("PUSHWRAP_PUSH_TIMEOUT=0.2"), "{}", run.stdout);
}

/// The command's measured peak begins at the size of its parent (`getrusage(2)`), so pushwrap has to be small when it starts it.
#[test]
fn the_measured_peak_of_true_is_below_four_mib() {
    let gateway = Pushgateway::start(Version::Newest);
    let call = Pushwrap::new().push_to(&gateway, "j");
    let env_file = call.directory().join("env");
    fs::write(&env_file, format!("{}\n", "# padding of an env file that somebody generated\n".repeat(1 << 18)))
        .unwrap();
    let textfile = call.directory().join("large.prom");
    fs::write(&textfile, "x 1\n".to_owned() + &"# padding\n".repeat(5 << 18)).unwrap();
    // However long the run takes to begin: the file is not from before it.
    fs::File::open(&textfile).and_then(|file| file.set_modified(SystemTime::now() + Duration::from_hours(1))).unwrap();
    call.args(["--textfile-max", "64MiB", "--push-timeout", "60"])
        .arg("--env-file")
        .arg(env_file)
        .arg("--textfile")
        .arg(textfile)
        .run(["true"])
        .exit(0)
        .stderr("");
    let page = gateway.metrics();
    let peak = page.lines().find(|line| line.starts_with("pushwrap_peak_rss_bytes{")).unwrap();
    let bytes: f64 = peak.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(bytes < 4.0 * 1024.0 * 1024.0, "{peak}");
}

#[test]
fn prometheus_scrapes_what_was_pushed() {
    let gateway = Pushgateway::start(Version::Newest);
    let prometheus = Prometheus::start(&[gateway.address()], true);
    Pushwrap::new().push_to(&gateway, "j").textfile("hello_counter_total 3\n").run(["sh", "-c", "exit 2"]).exit(2);
    for (query, value) in [("pushwrap_exit_code{job=\"j\"}", "2"), ("hello_counter_total{job=\"j\"}", "3")] {
        wait_for(query, || prometheus.query(query).iter().any(|(_, found)| found == value).then_some(()));
    }
}

/// Whatever bytes a command leaves behind, the run is reported and the command's status is its own.
#[test]
fn no_metrics_file_can_hurt_the_run() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let mut runner = TestRunner::new(Config { cases: 50, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(prop::collection::vec(any::<u8>(), 0..200), 0..=125i32), |(bytes, code)| {
        let run = Pushwrap::new().push_to(&gateway, "j").textfile(&bytes);
        let run = run.run(["sh", "-c", &format!("exit {code}")]).exit(code).stdout("");
        run.pushed(&gateway, "j", &format!("pushwrap_exit_code {code}"));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

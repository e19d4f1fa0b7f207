//! What becomes of a push that the gateway refuses: as much of it as can be taken arrives, and what was left out is said.

use std::time::Duration;

use serde_json::Value;

use super::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, Version, within_limit};
use super::state::{LateGateway, waiting};

fn run(url: &str, textfile: &str) -> Pushwrap {
    let call = Pushwrap::new().args(["--url", url, "--job", "j", "--instance", "none"]);
    call.args(["--state-dir", "none", "--summary=json"]).textfile(textfile)
}

/// The account of the first push in the summary.
fn account(stderr: &str) -> Value {
    let line = stderr.lines().find(|line| line.starts_with('{')).unwrap();
    serde_json::from_str::<Value>(line).unwrap()["pushes"][0].clone()
}

#[test]
fn a_family_of_another_type_goes_alone_and_is_told() {
    for version in [Version::Bookworm, Version::Newest] {
        let gateway = Pushgateway::start(version);
        gateway.push("PUT", "job/other", "# TYPE h summary\nh_sum 1\nh_count 1\n# TYPE u gauge\nu 1\n");
        let buckets: String = (0..70).fold(String::new(), |text, le| text + &format!("h_bucket{{le=\"{le}\"}} 1\n"));
        let metrics = format!(
            "# TYPE h histogram\n{buckets}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\nu 2\n# TYPE g gauge\ng 3\n"
        );
        let done = run(&gateway.url(), &metrics).arg("--require-push").run(["true"]).exit(125);
        let done =
            done.stderr_has("refused 'h' ($PUSHWRAP_TEXTFILE:2), and the rest was pushed: another group holds 'h'");
        let done = done.stderr_has("as a summary, not as a histogram").stderr_has("/metrics/job/other'");
        let group = gateway.group([("job", "j")]).unwrap();
        assert_eq!((group.value("g", []).unwrap(), group.value("u", []).unwrap()), ("3".into(), "2".into()));
        assert_eq!(group.value("pushwrap_textfile_samples", []).unwrap(), "2");
        assert_eq!(group.value("pushwrap_textfile_errors", []).unwrap(), "1");
        let account = account(&done.stderr);
        assert_eq!((&account["status"], &account["textfile_samples"]), (&Value::from(200), &Value::from(2)));
        assert!(account["error"].as_str().unwrap().contains("another group holds 'h'"), "{account}");
    }
}

#[test]
fn a_type_that_is_only_missing_is_taken_over_in_silence() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/other", "# TYPE u gauge\nu 1\n");
    let done = run(&gateway.url(), "u 2\n").arg("--require-push").run(["true"]).exit(0).stderr_lacks("refused");
    assert_eq!(account(&done.stderr)["error"], Value::Null);
    assert_eq!(gateway.group([("job", "j")]).unwrap().value("pushwrap_textfile_errors", []).unwrap(), "0");
}

#[test]
fn two_jobs_with_other_types_keep_all_but_what_cannot_be_reconciled() {
    let jobs = [
        ("a", "x 1\n# TYPE y summary\ny_sum 1\ny_count 1\n# TYPE g gauge\ng 1\n"),
        (
            "b",
            "# TYPE x gauge\nx 2\n# TYPE y histogram\ny_bucket{le=\"+Inf\"} 1\ny_sum 1\ny_count 1\n# TYPE g gauge\ng 2\n",
        ),
    ];
    for order in [[0, 1], [1, 0]] {
        let gateway = Pushgateway::start(Version::Newest);
        for (job, metrics) in order.into_iter().chain(order).map(|index| jobs[index]) {
            let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", job, "--instance", "none"]);
            let _ = call.args(["--state-dir", "none"]).textfile(metrics).run(["true"]).exit(0);
        }
        for (index, (job, _)) in jobs.into_iter().enumerate() {
            let group = gateway.group([("job", job)]).unwrap();
            let value = (index + 1).to_string();
            for family in ["x", "g"] {
                assert_eq!(group.value(family, []), Some(value.clone()), "{family} of {job}, {order:?}");
            }
            // Who comes first has it, the other one gets an error.
            let is_first = index == order[0];
            assert_eq!(group.families().contains(&"y".to_owned()), is_first, "y of {job}, {order:?}");
            let errors = if is_first { "0" } else { "1" };
            assert_eq!(group.value("pushwrap_textfile_errors", []).unwrap(), errors, "{job}, {order:?}");
            assert_eq!(group.value("pushwrap_success", []).unwrap(), "1");
        }
    }
}

#[test]
fn push_leaves_out_what_is_refused_and_fails() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/other", "# TYPE h counter\nh 1\n");
    let call = Pushwrap::new().args(["push", "--job", "j", "--instance", "none", "--url", &gateway.url()]);
    let done = call.stdin("# TYPE h gauge\nh 1\n# TYPE g gauge\ng 3\n").call().exit(1);
    done.stderr_has("refused 'h' (<stdin>:2)");
    assert_eq!(gateway.group([("job", "j")]).unwrap().families(), ["g"]);
}

#[test]
fn the_last_try_decides_whether_a_push_waits() {
    let refusal = Reply::status("400 Bad Request", "whatever");
    let fake = FakeGateway::start([refusal, Reply::status("503 Service Unavailable", "busy")]);
    let state = tempfile::tempdir().unwrap();
    let call = Pushwrap::new().args(["--url", &fake.url(), "--job", "j", "--push-timeout", "1", "--state-dir"]);
    let done = call.arg(state.path()).textfile("x 1\n").run(["true"]).exit(0);
    done.stderr_has("503 Service Unavailable: busy").stderr_has("it waits in");
}

/// The same for a push that waits: `flush` gets the same answers.
#[test]
fn the_last_try_of_flush_decides_whether_a_push_waits_on() {
    let refusals = ["401 Unauthorized", "400 Bad Request"].map(|status| Reply::status(status, "whatever"));
    let fake = FakeGateway::without_api(refusals.into_iter().chain([Reply::status("503 Service Unavailable", "busy")]));
    let state = tempfile::tempdir().unwrap();
    let call = Pushwrap::new().args(["--url", &fake.url(), "--job", "j", "--state-dir"]).arg(state.path());
    call.textfile("x 1\n").run(["true"]).exit(0).stderr_has("it waits in");
    let flush = Pushwrap::new().args(["flush", "--push-timeout", "1", "--state-dir"]).arg(state.path());
    flush.call().exit(1).stdout("").stderr_has("503 Service Unavailable: busy");
    assert_eq!(waiting(state.path()).len(), 1);
}

#[test]
fn a_web_page_is_no_gateway() {
    let page = Reply::with_headers("200 OK", &["Content-Type: text/html; charset=utf-8"], "<html>Log in</html>");
    let fake = FakeGateway::start([page]);
    let done = run(&fake.url(), "x 1\n").arg("--require-push").run(["true"]).exit(125);
    done.stderr_has("it answers 200 OK with a web page");
}

#[test]
fn the_reason_at_the_end_of_a_long_answer_is_quoted() {
    let fake = FakeGateway::start([Reply::status("418 ", &format!("begin {} the end", "y ".repeat(50_000)))]);
    let done = run(&fake.url(), "x 1\n").run(["true"]).exit(0);
    done.stderr_has("begin y y").stderr_has(" … ").stderr_has("the end");
}

#[test]
fn large_metrics_that_are_not_taken_in_time_do_not_take_the_run_with_them() {
    let fake = FakeGateway::start([Reply::NoAnswer, Reply::ok()]);
    let metrics = format!("x{{l=\"{}\"}} 1\n", "y".repeat(100_000));
    let done = run(&fake.url(), &metrics).args(["--push-timeout", "2", "--require-push"]).run(["true"]).exit(125);
    done.stderr_has("did not take the command's metrics in time, only the run's own metrics were pushed");
    let requests = fake.requests();
    assert!(requests[1].samples().contains("pushwrap_textfile_samples 0\n"), "{}", requests[1].samples());
}

#[test]
fn a_request_that_was_sent_keeps_waiting_for_its_answer() {
    let fake = FakeGateway::start([Reply::ok().after(Duration::from_millis(1500))]);
    run(&fake.url(), "x 1\n").args(["--push-timeout", "2", "--require-push"]).run(["true"]).exit(0);
    assert_eq!(fake.connections(), 1, "a busy gateway works on with every copy that it gets");
}

#[test]
fn a_gateway_that_cannot_be_reached_costs_three_seconds_at_most() {
    let closed = super::harness::fake::CLOSED_PORT;
    let began = std::time::Instant::now();
    let done = run(closed, "x 1\n").run(["true"]).exit(0).stderr_has("connection refused");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2500) && took < Duration::from_secs(6), "{took:?}");
    drop(done);
    let state = tempfile::tempdir().unwrap();
    // The second run asks the gateway for the start time of the group whose push waits: all in the same second.
    for _ in 0..2 {
        within_limit(Duration::from_millis(1700), || {
            let call = Pushwrap::new().args(["--url", closed, "--job", "j", "--state-dir"]).arg(state.path());
            let _ = call.arg("-v").run(["true"]).exit(0).stderr_has("it waits in");
        });
    }
    let call = Pushwrap::new().args(["groups", "--url", closed]).call().exit(1);
    call.stderr_has("in 2 tries").within(Duration::from_secs(2));
}

/// Given a gateway that comes up two seconds after the end of a run, then nothing is lost: without a state directory the push is
/// tried for longer, with one it waits for the next run.
#[test]
fn a_gateway_that_comes_up_two_seconds_later_gets_everything() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    let call = |url: &str, job: &str, state: &std::path::Path| {
        let call = Pushwrap::new().args(["--url", url, "--job", job, "--instance", "none", "--state-dir"]);
        call.arg(state).textfile("x 1\n")
    };
    let late = LateGateway::new();
    let began = std::time::Instant::now();
    let alone = call(&late.url(), "alone", "none".as_ref()).spawn(["true"]);
    call(&late.url(), "kept", state.path()).run(["true"]).exit(0).stderr_has("it waits in");
    std::thread::sleep(Duration::from_secs(2).saturating_sub(began.elapsed()));
    late.pass_on_to(&gateway);
    let _ = alone.wait().exit(0).stderr("");
    let _ = call(&late.url(), "other", state.path()).run(["true"]).exit(0);
    for job in ["alone", "kept", "other"] {
        let group = gateway.group([("job", job)]).unwrap_or_else(|| panic!("nothing of job '{job}' has arrived"));
        assert_eq!(group.value("x", []).as_deref(), Some("1"), "{job}");
        assert_eq!(group.value("pushwrap_success", []).as_deref(), Some("1"), "{job}");
    }
}

/// Given a state directory and a gateway that is down, when runs of several jobs end, then the outage is said once for all of them,
/// and each time to who asks with -v or requires the push.
#[test]
fn an_outage_is_said_once_where_nothing_is_lost_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let call = |url: &str, job: &str| {
        let call = Pushwrap::new().args(["--url", url, "--job", job, "--instance", "none", "--push-timeout", "2"]);
        call.arg("--state-dir").arg(directory.path().join("state"))
    };
    let reply = |status: &str| Reply::status(status, "later");
    let down = || (0..60).map(|_| reply("503 Service Unavailable"));
    let gateway = FakeGateway::start(down());
    call(&gateway.url(), "a").run(["true"]).exit(0).stderr_has("503 Service Unavailable").stderr_has("it waits in");
    call(&gateway.url(), "a").run(["true"]).exit(0).stderr("");
    call(&gateway.url(), "b").run(["true"]).exit(0).stderr("");
    call(&gateway.url(), "b").arg("-v").run(["true"]).exit(0).stderr_has("503 Service Unavailable");
    call(&gateway.url(), "b").arg("--require-push").run(["true"]).exit(125).stderr_has("503 Service Unavailable");
}

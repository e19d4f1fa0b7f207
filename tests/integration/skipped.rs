//! A run that did not run the job erases nothing of the run that does.

use super::harness::{Pushgateway, Pushwrap, Version, wait_for};
use super::state::{LateGateway, failing, flush, waiting};

const SKIP: [&str; 2] = ["--skip-codes", "75"];

fn value(gateway: &Pushgateway, family: &str) -> Option<String> {
    gateway.group([("job", "j")])?.value(family, [])
}

fn outcome(gateway: &Pushgateway, name: &str) -> Option<String> {
    gateway.group([("job", "j")])?.value("pushwrap_outcome", [("outcome", name)])
}

fn skip(gateway: &Pushgateway, options: &[&str]) {
    let pushwrap = Pushwrap::new().push_to(gateway, "j").args(SKIP).args(options).textfile("skipped_metric 1\n");
    pushwrap.run(["sh", "-c", "exit 75"]).exit(75).stderr("");
}

#[test]
fn a_skipped_run_leaves_the_last_run_and_its_metrics_as_they_are() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        Pushwrap::new().push_to(&gateway, "j").textfile("rows 5\n").run(["false"]).exit(1).stderr("");
        let before = gateway.group([("job", "j")]).unwrap().families();
        for options in [&[][..], &["--replace"], &["--delete-on-success"]] {
            skip(&gateway, options);
            assert_eq!(outcome(&gateway, "failure").as_deref(), Some("1"), "{options:?}");
            assert_eq!(value(&gateway, "rows").as_deref(), Some("5"));
        }
        let mut after = gateway.group([("job", "j")]).unwrap().families();
        after.retain(|family| !before.contains(family));
        assert_eq!(after, ["pushwrap_last_skipped_timestamp_seconds"]);
    }
}

#[test]
fn a_skipped_run_leaves_the_one_that_holds_the_lock_running() {
    let gateway = Pushgateway::start(Version::Newest);
    let holder = Pushwrap::new().push_to(&gateway, "j").args(["--push-interval", "0.2s"]).spawn(["sleep", "60"]);
    wait_for("the heartbeat", || value(&gateway, "pushwrap_running").filter(|running| running == "1"));
    skip(&gateway, &[]);
    assert!(value(&gateway, "pushwrap_last_skipped_timestamp_seconds").is_some());
    assert_eq!(value(&gateway, "pushwrap_running").as_deref(), Some("1"));
    assert_eq!(outcome(&gateway, "skipped"), None);
    holder.kill(nix::sys::signal::Signal::SIGTERM);
    holder.wait();
}

/// Waits until the gateway has its heartbeat, lets `meanwhile` happen, and ends as skipped.
fn skip_after_heartbeat(gateway: &Pushgateway, meanwhile: impl FnOnce()) {
    let pushwrap = Pushwrap::new().push_to(gateway, "j").args(SKIP).args(["--push-interval", "2s"]);
    let go = pushwrap.directory().join("go");
    let script = "while ! [ -e \"$0\" ]; do sleep 0.05; done; exit 75";
    let running = pushwrap.spawn(["sh", "-c", script, go.to_str().unwrap()]);
    wait_for("the heartbeat", || value(gateway, "pushwrap_running").filter(|running| running == "1"));
    meanwhile();
    std::fs::write(go, "").unwrap();
    running.wait().exit(75).stderr("");
}

#[test]
fn a_run_that_waited_for_the_lock_and_skipped_takes_its_heartbeat_back() {
    let gateway = Pushgateway::start(Version::Newest);
    skip_after_heartbeat(&gateway, || {});
    assert_eq!(outcome(&gateway, "skipped").as_deref(), Some("1"));
    assert_eq!(value(&gateway, "pushwrap_running").as_deref(), Some("0"));
    assert!(value(&gateway, "pushwrap_last_skipped_timestamp_seconds").is_some());
}

#[test]
fn a_run_that_waited_for_the_lock_leaves_what_another_run_has_told_since() {
    let gateway = Pushgateway::start(Version::Newest);
    skip_after_heartbeat(&gateway, || {
        gateway.push(
            "POST",
            "job/j",
            "# TYPE pushwrap_start_timestamp_seconds gauge\npushwrap_start_timestamp_seconds 5\n",
        );
    });
    assert_eq!(outcome(&gateway, "skipped"), None);
    assert_eq!(value(&gateway, "pushwrap_start_timestamp_seconds").as_deref(), Some("5"));
    assert_eq!(value(&gateway, "pushwrap_running").as_deref(), Some("1"), "the other run's");
    assert!(value(&gateway, "pushwrap_last_skipped_timestamp_seconds").is_some());
}

/// A skip says less than what waits, and must not be put over it.
#[test]
fn a_skip_that_cannot_be_sent_is_kept_where_nothing_else_of_its_group_waits() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    let skip = || failing(&late.url(), "j", state.path()).args(SKIP).run(["sh", "-c", "exit 75"]).exit(75);
    skip().stderr_has("it waits in");
    failing(&late.url(), "j", state.path()).arg("-v").run(["false"]).exit(1).stderr_has("it waits in");
    skip().stderr_has("the push is not kept: an older push of this group waits, and a skipped run says less\n");
    assert_eq!(waiting(state.path()).len(), 2);
    let gateway = late.start();
    flush(state.path()).call().exit(0).stderr("");
    assert_eq!(outcome(&gateway, "failure").as_deref(), Some("1"));
    assert!(value(&gateway, "pushwrap_last_skipped_timestamp_seconds").is_some());
}

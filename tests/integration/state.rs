//! The state directory: runs are counted exactly, and a push that failed waits until a gateway takes it, whatever happens to
//! pushwrap and its disk in between.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};
use nix::unistd::geteuid;

pub(super) use super::harness::backlog::{files, waiting};
use super::harness::fake::CLOSED_PORT;
use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, InTime as _, Pushgateway, Pushwrap, Reply, Run, Version, wait_for};

/// A run of `{job="…"}` at this address with this state directory.
pub(super) fn run(url: &str, job: &str, state: &Path) -> Pushwrap {
    Pushwrap::new()
        .args(["--url", url, "--job", job, "--instance", "none", "--state-dir"])
        .arg(state)
        .env("PUSHWRAP_PUSH_TIMEOUT", "20")
}

/// The same at a gateway that is down, with as little patience as makes sense.
pub(super) fn failing(url: &str, job: &str, state: &Path) -> Pushwrap {
    run(url, job, state).env("PUSHWRAP_PUSH_TIMEOUT", "1")
}

pub(super) fn flush(state: &Path) -> Pushwrap {
    Pushwrap::new().args(["flush", "--state-dir"]).arg(state)
}

/// The directory of the only group.
pub(super) fn only_group(state: &Path) -> PathBuf {
    let paths = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let [group] = paths.filter(|path| path.file_name().unwrap().len() == 32).collect::<Vec<_>>().try_into().unwrap();
    group
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn number(gateway: &Pushgateway, job: &str, name: &str) -> Option<f64> {
    gateway.group([("job", job)])?.number(name, [])
}

fn runs(gateway: &Pushgateway, job: &str, outcome: &str) -> f64 {
    let group = gateway.group([("job", job)]).unwrap();
    group.number("pushwrap_runs_total", [("outcome", outcome)]).unwrap()
}

/// A gateway that is down first and up later, at the same address: the port is bound all the time, so that no other test can get
/// it, and refuses connections until somebody listens; then it passes everything on.
pub(super) struct LateGateway {
    socket: OwnedFd,
    port: u16,
}

impl LateGateway {
    pub(super) fn new() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
        Self { socket, port: address.port() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn start(&self) -> Pushgateway {
        let gateway = Pushgateway::start(Version::Newest);
        self.pass_on_to(&gateway);
        gateway
    }

    /// From now on there is somebody at the address, and it is this gateway.
    pub(super) fn pass_on_to(&self, gateway: &Pushgateway) {
        listen(&self.socket, Backlog::new(64).unwrap()).unwrap();
        let listener = TcpListener::from(self.socket.try_clone().unwrap());
        let address = gateway.address();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let there = TcpStream::connect(&address).unwrap();
                pass_on(stream.try_clone().unwrap(), there.try_clone().unwrap());
                pass_on(there, stream);
            }
        });
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // An end that went away ends the other one.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn runs_are_counted_by_outcome_and_a_skipped_one_is_no_failure() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let state = tempfile::tempdir().unwrap();
    let one =
        |command: &str| run(&gateway.url(), "j", state.path()).args(["--skip-codes", "75"]).run(["sh", "-c", command]);
    one("exit 1").exit(1).stderr("");
    one("kill -9 $$").signal(9).stderr("");
    one("exit 75").exit(75).stderr("");
    let text = "pushwrap_consecutive_failures 2\npushwrap_runs_total{outcome=\"failure\"} 1\n\
                pushwrap_runs_total{outcome=\"signal\"} 1\npushwrap_runs_total{outcome=\"skipped\"} 1\n\
                pushwrap_runs_total{outcome=\"success\"} 0\n";
    one("exit 1").exit(1).pushed(&gateway, "j", &text.replace("s 2", "s 3").replace("failure\"} 1", "failure\"} 2"));
    one("exit 0").exit(0).pushed(
        &gateway,
        "j",
        "pushwrap_consecutive_failures 0\npushwrap_runs_total{outcome=\"success\"} 1",
    );
    let group = gateway.group([("job", "j")]).unwrap();
    assert_eq!(group.kind("pushwrap_runs_total").unwrap(), "COUNTER");
    run(&gateway.url(), "other", state.path()).run(["true"]).exit(0);
    assert_eq!(number(&gateway, "other", "pushwrap_consecutive_failures"), Some(0.0));
    assert!((runs(&gateway, "other", "success") - 1.0).abs() < 0.1, "jobs are counted apart");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new(), "what was taken does not wait");
}

#[test]
fn runs_at_the_same_time_are_all_counted() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..2 {
                    run(&gateway.url(), "j", state.path()).run(["false"]).exit(1).stderr("");
                }
            });
        }
    });
    run(&gateway.url(), "j", state.path()).run(["sh", "-c", "exit 3"]).exit(3).stderr("").pushed(
        &gateway,
        "j",
        "pushwrap_consecutive_failures 33\npushwrap_runs_total{outcome=\"failure\"} 33\n",
    );
}

#[test]
fn the_directory_is_made_once_the_command_runs_and_is_for_its_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let state = above.path().join("state");
    let run = failing(CLOSED_PORT, "j", &state).run(["true"]).exit(0);
    run.stderr_has(&format!("it waits in '{}' for the next run or 'pushwrap flush'\n", state.display()));
    assert_eq!(mode(&state), 0o700);
    for file in files(&state, "") {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(waiting(&state).len(), 1);
}

#[test]
fn a_push_that_waits_holds_no_credentials_and_they_are_used_when_it_is_sent() {
    let fake = FakeGateway::without_api([Reply::status("401 Unauthorized", ""), Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let with_password = fake.url().replace("http://", "http://me:s3cret@");
    failing(&with_password, "j", state.path()).args(["-H", "X-Key: hidden"]).run(["true"]).exit(0);
    let [file] = waiting(state.path()).try_into().unwrap();
    let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
    assert!(text.contains(&format!("url {}\n", fake.url())), "{text}");
    for secret in ["s3cret", "me:", "hidden", "bWU6czNjcmV0"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    let before = fake.connections();
    let sent = flush(state.path()).args(["--url", &with_password, "-H", "X-Key: hidden"]).call().exit(0).stderr("");
    sent.stdout_has(&format!("{{job=\"j\"}} pushed to '{}' (stored ", fake.url()));
    let request = fake.wait_for_requests(before + 1).pop().unwrap();
    assert_eq!(request.header("authorization").unwrap(), "Basic bWU6czNjcmV0");
    assert_eq!(request.header("x-key").unwrap(), "hidden");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_push_that_only_waits_is_a_failed_one() {
    let state = tempfile::tempdir().unwrap();
    failing(CLOSED_PORT, "j", state.path()).arg("--require-push").run(["true"]).exit(125);
    assert_eq!(waiting(state.path()).len(), 1);
}

#[test]
fn what_the_gateway_refuses_for_its_contents_does_not_wait() {
    let fake = FakeGateway::without_api([Reply::status("400 Bad Request", "nonsense")]);
    let state = tempfile::tempdir().unwrap();
    run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr_has("400 Bad Request").stderr_lacks("it waits");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
    let fake = FakeGateway::without_api([Reply::status("401 Unauthorized", "")]);
    run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr_has("401").stderr_has("it waits");
}

#[test]
fn the_last_success_survives_a_newer_failure() {
    let late = LateGateway::new();
    let state = tempfile::tempdir().unwrap();
    failing(&late.url(), "j", state.path()).textfile("x 1\n").run(["true"]).exit(0);
    failing(&late.url(), "j", state.path()).run(["false"]).exit(1);
    failing(&late.url(), "j", state.path()).run(["sh", "-c", "exit 4"]).exit(4);
    assert_eq!(waiting(state.path()).len(), 3, "one a run");
    let gateway = late.start();
    flush(state.path()).call().exit(0).stderr("").stdout_has("{job=\"j\"} pushed to");
    assert_eq!(number(&gateway, "j", "pushwrap_exit_code"), Some(4.0));
    assert!(number(&gateway, "j", "pushwrap_last_success_timestamp_seconds").is_some());
    assert_eq!(number(&gateway, "j", "x"), Some(1.0), "a gateway keeps what a POST does not name");
    assert!((runs(&gateway, "j", "failure") - 2.0).abs() < 0.1);
}

#[test]
fn the_next_run_takes_along_the_last_success_of_its_group_and_the_pushes_of_others() {
    let late = LateGateway::new();
    let state = tempfile::tempdir().unwrap();
    failing(&late.url(), "a", state.path()).run(["true"]).exit(0);
    failing(&late.url(), "b", state.path()).run(["sh", "-c", "exit 5"]).exit(5);
    failing("http://127.0.0.1:2", "b", state.path()).run(["true"]).exit(0);
    let gateway = late.start();
    let next = run(&late.url(), "a", state.path()).arg("-v").run(["false"]).exit(1);
    next.stderr_has(&format!("{{job=\"b\"}}, which had waited, was pushed to '{}'\n", late.url()));
    assert_eq!(number(&gateway, "a", "pushwrap_exit_code"), Some(1.0));
    assert!(number(&gateway, "a", "pushwrap_last_success_timestamp_seconds").is_some());
    assert_eq!(number(&gateway, "b", "pushwrap_exit_code"), Some(5.0));
    assert_eq!(waiting(state.path()).len(), 1, "the one for a gateway that this run does not know");
}

#[test]
fn a_delete_and_a_replacement_wait_too_and_are_called_what_they_are() {
    for (option, deed, after) in [("--delete-on-success", "deleted", None), ("--replace", "replaced", Some(1.0))] {
        let late = LateGateway::new();
        let state = tempfile::tempdir().unwrap();
        failing(&late.url(), "j", state.path()).arg(option).textfile("x 1\n").run(["true"]).exit(0);
        let said = flush(state.path()).arg("-n").call().exit(0).stderr("");
        said.stdout_has(&format!("{{job=\"j\"}} waits to be {deed} at '{}' (stored ", late.url()));
        let gateway = late.start();
        gateway.push("PUT", "job/j", "old 1\n");
        let said = flush(state.path()).call().exit(0).stderr("");
        said.stdout_has(&format!("{{job=\"j\"}} {deed} at '{}' (stored ", late.url()));
        assert_eq!(number(&gateway, "j", "x"), after);
        assert_eq!(number(&gateway, "j", "old"), None);
    }
}

/// What two runs have left at a gateway that was up all the time, in whatever order their kinds come, is left at one that was
/// down meanwhile.
#[test]
fn a_gateway_that_was_down_holds_in_the_end_what_one_that_was_up_holds() {
    let options: [&[&str]; 3] = [&[], &["--replace"], &["--delete-on-success"]];
    for first in options {
        for second in options {
            let (late, state, up) =
                (LateGateway::new(), tempfile::tempdir().unwrap(), Pushgateway::start(Version::Newest));
            let both = |options: &[&str], metrics: &str| {
                let call = failing(&late.url(), "j", state.path()).args(["-v", "--url", &up.url()]).args(options);
                call.textfile(metrics).run(["true"]).exit(0).stderr_has("it waits in");
            };
            up.push("PUT", "job/j", "old 1\n");
            both(first, "a 1\nb 1\n");
            both(second, "b 2\nc 2\n");
            let gateway = late.start();
            gateway.push("PUT", "job/j", "old 1\n");
            flush(state.path()).call().exit(0).stderr("");
            for name in ["old", "a", "b", "c", "pushwrap_success"] {
                let there = number(&up, "j", name);
                assert_eq!(number(&gateway, "j", name), there, "{name} after {first:?} and {second:?}");
            }
        }
    }
}

/// The gateway refuses what an older run had waiting: the newer run's metrics do not go with it.
#[test]
fn what_is_refused_of_an_older_push_takes_nothing_of_a_newer_one_with_it() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    failing(&late.url(), "j", state.path()).textfile("# TYPE x gauge\nx 1\n").run(["true"]).exit(0);
    let gateway = late.start();
    gateway.push("PUT", "job/other", "# TYPE x counter\nx 1\n");
    let said = run(&late.url(), "j", state.path()).textfile("y 1\n").run(["true"]).exit(0);
    said.stderr_has("pushwrap: a push of {job=\"j\"} that had waited is dropped: ").stderr_has("refused 'x'");
    assert_eq!((number(&gateway, "j", "x"), number(&gateway, "j", "y")), (None, Some(1.0)));
    assert_eq!(number(&gateway, "j", "pushwrap_textfile_errors"), Some(0.0));
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

/// Two groups, the second of which has a metric that the gateway refuses.
fn with_a_refused_metric(late: &LateGateway, state: &Path) -> Pushgateway {
    failing(&late.url(), "good", state).textfile("y 1\n").run(["true"]).exit(0);
    failing(&late.url(), "bad", state).textfile("# TYPE x gauge\nx 1\n").run(["true"]).exit(0);
    let gateway = late.start();
    gateway.push("PUT", "job/other", "# TYPE x counter\nx 1\n");
    gateway
}

#[test]
fn what_is_dropped_of_a_push_that_waited_is_said() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    let gateway = with_a_refused_metric(&late, state.path());
    let said =
        flush(state.path()).call().exit(1).stdout_has("{job=\"good\"} pushed").stdout_has("{job=\"bad\"} pushed");
    let refused = format!("'{}' refused 'x'", late.url());
    said.stderr_has(&format!("pushwrap: {{job=\"bad\"}}: {refused}")).stderr_lacks("good");
    assert_eq!((number(&gateway, "bad", "x"), number(&gateway, "bad", "pushwrap_success")), (None, Some(1.0)));

    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    let _gateway = with_a_refused_metric(&late, state.path());
    let said = run(&late.url(), "next", state.path()).run(["true"]).exit(0).stderr_lacks("good");
    said.stderr_has("pushwrap: {job=\"bad\"}, which had waited: '")
        .stderr_has("and the rest was pushed: another group holds 'x' as a counter");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn flush_is_about_the_gateways_that_are_named() {
    let state = tempfile::tempdir().unwrap();
    for job in ["a", "b"] {
        failing(CLOSED_PORT, job, state.path()).run(["true"]).exit(0);
    }
    let gateway = Pushgateway::start(Version::Newest);
    let said = format!("pushwrap: 2 pushes wait for '{CLOSED_PORT}': name it with --url to send what is for it\n");
    for options in [&["-n"][..], &[]] {
        let named = || flush(state.path()).args(["--url", &gateway.url()]).args(options);
        named().call().exit(0).stdout("").stderr(&said);
        named().arg("-q").call().exit(0).stdout("").stderr("");
    }
    assert_eq!(waiting(state.path()).len(), 2);
}

#[test]
fn a_dry_run_of_flush_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    failing(CLOSED_PORT, "j", state.path()).run(["true"]).exit(0);
    let [push] = waiting(state.path()).try_into().unwrap();
    fs::write(&push, "pushwrap push 1\nnonsense").unwrap();
    let left = fs::File::create(push.with_file_name(".new-killed")).unwrap();
    left.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
    let before = files(state.path(), "");
    let said = format!("pushwrap: '{}' is damaged", push.display());
    flush(state.path()).arg("-n").call().exit(1).stdout("").stderr(&format!("{said}\n"));
    assert_eq!(files(state.path(), ""), before);
    flush(state.path()).call().exit(1).stdout("").stderr(&format!("{said}: it is removed\n"));
    assert_eq!(files(state.path(), "").len(), before.len() - 2);
}

/// A pushwrap that was killed leaves unfinished files, and verdicts that nobody reads any more.
#[test]
fn what_killed_runs_left_is_cleared_away_when_it_is_old_and_nobody_holds_it() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let group = only_group(state.path());
    let [queue] = [files(&group, "/lock").remove(0)].map(|lock| lock.parent().unwrap().to_owned());
    let names = [group.join(".new-x"), queue.join(".new-x"), queue.join("0000000001.refused"), group.join("notes")];
    for path in &names {
        let file = fs::File::create(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(2)).unwrap();
    }
    let fresh = [group.join(".new-y"), queue.join("0000000009.refused")];
    for path in &fresh {
        fs::write(path, "").unwrap();
    }
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let there: Vec<bool> = names.iter().chain(&fresh).map(|path| path.exists()).collect();
    assert_eq!(there, [false, false, false, true, true, true]);
}

#[test]
fn several_gateways_wait_apart() {
    let (up, state) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    failing(CLOSED_PORT, "j", state.path()).args(["--push-timeout", "1", "--url", &up.url()]).run(["true"]).exit(0);
    assert!(up.group([("job", "j")]).is_some());
    let [file] = waiting(state.path()).try_into().unwrap();
    assert!(fs::read_to_string(file).unwrap().contains(&format!("url {CLOSED_PORT}\n")));
    let said = flush(state.path()).args(["--push-timeout", "0.2"]).call().exit(1).stdout("");
    said.stderr_has("a push of {job=\"j\"} waits on: cannot push to 'http://127.0.0.1:1'");
}

/// Given pushes that wait, when nowhere is named as their destination, then nothing is sent and nothing is said.
#[test]
fn flush_to_none_sends_nothing() {
    let state = tempfile::tempdir().unwrap();
    failing(CLOSED_PORT, "a", state.path()).run(["true"]).exit(0);
    flush(state.path()).args(["--url", "none"]).call().exit(0).stdout("").stderr("");
    flush(state.path()).env("PUSHWRAP_URL", "none").args(["-v", "-n"]).call().exit(0).stdout("").stderr("");
    assert_eq!(waiting(state.path()).len(), 1);
}

#[test]
fn flush_says_what_waits_and_when_nothing_does() {
    let state = tempfile::tempdir().unwrap();
    flush(state.path()).call().exit(0).stdout("").stderr("");
    failing(CLOSED_PORT, "j", state.path()).run(["true"]).exit(0);
    let said = flush(state.path()).arg("-n").call().exit(0).stderr("");
    said.stdout_has(&format!("{{job=\"j\"}} waits to be pushed to '{CLOSED_PORT}' (stored "));
    let missing = state.path().join("missing");
    flush(&missing)
        .call()
        .exit(1)
        .stderr(&format!("pushwrap: cannot use state directory '{}': no such file or directory\n", missing.display()));
    assert!(!missing.exists());
    Pushwrap::new().args(["flush", "--push-timeout", "x"]).call().exit(2);
}

/// A waiting push goes out slowly while a newer run of its group ends: at the gateway the newer one is last.
#[test]
fn an_older_push_never_overtakes_a_newer_one() {
    let slow = Reply::ok().after(Duration::from_millis(600));
    // 401 is not tried again, so the script goes on with the flush.
    let fake = FakeGateway::without_api([Reply::status("401 Unauthorized", ""), slow, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    run(&fake.url(), "j", state.path()).textfile("n 1\n").run(["true"]).exit(0).stderr_has("it waits in");
    let flushing = flush(state.path()).start();
    wait_for("the flush to connect", || (fake.connections() >= 2).then_some(()));
    run(&fake.url(), "j", state.path()).textfile("n 2\n").run(["true"]).exit(0).stderr("");
    flushing.wait().exit(0);
    let bodies: Vec<String> = fake.requests().iter().map(super::harness::fake::Request::body).collect();
    let sent: Vec<&str> = bodies.iter().flat_map(|body| body.lines()).filter(|line| line.starts_with("n ")).collect();
    assert_eq!(sent.last(), Some(&"n 2"), "{sent:?}");
    assert_eq!(sent[sent.len() - 2], "n 1", "{sent:?}");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

/// A gateway that is slow has not taken the older push when the newer run's time is up: the newer one waits, it does not overtake.
#[test]
fn a_push_waits_while_an_older_one_of_its_group_is_on_its_way() {
    let slow = Reply::ok().after(Duration::from_secs(4));
    let fake = FakeGateway::without_api([slow, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let older = run(&fake.url(), "j", state.path()).textfile("n 1\n").spawn(["true"]);
    wait_for("the older push to be on its way", || (fake.connections() == 1).then_some(()));
    let newer = run(&fake.url(), "j", state.path()).args(["--push-timeout", "1"]).textfile("n 2\n").run(["true"]);
    newer.exit(0).stderr_has("another pushwrap was still sending a push of this group").stderr_has("it waits in");
    assert_eq!(fake.connections(), 1);
    older.wait().exit(0).stderr("");
    flush(state.path()).call().exit(0).stderr("");
    let bodies: Vec<String> = fake.requests().iter().map(super::harness::fake::Request::body).collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0].contains("\nn 1\n") && bodies[1].contains("\nn 2\n"), "{bodies:?}");
}

/// A heartbeat was left unanswered, so the final push is sent again after two seconds: not over that of a newer run.
#[test]
fn a_final_push_is_not_repeated_over_a_newer_one() {
    let fake = FakeGateway::without_api([Reply::NoAnswer, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let gate = state.path().join("gate");
    let script = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    let older = run(&fake.url(), "j", state.path()).textfile("n 1\n").spawn(["sh", "-c", &script]);
    wait_for("the heartbeat", || (fake.connections() == 1).then_some(()));
    fs::write(gate, "").unwrap();
    wait_for("the final push", || (fake.connections() == 2).then_some(()));
    run(&fake.url(), "j", state.path()).textfile("n 2\n").run(["true"]).exit(0).stderr("");
    older.wait().exit(0);
    let bodies: Vec<String> = fake.requests().iter().map(super::harness::fake::Request::body).collect();
    assert!(bodies.last().unwrap().contains("\nn 2\n"), "{} requests", bodies.len());
}

/// Who is counted last need not be the first to push. A counter that falls is taken for a new one, and all of it for an increase.
#[test]
fn runs_at_the_same_time_let_no_counter_fall() {
    let fake = FakeGateway::without_api([Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr(""));
        }
    });
    let count = |request: &super::harness::fake::Request| -> u64 {
        let body = request.body();
        let count = body.lines().find_map(|line| line.strip_prefix("pushwrap_runs_total{outcome=\"success\"} "));
        count.unwrap().parse().unwrap()
    };
    let counts: Vec<u64> = fake.requests().iter().map(count).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(counts.last(), Some(&48));
}

/// An hour of cron with the gateway down: twenty runs each of three jobs, which run at the same time to save some. Then it is up.
fn an_hour_without_a_gateway(state: &Path, late: &LateGateway) {
    let one = |job: &str, minute: usize| {
        let script =
            format!("echo 'minute {minute}' > $PUSHWRAP_TEXTFILE; exit {}", u8::from(!minute.is_multiple_of(6)));
        failing(&late.url(), job, state).arg("-v").run(["sh", "-c", &script]).stderr_has("it waits in");
    };
    thread::scope(|scope| {
        for (first, job) in ["a", "b", "c"].into_iter().enumerate() {
            scope.spawn(move || (first..60).step_by(3).for_each(|minute| one(job, minute)));
        }
    });
}

/// The state that the last runs of that hour left: job a succeeded in minute 54 and failed in minute 57, b and c always failed.
#[track_caller]
fn assert_the_hour(gateway: &Pushgateway) {
    for (job, minute, success) in [("a", 57.0, 10.0), ("b", 58.0, 0.0), ("c", 59.0, 0.0)] {
        assert_eq!(number(gateway, job, "minute"), Some(minute), "{job}");
        assert!((runs(gateway, job, "success") - success).abs() < 0.1, "{job}");
        assert!((runs(gateway, job, "failure") - (20.0 - success)).abs() < 0.1, "{job}");
        let last = number(gateway, job, "pushwrap_last_success_timestamp_seconds");
        assert_eq!(last.is_some(), success > 0.0, "{job}");
    }
}

#[test]
fn after_an_hour_without_a_gateway_one_flush_brings_it_up_to_date() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    an_hour_without_a_gateway(state.path(), &late);
    // A run that is let go at its deadline leaves the merging to the next one.
    let left = waiting(state.path()).len();
    assert!((3 * 8..=3 * 10).contains(&left), "of 60 pushes the older ones are merged: {left}");
    let gateway = late.start();
    flush(state.path()).call().exit(0).stderr("");
    assert_the_hour(&gateway);
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

#[test]
fn after_an_hour_without_a_gateway_the_next_run_brings_it_up_to_date() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    an_hour_without_a_gateway(state.path(), &late);
    let gateway = late.start();
    // A run sends the pushes of other groups for half a second, which a busy machine may need more than once.
    wait_for("all that waited to be sent", || {
        run(&late.url(), "d", state.path()).run(["true"]).exit(0).stderr("");
        waiting(state.path()).is_empty().then_some(())
    });
    assert_the_hour(&gateway);
}

/// Of 200 runs each is killed at a random moment, or ends before. What one that ended had stored is there, or newer.
#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    let (mut acknowledged, mut ended) = (0, 0);
    for round in 1..=200 {
        let script = format!("echo 'round {round}' > $PUSHWRAP_TEXTFILE");
        let running =
            failing(&late.url(), "j", state.path()).args(["-v", "--push-timeout", "0.02"]).spawn(["sh", "-c", &script]);
        thread::sleep(Duration::from_micros(fastrand::u64(0..80_000)));
        // A run that has ended is a zombie until it is waited for, which a signal does not change.
        running.kill(nix::sys::signal::Signal::SIGKILL);
        let run: Run = running.wait();
        if run.stderr.contains("it waits in") {
            (acknowledged, ended) = (round, ended + 1);
        }
    }
    let names: Vec<PathBuf> = files(state.path(), "");
    let endings = [".push", "/runs", "/lock", "/room", ".mark"];
    let known = |path: &PathBuf| {
        let path = path.to_string_lossy();
        endings.iter().any(|end| path.ends_with(end)) || path.contains("/waiting/")
    };
    let unfinished: Vec<PathBuf> = names.into_iter().filter(|path| !known(path)).collect();
    assert!(unfinished.iter().all(|path| path.to_string_lossy().contains("/.new-")), "{unfinished:?}");
    let gateway = late.start();
    run(&late.url(), "k", state.path()).run(["true"]).exit(0).stderr("");
    // Runs that were killed after they had started their command are said to be lost.
    let flushed = flush(state.path()).call().exit(0);
    assert!(flushed.stderr.lines().all(|line| line.contains(" is lost: its pushwrap")), "{}", flushed.stderr);
    let round = number(&gateway, "j", "round").unwrap_or(0.0);
    assert!(round >= f64::from(acknowledged), "round {round} at the gateway, {acknowledged} was acknowledged");
    run(&late.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let counted = runs(&gateway, "j", "success");
    assert!(counted >= f64::from(ended + 1) && counted <= 201.0, "{counted} counted, {ended} ended");
    assert!(ended > 0, "not one run of 200 ended before it was killed");
}

#[test]
fn two_hundred_runs_leave_two_hundred_groups() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 200 {
                        return;
                    }
                    let call =
                        run(&gateway.url(), &format!("job{number}"), state.path()).args(["--push-timeout", "60"]);
                    let script = format!("echo 'number {number}' > $PUSHWRAP_TEXTFILE");
                    call.run(["sh", "-c", &script]).exit(0).stderr("");
                }
            });
        }
    });
    let groups = gateway.groups();
    assert_eq!(groups.len(), 200);
    for group in groups {
        let labels = group.labels();
        let [(name, job)] = labels.as_slice() else { panic!("{labels:?}") };
        assert_eq!(name, "job");
        assert_eq!(format!("job{}", group.value("number", []).unwrap()), *job);
        assert_eq!(group.value("pushwrap_runs_total", [("outcome", "success")]).as_deref(), Some("1"));
    }
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

fn belongs_to(user: u32) -> String {
    format!(
        "belongs to user {user}, and a state directory is for one user: run as that user, or name another directory"
    )
}

#[test]
fn a_directory_that_cannot_be_used_is_said_and_the_run_reported() {
    let gateway = Pushgateway::start(Version::Newest);
    let above = tempfile::tempdir().unwrap();
    let file = above.path().join("file");
    fs::write(&file, "").unwrap();
    let mut unusable = vec![
        (file.clone(), "it is not a directory".to_owned()),
        (file.join("below"), format!("'{}' is not a directory", file.display())),
    ];
    let foreign = above.path().join("foreign");
    if geteuid().is_root() {
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(1234), None).unwrap();
        unusable.push((foreign, format!("it {}", belongs_to(1234))));
    } else {
        fs::create_dir(&foreign).unwrap();
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o500)).unwrap();
        unusable.push((foreign, "permission denied".to_owned()));
    }
    for (path, why) in unusable {
        let said = format!("pushwrap: cannot use state directory '{}': {why}\n", path.display());
        run(&gateway.url(), "j", &path).run(["true"]).exit(0).stderr(&said).pushed(
            &gateway,
            "j",
            "pushwrap_success 1\n",
        );
        gateway.wipe();
    }
}

/// Several users in one directory: each can still use what is theirs, and gets one message that it is not meant for this.
#[test]
fn files_of_others_are_left_to_them_and_said_once() {
    if !geteuid().is_root() {
        return;
    }
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    for job in ["theirs", "too"] {
        failing(CLOSED_PORT, job, state.path()).run(["true"]).exit(0);
    }
    let given = Command::new("chown")
        .args(["-R", "1234"])
        .args(fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path()))
        .status();
    assert!(given.unwrap().success());
    failing(CLOSED_PORT, "own", state.path()).run(["true"]).exit(0);
    let said = format!("pushwrap: '{}' has a push that {}\n", state.path().display(), belongs_to(1234));
    let own = flush(state.path()).arg("-n").call().exit(1).stderr(&said);
    own.stdout_has("{job=\"own\"} waits").stdout_lacks("theirs");
    let counted = run(&gateway.url(), "theirs", state.path()).run(["true"]).exit(0);
    assert_eq!(counted.stderr.matches(&belongs_to(1234)).count(), 1, "{}", counted.stderr);
    counted.pushed(&gateway, "theirs", "pushwrap_success 1\n");
}

#[test]
fn a_link_in_place_of_a_file_is_said_and_not_followed() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let [counts] = files(state.path(), "/runs").try_into().unwrap();
    let target = state.path().join("target");
    fs::rename(&counts, &target).unwrap();
    std::os::unix::fs::symlink(&target, &counts).unwrap();
    let before = fs::read(&target).unwrap();
    let name = counts.file_name().unwrap().to_string_lossy().into_owned();
    let said = run(&gateway.url(), "j", state.path()).run(["true"]).exit(0);
    said.stderr_has(&format!("'{name}' is a symbolic link, which is not followed: remove it\n"));
    assert_eq!(fs::read(&target).unwrap(), before);
}

/// SIGXFSZ is ignored, so that the limit of the file size is an error of write(2), as a full disk is.
#[test]
fn a_full_disk_loses_nothing_that_waited_and_lets_nothing_overtake() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    failing(&late.url(), "j", state.path()).textfile("x 1\ny 1\n").run(["true"]).exit(0);
    let before = fs::read(&waiting(state.path())[0]).unwrap();
    let full = |command: &str| {
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" --url \"$1\" --job j --instance none --push-timeout 1 \
                      --state-dir \"$2\" --textfile \"$3\" -- sh -c \"$4\"";
        let metrics = tempfile::NamedTempFile::new().unwrap();
        fs::write(metrics.path(), "x 2\n").unwrap();
        let mut call = Command::new("sh");
        call.args(["-c", script]).arg(binary()).arg(late.url()).arg(state.path()).arg(metrics.path()).arg(command);
        let out = call.output_in_time();
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let said = full("exit 3");
    assert!(said.contains("the push is not kept: state directory"), "{said}");
    assert_eq!(fs::read(&waiting(state.path())[0]).unwrap(), before, "what waited is as it was");
    let gateway = late.start();
    let said = full("exit 0");
    assert!(said.contains("the run is not counted: state directory") && said.contains("file too large"), "{said}");
    assert!(!said.contains("not kept"), "it was sent: {said}");
    assert_eq!(number(&gateway, "j", "pushwrap_success"), Some(1.0));
    assert_eq!(number(&gateway, "j", "x"), Some(2.0));
    assert_eq!(number(&gateway, "j", "y"), Some(1.0), "what waited went with it");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new(), "an older push must not follow a newer one");
}

#[test]
fn what_there_is_no_room_for_is_said() {
    let state = tempfile::tempdir().unwrap();
    let other = state.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)));
    fs::File::create(other).unwrap().set_len((64 << 20) - 8000).unwrap();
    let large = (0..1000).fold(String::new(), |text, n| text + &format!("a_metric_with_a_long_name{{n=\"{n}\"}} 1\n"));
    let call = failing(CLOSED_PORT, "j", state.path()).textfile(large);
    call.run(["true"]).exit(0).stderr_has("without the command's metrics: no more than 64 MiB wait there\n");
}

#[test]
fn damaged_files_are_said_once_and_gone() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    failing(&late.url(), "j", state.path()).run(["true"]).exit(0);
    let [push] = waiting(state.path()).try_into().unwrap();
    let [counts] = files(state.path(), "/runs").try_into().unwrap();
    let bytes = fs::read(&push).unwrap();
    fs::write(&push, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&counts, "").unwrap();
    fs::write(state.path().join("README.push"), "not ours").unwrap();
    let gateway = late.start();
    let said = run(&late.url(), "j", state.path()).run(["true"]).exit(0);
    said.stderr_has(&format!("'{}' is damaged: it is removed\n", push.display()))
        .stderr_has(&format!("'{}' is damaged: runs are counted from 0\n", counts.display()))
        .pushed(&gateway, "j", "pushwrap_runs_total{outcome=\"success\"} 1\n");
    run(&late.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    flush(state.path()).call().exit(0).stderr("").stdout("");
    assert!(state.path().join("README.push").exists(), "somebody else's file is left alone");
}

/// Somebody holds the lock for ever: a stopped process, say.
#[test]
fn a_lock_that_is_held_for_ever_hangs_no_run() {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir().unwrap();
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let held = fs::File::open(only_group(state.path()).join("lock")).unwrap();
    held.lock().unwrap();
    for (budget, command, success) in [("10", "false", 0), ("2", "true", 1)] {
        let limit = Duration::from_secs_f64(budget.parse::<f64>().unwrap() + 0.3);
        let call = run(&gateway.url(), "j", state.path()).args(["--push-timeout", budget]);
        let run = call.run([command]).exit(1 - success).within(limit);
        let run = run.stderr_has("the run is not counted yet: another pushwrap keeps");
        run.pushed(&gateway, "j", &format!("pushwrap_success {success}\n"));
    }
    drop(held);
    // Who counts next counts them as what they were.
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    assert_eq!(
        (runs(&gateway, "j", "success"), runs(&gateway, "j", "failure"), runs(&gateway, "j", "lost")),
        (3.0, 1.0, 0.0)
    );
}

#[test]
fn none_keeps_nothing() {
    let run = Pushwrap::new()
        .args(["--url", CLOSED_PORT, "--job", "j", "--push-timeout", "0.1"])
        .env("PUSHWRAP_STATE_DIR", "none");
    run.run(["true"]).exit(0).stderr_lacks("it waits").stderr_lacks("state directory");
    assert!(!Path::new("none").exists());
}

#[test]
fn without_a_gateway_the_printed_metrics_are_counted() {
    let state = tempfile::tempdir().unwrap();
    let one = || Pushwrap::new().args(["--job", "j", "--state-dir"]).arg(state.path()).run(["false"]).exit(1);
    one();
    one().stderr_has("pushwrap_consecutive_failures 2\n").stderr_has("# TYPE pushwrap_runs_total counter\n");
}

//! Runs of one group at the same time with a state directory: who sends what, in which order, and what each of them learns when
//! the gateway refuses or the locks are held.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};

use super::harness::fake::Request;
use super::harness::pushwrap::Running;
use super::harness::{FakeGateway, Pushwrap, Reply, wait_for};
use super::state::{LateGateway, failing, flush, only_group, run, waiting};

fn refusal() -> Reply {
    Reply::status("400 Bad Request", "nonsense")
}

/// What makes a push wait: it is not tried again.
pub(super) fn unauthorized() -> Reply {
    Reply::status("401 Unauthorized", "")
}

/// A gateway that plays this script for a group whose send lock is held here.
struct Turns {
    fake: FakeGateway,
    state: tempfile::TempDir,
    held: Option<File>,
}

impl Turns {
    fn held(script: impl IntoIterator<Item = Reply>) -> Self {
        let fake = FakeGateway::without_api(std::iter::once(unauthorized()).chain(script));
        let (scratch, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(&fake.url(), "j", scratch.path()).run(["true"]).exit(0);
        let [push] = waiting(scratch.path()).try_into().unwrap();
        let queue = state.path().join(push.parent().unwrap().strip_prefix(scratch.path()).unwrap());
        fs::create_dir_all(&queue).unwrap();
        let held = File::create(queue.join("lock")).unwrap();
        held.lock().unwrap();
        Self { fake, state, held: Some(held) }
    }

    /// A run with these metrics that waits for the send lock.
    fn start(&self, metrics: &str) -> Running {
        let call = run(&self.fake.url(), "j", self.state.path()).args(["-v", "--require-push"]);
        let running = call.textfile(metrics).spawn(["true"]);
        let first = metrics.lines().next().unwrap();
        wait_for("the push to be kept", || {
            let kept = waiting(self.state.path()).into_iter().filter_map(|file| fs::read_to_string(file).ok());
            kept.into_iter().find(|text| text.contains(&format!("\n{first}\n")))
        });
        // It is in its place a moment before the run lets go of the lock.
        File::open(only_group(self.state.path()).join("lock")).unwrap().lock().unwrap();
        running
    }

    fn release(&mut self) {
        self.held = None;
    }

    /// The bodies of the requests since then.
    fn bodies(&self) -> Vec<String> {
        self.fake.requests().iter().skip(1).map(Request::body).collect()
    }

    fn waiting(&self) -> Vec<PathBuf> {
        waiting(self.state.path())
    }
}

/// Stops a run that waits for the send lock, so that others are before it.
pub(super) fn stop(running: &Running) {
    running.kill(SIGSTOP);
    wait_for("all threads to be stopped", || {
        let threads = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
        let mut states = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
        states.all(|stat| stat.rsplit(") ").next().unwrap().starts_with('T')).then_some(())
    });
}

/// How often the group had run successfully according to each body.
fn counts(bodies: &[String]) -> Vec<u64> {
    let count = |body: &String| {
        let mut lines = body.lines();
        lines.find_map(|line| line.strip_prefix("pushwrap_runs_total{outcome=\"success\"} ")?.parse().ok())
    };
    bodies.iter().filter_map(count).collect()
}

#[test]
fn two_runs_whose_pushes_are_refused_are_both_told_so() {
    let mut turns = Turns::held([refusal()]);
    let (older, newer) = (turns.start("n 1\n"), turns.start("n 2\n"));
    turns.release();
    for run in [older, newer] {
        run.wait().exit(125).stderr_has("400 Bad Request").stderr_lacks("pushed {").stderr_lacks("it waits");
    }
    let counts = counts(&turns.bodies());
    assert!(counts.is_sorted() && counts.last() == Some(&2), "{counts:?}");
    assert_eq!(turns.waiting(), Vec::<PathBuf>::new());
}

/// The older run sends both pushes as one, which is refused, and then the newer one alone, which is taken.
#[test]
fn an_older_run_neither_drops_nor_covers_the_push_of_a_newer_one() {
    // The whole, and the run's own metrics.
    let mut turns = Turns::held([refusal(), refusal(), Reply::ok()]);
    let (older, newer) = (turns.start("n 1\na 1\n"), turns.start("n 2\n"));
    stop(&newer);
    turns.release();
    older.wait().exit(125).stderr_has("400 Bad Request");
    newer.kill(SIGCONT);
    newer.wait().exit(0).stderr_has("another run has sent it").stderr_has("pushed {").stderr_lacks("dropped");
    let bodies = turns.bodies();
    assert!(bodies.last().unwrap().contains("\nn 2\n") && bodies.len() == 3, "{bodies:#?}");
    assert!(counts(&bodies).is_sorted(), "{bodies:#?}");
    assert_eq!(turns.waiting(), Vec::<PathBuf>::new());
}

#[test]
fn a_run_whose_push_was_refused_with_a_newer_one_does_not_cover_that_one() {
    let mut turns = Turns::held([refusal(), refusal(), Reply::ok()]);
    let (older, newer) = (turns.start("n 1\na 1\n"), turns.start("n 2\n"));
    stop(&older);
    turns.release();
    newer.wait().exit(0).stderr_has("a push of {job=\"j\"} that had waited is dropped: ");
    older.kill(SIGCONT);
    older.wait().exit(125).stderr_has("refused together with a newer push of this group").stderr_lacks("it waits");
    let bodies = turns.bodies();
    assert!(bodies.last().unwrap().contains("\nn 2\n") && bodies.len() == 3, "{bodies:#?}");
    let counts = counts(&bodies);
    assert!(counts.is_sorted() && counts.last() == Some(&2), "{counts:?}");
}

#[test]
fn a_run_whose_metrics_were_refused_with_a_newer_one_s_is_told_so() {
    // The whole and the newer run's alone: of both only the runs' own metrics are taken.
    let mut turns = Turns::held([refusal(), Reply::ok(), refusal(), Reply::ok()]);
    let (older, newer) = (turns.start("n 1\na 1\n"), turns.start("n 2\n"));
    stop(&older);
    turns.release();
    newer.wait().exit(125).stderr_has("refused the command's metrics");
    older.kill(SIGCONT);
    older.wait().exit(125).stderr_has("refused the command's metrics").stderr_has("together with a newer push");
    assert_eq!(turns.bodies().len(), 4);
}

/// A third run comes between: the gateway has its push, which knows nothing of the first one's.
#[test]
fn a_run_whose_push_was_refused_is_told_so_though_a_newer_one_was_taken_since() {
    let mut turns = Turns::held([refusal(), refusal(), refusal(), refusal(), Reply::ok()]);
    let (older, newer) = (turns.start("n 1\na 1\n"), turns.start("n 2\n"));
    stop(&older);
    turns.release();
    newer.wait().exit(125);
    run(&turns.fake.url(), "j", turns.state.path()).textfile("n 3\n").run(["true"]).exit(0).stderr("");
    older.kill(SIGCONT);
    older.wait().exit(125).stderr_has("refused together with a newer push of this group");
    let bodies = turns.bodies();
    assert!(bodies.last().unwrap().contains("\nn 3\n") && bodies.len() == 5, "{bodies:#?}");
}

/// Who waits learns what `flush` got for the push, though a third run has stored its own since.
#[test]
fn a_run_whose_push_was_refused_by_way_of_flush_is_told_so() {
    let mut turns = Turns::held([refusal(), refusal(), unauthorized(), Reply::ok()]);
    let older = turns.start("n 1\na 1\n");
    stop(&older);
    turns.release();
    flush(turns.state.path()).call().exit(1).stderr_has("is dropped: ");
    let newer = run(&turns.fake.url(), "j", turns.state.path()).textfile("n 3\n").run(["true"]);
    newer.exit(0).stderr_has("it waits in");
    older.kill(SIGCONT);
    older.wait().exit(125).stderr_has("400 Bad Request").stderr_lacks("pushed {");
    flush(turns.state.path()).call().exit(0);
    let bodies = turns.bodies();
    assert!(bodies[3].contains("\nn 3\n") && bodies.len() == 4, "{bodies:#?}");
    let counts = counts(&bodies);
    assert!(counts.is_sorted() && counts.last() == Some(&2), "{counts:?}");
}

/// One request is enough for both, and the status is the gateway's.
#[test]
fn a_run_whose_push_went_with_a_newer_one_has_nothing_left_to_send() {
    let mut turns = Turns::held([Reply::status("202 Accepted", "")]);
    let (older, newer) = (turns.start("n 1\na 1\n"), turns.start("n 2\n"));
    stop(&older);
    turns.release();
    newer.wait().exit(0).stderr_has("(202)");
    older.kill(SIGCONT);
    older.wait().exit(0).stderr_has("another run has sent it").stderr_has("(202)");
    let [body] = turns.bodies().try_into().unwrap();
    assert!(body.contains("\nn 2\n") && body.contains("\na 1\n"), "{body}");
}

/// What had waited is refused, and then the gateway has no time: the run's own push must not go with the older one.
#[test]
fn a_push_that_is_not_taken_alone_waits() {
    let fake = FakeGateway::without_api([unauthorized(), refusal(), refusal(), unauthorized(), Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let one = |metrics: &str| run(&fake.url(), "j", state.path()).textfile(metrics).run(["true"]).exit(0);
    one("a 1\n").stderr_has("it waits in");
    one("n 2\n").stderr_has("401 Unauthorized").stderr_has("it waits in");
    flush(state.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to");
    assert!(fake.requests().last().unwrap().body().contains("\nn 2\n"));
}

/// The lock under which waiting pushes are exchanged is held for ever: the newer push cannot be kept, and what waited goes with it.
#[test]
fn an_older_push_never_follows_a_newer_one_that_could_not_be_kept() {
    let fake = FakeGateway::without_api([unauthorized(), Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    run(&fake.url(), "j", state.path()).textfile("n 1\na 1\n").run(["true"]).exit(0).stderr_has("it waits in");
    let held = File::open(only_group(state.path()).join("lock")).unwrap();
    held.lock().unwrap();
    run(&fake.url(), "j", state.path()).args(["--push-timeout", "2"]).textfile("n 2\n").run(["true"]).exit(0);
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new(), "what waited was part of it");
    flush(state.path()).call().exit(0).stdout("").stderr_has("locked");
    drop(held);
    flush(state.path()).call().exit(0).stderr("");
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
    let bodies: Vec<String> = fake.requests().iter().map(Request::body).collect();
    assert_eq!(bodies.len(), 3, "{bodies:#?}");
    assert!(bodies[2].contains("{outcome=\"success\"} 2\n") && !bodies[2].contains("n 1\n"), "{bodies:#?}");
    assert!(bodies[1].contains("\nn 2\n") && bodies[1].contains("\na 1\n"), "{bodies:#?}");
}

/// A gateway that was up would have deleted the group, and then refused the newer push.
#[test]
fn a_deletion_is_done_though_the_newer_push_that_took_its_place_is_refused() {
    for kept in [Kept::Before, Kept::Now] {
        let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
        failing(&late.url(), "j", state.path()).arg("--delete-on-success").run(["true"]).exit(0);
        if kept == Kept::Before {
            failing(&late.url(), "j", state.path()).arg("-v").run(["true"]).exit(0).stderr_has("it waits in");
        }
        let gateway = late.start();
        gateway.push("PUT", "job/other", "# TYPE pushwrap_success counter\npushwrap_success 1\n");
        gateway.push("PUT", "job/j", "old 1\n");
        match kept {
            Kept::Before => flush(state.path()).call().exit(1).stderr_has("is dropped: "),
            Kept::Now => run(&late.url(), "j", state.path()).run(["true"]).exit(0).stderr_has("400 Bad Request"),
        };
        let old = gateway.group([("job", "j")]).and_then(|group| group.number("old", []));
        assert_eq!(old, None, "{kept:?}");
        assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
    }
}

/// When the push that is refused was put over a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// While the gateway was down.
    Before,
    /// When it was up again.
    Now,
}

/// A run that lasts until the file `gate` is there, and whose heartbeats come soon.
fn long_run(fake: &FakeGateway, state: &Path) -> Pushwrap {
    run(&fake.url(), "j", state).args(["--push-interval", "0.1"])
}

fn until(gate: &Path) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("until [ -e {} ]; do sleep 0.05; done", gate.display())]
}

/// Sent after the heartbeat of the next run, the final push of the last one would say that nothing runs.
#[test]
fn what_waits_goes_out_before_the_first_heartbeat_of_a_newer_run() {
    for busy in [vec![], vec![Reply::NoAnswer]] {
        let unanswered = busy.len();
        let fake = FakeGateway::without_api([unauthorized()].into_iter().chain(busy).chain([Reply::ok()]));
        let state = tempfile::tempdir().unwrap();
        let gate = state.path().join("gate");
        run(&fake.url(), "j", state.path()).textfile("n 1\n").run(["true"]).exit(0).stderr_has("it waits in");
        let running = long_run(&fake, state.path()).args(["-v", "--push-timeout", "4"]).spawn(until(&gate));
        // What is not answered in time goes out before the next heartbeat again.
        let requests = fake.wait_for_requests(3 + 2 * unanswered);
        for pair in requests[1..3 + 2 * unanswered].chunks(2) {
            let (older, heartbeat) = (pair[0].body(), pair[1].body());
            assert!(older.contains("pushwrap_running 0\n") && older.contains("\nn 1\n"), "{older}");
            assert!(heartbeat.contains("pushwrap_running 1\n"), "{heartbeat}");
        }
        wait_for("the older push to be removed", || waiting(state.path()).is_empty().then_some(()));
        flush(state.path()).call().exit(0).stdout("");
        fs::write(gate, "").unwrap();
        running.wait().exit(0).stderr_has("{job=\"j\"}, which had waited, was pushed to");
        let bodies = fake.requests().into_iter().map(|request| request.body());
        let finals = bodies.skip(2 + 2 * unanswered).filter(|body| body.contains("pushwrap_running 0\n")).count();
        assert_eq!(finals, 1 + unanswered, "what was left unanswered may come late: the final push is repeated");
    }
}

#[test]
fn what_waits_and_cannot_be_sent_delays_no_heartbeat_and_stays() {
    let fake = FakeGateway::without_api([unauthorized(), unauthorized(), Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let gate = state.path().join("gate");
    run(&fake.url(), "j", state.path()).textfile("n 1\n").run(["true"]).exit(0).stderr_has("it waits in");
    let running = long_run(&fake, state.path()).spawn(until(&gate));
    assert!(fake.wait_for_requests(3)[2].body().contains("pushwrap_running 1\n"));
    fs::write(gate, "").unwrap();
    running.wait().exit(0);
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
}

/// The time for a push begins when it has the send lock: what another pushwrap took is no fault of the gateway.
#[test]
fn a_flush_that_waited_for_its_turn_has_all_of_its_time_for_the_gateway() {
    let fake = FakeGateway::without_api([unauthorized(), Reply::ok().after(Duration::from_millis(1200))]);
    let state = tempfile::tempdir().unwrap();
    run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr_has("it waits in");
    let push = waiting(state.path()).pop().unwrap();
    let held = File::create(push.with_file_name("lock")).unwrap();
    held.lock().unwrap();
    let flushing = flush(state.path()).args(["--push-timeout", "4"]).start();
    thread::sleep(Duration::from_millis(2500));
    drop(held);
    flushing.wait().exit(0).stderr("").stdout_has("{job=\"j\"} pushed to");
}

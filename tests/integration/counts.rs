//! Every run is counted exactly once, as what it was or as lost, whenever its pushwrap is killed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal::SIGKILL;

use super::harness::{InTime as _, Pushgateway, Version, wait_for};
use super::state::{LateGateway, failing, files, flush, only_group, run, waiting};

/// The mark of a run is written at once after its command has started, by another thread. A run that is killed before that is not
/// counted. This is how long it may take on a busy machine.
const UNMARKED_FOR_AT_MOST: Duration = Duration::from_millis(250);

fn runs(gateway: &Pushgateway, outcome: &str) -> u64 {
    let group = gateway.group([("job", "j")]);
    let number = group.and_then(|group| group.value("pushwrap_runs_total", [("outcome", outcome)]));
    number.map_or(0, |number| number.parse().unwrap())
}

fn all_runs(gateway: &Pushgateway) -> u64 {
    let outcomes = ["success", "failure", "skipped", "signal", "timeout", "oom_killed", "not_started", "terminated"];
    outcomes.iter().chain(&["lost"]).map(|outcome| runs(gateway, outcome)).sum()
}

fn failures(gateway: &Pushgateway) -> Option<String> {
    gateway.group([("job", "j")])?.value("pushwrap_consecutive_failures", [])
}

/// Kills a run once its mark is there.
fn lose_a_run(url: &str, state: &Path) {
    let running = run(url, "j", state).spawn(["sleep", "0.3"]);
    wait_for("the mark", || files(state, ".mark").pop());
    running.kill(SIGKILL);
    running.wait().signal(9);
}

#[test]
fn flush_counts_a_run_whose_pushwrap_was_killed_and_pushes_the_counts() {
    for version in Version::ALL {
        let (gateway, state) = (Pushgateway::start(version), tempfile::tempdir().unwrap());
        lose_a_run(&gateway.url(), state.path());
        let said = flush(state.path()).call().exit(0);
        said.stderr_has("pushwrap: a run of {job=\"j\"} that began at ").stderr_has("is lost: its pushwrap (process ");
        assert_eq!((runs(&gateway, "lost"), all_runs(&gateway)), (1, 1));
        assert_eq!(failures(&gateway).as_deref(), Some("1"));
        flush(state.path()).call().exit(0).stdout("").stderr("");
        assert_eq!((runs(&gateway, "lost"), failures(&gateway).as_deref()), (1, Some("1")));
        assert_eq!((waiting(state.path()), files(state.path(), ".mark")), (Vec::new(), Vec::<PathBuf>::new()));
        run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
        assert_eq!((runs(&gateway, "lost"), runs(&gateway, "success")), (1, 1));
        assert_eq!(failures(&gateway).as_deref(), Some("0"));
    }
}

/// A run that was killed tells nothing but its counts: the last one that ended stays at the gateway, under its own prefix too.
#[test]
fn the_counts_of_a_lost_run_are_all_that_is_pushed_of_it() {
    let (gateway, state) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    let one = || run(&gateway.url(), "j", state.path()).args(["--prefix", "nightly_"]);
    one().textfile("rows 5\n").run(["sh", "-c", "exit 3"]).exit(3);
    let before = gateway.group([("job", "j")]).unwrap().families();
    let running = one().spawn(["sleep", "0.3"]);
    wait_for("the mark", || files(state.path(), ".mark").pop());
    running.kill(SIGKILL);
    running.wait().signal(9);
    flush(state.path()).call().exit(0).stderr_has(" is lost: ");
    let group = gateway.group([("job", "j")]).unwrap();
    assert_eq!(group.families(), before);
    let value = |name: &str| group.value(name, []).unwrap();
    assert_eq!(
        (value("rows"), value("nightly_exit_code"), value("nightly_consecutive_failures")),
        ("5".to_owned(), "3".to_owned(), "2".to_owned())
    );
}

/// What waits of the runs before is pushed as well.
#[test]
fn the_counts_of_a_lost_run_take_nothing_away_of_what_waits() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    failing(&late.url(), "j", state.path()).textfile("rows 5\n").run(["sh", "-c", "exit 3"]).exit(3);
    lose_a_run(&late.url(), state.path());
    let gateway = late.start();
    flush(state.path()).call().exit(0).stderr_has(" is lost: ");
    assert_eq!((runs(&gateway, "failure"), runs(&gateway, "lost")), (1, 1));
    let group = gateway.group([("job", "j")]).unwrap();
    assert_eq!(group.value("pushwrap_exit_code", []).as_deref(), Some("3"));
    assert_eq!(group.value("rows", []).as_deref(), Some("5"));
}

/// The first run has to make the directory, and can be lost as any other.
#[test]
fn the_very_first_run_is_counted_as_lost_too() {
    let (gateway, above) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    let state = above.path().join("state");
    let running = run(&gateway.url(), "j", &state).spawn(["sleep", "0.3"]);
    wait_for("the mark", || state.is_dir().then(|| files(&state, ".mark").pop()).flatten());
    running.kill(SIGKILL);
    running.wait().signal(9);
    run(&gateway.url(), "j", &state).run(["true"]).exit(0).stderr_has(" is lost: ");
    assert_eq!((runs(&gateway, "lost"), runs(&gateway, "success")), (1, 1));
}

/// One run that is killed after `delay`, and whose command fails after a moment.
struct Killed {
    /// From the command's own start to the kill; `None` where the command was never started.
    after_start: Option<Duration>,
}

impl Killed {
    fn after(delay: Duration, url: &str, state: &Path) -> Self {
        let call = run(url, "j", state);
        let (mut command, _directory) = call.args(["--", "sh", "-c", "date +%s%N; sleep 0.02; exit 3"]).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        thread::sleep(delay);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // The command goes on without its pushwrap. The end of its output is its own.
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        let began = output.trim().parse().ok().map(Duration::from_nanos);
        Self { after_start: began.map(|began| at.saturating_sub(began)) }
    }
}

/// Whether a run or `flush` follows on a run that was killed.
#[test]
fn each_of_fifty_runs_that_are_killed_at_any_moment_is_counted_exactly_once() {
    let (gateway, state) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    let whole = || {
        let began = Instant::now();
        run(&gateway.url(), "j", state.path()).run(["sh", "-c", "date +%s%N; sleep 0.02; exit 3"]).exit(3);
        began.elapsed()
    };
    let length = (0..3).map(|_| whole()).min().unwrap();
    let mut random = fastrand::Rng::with_seed(1511);
    let (mut counted, mut unmarked, mut unstarted) = (3, 0, 0);
    for round in 0..50 {
        let delay = length.mul_f64(random.f64() * 1.2);
        let Killed { after_start } = Killed::after(delay, &gateway.url(), state.path());
        let own = if random.bool() {
            run(&gateway.url(), "j", state.path()).run(["true"]).exit(0);
            1
        } else {
            flush(state.path()).call().exit(0);
            0
        };
        let more = all_runs(&gateway) - counted - own;
        counted += more + own;
        assert!(
            more <= 1,
            "round {round}: a run that was killed after {delay:?} of {length:?} is counted {more} times"
        );
        match after_start {
            None if more == 0 => unstarted += 1,
            Some(after) if more == 0 => {
                unmarked += 1;
                assert!(after < UNMARKED_FOR_AT_MOST, "round {round}: killed after {after:?}, and not counted");
            }
            _ => {}
        }
    }
    assert!(runs(&gateway, "lost") > 0, "not one of them was killed while its command ran");
    assert!(unmarked < 25 && unstarted < 45, "{unmarked} without a mark, {unstarted} without a command");
    assert_eq!((waiting(state.path()), files(state.path(), ".mark")), (Vec::new(), Vec::<PathBuf>::new()));
    let last = fs::read_to_string(files(state.path(), "/runs").pop().unwrap()).unwrap();
    assert!(last.contains(&format!("lost {}\n", runs(&gateway, "lost"))), "{last}");
}

/// The run has ended and reported itself: who can use the directory later counts it as what it was.
#[test]
fn a_run_whose_state_directory_cannot_be_used_at_its_end_is_not_counted_as_lost() {
    let (gateway, above) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    let state = above.path().join("state");
    let script = "until [ -e state/*/*.mark ]; do sleep 0.02; done; mv state aside; : >state; exit 3";
    let call = run(&gateway.url(), "j", &state).current_dir(above.path());
    call.run(["sh", "-c", script]).exit(3).stderr_has("it is not a directory");
    fs::remove_file(&state).unwrap();
    fs::rename(above.path().join("aside"), &state).unwrap();
    run(&gateway.url(), "j", &state).run(["true"]).exit(0).stderr("");
    assert_eq!((runs(&gateway, "lost"), runs(&gateway, "failure"), runs(&gateway, "success")), (0, 1, 1));
}

/// Whatever cannot be read for want of descriptors is not guessed: neither the outcome of a run that is to be counted nor the place of
/// a push behind those that wait.
#[test]
fn with_few_descriptors_no_run_is_lost_and_no_push_is_put_before_an_older_one() {
    thread::scope(|scope| {
        for descriptors in 5..=12 {
            scope.spawn(move || count_with_few_descriptors(descriptors));
        }
    });
}

/// Two pushes wait, and a run is to be counted, when one with so few descriptors ends.
fn count_with_few_descriptors(descriptors: u32) {
    let (late, state) = ([LateGateway::new(), LateGateway::new()], tempfile::tempdir().unwrap());
    let one = || failing(&late[0].url(), "j", state.path()).args(["--url", &late[1].url(), "-v"]);
    for _ in 0..2 {
        one().run(["sh", "-c", "exit 3"]).exit(3).stderr_has("it waits in");
    }
    let held = File::open(only_group(state.path()).join("lock")).unwrap();
    held.lock().unwrap();
    one().run(["sh", "-c", "exit 5"]).exit(5).stderr_has("the run is not counted yet");
    drop(held);
    let (call, _directory) = one().args(["--", "sh", "-c", "exit 4"]).command();
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]).arg(call.get_program());
    limited.args(call.get_args()).env_clear().env("PATH", "/usr/bin:/bin").env("PUSHWRAP_PUSH_TIMEOUT", "1");
    let out = limited.output_in_time();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(4), "{descriptors}: {said}");
    let is_kept = said.matches("it waits in").count() == 2;
    let gateways = late.each_ref().map(LateGateway::start);
    flush(state.path()).call().exit(0).stderr("");
    for gateway in &gateways {
        let group = gateway.group([("job", "j")]).unwrap();
        let code = if is_kept { Some(4.0) } else { group.number("pushwrap_exit_code", []) };
        assert_eq!(group.number("pushwrap_exit_code", []), code, "{descriptors}: {said}");
        assert_eq!(runs(gateway, "lost"), 0, "{descriptors}: {said}");
    }
    run(&gateways[0].url(), "j", state.path()).run(["true"]).exit(0).stderr_lacks("is lost");
    let counted = if said.contains("the run is not counted:") { 3 } else { 4 };
    let there = (runs(&gateways[0], "lost"), runs(&gateways[0], "failure"));
    assert_eq!(there, (0, counted), "{descriptors}: {said}");
}

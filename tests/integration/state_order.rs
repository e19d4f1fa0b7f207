//! Runs that are counted and whose pushes are not kept: they are sent in any order, and no counter falls by that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal::SIGCONT;

use super::harness::fake::Request;
use super::harness::pushwrap::Running;
use super::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, wait_for};
use super::state::{LateGateway, failing, files, flush, only_group, run, waiting};
use super::state_turns::{stop, unauthorized};

/// A group of which a push waits, and whose send lock is held here.
struct WaitingPush {
    state: tempfile::TempDir,
    held: Option<File>,
}

impl WaitingPush {
    /// After a run that failed with status 3, and whose push `gateway` does not take.
    fn at(gateway: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let first = failing(gateway, "j", state.path()).textfile("n 1\n").run(["sh", "-c", "exit 3"]);
        first.exit(3).stderr_has("it waits in");
        let lock = waiting(state.path()).pop().unwrap().with_file_name("lock");
        let held = File::open(lock).unwrap();
        held.lock().unwrap();
        Self { state, held: Some(held) }
    }

    fn path(&self) -> &Path {
        self.state.path()
    }

    /// A run that ends with this status and stands still before it sends, because the lock is held. It is the `number`th of its
    /// `outcome`.
    fn stopped(&self, pushwrap: Pushwrap, status: i32, (outcome, number): (&str, u64)) -> Running {
        let running = self.counted(pushwrap, status, (outcome, number));
        stop(&running);
        running
    }

    /// The same, and it goes on as soon as it gets the lock.
    fn counted(&self, pushwrap: Pushwrap, status: i32, (outcome, number): (&str, u64)) -> Running {
        let running = pushwrap.args(["--skip-codes", "75"]).spawn(["sh", "-c", &format!("exit {status}")]);
        let line = format!("\n{outcome} {number}\n");
        wait_for("the run to be counted", || {
            fs::read_to_string(only_group(self.path()).join("runs")).unwrap().contains(&line).then_some(())
        });
        // The run holds the lock of the group until its push is stored, or is known not to be.
        File::open(only_group(self.path()).join("lock")).unwrap().lock().unwrap();
        running
    }

    fn run(&self, url: &str) -> Pushwrap {
        run(url, "j", self.path()).env("PUSHWRAP_PUSH_TIMEOUT", "60")
    }

    fn release(&mut self) {
        self.held = None;
    }
}

/// The number of runs with this outcome in each request.
fn counts(fake: &FakeGateway, outcome: &str) -> Vec<u64> {
    let name = format!("pushwrap_runs_total{{outcome=\"{outcome}\"}} ");
    let bodies: Vec<String> = fake.requests().iter().map(Request::body).collect();
    bodies.iter().flat_map(|body| body.lines()).filter_map(|line| line.strip_prefix(&name)?.parse().ok()).collect()
}

fn value(gateway: &Pushgateway, name: &str) -> Option<f64> {
    gateway.group([("job", "j")])?.number(&format!("pushwrap_{name}"), [])
}

fn total(gateway: &Pushgateway, outcome: &str) -> Option<f64> {
    gateway.group([("job", "j")])?.number("pushwrap_runs_total", [("outcome", outcome)])
}

/// Leaves no room in a state directory.
fn fill(state: &Path) {
    let other = state.join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)));
    File::create(other).unwrap().set_len(64 << 20).unwrap();
    fs::remove_file(state.join("room")).unwrap();
}

/// Neither is stored, because an older push waits. The one that was counted first comes last to the gateway.
#[test]
fn of_two_skipped_runs_the_count_of_the_later_one_stands() {
    let fake = FakeGateway::without_api([unauthorized(), Reply::ok()]);
    let mut group = WaitingPush::at(&fake.url());
    let older = group.stopped(group.run(&fake.url()), 75, ("skipped", 1));
    let newer = group.counted(group.run(&fake.url()), 75, ("skipped", 2));
    group.release();
    newer.wait().exit(75).stderr("");
    older.kill(SIGCONT);
    older.wait().exit(75).stderr("");
    let counts = counts(&fake, "skipped");
    assert!(counts.is_sorted() && counts.last() == Some(&2), "{counts:?}");
}

/// A run that is not stored tells what only it can tell, and takes nothing away from the newer run.
#[test]
fn a_skipped_run_that_comes_late_tells_its_time_and_no_more() {
    let late = LateGateway::new();
    let mut group = WaitingPush::at(&late.url());
    let older = group.stopped(group.run(&late.url()), 75, ("skipped", 1));
    let gateway = late.start();
    let newer = group.counted(group.run(&late.url()), 4, ("failure", 2));
    group.release();
    newer.wait().exit(4).stderr("");
    assert_eq!(value(&gateway, "last_skipped_timestamp_seconds"), None);
    older.kill(SIGCONT);
    older.wait().exit(75).stderr("");
    assert_eq!((total(&gateway, "failure"), total(&gateway, "skipped")), (Some(2.0), Some(1.0)));
    assert_eq!(value(&gateway, "exit_code"), Some(4.0));
    assert!(value(&gateway, "last_skipped_timestamp_seconds").is_some());
}

#[test]
fn the_time_of_the_last_skipped_run_stands_though_an_earlier_one_comes_later() {
    let late = LateGateway::new();
    let mut group = WaitingPush::at(&late.url());
    let older = group.stopped(group.run(&late.url()), 75, ("skipped", 1));
    let gateway = late.start();
    let newer = group.counted(group.run(&late.url()), 75, ("skipped", 2));
    group.release();
    newer.wait().exit(75).stderr("");
    let time = value(&gateway, "last_skipped_timestamp_seconds");
    older.kill(SIGCONT);
    older.wait().exit(75).stderr("");
    assert_eq!((value(&gateway, "last_skipped_timestamp_seconds"), total(&gateway, "skipped")), (time, Some(2.0)));
    assert!(time.is_some());
}

/// There is no room for either of them.
#[test]
fn a_success_that_comes_after_a_newer_failure_is_known_as_the_last_success() {
    for option in [&[][..], &["--replace"], &["--delete-on-success"]] {
        let late = LateGateway::new();
        let mut group = WaitingPush::at(&late.url());
        fill(group.path());
        let call = group.run(&late.url()).args(option).arg("--require-push");
        let older = group.stopped(call.textfile("rows 1\n"), 0, ("success", 1));
        let gateway = late.start();
        let newer = group.counted(group.run(&late.url()), 4, ("failure", 2));
        group.release();
        newer.wait().exit(4).stderr("");
        older.kill(SIGCONT);
        older.wait().exit(125).stderr_has("a newer run of this group was reported first, and its report stands");
        assert_eq!((total(&gateway, "failure"), total(&gateway, "success")), (Some(2.0), Some(1.0)), "{option:?}");
        assert_eq!((value(&gateway, "exit_code"), value(&gateway, "success")), (Some(4.0), Some(0.0)), "{option:?}");
        let success = value(&gateway, "last_success_timestamp_seconds");
        assert_eq!(success.is_some(), option != ["--delete-on-success"], "{option:?}");
    }
}

/// What came after it reported no run but a skipped one.
#[test]
fn a_run_that_comes_after_a_newer_skipped_one_is_reported_without_counts() {
    let late = LateGateway::new();
    let mut group = WaitingPush::at(&late.url());
    fill(group.path());
    let older = group.stopped(group.run(&late.url()), 4, ("failure", 2));
    let gateway = late.start();
    let newer = group.counted(group.run(&late.url()), 75, ("skipped", 1));
    group.release();
    newer.wait().exit(75).stderr("");
    older.kill(SIGCONT);
    older.wait().exit(4).stderr("");
    assert_eq!((total(&gateway, "failure"), total(&gateway, "skipped")), (Some(2.0), Some(1.0)));
    assert_eq!(value(&gateway, "exit_code"), Some(4.0));
}

/// The newer run is stored and waits on, so that the older one sends both.
#[test]
fn a_run_that_is_not_stored_is_put_before_the_newer_ones_that_wait() {
    let fake = FakeGateway::without_api([unauthorized(), unauthorized(), Reply::ok()]);
    let mut group = WaitingPush::at(&fake.url());
    let older = group.stopped(group.run(&fake.url()), 75, ("skipped", 1));
    let newer = group.counted(group.run(&fake.url()).textfile("n 2\n"), 4, ("failure", 2));
    group.release();
    newer.wait().exit(4).stderr_has("401 Unauthorized");
    older.kill(SIGCONT);
    older.wait().exit(75).stderr("");
    let last = fake.requests().pop().unwrap().body();
    assert!(last.contains("\nn 2\n") && last.contains("pushwrap_exit_code 4\n"), "{last}");
    assert!(last.contains("pushwrap_last_skipped_timestamp_seconds "), "{last}");
    assert_eq!((counts(&fake, "failure").last(), counts(&fake, "skipped").last()), (Some(&2), Some(&1)), "{last}");
    assert_eq!(waiting(group.path()), Vec::<PathBuf>::new());
}

/// The gateway may have taken what it has left unanswered, with the count of a run that is stored nowhere.
#[test]
fn what_waits_tells_no_counts_that_a_newer_run_may_have_told() {
    let fake = FakeGateway::without_api([unauthorized(), Reply::NoAnswer, Reply::ok()]);
    let mut group = WaitingPush::at(&fake.url());
    group.release();
    let skip = || failing(&fake.url(), "j", group.path()).args(["--skip-codes", "75"]).run(["sh", "-c", "exit 75"]);
    skip().exit(75).stderr_has("the push is not kept");
    let unanswered = fake.connections();
    flush(group.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to");
    let flushed = fake.requests()[unanswered].body();
    assert!(flushed.contains("\nn 1\n") && flushed.contains("pushwrap_exit_code 3\n"), "{flushed}");
    group.run(&fake.url()).run(["true"]).exit(0);
    let counts = counts(&fake, "skipped");
    assert!(counts.is_sorted() && counts.last() == Some(&1), "{counts:?}");
}

/// The gateway has not taken it: nothing is held back.
#[test]
fn what_waits_tells_its_counts_where_a_newer_run_reached_nobody() {
    let fake = FakeGateway::without_api([unauthorized(), unauthorized(), Reply::ok()]);
    let mut group = WaitingPush::at(&fake.url());
    group.release();
    let skip = || failing(&fake.url(), "j", group.path()).args(["--skip-codes", "75"]).run(["sh", "-c", "exit 75"]);
    skip().exit(75).stderr_has("the push is not kept");
    flush(group.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to");
    assert_eq!(counts(&fake, "failure").last(), Some(&1));
    assert_eq!(counts(&fake, "failure").len(), 3);
}

/// The numbers of runs go on where the counts begin anew: a run is not taken for an old one.
#[test]
fn a_run_is_pushed_though_the_counts_were_lost() {
    for is_damaged in [true, false] {
        let (fake, state) = (FakeGateway::without_api([Reply::ok()]), tempfile::tempdir().unwrap());
        let one = || run(&fake.url(), "j", state.path()).run(["true"]).exit(0);
        for _ in 0..3 {
            one().stderr("");
        }
        fill(state.path());
        let runs = only_group(state.path()).join("runs");
        if is_damaged {
            fs::write(runs, "nonsense").unwrap();
        } else {
            fs::remove_file(runs).unwrap();
        }
        one();
        one();
        assert_eq!(counts(&fake, "success"), [1, 2, 3, 1, 2]);
    }
}

/// node_exporter may read the file at any time.
#[test]
fn in_the_file_of_output_no_counter_falls_either() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("j.prom");
    let one = |status: &str| {
        let call = Pushwrap::new().args(["--job", "j", "--instance", "none", "--skip-codes", "75", "--state-dir"]);
        call.arg(state.path()).arg("--output").arg(&file).run(["sh", "-c", &format!("exit {status}")]);
    };
    let sum = || -> u64 {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let counts = text.lines().filter(|line| line.starts_with("pushwrap_runs_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let now = sum();
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                thread::yield_now();
            }
            seen
        });
        thread::scope(|scope| {
            for lane in 0..6 {
                let one = &one;
                scope.spawn(move || (0..8).for_each(|run| one(if (lane + run) % 2 == 0 { "75" } else { "4" })));
            }
        });
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(sum(), 48);
}

/// Where nobody can write down which run was the last, a run reports itself and leaves the counts as they are.
#[test]
fn a_run_that_cannot_write_its_number_down_leaves_the_counts_in_the_file_of_output() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = directory.path().join("j.prom");
    let one = |status: i32| {
        let call = Pushwrap::new().args(["--job", "j", "--instance", "none", "--state-dir"]).arg(state.path());
        call.arg("--output").arg(&file).run(["sh", "-c", &format!("exit {status}")]).exit(status).stderr("");
        let text = fs::read_to_string(&file).unwrap();
        let number = |name: &str| -> u32 {
            text.lines().find_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse().ok()).unwrap()
        };
        (number("pushwrap_exit_code{"), number("pushwrap_runs_total{outcome=\"failure\""))
    };
    assert_eq!(one(3), (3, 1));
    let locks = files(&only_group(state.path()), "/lock");
    let lock = locks.iter().find(|lock| lock.parent().unwrap() != only_group(state.path())).unwrap();
    fs::remove_file(lock).unwrap();
    fs::create_dir(lock).unwrap();
    assert_eq!(one(4), (4, 1));
    fs::remove_dir(lock).unwrap();
    assert_eq!(one(5), (5, 3));
}

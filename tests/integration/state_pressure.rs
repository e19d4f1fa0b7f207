//! The state directory under pressure: newer state at the gateway, pushes that were given up, large metrics, many waiting pushes of
//! others, limits of size and age.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal::SIGKILL;

use super::harness::backlog::{leave_backlog, rewrite};
use super::harness::fake::CLOSED_PORT;
use super::harness::pushwrap::is_debug_build;
use super::harness::{FakeGateway, Pushgateway, Reply, Version, wait_for};
use super::state::{LateGateway, failing, files, flush, only_group, run, waiting};

fn samples(number: usize) -> String {
    (0..number).fold(String::new(), |text, n| text + &format!("a_metric_with_a_long_name{{n=\"{n}\"}} 1\n"))
}

/// The gateway has the push, and pushwrap is killed before it knows.
#[test]
fn a_final_push_is_on_disk_before_it_is_sent() {
    let fake = FakeGateway::without_api([Reply::NoAnswer, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let running = run(&fake.url(), "j", state.path()).textfile("n 1\n").spawn(["true"]);
    wait_for("the push", || (fake.connections() == 1).then_some(()));
    running.kill(SIGKILL);
    running.wait().signal(9);
    assert_eq!(waiting(state.path()).len(), 1);
    flush(state.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to").stderr("");
    assert!(fake.requests().last().unwrap().body().contains("\nn 1\n"));
}

/// Another host, or another directory, has reported a newer run of the group since.
#[test]
fn a_push_that_waited_does_not_overwrite_what_a_newer_run_has_told() {
    for option in [&[][..], &["--replace"], &["--delete-on-success"]] {
        for by_flush in [true, false] {
            let (late, here, there) = (LateGateway::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            failing(&late.url(), "j", here.path()).args(option).textfile("n 1\nold 1\n").run(["true"]).exit(0);
            let gateway = late.start();
            run(&gateway.url(), "j", there.path()).textfile("n 2\n").run(["sh", "-c", "exit 3"]).exit(3);
            let dropped =
                "a push of {job=\"j\"} that had waited is dropped: the gateway has the metrics of a newer run\n";
            let code = if by_flush {
                flush(here.path()).call().exit(0).stdout("").stderr(&format!("pushwrap: {dropped}"));
                Some(3.0)
            } else {
                run(&late.url(), "j", here.path()).run(["sh", "-c", "exit 4"]).exit(4).stderr_has(dropped);
                Some(4.0)
            };
            let group = gateway.group([("job", "j")]).unwrap();
            let number = |name: &str| group.number(name, []);
            assert_eq!((number("n"), number("old")), (Some(2.0), None), "{option:?}");
            assert_eq!(number("pushwrap_exit_code"), code, "{option:?}");
            let success = number("pushwrap_last_success_timestamp_seconds");
            assert_eq!(success.is_some(), option != ["--delete-on-success"], "{option:?}");
            assert_eq!(waiting(here.path()), Vec::<PathBuf>::new());
        }
    }
}

/// The gateway may still apply what it left unanswered: after the next run's push, and then that one must come again.
#[test]
fn the_next_run_repeats_its_push_where_one_was_given_up_unanswered() {
    let fake = FakeGateway::without_api([Reply::NoAnswer, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let one = |timeout: &str, metrics: &str| {
        let call = run(&fake.url(), "j", state.path()).args(["--push-timeout", timeout]);
        call.textfile(metrics).run(["true"]).exit(0)
    };
    one("1", "n 1\n").stderr_has("it waits in");
    let before = fake.connections();
    one("20", "n 2\n").stderr("");
    let bodies: Vec<String> = fake.requests().iter().map(super::harness::fake::Request::body).collect();
    let newer = bodies[before..].iter().filter(|body| body.contains("\nn 2\n")).count();
    assert_eq!(newer, 2, "{bodies:#?}");
    one("20", "n 3\n").stderr("");
    assert_eq!(fake.connections(), before + 3, "that one was answered");
}

/// A process that is killed while it sends has no time to say so: it notes that it sends before it does.
#[test]
fn the_next_run_repeats_its_push_where_a_run_was_killed_while_it_sent() {
    let fake = FakeGateway::without_api([Reply::NoAnswer, Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    let killed = run(&fake.url(), "j", state.path()).textfile("n 1\n").spawn(["true"]);
    wait_for("the push", || (fake.connections() == 1).then_some(()));
    killed.kill(SIGKILL);
    killed.wait().signal(9);
    for flushed in [true, false] {
        if flushed {
            flush(state.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to");
        }
        let before = fake.connections();
        run(&fake.url(), "j", state.path()).textfile("n 2\n").run(["true"]).exit(0).stderr("");
        let sent = fake.connections() - before;
        assert_eq!(sent, if flushed { 2 } else { 1 }, "once, whoever has sent it meanwhile");
    }
}

/// It may arrive after others with higher counts.
#[test]
fn a_push_that_is_not_kept_and_cannot_wait_for_its_turn_tells_no_counts() {
    let (fake, state) = (FakeGateway::without_api([Reply::ok()]), tempfile::tempdir().unwrap());
    run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let other = state.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)));
    File::create(other).unwrap().set_len(64 << 20).unwrap();
    fs::remove_file(state.path().join("room")).unwrap();
    let queue = files(&only_group(state.path()), "/lock")
        .into_iter()
        .find(|lock| lock.parent() != Some(&only_group(state.path())));
    let held = File::open(queue.unwrap()).unwrap();
    held.lock().unwrap();
    run(&fake.url(), "j", state.path()).args(["--push-timeout", "2"]).run(["true"]).exit(0).stderr("");
    let bodies: Vec<String> = fake.requests().iter().map(super::harness::fake::Request::body).collect();
    assert!(bodies[0].contains("pushwrap_runs_total") && !bodies[1].contains("pushwrap_runs_total"), "{bodies:#?}");
    assert!(bodies[1].contains("pushwrap_success 1\n"));
}

/// The command's metrics are on disk while somebody else has the lock, so that they do not cost others any of its time.
#[test]
fn large_metrics_are_written_before_the_lock_is_taken() {
    let state = tempfile::tempdir().unwrap();
    let gateway = Pushgateway::start(Version::Newest);
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("");
    let held = File::open(only_group(state.path()).join("lock")).unwrap();
    held.lock().unwrap();
    let large = samples(20_000);
    let running = run(&gateway.url(), "j", state.path()).textfile(&large).spawn(["true"]);
    wait_for("the unfinished push", || {
        let names = files(state.path(), "").into_iter().filter(|path| path.to_string_lossy().contains("/.new-"));
        names.filter_map(|path| fs::metadata(path).ok()).find(|file| file.len() >= large.len() as u64)
    });
    assert_eq!(waiting(state.path()), Vec::<PathBuf>::new());
    drop(held);
    running.wait().exit(0).stderr("");
    assert_eq!(gateway.group([("job", "j")]).unwrap().number("pushwrap_textfile_samples", []), Some(20_000.0));
}

/// Nobody waits for what another run reads and encodes: each of them has its push on disk before its time is up.
#[test]
fn runs_at_once_with_large_metrics_are_all_kept() {
    const RUNS: usize = 4;
    // The debug build is slow.
    let large = &samples(if is_debug_build() { 2_000 } else { 180_000 });
    let in_memory = Path::new("/dev/shm");
    let state = if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
    let (state, late) = (state.unwrap(), LateGateway::new());
    thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                let call = failing(&late.url(), "j", state.path()).arg("-v").textfile(large);
                call.run(["true"])
                    .exit(0)
                    .stderr_has("it waits in")
                    .stderr_lacks("not kept")
                    .stderr_lacks("may be lost");
            });
        }
    });
    let gateway = late.start();
    flush(state.path()).call().exit(0).stdout_has("{job=\"j\"} pushed to");
    let total = gateway.group([("job", "j")]).unwrap().number("pushwrap_runs_total", [("outcome", "success")]);
    assert_eq!(total, Some(4.0));
}

/// Given a gateway that is down, when the file of a run's push is gone while the run waits for its turn, then it is not said to be sent.
#[test]
fn a_push_whose_file_is_gone_is_not_taken_for_sent() {
    let (state, late) = (tempfile::tempdir().unwrap(), LateGateway::new());
    failing(&late.url(), "j", state.path()).run(["true"]).exit(0);
    let first = waiting(state.path());
    let held = File::open(first[0].with_file_name("lock")).unwrap();
    held.lock().unwrap();
    let running = failing(&late.url(), "j", state.path()).arg("-v").spawn(["true"]);
    let second = wait_for("the second push", || waiting(state.path()).into_iter().find(|path| !first.contains(path)));
    fs::remove_file(second).unwrap();
    drop(held);
    running.wait().exit(0).stderr_has("cannot push to").stderr_lacks("another run has sent it");
}

/// A gateway that takes a moment for each push, and forty groups that wait.
#[test]
fn waiting_pushes_of_others_at_a_slow_gateway_cost_a_run_a_fraction_of_a_second() {
    const GROUPS: usize = 40;
    let refused = (0..GROUPS).map(|_| Reply::status("401 Unauthorized", ""));
    let fake = FakeGateway::without_api(refused.chain([Reply::ok().after(Duration::from_millis(100))]));
    let state = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for lane in 0..8 {
            let (fake, state) = (&fake, state.path());
            scope.spawn(move || {
                for group in (lane..GROUPS).step_by(8) {
                    run(&fake.url(), &format!("other{group}"), state).run(["true"]).exit(0);
                }
            });
        }
    });
    assert_eq!(waiting(state.path()).len(), GROUPS);
    run(&fake.url(), "j", state.path()).run(["true"]).exit(0).stderr("").within(Duration::from_secs(2));
    assert!((1..GROUPS).contains(&waiting(state.path()).len()), "flush does the rest");
}

#[test]
fn ten_thousand_waiting_pushes_of_others_cost_a_run_a_fraction_of_a_second() {
    let (late, state) = (LateGateway::new(), tempfile::tempdir().unwrap());
    leave_backlog(state.path(), &late.url(), 10_000);
    let gateway = late.start();
    let took = |job: &str, state: &Path| {
        let began = Instant::now();
        run(&late.url(), job, state).run(["true"]).exit(0).stderr("");
        began.elapsed()
    };
    let empty = tempfile::tempdir().unwrap();
    let alone = took("alone", empty.path());
    let limit = alone + Duration::from_millis(1500);
    super::harness::within_limit(limit, || took("j", state.path()));
    let sent = gateway.groups().len();
    assert!((3..10_000).contains(&sent), "{sent} groups");
    assert!(waiting(state.path()).len() > 5000, "flush does the rest");
}

/// 30 days by the clock of the wall, which was right when the push was stored. One that began in 1970 says nothing.
#[test]
fn a_push_is_dropped_after_a_month_and_not_because_the_clock_was_wrong() {
    for (days, stays) in [(31, false), (29, true), (20_000, true)] {
        let state = tempfile::tempdir().unwrap();
        failing(CLOSED_PORT, "j", state.path()).run(["true"]).exit(0);
        let [push] = waiting(state.path()).try_into().unwrap();
        let then = SystemTime::now().checked_sub(Duration::from_hours(24 * days)).unwrap();
        let since = then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let clock = |line: &str| match line.split(' ').next() {
            Some("since") => format!("since {since}\n"),
            Some("uptime") => "uptime 1 another-boot\n".to_owned(),
            _ => line.to_owned(),
        };
        fs::write(&push, rewrite(&push, |text| text.split_inclusive('\n').map(clock).collect())).unwrap();
        let said = flush(state.path()).args(["--push-timeout", "1"]).call().exit(1);
        let dropped = said.stderr.contains("is dropped: it has waited for a month");
        assert_eq!(
            (dropped, waiting(state.path()).len()),
            (!stays, usize::from(stays)),
            "{days} days: {}",
            said.stderr
        );
    }
}

/// So much room is left that some of forty runs fit with what their commands wrote.
#[test]
fn forty_runs_at_once_leave_no_more_than_64_mib() {
    const LIMIT: u64 = 64 << 20;
    let state = tempfile::tempdir().unwrap();
    let other = state.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)));
    File::create(other).unwrap().set_len(LIMIT - 500_000).unwrap();
    let large = &samples(1000);
    let whole: usize = thread::scope(|scope| {
        let directory = state.path();
        let one = move |job: usize| {
            let call = failing(CLOSED_PORT, &format!("job{job}"), directory).arg("-v").textfile(large);
            call.run(["true"]).exit(0).stderr
        };
        let runs: Vec<_> = (0..40).map(|job| scope.spawn(move || one(job))).collect();
        let said = runs.into_iter().map(|run| run.join().unwrap());
        said.filter(|said| said.contains("' for the next run or 'pushwrap flush'\n")).count()
    });
    let bytes: u64 = waiting(state.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= LIMIT && (1..40).contains(&whole), "{bytes} bytes, {whole} whole");
}

/// A gateway that no job pushes to any more leaves no files for ever.
#[test]
fn flush_removes_the_lock_of_a_gateway_that_is_not_used_any_more() {
    let (gateway, state) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    for url in [gateway.url(), CLOSED_PORT.to_owned()] {
        failing(&url, "j", state.path()).run(["true"]).exit(0);
    }
    let queues = || -> usize {
        let names = fs::read_dir(only_group(state.path())).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.is_dir()).count()
    };
    flush(state.path()).args(["--url", &gateway.url()]).call().exit(0);
    assert_eq!(queues(), 2, "it was used a moment ago");
    for lock in files(state.path(), "/lock") {
        File::open(lock).unwrap().set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
    }
    flush(state.path()).args(["--url", &gateway.url()]).call().exit(0);
    assert_eq!((queues(), waiting(state.path()).len()), (1, 1), "what waits stays");
    run(&gateway.url(), "j", state.path()).run(["true"]).exit(0).stderr("").pushed(
        &gateway,
        "j",
        "pushwrap_runs_total{outcome=\"success\"} 3\n",
    );
}

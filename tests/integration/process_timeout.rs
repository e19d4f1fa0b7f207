//! `--timeout`: as timeout(1), but for the whole tree of the command and for nobody else.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::probe::{Sleeper, for_shell};
use super::harness::pushwrap::{bare, binary};
use super::harness::{FakeGateway, InTime as _, Reply, wait_for};

/// pushwrap with a limit, in a process group of its own so that a signal that goes too far is seen.
fn limited(options: &[&str], script: &str) -> Command {
    let mut call = bare();
    call.args(["--url", "none"]).args(options).args(["--", "sh", "-c", script]).process_group(0);
    call.stdin(Stdio::null());
    call
}

#[test]
fn c35_the_whole_tree_gets_the_signal() {
    let start = Instant::now();
    let sleeper = Sleeper::new();
    let status = limited(&["--timeout", "1"], &format!("{sleeper}; true")).status_in_time();
    assert_eq!(status.code(), Some(124));
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(9));
    wait_for("the sleep below the shell to be gone", || (!sleeper.runs()).then_some(()));
}

#[test]
fn c35_a_process_that_has_left_its_parents_is_found() {
    // It has no parent of the tree any more when the time is over, and nobody has looked at the tree before.
    let (away, below) = (Sleeper::new(), Sleeper::new());
    let script = format!("(setsid {away} &) ; {below}");
    let status = limited(&["--timeout", "0.5", "--no-tree"], &script).status_in_time();
    assert_eq!(status.code(), Some(124));
    wait_for("both to be gone", || (!away.runs() && !below.runs()).then_some(()));
}

#[test]
fn c35_a_command_that_ends_in_time_is_not_touched() {
    let start = Instant::now();
    let status = limited(&["--timeout", "60"], "exit 5").status_in_time();
    assert_eq!(status.code(), Some(5));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn c35_a_status_of_its_own_within_the_grace_is_124_all_the_same() {
    let script = format!("trap 'exit 7' TERM; {} & wait", Sleeper::new());
    let status = limited(&["--timeout", "0.3"], &script).status_in_time();
    assert_eq!(status.code(), Some(124));
}

#[test]
fn c35_the_signal_can_be_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let sleeper = Sleeper::new();
    let script = format!("trap 'echo int > {}; exit' INT; {sleeper} & wait", seen.display());
    let status = limited(&["--timeout", "0.3", "-s", "INT"], &script).status_in_time();
    assert_eq!((status.code(), fs::read_to_string(seen).unwrap().as_str()), (Some(124), "int\n"));
    // The shell has ended by its trap; the sleep, in the background of a shell without job control, ignores INT, and as
    // with timeout(1) what outlives the command within the grace is left alone.
    assert!(sleeper.runs());
    let status = limited(&["--timeout", "0.3", "-s", "KILL"], &format!("{sleeper}; true")).status_in_time();
    assert_eq!(status.code(), Some(137));
}

#[test]
fn c36_what_ignores_the_signal_is_killed_with_all_its_tree() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let url = gateway.url();
    let mut call = bare();
    call.args(["--url", &url, "--job", "j", "--timeout", "1", "--kill-after", "1", "--"]);
    let sleepers = [(); 3].map(|()| Sleeper::new());
    let script = format!("trap '' TERM; (setsid {} &); {}; {}", sleepers[0], sleepers[1], sleepers[2]);
    call.args(["sh", "-c", &script]).process_group(0);
    let start = Instant::now();
    let status = call.status_in_time();
    assert_eq!(status.code(), Some(137));
    assert!(start.elapsed() >= Duration::from_secs(2) && start.elapsed() < Duration::from_secs(12));
    for sleeper in &sleepers {
        assert!(!sleeper.runs(), "{sleeper}");
    }
    let push = gateway.wait_for_requests(1).last().unwrap().body();
    assert!(push.contains("{outcome=\"timeout\"} 1") && push.contains("pushwrap_exit_code 137"), "{push}");
}

#[test]
fn c37_a_stopped_command_ends_too_and_the_callers_group_is_untouched() {
    // Another process of the same group, as a script that runs pushwrap would have; and an older child of pushwrap itself,
    // as a shell that executes it would have.
    let [older, other] = [(); 2].map(|()| Sleeper::new());
    let script =
        format!("{older} & exec {} --url none --timeout 1 -- sh -c 'kill -STOP $$; exit 0'", for_shell(binary()));
    let mut call = Command::new("bash");
    let status = call.args(["-c", &format!("{other} & {script}")]).process_group(0).status_in_time();
    assert_eq!(status.code(), Some(124));
    assert!(older.runs() && other.runs());
}

#[test]
fn c37_a_limit_of_zero_is_none() {
    let status = limited(&["--timeout", "0"], "sleep 0.3; exit 4").status_in_time();
    assert_eq!(status.code(), Some(4));
}

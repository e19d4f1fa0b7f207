//! Signals from other processes: each reaches the command exactly once, none is lost, and those of the command itself are
//! not echoed.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::fake::FullBacklog;
use super::harness::probe::{Sleeper, action, given};
use super::harness::pushwrap::bare;
use super::harness::talk::{Talk, send};
use super::harness::{FakeGateway, InTime as _, Reply, Through, wait_for, wait_in_time};

#[test]
fn c21_a_signal_sent_to_pushwrap_reaches_the_command_exactly_once() {
    for through in Through::ALL {
        for signal in [15, 1, 2, 3, 10, 12, 14, 18, 20, 23, 28, 30, 34, 40, 63] {
            let (talk, command) = Talk::count(through);
            send(talk.pid(), signal);
            assert_eq!(talk.line(), format!("got {signal}"), "{through:?}");
            // pushwrap takes one signal after the other: when the next has come through it is done with the first. The end
            // signal goes to the command alone, which takes it last: a double would be read before.
            send(talk.pid(), 36);
            assert_eq!(talk.line(), "got 36", "{through:?}: after {signal}");
            send(Pid::from_raw(command), 64);
            let (rest, status) = talk.rest();
            assert_eq!(rest, Vec::<String>::new(), "{through:?}: {signal} came again");
            assert!(status.success(), "{through:?}: {status}");
        }
    }
}

#[test]
fn c21_a_queued_signal_keeps_its_value() {
    for through in Through::ALL {
        let (talk, command) = Talk::count(through);
        for signal in ["40", "10"] {
            let pid = talk.pid().to_string();
            let sent = Command::new(super::harness::probe::probe()).args(["queue", &pid, signal, "4711"]).status();
            assert!(sent.unwrap().success());
            assert_eq!(talk.line(), format!("got {signal} value 4711"), "{through:?}");
        }
        send(Pid::from_raw(command), 64);
        assert!(talk.rest().1.success());
    }
}

#[test]
fn c21_sigchld_and_sigpipe_are_pushwraps_own() {
    let (talk, command) = Talk::count(Through::Pushwrap);
    send(talk.pid(), libc::SIGCHLD);
    send(talk.pid(), libc::SIGPIPE);
    send(talk.pid(), libc::SIGUSR1);
    assert_eq!(talk.line(), "got 10");
    send(Pid::from_raw(command), 64);
    assert_eq!(talk.rest().0, Vec::<String>::new());
}

#[test]
fn c22_a_signal_at_any_moment_of_the_start_ends_the_run() {
    let sleeper = Sleeper::new();
    let mut random = 0x2545_f491_u32;
    for _ in 0..300 {
        let mut call = given(&[], Through::Pushwrap, &sleeper.arguments());
        let mut wrapper = call.spawn().unwrap();
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        std::thread::sleep(Duration::from_micros(u64::from(random % 5000)));
        kill(Pid::from_raw(wrapper.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = wait_in_time(&mut wrapper, &"the run");
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    }
    assert!(!sleeper.runs(), "no command is left running alone");
}

/// The state letter of a process.
fn state(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
fn c27_a_stopped_command_does_not_stop_pushwrap_where_no_shell_waits() {
    let gateway = FakeGateway::start((0..100).map(|_| Reply::ok()));
    let url = gateway.url();
    let mut call = bare();
    call.args(["--url", &url, "--job", "j", "--push-interval", "1s", "--"]).args(action(&["count"]));
    // A session of its own has no terminal.
    let talk = Talk::start(call);
    let command: i32 = talk.line().strip_prefix("ready ").unwrap().parse().unwrap();
    kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
    wait_for("the command to be stopped", || (state(command) == "T").then_some(()));
    // The heartbeat comes while the command is stopped: first after 5 s.
    gateway.wait_for_requests(1);
    assert_ne!(state(talk.pid().as_raw()), "T");
    assert_eq!(state(command), "T");
    kill(Pid::from_raw(command), Signal::SIGCONT).unwrap();
    assert_eq!(talk.line(), "got 18");
    send(Pid::from_raw(command), 64);
    let (rest, status) = talk.rest();
    assert!(rest.is_empty() && status.success());
}

#[test]
fn c28_a_stop_and_a_continue_sent_to_pushwrap_alone_are_followed() {
    // Job control gives the job a process group of its own inside the session, which is what makes it stoppable.
    let script = format!(
        "set -m; {} sh -c 'echo $$; read go; echo done' < \"$FIFO\" & echo job $!; cat",
        Through::Pushwrap.shell_words()
    );
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut call = Command::new("bash");
    call.args(["-c", &script]).env("FIFO", &fifo).stdin(Stdio::piped());
    let mut talk = Talk::start(call);
    let job: i32 = talk.line().strip_prefix("job ").unwrap().parse().unwrap();
    let writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let command: i32 = talk.line().parse().unwrap();
    kill(Pid::from_raw(job), Signal::SIGTSTP).unwrap();
    wait_for("both to be stopped", || (state(command) == "T" && state(job) == "T").then_some(()));
    kill(Pid::from_raw(job), Signal::SIGCONT).unwrap();
    wait_for("both to go on", || (state(command) != "T" && state(job) != "T").then_some(()));
    drop(writer);
    assert_eq!(talk.line(), "done");
    drop(talk.wrapper.stdin.take());
    assert!(talk.rest().1.success());
}

#[test]
fn c28_a_continue_that_comes_before_the_stop_was_followed_is_not_lost() {
    let sleeper = Sleeper::new();
    let mut call = given(&[], Through::Pushwrap, &["sh", "-c", &format!("echo $$; exec {sleeper}")]);
    // A process group of its own, whose parent is of the same session, can be stopped.
    call.process_group(0);
    let talk = Talk::start(call);
    let (pushwrap, command) = (talk.pid(), Pid::from_raw(talk.line().parse().unwrap()));
    let stopped = |pid: Pid| state(pid.as_raw()) == "T";
    // When pushwrap runs again it finds both: that the command has stopped, and the order to continue.
    for (pid, signal) in [(pushwrap, Signal::SIGSTOP), (command, Signal::SIGTSTP)] {
        kill(pid, signal).unwrap();
        wait_for("the stop", || stopped(pid).then_some(()));
    }
    kill(pushwrap, Signal::SIGCONT).unwrap();
    wait_for("both to go on", || (!stopped(command) && !stopped(pushwrap)).then_some(()));
}

#[test]
fn c29_a_signal_of_the_command_to_its_own_group_is_not_an_order_to_stop() {
    let gateway = FakeGateway::start((0..8).map(|_| Reply::ok()));
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--job", "j", "--"]);
    call.args(["sh", "-c", "n=0; trap 'n=$((n+1))' TERM; kill 0; sleep 0.2; exit $((40+n))"]).process_group(0);
    let status = call.status_in_time();
    assert_eq!(status.code(), Some(41), "once: its own, no echo");
    let pushes: Vec<String> = gateway.wait_for_requests(1).iter().map(super::harness::fake::Request::body).collect();
    assert_eq!(pushes.len(), 1, "no interim push");
    assert!(pushes[0].contains("{outcome=\"failure\"} 1"), "{}", pushes[0]);
}

#[test]
fn c29_nor_is_one_of_a_descendant() {
    let script = "trap 'exit 50' TERM; sh -c \"kill -TERM $PPID; sleep 0.2\"; exit 6";
    let status = given(&[], Through::Pushwrap, &["sh", "-c", script]).status_in_time();
    assert_eq!(status.code(), Some(6), "PPID is pushwrap; the descendant meant it and not the command");
}

#[test]
fn c38_an_order_to_stop_during_the_push_shortens_it_and_a_second_ends_it() {
    for (orders, limit) in [(1, Duration::from_secs(4)), (2, Duration::from_secs(2))] {
        let gateway = FullBacklog::start();
        let mut call = bare();
        call.args(["--url", &gateway.url(), "--push-timeout", "30s", "--", "sh", "-c", "echo over; exit 3"]);
        let mut talk = Talk::start(call);
        assert_eq!(talk.line(), "over");
        let pid = talk.pid();
        // An order that came before would be one to the command.
        wait_for("the command to be reaped", || {
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.is_empty().then_some(())
        });
        let start = Instant::now();
        for _ in 0..orders {
            kill(pid, Signal::SIGTERM).unwrap();
            // Two that are pending together are one.
            talk.wait_until_heard();
        }
        let status = talk.wait();
        assert_eq!(status.code(), Some(3), "the command's status");
        assert!(start.elapsed() < limit, "{orders} orders: {:?}", start.elapsed());
    }
}

#[test]
fn c49_a_quit_is_handed_on_and_is_no_order_to_stop() {
    let gateway = FakeGateway::start((0..8).map(|_| Reply::ok()));
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--job", "j", "--", "sh", "-c"]);
    call.arg("trap 'echo quit' QUIT; echo ready; while :; do sleep 0.1; [ -e \"$1\" ] && exit 7; done");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("end");
    let mut talk = Talk::start({
        call.arg("sh").arg(&file);
        call
    });
    assert_eq!(talk.line(), "ready");
    send(talk.pid(), libc::SIGQUIT);
    assert_eq!(talk.line(), "quit");
    fs::write(file, "").unwrap();
    assert_eq!(talk.wait().code(), Some(7));
    let pushes: Vec<String> = gateway.wait_for_requests(1).iter().map(super::harness::fake::Request::body).collect();
    assert_eq!(pushes.len(), 1, "no interim push");
    assert!(pushes[0].contains("{outcome=\"failure\"} 1"), "{}", pushes[0]);
}

#[test]
fn c50_a_limit_on_cpu_time_is_the_commands_own() {
    // pushwrap raises its own when the command has been started.
    let soft = "until grep -q 'Max cpu time  *100 ' /proc/$PPID/limits; do sleep 0.01; done; \
                awk '/Max cpu time/ {print $4}' /proc/$PPID/limits /proc/self/limits";
    let script = format!(
        "ulimit -S -t 50; ulimit -H -t 100; exec {}sh -c \"{}\"",
        Through::Pushwrap.shell_words(),
        soft.replace('$', "\\$")
    );
    let output = Command::new("bash").args(["-c", &script]).output_in_time();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "100\n50\n", "pushwrap's, and the command's");
}

//! Signals that pushwrap is not the only one to get: sent to its process group, or to every process of its control group.
//! The command gets each exactly once, as without pushwrap.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

use super::harness::probe::{Sleeper, action};
use super::harness::talk::{Talk, send};
use super::harness::{InTime as _, Through, server, wait_for};

/// How often each way is tried.
const TRIES: usize = 20;

/// A counting command in a process group of its own, below the arguments of another wrapper.
fn count_below(before: &[OsString], through: Through) -> (Talk, i32) {
    let arguments = [through.arguments(), action(&["count"])].concat();
    let mut call = Command::new(before.first().unwrap_or(&arguments[0]));
    call.args(before.iter().skip(1)).args(arguments.iter().skip(usize::from(before.is_empty())));
    let (talk, command) = Talk::start_count({
        call.stdin(Stdio::null()).process_group(0);
        call
    });
    if through == Through::Pushwrap {
        talk.wait_for_witness();
    }
    (talk, command)
}

/// What the counting command has printed when a signal sent later to pushwrap alone has come through: what pushwrap has
/// held back until then is decided.
fn got(talk: Talk, through: Through, command: i32) -> Vec<String> {
    let marker = if through == Through::Pushwrap { talk.pid() } else { Pid::from_raw(command) };
    send(marker, 36);
    let mut got = Vec::new();
    loop {
        let line = talk.line();
        if line == "got 36" {
            break;
        }
        got.push(line);
    }
    send(Pid::from_raw(command), 64);
    let (rest, status) = talk.rest();
    assert!(status.success(), "{status}");
    got.extend(rest);
    got
}

fn parent(pid: i32) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    Pid::from_raw(stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap())
}

/// All processes of a group, which are in a control group together as well; in no order.
fn members(group: Pid) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw).filter(|pid| getpgid(Some(*pid)) == Ok(group)).collect()
}

#[test]
fn c48_a_signal_to_the_process_group_reaches_the_command_once() {
    for through in Through::ALL {
        for signal in [15, 1, 2, 3, 10, 12, 18, 28, 40] {
            let (talk, command) = count_below(&[], through);
            send(Pid::from_raw(-talk.pid().as_raw()), signal);
            assert_eq!(got(talk, through, command), [format!("got {signal}")], "{through:?}");
        }
    }
}

#[test]
fn c48_twenty_times_term_to_the_process_group() {
    for _ in 0..TRIES {
        let (talk, command) = count_below(&[], Through::Pushwrap);
        killpg(talk.pid(), Signal::SIGTERM).unwrap();
        assert_eq!(got(talk, Through::Pushwrap, command), ["got 15"]);
    }
}

#[test]
fn c48_twenty_times_term_to_one_process_after_the_other() {
    for attempt in 0..TRIES {
        let (talk, command) = count_below(&[], Through::Pushwrap);
        let mut all = members(talk.pid());
        assert_eq!(all.len(), 3, "pushwrap, the witness, the command");
        all.rotate_left(attempt % 3);
        for pid in all {
            kill(pid, Signal::SIGTERM).unwrap();
        }
        assert_eq!(got(talk, Through::Pushwrap, command), ["got 15"]);
    }
}

#[test]
fn c48_twenty_times_term_by_dumb_init() {
    let init = server::program("dumb-init").into_os_string();
    for _ in 0..TRIES {
        let (talk, command) = count_below(&[init.clone(), "--".into()], Through::Pushwrap);
        kill(talk.pid(), Signal::SIGTERM).unwrap();
        assert_eq!(got(talk, Through::Pushwrap, command), ["got 15"]);
    }
}

#[test]
fn c48_twenty_times_term_by_timeout() {
    // It signals its child first and then the group of both, TERM and then CONT.
    for _ in 0..TRIES {
        let before = ["timeout", "0.4"].map(OsString::from);
        let (talk, command) = count_below(&before, Through::Pushwrap);
        let lines = [talk.line(), talk.line()];
        assert_eq!(lines, ["got 15", "got 18"]);
        send(parent(command), 36);
        assert_eq!(talk.line(), "got 36");
        send(Pid::from_raw(command), 64);
        let (rest, status) = talk.rest();
        assert_eq!((rest, status.code()), (Vec::<String>::new(), Some(124)));
    }
}

#[test]
fn c48_a_signal_to_pushwrap_alone_that_follows_one_to_the_group_is_handed_on() {
    let (talk, command) = count_below(&[], Through::Pushwrap);
    for signal in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGCONT, Signal::SIGUSR1] {
        let witness = talk.wait_for_witness();
        killpg(talk.pid(), signal).unwrap();
        assert_eq!(talk.line(), format!("got {}", signal as i32));
        // The one that has seen it cannot vouch for the next.
        wait_for("another witness", || (talk.wait_for_witness() != witness).then_some(()));
        kill(talk.pid(), signal).unwrap();
        assert_eq!(talk.line(), format!("got {}", signal as i32));
    }
    assert_eq!(got(talk, Through::Pushwrap, command), Vec::<String>::new());
}

#[test]
fn c48_a_command_that_has_left_the_group_gets_what_is_sent_there_from_pushwrap() {
    let arguments =
        |through: Through| [through.arguments(), action(&["given", "group", "--"]), action(&["count"])].concat();
    let start = || {
        let arguments = arguments(Through::Pushwrap);
        let mut call = Command::new(&arguments[0]);
        call.args(&arguments[1..]).stdin(Stdio::null()).process_group(0);
        let (talk, command) = Talk::start_count(call);
        let witness = talk.wait_for_witness();
        wait_for("the witness to leave too", || (getpgid(Some(witness)) == Ok(witness)).then_some(()));
        (talk, command, witness)
    };
    let (talk, command, _) = start();
    killpg(talk.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(got(talk, Through::Pushwrap, command), ["got 15"], "to the group");
    let (talk, command, witness) = start();
    for pid in [talk.pid(), witness, Pid::from_raw(command)] {
        kill(pid, Signal::SIGTERM).unwrap();
    }
    assert_eq!(got(talk, Through::Pushwrap, command), ["got 15"], "to all of the control group");
}

#[test]
fn c48_a_group_that_is_stopped_when_it_is_signalled() {
    for through in [Through::Nothing, Through::Pushwrap] {
        let (talk, command) = count_below(&[], through);
        for signal in [Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGCONT] {
            killpg(talk.pid(), signal).unwrap();
        }
        let mut lines = got(talk, through, command);
        lines.sort();
        assert_eq!(lines, ["got 15", "got 18"], "{through:?}");
    }
}

#[test]
fn c48_a_group_that_is_stopped_and_goes_on_gets_one_continue() {
    let arguments = [Through::Pushwrap.arguments(), action(&["count", "stoppable"])].concat();
    let mut call = Command::new(&arguments[0]);
    let (talk, command) = Talk::start_count({
        call.args(&arguments[1..]).stdin(Stdio::null()).process_group(0);
        call
    });
    talk.wait_for_witness();
    for _ in 0..30 {
        killpg(talk.pid(), Signal::SIGTSTP).unwrap();
        let stopped = |pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.unwrap_or_else(|_| panic!("{pid} of pushwrap {} and its command {command} is gone", talk.pid()))
                .contains(") T ")
        };
        wait_for("both to be stopped", || (stopped(command) && stopped(talk.pid().as_raw())).then_some(()));
        killpg(talk.pid(), Signal::SIGCONT).unwrap();
        assert_eq!(talk.line(), "got 18");
    }
    assert_eq!(got(talk, Through::Pushwrap, command), Vec::<String>::new(), "and no stop that was taken back");
}

#[test]
fn c48_the_witness_holds_nothing_and_has_another_name() {
    let (talk, command) = count_below(&[], Through::Pushwrap);
    let witness = talk.wait_for_witness();
    wait_for("its descriptors to be closed", || {
        (fs::read_dir(format!("/proc/{witness}/fd")).unwrap().count() == 0).then_some(())
    });
    // Whoever signals pushwrap by its name or its arguments means pushwrap, and then the command must get it.
    wait_for("its name", || {
        let read = |file: &str| fs::read_to_string(format!("/proc/{witness}/{file}")).unwrap();
        (read("comm") == "signal-witness\n" && read("cmdline").trim_end_matches('\0') == "signal-witness").then_some(())
    });
    send(Pid::from_raw(command), 64);
    assert!(talk.rest().1.success());
    assert_eq!(kill(witness, None), Err(nix::errno::Errno::ESRCH), "it ends with the command");
}

#[test]
fn c48_the_witness_ends_when_pushwrap_is_killed() {
    let (mut talk, command) = count_below(&[], Through::Pushwrap);
    let witness = talk.wait_for_witness();
    kill(talk.pid(), Signal::SIGKILL).unwrap();
    talk.wait();
    wait_for("its end", || {
        let state = fs::read_to_string(format!("/proc/{witness}/stat"));
        state.map_or(Some(()), |state| state.contains(") Z ").then_some(()))
    });
    kill(Pid::from_raw(command), None).expect("the command does not");
    send(Pid::from_raw(command), 64);
}

#[test]
fn c48_the_witness_is_none_of_the_commands_processes() {
    // With a limit on its time pushwrap takes its own children for orphans of the command.
    for options in [&[][..], &["--timeout", "60"]] {
        let mut call = Command::new(super::harness::pushwrap::binary());
        call.args(["--url", "none", "--summary=json"]).args(options).arg("--").args(action(&["memory", "2", "700"]));
        let output = call.output_in_time();
        let said = String::from_utf8(output.stderr).unwrap();
        let number = |key: &str| -> u64 {
            let rest = said.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{said}")).1;
            rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
        };
        let (tree, process) = (number("tree_peak_rss_bytes"), number("peak_rss_bytes"));
        assert!(tree < process + (256 << 10), "{options:?}: {said}");
    }
    let sleeper = Sleeper::new();
    let mut call = Command::new(super::harness::pushwrap::binary());
    call.args(["--url", "none", "--timeout", "0.5", "--kill-after", "0.2", "--"]);
    let script = format!("trap '' TERM; while :; do {sleeper}; done");
    let start = std::time::Instant::now();
    assert_eq!(call.args(["sh", "-c", &script]).status_in_time().code(), Some(137));
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "nobody waits for it to be killed");
}

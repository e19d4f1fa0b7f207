//! What the command inherits is what pushwrap was given, byte for byte. Every comparison also runs through env, which
//! executes the command and so shows that the comparison itself is right.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use super::harness::probe::{action, given, like_direct, probe};
use super::harness::pushwrap::is_debug_build;
use super::harness::{InTime as _, Through, wait_for};

/// Signals that a program can ignore or block; 32 and 33 are libc's own, and yet they are inherited.
fn signals() -> impl Iterator<Item = String> {
    (1..=64).filter(|signal| ![9, 19].contains(signal)).map(|signal| signal.to_string())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn c01_signal_mask_and_dispositions_are_untouched() {
    let output = like_direct(&[], &action(&["signals-state"]));
    assert!(text(&output).contains("SigIgn:\t0000000000000000"), "the probe prints them: {}", text(&output));
}

#[test]
fn c02_every_ignored_signal_stays_ignored() {
    for signal in signals() {
        let output = like_direct(&["ignore", &signal], &action(&["signals-state"]));
        assert!(!text(&output).contains("SigIgn:\t0000000000000000"), "signal {signal} was ignored");
    }
}

#[test]
fn c03_every_blocked_signal_stays_blocked_and_none_is_pending() {
    for signal in signals() {
        let output = like_direct(&["block", &signal], &action(&["signals-state"]));
        assert!(!text(&output).contains("SigBlk:\t0000000000000000"), "signal {signal} was blocked");
        assert!(text(&output).contains("ShdPnd:\t0000000000000000"));
    }
}

#[test]
fn c04_closed_standard_streams_stay_closed() {
    let directory = tempfile::tempdir().unwrap();
    let all = ["close", "0", "close", "1", "close", "2"];
    for conditions in [&all[..2], &all[2..4], &all[4..], &all] {
        let [direct, env, pushwrap] = Through::ALL.map(|through| {
            let list = directory.path().join("list");
            let status = given(conditions, through, &action(&["descriptors", list.to_str().unwrap()])).status_in_time();
            assert!(status.success());
            fs::read_to_string(list).unwrap()
        });
        assert_eq!(env, direct, "through env");
        assert_eq!(pushwrap, direct, "{conditions:?}");
        assert!(!direct.starts_with("0 ") || conditions[1] != "0");
    }
}

#[test]
fn c05_inherited_descriptors_arrive_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("list");
    let lists = Through::ALL.map(|through| {
        let conditions = ["close-rest", "open", "7", "/dev/zero", "open", "200", "/dev/full"];
        let command = action(&["descriptors", list.to_str().unwrap()]);
        assert!(given(&conditions, through, &command).output_in_time().status.success());
        fs::read_to_string(&list).unwrap()
    });
    for found in &lists {
        let number = |line: &&str| line.split(' ').next().unwrap().parse::<i32>().unwrap();
        let above: Vec<&str> = found.lines().filter(|line| number(line) > 2).collect();
        assert_eq!(above, ["7 /dev/zero", "200 /dev/full"], "{found}");
    }
}

#[test]
fn c05_process_substitution_and_the_jobserver_of_make_work() {
    for through in Through::ALL {
        let prefix = through.shell_words();
        let output = Command::new("bash").args(["-c", &format!("{prefix}cat <(echo substituted)")]).output_in_time();
        assert_eq!(text(&output), "substituted\n", "{through:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    for through in Through::ALL {
        let prefix = through.shell_words();
        let makefile = format!("all:\n\t+@{prefix}make -f inner\n");
        fs::write(directory.path().join("outer"), makefile).unwrap();
        fs::write(directory.path().join("inner"), "all: a b\na b:\n\t@echo $@\n").unwrap();
        let mut make = Command::new("make");
        make.args(["--no-print-directory", "-j4", "-f", "outer"]).current_dir(&directory).env_remove("MAKEFLAGS");
        let output = make.output_in_time();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{through:?}: no 'jobserver unavailable'");
        assert!(text(&output).contains("a\n") && text(&output).contains("b\n"), "{through:?}");
    }
}

#[test]
fn c06_socket_activation_names_the_command_and_nobody_else() {
    let own = ["setenv", "LISTEN_FDS", "1", "own-pid", "LISTEN_PID", "own-pid", "WATCHDOG_PID"];
    let output = like_direct(&own, &action(&["listen"]));
    assert_eq!(text(&output), "LISTEN_PID mine\nWATCHDOG_PID mine\n");
    let other = ["setenv", "LISTEN_PID", "1", "setenv", "WATCHDOG_PID", "17x"];
    let output = like_direct(&other, &action(&["listen"]));
    assert_eq!(text(&output), "LISTEN_PID 1\nWATCHDOG_PID 17x\n");
    // The pidfd of the command is not known before it runs: a stale one would hide the sockets (sd_listen_fds(3)).
    for (pid, is_kept) in [(["own-pid", "LISTEN_PID"].as_slice(), false), (&["setenv", "LISTEN_PID", "1"], true)] {
        let conditions = [pid, &["setenv", "LISTEN_PIDFDID", "4711"]].concat();
        let output = given(&conditions, Through::Pushwrap, &action(&["environment"])).output_in_time();
        assert_eq!(text(&output).contains("LISTEN_PIDFDID=4711"), is_kept, "{pid:?}");
    }
}

#[test]
fn c07_umask_directory_priority_and_limits_are_the_callers() {
    // 7 is RLIMIT_NOFILE, 4 RLIMIT_CORE.
    let mut conditions = vec!["write", "/proc/self/oom_score_adj", "500", "umask", "077", "lost-directory"];
    conditions.extend(["nice", "7", "limit", "7", "77", "limit", "4", "0"]);
    let output = like_direct(&conditions, &action(&["state"]));
    for line in ["umask 77", "nice 7", "limit 7 77 77", "500"] {
        assert!(text(&output).lines().any(|found| found == line), "no '{line}' in {}", text(&output));
    }
    assert!(text(&output).contains("cwd No such file"), "{}", text(&output));
}

#[test]
fn c08_the_environment_keeps_every_byte() {
    let environment = |through| given(&["odd-environment"], through, &action(&["environment"])).output_in_time().stdout;
    let [direct, env, pushwrap] = Through::ALL.map(environment);
    assert_eq!(env, direct, "through env");
    let mut pushwrap: Vec<&[u8]> = pushwrap.split_inclusive(|byte| *byte == 0).collect();
    let added = pushwrap.pop().unwrap();
    assert!(added.starts_with(b"PUSHWRAP_TEXTFILE=/"), "{}", added.escape_ascii());
    assert_eq!(pushwrap.concat(), direct);
}

#[test]
fn c09_arguments_keep_every_byte() {
    let mut command = action(&["arguments", "", "--", "-x", "--url"]);
    command.push(OsStr::from_bytes(b"\xff\xfe \n'").to_owned());
    let output = like_direct(&[], &command);
    assert!(output.stdout.ends_with(b"arguments\0\0--\0-x\0--url\0\xff\xfe \n'\0"), "{}", output.stdout.escape_ascii());
}

#[test]
fn c10_the_command_sees_its_name_as_it_was_typed() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(probe(), directory.path().join("box")).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let output = like_direct(&["setenv", "PATH", &path], &["box", "arguments"]);
    assert_eq!(output.stdout, b"box\0arguments\0");
    let output = like_direct(&[], &["sh", "-c", "echo $0"]);
    assert_eq!(text(&output), "sh\n");
}

#[test]
fn c20_a_caller_that_ignores_sigchld_gets_the_status() {
    for through in Through::ALL {
        let status = given(&["ignore", "17"], through, &action(&["exit", "5"])).status_in_time();
        assert_eq!(status.code(), Some(5), "{through:?}");
    }
}

#[test]
fn c39_an_orphan_has_the_parent_that_it_has_without_pushwrap() {
    let directory = tempfile::tempdir().unwrap();
    let parents = Through::ALL.map(|through| {
        let list = directory.path().join(format!("{through:?}"));
        assert!(given(&[], through, &action(&["daemon", list.to_str().unwrap()])).status_in_time().success());
        let line = wait_for("the daemon to say who it is", || {
            fs::read_to_string(&list).ok().filter(|line| line.ends_with('\n'))
        });
        let mut numbers = line.split_whitespace().map(|number| number.parse::<i32>().unwrap());
        let (own, parent) = (numbers.next().unwrap(), numbers.next().unwrap());
        let alive = nix::sys::signal::kill(nix::unistd::Pid::from_raw(own), nix::sys::signal::Signal::SIGKILL);
        assert!(alive.is_ok(), "the daemon lives on after {through:?}");
        parent
    });
    assert_eq!(parents, [parents[0]; 3]);
}

#[test]
fn c39_the_command_does_not_die_with_pushwrap() {
    let output = like_direct(&[], &action(&["state"]));
    assert!(text(&output).contains("pdeathsig 0 subreaper 0"), "{}", text(&output));
    let mut call = given(&[], Through::Pushwrap, &["sleep", "60"]);
    let mut pushwrap = call.process_group(0).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", pushwrap.id());
    let child: i32 = wait_for("the command", || fs::read_to_string(&children).ok()?.split(' ').next()?.parse().ok());
    pushwrap.kill().unwrap();
    pushwrap.wait().unwrap();
    let child = nix::unistd::Pid::from_raw(child);
    assert_eq!(nix::unistd::getpgid(Some(child)).unwrap().as_raw(), pushwrap.id().cast_signed(), "in the same group");
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn with_a_single_free_descriptor_the_command_runs_all_the_same() {
    // 7 is RLIMIT_NOFILE. The loader of a dynamic program needs the one there is beside the standard streams.
    for through in Through::ALL {
        let call = given(&["close-rest", "limit", "7", "4"], through, &action(&["exit", "3"])).output_in_time();
        assert_eq!(call.status.code(), Some(3), "{through:?}: {}", String::from_utf8_lossy(&call.stderr));
    }
}

#[test]
fn with_a_small_stack_the_command_runs_all_the_same() {
    // 3 is RLIMIT_STACK. The kernel puts the environment on the stack as well.
    let filling = "x".repeat(if is_debug_build() { 0 } else { 28 * 1024 });
    let output = like_direct(&["setenv", "FILLING", &filling, "limit", "3", "65536"], &action(&["state"]));
    assert!(text(&output).contains("limit 3 65536 65536\n"), "{}", text(&output));
}

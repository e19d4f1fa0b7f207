//! Signals that pushwrap is not the only one to get, where they are sent by systemd, come from outside of a PID namespace,
//! or where no process can be added.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::engine::{ContainerImage, need_program, need_root};
use super::harness::probe::{action, probe};
use super::harness::pushwrap::binary;
use super::harness::talk::{Talk, send};
use super::harness::{Through, wait_for};
use super::host::mount;

/// How often each way is tried.
const TRIES: usize = 20;

/// A unit that runs the counting command, directly or under pushwrap. It does not end by TERM, so systemd kills it after a while.
fn unit(command: &str) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nEnvironment=PUSHWRAP_STATE_DIR=none\nExecStart={command}\n\
         StandardOutput=truncate:/run/count\nTimeoutStopSec=1\n"
    )
}

#[test]
fn c48_twenty_times_systemctl_stop_with_the_default_kill_mode() {
    let directory = tempfile::tempdir().unwrap();
    let units = [("direct", "/probe count"), ("wrapped", "/pushwrap --url none -- /probe count")];
    let mut mounts = vec![mount(&binary(), "/pushwrap"), mount(probe(), "/probe")];
    for (name, command) in units {
        let file = directory.path().join(name);
        fs::write(&file, unit(command)).unwrap();
        mounts.push(mount(&file, &format!("/etc/systemd/system/{name}.service")));
    }
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let container = ContainerImage::with_daemons().start_systemd(&mounts);
    for (name, _) in units {
        for attempt in 0..TRIES {
            container.exec(&["systemctl", "start", name]);
            wait_for("the command", || container.exec(&["cat", "/run/count"]).contains("ready").then_some(()));
            if name == "wrapped" {
                let ps = ["sh", "-c", "cat /proc/[0-9]*/comm"];
                let names = || container.try_exec(&ps).stdout;
                wait_for("the witness", || String::from_utf8_lossy(&names()).contains("signal-witness").then_some(()));
            }
            // TERM to every process of the control group, then CONT.
            container.try_exec(&["systemctl", "stop", name]);
            let counted = container.exec(&["sed", "1d", "/run/count"]);
            assert_eq!(counted, "got 15\ngot 18", "{name}, {attempt}");
        }
    }
}

/// The counting command under pushwrap as PID 1 of a namespace, with a witness; pushwrap's pid outside, and the command's.
fn count_as_init() -> (Talk, Pid, Pid) {
    need_root("a PID namespace");
    let mut call = Command::new(need_program("unshare", "util-linux"));
    call.args(["--pid", "--fork", "--mount-proc"]).args(Through::Pushwrap.arguments()).args(action(&["count"]));
    let (talk, _) = Talk::start_count({
        call.stdin(Stdio::null()).process_group(0);
        call
    });
    talk.wait_for_witness();
    let child = |parent: i32| {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        children.split(' ').next().unwrap().parse().unwrap()
    };
    let init = child(talk.pid().as_raw());
    (talk, Pid::from_raw(init), Pid::from_raw(child(init)))
}

#[test]
fn c48_twenty_times_term_to_pid_1_alone_and_to_all() {
    for to_all in [false, true] {
        for _ in 0..TRIES {
            let (talk, init, command) = count_as_init();
            if to_all {
                // All but unshare, which would only end.
                assert_eq!(getpgid(Some(init)), Ok(talk.pid()));
                for pid in [init, talk.wait_for_witness(), command] {
                    kill(pid, Signal::SIGTERM).unwrap();
                }
            } else {
                kill(init, Signal::SIGTERM).unwrap();
            }
            assert_eq!(talk.line(), "got 15");
            send(init, 36);
            assert_eq!(talk.line(), "got 36", "once");
            send(command, 64);
            let (rest, status) = talk.rest();
            assert!(rest.is_empty() && status.success(), "{rest:?} {status}");
        }
    }
}

#[test]
fn c48_where_no_process_can_be_added_signals_are_handed_on_at_once() {
    need_root("another user");
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let install = |file: &Path, name: &str| {
        let copy = directory.path().join(name);
        assert!(Command::new("install").args(["-m", "755"]).args([file, &copy]).status().unwrap().success());
        copy
    };
    assert!(Command::new("chmod").arg("755").arg(directory.path()).status().unwrap().success());
    let (own, probe) = (install(&binary(), "pushwrap"), install(probe(), "probe"));
    let mut call = Command::new(need_program("setpriv", "util-linux"));
    // Two processes are pushwrap and its command (RLIMIT_NPROC is 6).
    call.args(["--reuid", "65531", "--clear-groups"]).arg(&probe).args(["given", "limit", "6", "2", "--"]);
    call.arg(&own).args(["--url", "none", "--push-interval", "off", "--"]).arg(&probe).arg("count");
    let (talk, command) = Talk::start_count({
        call.stdin(Stdio::null()).process_group(0);
        call
    });
    // Its sampler comes at the same time, so pushwrap has tried by now.
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill(talk.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(talk.line(), "got 15");
    send(Pid::from_raw(command), 64);
    assert!(talk.rest().1.success());
}

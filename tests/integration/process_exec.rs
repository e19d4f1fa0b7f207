//! Between fork and exec: there is a process already, and it is not yet the command. It can be stopped there, or its execve can
//! take long, and pushwrap must hear everything all the same.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::pushwrap::binary;
use super::harness::{wait_for, wait_in_time};

/// A pushwrap whose child is stopped before it has executed the command, which would exit with 7.
struct Early {
    pushwrap: Child,
    child: Pid,
}

impl Early {
    fn stopped_by(signal: Signal, options: &[&str]) -> Self {
        let mut call = Command::new(binary());
        // A process group of its own, whose parent is of the same session, can be stopped.
        call.args(["--url", "none"]).args(options).args(["--", "sh", "-c", "exit 7"]).process_group(0);
        // So many directories are to be searched that there is time.
        call.env("PATH", "/nowhere:".repeat(14_000) + "/usr/bin:/bin").stdin(Stdio::null());
        // Until the child was not faster.
        wait_for("a child that is stopped early enough", || Self::try_once(&mut call, signal))
    }

    fn try_once(call: &mut Command, signal: Signal) -> Option<Self> {
        let mut early = Self { pushwrap: call.spawn().unwrap(), child: Pid::from_raw(0) };
        let children = format!("/proc/{0}/task/{0}/children", early.pid());
        while early.child.as_raw() == 0 {
            if early.pushwrap.try_wait().unwrap().is_some() {
                return None;
            }
            let child = fs::read_to_string(&children).unwrap_or_default();
            early.child = Pid::from_raw(child.trim().parse().unwrap_or(0));
        }
        let _ = kill(early.child, signal);
        let state = wait_for("the child to be stopped or gone", || {
            state(early.child)
                .map_or(Some("Z".to_owned()), |state| ["T", "Z"].contains(&state.as_str()).then_some(state))
        });
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        (state == "T" && name(early.child) == name(early.pid())).then_some(early)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.pushwrap.id().cast_signed())
    }

    fn wait(&mut self) -> ExitStatus {
        wait_in_time(&mut self.pushwrap, &"pushwrap")
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        if self.pushwrap.try_wait().is_ok_and(|status| status.is_none()) {
            if self.child.as_raw() > 0 {
                let _ = kill(self.child, Signal::SIGKILL);
            }
            let _ = self.pushwrap.kill();
            let _ = self.pushwrap.wait();
        }
    }
}

/// The state letter of a process.
fn state(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1[..1].to_owned())
}

#[test]
fn c22_a_signal_before_the_command_is_executed_is_heard() {
    let mut early = Early::stopped_by(Signal::SIGSTOP, &[]);
    kill(early.pid(), Signal::SIGTERM).unwrap();
    kill(early.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(early.wait().signal(), Some(libc::SIGTERM));
}

#[test]
fn c28_a_stop_before_the_command_is_executed_is_followed() {
    let mut early = Early::stopped_by(Signal::SIGTSTP, &[]);
    wait_for("pushwrap to be stopped too", || (state(early.pid())? == "T").then_some(()));
    kill(early.pid(), Signal::SIGCONT).unwrap();
    assert_eq!(early.wait().code(), Some(7));
}

#[test]
fn c37_a_command_that_is_not_even_executed_in_time_ends_too() {
    let mut early = Early::stopped_by(Signal::SIGSTOP, &["--timeout", "0.3"]);
    assert_eq!(early.wait().code(), Some(124));
}

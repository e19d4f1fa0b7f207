//! A wrapper whose command prints what it is sent, line by line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use nix::unistd::Pid;

use super::probe::{action, given};
use super::{PATIENCE, Through, wait_for, wait_in_time};

/// A wrapper over a command whose lines are read. Dropping it kills the wrapper.
pub(crate) struct Talk {
    /// The process that was started.
    pub(crate) wrapper: Child,
    lines: mpsc::Receiver<String>,
}

impl Talk {
    /// Starts a call and reads its lines.
    pub(crate) fn start(mut call: Command) -> Self {
        let mut wrapper = call.stdout(Stdio::piped()).spawn().unwrap();
        let stream = BufReader::new(wrapper.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stream.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { wrapper, lines }
    }

    /// A counting command, and its pid.
    pub(crate) fn count(through: Through) -> (Self, i32) {
        Self::start_count(given(&[], through, &action(&["count"])))
    }

    /// A call of a counting command, and the command's pid.
    pub(crate) fn start_count(call: Command) -> (Self, i32) {
        let talk = Self::start(call);
        let line = talk.line();
        let pid = line.strip_prefix("ready ").unwrap_or_else(|| panic!("'{line}'")).parse().unwrap();
        (talk, pid)
    }

    /// Waits until pushwrap, which is the process that was started or below it, has its witness; the witness's pid.
    pub(crate) fn wait_for_witness(&self) -> Pid {
        wait_for("the witness", || {
            let mut left = vec![self.pid().as_raw()];
            while let Some(pid) = left.pop() {
                if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "signal-witness") {
                    return Some(Pid::from_raw(pid));
                }
                let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
                left.extend(children.split_whitespace().map(|child| child.parse::<i32>().unwrap()));
            }
            None
        })
    }

    /// The next line, or `None` at the end.
    #[track_caller]
    pub(crate) fn next_line(&self) -> Option<String> {
        let line = self.lines.recv_timeout(PATIENCE);
        assert_ne!(line, Err(RecvTimeoutError::Timeout), "neither a line nor the end of the command");
        line.ok()
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.next_line().expect("a line before the end")
    }

    /// The pid of the process that was started.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.wrapper.id().cast_signed())
    }

    /// Waits until the wrapper has taken every signal that it was sent.
    pub(crate) fn wait_until_heard(&self) {
        let pending = "ShdPnd:\t0000000000000000";
        wait_for("the signals to be taken", || {
            fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?.contains(pending).then_some(())
        });
    }

    /// Waits for the end of the process that was started.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_in_time(&mut self.wrapper, &"the wrapper")
    }

    /// All lines up to the end, and the wrapper's status.
    #[track_caller]
    pub(crate) fn rest(mut self) -> (Vec<String>, ExitStatus) {
        let lines = std::iter::from_fn(|| self.next_line()).collect();
        (lines, self.wait())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.wrapper.kill();
        let _ = self.wrapper.wait();
    }
}

/// Sends a signal by number, as kill(1) of the shell sends it: also those that no library has a name for.
pub(crate) fn send(pid: Pid, signal: i32) {
    assert!(Command::new("bash").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap().success());
}

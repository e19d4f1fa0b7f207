//! A real pseudo-terminal with a session on it: what a terminal program does for the shell that it starts.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use super::probe::probe;
use super::pushwrap::NO_STATE;
use super::{pauses, wait_for};

/// A terminal with a session whose leader is our child.
pub(crate) struct Terminal {
    master: Option<File>,
    leader: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    closed: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts `arguments` as the leader of a new session with a terminal of its own.
    #[track_caller]
    pub(crate) fn start<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Self {
        // Not openpty, whose descriptors every process that another test starts would inherit: then nothing hangs up.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("the right to use it");
        let name = ptsname_r(&master).expect("its name");
        let leader = Command::new(probe())
            .args(["given", "session"])
            .arg(name)
            .arg("--")
            .args(arguments)
            .env("TERM", "dumb")
            .env_remove("PROMPT_COMMAND")
            .env(NO_STATE.0, NO_STATE.1)
            .spawn()
            .expect("the probe runs");
        let master = File::from(master.as_fd().try_clone_to_owned().expect("a descriptor"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (master, seen, closed) =
                (master.try_clone().expect("a descriptor"), Arc::clone(&seen), Arc::clone(&closed));
            move || read_all(master, &seen, &closed)
        });
        let terminal = Self { master: Some(master), leader, seen, closed, reader: Some(reader) };
        wait_for("the session to open its terminal", || {
            // proc(5), stat: state, ppid, pgrp, session, tty_nr. Not its descriptors: pushwrap dumps no core, so that the
            // kernel shows them to root alone. A short command may have ended before its stat is read.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.leader.id())).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            (fields[0] == "Z" || fields[4] != "0").then_some(())
        });
        terminal
    }

    /// An interactive bash without anybody's start-up files, ready at its prompt.
    #[track_caller]
    pub(crate) fn bash() -> Self {
        let terminal = Self::start(&["bash", "--norc", "--noprofile", "-i"]);
        terminal.type_in("PS1='ready'\"> \"; set +o history\n");
        terminal.wait_for("ready> ");
        terminal
    }

    /// The pid of the session's leader.
    pub(crate) fn leader(&self) -> i32 {
        self.leader.id().cast_signed()
    }

    /// Types these characters; `\x03` is Ctrl-C, `\x1a` Ctrl-Z, `\x1c` Ctrl-\.
    pub(crate) fn type_in(&self, characters: &str) {
        let mut master = self.master.as_ref().expect("a terminal that was not closed");
        master.write_all(characters.as_bytes()).expect("a terminal");
    }

    /// Everything that was written to the terminal, echo included.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until `text` has been written.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_for_times(text, 1);
    }

    /// Waits until `text` has been written so many times.
    #[track_caller]
    pub(crate) fn wait_for_times(&self, text: &str, times: usize) {
        let start = std::time::Instant::now();
        for pause in pauses() {
            if self.seen().matches(text).count() >= times {
                return;
            }
            assert!(start.elapsed() < super::PATIENCE, "waited for {times} of '{text}' in:\n{}", self.seen());
            thread::sleep(pause);
        }
    }

    /// Changes the size of the window.
    pub(crate) fn resize(&self, rows: u16) {
        let status = Command::new("stty")
            .args(["rows", &rows.to_string()])
            .stdin(
                self.master.as_ref().and_then(|master| master.as_fd().try_clone_to_owned().ok()).expect("a terminal"),
            )
            .status();
        assert!(status.expect("stty, of coreutils").success());
    }

    /// Closes the terminal as a terminal program does when its window is closed.
    pub(crate) fn hang_up(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.reader.take().map(JoinHandle::join);
        self.master = None;
    }
}

/// Reads until the terminal is closed, on this side or on the other (EIO).
fn read_all(mut master: File, seen: &Mutex<Vec<u8>>, closed: &AtomicBool) {
    let mut bytes = [0; 4096];
    while !closed.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, 20_u8).is_ok_and(|ready| ready > 0) {
            let Ok(length @ 1..) = master.read(&mut bytes) else { return };
            seen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..length]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}

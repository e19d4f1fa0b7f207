//! The witness: a process that gets every signal the command's process group or control group gets, and does nothing.
//! siginfo tells who has sent a signal but not to whom else, so this is how pushwrap learns that the command has a signal
//! already. All signals are blocked in it: what it was sent stays pending, and /proc shows it.

#![allow(unsafe_code, reason = "it must be forked without running anything of Rust's or libc's, as in exec.rs")]

use std::ffi::CStr;
use std::fs;
use std::ptr;

use nix::unistd::{Pid, getpgid, getpgrp};

use super::arguments::Area;
use super::sys::{self, SignalSet};

/// The witness's name in ps(1). Not our own name, so that `pkill pushwrap` is sent to pushwrap alone.
const NAME: &CStr = c"signal-witness";

/// A witness that runs; dropping it ends it.
#[derive(Debug)]
pub(super) struct Witness {
    pid: i32,
    group: ProcessGroup,
}

/// The process group in which a witness is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessGroup {
    /// Ours, and the command's.
    Shared,
    /// One of its own, because the command has left ours: it sees what the control group gets, and no more.
    Own,
}

impl ProcessGroup {
    /// The one that a witness for the command `pid` has to be in.
    fn of(pid: i32) -> Self {
        if getpgid(Some(Pid::from_raw(pid))) == Ok(getpgrp()) { Self::Shared } else { Self::Own }
    }
}

impl Witness {
    /// Starts one for the command `command`, or not: where no process can be had, or /proc does not show it. `arguments` are
    /// those of this process, which it must not show.
    pub(super) fn start(command: i32, arguments: Option<Area>) -> Option<Self> {
        let group = ProcessGroup::of(command);
        let parent = std::process::id().cast_signed();
        // SAFETY: a plain fork without an exit signal, so that wait(2) does not see it unless it is asked for it; the child
        // calls only what is async-signal-safe and never returns from `stand_by`.
        let pid = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        match pid {
            -1 => None,
            0 => stand_by(parent, group, arguments),
            _ => {
                let witness = Self { pid: i32::try_from(pid).ok()?, group };
                witness.pending().is_some().then_some(witness)
            }
        }
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The signals that it, and so the command `command`, has been sent directly. None where the two are not in the same
    /// groups any more: to hand a signal on that the command has got is better than to keep one from it.
    pub(super) fn seen_with(&self, command: i32) -> SignalSet {
        let together = self.group == ProcessGroup::of(command)
            && cgroups(self.pid).is_some_and(|own| cgroups(command) == Some(own));
        self.pending().filter(|_| together).unwrap_or(SignalSet::EMPTY)
    }

    /// Whether a signal has come since it was started.
    pub(super) fn has_seen_any(&self) -> bool {
        self.pending() != Some(SignalSet::EMPTY)
    }

    /// The signals that are pending for it.
    fn pending(&self) -> Option<SignalSet> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"))?;
        Some(SignalSet::from_bits(u64::from_str_radix(mask.trim(), 16).ok()?))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        sys::send(self.pid, libc::SIGKILL);
        // SAFETY: a null status pointer means that nobody wants it; it is our child, and nobody else waits for it.
        unsafe { libc::waitpid(self.pid, ptr::null_mut(), libc::__WALL) };
    }
}

/// The control groups of a process.
fn cgroups(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cgroup")).ok()
}

/// The witness's part: lets go of everything, ends with pushwrap, waits. Only async-signal-safe calls, no return.
fn stand_by(parent: i32, group: ProcessGroup, arguments: Option<Area>) -> ! {
    sys::set_mask(SignalSet::all_but(&[]));
    // SAFETY: calls without memory arguments, and one with a C string. Nothing of Rust runs in this process that could refer
    // to the arguments. Descriptors are closed by number: nothing here uses them.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // It may have ended before that.
        if libc::getppid() != parent {
            libc::_exit(0);
        }
        if group == ProcessGroup::Own {
            libc::setpgid(0, 0);
        }
        if libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) != 0 {
            // A kernel before 5.9. Ours are the lowest numbers that were free.
            for fd in 0..1024 {
                libc::close(fd);
            }
        }
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        if let Some(arguments) = arguments {
            arguments.show(NAME);
        }
        loop {
            libc::pause();
        }
    }
}

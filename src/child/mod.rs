//! The command's process: started so that it cannot tell that pushwrap is there, supervised by one loop, measured when it
//! is reaped. Signals are blocked and read, never handled, because a handler would cost the command an inherited "ignored".
//!
//! The order of a run: [`take_over`] in the first lines of `main`, [`spawn`] while pushwrap is small and has one thread,
//! [`Child::supervise`] until the command has ended, [`Caller::wait`] while its metrics are pushed, [`leave`].

mod arguments;
mod caller;
mod cgroup;
mod exec;
mod expiry;
mod forward;
mod memory;
mod procfs;
mod program;
mod relay;
mod supervise;
mod sys;
mod tree;
mod witness;

use std::time::{Duration, SystemTime};

use crate::outcome::End;

pub use caller::{Caller, Wake, leave, take_over};
pub use cgroup::{memory_limit_bytes, oom_kills_whole_group, spare_memory_bytes};
pub(crate) use procfs::Stat;
pub use program::{Program, SpawnError};
pub use supervise::{Child, spawn};

/// The limit on the command's time, as timeout(1) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    /// How long the command may run, by the monotonic clock, time in which it is stopped included.
    pub after: Duration,
    /// The number of the signal that is sent then.
    pub signal: i32,
    /// How long after it KILL is sent to what is left; zero is never, as with `timeout -k 0`.
    pub kill_after: Duration,
}

/// When the caller wants [`Event::Due`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeTimes {
    /// The first time, counted from the start of the command.
    pub first: Duration,
    /// How often after that; `None` is never again.
    pub every: Option<Duration>,
}

/// How a command is to be supervised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    /// The limit on its time.
    pub timeout: Option<Timeout>,
    /// Whether the memory of its whole process tree is sampled.
    pub sample_tree: bool,
    /// When the caller wants to be called while it runs.
    pub wake: Option<WakeTimes>,
}

/// What happens while the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A time of the [`WakeTimes`] has come.
    Due,
    /// TERM, INT or HUP came from outside: pushwrap was told to stop. Told once for each of them.
    ToldToStop(i32),
    /// The time is over, and the command may not be signalled: it runs as another user.
    CannotSignal,
}

/// What is known about a command that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The wall clock just before it was started.
    pub started: SystemTime,
    /// How long it has run.
    pub elapsed: Duration,
    /// Whether pushwrap was told to stop, and the command has gone on for five minutes since.
    pub survived_order: bool,
    /// What its process tree and the control groups have shown so far.
    pub tree: TreeUsage,
}

/// What is seen of the command's process tree as a whole, from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// The largest memory that was sampled, in bytes; a page that several of its processes share counts once. `None` when no
    /// sample was taken.
    pub peak_rss_bytes: Option<u64>,
    /// How long the CPU quota of a control group stopped it, summed over CPUs. `None` where there is no quota.
    pub cpu_throttled: Option<Duration>,
    /// How many processes of the control group the kernel killed for want of memory. `None` where it does not count them.
    pub oom_kills: Option<u64>,
}

/// What the command and the descendants that it waited for have used (getrusage(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// CPU time in user mode.
    pub cpu_user: Duration,
    /// CPU time in the kernel.
    pub cpu_system: Duration,
    /// The resident set of the largest single process, in bytes.
    pub peak_rss_bytes: u64,
    /// What was read from disks, in bytes: what the page cache already had is not among it.
    pub disk_read_bytes: u64,
    /// What was written to disks, or will be, in bytes.
    pub disk_written_bytes: u64,
    /// Page faults that had to wait for a disk.
    pub major_page_faults: u64,
}

/// A command that has ended and has been reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandResult {
    /// How it ended and what is known about the reason.
    pub end: End,
    /// The wall clock just before it was started.
    pub started: SystemTime,
    /// The wall clock when it was reaped.
    pub ended: SystemTime,
    /// From just before it was started to when it was reaped, by the monotonic clock.
    pub duration: Duration,
    /// What it has used.
    pub usage: ResourceUsage,
    /// What its process tree and the control groups have shown.
    pub tree: TreeUsage,
}

//! What a command has used: while it runs, and once it has been reaped.

use std::time::{Duration, SystemTime};

use crate::outcome::End;

/// The measurements of a command that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandProgress {
    /// The wall clock just before it was started.
    pub started: SystemTime,
    /// How long it has run.
    pub elapsed: Duration,
    /// Whether pushwrap was ordered to stop, and the command has gone on for five minutes since.
    pub survived_order: bool,
    /// What was measured of its process tree and the control groups so far.
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
    /// The command's resource usage.
    pub usage: ResourceUsage,
    /// What was measured of its process tree and the control groups.
    pub tree: TreeUsage,
}

//! How a command is to be supervised, and the events that its supervision reports.

use std::time::Duration;

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
    /// How often after that, up to a tenth more often so that many callers do not meet; `None` is never again.
    pub every: Option<Duration>,
}

/// How a command is to be supervised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    /// The limit on its time.
    pub timeout: Option<Timeout>,
    /// Whether the memory of its whole process tree is sampled.
    pub sample_tree: bool,
    /// Whether what its control groups count is measured.
    pub read_cgroups: bool,
    /// When the caller wants to be called while it runs.
    pub wake: Option<WakeTimes>,
}

/// An event while the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A time of the [`WakeTimes`] has come.
    Due,
    /// TERM, INT or HUP came from outside and orders pushwrap to stop. Reported once for each of the three signals.
    StopOrdered(i32),
    /// The time is over, and the command may not be signalled: it runs as another user.
    CannotSignal,
}

//! Exit statuses and outcomes: what a run ended as, and what pushwrap itself exits with. Pure; the numbers are those of
//! timeout(1) and of POSIX shells.

/// Exit status after `--timeout` expired (timeout(1)).
pub const TIMED_OUT: u8 = 124;
/// Exit status when pushwrap itself failed before the command ran, or `--require-push` was not met (timeout(1)).
pub const OWN_FAILURE: u8 = 125;
/// Exit status when the command was found but could not be run (POSIX shells, env, timeout).
pub const CANNOT_RUN: u8 = 126;
/// Exit status when the command was not found (POSIX shells, env, timeout).
pub const NOT_FOUND: u8 = 127;
/// Exit status after `--timeout` when the KILL was needed: 128 + SIGKILL.
pub const KILLED: u8 = 137;

/// How a process ended, as wait(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The process called `exit` with this status.
    Exited(u8),
    /// The process died by the signal of this number (real-time signals included).
    Signaled(i32),
}

impl Status {
    /// What a shell's `$?` would be: the exit status, or 128 + signal number (POSIX shells).
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// Why a command could not be started at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStarted {
    /// 126: it was found but could not be run.
    CannotRun,
    /// 127: it was not found.
    NotFound,
}

impl NotStarted {
    /// The exit status a shell, env and timeout(1) use for it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::CannotRun => CANNOT_RUN,
            Self::NotFound => NOT_FOUND,
        }
    }
}

/// How a run ended; each value is one state of the `pushwrap_outcome` state set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The exit code is among `--success-codes`.
    Success,
    /// The command ended by itself with another exit code.
    Failure,
    /// The exit code is among `--skip-codes`: neither success nor failure.
    Skipped,
    /// The command died by a signal that nobody sent through pushwrap.
    Signal,
    /// `--timeout` expired.
    Timeout,
    /// The kernel's OOM killer ended it.
    OomKilled,
    /// The command could not be started.
    NotStarted,
    /// pushwrap got a stop signal, and the command did not then end in success.
    Terminated,
}

impl Outcome {
    /// Every outcome, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Failure,
        Self::Skipped,
        Self::Signal,
        Self::Timeout,
        Self::OomKilled,
        Self::NotStarted,
        Self::Terminated,
    ];

    /// The value of the `outcome` label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::OomKilled => "oom_killed",
            Self::NotStarted => "not_started",
            Self::Terminated => "terminated",
        }
    }
}

/// How the command's part of a run ended, before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The command could not be started.
    NotStarted(NotStarted),
    /// The command ran and ended.
    Ended {
        /// What wait(2) returned.
        status: Status,
        /// What pushwrap knows about the reason.
        cause: Cause,
    },
}

/// What pushwrap knows about the reason of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cause {
    /// `--timeout` expired before the command ended.
    pub timeout: Option<Expiry>,
    /// The kernel's OOM counter of the cgroup rose while the command died by KILL, and pushwrap had not sent it.
    pub oom_killed: bool,
    /// pushwrap got a stop signal from outside before the command ended.
    pub told_to_stop: bool,
}

/// How far the time-out had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The first signal was enough.
    Signaled,
    /// `--kill-after` passed and KILL was sent (or KILL was the first signal).
    Killed,
}

/// Which exit codes mean what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// `--success-codes`; 0 by default.
    pub success: Vec<u8>,
    /// `--skip-codes`; none by default.
    pub skip: Vec<u8>,
}

impl Default for Codes {
    fn default() -> Self {
        Self { success: vec![0], skip: Vec::new() }
    }
}

impl End {
    /// What a shell's `$?` would be after pushwrap: the value of `pushwrap_exit_code`.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::NotStarted(reason) => reason.code(),
            Self::Ended { cause: Cause { timeout: Some(Expiry::Killed), .. }, .. } => KILLED,
            Self::Ended { cause: Cause { timeout: Some(Expiry::Signaled), .. }, .. } => TIMED_OUT,
            Self::Ended { status, .. } => status.shell_code(),
        }
    }

    /// The outcome: the first that applies, from the strongest evidence to the weakest.
    #[must_use]
    pub fn outcome(self, codes: &Codes) -> Outcome {
        let (status, cause) = match self {
            Self::NotStarted(_) => return Outcome::NotStarted,
            Self::Ended { status, cause } => (status, cause),
        };
        if cause.timeout.is_some() {
            return Outcome::Timeout;
        }
        if cause.oom_killed {
            return Outcome::OomKilled;
        }
        let code = status.shell_code();
        match status {
            _ if codes.success.contains(&code) => Outcome::Success,
            _ if codes.skip.contains(&code) => Outcome::Skipped,
            _ if cause.told_to_stop => Outcome::Terminated,
            Status::Signaled(_) => Outcome::Signal,
            Status::Exited(_) => Outcome::Failure,
        }
    }

    /// What pushwrap has to do to end as the command ended.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Ended { status: Status::Signaled(signal), cause: Cause { timeout: None, .. } } => {
                Exit::Signal(signal)
            }
            other => Exit::Code(other.code()),
        }
    }
}

/// How pushwrap itself has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// `exit` with this status.
    Code(u8),
    /// Die by this signal, as the command did.
    Signal(i32),
}

/// How often the job of one group has run since its state directory was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunCounts {
    /// In the order of [`Outcome::ALL`].
    runs: [u64; Outcome::ALL.len()],
    /// Runs that began and whose pushwrap was killed.
    pub lost: u64,
    /// Runs since the last success, lost ones too; skipped ones do not count.
    pub consecutive_failures: u64,
}

impl RunCounts {
    /// These counts, those of runs in the order of [`Outcome::ALL`].
    #[must_use]
    pub fn new(runs: [u64; Outcome::ALL.len()], lost: u64, consecutive_failures: u64) -> Self {
        Self { runs, lost, consecutive_failures }
    }

    /// How many runs ended like this.
    #[must_use]
    pub fn runs(&self, outcome: Outcome) -> u64 {
        Outcome::ALL.iter().zip(self.runs).find(|(other, _)| **other == outcome).map_or(0, |(_, count)| count)
    }

    /// Counts a run that ended.
    pub fn add(&mut self, outcome: Outcome) {
        for (count, other) in self.runs.iter_mut().zip(Outcome::ALL) {
            *count = count.saturating_add(u64::from(other == outcome));
        }
        self.consecutive_failures = match outcome {
            Outcome::Success => 0,
            Outcome::Skipped => self.consecutive_failures,
            _ => self.consecutive_failures.saturating_add(1),
        };
    }

    /// Counts a run that was lost.
    pub fn add_lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, RunCounts};

    #[test]
    fn a_success_ends_a_row_of_failures_and_a_skipped_run_changes_nothing() {
        let mut counts = RunCounts::default();
        for (outcome, failures) in [
            (Outcome::Failure, 1),
            (Outcome::Timeout, 2),
            (Outcome::Skipped, 2),
            (Outcome::NotStarted, 3),
            (Outcome::Success, 0),
            (Outcome::Skipped, 0),
        ] {
            counts.add(outcome);
            assert_eq!(counts.consecutive_failures, failures, "{outcome:?}");
        }
        counts.add_lost();
        assert_eq!((counts.runs(Outcome::Skipped), counts.lost, counts.consecutive_failures), (2, 1, 1));
    }
}

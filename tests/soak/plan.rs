//! What a run is: its command, its options, where it takes its course, and what is done to it meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::entrance::Mode;

/// So many runs share a gateway, a state directory and a directory for temporary files: run N is in series N / 8. The last one of
/// a series is made when every fault is over.
pub(crate) const RUNS_IN_SERIES: u64 = 8;

/// What the machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// tmpfs can be mounted and limits set as root can.
    pub(crate) is_root: bool,
    /// `unshare` makes PID namespaces.
    pub(crate) has_pid_namespaces: bool,
}

/// A kind of destination for the reports of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkKind {
    Pushgateway,
    RemoteWrite,
}

/// The state directory of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateKind {
    None,
    Disk,
    /// A small tmpfs that some runs find full.
    Full,
    /// A tmpfs that some runs find read-only.
    ReadOnly,
}

/// What a success does to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Add,
    Replace,
    Delete,
}

/// How the command of a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Exit(i32),
    /// Exit status 75, which `--skip-codes` names.
    Skip,
    /// Exit status 3, which `--success-codes` names.
    Remark,
    Signal(Signal),
    /// Runs until `--timeout` ends it.
    Timeout,
    /// The same, and ignores TERM.
    Stubborn,
    /// Counts the TERM signals that it gets, and exits with 0.
    Counts,
    NotFound,
    CannotRun,
}

/// What the command leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descendant {
    None,
    /// A child that holds the streams.
    Child,
    /// The same in a session of its own.
    Daemon,
}

/// What the command does with its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Line,
    Much,
    Closed,
}

/// The command's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metrics {
    None,
    /// One sample with the number of the run.
    Good,
    /// The same, and a second file beside it.
    Several,
    /// The same, and lines that are none.
    Bad,
    /// The same, and thousands of samples.
    Large,
    /// The same, and a family that another group holds with another type.
    Conflict,
    /// The same, in a file that `--textfile` names.
    OwnFile,
    /// `--textfile` names a file that is not there.
    Missing,
}

/// To what a signal is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Pushwrap,
    Command,
    /// One after the other.
    Both,
    /// The process group, which is the session too.
    Group,
}

/// What happens while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A signal, so often.
    Signal { to: Target, signal: Signal, times: u32, at: Duration },
    /// STOP, and CONT after a while.
    Pause { to: Target, at: Duration, lasts: Duration },
}

/// Where a run takes its course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Plain,
    /// Under these limits of prlimit(1).
    Limit(&'static str),
    /// `TMPDIR` does not exist.
    NoTemporaryDirectory,
    /// `TMPDIR` is on a disk that is full.
    FullTemporaryDirectory,
    /// The disk of the state directory is full or read-only.
    NoDisk,
    /// Somebody holds the lock of the group for so long.
    Locked(Duration),
    /// pushwrap is PID 1.
    PidOne,
}

/// The command of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandPlan {
    pub(crate) ending: Ending,
    pub(crate) lasts: Duration,
    pub(crate) descendant: Descendant,
    pub(crate) output: Output,
    pub(crate) metrics: Metrics,
    /// The command stops itself for a while.
    pub(crate) stops: bool,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    pub(crate) number: u64,
    /// The job's number in its series.
    pub(crate) job: usize,
    pub(crate) method: Method,
    pub(crate) command: CommandPlan,
    pub(crate) options: Vec<String>,
    pub(crate) push_timeout: Duration,
    pub(crate) requires_push: bool,
    /// What becomes of the connections to each sink.
    pub(crate) modes: Vec<Vec<Mode>>,
    pub(crate) setting: Setting,
    pub(crate) fault: Option<Fault>,
    /// `flush` is run before it.
    pub(crate) flushes_before: bool,
    /// The first gateway is killed before it, and another one takes its place.
    pub(crate) loses_gateway: bool,
    /// What the run is counted under in the figures.
    pub(crate) kinds: Vec<String>,
}

/// Runs that share a gateway, a state directory and a directory for temporary files.
#[derive(Debug, Clone)]
pub(crate) struct SeriesPlan {
    pub(crate) number: u64,
    pub(crate) sinks: Vec<SinkKind>,
    pub(crate) state: StateKind,
    pub(crate) has_output: bool,
    /// So many runs at once.
    pub(crate) lanes: usize,
    pub(crate) jobs: usize,
    pub(crate) runs: Vec<RunPlan>,
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl SeriesPlan {
    /// What its runs are counted under.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let count = |kind| self.sinks.iter().filter(|sink| **sink == kind).count();
        let gateways = ["", "one gateway", "two gateways"][count(SinkKind::Pushgateway)];
        let remote = ["", "remote write"][count(SinkKind::RemoteWrite)];
        let both = [gateways, remote].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" and ");
        let state = match self.state {
            StateKind::None => "none",
            StateKind::Disk => "on disk",
            StateKind::Full => "on a disk that gets full",
            StateKind::ReadOnly => "on a disk that gets read-only",
        };
        let mut kinds = vec![format!("sinks: {both}"), format!("state directory: {state}")];
        kinds.extend(self.has_output.then(|| "sinks: --output".to_owned()));
        kinds.extend((self.lanes > 1).then(|| format!("runs of a job at once: {}", self.lanes)));
        kinds
    }
}

impl RunPlan {
    /// What it is counted under.
    pub(crate) fn describe(&mut self) {
        let command = &self.command;
        let ending = match command.ending {
            Ending::Exit(0) => "exits with 0",
            Ending::Exit(_) => "exits with another status",
            Ending::Skip => "exits with a skip code",
            Ending::Remark => "exits with a further success code",
            Ending::Signal(_) => "dies by a signal",
            Ending::Timeout => "exceeds --timeout",
            Ending::Stubborn => "exceeds --timeout and ignores TERM",
            Ending::Counts => "counts the signals that it gets",
            Ending::NotFound => "is not found",
            Ending::CannotRun => "cannot be run",
        };
        let more = [
            (command.stops, "command: stops itself and goes on"),
            (command.descendant == Descendant::Child, "command: leaves a child that holds the streams"),
            (command.descendant == Descendant::Daemon, "command: leaves a daemon"),
            (command.output == Output::Much, "command: writes much"),
            (command.output == Output::Closed, "command: closes its streams"),
            (self.flushes_before, "flush between runs"),
        ];
        self.kinds.push(format!("command: {ending}"));
        self.kinds.extend(more.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind.to_owned()));
        let metrics = match command.metrics {
            Metrics::None => "none",
            Metrics::Good => "good",
            Metrics::Several => "several files",
            Metrics::Bad => "with bad lines",
            Metrics::Large => "thousands of samples",
            Metrics::Conflict => "of another type than another group's",
            Metrics::OwnFile => "a file of --textfile",
            Metrics::Missing => "a file of --textfile that is not there",
        };
        self.kinds.push(format!("metrics: {metrics}"));
        let setting = match self.setting {
            Setting::Plain => None,
            Setting::Limit(limits) => Some(format!("limit: {limits}")),
            Setting::NoTemporaryDirectory => Some("disk: no TMPDIR".to_owned()),
            Setting::FullTemporaryDirectory => Some("disk: TMPDIR is full".to_owned()),
            Setting::NoDisk => Some("disk: the state directory is full or read-only".to_owned()),
            Setting::Locked(_) => Some("disk: the lock of the group is held".to_owned()),
            Setting::PidOne => Some("pushwrap is PID 1".to_owned()),
        };
        self.kinds.extend(setting);
        self.kinds.extend(self.fault.map(fault_kind));
        let modes = self.modes.iter().flatten().map(|mode| format!("gateway: {}", mode.kind()));
        let mut modes: Vec<String> = modes.collect();
        modes.sort();
        modes.dedup();
        self.kinds.extend(modes);
    }
}

impl CommandPlan {
    /// Whether it is a script of ours.
    pub(crate) fn is_script(&self) -> bool {
        !matches!(self.ending, Ending::NotFound | Ending::CannotRun)
    }

    /// How long it runs at least, if nothing ends it.
    pub(crate) fn duration(&self) -> Duration {
        let stopped = if self.stops { ms(100) } else { Duration::ZERO };
        match self.ending {
            Ending::NotFound | Ending::CannotRun => Duration::ZERO,
            Ending::Timeout => ms(250),
            Ending::Stubborn => ms(450),
            Ending::Counts => ms(600) + stopped,
            _ => self.lasts + stopped,
        }
    }
}

fn fault_kind(fault: Fault) -> String {
    let name = |target| match target {
        Target::Pushwrap => "pushwrap",
        Target::Command => "the command",
        Target::Both => "pushwrap and the command",
        Target::Group => "the whole group",
    };
    match fault {
        Fault::Signal { to, signal, times, .. } => {
            let times = if times > 1 { format!(", {times} times") } else { String::new() };
            format!("signal: {} to {}{times}", signal.as_str().trim_start_matches("SIG"), name(to))
        }
        Fault::Pause { to, .. } => format!("signal: STOP and CONT to {}", name(to)),
    }
}

//! The run's own metrics: their names, types and help texts, and what each of them says about a run. The table below is the
//! one that docs/metrics.md prints; the same TYPE and HELP in every version, because the gateway refuses a metric whose type changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::child::{ResourceUsage, TreeUsage};
use crate::exposition::{Family, Kind};
use crate::outcome::{End, Outcome, RunCounts};
use crate::schedule::Schedule;

/// One of the run's own metrics, as the table in docs/metrics.md describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMetric {
    /// The name without the prefix.
    pub name: &'static str,
    /// The labels it carries, as they are written in the table.
    pub labels: &'static str,
    /// In which pushes it is.
    pub when: &'static str,
    /// Its HELP text.
    pub help: &'static str,
}

impl RunMetric {
    /// Counters end in `_total` (Prometheus, "Metric and label naming"); all others are gauges.
    fn is_counter(self) -> bool {
        self.name.ends_with("_total")
    }
}

macro_rules! metrics {
    ($($constant:ident = $name:literal $labels:literal, $when:literal, $help:literal;)*) => {
        $(const $constant: RunMetric = RunMetric { name: $name, labels: $labels, when: $when, help: $help };)*
        /// Every metric of a run, in the order in which they are written.
        pub const METRICS: &[RunMetric] = &[$($constant),*];
    };
}

metrics! {
    RUNNING = "running" "", "always", "1 while the command runs, 0 when it has ended.";
    START = "start_timestamp_seconds" "", "always", "Wall clock when the command was started.";
    END = "end_timestamp_seconds" "", "final", "Wall clock when the command had ended.";
    DURATION = "duration_seconds" "", "final", "Monotonic time from just before the start of the command to its end.";
    EXIT_CODE = "exit_code" "", "final", "Exit status as a shell would show it: 128+N after death by signal N.";
    SUCCESS = "success" "", "final, unless skipped", "1 when the exit code is a success and nothing else ended the run.";
    OUTCOME = "outcome" r#"{outcome="…"}"#, "final", "How the run ended: 1 for the outcome that happened, 0 for the others.";
    LAST_SUCCESS = "last_success_timestamp_seconds" "", "successful final only", "Wall clock when the job last succeeded.";
    LAST_SKIPPED = "last_skipped_timestamp_seconds" "", "skipped final only", "Wall clock when the job was last skipped.";
    CPU = "cpu_seconds" r#"{mode="user"|"system"}"#, "final", "CPU time of the command and the descendants it waited for.";
    PEAK_RSS = "peak_rss_bytes" "", "final", "Peak resident memory of the largest single process (ru_maxrss).";
    DISK_READ = "disk_read_bytes" "", "final", "Bytes read from disks by the command and the descendants it waited for.";
    DISK_WRITTEN = "disk_written_bytes" "", "final", "Bytes written to disks by the command and the descendants it waited for.";
    MAJOR_PAGE_FAULTS = "major_page_faults" "", "final", "Page faults of the command and the descendants it waited for that had to wait for a disk.";
    TREE_PEAK_RSS = "tree_peak_rss_bytes" "", "when sampled", "Sampled peak of the memory of the command's process tree; a page that several processes share counts once.";
    CPU_THROTTLED = "cpu_throttled_seconds" "", "where a CPU quota holds", "Time for which a CPU quota stopped the control group during the run, summed over CPUs.";
    MEMORY_LIMIT = "memory_limit_bytes" "", "where one holds", "Effective memory limit of the control group.";
    TEXTFILE_SAMPLES = "textfile_samples" "", "always", "Samples taken from the command's metrics.";
    TEXTFILE_ERRORS = "textfile_errors" "", "always", "Problems found in the command's metrics.";
    REPORT = "report_timestamp_seconds" "", "always", "Wall clock when this report was made.";
    OOM_KILLS = "oom_kills" "", "where the kernel counts them", "Processes of the control group that the kernel killed for want of memory during the run.";
    TEXTFILE_MTIME = "textfile_mtime_seconds" "", "when a file was read", "Wall clock when the oldest metrics file that was read was last written.";
    NEXT_DEADLINE = "next_success_deadline_timestamp_seconds" "", "with `--schedule`", "First scheduled time after the start of the run, plus the margin: without a success since it is overdue.";
    MAX_AGE = "max_age_seconds" "", "with `--max-age`", "How old the last success may become before the job counts as overdue.";
    TIMEOUT = "timeout_seconds" "", "with `--timeout`", "Time after which the command is ended.";
    RUNS_TOTAL = "runs_total" r#"{outcome="…"}"#, "with a state directory", "Runs since the state directory was made, by outcome.";
    CONSECUTIVE_FAILURES = "consecutive_failures" "", "with a state directory", "Runs since the last success; skipped ones do not count.";
    RUN_INFO = "run_info" r#"{host="…",command="…",version="…"}"#, "always", "1, with labels that tell about the run.";
}

/// The type of the run metric with this full name, under the default prefix.
#[must_use]
pub fn kind_of(name: &str) -> Option<Kind> {
    let name = name.strip_prefix(DEFAULT_PREFIX)?;
    let metric = METRICS.iter().find(|metric| metric.name == name)?;
    Some(if metric.is_counter() { Kind::Counter } else { Kind::Gauge })
}

/// What the names of a run's metrics begin with where `--prefix` says nothing else.
pub const DEFAULT_PREFIX: &str = "pushwrap_";

/// What the metrics say about a run besides its measurements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunIdentity {
    /// `--prefix`: what every name begins with.
    pub prefix: String,
    /// The host name; empty where there is none.
    pub host: String,
    /// The file name of the command. Arguments can hold secrets.
    pub command: String,
    /// `--info`.
    pub info: Vec<(String, String)>,
    /// `--schedule` and `--schedule-margin`.
    pub deadline: Option<DeadlineRule>,
    /// `--max-age`.
    pub max_age: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
}

/// By when a run must have succeeded: its schedule, and what is added to the scheduled time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineRule {
    /// When the job runs.
    pub schedule: Schedule,
    /// The zone of the schedule.
    pub zone: TimeZone,
    /// How long after the scheduled time a run may succeed.
    pub margin: Duration,
}

impl DeadlineRule {
    /// The deadline that a run of this start sets for the next one; none where no run is scheduled for decades.
    fn after(&self, start: SystemTime) -> Option<SystemTime> {
        self.schedule.next(start, &self.zone)?.checked_add(self.margin)
    }
}

impl RunIdentity {
    /// Names that the command's own metrics must leave alone: those of this run, and those under the default prefix, whose types
    /// all other runs depend on.
    #[must_use]
    pub fn reserved_names(&self) -> Vec<String> {
        let default = Self { prefix: DEFAULT_PREFIX.to_owned(), ..Self::default() };
        let names = |identity: &Self| METRICS.iter().map(|metric| identity.name(*metric)).collect();
        let mut reserved: Vec<String> = names(self);
        if *self.prefix != *DEFAULT_PREFIX {
            reserved.append(&mut names(&default));
        }
        reserved
    }

    /// What a failing or a skipped run says nothing about, so that it stays where a report replaces an older one as a whole.
    #[must_use]
    pub fn carried_over_names(&self) -> Vec<String> {
        [LAST_SUCCESS, LAST_SKIPPED, SUCCESS].map(|metric| self.name(metric)).to_vec()
    }

    /// The name of the metric that tells the runs of a group apart: when the command was started.
    #[must_use]
    pub fn start_name(&self) -> String {
        self.name(START)
    }

    fn name(&self, metric: RunMetric) -> String {
        format!("{}{}", self.prefix, metric.name)
    }
}

/// What is known from the start of a run to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFacts {
    /// Wall clock when the command was started.
    pub started: SystemTime,
    /// Wall clock when this report is made.
    pub reported: SystemTime,
    /// What is seen of the process tree as a whole.
    pub tree: TreeUsage,
    /// The effective memory limit of the control group, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Samples taken from the command's metrics.
    pub textfile_samples: u64,
    /// Problems found in the command's metrics.
    pub textfile_errors: u64,
    /// When the oldest metrics file that was read was last written; none where none was read.
    pub textfile_written: Option<SystemTime>,
    /// How often the job has run, this run included; none while it runs and without a state directory.
    pub counts: Option<RunCounts>,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage {
    /// The command runs.
    Running,
    /// The command still runs, but pushwrap got a stop signal: a KILL may follow before the end is seen.
    StopOrdered,
    /// The command has survived an order to stop: that it was terminated is taken back.
    GoesOn,
    /// The command has ended, or could not be started.
    Ended(RunEnd, Outcome),
}

/// What is known when a run is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEnd {
    /// How it ended.
    pub end: End,
    /// Wall clock then.
    pub at: SystemTime,
    /// Monotonic duration.
    pub duration: Duration,
    /// What the command used; none when it was not started.
    pub usage: Option<ResourceUsage>,
}

/// The metrics of a run, in the order of [`METRICS`].
#[must_use]
pub fn compose(identity: &RunIdentity, facts: &RunFacts, stage: &Stage) -> Vec<Family<'static>> {
    let mut report = Composer { identity, families: Vec::with_capacity(METRICS.len()) };
    let ended = if let Stage::Ended(ending, outcome) = stage { Some((ending, *outcome)) } else { None };
    report.number(RUNNING, u64::from(ended.is_none()));
    report.gauge(START, timestamp(facts.started));
    if let Some((ending, outcome)) = ended {
        report.end(ending, outcome);
    }
    match (stage, ended) {
        (Stage::StopOrdered, _) => report.outcome(Some(Outcome::Terminated)),
        (Stage::GoesOn, _) => report.outcome(None),
        (_, Some((_, outcome))) => report.outcome(Some(outcome)),
        _ => {}
    }
    if let Some((ending, outcome)) = ended {
        report.after_outcome(ending, outcome);
    }
    report.rest(facts);
    report.families
}

/// The report of a run that did not start the job because another run goes on: the time, and the counts. Nothing that the other
/// one tells is among it.
#[must_use]
pub fn compose_skipped(identity: &RunIdentity, end: &RunEnd, counts: Option<RunCounts>) -> Vec<Family<'static>> {
    let mut report = Composer { identity, families: Vec::new() };
    report.gauge(LAST_SKIPPED, timestamp(end.at));
    if let Some(counts) = counts {
        report.counts(counts);
    }
    report.families
}

/// The counts alone, for runs that were killed.
#[must_use]
pub fn compose_counts(prefix: &str, counts: RunCounts) -> Vec<Family<'static>> {
    let identity = RunIdentity { prefix: prefix.to_owned(), ..RunIdentity::default() };
    let mut report = Composer { identity: &identity, families: Vec::new() };
    report.counts(counts);
    report.families
}

struct Composer<'i> {
    identity: &'i RunIdentity,
    families: Vec<Family<'static>>,
}

impl Composer<'_> {
    fn gauge(&mut self, metric: RunMetric, value: String) {
        self.labelled(metric, &[(Vec::new(), value)]);
    }

    fn number(&mut self, metric: RunMetric, value: u64) {
        self.gauge(metric, value.to_string());
    }

    fn labelled(&mut self, metric: RunMetric, samples: &[(Vec<(&str, &str)>, String)]) {
        let name = self.identity.name(metric);
        let empty =
            if metric.is_counter() { Family::counter(name, metric.help) } else { Family::gauge(name, metric.help) };
        let family = samples.iter().fold(empty, |family, (labels, value)| family.sample(labels, value.clone()));
        self.families.push(family);
    }

    fn outcome(&mut self, happened: Option<Outcome>) {
        let state =
            |outcome: Outcome| (vec![("outcome", outcome.name())], u8::from(Some(outcome) == happened).to_string());
        self.labelled(OUTCOME, &Outcome::ALL.map(state));
    }

    fn end(&mut self, ending: &RunEnd, outcome: Outcome) {
        self.gauge(END, timestamp(ending.at));
        self.gauge(DURATION, seconds(ending.duration));
        self.number(EXIT_CODE, u64::from(ending.end.code()));
        if outcome != Outcome::Skipped {
            self.number(SUCCESS, u64::from(outcome == Outcome::Success));
        }
    }

    fn after_outcome(&mut self, ending: &RunEnd, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.gauge(LAST_SUCCESS, timestamp(ending.at));
        }
        if outcome == Outcome::Skipped {
            self.gauge(LAST_SKIPPED, timestamp(ending.at));
        }
        // A command that was not started used nothing. Left out, what the run before had used would stay at the gateway.
        let usage = ending.usage.unwrap_or_default();
        let user = (vec![("mode", "user")], seconds(usage.cpu_user));
        let system = (vec![("mode", "system")], seconds(usage.cpu_system));
        self.labelled(CPU, &[user, system]);
        self.number(PEAK_RSS, usage.peak_rss_bytes);
        self.number(DISK_READ, usage.disk_read_bytes);
        self.number(DISK_WRITTEN, usage.disk_written_bytes);
        self.number(MAJOR_PAGE_FAULTS, usage.major_page_faults);
    }

    fn rest(&mut self, facts: &RunFacts) {
        if let Some(bytes) = facts.tree.peak_rss_bytes {
            self.number(TREE_PEAK_RSS, bytes);
        }
        if let Some(throttled) = facts.tree.cpu_throttled {
            self.gauge(CPU_THROTTLED, seconds(throttled));
        }
        if let Some(bytes) = facts.memory_limit_bytes {
            self.number(MEMORY_LIMIT, bytes);
        }
        self.number(TEXTFILE_SAMPLES, facts.textfile_samples);
        self.number(TEXTFILE_ERRORS, facts.textfile_errors);
        self.gauge(REPORT, timestamp(facts.reported));
        if let Some(kills) = facts.tree.oom_kills {
            self.number(OOM_KILLS, kills);
        }
        if let Some(written) = facts.textfile_written {
            self.gauge(TEXTFILE_MTIME, timestamp(written));
        }
        if let Some(deadline) = self.identity.deadline.as_ref().and_then(|rule| rule.after(facts.started)) {
            self.gauge(NEXT_DEADLINE, timestamp(deadline));
        }
        if let Some(max_age) = self.identity.max_age {
            self.gauge(MAX_AGE, seconds(max_age));
        }
        if let Some(timeout) = self.identity.timeout {
            self.gauge(TIMEOUT, seconds(timeout));
        }
        if let Some(counts) = facts.counts {
            self.counts(counts);
        }
        self.info();
    }

    fn counts(&mut self, counts: RunCounts) {
        let count = |outcome: Outcome| (vec![("outcome", outcome.name())], counts.runs(outcome).to_string());
        let lost = (vec![("outcome", "lost")], counts.lost.to_string());
        self.labelled(RUNS_TOTAL, &Outcome::ALL.map(count).into_iter().chain([lost]).collect::<Vec<_>>());
        self.number(CONSECUTIVE_FAILURES, counts.consecutive_failures);
    }

    fn info(&mut self) {
        let identity = self.identity;
        let own = [("host", &identity.host), ("command", &identity.command)];
        let mut labels: Vec<(&str, &str)> = own.map(|(name, value)| (name, value.as_str())).to_vec();
        labels.retain(|(_, value)| !value.is_empty());
        labels.push(("version", env!("CARGO_PKG_VERSION")));
        let info = identity.info.iter().filter(|(_, value)| !value.is_empty());
        labels.extend(info.map(|(name, value)| (name.as_str(), value.as_str())));
        self.labelled(RUN_INFO, &[(labels, "1".to_owned())]);
    }
}

/// Seconds since 1970 with what the clock gives below a second.
fn timestamp(time: SystemTime) -> String {
    seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Seconds as a decimal, down to the nanosecond, without trailing zeros.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The table of [`METRICS`] in Markdown, as docs/metrics.md has it.
#[must_use]
pub fn markdown_table() -> String {
    let row = |metric: &RunMetric| {
        let name = format!("pushwrap_{}{}", metric.name, metric.labels.replace('|', "\\|"));
        format!("| `{name}` | {} | {} |\n", metric.when, metric.help)
    };
    let rows: String = METRICS.iter().map(row).collect();
    format!("| name | when | meaning |\n|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use jiff::tz::TimeZone;

    use super::{DeadlineRule, METRICS, RunEnd, RunFacts, RunIdentity, Stage, compose, seconds};
    use crate::child::{ResourceUsage, TreeUsage};
    use crate::exposition::encode;
    use crate::outcome::{Cause, Codes, End, NotStarted, Outcome, RunCounts, Status};

    fn identity() -> RunIdentity {
        RunIdentity {
            prefix: "pushwrap_".into(),
            host: "db1".into(),
            command: "backup".into(),
            ..RunIdentity::default()
        }
    }

    fn facts() -> RunFacts {
        RunFacts {
            started: UNIX_EPOCH + Duration::from_millis(1_500),
            reported: UNIX_EPOCH + Duration::from_secs(4),
            tree: TreeUsage::default(),
            memory_limit_bytes: None,
            textfile_samples: 0,
            textfile_errors: 0,
            textfile_written: None,
            counts: None,
        }
    }

    fn text(stage: &Stage) -> String {
        String::from_utf8(encode(&compose(&identity(), &facts(), stage))).unwrap()
    }

    fn ended(code: u8, codes: &Codes) -> Stage {
        let end = End::Ended { status: Status::Exited(code), cause: Cause::default() };
        let usage =
            ResourceUsage { cpu_user: Duration::from_millis(20), peak_rss_bytes: 4096, ..ResourceUsage::default() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(3);
        Stage::Ended(RunEnd { end, at, duration: Duration::from_millis(1_500), usage: Some(usage) }, end.outcome(codes))
    }

    #[test]
    fn a_success_says_when() {
        let text = text(&ended(0, &Codes::default()));
        assert!(text.contains("\npushwrap_last_success_timestamp_seconds 3\n"), "{text}");
        assert!(text.contains("\npushwrap_success 1\n"), "{text}");
        assert!(text.contains("\npushwrap_outcome{outcome=\"success\"} 1\n"), "{text}");
        assert!(text.contains("\npushwrap_outcome{outcome=\"terminated\"} 0\n"), "{text}");
        assert!(text.contains("\npushwrap_cpu_seconds{mode=\"user\"} 0.02\n"), "{text}");
    }

    #[test]
    fn what_was_not_started_used_nothing_and_says_so() {
        let end = End::NotStarted(NotStarted::NotFound);
        let ending = RunEnd { end, at: UNIX_EPOCH, duration: Duration::ZERO, usage: None };
        let text = text(&Stage::Ended(ending, end.outcome(&Codes::default())));
        assert!(text.contains("\npushwrap_cpu_seconds{mode=\"user\"} 0\n"), "{text}");
        assert!(text.contains("\npushwrap_peak_rss_bytes 0\n"), "{text}");
    }

    #[test]
    fn a_failure_leaves_the_last_success_alone() {
        let text = text(&ended(3, &Codes::default()));
        assert!(text.contains("\npushwrap_exit_code 3\n") && text.contains("\npushwrap_success 0\n"), "{text}");
        assert!(!text.contains("last_success"), "{text}");
    }

    #[test]
    fn a_skipped_run_is_neither() {
        let text = text(&ended(75, &Codes { success: vec![0], skip: vec![75] }));
        assert!(text.contains("{outcome=\"skipped\"} 1\n"), "{text}");
        assert!(!text.contains("pushwrap_success") && !text.contains("last_success"), "{text}");
    }

    #[test]
    fn a_running_command_has_no_end() {
        let running = text(&Stage::Running);
        assert!(running.contains("pushwrap_running 1\n") && !running.contains("outcome"), "{running}");
        let goes_on = text(&Stage::GoesOn);
        assert_eq!(goes_on.matches("pushwrap_outcome{outcome=").count(), 8);
        assert!(
            !goes_on.contains("\"} 1\npushwrap_outcome") && goes_on.contains("outcome=\"terminated\"} 0"),
            "{goes_on}"
        );
        let stopping = text(&Stage::StopOrdered);
        assert!(
            stopping.contains("pushwrap_running 1\n") && stopping.contains("{outcome=\"terminated\"} 1\n"),
            "{stopping}"
        );
        assert!(!stopping.contains("exit_code"), "{stopping}");
    }

    #[test]
    fn the_families_keep_the_order_of_the_table() {
        let everything = RunFacts {
            textfile_written: Some(UNIX_EPOCH),
            tree: TreeUsage { peak_rss_bytes: Some(1), cpu_throttled: Some(Duration::ZERO), oom_kills: Some(0) },
            memory_limit_bytes: Some(2),
            counts: Some(RunCounts::default()),
            ..facts()
        };
        let second = Some(Duration::from_secs(1));
        let (schedule, zone) = ("@daily".parse().unwrap(), TimeZone::UTC);
        let deadline = Some(DeadlineRule { schedule, zone, margin: Duration::ZERO });
        let identity = RunIdentity { deadline, max_age: second, timeout: second, ..identity() };
        let stage = ended(0, &Codes::default());
        let text = String::from_utf8(encode(&compose(&identity, &everything, &stage))).unwrap();
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let expected: Vec<String> = METRICS
            .iter()
            .filter(|metric| **metric != super::LAST_SKIPPED)
            .map(|metric| format!("pushwrap_{} {}", metric.name, if metric.is_counter() { "counter" } else { "gauge" }))
            .collect();
        assert_eq!(types, expected);
        assert_eq!(Outcome::ALL.len(), 8);
    }

    #[test]
    fn seconds_keep_the_nanoseconds() {
        assert_eq!(seconds(Duration::from_nanos(1_000_000_001)), "1.000000001");
        assert_eq!(seconds(Duration::from_secs(10)), "10");
        assert_eq!(seconds(Duration::ZERO), "0");
    }
}

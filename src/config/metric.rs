//! What `pushwrap metric` is to do. Its options stand on the command line alone; of the environment only `PUSHWRAP_TEXTFILE`
//! counts, which the run form sets.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::usage_error::UsageError;
use crate::cli;
use crate::console::Volume;
use crate::exposition::{Buckets, Change, Increment, MetricName, Observation, Step, Value};
use crate::grouping::Label;
use crate::report;

/// The settings of `pushwrap metric`.
#[derive(Debug)]
pub struct MetricConfig {
    /// The metrics file, if one is named.
    pub textfile: Option<PathBuf>,
    /// The verb and its operands.
    pub task: Task,
    /// The volume of messages on standard error.
    pub volume: Volume,
}

/// What `pushwrap metric` is to do.
#[derive(Debug)]
pub enum Task {
    /// Change the file.
    Change(Change),
    /// Run a command and measure it.
    Time {
        /// The command and its arguments, at least one element.
        program: Vec<OsString>,
        /// What is measured into which series. Whatever is wrong with it, the command runs.
        timing: Result<Timing, UsageError>,
    },
    /// Print the names of the metrics in the file.
    Names,
}

/// The series that gets the time of a command.
#[derive(Debug)]
pub struct Timing {
    series: TargetSeries,
    instrument: Instrument,
}

/// The metric that takes an observation.
#[derive(Debug, Clone)]
enum Instrument {
    Gauge,
    Histogram(Option<Buckets>),
    Summary,
}

/// Which series.
#[derive(Debug)]
struct TargetSeries {
    name: MetricName,
    labels: Vec<(String, String)>,
    help: Option<String>,
}

/// Resolves `pushwrap metric`.
///
/// # Errors
/// Bad usage, but for `time`: there it is kept beside the command, which runs all the same.
pub fn resolve_metric(metric: cli::Metric) -> Result<MetricConfig, UsageError> {
    let (file, task) = match metric.verb {
        cli::Verb::Set(cli::Set { series, value }) => {
            let value = number::<Value>(&value)?;
            let task = change(&series, Step::Set(value))?;
            (series.file, task)
        }
        cli::Verb::Add(cli::Add { series, value }) => {
            let increment = number::<Increment>(value.as_deref().unwrap_or("1"))?;
            let task = change(&series, Step::Add(increment))?;
            (series.file, task)
        }
        cli::Verb::Observe(cli::Observe { series, value, kind, buckets }) => {
            let observation = number::<Observation>(&value)?;
            let kind = kind.as_deref().unwrap_or("histogram");
            let step = match instrument(kind, buckets.as_deref(), &["histogram", "summary"])? {
                Instrument::Histogram(buckets) => Step::Histogram(observation, buckets),
                _ => Step::Summary(observation),
            };
            let task = change(&series, step)?;
            (series.file, task)
        }
        cli::Verb::Time(time) => {
            let timing = timing(&time);
            (time.series.file, Task::Time { program: time.command, timing })
        }
        cli::Verb::Names(names) => (names.file, Task::Names),
    };
    // Empty is what an unset variable of a shell leaves.
    let given = |path: Option<OsString>| path.filter(|path| !path.is_empty()).map(PathBuf::from);
    let textfile = given(file.textfile).or_else(|| given(std::env::var_os("PUSHWRAP_TEXTFILE")));
    let volume = if file.verbose { Volume::Verbose } else { Volume::Normal };
    Ok(MetricConfig { textfile, task, volume })
}

impl Timing {
    /// The name of the metric.
    #[must_use]
    pub fn name(&self) -> &str {
        self.series.name.as_str()
    }

    /// The change that records a duration.
    #[must_use]
    pub fn change(self, duration: Duration) -> Change {
        let TargetSeries { name, labels, help } = self.series;
        let step = match self.instrument {
            Instrument::Gauge => Step::Set(Value::from(duration.as_secs_f64())),
            Instrument::Histogram(buckets) => Step::Histogram(duration.into(), buckets),
            Instrument::Summary => Step::Summary(duration.into()),
        };
        Change { name, labels, help, step }
    }
}

fn timing(time: &cli::Time) -> Result<Timing, UsageError> {
    let kind = time.kind.as_deref().unwrap_or("gauge");
    let instrument = instrument(kind, time.buckets.as_deref(), &["gauge", "histogram", "summary"])?;
    let special = match instrument {
        Instrument::Gauge => None,
        Instrument::Histogram(_) => Some("le"),
        Instrument::Summary => Some("quantile"),
    };
    Ok(Timing { series: series(&time.series, special)?, instrument })
}

fn change(given: &cli::SeriesOptions, step: Step) -> Result<Task, UsageError> {
    let special = match step {
        Step::Set(_) | Step::Add(_) => None,
        Step::Histogram(..) => Some("le"),
        Step::Summary(_) => Some("quantile"),
    };
    let TargetSeries { name, labels, help } = series(given, special)?;
    Ok(Task::Change(Change { name, labels, help, step }))
}

fn instrument(kind: &str, buckets: Option<&str>, known: &[&str]) -> Result<Instrument, UsageError> {
    let buckets = buckets.map(|buckets| parse::<Buckets>("--buckets", buckets)).transpose()?;
    match kind {
        _ if !known.contains(&kind) => {
            Err(UsageError(format!("invalid --type '{kind}': expected {}", known.join(", "))))
        }
        "histogram" => Ok(Instrument::Histogram(buckets)),
        _ if buckets.is_some() => {
            Err(UsageError(format!("a {kind} has no buckets: --buckets goes with --type histogram")))
        }
        "summary" => Ok(Instrument::Summary),
        _ => Ok(Instrument::Gauge),
    }
}

/// Resolves the series. `special` is the label that its type keeps for itself.
fn series(given: &cli::SeriesOptions, special: Option<&str>) -> Result<TargetSeries, UsageError> {
    let name: MetricName = parse("metric name", text("metric name", &given.name)?)?;
    // Also `add NAME`, which counts in NAME_total.
    let total = format!("{}_total", name.as_str());
    if let Some(own) = [name.as_str(), &total].into_iter().find(|name| report::kind_of(name).is_some()) {
        let reason = format!("'{own}' is a metric of every run under pushwrap: choose another name");
        return Err(UsageError(format!("invalid metric name '{}': {reason}", name.as_str())));
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    for label in &given.label {
        let Label { name, value } = parse("label", text("label", label)?)?;
        let name = name.as_str();
        if special == Some(name) {
            return Err(UsageError(format!("invalid label '{name}': histograms and summaries keep it for themselves")));
        }
        if labels.iter().any(|(known, _)| known == name) {
            return Err(UsageError(format!("the label '{name}' is given twice")));
        }
        labels.push((name.to_owned(), value));
    }
    let help = given.help_text.as_deref().map(|help| text("--help-text", help)).transpose()?;
    Ok(TargetSeries { name, labels, help: help.map(ToOwned::to_owned) })
}

fn text<'t>(what: &str, given: &'t OsStr) -> Result<&'t str, UsageError> {
    given.to_str().ok_or_else(|| UsageError(format!("invalid {what} '{}': it is not UTF-8", given.to_string_lossy())))
}

/// Resolves a value. What looks like a label stands there where somebody forgot its option.
fn number<T: std::str::FromStr<Err = String>>(given: &str) -> Result<T, UsageError> {
    match given.split_once('=') {
        Some(_) => Err(UsageError(format!("invalid value '{given}': a label is given with -l, as in -l {given}"))),
        None => parse("value", given),
    }
}

fn parse<T: std::str::FromStr<Err = String>>(what: &str, given: &str) -> Result<T, UsageError> {
    given.parse().map_err(|error| UsageError(format!("invalid {what} '{given}': {error}")))
}

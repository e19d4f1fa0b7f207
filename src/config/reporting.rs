//! Where and how a run is reported, as the options of the run form and of `push` say it together with the layers below them.

use std::time::Duration;

use super::connection::Connection;
use super::destination::{Destination, resolve_destination, resolve_other_sinks};
use super::grouping_key::{self, Fallbacks, KeyOptions};
use super::source::{Complaints, Resolver, values};
use super::usage_error::UsageError;
use crate::cli;
use crate::console::Volume;
use crate::delivery::SpoolPath;
use crate::grouping::GroupingKey;
use crate::http::Deadline;
use crate::sink::{Method, Sink};

const DEFAULT_PUSH_INTERVAL: Duration = Duration::from_mins(1);

/// Where and how a run is reported.
#[derive(Debug)]
pub struct Reporting {
    /// The group at the gateway. None where the configuration is wrong: then nothing can be pushed.
    pub key: Option<GroupingKey>,
    /// The gateways that get the metrics.
    pub destination: Destination,
    /// The sinks besides gateways: `--remote-write` and `--output`.
    pub other_sinks: Vec<Sink>,
    /// `--state-dir`: where pushes that failed wait and runs are counted.
    pub state_dir: SpoolPath,
    /// Errors in the environment or the env file: they are reported, and nothing is pushed.
    pub errors: Vec<String>,
    /// Warnings that fail nothing.
    pub warnings: Vec<String>,
    /// The method of the final push of a successful run.
    pub on_success: Method,
    /// The budget of one push, everything included.
    pub push_timeout: Duration,
    /// Whether `--push-timeout` was given: a gateway that cannot be reached is then tried again for all of it.
    pub push_timeout_given: bool,
    /// How often is pushed while the command runs. None: never.
    pub push_interval: Option<Duration>,
    /// Whether a push that failed makes a successful run fail.
    pub require_push: bool,
    /// Whether the request is printed instead of sent.
    pub dry_run: bool,
}

impl Reporting {
    /// Whether a sink besides gateways gets the report.
    #[must_use]
    pub fn has_other_sink(&self) -> bool {
        !self.other_sinks.is_empty()
    }

    /// Whether anybody gets the report.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        !matches!(self.destination, Destination::Nowhere) || self.has_other_sink()
    }

    /// All sinks, the gateways first.
    #[must_use]
    pub fn sinks(&self) -> Vec<Sink> {
        let gateways = match &self.destination {
            Destination::Gateways(gateways) => gateways.as_slice(),
            Destination::Unnamed | Destination::Nowhere => &[],
        };
        gateways.iter().cloned().map(Sink::Pushgateway).chain(self.other_sinks.iter().cloned()).collect()
    }

    /// When a push that begins now has to be over. A gateway that cannot be reached at all is tried again for `patience`.
    #[must_use]
    pub fn deadline(&self, patience: Duration) -> Deadline {
        let deadline = Deadline::after(self.push_timeout);
        if self.push_timeout_given { deadline } else { deadline.patient(patience) }
    }

    /// A report that nobody gets, because of `error`.
    pub(super) fn nowhere(error: String) -> Self {
        Self {
            key: None,
            destination: Destination::Nowhere,
            other_sinks: Vec::new(),
            state_dir: SpoolPath::None,
            errors: vec![error],
            warnings: Vec::new(),
            on_success: Method::Add,
            push_timeout: Duration::ZERO,
            push_timeout_given: false,
            push_interval: None,
            require_push: false,
            dry_run: false,
        }
    }

    /// With what went wrong on the way.
    pub(super) fn with(self, complaints: Complaints) -> Self {
        let Complaints { mut errors, mut warnings } = complaints;
        errors.extend(self.errors);
        warnings.extend(self.warnings);
        Self { errors, warnings, ..self }
    }

    /// Whether no sink was named: then the metrics are printed.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        matches!(self.destination, Destination::Unnamed) && !self.has_other_sink()
    }
}

/// The options of a report that `push` shares with the run form.
#[derive(Clone, Copy)]
pub(super) struct ReportInputs<'o> {
    pub(super) destination: &'o cli::DestinationOptions,
    pub(super) connection: &'o cli::ConnectionOptions,
    pub(super) messages: &'o cli::MessageOptions,
    pub(super) volume: Volume,
    /// The settings that only the run form has.
    pub(super) run: Option<(&'o cli::ReportOptions, &'o cli::SinkOptions)>,
}

pub(super) fn resolve_reporting(
    resolver: &mut Resolver,
    options: ReportInputs<'_>,
    fallbacks: Fallbacks,
) -> Result<Reporting, UsageError> {
    let ReportInputs { destination, connection, messages, volume, run } = options;
    let (run, sinks) = run.unzip();
    let connection = Connection::resolve(resolver, connection, volume)?;
    let gateways = resolve_destination(resolver, &destination.url, &connection)?;
    let (other_sinks, state_dir) = resolve_other_sinks(resolver, sinks, &connection)?;
    let mut warnings = Vec::new();
    let cli::DestinationOptions { job, label, instance, .. } = destination;
    let options = KeyOptions { job: job.as_deref(), labels: label, instance: instance.as_deref() };
    let key = grouping_key::resolve(resolver, options, fallbacks, &mut warnings)?;
    if !matches!(gateways, Destination::Gateways(_)) && other_sinks.is_empty() {
        warnings.clear();
    }
    let on_success = resolve_method(resolver, destination.replace, run.is_some_and(|run| run.delete_on_success))?;
    let push_interval = run.and_then(|run| run.push_interval.as_deref());
    let push_interval = resolver.one("push-interval", push_interval, values::interval)?;
    let require_push = resolver.switch("require-push", run.is_some_and(|run| run.require_push))?;
    Ok(Reporting {
        key,
        destination: gateways,
        other_sinks,
        state_dir,
        errors: Vec::new(),
        warnings,
        on_success,
        push_timeout: connection.push_timeout,
        push_timeout_given: connection.push_timeout_given,
        push_interval: push_interval.unwrap_or(Some(DEFAULT_PUSH_INTERVAL)),
        require_push,
        dry_run: resolver.switch("dry-run", messages.dry_run)?,
    })
}

fn resolve_method(resolver: &mut Resolver, replace: bool, delete: bool) -> Result<Method, UsageError> {
    let on = (resolver.switch("replace", replace)?, resolver.switch("delete-on-success", delete)?);
    let counts = match on {
        (true, true) => resolver.prefer(
            ("replace", replace),
            ("delete-on-success", delete),
            "--replace and --delete-on-success contradict each other: name one of them",
        )?,
        one => one,
    };
    Ok(match counts {
        (true, _) => Method::Replace,
        (_, true) => Method::Delete,
        _ => Method::Add,
    })
}

//! Where and how a run is reported, as the options of the run form and of `push` say it together with the layers below them.

use std::time::Duration;

use super::access::Access;
use super::doors::Doors;
use super::key::{self, Fallbacks, Named};
use super::resolver::Resolver;
use super::{Usage, values};
use crate::cli;
use crate::grouping::GroupingKey;
use crate::sink::{BaseUrl, Gateway, Method, OutputTarget, StateDir};

const DEFAULT_PUSH_INTERVAL: Duration = Duration::from_mins(1);

/// Where and how a run is reported.
#[derive(Debug)]
pub struct Reporting {
    /// The group at the gateway. None where the configuration is wrong: then nothing can be pushed.
    pub key: Option<GroupingKey>,
    /// Who gets the metrics.
    pub destination: Destination,
    /// `--output`: a file or standard error, besides.
    pub output: Option<OutputTarget>,
    /// `--remote-write`: a receiver, besides; its URL is the whole address.
    pub remote_write: Option<Gateway>,
    /// `--state-dir`: where pushes that failed wait and runs are counted.
    pub state_dir: StateDir,
    /// What is wrong in the environment or the env file: said, and then nothing is pushed.
    pub troubles: Vec<String>,
    /// What is said once although nothing is wrong.
    pub warnings: Vec<String>,
    /// What the final push of a successful run is.
    pub on_success: Method,
    /// The budget of one push, everything included.
    pub push_timeout: Duration,
    /// How often is pushed while the command runs. None: never.
    pub push_interval: Option<Duration>,
    /// Whether a push that failed makes a successful run fail.
    pub require_push: bool,
    /// Whether the request is printed instead of sent.
    pub dry_run: bool,
}

impl Reporting {
    /// Whether somebody besides gateways gets the report.
    #[must_use]
    pub fn has_other_door(&self) -> bool {
        self.output.is_some() || self.remote_write.is_some()
    }

    /// Whether nobody at all was named: then the metrics are printed.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        matches!(self.destination, Destination::Unnamed) && !self.has_other_door()
    }
}

/// Who gets the metrics.
#[derive(Debug)]
pub enum Destination {
    /// Nobody was named: they are printed on standard error.
    Unnamed,
    /// `--url none`: nobody, and nothing is said.
    Nowhere,
    /// Pushgateways, at least one.
    Gateways(Vec<Gateway>),
}

/// The options of a report that `push` shares with the run form.
#[derive(Clone, Copy)]
pub(super) struct ReportOptions<'o> {
    pub(super) destination: &'o cli::Destination,
    pub(super) delivery: &'o cli::Delivery,
    pub(super) said: &'o cli::Said,
    /// What only the run form has.
    pub(super) run: Option<(&'o cli::RunReport, &'o cli::Doors)>,
}

pub(super) fn resolve_reporting(
    resolver: &mut Resolver,
    options: ReportOptions<'_>,
    fallbacks: Fallbacks,
) -> Result<Reporting, Usage> {
    let ReportOptions { destination, delivery, said, run } = options;
    let (run, doors) = run.unzip();
    let access = Access::resolve(resolver, delivery)?;
    let gateways = resolve_destination(resolver, &destination.url, &access)?;
    let Doors { output, remote_write, state_dir } = Doors::resolve(resolver, doors, &access)?;
    let mut warnings = Vec::new();
    let cli::Destination { job, label, instance, .. } = destination;
    let named = Named { job: job.as_deref(), labels: label, instance: instance.as_deref() };
    let key = key::resolve(resolver, named, fallbacks, &mut warnings)?;
    if !matches!(gateways, Destination::Gateways(_)) && output.is_none() && remote_write.is_none() {
        warnings.clear();
    }
    let on_success = resolve_method(resolver, destination.replace, run.is_some_and(|run| run.delete_on_success))?;
    let push_interval = run.and_then(|run| run.push_interval.as_deref());
    let push_interval = resolver.one("push-interval", push_interval, values::interval)?;
    let require_push = resolver.switch("require-push", run.is_some_and(|run| run.require_push))?;
    Ok(Reporting {
        key,
        destination: gateways,
        output,
        remote_write,
        state_dir,
        troubles: Vec::new(),
        warnings,
        on_success,
        push_timeout: access.push_timeout,
        push_interval: push_interval.unwrap_or(Some(DEFAULT_PUSH_INTERVAL)),
        require_push,
        dry_run: resolver.switch("dry-run", said.dry_run)?,
    })
}

fn resolve_method(resolver: &mut Resolver, replace: bool, delete: bool) -> Result<Method, Usage> {
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

/// One `--url`: a gateway, or nowhere.
enum Target {
    Nowhere,
    Gateway(Box<BaseUrl>),
}

fn target(text: &str) -> Result<Target, String> {
    if text == "none" {
        return Ok(Target::Nowhere);
    }
    text.parse().map(|url| Target::Gateway(Box::new(url))).map_err(|error| format!("{error}"))
}

pub(super) fn resolve_destination(
    resolver: &mut Resolver,
    urls: &[String],
    access: &Access,
) -> Result<Destination, Usage> {
    let Some(targets) = resolver.many("url", urls, target)? else { return Ok(Destination::Unnamed) };
    let named = targets.len();
    let mut gateways: Vec<Gateway> = Vec::new();
    for target in targets {
        if let Target::Gateway(url) = target {
            let gateway = access.gateway(*url);
            if !gateways.iter().any(|known| known.url.to_string() == gateway.url.to_string()) {
                gateways.push(gateway);
            }
        } else if named > 1 {
            let contradiction = "--url none stands alone: it means that nothing is reported".to_owned();
            resolver.refuse(!urls.is_empty(), contradiction)?;
        }
    }
    Ok(if gateways.is_empty() { Destination::Nowhere } else { Destination::Gateways(gateways) })
}

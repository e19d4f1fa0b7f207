//! What the options of `groups`, `prune` and `delete` mean. There is no command to protect here, so a wrong variable stops
//! them as a wrong flag does.

use std::time::Duration;

use super::connection::Connection;
use super::destination::{Destination, resolve_destination};
use super::grouping_key::{self, Fallbacks, KeyOptions, non_empty};
use super::host::HostInfo;
use super::source::{Resolver, are_given, is_given, values};
use super::usage_error::UsageError;
use super::volume::resolve_volume;
use crate::cli;
use crate::console::Volume;
use crate::grouping::{GroupingKey, Label};
use crate::http::Endpoint;
use crate::report::DEFAULT_PREFIX;

/// Where VictoriaMetrics takes pushes (its "How to import data in Prometheus exposition format").
const VICTORIA_METRICS: &str = "/api/v1/import/prometheus";

/// The gateways that are looked at, and how.
#[derive(Debug)]
pub struct GatewayTargets {
    /// The gateways; none with `--url none`.
    pub gateways: Vec<Endpoint>,
    /// The budget of each reading and of each DELETE.
    pub push_timeout: Duration,
    /// Warnings that fail nothing.
    pub warnings: Vec<String>,
    /// The volume of messages on standard error.
    pub volume: Volume,
}

/// Which groups are meant; all where nothing is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFilter {
    /// `--job`.
    pub job: Option<String>,
    /// `--label`: the group has it, with this value.
    pub labels: Vec<(String, String)>,
}

impl GroupFilter {
    /// The filter in a message; none where all groups are meant.
    #[must_use]
    pub fn to_string_if_any(&self) -> Option<String> {
        let job = self.job.as_ref().map(|job| format!("job={job:?}"));
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
        let parts: Vec<String> = job.into_iter().chain(labels).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Whether the group is meant.
    #[must_use]
    pub fn meets(&self, key: &GroupingKey) -> bool {
        self.job.as_ref().is_none_or(|job| job == key.job())
            && self.labels.iter().all(|wanted| key.labels().contains(wanted))
    }
}

/// The settings of `pushwrap groups`.
#[derive(Debug)]
pub struct GroupsConfig {
    /// The gateways.
    pub targets: GatewayTargets,
    /// Which groups are listed.
    pub filter: GroupFilter,
    /// What the names of the runs' metrics begin with.
    pub prefix: String,
    /// Whether a program reads it.
    pub json: bool,
}

/// The settings of `pushwrap prune`.
#[derive(Debug)]
pub struct PruneConfig {
    /// The gateways.
    pub targets: GatewayTargets,
    /// Which groups may go.
    pub filter: GroupFilter,
    /// The least time since the last push to a group.
    pub older_than: Duration,
    /// Whether nothing is deleted.
    pub dry_run: bool,
}

/// The settings of `pushwrap delete`.
#[derive(Debug)]
pub struct DeleteConfig {
    /// The gateways.
    pub targets: GatewayTargets,
    /// The group.
    pub key: GroupingKey,
    /// Whether nothing is deleted.
    pub dry_run: bool,
}

/// Resolves the gateways that `pushwrap check` asks: none without `--url`, whatever the variables say, because a file is judged
/// without the network unless that is asked for.
///
/// # Errors
/// Bad usage.
pub fn resolve_check(check: &cli::Check) -> Result<Option<GatewayTargets>, UsageError> {
    let cli::Check { gateway, connection, volume, .. } = check;
    if !are_given(&gateway.url) {
        return Ok(None);
    }
    let mut resolver = Resolver::new(gateway.env_file.as_deref());
    resolve_targets(&mut resolver, gateway, connection, volume)?.with(resolver, Vec::new()).map(Some)
}

/// Resolves `pushwrap groups`.
///
/// # Errors
/// Bad usage.
pub fn resolve_groups(groups: &cli::Groups) -> Result<GroupsConfig, UsageError> {
    let cli::Groups { gateway, filter, json, prefix, connection, volume } = groups;
    let mut resolver = Resolver::new(gateway.env_file.as_deref());
    let prefix = resolver.one("prefix", prefix.as_deref(), values::prefix)?;
    let (filter, narrowed) = resolve_filter(&mut resolver, filter)?;
    let targets = resolve_targets(&mut resolver, gateway, connection, volume)?;
    Ok(GroupsConfig {
        targets: targets.with(resolver, narrowed)?,
        filter,
        prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        json: *json,
    })
}

/// Resolves `pushwrap prune`.
///
/// # Errors
/// Bad usage, a missing age above all.
pub fn resolve_prune(prune: &cli::Prune) -> Result<PruneConfig, UsageError> {
    let cli::Prune { gateway, older_than, filter, dry_run, connection, volume } = prune;
    refuse_empty(filter)?;
    let mut resolver = Resolver::new(gateway.env_file.as_deref());
    let older_than = resolver.one("older-than", older_than.as_deref(), values::age)?;
    let (filter, narrowed) = resolve_filter(&mut resolver, filter)?;
    let dry_run = resolver.switch("dry-run", *dry_run)?;
    let targets = resolve_targets(&mut resolver, gateway, connection, volume)?.with(resolver, narrowed)?;
    let missing =
        || UsageError("--older-than is required: how long nobody has pushed to a group, such as 30d".to_owned());
    Ok(PruneConfig { targets, filter, older_than: older_than.ok_or_else(missing)?, dry_run })
}

/// A filter that a script left empty would delete the groups of every job: here it is not "not given" but a mistake.
fn refuse_empty(filter: &cli::FilterOptions) -> Result<(), UsageError> {
    let empty = match filter {
        cli::FilterOptions { job: Some(job), .. } if job.trim().is_empty() => "--job",
        cli::FilterOptions { label, .. } if label.iter().any(|label| label.trim().is_empty()) => "--label",
        _ => return Ok(()),
    };
    Err(UsageError(format!("{empty} is empty: leave it out to delete the groups of every job")))
}

/// Resolves `pushwrap delete`.
///
/// # Errors
/// Bad usage, a missing job above all.
pub fn resolve_delete(delete: &cli::Delete) -> Result<DeleteConfig, UsageError> {
    let cli::Delete { gateway, job, label, instance, dry_run, connection, volume } = delete;
    let mut resolver = Resolver::new(gateway.env_file.as_deref());
    let named = KeyOptions { job: job.as_deref(), labels: label, instance: instance.as_deref() };
    let fallbacks = Fallbacks { host: HostInfo::detect(), job: None };
    let key = grouping_key::resolve(&mut resolver, named, fallbacks, &mut Vec::new())?;
    let dry_run = resolver.switch("dry-run", *dry_run)?;
    let targets = resolve_targets(&mut resolver, gateway, connection, volume)?.with(resolver, Vec::new())?;
    let key = key.ok_or_else(|| UsageError("--job is required: it names the group".to_owned()))?;
    Ok(DeleteConfig { targets, key, dry_run })
}

fn resolve_targets(
    resolver: &mut Resolver,
    gateway: &cli::GatewayOptions,
    connection: &cli::ConnectionOptions,
    volume: &cli::VolumeOptions,
) -> Result<GatewayTargets, UsageError> {
    let volume = resolve_volume(resolver, volume)?;
    let connection = Connection::resolve(resolver, connection, volume)?;
    let gateways = match resolve_destination(resolver, &gateway.url, &connection)? {
        Destination::Gateways(gateways) => gateways,
        Destination::Nowhere => Vec::new(),
        Destination::Unnamed => {
            resolver.refuse(false, "no gateway is named: it takes --url URL or PUSHWRAP_URL".to_owned())?;
            Vec::new()
        }
    };
    // It has nothing of a Pushgateway but the push, and takes even a DELETE for one: 200, and nothing is deleted.
    if let Some(gateway) = gateways.iter().find(|gateway| gateway.url.prefix().ends_with(VICTORIA_METRICS)) {
        let reason = "this is VictoriaMetrics, which has no groups: a Pushgateway has them";
        return Err(UsageError(format!("invalid value '{}' for --url: {reason}", gateway.url)));
    }
    Ok(GatewayTargets { gateways, push_timeout: connection.push_timeout, warnings: Vec::new(), volume })
}

impl GatewayTargets {
    /// With what there is to say, unless something is wrong.
    fn with(self, resolver: Resolver, narrowed: Vec<String>) -> Result<Self, UsageError> {
        Ok(Self { warnings: resolver.warnings()?.into_iter().chain(narrowed).collect(), ..self })
    }
}

/// The filter, and what to say where a variable narrows it: nobody should wonder where the other groups are.
fn resolve_filter(
    resolver: &mut Resolver,
    filter: &cli::FilterOptions,
) -> Result<(GroupFilter, Vec<String>), UsageError> {
    let labels = resolver.many("label", &filter.label, wanted)?.unwrap_or_default();
    let job = resolver.one("job", filter.job.as_deref(), non_empty)?;
    let mut narrowed = Vec::new();
    if let (false, Some(job)) = (is_given(filter.job.as_ref()), &job) {
        narrowed.push(format!("PUSHWRAP_JOB is set: only groups of job '{job}'"));
    }
    if !are_given(&filter.label) && !labels.is_empty() {
        narrowed.push("PUSHWRAP_LABEL is set: only groups with these labels".to_owned());
    }
    let labels = labels.into_iter().map(|label| (label.name.as_str().to_owned(), label.value)).collect();
    Ok((GroupFilter { job, labels }, narrowed))
}

/// A label that a group must have. An empty value, as an empty variable of a script makes it, is refused: it would select other groups.
fn wanted(text: &str) -> Result<Label, String> {
    let label: Label = text.parse()?;
    match label.value.as_str() {
        "" => Err("expected a value after the '=': a group is found by the labels that it has".to_owned()),
        _ => Ok(label),
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupFilter, GroupingKey};

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_filter_compares_job_and_labels_exactly() {
        let key = GroupingKey::held(pairs(&[("job", "a"), ("zone", "eu"), ("rack", "")])).unwrap();
        let meets = |job: Option<&str>, labels: &[(&str, &str)]| {
            GroupFilter { job: job.map(str::to_owned), labels: pairs(labels) }.meets(&key)
        };
        assert!(meets(None, &[]));
        assert!(meets(Some("a"), &[("zone", "eu"), ("rack", "")]));
        assert!(!meets(None, &[("instance", "")]), "an empty label is one that the group has");
        assert!(!meets(Some("ab"), &[]) && !meets(None, &[("zone", "e")]) && !meets(None, &[("zone", "")]));
    }
}

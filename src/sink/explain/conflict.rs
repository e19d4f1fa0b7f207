//! Which group at the gateway stands in the way of a push: read out of the server's answer, so that the remedy can name it and
//! the DELETE that clears it. The gateway checks a push against every group it holds, so the reason may be somebody else's.

use super::context::RefusalContext;
use super::held::{Held, LabelPairs, NamedSeries, normal, print_labels};
use crate::exposition::TypeConflict;
use crate::grouping::GroupingKey;
use crate::http::Endpoint;
use crate::http::error::Fault;
use crate::http::url::BaseUrl;
use crate::sink::push::Push;

/// The name of the run's own `run_info`, where the gateway refuses that one: its labels are free, so that together with the
/// grouping key they may be those of another group's, and then no run of the job would be reported any more.
pub(crate) fn refused_run_info(refusal: &Fault, push: &Push) -> Option<String> {
    let Fault::Status { status: 400, text, .. } = refusal else { return None };
    let name = NamedSeries::named_in(text)?.metric;
    let is_own = name.ends_with("run_info") && push.own.families().iter().any(|family| family.name() == name);
    is_own.then_some(name)
}

/// The families that an answer says are of another type, or collide with one that is there.
pub(crate) fn named_families(text: &str) -> Vec<String> {
    const NAMED: &str = "collected metric ";
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(NAMED) {
        let end = rest[at + NAMED.len()..].find(NAMED).map_or(rest.len(), |next| at + NAMED.len() + next);
        let part = &rest[at..end];
        if part.contains("is not a ")
            && let Some(series) = NamedSeries::named_in(part)
            && !names.contains(&series.metric)
        {
            names.push(series.metric);
        }
        rest = &rest[end..];
    }
    names
}

/// What to do about a family that another group than `own` holds with another type.
pub(crate) fn holder_of(
    page: &[u8],
    conflict: &TypeConflict,
    gateway: &Endpoint,
    own: &[(String, String)],
) -> Option<String> {
    let held = Held::of_metric(page, &conflict.held_family);
    let own = normal(own.to_vec());
    let mut others: Vec<&LabelPairs> =
        held.series.iter().filter_map(|series| holder(&held.groups, series)).filter(|group| **group != own).collect();
    others.sort();
    others.dedup();
    match others.as_slice() {
        [] => None,
        [group] => {
            let delete = delete_at(&gateway.url, group);
            Some(format!("group {}: rename the metric, or clear that group with {delete}", print_labels(group)))
        }
        [group, ..] => Some(format!(
            "{} groups, {} for one: give the metric that type, or another name",
            others.len(),
            print_labels(group)
        )),
    }
}

/// Where in the metrics files that stands what a refusal is about, as the beginning of a remedy.
pub(crate) fn origin_of(fault: &Fault, push: &Push, body: Option<&[u8]>) -> Option<String> {
    let Fault::Status { status: 400, text, .. } = fault else { return None };
    let line = || -> Option<String> {
        let number = text.split_once("text format parsing error in line ")?.1;
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        let line = body?.split(|byte| *byte == b'\n').nth(digits.parse::<usize>().ok()?.checked_sub(1)?)?;
        let line = std::str::from_utf8(line).ok()?;
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        Some(name.split(['{', ' ']).next()?.to_owned())
    };
    let name = NamedSeries::named_in(text).map(|series| series.metric).or_else(line)?;
    let origin = ["", "_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find_map(|name| push.command.origin(name))?;
    Some(format!("it is about {origin}"))
}

/// Whether the groups at the gateway would help to explain its answer.
pub(crate) fn asks_for_groups(text: &str) -> bool {
    ["was collected before with the same name", "is not a ", "collides with previously collected"]
        .iter()
        .any(|part| text.contains(part))
}

/// Another group holds the same series.
pub(crate) fn same_series(text: &str, context: &RefusalContext<'_>) -> String {
    let Some(series) = NamedSeries::named_in(text) else {
        return "another group holds the same series too".to_owned();
    };
    let beginning = format!(
        "another group holds '{}{}' too, as after a change of --label or --instance",
        series.metric,
        print_labels(&series.labels)
    );
    // The refused series is in the pushed group too, so that one does not count.
    let own = own_group(context);
    let others = context.held().groups.iter().filter(|group| **group != own);
    match holder(others, &series.labels) {
        Some(group) => {
            format!(
                "{beginning}: if {} is out of date, {} clears it",
                print_labels(group),
                delete_command(context, group)
            )
        }
        None => format!("{beginning}: its page '{}' shows the groups", context.url()),
    }
}

/// Another group holds the metric with another type.
pub(crate) fn other_type(text: &str, context: &RefusalContext<'_>) -> String {
    let Some(series) = NamedSeries::named_in(text) else {
        return "another group holds the metric with another type".to_owned();
    };
    let metric = &series.metric;
    let (held, own) = (context.held(), own_group(context));
    // The answer may name the pushed series itself, whose labels say nothing about who holds the metric.
    let mut others: Vec<&LabelPairs> =
        held.series.iter().filter_map(|series| holder(&held.groups, series)).filter(|group| **group != own).collect();
    others.sort();
    others.dedup();
    match others.as_slice() {
        [] if held.groups.is_empty() => format!("another group holds '{metric}' with another type: rename the metric"),
        [] => format!(
            "no other group holds '{metric}': the gateway itself has a metric of that name, or the push has two"
        ),
        [group] => format!(
            "group {} holds '{metric}' with another type: rename the metric, or clear that group with {}",
            print_labels(group),
            delete_command(context, group)
        ),
        [group, ..] => format!(
            "{} groups hold '{metric}' with another type, {} for one: give the metric that type, or another name",
            others.len(),
            print_labels(group)
        ),
    }
}

fn own_group(context: &RefusalContext<'_>) -> LabelPairs {
    normal(context.key().map(|key| key.labels().to_vec()).unwrap_or_default())
}

/// The group that has a series with these labels; the one with the most labels where it can be in several.
fn holder<'g>(groups: impl IntoIterator<Item = &'g LabelPairs>, series: &[(String, String)]) -> Option<&'g LabelPairs> {
    let holds = |group: &&LabelPairs| group.iter().all(|label| series.contains(label));
    groups.into_iter().filter(holds).max_by_key(|group| group.len())
}

/// A group whose own push times cannot be exposed breaks the gateway for everybody, and nothing but its DELETE helps.
pub(crate) fn broken_gateway(text: &str, _: &RefusalContext<'_>) -> String {
    let labels = NamedSeries::named_in(text).map(|series| print_labels(&series.labels));
    let group = labels.unwrap_or_else(|| "with odd grouping labels".to_owned());
    format!("somebody's group {group} breaks the gateway for everybody: delete it there")
}

/// The command that deletes a group. Its labels come from the gateway and may hold anything: as a path they are plain.
fn delete_command(context: &RefusalContext<'_>, labels: &[(String, String)]) -> String {
    delete_at(context.url(), labels)
}

fn delete_at(url: &BaseUrl, labels: &[(String, String)]) -> String {
    match GroupingKey::held(labels.to_vec()) {
        Some(key) => format!("'curl -X DELETE {url}{}'", key.path()),
        None => "a DELETE of that group".to_owned(),
    }
}

//! Which group at the gateway stands in the way of a push: read out of the server's answer, so that the remedy can name it and
//! the DELETE that clears it. The gateway checks a push against every group it holds, so the reason may be somebody else's.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use percent_encoding::percent_decode_str;

use super::explain::Context;
use super::failure::Fault;
use crate::grouping::GroupingKey;

/// Names and values.
type Labels = Vec<(String, String)>;

/// The metric and the labels of the series that an answer names. `client_golang` prints them as protobuf text, whose blanks differ
/// from version to version (and on purpose from build to build), so nothing is matched exactly.
#[derive(Debug, PartialEq, Eq)]
struct Series {
    metric: String,
    labels: Labels,
}

impl Series {
    fn named_in(text: &str) -> Option<Self> {
        let (metric, mut rest) = literal_after(text, "collected metric ")?;
        let mut labels = Vec::new();
        while let Some((name, after)) = literal_after(rest, "name:") {
            let Some((value, after)) = literal_after(after, "value:") else { break };
            labels.push((name, value));
            rest = after;
        }
        Some(Self { metric, labels })
    }
}

/// The quoted text after `key`, unescaped, and what follows it.
fn literal_after<'t>(text: &'t str, key: &str) -> Option<(String, &'t str)> {
    let after = text[text.find(key)? + key.len()..].trim_start().strip_prefix('"')?;
    let mut literal = String::new();
    let mut chars = after.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((literal, &after[at + 1..])),
            '\\' => literal.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => literal.push(c),
        }
    }
    None
}

/// The labels of a path `/metrics/job/…`, for a message.
fn labels_of(path: &str) -> Labels {
    let segments: Vec<&str> = path.trim_start_matches("/metrics/").split('/').collect();
    let pairs = segments.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let decoded = pairs.map(|(name, value)| match name.strip_suffix("@base64") {
        Some(name) => {
            let bytes = BASE64_URL_SAFE.decode(value).unwrap_or_default();
            (name.to_owned(), String::from_utf8_lossy(&bytes).into_owned())
        }
        None => (name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()),
    });
    decoded.collect()
}

/// `{job="a", shard="1"}`, without labels that are empty: for Prometheus these are absent.
fn shown(labels: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let comma = if text.len() > 1 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}={value:?}");
    }
    text.push('}');
    text
}

/// What a gateway holds, as far as its answer makes it interesting.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The grouping labels of every group.
    groups: Vec<Labels>,
    /// The labels of every series of the metric that the answer names.
    series: Vec<Labels>,
}

impl Held {
    /// Reads a gateway's page. `push_time_seconds` carries exactly the grouping labels of each group, and an empty `instance`
    /// where there is none.
    pub(super) fn on(page: &[u8], text: &str) -> Self {
        let page = String::from_utf8_lossy(page);
        let labels_after = |name: &str| -> Vec<Labels> {
            let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
            lines.map(labels_in_braces).collect()
        };
        let series = Series::named_in(text).map(|series| {
            // A histogram has no series of its own name; a metric that has one may have nothing to do with a _count.
            let own = labels_after(&series.metric);
            if own.is_empty() { labels_after(&format!("{}_count", series.metric)) } else { own }
        });
        Self { groups: labels_after("push_time_seconds"), series: series.unwrap_or_default() }
    }
}

/// `job="a",shard="1"} 1.7e+09`: the labels that are not empty, sorted by name.
fn labels_in_braces(text: &str) -> Labels {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, _)) = rest.split_once('=').filter(|_| !rest.starts_with('}')) {
        let Some((value, after)) = literal_after(rest, "=") else { break };
        labels.push((name.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    normal(labels)
}

fn normal(mut labels: Labels) -> Labels {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    labels
}

/// A report of ours without its `run_info`, where the gateway refuses that one: its labels are free, so that together with the
/// grouping key they may be those of another group's, and then no run of the job would be reported any more.
pub(super) fn without_run_info(refusal: &Fault, body: &[u8]) -> Option<Vec<u8>> {
    let Fault::Status { status: 400, text, .. } = refusal else { return None };
    let name = Series::named_in(text)?.metric;
    let declared = format!("# TYPE {name} gauge\n");
    let is_ours = name.ends_with("run_info") && body.windows(declared.len()).any(|part| part == declared.as_bytes());
    let starts = [format!("# HELP {name} "), format!("# TYPE {name} "), format!("{name}{{")];
    let is_kept = |line: &&[u8]| !starts.iter().any(|start| line.starts_with(start.as_bytes()));
    is_ours.then(|| body.split_inclusive(|byte| *byte == b'\n').filter(is_kept).flatten().copied().collect())
}

/// Whether the groups at the gateway would help to explain its answer.
pub(super) fn asks_for_groups(text: &str) -> bool {
    ["was collected before with the same name", "is not a "].iter().any(|part| text.contains(part))
}

/// Another group holds the same series.
pub(super) fn same_series(text: &str, context: &Context<'_>) -> String {
    let Some(series) = Series::named_in(text) else {
        return "another group holds the same series too".to_owned();
    };
    let beginning = format!(
        "another group holds '{}{}' too, as after a change of --label or --instance",
        series.metric,
        shown(&series.labels)
    );
    // The refused series is in the pushed group too, so that one does not count.
    let own = own_group(context);
    let others = context.held().groups.iter().filter(|group| **group != own);
    match holder(others, &series.labels) {
        Some(group) => {
            format!("{beginning}: if {} is out of date, {} clears it", shown(group), delete_command(context, group))
        }
        None => format!("{beginning}: its page '{}' shows the groups", context.url()),
    }
}

/// Another group holds the metric with another type.
pub(super) fn other_type(text: &str, context: &Context<'_>) -> String {
    let Some(series) = Series::named_in(text) else {
        return "another group holds the metric with another type".to_owned();
    };
    let metric = &series.metric;
    let (held, own) = (context.held(), own_group(context));
    // The answer may name the pushed series itself, whose labels say nothing about who holds the metric.
    let mut others: Vec<&Labels> =
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
            shown(group),
            delete_command(context, group)
        ),
        [group, ..] => format!(
            "{} groups hold '{metric}' with another type, {} for one: give the metric that type, or another name",
            others.len(),
            shown(group)
        ),
    }
}

fn own_group(context: &Context<'_>) -> Labels {
    normal(labels_of(context.path().unwrap_or_default()))
}

/// The group that has a series with these labels; the one with the most labels where it can be in several.
fn holder<'g>(groups: impl IntoIterator<Item = &'g Labels>, series: &[(String, String)]) -> Option<&'g Labels> {
    let holds = |group: &&Labels| group.iter().all(|label| series.contains(label));
    groups.into_iter().filter(holds).max_by_key(|group| group.len())
}

/// A group whose own push times cannot be shown breaks the gateway for everybody, and nothing but its DELETE helps.
pub(super) fn broken_gateway(text: &str, _: &Context<'_>) -> String {
    let labels = Series::named_in(text).map(|series| shown(&series.labels));
    let group = labels.unwrap_or_else(|| "with odd grouping labels".to_owned());
    format!("somebody's group {group} breaks the gateway for everybody: delete it there")
}

/// What deletes a group. Its labels come from the gateway and may hold anything: as a path they are plain.
fn delete_command(context: &Context<'_>, labels: &[(String, String)]) -> String {
    match GroupingKey::held(labels.to_vec()) {
        Some(key) => format!("'curl -X DELETE {}{}'", context.url(), key.path()),
        None => "a DELETE of that group".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Series, labels_of, shown};

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_series_of_an_answer_is_read_in_any_versions_dump() {
        for text in [
            r#"* collected metric "a" { label:<name:"job" value:"t" > label:<name:"tag" value:"v\"1" > gauge:<value:1 > } is not"#,
            r#"collected metric "a" { label:{name:"job"  value:"t"}  label:{name:"tag" value:"v\"1"}  gauge:{value:1}} was"#,
        ] {
            let series = Series::named_in(text).unwrap();
            assert_eq!((series.metric.as_str(), series.labels), ("a", labels(&[("job", "t"), ("tag", "v\"1")])));
        }
        assert_eq!(Series::named_in("collected metric named \"x\" collides"), None);
    }

    #[test]
    fn a_page_tells_its_groups_and_the_series_of_the_metric_in_question() {
        let page = b"# TYPE push_time_seconds gauge\npush_time_seconds{instance=\"\",job=\"a\"} 1.7e+09\n\
            push_time_seconds{z=\"x,y}\\\"\",job=\"b\"} 1\npush_failure_time_seconds{job=\"c\"} 0\n\
            m{job=\"a\"} 1\nm_count{job=\"b\"} 1\nmm{job=\"c\"} 1\nh_count{job=\"b\"} 1\n";
        let held = Held::on(page, r#"collected metric "m" { label:{name:"job" value:"x"}} is not a GAUGE"#);
        assert_eq!(held.groups, [labels(&[("job", "a")]), labels(&[("job", "b"), ("z", "x,y}\"")])]);
        assert_eq!(held.series, [labels(&[("job", "a")])]);
        let held = Held::on(page, r#"collected metric "h" { label:{name:"job" value:"x"}} is not a GAUGE"#);
        assert_eq!(held.series, [labels(&[("job", "b")])]);
    }

    #[test]
    fn a_path_tells_its_labels() {
        let path = "/metrics/job@base64/YS9i/l/x%20y";
        assert_eq!(labels_of(path), labels(&[("job", "a/b"), ("l", "x y")]));
        assert_eq!(shown(&labels(&[("job", "a"), ("instance", ""), ("l", "\"")])), r#"{job="a", l="\""}"#);
    }
}

//! The groups and series that a gateway names in an answer or holds on its page, as far as an explanation needs them.

use std::fmt::Write as _;

/// Names and values.
pub(super) type LabelPairs = Vec<(String, String)>;

/// The metric and the labels of the series that an answer names. `client_golang` prints them as protobuf text, whose blanks differ
/// from version to version (and on purpose from build to build), so nothing is matched exactly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedSeries {
    pub(super) metric: String,
    pub(super) labels: LabelPairs,
}

impl NamedSeries {
    pub(super) fn named_in(text: &str) -> Option<Self> {
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

/// The text in quotation marks after `key`, unescaped, and what follows it.
pub(super) fn literal_after<'t>(text: &'t str, key: &str) -> Option<(String, &'t str)> {
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

/// `{job="a", shard="1"}`, without labels that are empty: for Prometheus these are absent.
pub(super) fn print_labels(labels: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let comma = if text.len() > 1 { ", " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}={value:?}");
    }
    text.push('}');
    text
}

/// The groups of a gateway that an answer of it is about.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The grouping labels of every group.
    pub(super) groups: Vec<LabelPairs>,
    /// The labels of every series of the metric that the answer names.
    pub(super) series: Vec<LabelPairs>,
}

impl Held {
    /// Reads a gateway's page. `push_time_seconds` carries exactly the grouping labels of each group, and an empty `instance`
    /// where there is none.
    pub(crate) fn on(page: &[u8], text: &str) -> Self {
        match NamedSeries::named_in(text) {
            Some(series) => Self::of_metric(page, &series.metric),
            None => {
                Self { groups: labels_after(&String::from_utf8_lossy(page), "push_time_seconds"), series: Vec::new() }
            }
        }
    }

    /// The groups of a page, and the series of one metric.
    pub(super) fn of_metric(page: &[u8], metric: &str) -> Self {
        let page = String::from_utf8_lossy(page);
        // A histogram has no series of its own name; a metric that has one may have nothing to do with a _count.
        let own = labels_after(&page, metric);
        let series = if own.is_empty() { labels_after(&page, &format!("{metric}_count")) } else { own };
        Self { groups: labels_after(&page, "push_time_seconds"), series }
    }
}

/// The labels of every series of this name.
fn labels_after(page: &str, name: &str) -> Vec<LabelPairs> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    lines.map(labels_in_braces).collect()
}

/// `job="a",shard="1"} 1.7e+09`: the labels that are not empty, sorted by name.
pub(super) fn labels_in_braces(text: &str) -> LabelPairs {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, _)) = rest.split_once('=').filter(|_| !rest.starts_with('}')) {
        let Some((value, after)) = literal_after(rest, "=") else { break };
        labels.push((name.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    normal(labels)
}

pub(super) fn normal(mut labels: LabelPairs) -> LabelPairs {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    labels
}

#[cfg(test)]
mod tests {
    use super::{Held, NamedSeries, print_labels};

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_series_of_an_answer_is_read_in_any_versions_dump() {
        for text in [
            r#"* collected metric "a" { label:<name:"job" value:"t" > label:<name:"tag" value:"v\"1" > gauge:<value:1 > } is not"#,
            r#"collected metric "a" { label:{name:"job"  value:"t"}  label:{name:"tag" value:"v\"1"}  gauge:{value:1}} was"#,
        ] {
            let series = NamedSeries::named_in(text).unwrap();
            assert_eq!((series.metric.as_str(), series.labels), ("a", labels(&[("job", "t"), ("tag", "v\"1")])));
        }
        assert_eq!(NamedSeries::named_in("collected metric named \"x\" collides"), None);
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
    fn labels_are_printed_without_those_that_are_empty() {
        assert_eq!(print_labels(&labels(&[("job", "a"), ("instance", ""), ("l", "\"")])), r#"{job="a", l="\""}"#);
    }
}

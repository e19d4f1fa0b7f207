//! The grouping key: which group of the Pushgateway a push goes to, as a pure function from job and labels to the URL path.
//! The gateway never deletes a group, so the key of a job must be the same in every run and in every version of pushwrap.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

/// Label names that a grouping key must not contain, with the reason.
///
/// `le` beside any histogram makes the gateway's page unreadable for Prometheus, and `quantile` beside a summary makes the
/// gateway refuse (measured on Pushgateway 1.5.1 to 1.11.2).
const REFUSED: [(&str, &str); 3] = [
    ("job", "the job is named by --job"),
    ("le", "histograms use it for their buckets"),
    ("quantile", "summaries use it for their quantiles"),
];

/// A valid label name: `[a-zA-Z_][a-zA-Z0-9_]*` and not `__…`, which Prometheus keeps for itself (data model).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelName(String);

impl LabelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
        if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("'{text}' is no label name: letters, digits and _ only, and no digit first"));
        }
        if text.starts_with("__") {
            return Err(format!("label names that begin with __ are reserved by Prometheus: '{text}'"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LabelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One `NAME=VALUE` as an option takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Left of the first `=`.
    pub name: LabelName,
    /// All that is right of it; may be empty, which means absent.
    pub value: String,
}

impl Label {
    /// Refuses a label that cannot be part of a grouping key.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn refuse_reserved(&self) -> Result<(), String> {
        match REFUSED.iter().find(|(name, _)| *name == self.name.as_str()) {
            Some((name, reason)) => Err(format!("'{name}' cannot be a grouping label: {reason}")),
            None => Ok(()),
        }
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        Ok(Self { name: name.parse()?, value: value.to_owned() })
    }
}

/// Job and grouping labels, valid and in their fixed order: the job first, then the labels by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingKey {
    labels: Vec<(String, String)>,
}

impl GroupingKey {
    /// The key of `job` and `labels`. A label without a value is dropped: for Prometheus it is the same as an absent one, but
    /// at the gateway `instance=""` beside a group without `instance` takes the whole page down (measured on all versions).
    ///
    /// # Errors
    /// When the job is empty, or a label is named twice or has a name that cannot be part of a grouping key.
    pub fn new(job: &str, labels: impl IntoIterator<Item = Label>) -> Result<Self, String> {
        if job.is_empty() {
            return Err("the job name is empty".to_owned());
        }
        let mut sorted: Vec<Label> = labels.into_iter().collect();
        sorted.sort_by(|left, right| left.name.cmp(&right.name));
        for pair in sorted.windows(2) {
            if let [left, right] = pair
                && left.name == right.name
            {
                return Err(format!("the label '{}' is given twice", left.name));
            }
        }
        for label in &sorted {
            label.refuse_reserved()?;
        }
        let grouping =
            sorted.into_iter().filter(|label| !label.value.is_empty()).map(|label| (label.name.0, label.value));
        Ok(Self { labels: std::iter::once(("job".to_owned(), job.to_owned())).chain(grouping).collect() })
    }

    /// The key of a group that a gateway holds, whatever it is: it must be named exactly to be deleted. None without a job.
    #[must_use]
    pub fn held(mut labels: Vec<(String, String)>) -> Option<Self> {
        labels.sort_by(|(left, _), (right, _)| (left != "job", left).cmp(&(right != "job", right)));
        labels.first().is_some_and(|(name, job)| name == "job" && !job.is_empty()).then_some(Self { labels })
    }

    /// Every label of the group, `job` first. The gateway overwrites equally named labels of the body with them.
    #[must_use]
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &str {
        self.labels.first().map_or("", |(_, value)| value)
    }

    /// The path of the group below the gateway's base URL: `/metrics/job/…`, never with a trailing slash.
    ///
    /// A value that is not plain goes out as `name@base64/…` in the URL-safe alphabet with its padding: the only form that
    /// the Pushgateway (since 0.9), `VictoriaMetrics` and Vector all decode (prometheus/pushgateway README, "URL").
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::from("/metrics");
        for (name, value) in &self.labels {
            path.push('/');
            path.push_str(&name_in_path(name));
            if is_plain(value) {
                path.push('/');
                path.push_str(value);
            } else {
                path.push_str("@base64/");
                // Without any character the segment would be empty, and the label lost.
                path.push_str(if value.is_empty() { "=" } else { "" });
                path.push_str(&URL_SAFE.encode(value));
            }
        }
        path
    }
}

impl fmt::Display for GroupingKey {
    /// As in PromQL: `{job="backup", instance="db1"}`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (position, (name, value)) in self.labels.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            match name_in_path(name) {
                Cow::Borrowed(plain) => write!(formatter, "{comma}{plain}={value:?}")?,
                Cow::Owned(_) => write!(formatter, "{comma}{name:?}={value:?}")?,
            }
        }
        formatter.write_str("}")
    }
}

/// A label name as it stands in a path. Only a gateway with `--push.enable-utf8-names` holds names that are not of letters,
/// digits and `_`; it takes them as `U__…`, each other character as its number (Prometheus UTF-8 proposal, "value encoding").
fn name_in_path(name: &str) -> Cow<'_, str> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let begins_well = name.starts_with(|first: char| is_word(first) && !first.is_ascii_digit());
    if begins_well && name.chars().all(is_word) {
        return Cow::Borrowed(name);
    }
    let mut encoded = String::from("U__");
    for (place, character) in name.chars().enumerate() {
        match character {
            '_' => encoded.push_str("__"),
            word if is_word(word) && (place > 0 || !word.is_ascii_digit()) => encoded.push(word),
            other => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "_{:x}_", u32::from(other));
            }
        }
    }
    Cow::Owned(encoded)
}

/// Whether a value may stand in a URL path as it is. Proxies and the gateway's router collapse `.` and `..`, and an empty
/// segment is answered with a redirect that loses the label.
fn is_plain(value: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte);
    !matches!(value, "" | "." | "..") && value.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::{GroupingKey, Label};

    fn key(job: &str, labels: &[&str]) -> Result<GroupingKey, String> {
        let labels = labels.iter().map(|text| text.parse()).collect::<Result<Vec<Label>, _>>()?;
        GroupingKey::new(job, labels)
    }

    fn path(job: &str, labels: &[&str]) -> String {
        key(job, labels).unwrap().path()
    }

    #[test]
    fn plain_values_stand_as_they_are_and_labels_are_sorted() {
        assert_eq!(path("backup", &["zone=eu", "instance=db1:9100"]), "/metrics/job/backup/instance/db1:9100/zone/eu");
    }

    #[test]
    fn everything_else_is_base64_with_padding() {
        assert_eq!(path("a b", &[]), "/metrics/job@base64/YSBi");
        assert_eq!(path("a", &["l=x/y"]), "/metrics/job/a/l@base64/eC95");
        assert_eq!(path(".", &["l=.."]), "/metrics/job@base64/Lg==/l@base64/Li4=");
        assert_eq!(path("a+b", &["l=ä"]), "/metrics/job@base64/YSti/l@base64/w6Q=");
        assert_eq!(path("a?", &["l=~~~>>"]), "/metrics/job@base64/YT8=/l@base64/fn5-Pj4=");
    }

    #[test]
    fn empty_values_are_dropped() {
        assert_eq!(path("a", &["instance="]), "/metrics/job/a");
    }

    #[test]
    fn a_group_that_a_gateway_holds_is_named_exactly() {
        let held = |pairs: &[(&str, &str)]| {
            let labels = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            GroupingKey::held(labels.collect()).map(|key| key.path())
        };
        assert_eq!(held(&[("instance", ""), ("job", "a")]).unwrap(), "/metrics/job/a/instance@base64/=");
        assert_eq!(
            held(&[("z", "1"), ("job", "a/b"), ("A", "\n")]).unwrap(),
            "/metrics/job@base64/YS9i/A@base64/Cg==/z/1"
        );
        let odd = held(&[("job", "a"), ("x.y_z", "1"), ("1é", "2")]).unwrap();
        assert_eq!(odd, "/metrics/job/a/U___31__e9_/2/U__x_2e_y__z/1");
        let nameless = held(&[("job", "a"), ("", "x")]).unwrap();
        assert_eq!(nameless, "/metrics/job/a/U__/x", "an empty segment would be answered with a redirect");
        assert_eq!(held(&[("l", "1")]), None);
        assert_eq!(held(&[("job", "")]), None);
    }

    #[test]
    fn values_keep_everything_after_the_first_equals_sign() {
        assert_eq!(key("a", &["l=b=c"]).unwrap().labels()[1], ("l".to_owned(), "b=c".to_owned()));
    }

    #[test]
    fn keys_that_would_harm_the_gateway_are_refused() {
        for (job, labels, part) in [
            ("", &[][..], "empty"),
            ("a", &["job=x"], "--job"),
            ("a", &["le=1"], "'le' cannot be a grouping label"),
            ("a", &["quantile=1"], "'quantile' cannot be a grouping label"),
            ("a", &["__x=1"], "reserved"),
            ("a", &["1x=1"], "no label name"),
            ("a", &["x-y=1"], "no label name"),
            ("a", &["=1"], "no label name"),
            ("a", &["x"], "NAME=VALUE"),
            ("a", &["x=1", "x=2"], "twice"),
            ("a", &["x=", "x=2"], "twice"),
        ] {
            let error = key(job, labels).unwrap_err();
            assert!(error.contains(part), "{job} {labels:?}: {error}");
        }
    }
}

//! What a gateway holds: every group with its exact key, its push times, and what the caller wants of its metrics. Read from
//! the gateway's API, because its `/metrics` page shows a group without `instance` and one with an empty `instance` alike,
//! and because the API still answers where a broken group has taken the page down.

pub(crate) mod json;

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::grouping::GroupingKey;
use crate::http::Endpoint;
use crate::http::deadline::Deadline;
use crate::http::error::{Failure, Fault};
use crate::sink::pushgateway::{READING, fetch};
use json::{Json, JsonError, Next};

/// The API that lists the groups (Pushgateway README, "Query API").
const PATH: &str = "/api/v1/metrics";
/// When the last push to a group was accepted, and when one was refused; 0 for never. The gateway adds them to each group.
const PUSHED: &str = "push_time_seconds";
const REFUSED: &str = "push_failure_time_seconds";

/// Whose time of day an inventory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The clock of the answer's `Date`: of the gateway, or of the proxy in front of it.
    Endpoint,
    /// Our own, because the answer had none.
    Own,
}

/// All groups of a gateway at one moment.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The groups, by job and then by labels.
    pub groups: Vec<Group>,
    /// The time of day when the answer began. Push times are stamps of the gateway's clock, so it is the gateway's.
    pub now: SystemTime,
    /// Whose clock that is.
    pub clock: Clock,
    /// How far that clock is from our own.
    pub apart: Duration,
    /// How long the reading took.
    pub took: Duration,
    /// When the answer ended.
    pub read_at: Instant,
}

impl Inventory {
    /// The group with exactly this key.
    #[must_use]
    pub fn group(&self, key: &GroupingKey) -> Option<&Group> {
        let place = self.groups.binary_search_by(|group| group.key.labels().cmp(key.labels())).ok()?;
        self.groups.get(place)
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The group's key, exactly as the gateway has it.
    pub key: GroupingKey,
    /// When a push was last accepted.
    pub pushed: PushTime,
    /// When one was last refused.
    pub refused: PushTime,
    /// The samples of the families that were asked for.
    pub series: Vec<Series>,
}

/// One of the two times that the gateway adds to a group.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum PushTime {
    /// The gateway does not say.
    Unknown,
    /// The gateway says 0.
    Never,
    /// The time by the gateway's clock.
    At(SystemTime),
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The family's name.
    pub family: String,
    /// The series' labels beside those of the grouping key.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Group {
    /// The time of the last push, taken or refused. None where the gateway does not say both times: then nothing is known
    /// about the group's age.
    #[must_use]
    pub fn touched(&self) -> Option<SystemTime> {
        match (self.pushed, self.refused) {
            (PushTime::Unknown, _) | (_, PushTime::Unknown) | (PushTime::Never, PushTime::Never) => None,
            (PushTime::At(pushed), PushTime::At(refused)) => Some(pushed.max(refused)),
            (PushTime::At(at), PushTime::Never) | (PushTime::Never, PushTime::At(at)) => Some(at),
        }
    }

    /// The value of the family's sample that has no labels but those of the key.
    #[must_use]
    pub fn value(&self, family: &str) -> Option<f64> {
        let own = self.series.iter().find(|series| series.family == family && series.labels.is_empty());
        own.map(|series| series.value)
    }
}

/// Reads all groups of `gateway`, and of their metrics the `families`.
///
/// # Errors
/// Why it could not be read, or that no Pushgateway answers there.
pub fn inventory(gateway: &Endpoint, families: &[String], deadline: Deadline) -> Result<Inventory, Failure> {
    let began = Instant::now();
    let found = Cell::new(None);
    fetch(gateway, PATH, deadline, &|body, date| {
        match read(body, families) {
            Ok(groups) => found.set(Some((Ok(groups), date))),
            Err(JsonError::Unexpected(what)) => found.set(Some((Err(what), date))),
            Err(JsonError::Read(error)) => return Err(error),
        }
        Ok(())
    })?;
    let no_gateway = |what: &str| Failure {
        fault: Fault::NotGateway(format!("its answer to '{PATH}' is not that of a Pushgateway: {what}")),
        tries: 1,
        intent: READING,
        gateway: gateway.url.to_string(),
        remedy: None,
    };
    let (groups, date) = found.take().ok_or_else(|| no_gateway("it is empty"))?;
    let mut groups = groups.map_err(no_gateway)?;
    groups.sort_by(|left, right| left.key.labels().cmp(right.key.labels()));
    let own = SystemTime::now();
    let clock = if date.is_some() { Clock::Endpoint } else { Clock::Own };
    let now = date.unwrap_or(own);
    let apart = now.duration_since(own).unwrap_or_else(|error| error.duration());
    Ok(Inventory { groups, now, clock, apart, took: began.elapsed(), read_at: Instant::now() })
}

/// `{"status":"success","data":[GROUP, …]}`.
pub(crate) fn read(body: &mut dyn std::io::Read, families: &[String]) -> Result<Vec<Group>, JsonError> {
    let mut groups = None;
    let mut json = Json::new(body);
    if json.next()? == Next::Markup {
        return Err(JsonError::Unexpected(
            "it is a web page, as a login is: name the gateway itself, or give credentials with --user or --token-file",
        ));
    }
    json.object(|json, name| {
        if name != "data" {
            return json.skip();
        }
        let mut all = Vec::new();
        // Go writes a list without elements as null.
        if json.next()? == Next::Word {
            json.skip()?;
        } else {
            json.array(|json| Draft::read(json, families).map(|draft| all.extend(draft.group())))?;
        }
        groups = Some(all);
        Ok(())
    })?;
    json.end()?;
    groups.ok_or(JsonError::Unexpected("it has no 'data'"))
}

type GroupLabels = Vec<(String, String)>;

/// A group while its JSON is read.
#[derive(Debug, Default)]
struct Draft {
    labels: Option<GroupLabels>,
    /// The labels of its push time: the key, and an empty `instance` where it has none.
    push_time_labels: GroupLabels,
    pushed: Option<f64>,
    refused: Option<f64>,
    series: Vec<Series>,
}

impl Draft {
    /// `{"labels":{…},"last_push_successful":…,FAMILY:{…},…}`. A family called `labels` takes the place of the labels
    /// (Pushgateway, api/v1/api.go).
    fn read(json: &mut Json<'_>, families: &[String]) -> Result<Self, JsonError> {
        let mut draft = Self::default();
        json.object(|json, name| match name {
            "labels" => {
                draft.labels = read_labels(json)?;
                Ok(())
            }
            PUSHED => read_family(json, |labels, value| (draft.push_time_labels, draft.pushed) = (labels, Some(value))),
            REFUSED => read_family(json, |_, value| draft.refused = Some(value)),
            name if families.iter().any(|family| family == name) => read_family(json, |labels, value| {
                draft.series.push(Series { family: name.to_owned(), labels, value });
            }),
            _ => json.skip(),
        })?;
        Ok(draft)
    }

    fn group(self) -> Option<Group> {
        let labels = self.labels.unwrap_or_else(|| {
            self.push_time_labels.into_iter().filter(|(name, value)| name != "instance" || !value.is_empty()).collect()
        });
        let key = GroupingKey::held(labels)?;
        let mut series = self.series;
        for series in &mut series {
            series.labels.retain(|label| !key.labels().contains(label) && !label.1.is_empty());
            series.labels.shrink_to_fit();
        }
        series.shrink_to_fit();
        Some(Group { key, pushed: push_time(self.pushed), refused: push_time(self.refused), series })
    }
}

fn push_time(seconds: Option<f64>) -> PushTime {
    match seconds.map(|seconds| (seconds, Duration::try_from_secs_f64(seconds))) {
        Some((0.0, _)) => PushTime::Never,
        Some((_, Ok(since))) => UNIX_EPOCH.checked_add(since).map_or(PushTime::Unknown, PushTime::At),
        _ => PushTime::Unknown,
    }
}

/// An object of strings; none when it is something else: a metric family, whose samples are no string.
fn read_labels(json: &mut Json<'_>) -> Result<Option<GroupLabels>, JsonError> {
    let (mut labels, mut is_family) = (Vec::new(), false);
    json.object(|json, name| {
        if json.next()? == Next::String {
            labels.push((name.to_owned(), json.string()?));
            return Ok(());
        }
        is_family = true;
        json.skip()
    })?;
    Ok((!is_family).then_some(labels))
}

/// `{"type":…,"metrics":[{"labels":{…},"value":"…"},…]}`: each sample that is a number.
fn read_family(json: &mut Json<'_>, mut sample: impl FnMut(GroupLabels, f64)) -> Result<(), JsonError> {
    json.object(|json, name| {
        if name != "metrics" || json.next()? != Next::Array {
            return json.skip();
        }
        json.array(|json| {
            let (mut labels, mut value) = (Vec::new(), None);
            json.object(|json, name| match name {
                "labels" if json.next()? == Next::Object => {
                    labels = read_labels(json)?.unwrap_or_default();
                    Ok(())
                }
                "value" if json.next()? == Next::String => {
                    value = json.string()?.parse().ok();
                    Ok(())
                }
                _ => json.skip(),
            })?;
            if let Some(value) = value {
                sample(labels, value);
            }
            Ok(())
        })
    })
}

//! One group as a row: how its last run ended or whether it runs, when, and whether it is overdue; for a person or a program.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::sink::{Group, PushTime};
use crate::text::{JsonNumber, age, cell, one_unit, span};

/// A running command reports at least this often, as in the alert rule that docs/alerting.md shows.
const HEARTBEAT: Duration = Duration::from_mins(5);
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const CYAN: &str = "\u{1b}[36m";

/// The state of a group's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupState {
    /// A group that pushwrap has not pushed.
    Foreign,
    /// Every run so far was skipped.
    Skipped,
    /// The command runs.
    Running,
    /// The run has not reported for five minutes.
    Lost,
    /// The run has ended; the outcome, or none where the group has none.
    Ended(Option<String>),
}

/// One group of the gateway. Numbers are as the gateway has them.
#[derive(Debug)]
pub(super) struct GroupRow<'g> {
    group: &'g Group,
    now: SystemTime,
    pub(super) state: GroupState,
    started: Option<f64>,
    duration: Option<f64>,
    pub(super) exit_code: Option<f64>,
    reported: Option<f64>,
    last_success: Option<f64>,
    last_skipped: Option<f64>,
    /// When the last run that was not skipped ended, or began where it has not ended.
    last_run: Option<f64>,
    max_age: Option<f64>,
    deadline: Option<f64>,
}

/// What a program gets of it; the keys are a contract (docs/reference.md).
#[derive(Serialize)]
pub(super) struct GroupJson<'r> {
    gateway: &'r str,
    job: &'r str,
    labels: BTreeMap<&'r str, &'r str>,
    state: Option<&'r str>,
    overdue: bool,
    exit_code: Option<JsonNumber>,
    start_timestamp_seconds: Option<JsonNumber>,
    duration_seconds: Option<JsonNumber>,
    report_timestamp_seconds: Option<JsonNumber>,
    last_success_timestamp_seconds: Option<JsonNumber>,
    last_skipped_timestamp_seconds: Option<JsonNumber>,
    max_age_seconds: Option<JsonNumber>,
    next_success_deadline_timestamp_seconds: Option<JsonNumber>,
    push_time_seconds: Option<JsonNumber>,
    push_failure_time_seconds: Option<JsonNumber>,
}

impl<'g> GroupRow<'g> {
    pub(super) fn of(group: &'g Group, prefix: &str, now: SystemTime) -> Self {
        let value = |name: &str| group.value(&format!("{prefix}{name}")).filter(|value| value.is_finite());
        let reported = value("report_timestamp_seconds");
        let last_skipped = value("last_skipped_timestamp_seconds");
        let state = match value("running") {
            None if last_skipped.is_some() => GroupState::Skipped,
            None => GroupState::Foreign,
            Some(running) if running > 0.5 => heartbeat(last_report(reported, group), now),
            Some(_) => GroupState::Ended(outcome(group, &format!("{prefix}outcome"))),
        };
        // What the gateway has of the end belongs to the run before.
        let has_ended = !matches!(state, GroupState::Running | GroupState::Lost);
        let ended = value("end_timestamp_seconds").filter(|_| has_ended);
        Self {
            group,
            now,
            reported,
            started: value("start_timestamp_seconds"),
            duration: value("duration_seconds").filter(|_| has_ended),
            exit_code: value("exit_code").filter(|_| has_ended),
            last_success: value("last_success_timestamp_seconds"),
            last_skipped,
            last_run: ended.or_else(|| value("start_timestamp_seconds")),
            max_age: value("max_age_seconds"),
            deadline: value("next_success_deadline_timestamp_seconds"),
            state,
        }
    }

    /// As the alert rules have it: the last success is older than it may become, or the deadline of the schedule has passed
    /// without a success since.
    fn is_overdue(&self) -> bool {
        let success = time(self.last_success);
        let age = success.and_then(|success| self.now.duration_since(success).ok());
        let is_old = age.zip(seconds(self.max_age)).is_some_and(|(age, max_age)| age > max_age);
        let is_missed = |deadline| self.now > deadline && success.is_none_or(|success| success <= deadline);
        is_old || time(self.deadline).is_some_and(is_missed)
    }

    /// How long the job still has for its next success, where its schedule says so.
    fn due(&self) -> Option<String> {
        let left = time(self.deadline)?.duration_since(self.now).ok()?;
        Some(format!(", due in {}", one_unit(left.as_secs())))
    }

    /// The outcome or `running`; none for a group that pushwrap has not pushed.
    fn state(&self) -> Option<&str> {
        match &self.state {
            GroupState::Foreign => None,
            GroupState::Skipped => Some("skipped"),
            GroupState::Running => Some("running"),
            GroupState::Lost => Some("lost"),
            GroupState::Ended(outcome) => Some(outcome.as_deref().unwrap_or("unknown")),
        }
    }

    pub(super) fn outcome(&self) -> String {
        let due = if self.is_overdue() { ", overdue".to_owned() } else { self.due().unwrap_or_default() };
        let skipped = self.skip_after_the_run().unwrap_or_default();
        self.state().map_or_else(|| "-".to_owned(), |state| cell(state) + &skipped + &due)
    }

    /// That a run was skipped after the one that the row shows.
    fn skip_after_the_run(&self) -> Option<String> {
        let is_newer = self.last_skipped > self.last_run && self.state != GroupState::Skipped;
        let skipped = time(self.last_skipped).filter(|_| is_newer)?;
        Some(format!(", skipped {}", age(self.now, skipped)))
    }

    pub(super) fn color(&self) -> &'static str {
        match &self.state {
            _ if self.is_overdue() => RED,
            GroupState::Foreign => "",
            GroupState::Running => CYAN,
            GroupState::Ended(Some(outcome)) if outcome == "success" => GREEN,
            GroupState::Skipped => YELLOW,
            GroupState::Ended(Some(outcome)) if outcome == "skipped" => YELLOW,
            GroupState::Lost | GroupState::Ended(_) => RED,
        }
    }

    fn labels(&self) -> String {
        let labels = self.group.key.labels().iter().skip(1);
        let pairs: Vec<String> = labels.map(|(name, value)| format!("{}={}", cell(name), cell(value))).collect();
        if pairs.is_empty() { "-".to_owned() } else { pairs.join(",") }
    }

    fn duration(&self) -> String {
        let since = time(self.started).and_then(|started| self.now.duration_since(started).ok());
        let duration = if self.state == GroupState::Running { since.map(whole) } else { seconds(self.duration) };
        duration.map_or_else(|| "-".to_owned(), span)
    }

    pub(super) fn pushed(&self) -> String {
        let ago = |time: PushTime| match time {
            PushTime::Unknown => "-".to_owned(),
            PushTime::Never => "never".to_owned(),
            PushTime::At(at) => age(self.now, at),
        };
        let pushed = ago(self.group.pushed);
        // The last push was not taken, so the row shows the one before.
        if self.group.refused > self.group.pushed && matches!(self.group.refused, PushTime::At(_)) {
            return format!("{pushed}, refused {}", ago(self.group.refused));
        }
        pushed
    }

    pub(super) fn cells(&self) -> [String; 6] {
        let started = time(self.started).map_or_else(|| "-".to_owned(), |started| age(self.now, started));
        [cell(self.group.key.job()), self.labels(), self.outcome(), started, self.duration(), self.pushed()]
    }

    pub(super) fn json<'r>(&'r self, url: &'r str) -> GroupJson<'r> {
        let labels = self.group.key.labels().iter().skip(1);
        let push_time = |time| match time {
            PushTime::Unknown => None,
            PushTime::Never => Some(JsonNumber(0.0)),
            PushTime::At(at) => at.duration_since(UNIX_EPOCH).ok().map(|since| JsonNumber(since.as_secs_f64())),
        };
        GroupJson {
            gateway: url,
            job: self.group.key.job(),
            labels: labels.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            state: self.state(),
            overdue: self.is_overdue(),
            exit_code: self.exit_code.map(JsonNumber),
            start_timestamp_seconds: self.started.map(JsonNumber),
            duration_seconds: self.duration.map(JsonNumber),
            report_timestamp_seconds: self.reported.map(JsonNumber),
            last_success_timestamp_seconds: self.last_success.map(JsonNumber),
            last_skipped_timestamp_seconds: self.last_skipped.map(JsonNumber),
            max_age_seconds: self.max_age.map(JsonNumber),
            next_success_deadline_timestamp_seconds: self.deadline.map(JsonNumber),
            push_time_seconds: push_time(self.group.pushed),
            push_failure_time_seconds: push_time(self.group.refused),
        }
    }
}

/// When the run last reported; where an older version did not say, when the gateway took its last push.
fn last_report(reported: Option<f64>, group: &Group) -> Option<SystemTime> {
    time(reported).or(match group.pushed {
        PushTime::At(pushed) => Some(pushed),
        PushTime::Unknown | PushTime::Never => None,
    })
}

fn heartbeat(reported: Option<SystemTime>, now: SystemTime) -> GroupState {
    let silent = reported.map_or(Duration::MAX, |reported| now.duration_since(reported).unwrap_or_default());
    if silent > HEARTBEAT { GroupState::Lost } else { GroupState::Running }
}

/// The state of the state set that is 1.
fn outcome(group: &Group, family: &str) -> Option<String> {
    let happened = group.series.iter().find(|series| series.family == family && series.value > 0.5)?;
    happened.labels.iter().find(|(name, _)| name == "outcome").map(|(_, outcome)| outcome.clone())
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn seconds(value: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(value?).ok()
}

fn time(value: Option<f64>) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(seconds(value)?)
}

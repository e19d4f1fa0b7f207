//! One change to one group at a gateway, and where in the life of a run it is made.

use crate::exposition::{Family, OwnedFamilies};
use crate::grouping::GroupingKey;

/// The method of a push: what the gateway does with the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST: replace the metric families that are sent, keep the others (Pushgateway README, "POST method").
    Add,
    /// PUT: replace the whole group (Pushgateway README, "PUT method").
    Replace,
    /// DELETE: remove the whole group (Pushgateway README, "DELETE method").
    Delete,
}

impl Method {
    /// The method's name in a request line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "POST",
            Self::Replace => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One change to one group. Every method is idempotent at the gateway, so repeating a push is safe.
///
/// It carries families; each sink encodes them in its own format. Clones share them.
#[derive(Debug, Clone)]
pub struct Push {
    /// The method of the request.
    pub method: Method,
    /// Which group is changed.
    pub key: GroupingKey,
    /// The run's own metrics; none where there was no run. Not sent with DELETE.
    pub own: OwnedFamilies,
    /// The command's metrics, without which the push is tried where the gateway refuses it because of them.
    pub command: OwnedFamilies,
    /// Names of own families that stay from an older report where this one has none: the last success above all. A Pushgateway
    /// keeps them by itself.
    pub carried_over: Vec<String>,
}

/// What the name of the own family ends in that every report of a run has.
const START: &str = "start_timestamp_seconds";
/// What the names of the two own families end in that tell what was taken of the command's metrics.
const TEXTFILE_SAMPLES: &str = "textfile_samples";
const TEXTFILE_ERRORS: &str = "textfile_errors";
/// What the names of the own families end in that count runs.
const COUNTS: [&str; 2] = ["runs_total", "consecutive_failures"];
/// What the name of a time ends in.
const TIMESTAMP: &str = "_timestamp_seconds";

impl Push {
    /// Deletes the group.
    #[must_use]
    pub fn deletion(key: GroupingKey) -> Self {
        Self::empty(Method::Delete, key)
    }

    /// A push without metrics.
    #[must_use]
    pub fn empty(method: Method, key: GroupingKey) -> Self {
        Self { method, key, own: OwnedFamilies::default(), command: OwnedFamilies::default(), carried_over: Vec::new() }
    }

    /// Whether it tells of a run that did not run the job: it changes nothing that another run has pushed.
    #[must_use]
    pub fn tells_of_skip_alone(&self) -> bool {
        let own = self.own.families();
        self.method == Method::Add && !own.is_empty() && !own.iter().any(|family| family.name().ends_with(START))
    }

    /// The same, and the counts of runs stay as they were pushed before.
    #[must_use]
    pub(crate) fn without_counts(&self) -> Self {
        let is_count = |name: &str| COUNTS.iter().any(|end| name.ends_with(end));
        let counts = self.own.families().iter().map(Family::name).filter(|name| is_count(name)).map(str::to_owned);
        let carried_over = self.carried_over.iter().cloned().chain(counts).collect();
        Self { own: self.own_where(|family| !is_count(family.name())), carried_over, ..self.clone() }
    }

    /// What of a report is pushed when a newer run was reported already: the times of the last success and the last skipped run that
    /// are `missing` there. None where there is no such time.
    pub(crate) fn last_times(&self, missing: impl Fn(&Family<'_>) -> bool) -> Option<Self> {
        let is_time = |name: &str| name.ends_with(TIMESTAMP) && self.carried_over.iter().any(|other| other == name);
        let own = self.own_where(|family| is_time(family.name()) && missing(family));
        let is_something = self.method != Method::Delete && !own.is_empty();
        is_something.then(|| Self { own, ..Self::empty(Method::Add, self.key.clone()) })
    }

    fn own_where(&self, wanted: impl Fn(&Family<'_>) -> bool) -> OwnedFamilies {
        OwnedFamilies::of(vec![self.own.clone()], |parts| {
            parts.iter().flat_map(OwnedFamilies::families).filter(|family| wanted(family)).cloned().collect()
        })
    }

    /// Everything that is sent, the run's own metrics first.
    pub fn families(&self) -> impl Iterator<Item = &Family<'_>> {
        self.own.families().iter().chain(self.command.families())
    }

    /// Whether the run's own metrics can be pushed alone.
    #[must_use]
    pub fn can_fall_back(&self) -> bool {
        !self.own.is_empty() && !self.command.is_empty()
    }

    /// The run's own metrics where nothing of the command's is sent with them: they say so.
    #[must_use]
    pub fn own_alone(&self) -> Vec<Family<'_>> {
        self.own_with(0, 1)
    }

    /// The run's own metrics where so many samples are sent with them, and so many problems were found at last.
    #[must_use]
    pub fn own_with(&self, samples: u64, more_errors: u64) -> Vec<Family<'_>> {
        self.own.families().iter().map(|family| recounted(family, samples, more_errors)).collect()
    }
}

/// A family as it is where the command's metrics are left out: no sample was taken, and that is one error more.
pub(crate) fn without_samples<'a>(family: &Family<'a>) -> Family<'a> {
    recounted(family, 0, 1)
}

fn recounted<'a>(family: &Family<'a>, samples: u64, more_errors: u64) -> Family<'a> {
    let with = |number: u64| family.clone().with_value(&number.to_string());
    if family.name().ends_with(TEXTFILE_SAMPLES) {
        return with(samples);
    }
    if !family.name().ends_with(TEXTFILE_ERRORS) {
        return family.clone();
    }
    let errors = family.samples().first().and_then(|sample| sample.value().parse::<u64>().ok());
    with(errors.unwrap_or_default().saturating_add(more_errors))
}

/// The stage of a run that a push reports; later ones are more important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PushKind {
    /// The heartbeat of a running command. It waits for its kind, and a newer push takes its place.
    Heartbeat,
    /// The run got a stop signal: a KILL may follow before the command has ended.
    Stopping,
    /// The run has ended.
    Final,
    /// A push that had waited in the state directory; only in reports.
    Spooled,
}

//! When the runs began whose metrics a gateway has: asked before a push is sent that waited, and remembered for a moment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::delivery::timing::{START_TIMES_FOR, START_TIMES_WITHIN};
use crate::grouping::GroupingKey;
use crate::http::deadline::Deadline;
use crate::sink::{Inventory, Limits, Sink, inventory};

/// The last question, and the gateway's answer.
#[derive(Debug, Default)]
pub(crate) struct StartTimes(Mutex<Option<Asked>>);

#[derive(Debug)]
struct Asked {
    url: String,
    family: String,
    inventory: Option<Inventory>,
    until: Deadline,
}

impl StartTimes {
    /// The value of `family` in a group of this sink; none where it has none, cannot be asked, or does not say in time.
    pub(crate) fn ask(&self, sink: &Sink, family: &str, key: &GroupingKey, limits: Limits<'_>) -> Option<f64> {
        let Sink::Pushgateway(gateway) = sink else { return None };
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let url = sink.name();
        let is_known = |asked: &Asked| asked.url == url && asked.family == family && !asked.until.passed();
        if !asked.as_ref().is_some_and(is_known) {
            let left = limits.cancel.until().map_or(Duration::MAX, |until| Deadline::from(until).left());
            let time = START_TIMES_WITHIN.min(limits.deadline.left() / 4).min(left);
            let inventory = inventory(gateway, &[family.to_owned()], Deadline::after(time).with_one_more_try()).ok();
            let until = Deadline::after(START_TIMES_FOR);
            *asked = Some(Asked { url, family: family.to_owned(), inventory, until });
        }
        asked.as_ref()?.inventory.as_ref()?.group(key)?.value(family)
    }
}

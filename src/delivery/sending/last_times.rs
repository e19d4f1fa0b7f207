//! What is left to send of a run when a newer one was reported already: when the job last succeeded, and when it was last skipped.

use crate::delivery::timing::START_TIMES_WITHIN;
use crate::exposition::{Family, Sample};
use crate::http::deadline::Deadline;
use crate::sink::{Limits, Push, Sink, ValueUnknown};

/// The times of this push that the sink does not have, or has older ones of; none where it has them all.
pub(crate) fn last_times(sink: &Sink, push: &Push, limits: Limits<'_>) -> Option<Push> {
    let deadline = Deadline::after(START_TIMES_WITHIN.min(limits.deadline.left() / 4)).with_one_more_try();
    push.last_times(|family: &Family<'_>| {
        let own = family.samples().first().map(Sample::number);
        match sink.value(&push.key, family.name(), deadline) {
            Ok(there) => there < own,
            // A last success that is a moment too old is better than one of yesterday.
            Err(ValueUnknown) => !push.tells_of_skip_alone(),
        }
    })
}

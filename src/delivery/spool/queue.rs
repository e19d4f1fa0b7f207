//! What a run does with the state directory: its final push is kept there before it is sent, so that a KILL loses nothing, is sent
//! when no other of its group is on its way, and stays where it is not taken. Then pushes of other groups that wait go out.

use std::time::Duration;

use crate::delivery::spool::dir::{Lock, NoLock, SpoolDir};
use crate::delivery::spool::entry::{Destination, Inherited, SpooledPush, destination_name};
use crate::delivery::spool::notes::{Fate, Note, send_lock};
use crate::delivery::spool::store::{FULL, Sent, SpoolOptions, Stored, Written, dropped, fate, is_settled};
use crate::delivery::timing::{LEAST_FOR_SPOOLED, UNREACHABLE_WHERE_KEPT};
use crate::http::deadline::Deadline;
use crate::http::error::{Failure, Fault, Phase};
use crate::sink::Push;
use crate::sink::PushKind;
use crate::sink::delivered::{Delivered, OWN_ALONE};
use crate::sink::{DeliveryResult, Limits, Sink};

impl SpoolOptions {
    /// A place for a run's push to this sink; `None` where nothing is kept. Why a directory that was named cannot be used is said
    /// when the run is counted.
    pub(crate) fn place(&self, sink: &Sink) -> Option<SpoolEntry<'_>> {
        let destination = sink.destination()?;
        Some(SpoolEntry { spool: self, state: self.state_dir.open().ok().flatten()?.within(self.budget), destination })
    }

    /// Sends what other groups wait to send to the same sink, as far as time allows. The first failure ends it.
    pub(crate) fn send_others(&self, sink: &Sink, own: &Push, limits: Limits<'_>) -> Vec<Drained> {
        let (Some(destination), Ok(Some(state))) = (sink.destination(), self.state_dir.open()) else {
            return Vec::new();
        };
        let ending = format!("-{}", destination_name(&destination));
        let own = SpooledPush::new(destination, own.clone()).name();
        let names = state.waiting().unwrap_or_default();
        let mut drained = Vec::new();
        for name in names.iter().filter(|name| name.ends_with(&ending) && **name != own) {
            if limits.deadline.left() < LEAST_FOR_SPOOLED || limits.cancel.until().is_some() {
                break;
            }
            let draining = drain(&state, name, sink, limits);
            let goes_on = draining.as_ref().is_none_or(|draining| !draining.waits);
            drained.extend(draining);
            if !goes_on {
                break;
            }
        }
        drained
    }

    /// Sends what an older run of the same group left, before a push that keeps nothing: sent after it, it would stand over it.
    /// It gets half of the time at most, and is not waited for where somebody else sends it.
    pub(crate) fn send_older(&self, sink: &Sink, own: &Push, limits: Limits<'_>) -> Option<Drained> {
        let (destination, state) = (sink.destination()?, self.state_dir.open_existing().ok()?);
        let name = SpooledPush::new(destination, own.clone()).name();
        // Nothing is made where nothing waits.
        state.peek(&name).ok()??;
        let deadline = Deadline::after(limits.deadline.left() / 2);
        drain(&state, &name, sink, Limits { deadline, ..limits })
    }
}

/// What came of a push that had waited.
#[derive(Debug)]
pub(crate) struct Drained {
    /// None where nothing was sent.
    pub(crate) result: Option<Result<Delivered, Failure>>,
    pub(crate) said: Vec<String>,
    /// The gateway may still apply it.
    pub(crate) unanswered: bool,
    waits: bool,
}

/// `None` where there was nothing to do.
fn drain(state: &SpoolDir, name: &str, sink: &Sink, limits: Limits<'_>) -> Option<Drained> {
    let untried = |trouble| Drained { result: None, said: vec![trouble], unanswered: false, waits: false };
    let waiting = match state.waiting_push(name) {
        Ok(waiting) => waiting?,
        Err(trouble) => return Some(untried(trouble)),
    };
    let (group, url) = (waiting.group(), sink.name());
    let (mut result, unanswered, waits) = match state.send_waiting(name, sink, Duration::ZERO, || limits) {
        Ok(Sent::Tried { result, unanswered, waits }) => (result, unanswered, waits),
        Ok(Sent::Gone | Sent::Busy) => return None,
        Err(trouble) => return Some(untried(trouble)),
    };
    let mut said = Vec::new();
    match &mut result {
        Ok(delivered) => {
            said.extend(delivered.refused(&url).map(|why| format!("{group}, which had waited: {why}")));
            delivered.notes.push(format!("{group}, which had waited, was {} '{url}'", waiting.deed()));
        }
        Err(failure) if !waits => said.push(dropped(&group, failure)),
        Err(_) => {}
    }
    Some(Drained { result: Some(result), said, unanswered, waits })
}

/// Where the final push of a run to one sink is kept until it is taken.
#[derive(Debug)]
pub(crate) struct SpoolEntry<'s> {
    spool: &'s SpoolOptions,
    state: SpoolDir,
    destination: Destination,
}

impl SpoolEntry<'_> {
    /// Writes the push, before it is sent.
    pub(crate) fn keep(&self, push: &Push) -> Stored {
        self.state.tidy();
        self.state.store(self.waiting(push), self.spool)
    }

    fn waiting(&self, push: &Push) -> SpooledPush {
        SpooledPush::new(self.destination.clone(), push.clone())
    }

    /// What is said of the push when it is not taken.
    pub(crate) fn sentence(&self, stored: &Stored) -> String {
        let shown = self.state.path().display();
        match &stored.written {
            Written::Nothing(why) => format!("the push is not kept: {why}"),
            Written::OwnMetrics => format!("it waits in '{shown}' without the command's metrics: {FULL}"),
            Written::Whole => format!("it waits in '{shown}' for the next run or 'pushwrap flush'"),
        }
    }

    /// Sends it, kept or not. The lines have to be said.
    pub(crate) fn deliver(&self, sink: &Sink, mut stored: Stored, limits: Limits<'_>) -> DeliveryResult {
        let deadline = if stored.written.waits() {
            limits.deadline.patient_at_most(UNREACHABLE_WHERE_KEPT)
        } else {
            limits.deadline
        };
        let limits = Limits { deadline, ..limits };
        let sentence = self.sentence(&stored);
        let mut said: Vec<String> = stored.note.take().into_iter().collect();
        let handed = self.send(stored, sink, limits);
        said.extend(handed.said);
        said.extend((!is_settled(&handed.result)).then_some(sentence));
        DeliveryResult { said, ..handed }
    }

    /// Waits until nobody else sends a push of this group: an older one that is still on its way must not arrive after this one.
    /// What is kept can wait for as long as there is time, and longer; what is not gets some time on the network in any case.
    fn kind(&self, name: &str, written: &Written, limits: Limits<'_>) -> Result<Lock, NoLock> {
        let quarter = Deadline::after(self.spool.budget.min(limits.deadline.left()) / 4);
        let until = if written.waits() { limits.deadline } else { quarter };
        let stopped = || limits.cancel.until().is_some_and(|until| Deadline::from(until).passed());
        self.state.lock_while(&send_lock(name), || !until.passed() && !stopped())
    }

    /// Whoever gets the lock late may find that another run has sent it, or has put a newer one over it.
    fn send(&self, stored: Stored, sink: &Sink, limits: Limits<'_>) -> DeliveryResult {
        let Stored { mut waiting, mut own, inherited, written, .. } = stored;
        let name = waiting.name();
        let lock = match self.kind(&name, &written, limits) {
            Err(NoLock::Busy(_)) if written.waits() => {
                return Err(sink.given_up(Fault::Timeout(Phase::PushKind))).into();
            }
            lock => lock.ok(),
        };
        let there = self.state.look(&name).ok().flatten();
        let newer = there.as_ref().filter(|there| there.token > waiting.token);
        let notes = if written.waits() { self.state.notes(&name) } else { Vec::new() };
        if let Some(known) = known(&notes, waiting.token, sink) {
            // One that stays is not sent again.
            let _ = self.state.discard(&waiting);
            return known.into();
        }
        // What was refused is in nothing that was stored later.
        let is_noted = notes.iter().any(|note| waiting.token <= note.token);
        if let Some(newer) = newer.filter(|_| written.waits() && !is_noted) {
            return self.send_newer(newer.clone(), lock.as_ref(), sink, limits);
        }
        for push in [&mut own, &mut waiting] {
            match &lock {
                // What waits has its counts from when it was stored, and may be sent again with these.
                Some(_) if there.is_some() && newer.is_none() && written.waits() => {}
                // Others may have been counted, and have sent their pushes, while this one waited for its kind.
                Some(_) if newer.is_none() => self.spool.recount(&self.state, push),
                _ => self.spool.uncount(push),
            }
        }
        // What waits may be less than what there is to send.
        let mut handed = waiting.deliver(sink, limits);
        if inherited == Inherited::Metrics && is_settled(&handed.result) && !is_whole(&handed.result) {
            handed = self.send_alone(handed, &own, lock.as_ref(), sink, limits);
        }
        // Without the lock an older push may still be on its way: then what waits is repeated by the next run.
        if let Some(lock) = lock.filter(|_| is_settled(&handed.result)) {
            let _ = self.state.settle(&lock, &waiting, &handed.result);
        }
        handed
    }

    /// Sends a newer run's push, in which this run's is. Where not all of it is taken it stays: that run has more to say.
    fn send_newer(
        &self,
        mut newer: SpooledPush,
        lock: Option<&Lock>,
        sink: &Sink,
        limits: Limits<'_>,
    ) -> DeliveryResult {
        if lock.is_none() {
            self.spool.uncount(&mut newer);
        }
        let handed = newer.deliver(sink, limits);
        if let Some(lock) = lock.filter(|_| is_whole(&handed.result)) {
            let _ = self.state.settle(lock, &newer, &handed.result);
        }
        handed
    }

    /// Sends a push that was taken once more, unless a newer run has been counted meanwhile or is sending: that one stands.
    pub(crate) fn repeat(&self, sink: &Sink, push: &Push, limits: Limits<'_>) {
        let own = self.waiting(push);
        let Ok(_lock) = self.state.lock_within(&send_lock(&own.name()), Duration::ZERO) else { return };
        let mut newest = own.clone();
        self.spool.recount(&self.state, &mut newest);
        if newest.push.own == own.push.own {
            sink.deliver(push, PushKind::Final, limits);
        }
    }

    /// What was refused may be what had waited: this run's push must not go with it.
    fn send_alone(
        &self,
        refused: DeliveryResult,
        own: &SpooledPush,
        lock: Option<&Lock>,
        sink: &Sink,
        limits: Limits<'_>,
    ) -> DeliveryResult {
        let alone = sink.deliver(&own.push, PushKind::Final, limits);
        let unanswered = refused.unanswered || alone.unanswered;
        if !is_settled(&alone.result) {
            return DeliveryResult { unanswered, ..alone };
        }
        if alone.result.is_err() || refused.result.is_ok() && !is_whole(&alone.result) {
            return DeliveryResult { unanswered, ..refused };
        }
        if let Some(lock) = lock {
            self.state.note(&own.name(), lock, Note { token: own.token.saturating_sub(1), ..fate(&refused.result) });
        }
        let group = own.group();
        let why = match refused.result {
            Ok(delivered) => delivered.refused(&sink.name()).unwrap_or_default(),
            Err(failure) => failure.to_string(),
        };
        DeliveryResult { said: vec![dropped(&group, why)], unanswered, ..alone }
    }
}

/// What became of a push that somebody else has sent; `None` where it has to be sent.
fn known(notes: &[Note], token: u64, sink: &Sink) -> Option<Result<Delivered, Failure>> {
    let first = notes.iter().position(|note| token <= note.token)?;
    let (note, later) = (notes.get(first)?, notes.get(first..)?);
    let is_covered = later.iter().any(|note| note.token > token && note.fate != Fate::Refused);
    let own_only = match note.fate {
        Fate::Whole => None,
        Fate::Light if is_covered => Some(format!("{OWN_ALONE}: together with a newer push of this group")),
        Fate::Refused if is_covered => return Some(Err(sink.given_up(Fault::Superseded))),
        Fate::Light | Fate::Refused => return None,
    };
    let notes = vec!["another run has sent it".to_owned()];
    Some(Ok(Delivered { status: note.status, own_only, notes, ..Delivered::default() }))
}

/// Whether everything in a push was taken.
fn is_whole(result: &Result<Delivered, Failure>) -> bool {
    result.as_ref().is_ok_and(Delivered::is_whole)
}

//! What a run sends of the state directory: its own push with everything that waits of its group, what waits before a heartbeat,
//! and for a moment what waits of other groups.

use std::path::Path;
use std::time::SystemTime;

use crate::delivery::sending::drain::{Drain, Drained, OwnPush};
use crate::delivery::sending::last_times::last_times;
use crate::delivery::sending::start_times::StartTimes;
use crate::delivery::spool::entry::SpooledPush;
use crate::delivery::spool::queue::{PushVerdict, QueueDir};
use crate::delivery::spool::room::FULL;
use crate::delivery::spool::send_record::SendRecord;
use crate::delivery::spool::store::{Receipt, RunRecord, SpoolOptions, StoredPush, read_runs};
use crate::delivery::state_dir::lock::{Lock, LockPatience, NoLock};
use crate::delivery::timing::{FOR_OTHER_GROUPS, LEAST_FOR_SPOOLED, UNANSWERED_FOR_AT_MOST, UNREACHABLE_WHERE_KEPT};
use crate::http::deadline::Deadline;
use crate::http::error::{Fault, Phase};
use crate::sink::delivered::{Delivered, OWN_ALONE};
use crate::sink::{DeliveryResult, Limits, Push, PushKind, Sink};

impl StoredPush {
    /// The message about the push when the sink does not take it.
    pub(crate) fn sentence(&self) -> String {
        let path = self.queue.group.state.path().display();
        match &self.receipt {
            Receipt::Nothing(why) => format!("the push is not kept: {why}"),
            Receipt::OwnOnly(_) => format!("it waits in '{path}' without the command's metrics: {FULL}"),
            Receipt::Complete(_) => format!("it waits in '{path}' for the next run or 'pushwrap flush'"),
        }
    }

    /// Sends a push that was taken once more, unless a newer run has been counted meanwhile or is sending: that one stands.
    pub(crate) fn repeat(&self, sink: &Sink, (push, number): (&Push, Option<u64>), limits: Limits<'_>) {
        let Some(_lock) = Lock::now(&self.queue.lock_path()) else { return };
        let newest = read_runs(&self.queue.group, &mut Vec::new()).map(|runs| runs.last).ok();
        if number.or(self.receipt.number()).is_none_or(|number| newest == Some(number)) {
            sink.deliver(push, PushKind::Final, limits);
        }
    }
}

impl SpoolOptions {
    /// Whether a final push to this sink waits when it fails, where the directory can be used.
    pub(crate) fn keeps(&self, sink: &Sink) -> bool {
        self.state_dir.is_wanted() && sink.address().is_some()
    }

    fn queue(&self, sink: &Sink) -> Option<QueueDir> {
        let destination = sink.address()?;
        Some(self.state_dir.open_existing().ok()?.group(&self.key).queue_to(&destination))
    }

    /// Sends the final push of a run, kept or not, with what waits of its group.
    pub(crate) fn deliver(
        &self,
        sink: &Sink,
        push: &Push,
        (record, stored): (&RunRecord, &StoredPush),
        limits: Limits<'_>,
    ) -> Drained {
        let deadline = match stored.receipt.number() {
            Some(_) => limits.deadline.patient_at_most(UNREACHABLE_WHERE_KEPT),
            None => limits.deadline,
        };
        let mut drained = self.send(sink, push, (record, stored), Limits { deadline, ..limits });
        if drained.outage.is_some() || drained.result.as_ref().is_some_and(|result| !is_settled(result)) {
            drained.said.push(stored.sentence());
        }
        if stored.receipt.number().is_none() {
            // A lost push is reported each time.
            drained.outage = None;
        }
        drained
    }

    fn send(
        &self,
        sink: &Sink,
        push: &Push,
        (record, StoredPush { queue, receipt }): (&RunRecord, &StoredPush),
        limits: Limits<'_>,
    ) -> Drained {
        let stored = receipt.number();
        // What is kept can wait for as long as there is time, and longer; what is not gets some time on the network in any case.
        let left = limits.deadline.left();
        let patience = if stored.is_some() { left } else { self.budget.min(left) / 4 };
        let stopped = || limits.cancel.until().is_some_and(|until| Deadline::from(until).passed());
        let lock = match Lock::acquire(&queue.lock_path(), LockPatience::of(patience), || !stopped()) {
            Err(NoLock::Busy(_)) if stored.is_some() => {
                let result = Err(sink.given_up(Fault::Timeout(Phase::Queue)));
                return Drained { result: Some(result), ..Drained::default() };
            }
            lock => lock.ok(),
        };
        let unlocked = || SendRecord::read_unlocked(&queue.lock_path()).unwrap_or_default();
        let before = lock.as_ref().map_or_else(unlocked, SendRecord::read);
        let number = record.number;
        if stored.is_none() && before.is_past(number, push) {
            return Drained::of(deliver_overtaken(sink, push, before.status, limits));
        }
        let Some(lock) = lock else {
            // It may arrive after pushes with higher counts.
            return Drained::of(sink.deliver(&push.without_counts(), PushKind::Final, limits));
        };
        if let Some(known) = stored.and_then(|number| known(queue, number, &before, sink)) {
            return Drained { result: Some(known), ..Drained::default() };
        }
        let Some(destination) = sink.address() else { return Drained::default() };
        let own = SpooledPush::new(destination, push.clone());
        let started = own.start().map(|(_, start)| start);
        let drain = Drain { queue, sink, limits, start_times: &StartTimes::default(), started };
        let drained = drain.run(&lock, Some(OwnPush { number, stored, push: own }));
        let was_unanswered = before.unanswered.is_some_and(is_recent);
        Drained { repeats: was_unanswered, ..drained }
    }

    /// Writes a report to the file of a sink. Where a newer run was reported there, `number` being that of this run, only what
    /// lasts is written: nothing that the newer one says is taken back.
    pub(crate) fn write(
        &self,
        (sink, path): (&Sink, &Path),
        push: &Push,
        (kind, number): (PushKind, Option<u64>),
        limits: Limits<'_>,
    ) -> DeliveryResult {
        let patience = LockPatience::of(self.budget.min(limits.deadline.left()) / 4);
        let stopped = || limits.cancel.until().is_some_and(|until| Deadline::from(until).passed());
        let state = self.state_dir.open_existing().ok();
        let lock_path = state.map(|state| state.group(&self.key).queue_to_file(path).lock_path());
        let lock = lock_path.and_then(|path| Lock::acquire(&path, patience, || !stopped()).ok());
        let Some(number) = number else { return sink.deliver(push, kind, limits) };
        let before = lock.as_ref().map(SendRecord::read).unwrap_or_default();
        if before.is_past(Some(number), push) {
            return deliver_overtaken(sink, push, before.status, limits);
        }
        let reported = if push.tells_of_skip_alone() { before.reported } else { number };
        let record = SendRecord { reported, counted: before.counted.max(number), ..before };
        let is_recorded = lock.as_ref().is_some_and(|lock| record.write(lock).is_ok());
        if number < before.counted || !is_recorded {
            // Others with higher counts may have been here, or come before the next run of this group.
            return sink.deliver(&push.without_counts(), kind, limits);
        }
        let delivered = sink.deliver(push, kind, limits);
        if let Some(lock) = lock.filter(|_| delivered.result.is_err()) {
            let _ = before.write(&lock);
        }
        delivered
    }

    /// Before a push that is not stored: sends the pushes that older runs of the same group left, which would overwrite this push if
    /// they were sent after it. Takes half of the time at most, and does not wait where another process holds the send lock.
    pub(crate) fn send_older(&self, sink: &Sink, own: &Push, limits: Limits<'_>) -> Option<Drained> {
        let queue = self.queue(sink)?;
        // Nothing is made where nothing waits.
        queue.list().ok().filter(|listing| !listing.pushes.is_empty())?;
        let lock = Lock::now(&queue.lock_path())?;
        let limits = Limits { deadline: limits.deadline.earlier(limits.deadline.left() / 2), ..limits };
        let started = own.own.families().iter().find(|family| family.name().ends_with("start_timestamp_seconds"));
        let started = started.and_then(|family| Some(family.samples().first()?.number()));
        let drain = Drain { queue: &queue, sink, limits, start_times: &StartTimes::default(), started };
        let is_worth =
            |drained: &Drained| drained.result.is_some() || !drained.said.is_empty() || !drained.outdated.is_empty();
        Some(drain.run(&lock, None)).filter(is_worth)
    }

    /// Sends what other groups wait to send to the same sink, for a fraction of a second. The first failure ends it.
    pub(crate) fn send_others(&self, sink: &Sink, limits: Limits<'_>) -> Vec<Drained> {
        let Some(own) = self.queue(sink) else { return Vec::new() };
        let deadline = Deadline::after(FOR_OTHER_GROUPS.min(limits.deadline.left()));
        let (limits, start_times) = (Limits { deadline, ..limits }, StartTimes::default());
        let mut all = Vec::new();
        for queue in own.group.state.groups_waiting_for(&own.name) {
            if queue.group.name == own.group.name {
                continue;
            }
            if deadline.left() < LEAST_FOR_SPOOLED || limits.cancel.until().is_some() {
                break;
            }
            let Some(lock) = Lock::now(&queue.lock_path()) else { continue };
            let drained =
                Drain { queue: &queue, sink, limits, start_times: &start_times, started: None }.run(&lock, None);
            let goes_on = drained.outage.is_none();
            all.push(drained);
            if !goes_on {
                break;
            }
        }
        all
    }
}

impl SendRecord {
    /// Whether a newer run than that of this number has reported what its push would report. The counts may not be there yet where an
    /// answer is missing.
    fn is_past(self, number: Option<u64>, push: &Push) -> bool {
        let is_counted = push.tells_of_skip_alone() && self.unanswered.is_none();
        let newest = if is_counted { self.counted } else { self.reported };
        number.is_some_and(|number| number < newest)
    }
}

impl Drained {
    fn of(DeliveryResult { result, unanswered, said }: DeliveryResult) -> Self {
        Self { result: Some(result), unanswered, said, ..Self::default() }
    }
}

/// Delivers what a push tells besides where a newer run has been reported: when the job has last succeeded or was last skipped. It fails
/// where metrics of the command may be lost.
fn deliver_overtaken(sink: &Sink, push: &Push, status: Option<u16>, limits: Limits<'_>) -> DeliveryResult {
    let delivered = last_times(sink, push, limits).map_or_else(
        || Ok(Delivered { status, ..Delivered::default() }).into(),
        |push| sink.deliver(&push, PushKind::Final, limits),
    );
    let is_lost = sink.is_remote() && !push.command.is_empty();
    let result = delivered.result.and_then(|mut delivered| {
        if is_lost {
            return Err(sink.given_up(Fault::Overtaken));
        }
        delivered.details.push(Fault::Overtaken.to_string());
        Ok(delivered)
    });
    DeliveryResult { result, ..delivered }
}

/// Whether a push need not wait any more.
fn is_settled(result: &Result<Delivered, crate::http::error::Failure>) -> bool {
    match result {
        Ok(_) => true,
        Err(failure) => !failure.fault.decision().keep,
    }
}

fn is_recent(at: SystemTime) -> bool {
    let now = SystemTime::now();
    let apart = now.duration_since(at).unwrap_or_else(|error| error.duration());
    apart < UNANSWERED_FOR_AT_MOST
}

/// The result of a push that another run has sent; `None` where it waits.
fn known(
    queue: &QueueDir,
    number: u64,
    record: &SendRecord,
    sink: &Sink,
) -> Option<Result<Delivered, crate::http::error::Failure>> {
    let listing = queue.list().ok()?;
    let whole =
        |status| Delivered { status, details: vec!["another run has sent it".to_owned()], ..Delivered::default() };
    match listing.verdict(number) {
        Some(PushVerdict::Partly { status, why }) => {
            let together = "together with a newer push of this group";
            Some(Ok(match why.strip_prefix(OWN_ALONE) {
                Some(why) => Delivered { own_only: Some(format!("{OWN_ALONE}, {together}{why}")), ..whole(status) },
                None => Delivered { left_out: vec![format!("{why}, {together}")], ..whole(status) },
            }))
        }
        Some(PushVerdict::Refused { status: Some(status), why }) => {
            let text = format!("refused together with a newer push of this group: {why}");
            Some(Err(sink.given_up(Fault::Status { status, text, retry_after: None })))
        }
        Some(PushVerdict::Refused { status: None, .. }) => Some(Err(sink.given_up(Fault::Superseded))),
        // What nobody is recorded to have sent is not taken for sent, wherever its file is.
        None if listing.has(number) || number > record.highest() => None,
        None => Some(Ok(whole(record.status))),
    }
}

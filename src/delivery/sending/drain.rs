//! Sends the pushes of a queue: for a run at its end, its heartbeats, runs of other groups and `flush`. All of them are sent as
//! one push, under the lock of the queue, so that no push of a group overtakes another.

use std::time::SystemTime;

use crate::delivery::sending::last_times::last_times;
use crate::delivery::sending::outage::Outage;
use crate::delivery::sending::start_times::StartTimes;
use crate::delivery::spool::entry::{EntryWriter, SpooledPush};
use crate::delivery::spool::merge::merge;
use crate::delivery::spool::queue::{PushVerdict, QueueDir, QueueFile};
use crate::delivery::spool::send_record::SendRecord;
use crate::delivery::state_dir::lock::Lock;
use crate::delivery::timing::LONGEST_WAIT;
use crate::http::error::{Failure, Fault};
use crate::sink::delivered::Delivered;
use crate::sink::{DeliveryResult, Limits, Push, PushKind, Sink};

/// So many files stay in a queue: more than that are merged into one.
const MOST_FILES: usize = 8;

/// The result of draining a queue.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// The sink's answer to the newest push, or to this run's own; none where nothing was sent.
    pub(crate) result: Option<Result<Delivered, Failure>>,
    /// The push that was sent, for messages.
    pub(crate) sent: Option<SpooledPush>,
    /// The gateway may still apply it.
    pub(crate) unanswered: bool,
    /// A push that was given up before may still be applied: this one, which was taken, is sent again after a moment.
    pub(crate) repeats: bool,
    /// When an earlier push was left unanswered, as the record of the lock says.
    pub(crate) unanswered_before: Option<SystemTime>,
    /// The newest run whose counts the sink has, or may have had before.
    pub(crate) counted: u64,
    /// Everything waits on, for this reason.
    pub(crate) outage: Option<Outage>,
    /// Pushes that waited and are dropped because the gateway has the metrics of a newer run. Command metrics that only such a push
    /// had are lost, as they are when the newer run replaces its group.
    pub(crate) outdated: Vec<String>,
    /// Warnings, one line each.
    pub(crate) said: Vec<String>,
}

/// The push of the run that sends.
#[derive(Debug)]
pub(crate) struct OwnPush {
    /// The number of the run, where it was counted.
    pub(crate) number: Option<u64>,
    /// The number of its file, where it has one.
    pub(crate) stored: Option<u64>,
    pub(crate) push: SpooledPush,
}

/// One of the pushes that are merged and sent.
#[derive(Debug)]
struct Entry {
    /// The number of the run, the last one of a file of several; none where it was not counted.
    number: Option<u64>,
    file: Option<QueueFile>,
    bytes: u64,
    push: SpooledPush,
    is_own: bool,
}

/// How much of a push was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acceptance {
    /// The whole push.
    Complete,
    /// The run's own metrics, and not all of the command's.
    Partly,
    /// Nothing; a retry would be refused too.
    Refused,
    /// Nothing: another time it may be taken.
    Pending,
}

impl Acceptance {
    fn of(result: &Result<Delivered, Failure>) -> Self {
        match result {
            Ok(delivered) if delivered.is_complete() => Self::Complete,
            Ok(_) => Self::Partly,
            Err(failure) if failure.fault.decision().keep => Self::Pending,
            Err(_) => Self::Refused,
        }
    }
}

impl PushVerdict {
    /// The verdict for the run whose push got this answer; none where the whole push was taken.
    fn of(result: &Result<Delivered, Failure>) -> Option<Self> {
        let status = status_of(result);
        match result {
            Ok(delivered) if delivered.is_complete() => None,
            Ok(Delivered { own_only, left_out, .. }) => {
                let why = own_only.clone().unwrap_or_else(|| left_out.join("; "));
                Some(Self::Partly { status, why })
            }
            Err(failure) => Some(Self::Refused { status, why: failure.to_string() }),
        }
    }
}

fn status_of(result: &Result<Delivered, Failure>) -> Option<u16> {
    match result {
        Ok(Delivered { status, .. }) => *status,
        Err(Failure { fault: Fault::Status { status, .. }, .. }) => Some(*status),
        Err(_) => None,
    }
}

/// Drains one queue: sends its pushes to their sink.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain<'d> {
    pub(crate) queue: &'d QueueDir,
    pub(crate) sink: &'d Sink,
    pub(crate) limits: Limits<'d>,
    /// The start times of the runs whose metrics the gateway holds.
    pub(crate) start_times: &'d StartTimes,
    /// When the run began that sends, in seconds since 1970: its heartbeats are not newer than what waits of its group.
    pub(crate) started: Option<f64>,
}

impl Drain<'_> {
    /// Sends everything that waits in the queue, and the own push, as one.
    pub(crate) fn run(self, lock: &Lock, own: Option<OwnPush>) -> Drained {
        let mut drained = Drained::default();
        self.queue.tidy(lock);
        let mut entries = self.read(own, &mut drained.said);
        self.drop_outdated(&mut entries, &mut drained);
        let before = SendRecord::read(lock);
        (drained.unanswered_before, drained.counted) = (before.unanswered, before.counted);
        if entries.is_empty() {
            self.queue.record_empty();
            return drained;
        }
        let newest = newest_number(&entries);
        let record = SendRecord { unanswered: Some(SystemTime::now()), counted: before.counted.max(newest), ..before };
        // A process that is killed while it sends cannot record it afterwards.
        let is_recorded = record.write(lock).is_ok();
        if newest < before.counted || !is_recorded {
            // The next run tells them.
            for entry in &mut entries {
                entry.push.push = entry.push.push.without_counts();
            }
        }
        let pushes = entries.iter().map(|entry| entry.push.clone());
        let Some(merged) = pushes.reduce(|older, newer| merge(&older, newer)) else { return drained };
        let first = self.deliver(&merged.push, &mut drained);
        drained.sent = Some(merged.clone());
        match Acceptance::of(&first) {
            Acceptance::Complete => self.settle(lock, &entries, &first, &mut drained),
            Acceptance::Pending => self.leave(lock, entries, &mut drained),
            _ => return self.send_newest_alone(lock, (entries, &merged), first, drained),
        }
        drained.result = Some(first);
        drained
    }

    fn deliver(&self, push: &Push, drained: &mut Drained) -> Result<Delivered, Failure> {
        let DeliveryResult { result, unanswered, said } = self.sink.deliver(push, PushKind::Final, self.limits);
        drained.unanswered |= unanswered;
        drained.said.extend(said);
        result
    }

    /// The pushes of the queue, oldest first. The own push is not read again.
    fn read(&self, mut own: Option<OwnPush>, said: &mut Vec<String>) -> Vec<Entry> {
        let files = self.queue.list().map(|listing| listing.pushes).unwrap_or_default();
        // A run says of files that it cannot read when it is counted.
        let is_run = own.is_some();
        let mut entries = Vec::new();
        for file in files {
            let number = Some(*file.numbers.end());
            let is_own = |own: &mut OwnPush| own.stored.is_some_and(|own| file.numbers.clone().eq(own..=own));
            if let Some(OwnPush { push, .. }) = own.take_if(is_own) {
                let bytes = std::fs::symlink_metadata(&file.path).map_or(0, |metadata| metadata.len());
                entries.push(Entry { number, file: Some(file), bytes, push, is_own: true });
                continue;
            }
            match self.queue.read_or_discard(&file) {
                Ok(found) => {
                    let entry = |(push, bytes)| Entry { number, file: Some(file), bytes, push, is_own: false };
                    entries.extend(found.map(entry));
                }
                Err(why) if !is_run || why.contains("is damaged") => said.push(why),
                Err(_) => {}
            }
        }
        // One that is stored and has no file of its own was merged with others.
        if let Some(OwnPush { number, push, .. }) = own.filter(|own| own.stored.is_none()) {
            let is_older = |entry: &Entry| number.is_none() || entry.number < number;
            let place = entries.partition_point(is_older);
            entries.insert(place, Entry { number, file: None, bytes: 0, push, is_own: true });
        }
        entries
    }

    /// Drops what waits of a run that is over for long where the gateway has the metrics of a newer run, which another host or
    /// another directory has sent. Its last success is sent where the newer run had none.
    fn drop_outdated(&self, entries: &mut Vec<Entry>, drained: &mut Drained) {
        let waited = |entry: &Entry| !entry.is_own && !entry.push.owner.is_alive();
        let Some(asked) = entries.iter().filter(|entry| waited(entry)).find_map(|entry| entry.push.start()) else {
            return;
        };
        let key = &entries.first().map(|entry| entry.push.push.key.clone());
        let there = key.as_ref().and_then(|key| self.start_times.ask(self.sink, asked.0, key, self.limits));
        let Some(there) = there else { return };
        let starts = |entry: &Entry| entry.push.start().map(|(_, start)| start);
        #[expect(clippy::float_cmp, reason = "both were read from the same text")]
        let is_ours = |start: f64| start == there;
        if self.started.is_some_and(is_ours) || entries.iter().filter_map(starts).any(is_ours) {
            return;
        }
        let (outdated, current): (Vec<Entry>, Vec<Entry>) = std::mem::take(entries)
            .into_iter()
            .partition(|entry| waited(entry) && starts(entry).is_some_and(|start| start < there));
        let pushes = outdated.iter().map(|entry| entry.push.clone());
        let merged = pushes.reduce(|older, newer| merge(&older, newer));
        if let Some(push) = merged.and_then(|merged| last_times(self.sink, &merged.push, self.limits)) {
            // Where it is not taken it is gone like the rest.
            let _ = self.deliver(&push, drained);
        }
        for entry in outdated {
            drained.outdated.push(dropped(&entry.push.group(), "the gateway has the metrics of a newer run"));
            drained.said.extend(self.release([&entry]));
        }
        *entries = current;
    }

    /// The sink may have refused the older pushes: the newest push is sent alone, so that it is not lost with them.
    fn send_newest_alone(
        &self,
        lock: &Lock,
        (entries, merged): (Vec<Entry>, &SpooledPush),
        first: Result<Delivered, Failure>,
        mut drained: Drained,
    ) -> Drained {
        if merged.deletes && first.is_err() {
            // A gateway that was up would have deleted the group, whatever it says of the newer push.
            let deleted = self.deliver(&Push::deletion(merged.push.key.clone()), &mut drained);
            if Acceptance::of(&deleted) == Acceptance::Pending {
                self.leave(lock, entries, &mut drained);
                return Drained { result: Some(deleted), ..drained };
            }
        }
        let Some((newest, older)) = entries.split_last().filter(|(_, older)| !older.is_empty()) else {
            self.settle(lock, &entries, &first, &mut drained);
            return Drained { result: Some(first), ..drained };
        };
        let second = self.deliver(&newest.push.push, &mut drained);
        if Acceptance::of(&second) == Acceptance::Pending {
            self.leave(lock, entries, &mut drained);
            return Drained { result: Some(second), ..drained };
        }
        let is_first_enough = |first: &Delivered| first.own_only.is_none();
        if Acceptance::of(&second) != Acceptance::Complete && first.as_ref().is_ok_and(is_first_enough) {
            // What was left out was the newest's own too: nothing else of the older ones was.
            self.settle(lock, &entries, &first, &mut drained);
            return Drained { result: Some(first), ..drained };
        }
        self.settle(lock, older, &first, &mut drained);
        self.settle(lock, std::slice::from_ref(newest), &second, &mut drained);
        let is_own_older = older.iter().any(|entry| entry.is_own);
        if older.iter().any(|entry| !entry.is_own) {
            let why = match &first {
                Ok(delivered) => delivered.refused(&self.sink.name()).unwrap_or_default(),
                Err(failure) => failure.to_string(),
            };
            drained.said.push(dropped(&newest.push.group(), why));
        }
        Drained { result: Some(if is_own_older { first } else { second }), ..drained }
    }

    /// Removes the files that need not wait any more. Where the sink refused them, it leaves a verdict for their runs.
    fn settle(&self, lock: &Lock, entries: &[Entry], result: &Result<Delivered, Failure>, drained: &mut Drained) {
        let verdict = PushVerdict::of(result);
        let result_status = status_of(result);
        let strangers = entries.iter().filter(|entry| !entry.is_own && entry.push.owner.is_alive());
        for file in strangers.filter_map(|entry| entry.file.as_ref()) {
            if let Some(verdict) = &verdict {
                file.leave_verdict(verdict);
            }
        }
        let before = SendRecord::read(lock);
        let taken = if Acceptance::of(result) == Acceptance::Refused { &[] } else { entries };
        let reported = newest_number(taken.iter().filter(|entry| entry.push.start().is_some())).max(before.reported);
        drained.counted = newest_number(taken).max(drained.counted);
        let counted = if drained.unanswered { before.counted } else { drained.counted };
        // A run repeats its own push where an older one is unanswered. A process that sends for other runs leaves that to the next run.
        let is_repeated = entries.iter().any(|entry| entry.is_own);
        let unanswered = drained.unanswered_before.filter(|_| !is_repeated);
        // Without it the newest run stays the one from before: an older push may come after this one, without its counts.
        let _ = SendRecord { reported, counted, status: result_status.or(before.status), unanswered }.write(lock);
        drained.said.extend(self.release(entries));
        self.queue.record_answer();
        self.queue.record_empty();
    }

    /// Removes files; returns a message for each one that stays.
    fn release<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> Option<String> {
        let files = entries.into_iter().filter_map(|entry| Some((entry.file.as_ref()?.path.clone(), entry.bytes)));
        let stays = |why| format!("what was sent stays, and will be sent again: {why}");
        self.queue.group.state.release(files).err().map(stays)
    }

    /// Everything stays, in few files and not for ever.
    fn leave(&self, lock: &Lock, entries: Vec<Entry>, drained: &mut Drained) {
        let is_old = |entry: &Entry| !entry.is_own && entry.push.since.age().is_some_and(|age| age > LONGEST_WAIT);
        let (old, mut entries): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_old);
        for entry in old {
            drained.said.push(dropped(&entry.push.group(), "it has waited for a month"));
            drained.said.extend(self.release([&entry]));
        }
        entries.retain(|entry| entry.file.is_some());
        if entries.len() > MOST_FILES {
            let oldest: Vec<Entry> = entries.drain(..=entries.len() - MOST_FILES).collect();
            drained.said.extend(self.merge_files(&oldest).err());
        }
        let unanswered = if drained.unanswered { Some(SystemTime::now()) } else { drained.unanswered_before };
        let before = SendRecord::read(lock);
        let counted = if drained.unanswered { before.counted } else { drained.counted };
        let _ = SendRecord { counted, unanswered, ..before }.write(lock);
        drained.outage = Some(self.queue.record_waiting());
    }

    /// Replaces these files by one file with the merged push.
    fn merge_files(&self, oldest: &[Entry]) -> Result<(), String> {
        let state = &self.queue.group.state;
        let numbers = |entry: &Entry| entry.file.as_ref().map(|file| file.numbers.clone());
        let (Some(first), Some(last)) = (oldest.first().and_then(numbers), oldest.last().and_then(numbers)) else {
            return Ok(());
        };
        let since = oldest.last().map(|entry| entry.push.since.clone());
        let merged = oldest.iter().map(|entry| entry.push.clone()).reduce(|older, newer| merge(&older, newer));
        let Some(mut merged) = merged else { return Ok(()) };
        merged.since = since.unwrap_or(merged.since);
        let writer = EntryWriter::of(&self.queue.path, &merged).map_err(|error| state.error(&error))?;
        // Where there is no room for a moment the files stay as they are.
        let name = format!("{:010}-{:010}", first.start(), last.end());
        if self.queue.persist(writer, &name).is_ok() {
            self.release(oldest).map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// The number of the newest run among these; 0 where none was counted.
fn newest_number<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> u64 {
    entries.into_iter().filter_map(|entry| entry.number).max().unwrap_or_default()
}

/// The message about a spooled push that is not sent in full.
#[must_use]
pub(crate) fn dropped(group: &str, why: impl std::fmt::Display) -> String {
    format!("a push of {group} that had waited is dropped: {why}")
}

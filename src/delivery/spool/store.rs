//! The end of a run in the state directory: it gets its number, is counted, and its push is written for each destination, in one
//! critical section. So numbers, counts and the order of files agree. What is large is written before that section begins.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::delivery::runs::counts::RunsFile;
use crate::delivery::runs::mark::{CountsPush, DeadRun, Mark};
use crate::delivery::spool::entry::{EntryWriter, SpooledPush};
use crate::delivery::spool::old::adopt;
use crate::delivery::spool::queue::QueueDir;
use crate::delivery::spool::room::{FULL, NoRoom};
use crate::delivery::state_dir::dir::{GroupDir, SpoolPath, destination_name, make_directory, sync_directory};
use crate::delivery::state_dir::lock::{Lock, LockPatience};
use crate::exposition::{Family, OwnedFamilies, encode};
use crate::grouping::GroupingKey;
use crate::outcome::{Outcome, RunCounts};
use crate::sink::address::SinkAddress;
use crate::sink::push::without_samples;
use crate::sink::{Method, Push, Sink};

/// The state directory of a run and what it needs to store its push.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The directory.
    pub state_dir: SpoolPath,
    /// The group.
    pub key: GroupingKey,
    /// The prefix of the run's own metrics.
    pub prefix: String,
    /// The budget of a push; locks may cost a part of it.
    pub budget: Duration,
    /// The state that the threads of one run share.
    pub run: Arc<RunState>,
}

/// The state that the threads of one run share.
#[derive(Debug, Default)]
pub struct RunState {
    progress: AtomicU64,
    mark: Mutex<MarkState>,
}

/// Whether the run has left a mark.
#[derive(Debug, Default)]
enum MarkState {
    #[default]
    NotYet,
    Left(Mark),
    /// The run has been counted, or never will be by this process: a mark that came now would stay.
    Settled,
}

impl RunState {
    /// Rises with each step that a disk has taken: while it rises, nothing hangs.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    fn tick(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct FinalRun<'r> {
    /// How it ended.
    pub outcome: Outcome,
    /// The method of the push.
    pub method: Method,
    /// The command's metrics.
    pub command: &'r OwnedFamilies,
    /// [`Push::carried_over`].
    pub carried_over: Vec<String>,
    /// The destination of each sink; none where its pushes are not spooled.
    pub destinations: Vec<Option<SinkAddress>>,
}

/// What the state directory holds of a run that has ended.
#[derive(Debug)]
pub struct RunRecord {
    /// The run's own metrics, with the counts where it was counted.
    pub own: OwnedFamilies,
    /// The number of the run, where it was counted: the order of the runs.
    pub(crate) number: Option<u64>,
    /// Where its push waits, a place a sink.
    stored: Vec<Option<StoredPush>>,
    /// Messages, one line each.
    pub said: Vec<String>,
}

/// Where a push waits, if it does.
#[derive(Debug, Clone)]
pub(crate) struct StoredPush {
    pub(crate) queue: QueueDir,
    pub(crate) receipt: Receipt,
}

/// The part of a push that is stored, and the number of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// The whole push.
    Complete(u64),
    /// The run's own metrics: there is no room for more.
    OwnOnly(u64),
    /// The push is not stored, for this reason.
    Nothing(String),
}

impl Receipt {
    /// The number under which it waits.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Complete(number) | Self::OwnOnly(number) => Some(*number),
            Self::Nothing(_) => None,
        }
    }
}

impl RunRecord {
    fn of_nothing(own: OwnedFamilies, said: Vec<String>) -> Self {
        Self { own, number: None, stored: Vec::new(), said }
    }

    /// Where the push for this sink waits; none where there is no state directory.
    pub(crate) fn stored(&self, sink: usize) -> Option<&StoredPush> {
        self.stored.get(sink)?.as_ref()
    }
}

impl SpoolOptions {
    /// Leaves the mark of a run whose command has started, so that it is counted even where this process is killed. A run that
    /// cannot be marked is only not counted then.
    pub(crate) fn leave_mark(&self, sinks: &[Sink]) {
        let mut mark = self.run.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*mark, MarkState::NotYet) {
            return;
        }
        let destinations = sinks.iter().filter_map(Sink::address).collect();
        let push = CountsPush { key: self.key.clone(), prefix: self.prefix.clone(), destinations };
        if let Ok(Some(state)) = self.state_dir.open()
            && let Ok(left) = Mark::leave(&state.group(&self.key), &push)
        {
            *mark = MarkState::Left(left);
        }
    }

    /// Numbers and counts a run, and stores its push. Its own metrics come from `compose`, with the counts where there are any.
    pub fn record(&self, run: &FinalRun<'_>, compose: impl Fn(Option<RunCounts>) -> OwnedFamilies) -> RunRecord {
        let group = match self.state_dir.open() {
            Ok(Some(state)) => state.group(&self.key),
            Ok(None) => return RunRecord::of_nothing(compose(None), Vec::new()),
            Err(error) => {
                let _ = self.leave_to_others(run.outcome, &error);
                return RunRecord::of_nothing(compose(None), vec![error]);
            }
        };
        let begun: Vec<Option<Store<'_>>> = run
            .destinations
            .iter()
            .map(|destination| Some(Store::begin(self, &group, run, destination.as_ref()?)))
            .collect();
        let goes_on = || {
            self.run.tick();
            true
        };
        match Lock::acquire(&group.file("lock"), LockPatience::within(self.budget), goes_on) {
            Ok(lock) => self.record_locked(&lock, (&group, run), begun, &compose),
            Err(why) => {
                let why = why.reason();
                let said = vec![self.leave_to_others(run.outcome, &why)];
                let nothing =
                    |store: Store<'_>| StoredPush { queue: store.queue, receipt: Receipt::Nothing(why.clone()) };
                let stored = begun.into_iter().map(|store| store.map(nothing)).collect();
                RunRecord { stored, ..RunRecord::of_nothing(compose(None), said) }
            }
        }
    }

    fn record_locked(
        &self,
        _lock: &Lock,
        (group, run): (&GroupDir, &FinalRun<'_>),
        begun: Vec<Option<Store<'_>>>,
        compose: &impl Fn(Option<RunCounts>) -> OwnedFamilies,
    ) -> RunRecord {
        let destinations: Vec<String> = run.destinations.iter().flatten().map(destination_name).collect();
        let mut said = adopt(group, &destinations);
        said.extend(group.state.exposure());
        let failed = |error: std::io::Error| group.state.error(&error);
        let highest = group.highest_number().map_err(failed);
        let count = |highest| self.count(group, run.outcome, highest, &mut said).map_err(failed);
        let counted = highest.clone().and_then(count);
        self.run.tick();
        let (own, number) = match &counted {
            Ok(runs) => (compose(Some(runs.counts)), Ok(runs.last)),
            Err(why) => {
                said.push(self.leave_to_others(run.outcome, why));
                (compose(None), highest.map(|highest| highest + 1))
            }
        };
        let stored = begun.into_iter().map(|store| store.map(|store| store.finish(&number, &own))).collect();
        if let Ok(runs) = &counted {
            runs.remove_marks(group);
        }
        RunRecord { own, number: counted.ok().map(|runs| runs.last), stored, said }
    }

    /// Leaves a run that cannot be counted to the next run that counts, where it has a mark, and returns the message about it.
    fn leave_to_others(&self, outcome: Outcome, why: &str) -> String {
        let mut mark = self.run.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if let MarkState::Left(mark) = &*mark {
            mark.record_outcome(outcome);
            return format!("the run is not counted yet: {why}");
        }
        *mark = MarkState::Settled;
        format!("the run is not counted: {why}")
    }

    /// Counts this run, and those that were killed since the last one.
    fn count(
        &self,
        group: &GroupDir,
        outcome: Outcome,
        highest: u64,
        said: &mut Vec<String>,
    ) -> std::io::Result<RunsFile> {
        let mut runs = read_runs(group, said)?;
        let dead = runs.add_lost(group)?;
        runs.last = runs.last.max(highest) + 1;
        let mut mark = self.run.mark.lock().unwrap_or_else(PoisonError::into_inner);
        runs.add(outcome, if let MarkState::Left(mark) = &*mark { Some(mark) } else { None });
        runs.write(group)?;
        *mark = MarkState::Settled;
        said.extend(dead.iter().filter_map(DeadRun::sentence));
        Ok(runs)
    }
}

/// The counts of a group; damaged ones begin anew, which is said.
pub(crate) fn read_runs(group: &GroupDir, said: &mut Vec<String>) -> std::io::Result<RunsFile> {
    match RunsFile::read(group) {
        Ok(runs) => Ok(runs.unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            said.push(format!("'{}' is damaged: runs are counted from 0", group.file("runs").display()));
            Ok(RunsFile::default())
        }
        Err(error) => Err(error),
    }
}

/// A push on its way into the directory.
struct Store<'s> {
    options: &'s SpoolOptions,
    queue: QueueDir,
    push: SpooledPush,
    is_skip: bool,
    writer: std::io::Result<EntryWriter>,
}

impl<'s> Store<'s> {
    /// Writes the part of the file that is known before the run has its number.
    fn begin(options: &'s SpoolOptions, group: &GroupDir, run: &FinalRun<'_>, destination: &SinkAddress) -> Self {
        let queue = group.queue_to(destination);
        let (method, key, command) = (run.method, options.key.clone(), run.command.clone());
        let carried_over = run.carried_over.clone();
        let push = Push { method, key, own: OwnedFamilies::default(), command, carried_over };
        let push = SpooledPush::new(destination.clone(), push);
        let write = || {
            make_directory(&group.path)?;
            make_directory(&queue.path)?;
            EntryWriter::begin(&queue.path, &push, || options.run.tick())
        };
        let writer = match write() {
            // `flush` has removed the directory in between.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => write(),
            writer => writer,
        };
        Self { options, queue, push, is_skip: run.outcome == Outcome::Skipped, writer }
    }

    /// Writes the rest and gives the file its name. Without a number nobody would know which push is newer.
    fn finish(self, number: &Result<u64, String>, own: &OwnedFamilies) -> StoredPush {
        let queue = self.queue.clone();
        let receipt = match number {
            Ok(number) => self.write(*number, own),
            Err(why) => Receipt::Nothing(why.clone()),
        };
        StoredPush { queue, receipt }
    }

    fn write(self, number: u64, own: &OwnedFamilies) -> Receipt {
        let state = &self.queue.group.state;
        if self.is_skip && self.queue.list().is_ok_and(|listing| !listing.pushes.is_empty()) {
            return Receipt::Nothing("an older push of this group waits, and a skipped run says less".to_owned());
        }
        let whole = self.writer.and_then(|mut writer| writer.finish(&encode(own.families())).map(|()| writer));
        let written = whole.map_err(|error| NoRoom::Failed(state.error(&error)));
        let persist = |writer: EntryWriter| self.queue.persist(writer, &format!("{number:010}"));
        match written.and_then(persist) {
            Ok(()) => Receipt::Complete(number),
            Err(NoRoom::Full) if !self.push.push.command.is_empty() => {
                let push = Push { command: OwnedFamilies::default(), ..self.push.push.clone() };
                let push = SpooledPush { push, ..self.push.clone() };
                let own_only = EntryWriter::begin(&self.queue.path, &push, || self.options.run.tick());
                let own: Vec<Family<'_>> = own.families().iter().map(without_samples).collect();
                let own_only = own_only.and_then(|mut writer| writer.finish(&encode(&own)).map(|()| writer));
                let own_only = own_only.map_err(|error| NoRoom::Failed(state.error(&error)));
                match own_only.and_then(persist) {
                    Ok(()) => Receipt::OwnOnly(number),
                    Err(why) => why.receipt(state.path()),
                }
            }
            Err(why) => why.receipt(state.path()),
        }
    }
}

impl NoRoom {
    fn receipt(self, state: &std::path::Path) -> Receipt {
        Receipt::Nothing(match self {
            Self::Full => format!("state directory '{}': {FULL}", state.display()),
            Self::Failed(why) => why,
        })
    }
}

impl QueueDir {
    /// Gives a file its name in the queue, where there is room for it.
    pub(crate) fn persist(&self, writer: EntryWriter, numbers: &str) -> Result<(), NoRoom> {
        let (state, path) = (&self.group.state, self.path.join(format!("{numbers}.push")));
        let bytes = writer.bytes();
        let persist = || writer.persist(&path).and_then(|()| sync_directory(&self.path));
        state.admit(bytes, persist)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{FinalRun, OwnedFamilies, SpoolOptions};
    use crate::delivery::state_dir::dir::{SpoolPath, make_directory};
    use crate::grouping::GroupingKey;
    use crate::outcome::Outcome;
    use crate::sink::Method;

    /// The thread that leaves the mark may come late: the next run would count a run as lost that has ended.
    #[test]
    fn a_run_that_could_not_be_counted_leaves_no_mark_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let (state_dir, key) = (SpoolPath::At(directory.path().to_owned()), GroupingKey::new("a", []).unwrap());
        let group = state_dir.open().unwrap().unwrap().group(&key);
        let (budget, run) = (Duration::from_millis(40), Arc::default());
        let options = SpoolOptions { state_dir, key, prefix: String::new(), budget, run };
        make_directory(&group.path).unwrap();
        let held = File::create(group.file("lock")).unwrap();
        held.lock().unwrap();
        let command = OwnedFamilies::default();
        let (outcome, method, carried_over, destinations) = (Outcome::Success, Method::Add, Vec::new(), Vec::new());
        let ended = FinalRun { outcome, method, command: &command, carried_over, destinations };
        let record = options.record(&ended, |_| OwnedFamilies::default());
        assert!(record.said[0].starts_with("the run is not counted: "), "{:?}", record.said);
        options.leave_mark(&[]);
        assert!(!group.has_marks());
    }
}

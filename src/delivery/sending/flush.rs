//! What `pushwrap flush` does with a state directory: every queue of every group, what older versions left, and the runs that were
//! killed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

use crate::delivery::runs::mark::{CountsPush, DeadRun};
use crate::delivery::sending::drain::{Drain, Drained};
use crate::delivery::sending::start_times::StartTimes;
use crate::delivery::spool::entry::{EntryWriter, SpooledPush};
use crate::delivery::spool::merge::merge;
use crate::delivery::spool::old::{adopt, old_groups};
use crate::delivery::spool::queue::{QueueDir, Unusable};
use crate::delivery::spool::room::NoRoom;
use crate::delivery::spool::store::read_runs;
use crate::delivery::state_dir::dir::{GroupDir, SpoolDir, belongs_to, make_directory, names, remove};
use crate::delivery::state_dir::lock::{Lock, LockPatience, NoLock};
use crate::delivery::timing::LOCK_WAIT;
use crate::exposition::OwnedFamilies;
use crate::files::is_abandoned;
use crate::outcome::RunCounts;
use crate::sink::address::SinkAddress;
use crate::sink::{Limits, Method, Push, Sink};

impl SpoolDir {
    /// The queues in which something waits and that belong to this user, those that wait longest first.
    ///
    /// # Errors
    /// Why the directory cannot be read.
    pub(crate) fn queues(&self) -> Result<Vec<QueueDir>, String> {
        let mut queues: Vec<(SystemTime, QueueDir)> = Vec::new();
        for queue in self.all_queues()?.into_iter().filter(|queue| owner(&queue.path).is_none_or(is_own)) {
            let files = queue.list().map_err(|error| self.error(&error))?.pushes;
            let since = files.first().and_then(|file| fs::symlink_metadata(&file.path).ok()?.modified().ok());
            queues.extend(since.map(|since| (since, queue)));
        }
        queues.sort_by_key(|(since, _)| *since);
        Ok(queues.into_iter().map(|(_, queue)| queue).collect())
    }

    fn all_queues(&self) -> Result<Vec<QueueDir>, String> {
        let groups = self.groups().map_err(|error| self.error(&error))?;
        Ok(groups.iter().flat_map(|group| group.queues().unwrap_or_default()).collect())
    }

    /// Messages about pushes in this directory that belong to other users.
    pub(crate) fn strangers(&self) -> Option<String> {
        let queues = self.all_queues().ok()?;
        let owners = queues.iter().filter_map(|queue| owner(&queue.path));
        let stranger = owners.into_iter().find(|uid| !is_own(*uid))?;
        Some(format!("'{}' has a push that {}", self.path().display(), belongs_to(stranger)))
    }

    /// Takes over what older versions left, and counts the runs that were killed: `compose` makes the metrics of a prefix and counts,
    /// which then wait to be sent. What is returned has to be said.
    pub(crate) fn take_over(&self, compose: impl Fn(&str, RunCounts) -> OwnedFamilies) -> Vec<String> {
        let mut said = Vec::new();
        for (name, destinations) in old_groups(self).unwrap_or_default() {
            let group = self.group_named(name);
            let made = make_directory(&group.path).map_err(|error| self.error(&error));
            said.extend(
                made.and_then(|()| locked(&group, || adopt(&group, &destinations))).unwrap_or_else(|why| vec![why]),
            );
        }
        for group in self.groups().unwrap_or_default() {
            if group.has_marks() {
                said.extend(locked(&group, || count_lost(&group, &compose)).unwrap_or_else(|why| vec![why]));
            }
            group.queues().unwrap_or_default().iter().for_each(QueueDir::remove_unused);
        }
        said
    }
}

fn locked<T>(group: &GroupDir, work: impl FnOnce() -> T) -> Result<T, String> {
    let lock = Lock::acquire(&group.file("lock"), LockPatience::of(LOCK_WAIT), || true);
    lock.map(|_lock| work()).map_err(NoLock::reason)
}

fn count_lost(group: &GroupDir, compose: &impl Fn(&str, RunCounts) -> OwnedFamilies) -> Vec<String> {
    let mut said = Vec::new();
    let count = |said: &mut Vec<String>| {
        let mut runs = read_runs(group, said)?;
        let dead = runs.add_lost(group)?;
        if dead.is_empty() {
            return Ok(());
        }
        runs.last = runs.last.max(group.highest_number()?) + 1;
        runs.write(group)?;
        said.extend(dead.iter().filter_map(DeadRun::sentence));
        // They are in the same directory, so they have the same key.
        let pushes = dead.iter().filter_map(|run| run.push.as_ref());
        let to: BTreeMap<&SinkAddress, &CountsPush> =
            pushes.flat_map(|push| push.destinations.iter().map(move |destination| (destination, push))).collect();
        for (destination, CountsPush { key, prefix, .. }) in to {
            let (key, own) = (key.clone(), compose(prefix, runs.counts));
            let push = Push { own, ..Push::empty(Method::Add, key) };
            let queue = group.queue_to(destination);
            make_directory(&queue.path)?;
            let writer = EntryWriter::of(&queue.path, &SpooledPush::new(destination.clone(), push))?;
            if let Err(NoRoom::Failed(why)) = queue.persist(writer, &format!("{:010}", runs.last)) {
                said.push(why);
            }
        }
        runs.remove_marks(group);
        Ok::<_, std::io::Error>(())
    };
    if let Err(error) = count(&mut said) {
        said.push(group.state.error(&error));
    }
    said
}

fn owner(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|metadata| metadata.uid())
}

fn is_own(user: u32) -> bool {
    user == geteuid().as_raw()
}

impl QueueDir {
    /// The pushes that would be sent, and messages about the other files. Nothing is changed.
    pub(crate) fn preview(&self) -> (Option<SpooledPush>, Vec<String>) {
        let mut said = Vec::new();
        let mut pushes = Vec::new();
        for file in self.list().map(|listing| listing.pushes).unwrap_or_default() {
            match self.read(&file) {
                Ok(found) => pushes.extend(found.map(|(push, _)| push)),
                Err(Unusable::Damaged(why, _) | Unusable::Unreadable(why)) => said.push(why),
            }
        }
        (pushes.into_iter().reduce(|older, newer| merge(&older, newer)), said)
    }

    /// Removes the directory that has been empty and unused for long: its destination may be gone.
    fn remove_unused(&self) {
        let is_old = fs::symlink_metadata(self.lock_path()).is_ok_and(|metadata| is_abandoned(&metadata));
        if is_old && let Some(lock) = Lock::now(&self.lock_path()) {
            self.tidy(&lock);
            if names(&self.path).is_ok_and(|names| names == ["lock"]) {
                // A run that comes in between makes them anew.
                let _ = remove(&self.lock_path()).and_then(|()| fs::remove_dir(&self.path));
            }
        }
    }

    /// Removes what is damaged, where nothing else is there. What is returned has to be said.
    pub(crate) fn discard_damaged(&self) -> Vec<String> {
        let Some(lock) = Lock::now(&self.lock_path()) else { return Vec::new() };
        self.tidy(&lock);
        let files = self.list().map(|listing| listing.pushes).unwrap_or_default();
        files.iter().filter_map(|file| self.read_or_discard(file).err()).collect()
    }

    /// Sends what waits, unless another pushwrap sends it for longer than `patience`: then `None`. The limits are asked for when it
    /// is sent.
    pub(crate) fn flush<'l>(
        &self,
        sink: &Sink,
        patience: Duration,
        start_times: &StartTimes,
        limits: impl FnOnce() -> Limits<'l>,
    ) -> Option<Drained> {
        let lock = Lock::acquire(&self.lock_path(), LockPatience::of(patience), || true).ok()?;
        Some(Drain { queue: self, sink, limits: limits(), start_times, started: None }.run(&lock, None))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{CountsPush, OwnedFamilies, SinkAddress, SpoolDir};
    use crate::delivery::runs::mark::Mark;
    use crate::delivery::state_dir::dir::SpoolPath;
    use crate::delivery::state_dir::process::Process;
    use crate::exposition::Family;
    use crate::grouping::GroupingKey;
    use crate::outcome::RunCounts;
    use crate::sink::address::SinkKind;

    fn counts(prefix: &str, counts: RunCounts) -> OwnedFamilies {
        vec![Family::gauge(format!("{prefix}lost"), "").sample(&[], counts.lost.to_string())].into()
    }

    /// What a killed process leaves of a run to this gateway.
    fn leave_dead_mark(state: &SpoolDir) {
        let key = GroupingKey::new("a", []).unwrap();
        let group = state.group(&key);
        let destination = SinkAddress { kind: SinkKind::Pushgateway, url: "http://gw".to_owned() };
        let push = CountsPush { key, prefix: "x_".to_owned(), destinations: vec![destination] };
        let path = group.file(&Mark::leave(&group, &push).unwrap().name());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace(&Process::own().to_text(), "0999999999 1 x")).unwrap();
    }

    #[test]
    fn the_counts_of_a_run_are_stored_whose_process_was_killed_when_it_had_counted_and_not_stored() {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::At(directory.path().to_owned()).open().unwrap().unwrap();
        leave_dead_mark(&state);
        let group = state.groups().unwrap().pop().unwrap();
        let mut runs = super::read_runs(&group, &mut Vec::new()).unwrap();
        assert_eq!(runs.add_lost(&group).unwrap().len(), 1);
        runs.write(&group).unwrap();
        assert_eq!(state.take_over(counts), Vec::<String>::new());
        let [queue] = state.queues().unwrap().try_into().unwrap();
        let push = queue.preview().0.unwrap();
        assert_eq!(push.push.own.families()[0].samples()[0].value(), "1");
        assert_eq!(push.push.own.families()[0].name(), "x_lost");
        assert!(!group.has_marks());
    }
}

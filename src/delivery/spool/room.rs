//! How much waits in a state directory: a sum under one lock for all groups, so that no run reads the files of others. It is never
//! too low; where it says that there is no room, the files are counted anew.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::delivery::state_dir::dir::{SpoolDir, names, remove};
use crate::delivery::state_dir::lock::{Lock, LockPatience};
use crate::delivery::state_dir::process::boot_id;
use crate::delivery::timing::LOCK_WAIT;

/// The most bytes of pushes in one state directory.
pub(crate) const ROOM_BYTES: u64 = 64 << 20;
/// The message when the directory is full.
pub(crate) const FULL: &str = "no more than 64 MiB wait there";

/// Why a file has no room.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// There is no more room.
    Full,
    /// The file could not be named, for this reason.
    Failed(String),
}

impl SpoolDir {
    /// Gives a file of so many bytes its name with `persist`, where there is room for it.
    pub(crate) fn admit(&self, bytes: u64, persist: impl FnOnce() -> io::Result<()>) -> Result<(), NoRoom> {
        let lock = Lock::acquire(&self.room(), LockPatience::of(LOCK_WAIT), || true);
        let lock = lock.map_err(|why| NoRoom::Failed(why.reason()))?;
        let mut sum = recorded_sum(&lock).unwrap_or_else(|| self.waiting_bytes());
        if sum.saturating_add(bytes) > ROOM_BYTES {
            sum = self.waiting_bytes();
        }
        if sum.saturating_add(bytes) > ROOM_BYTES {
            record_sum(&lock, sum);
            return Err(NoRoom::Full);
        }
        // Before the file is there: a process that is killed in between leaves a sum that is too high, never one that is too low.
        record_sum(&lock, sum + bytes);
        persist().map_err(|error| NoRoom::Failed(self.error(&error)))
    }

    /// Removes files that have been sent, and gives their room back.
    ///
    /// # Errors
    /// Why one of them stays.
    pub(crate) fn release(&self, files: impl IntoIterator<Item = (PathBuf, u64)>) -> Result<(), String> {
        // Without the lock the sum stays too high until it is counted anew.
        let lock = Lock::acquire(&self.room(), LockPatience::of(LOCK_WAIT), || true).ok();
        let mut released = 0;
        for (path, bytes) in files {
            remove(&path).map_err(|error| self.error(&error))?;
            released += bytes;
        }
        if let Some((lock, sum)) = lock.as_ref().and_then(|lock| Some((lock, recorded_sum(lock)?))) {
            record_sum(lock, sum.saturating_sub(released));
        }
        Ok(())
    }

    fn room(&self) -> PathBuf {
        self.path().join("room")
    }

    /// The size of all files that wait, those of older versions too.
    fn waiting_bytes(&self) -> u64 {
        let groups = self.groups().unwrap_or_default();
        let inside = |group: &Path| -> u64 {
            let queues = names(group).unwrap_or_default();
            queues.iter().map(|queue| bytes_in(&group.join(queue))).sum()
        };
        bytes_in(self.path()) + groups.iter().map(|group| inside(&group.path)).sum::<u64>()
    }
}

/// The size of the pushes in a directory.
fn bytes_in(directory: &Path) -> u64 {
    let names = names(directory).unwrap_or_default();
    let pushes = names.iter().filter(|name| name.strip_suffix(".push").is_some());
    pushes.filter_map(|name| fs::symlink_metadata(directory.join(name)).ok()).map(|metadata| metadata.size()).sum()
}

/// The sum; none after a reboot, which may have lost one that was not on the disk.
fn recorded_sum(lock: &Lock) -> Option<u64> {
    let record = lock.read_record();
    let (sum, boot) = record.trim_end().split_once(' ')?;
    sum.parse().ok().filter(|_| boot == boot_id())
}

fn record_sum(lock: &Lock, sum: u64) {
    // A sum that is lost is counted anew.
    let _ = lock.write_record(&format!("{sum:020} {}", boot_id()));
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{NoRoom, ROOM_BYTES, SpoolDir};
    use crate::delivery::state_dir::dir::SpoolPath;

    fn state() -> (tempfile::TempDir, SpoolDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::At(directory.path().to_owned()).open().unwrap().unwrap();
        (directory, state)
    }

    /// Forty at once, of whose files eight fit: eight are taken, not one more.
    #[test]
    fn a_directory_holds_no_more_than_its_limit_however_many_store_at_once() {
        let (_directory, state) = state();
        let (each, taken) = (ROOM_BYTES / 8, AtomicU64::new(0));
        std::thread::scope(|scope| {
            for number in 0..40 {
                let (state, taken) = (&state, &taken);
                scope.spawn(move || {
                    let queue = state.path().join(format!("{number:032}")).join("q");
                    fs::create_dir_all(&queue).unwrap();
                    match state.admit(each, || File::create(queue.join("1.push"))?.set_len(each)) {
                        Ok(()) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => assert!(matches!(why, NoRoom::Full), "{why:?}"),
                    }
                });
            }
        });
        assert_eq!((taken.into_inner(), state.waiting_bytes()), (8, ROOM_BYTES));
    }

    #[test]
    fn what_is_sent_makes_room_again_and_a_sum_that_is_wrong_is_counted_anew() {
        let (_directory, state) = state();
        let queue = state.path().join("0".repeat(32)).join("q");
        fs::create_dir_all(&queue).unwrap();
        let put = |name: &str, bytes: u64| {
            let path = queue.join(name);
            state.admit(bytes, || File::create(&path)?.set_len(bytes))
        };
        put("1.push", ROOM_BYTES - 10).unwrap();
        assert!(matches!(put("2.push", 11), Err(NoRoom::Full)));
        put("2.push", 10).unwrap();
        state.release([(queue.join("1.push"), ROOM_BYTES - 10)]).unwrap();
        put("3.push", ROOM_BYTES - 10).unwrap();
        // Somebody removed it by hand.
        fs::remove_file(queue.join("3.push")).unwrap();
        put("4.push", ROOM_BYTES - 10).unwrap();
        fs::write(state.path().join("room"), "nonsense").unwrap();
        assert!(matches!(put("5.push", 1), Err(NoRoom::Full)));
    }
}

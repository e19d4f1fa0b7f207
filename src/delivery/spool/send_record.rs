//! The record in the file of the lock under which the pushes of a group are sent to a destination: what it has of the group, by the
//! numbers of runs. A run whose push is stored nowhere sees there whether a newer one was faster.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delivery::state_dir::lock::{Lock, recorded_in};

/// What a destination has of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SendRecord {
    /// The newest run whose report was taken. A skipped run that reports nothing but its time and the counts is none.
    pub(crate) reported: u64,
    /// The newest run whose counts were taken, or may be.
    pub(crate) counted: u64,
    /// The status of the last answer.
    pub(crate) status: Option<u16>,
    /// When a push was given up unanswered, by the wall's clock: it may still be applied.
    pub(crate) unanswered: Option<SystemTime>,
}

impl SendRecord {
    pub(crate) fn read(lock: &Lock) -> Self {
        Self::from_text(&lock.read_record())
    }

    /// The record of a lock that another process may hold; an empty one where there is no lock yet.
    pub(crate) fn read_unlocked(lock: &Path) -> io::Result<Self> {
        recorded_in(lock).map(|record| Self::from_text(&record))
    }

    pub(crate) fn write(self, lock: &Lock) -> io::Result<()> {
        let Self { reported, counted, status, unanswered } = self;
        let since = unanswered.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs();
        lock.write_record(&format!("{reported} {} {since} {counted}", status.unwrap_or_default()))
    }

    /// The highest number of a run in it.
    pub(crate) fn highest(self) -> u64 {
        self.reported.max(self.counted)
    }

    fn from_text(record: &str) -> Self {
        let mut numbers = record.split_ascii_whitespace().map(|word| word.parse::<u64>().unwrap_or_default());
        let mut next = || numbers.next().unwrap_or_default();
        let (reported, status, unanswered, counted) = (next(), next(), next(), next());
        Self {
            reported,
            counted: counted.max(reported),
            status: u16::try_from(status).ok().filter(|status| *status > 0),
            unanswered: UNIX_EPOCH.checked_add(Duration::from_secs(unanswered)).filter(|_| unanswered > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Lock, SendRecord};

    #[test]
    fn what_is_written_is_read_again_by_who_holds_the_lock_and_by_who_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert_eq!(SendRecord::read_unlocked(&path).unwrap(), SendRecord::default());
        let lock = Lock::now(&path).unwrap();
        assert_eq!(SendRecord::read(&lock), SendRecord::default());
        for record in [
            SendRecord { reported: 3, counted: 4, status: None, unanswered: None },
            SendRecord {
                reported: u64::MAX,
                counted: u64::MAX,
                status: Some(599),
                unanswered: Some(UNIX_EPOCH + Duration::from_secs(9_999_999_999)),
            },
            SendRecord { reported: 3, counted: 4, status: Some(200), unanswered: None },
        ] {
            record.write(&lock).unwrap();
            assert_eq!((SendRecord::read(&lock), SendRecord::read_unlocked(&path).unwrap()), (record, record));
        }
        // As versions before this one wrote it.
        lock.write_record("17 202 0").unwrap();
        let read = SendRecord::read(&lock);
        assert_eq!((read.reported, read.counted, read.status), (17, 17, Some(202)));
    }
}

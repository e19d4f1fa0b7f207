//! The pushes of one group that wait for one destination: files with the numbers of their runs, listed, read and removed.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::delivery::spool::entry::SpooledPush;
use crate::delivery::spool::send_record::SendRecord;
use crate::delivery::state_dir::dir::{
    GroupDir, destination_name, file_name, is_hex, names, read, remove, remove_unfinished, replace,
};
use crate::delivery::state_dir::lock::Lock;
use crate::files::is_abandoned;
use crate::sink::SinkAddress;

/// The ends of the names of pushes and of verdicts.
const PUSH: &str = ".push";
const REFUSED: &str = ".refused";

/// The directory of the pushes of one group for one destination.
#[derive(Debug, Clone)]
pub(crate) struct QueueDir {
    pub(crate) group: GroupDir,
    /// The destination's name.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// A file of a queue, and the numbers of the runs that it is about: one, or more where their pushes were merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueFile {
    pub(crate) numbers: RangeInclusive<u64>,
    pub(crate) path: PathBuf,
}

/// The files of a queue by number.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) pushes: Vec<QueueFile>,
    verdicts: Vec<QueueFile>,
}

impl GroupDir {
    pub(crate) fn queue(&self, name: &str) -> QueueDir {
        QueueDir { group: self.clone(), name: name.to_owned(), path: self.path.join(name) }
    }

    pub(crate) fn queue_to(&self, destination: &SinkAddress) -> QueueDir {
        self.queue(&destination_name(destination))
    }

    /// The directory with the lock and the record of a file of reports; no push waits in it.
    pub(crate) fn queue_to_file(&self, path: &Path) -> QueueDir {
        self.queue(&file_name(path))
    }

    /// The highest number that a run has had, as far as pushes that wait or were sent tell it.
    ///
    /// # Errors
    /// There are too few descriptors or too little memory to read it. What belongs to other users tells nothing.
    pub(crate) fn highest_number(&self) -> io::Result<u64> {
        let mut highest = 0;
        for queue in readable(self.queues())? {
            let sent = readable(SendRecord::read_unlocked(&queue.lock_path()))?.highest();
            highest = highest.max(sent).max(readable(queue.list())?.highest().unwrap_or_default());
        }
        Ok(highest)
    }

    /// Every queue of the group.
    pub(crate) fn queues(&self) -> io::Result<Vec<QueueDir>> {
        Ok(names(&self.path)?.into_iter().filter(|name| is_hex(name, 16)).map(|name| self.queue(&name)).collect())
    }
}

/// What was read; nothing where it cannot be read by this user at any time.
fn readable<T: Default>(read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Err(error),
        read => Ok(read.unwrap_or_default()),
    }
}

impl QueueFile {
    /// `0000000017.push`, or `0000000003-0000000017.push`.
    fn parse(directory: &Path, name: &str, ending: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|_| text.len() >= 10);
        let stem = name.strip_suffix(ending)?;
        let (first, last) = stem.split_once('-').unwrap_or((stem, stem));
        Some(Self { numbers: number(first)?..=number(last)?, path: directory.join(name) })
    }

    /// Whether another file has taken the place of this one: a process was killed before it had removed this.
    fn is_merged_into(&self, other: &Self) -> bool {
        self != other && other.numbers.contains(self.numbers.start()) && other.numbers.contains(self.numbers.end())
    }

    /// Writes the gateway's verdict on pushes, for the runs that wait for it.
    pub(crate) fn leave_verdict(&self, verdict: &PushVerdict) {
        // Without it that run says that another run has sent its push.
        let _ = replace(&self.path.with_extension(REFUSED.trim_start_matches('.')), &verdict.to_bytes());
    }
}

impl Listing {
    pub(crate) fn highest(&self) -> Option<u64> {
        self.pushes.iter().map(|file| *file.numbers.end()).max()
    }

    /// Whether the push of this number waits, by itself or merged with others.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.pushes.iter().any(|file| file.numbers.contains(&number))
    }

    /// The gateway's verdict on the push of this number.
    pub(crate) fn verdict(&self, number: u64) -> Option<PushVerdict> {
        let file = self.verdicts.iter().find(|file| file.numbers.contains(&number))?;
        let verdict = PushVerdict::from_bytes(&read(&file.path).ok()??);
        if file.numbers.start() == file.numbers.end() {
            let _ = remove(&file.path);
        }
        verdict
    }
}

impl QueueDir {
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The files that are there.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let names = names(&self.path)?;
        let of = |ending| {
            let files = names.iter().filter_map(|name| QueueFile::parse(&self.path, name, ending));
            let mut files: Vec<QueueFile> = files.collect();
            files.sort_by_key(|file| *file.numbers.end());
            files
        };
        let (all, verdicts) = (of(PUSH), of(REFUSED));
        let stands = |file: &QueueFile| !all.iter().any(|other| file.is_merged_into(other));
        Ok(Listing { pushes: all.iter().filter(|file| stands(file)).cloned().collect(), verdicts })
    }

    /// Removes files that no run needs any more. The lock of the queue is held.
    pub(crate) fn tidy(&self, _lock: &Lock) {
        let Ok(Listing { pushes, verdicts }) = self.list() else { return };
        let names = names(&self.path).unwrap_or_default();
        remove_unfinished(&self.path, &names);
        let merged = names.iter().filter_map(|name| QueueFile::parse(&self.path, name, PUSH));
        for file in merged.filter(|file| !pushes.contains(file)) {
            let bytes = fs::symlink_metadata(&file.path).map_or(0, |metadata| metadata.len());
            let _ = self.group.state.release([(file.path, bytes)]);
        }
        for verdict in verdicts {
            if fs::symlink_metadata(&verdict.path).is_ok_and(|metadata| is_abandoned(&metadata)) {
                let _ = remove(&verdict.path);
            }
        }
    }

    /// The push of a file, and how large the file is; `None` where it is gone.
    pub(crate) fn read(&self, file: &QueueFile) -> Result<Option<(SpooledPush, u64)>, Unusable> {
        let content = read(&file.path).map_err(|error| Unusable::Unreadable(self.group.state.error(&error)))?;
        let Some(content) = content else { return Ok(None) };
        let (bytes, of_this_queue) = (content.len() as u64, |push: &SpooledPush| {
            self.group.state.group(&push.push.key).name == self.group.name
                && destination_name(&push.destination) == self.name
        });
        let push = SpooledPush::from_bytes(&content).filter(of_this_queue);
        let damaged = || Unusable::Damaged(format!("'{}' is damaged", file.path.display()), bytes);
        push.map(|push| Some((push, bytes))).ok_or_else(damaged)
    }

    /// The push of a file; one that is damaged is removed.
    pub(crate) fn read_or_discard(&self, file: &QueueFile) -> Result<Option<(SpooledPush, u64)>, String> {
        self.read(file).map_err(|unusable| match unusable {
            Unusable::Unreadable(why) => why,
            Unusable::Damaged(why, bytes) => match self.group.state.release([(file.path.clone(), bytes)]) {
                Ok(()) => format!("{why}: it is removed"),
                Err(error) => format!("{why}, and stays: {error}"),
            },
        })
    }
}

/// Why a file is not sent.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// The file is damaged and has this many bytes.
    Damaged(String, u64),
    /// The file cannot be read.
    Unreadable(String),
}

/// The gateway's verdict on a push that another run has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PushVerdict {
    /// The gateway took the run's own metrics, and not all of the command's.
    Partly {
        /// The status of its answer, where it has one.
        status: Option<u16>,
        /// The refused families, and why.
        why: String,
    },
    /// The gateway took nothing.
    Refused {
        /// The status of its answer, where it has one.
        status: Option<u16>,
        /// Why.
        why: String,
    },
}

impl PushVerdict {
    fn to_bytes(&self) -> Vec<u8> {
        let (word, status, why) = match self {
            Self::Partly { status, why } => ("partly", status, why),
            Self::Refused { status, why } => ("refused", status, why),
        };
        let mut text = format!("{word} {}\n", status.unwrap_or_default());
        let _ = write!(text, "{why}");
        text.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, why) = text.split_once('\n')?;
        let (word, status) = head.split_once(' ')?;
        let (status, why) = (status.parse().ok().filter(|status| *status != 0), why.to_owned());
        match word {
            "partly" => Some(Self::Partly { status, why }),
            "refused" => Some(Self::Refused { status, why }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Listing, Lock, PushVerdict, QueueDir};
    use crate::delivery::state_dir::dir::SpoolPath;

    fn queue() -> (tempfile::TempDir, QueueDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::At(directory.path().to_owned()).open().unwrap().unwrap();
        let queue = state.group_named("0".repeat(32)).queue(&"1".repeat(16));
        fs::create_dir_all(&queue.path).unwrap();
        (directory, queue)
    }

    #[test]
    fn files_are_listed_by_number_and_strangers_are_left_alone() {
        let (_directory, queue) = queue();
        for name in
            ["0000000010.push", "0000000009.push", "10000000000.push", "notes.push", "1.push", "0000000009.refused"]
        {
            fs::write(queue.path.join(name), "").unwrap();
        }
        let Listing { pushes, verdicts } = queue.list().unwrap();
        let last: Vec<u64> = pushes.iter().map(|file| *file.numbers.end()).collect();
        assert_eq!((last, verdicts.len()), (vec![9, 10, 10_000_000_000], 1));
    }

    /// Killed after the merged file was there and before the two were gone.
    #[test]
    fn what_was_merged_is_not_there_twice() {
        let (_directory, queue) = queue();
        for name in ["0000000003.push", "0000000004.push", "0000000003-0000000004.push", "0000000005.push"] {
            fs::write(queue.path.join(name), "").unwrap();
        }
        let listing = queue.list().unwrap();
        assert_eq!((listing.pushes.len(), listing.highest()), (2, Some(5)));
        assert!(listing.has(3) && listing.has(4) && !listing.has(6));
        queue.tidy(&Lock::now(&queue.lock_path()).unwrap());
        assert!(!queue.path.join("0000000003.push").exists() && queue.path.join("0000000003-0000000004.push").exists());
    }

    #[test]
    fn a_verdict_is_read_by_its_owner_once() {
        let (_directory, queue) = queue();
        fs::write(queue.path.join("0000000003.push"), "").unwrap();
        let file = queue.list().unwrap().pushes.remove(0);
        let verdict = PushVerdict::Refused { status: Some(400), why: "no\nreally".to_owned() };
        file.leave_verdict(&verdict);
        let listing = queue.list().unwrap();
        assert_eq!((listing.verdict(4), listing.verdict(3)), (None, Some(verdict)));
        assert_eq!(queue.list().unwrap().verdict(3), None);
    }
}

//! The mark that a run leaves when its command has started. A mark whose process is no more is that of a run that was killed.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delivery::state_dir::dir::{GroupDir, make_directory, unfinished};
use crate::delivery::state_dir::head::{FileHead, label_lines};
use crate::delivery::state_dir::process::Process;
use crate::files::{Links, open};
use crate::grouping::GroupingKey;
use crate::outcome::Outcome;
use crate::sink::address::SinkAddress;

/// The end of the names of marks.
pub(crate) const MARK: &str = ".mark";
/// More is not read of a mark: it holds a grouping key and addresses.
const LARGEST_BYTES: u64 = 1 << 20;

/// The destinations, the key and the prefix with which the counts of a run are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountsPush {
    pub(crate) key: GroupingKey,
    /// The prefix of the run's own metrics.
    pub(crate) prefix: String,
    pub(crate) destinations: Vec<SinkAddress>,
}

/// The mark of a run that goes on.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    /// Locked: no process takes the run for lost while this process lives.
    file: File,
}

impl Mark {
    /// Leaves a mark of this process. It is locked before it has its name, so that no process finds it unlocked.
    pub(crate) fn leave(group: &GroupDir, push: &CountsPush) -> io::Result<Self> {
        make_directory(&group.path)?;
        let mut file = unfinished(&group.path)?;
        // Where the file system knows no locks, the pid is what is left.
        let _ = file.as_file().try_lock();
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut text = format!("began {began}\nowner {}\nprefix {}\n", Process::own().to_text(), push.prefix);
        text.push_str(&label_lines(&push.key));
        for destination in &push.destinations {
            let _ = writeln!(text, "sink {}", destination.to_text());
        }
        file.write_all(text.as_bytes())?;
        let path = group.file(&format!("{}-{:08x}{MARK}", Process::own().pid(), fastrand::u32(..)));
        let file = file.persist(&path).map_err(|error| error.error)?;
        Ok(Self { path, file })
    }

    /// Records how the run has ended, for the process that counts it where this one cannot.
    pub(crate) fn record_outcome(&self, outcome: Outcome) {
        // Without the record it is counted as lost.
        let _ = (&self.file).write_all(format!("outcome {}\n", outcome.name()).as_bytes());
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A run that its own process does not count any more, because it was killed or could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadRun {
    began: SystemTime,
    pid: i32,
    /// How it ended; none where it is lost.
    pub(crate) outcome: Option<Outcome>,
    /// Whether it was counted before, so that only its push is missing.
    pub(crate) is_counted: bool,
    /// Where its counts go; none where a power failure took the content of the mark.
    pub(crate) push: Option<CountsPush>,
}

impl DeadRun {
    /// The run of this mark, if its process is no more. That process holds a lock on the mark, and no other process can fake or
    /// inherit it; the pid decides where there are no locks, and where the directory was copied or restored under a run that goes on.
    pub(crate) fn at(mark: &Path) -> Option<Self> {
        let file = open(mark, Links::Refuse).ok()?;
        let is_locked = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut bytes = Vec::new();
        // What cannot be read is no lost run: the next process may read it.
        (&file).take(LARGEST_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let head = FileHead::of(&text);
        let process = head.one("owner").and_then(Process::from_text);
        let outcome =
            head.one("outcome").and_then(|name| Outcome::ALL.into_iter().find(|outcome| outcome.name() == name));
        if outcome.is_none() && (is_locked || process.as_ref().is_some_and(Process::is_alive)) {
            return None;
        }
        let began = head.one("began").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let began = UNIX_EPOCH.checked_add(began.unwrap_or_default()).unwrap_or(UNIX_EPOCH);
        let push = head.one("prefix").zip(head.key()).map(|(prefix, key)| CountsPush {
            key,
            prefix: prefix.to_owned(),
            destinations: head.all("sink").filter_map(SinkAddress::from_text).collect(),
        });
        Some(Self { began, pid: process.map_or(0, |process| process.pid()), outcome, is_counted: false, push })
    }

    /// The message about a lost run.
    pub(crate) fn sentence(&self) -> Option<String> {
        let group = self.push.as_ref().map_or_else(|| "a job".to_owned(), |push| push.key.to_string());
        let (began, pid) = (humantime::format_rfc3339_seconds(self.began), self.pid);
        (!self.is_counted && self.outcome.is_none()).then(|| {
            format!(
                "a run of {group} that began at {began} is lost: its pushwrap (process {pid}) ended before it could report"
            )
        })
    }
}

impl GroupDir {
    /// Whether runs of the group have left marks.
    pub(crate) fn has_marks(&self) -> bool {
        crate::delivery::state_dir::dir::names(&self.path)
            .is_ok_and(|names| names.iter().any(|name| name.ends_with(MARK)))
    }
}

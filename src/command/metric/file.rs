//! The metrics file on disk: changed under a lock beside it, and replaced by rename, so that parallel writers lose nothing and
//! a reader sees the file before or after a change, never in between; nor does a writer that is killed leave half of one. Only a file that can be
//! written but not replaced, as a bind mount, is written in place.
//!
//! Nothing is synced to the disk: a power failure ends the job too, and file systems put a renamed file's data before its name
//! (ext4's `auto_da_alloc`, btrfs and XFS alike) or, like tmpfs, keep nothing at all.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::exposition::{Change, Changed, Context, Diagnostic, Source, Unchanged, read};
use crate::files::{
    Bounded, Durability, FileLock, Links, NewMode, Ownership, Replacement, TemporaryName, Written, follow_links,
    open_lock, open_regular, read_regular, reason_at,
};

/// No more is read of the file: a run reads far less (`--textfile-max`), and each call reads the whole.
const LARGEST_BYTES: u64 = 64 << 20;
/// How long is waited for the lock while no writer changes the file. A change takes about a millisecond, so whoever holds the
/// lock for this long is stopped, and a script with a hundred calls must not hang on it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long at most, whoever changes the file meanwhile: a shell that appends takes no lock.
const LONGEST_PATIENCE: Duration = Duration::from_secs(20);

/// Why the file was not changed.
#[derive(Debug)]
pub(super) enum UpdateError {
    /// The file cannot hold the change.
    Misuse(String),
    /// The file could not be read or written.
    Failed(String),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Misuse(reason) | Self::Failed(reason)) = self;
        formatter.write_str(reason)
    }
}

impl From<Unchanged> for UpdateError {
    fn from(unchanged: Unchanged) -> Self {
        match unchanged {
            Unchanged::Misuse(reason) => Self::Misuse(reason),
            Unchanged::Unreadable(reason) => Self::Failed(reason),
        }
    }
}

/// A change that was made, or was made before.
pub(super) struct Updated {
    /// Problems in lines of the file that could not be read and were left alone.
    pub(super) problems: Vec<Diagnostic>,
    /// How the file came to its new content; `None` where it had it.
    pub(super) written: Option<Written>,
}

/// Applies a change to the file, which need not be there.
pub(super) fn update(path: &Path, change: &Change) -> Result<Updated, UpdateError> {
    let cannot = |what: &str, error: &io::Error| {
        UpdateError::Failed(format!("cannot {what} metrics file '{}': {}", path.display(), reason_at(path, error)))
    };
    // Where a link leads: a rename would replace the link, and all writers must meet at one lock.
    let path = &follow_links(path).map_err(|error| cannot("write", &error))?;
    // Before the lock, which would leave its file beside a device too.
    check_kind(path).map_err(|error| cannot("write", &error))?;
    let _lock = lock(path).map_err(|error| cannot("lock", &error))?;
    let bytes = content(path).map_err(|error| cannot("read", &error))?;
    let source = Source::new(path.to_string_lossy(), bytes.as_slice());
    let Changed { bytes: changed, problems } = change.apply(&source)?;
    let is_there = || fs::symlink_metadata(path).is_ok();
    if bytes == changed && is_there() {
        return Ok(Updated { problems, written: None });
    }
    let written = replace(path, &changed).map_err(|error| cannot("write", &error))?;
    Ok(Updated { problems, written: Some(written) })
}

/// The names of the metrics in the file; none where it cannot be read.
pub(super) fn names(path: &Path) -> Vec<String> {
    let Ok(bytes) = content(path) else { return Vec::new() };
    let sources = [Source::new("", bytes)];
    read(&sources, &Context::default()).families.iter().map(|family| family.name().to_owned()).collect()
}

/// Locks the file by one beside it, because the file itself is replaced. The lock ends with the process, however it ends; its
/// file stays, because whoever removed it could remove one that others wait for. In a directory where no file can be made the
/// metrics file cannot be replaced either: it is locked itself.
fn lock(path: &Path) -> io::Result<FileLock> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let beside = hidden(path, ".lock")?;
    loop {
        // The mode is for others who write the metrics file, as the umask has it.
        let (file, locked) = match open_lock(&beside, 0o666) {
            Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
                (open_regular(path, Links::Refuse).map_err(|_| error)?, path)
            }
            opened => (opened?, &*beside),
        };
        if let Ok(lock) = FileLock::of(wait_for_lock(file, path, locked)?, locked) {
            return Ok(lock);
        }
    }
}

fn wait_for_lock(file: File, path: &Path, beside: &Path) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {}
    }
    // The kernel serves waiting processes in order, but knows no time limit (flock(2)).
    let (done, locked) = mpsc::channel();
    std::thread::Builder::new().spawn(move || done.send(file.lock().map(|()| file)))?;
    let version = || fs::metadata(path).map(|there| (there.ino(), there.mtime(), there.mtime_nsec())).ok();
    let (start, mut before) = (Instant::now(), version());
    loop {
        if let Ok(locked) = locked.recv_timeout(PATIENCE) {
            return locked;
        }
        // Others, who came first, go on: on a busy machine that is no reason to lose a change.
        let now = version();
        if now == before || start.elapsed() >= LONGEST_PATIENCE {
            let hint = format!("'fuser {}' names it", beside.display());
            return Err(io::Error::other(format!("another writer does not let go of it ({hint})")));
        }
        before = now;
    }
}

/// Nothing but a regular file must be read, and far less be replaced.
fn check_kind(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

/// The contents of the file; nothing where there is no file.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    match read_regular(path, LARGEST_BYTES) {
        Ok(Bounded::Complete(bytes)) => Ok(bytes),
        Ok(Bounded::TooLarge) => Err(io::Error::other(format!("it is larger than {} MiB", LARGEST_BYTES >> 20))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the file by another one with its mode and owner. The lock is held, so one name is enough for the temporary file: that
/// which a killed writer has left is removed.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<Written> {
    let temporary = hidden(path, ".tmp")?;
    // Where it cannot be removed it cannot be made either, and that is said better.
    let _ = fs::remove_file(&temporary);
    Replacement {
        temporary: TemporaryName::Fixed(temporary.file_name().unwrap_or_default()),
        mode: NewMode::Umask,
        ownership: Ownership::Required,
        durability: Durability::Unsynced,
    }
    .write(path, bytes)
}

/// A hidden name beside the file that does not end in `.prom`, so that no collector of `*.prom` reads it.
fn hidden(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    Ok(path.with_file_name(hidden))
}

//! The metrics file on disk: changed under a lock beside it, and replaced by rename, so that parallel writers lose nothing and
//! a reader sees the file before or after a change, never in between; nor does a writer that is killed leave half of one.
//!
//! Nothing is synced to the disk: a power failure ends the job too, and file systems put a renamed file's data before its name
//! (ext4's `auto_da_alloc`, btrfs and XFS alike) or, like tmpfs, keep nothing at all.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::exposition::{Change, Changed, Context, Diagnostic, Source, Unchanged, read};
use crate::files::{follow_links, reason, reason_at};

/// How long is waited for the lock while no writer changes the file. A change takes about a millisecond, so whoever holds the
/// lock for this long is stopped, and a script with a hundred calls must not hang on it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long at most, whoever changes the file meanwhile: a shell that appends takes no lock.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

/// Why the file was not changed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What is asked for cannot be in this file.
    Misuse(String),
    /// It did not work.
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Misuse(reason) | Self::Failed(reason)) = self;
        formatter.write_str(reason)
    }
}

impl From<Unchanged> for Failure {
    fn from(unchanged: Unchanged) -> Self {
        match unchanged {
            Unchanged::Misuse(reason) => Self::Misuse(reason),
            Unchanged::Unreadable(reason) => Self::Failed(reason),
        }
    }
}

/// The file as it was found.
struct Found {
    bytes: Vec<u8>,
    metadata: Metadata,
}

/// Applies a change to the file, which need not be there. What comes back could not be read in it and was left alone.
pub(super) fn update(path: &Path, change: &Change) -> Result<Vec<Diagnostic>, Failure> {
    let cannot = |what: &str, error: &io::Error| {
        Failure::Failed(format!("cannot {what} metrics file '{}': {}", path.display(), reason_at(path, error)))
    };
    // Where a link leads: a rename would replace the link, and all writers must meet at one lock.
    let path = &follow_links(path).map_err(|error| cannot("write", &error))?;
    // Before the lock, which would leave its file beside a device too.
    look_at_kind(path).map_err(|error| cannot("write", &error))?;
    let _lock = lock(path).map_err(|error| cannot("lock", &error))?;
    let found = look(path).map_err(|error| cannot("read", &error))?;
    let bytes = found.as_ref().map(|found| found.bytes.as_slice()).unwrap_or_default();
    let source = Source::new(path.to_string_lossy(), bytes);
    let Changed { bytes: changed, problems } = change.apply(&source)?;
    if found.as_ref().is_none_or(|found| found.bytes != changed) {
        let metadata = found.as_ref().map(|found| &found.metadata);
        replace(path, &changed, metadata).map_err(|error| cannot("write", &error))?;
    }
    Ok(problems)
}

/// The names of the metrics in the file; none where it cannot be read.
pub(super) fn names(path: &Path) -> Vec<String> {
    let Ok(Some(found)) = look(path) else { return Vec::new() };
    let sources = [Source::new("", found.bytes)];
    read(&sources, &Context::default()).families.iter().map(|family| family.name().to_owned()).collect()
}

/// Locks the file by one beside it, because the file itself is replaced. The lock ends with the process, however it ends; its
/// file stays, because whoever removed it could remove one that others wait for.
fn lock(path: &Path) -> io::Result<File> {
    let beside = beside(path, ".lock")?;
    loop {
        let file = wait_for_lock(open_lock(&beside)?, path, &beside)?;
        let (locked, there) = (file.metadata()?, fs::symlink_metadata(&beside));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())) {
            return Ok(file);
        }
    }
}

fn open_lock(beside: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    // Without O_CREAT first: in a sticky directory the kernel refuses that for files of others (proc(5),
    // protected_regular), and for the lock reading is enough.
    let opened = match options.open(beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.write(true).create(true).open(beside),
        opened => opened,
    };
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => {
            io::Error::other(format!("'{}' is a symbolic link, which is not followed: remove it", beside.display()))
        }
        _ => error,
    })
}

fn wait_for_lock(file: File, path: &Path, beside: &Path) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {}
    }
    // The kernel serves who waits in turn, but knows no time limit (flock(2)).
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
fn look_at_kind(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

/// Reads the file, if it is there.
fn look(path: &Path) -> io::Result<Option<Found>> {
    let mut file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    Ok(Some(Found { bytes, metadata }))
}

/// Replaces the file: another one is written beside it, with its mode and owner, and renamed. The lock is held.
fn replace(path: &Path, bytes: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    let beside = beside(path, ".tmp")?;
    // One that a killed writer has left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Without a file before, as a shell's redirection would create it.
    let mode = before.map_or(0o666, |_| 0o600);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = before
        .map_or(Ok(()), |before| keep_owner_and_mode(&file, before))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn keep_owner_and_mode(file: &File, before: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid())).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("its owner cannot be kept ({}): write it as that user", reason(&error)),
            )
        })?;
    }
    file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))
}

/// A hidden name beside the file that does not end in `.prom`, so that no collector of `*.prom` reads it.
fn beside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    Ok(path.with_file_name(hidden))
}

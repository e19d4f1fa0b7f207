//! Locks on files (flock(2)): they end with the process that holds them, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::is_at;

/// A lock that is held. It ends when it is dropped, and with the process.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes a file that this process has locked.
    ///
    /// # Errors
    /// Another file stands at the path by now: whoever held the lock has removed it, and nobody meets there any more.
    pub fn of(file: File, path: &Path) -> Result<Self, File> {
        if is_at(&file, path) { Ok(Self(file)) } else { Err(file) }
    }

    /// The file, for what the holder notes in it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Puts this at the beginning of the lock's file.
    ///
    /// # Errors
    /// As pwrite(2) has them.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        self.0.write_all_at(content, 0)
    }
}

/// Opens the file of a lock for reading and writing, or makes it with mode 0600. A link is refused, and a FIFO not waited for.
///
/// # Errors
/// As open(2) has them; `ELOOP` for a link.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

/// Takes the lock of this path, or comes back with `None` at once where another process holds it.
///
/// # Errors
/// The file cannot be opened or locked.
pub fn lock_now(path: &Path) -> io::Result<Option<FileLock>> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(FileLock::of(file, path).ok()),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{FileLock, lock_now, open_lock};

    #[test]
    fn a_lock_is_held_once_and_ends_when_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = lock_now(&path).unwrap().unwrap();
        assert!(lock_now(&path).unwrap().is_none());
        held.write(b"note").unwrap();
        drop(held);
        assert!(lock_now(&path).unwrap().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"note");
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = open_lock(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(FileLock::of(file, &path).is_err());
    }
}

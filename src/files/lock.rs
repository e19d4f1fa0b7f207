//! Locks on files (flock(2)): they end with the process that holds them, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::open::is_at;

/// A lock that is held. It ends when it is dropped, and with the process.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// The file, for what its holder notes in it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Takes a file that this process has locked.
    ///
    /// # Errors
    /// Another file stands at the path by now: the holder of the lock has removed it, so this lock excludes no other process any more.
    pub fn of(file: File, path: &Path) -> Result<Self, File> {
        if is_at(&file, path) { Ok(Self(file)) } else { Err(file) }
    }
}

/// Opens the file of a lock, or makes it with this mode (less the umask). A link is refused, and a FIFO not waited for.
///
/// # Errors
/// As open(2) has them, with the remedy where a link stands there.
pub fn open_lock(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    // Without O_CREAT first: in a sticky directory the kernel refuses that for files of others (proc(5), protected_regular), and
    // for the lock reading is enough.
    let opened = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.write(true).create(true).mode(mode).open(path),
        opened => opened,
    };
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => {
            io::Error::other(format!("'{}' is a symbolic link, which is not followed: remove it", path.display()))
        }
        _ => error,
    })
}

/// Takes the lock of this path at once, or comes back with `None` where another process holds it. Its file is made with mode 0600.
///
/// # Errors
/// The file cannot be opened or locked.
pub fn lock_now(path: &Path) -> io::Result<Option<FileLock>> {
    let file = open_lock(path, 0o600)?;
    match file.try_lock() {
        Ok(()) => Ok(FileLock::of(file, path).ok()),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{FileLock, lock_now, open_lock};

    #[test]
    fn a_lock_is_held_once_and_ends_when_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = lock_now(&path).unwrap().unwrap();
        assert!(lock_now(&path).unwrap().is_none());
        drop(held);
        assert!(lock_now(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = open_lock(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(FileLock::of(file, &path).is_err());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        symlink("/tmp", &path).unwrap();
        let said = open_lock(&path, 0o600).unwrap_err().to_string();
        assert!(said.ends_with("is a symbolic link, which is not followed: remove it"), "{said}");
    }
}

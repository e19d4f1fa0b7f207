//! The state directory: what outlives a run, as files that are there whole or not at all. Any number of runs use it at once, any
//! of them may be killed at any moment, and its disk may be full or gone: nothing here waits for ever or needs a repair.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, eaccess, geteuid};

use crate::delivery::timing::LOCK_WAIT;
use crate::files::{follow_links, is_abandoned, reason, reason_at, temporary};
use crate::http::deadline::Deadline;

/// The state directory that is used without being named, where it exists and is writable.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/pushwrap";
/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".new-";
/// More is not read of any file here.
const LARGEST_BYTES: u64 = 256 << 20;

/// Where runs keep what outlives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolPath {
    /// [`DEFAULT_STATE_DIR`] where it can be used; else nothing is kept and nothing is said.
    Default,
    /// `none`: nothing is kept.
    None,
    /// This directory, made where it is not there in one that is.
    Named(PathBuf),
}

impl SpoolPath {
    /// Whether something is to be kept: there is a directory, or somebody named one.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Default => Path::new(DEFAULT_STATE_DIR).is_dir(),
            Self::None => false,
            Self::Named(_) => true,
        }
    }

    /// The directory, ready to be used.
    ///
    /// # Errors
    /// Why a directory that was named cannot be used.
    pub fn open(&self) -> Result<Option<SpoolDir>, String> {
        match self {
            Self::None => Ok(None),
            Self::Default => Ok(SpoolDir::at(Path::new(DEFAULT_STATE_DIR)).ok()),
            Self::Named(path) => {
                let is_missing = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
                // Only the last directory: a mistake in a path must not make a tree of directories.
                let create = || DirBuilder::new().mode(0o700).create(path);
                let there = if is_missing { create() } else { Ok(()) };
                there
                    .map_err(|error| reason_at(path, &error))
                    .and_then(|()| SpoolDir::at(path))
                    .map(Some)
                    .map_err(|why| format!("cannot use state directory '{}': {why}", path.display()))
            }
        }
    }

    /// The directory where it is there: what has never been used keeps nothing.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open_existing(&self) -> Result<SpoolDir, String> {
        let path = match self {
            Self::None => return Err("there is no state directory: name one with --state-dir".to_owned()),
            Self::Default => Path::new(DEFAULT_STATE_DIR),
            Self::Named(path) => path,
        };
        SpoolDir::at(path).map_err(|why| {
            let hint = if *self == Self::Default { "; name another with --state-dir" } else { "" };
            format!("cannot use state directory '{}': {why}{hint}", path.display())
        })
    }
}

/// A state directory that was found usable.
#[derive(Debug, Clone)]
pub struct SpoolDir {
    path: PathBuf,
    /// How long is waited for a lock at most.
    patience: Duration,
    /// Whether everybody can write it.
    is_exposed: bool,
}

/// A lock that is held. It ends when it is dropped, and with the process.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Puts this at the beginning of the lock's file, where that can be done.
    pub(crate) fn write(&self, content: &[u8]) {
        let _ = self.0.write_all_at(content, 0);
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum NoLock {
    /// Somebody held it for too long.
    Busy(String),
    /// It cannot be had here.
    Failed(String),
}

/// A file in a state directory.
#[derive(Debug)]
pub(crate) struct StateFile {
    pub(crate) name: String,
    pub(crate) metadata: fs::Metadata,
}

impl SpoolDir {
    /// Somebody else's directory is refused: they could put pushes there that we would send.
    fn at(path: &Path) -> Result<Self, String> {
        follow_links(path).map_err(|error| reason(&error))?;
        let metadata = fs::metadata(path).map_err(|error| reason_at(path, &error))?;
        if !metadata.is_dir() {
            return Err("it is not a directory".to_owned());
        }
        if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
            return Err(format!("it {}", belongs_to(metadata.uid())));
        }
        let usable = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
        eaccess(path, usable).map_err(|error| reason(&error.into()))?;
        let is_exposed = metadata.mode() & 0o002 != 0;
        Ok(Self { path: path.to_owned(), patience: LOCK_WAIT, is_exposed })
    }

    /// What is to be said of a directory that everybody can write: others' files in it are refused, but they can take ours away.
    #[must_use]
    pub fn exposure(&self) -> Option<String> {
        let path = self.path.display();
        self.is_exposed.then(|| format!("everybody can write state directory '{path}', take that away with chmod o-w"))
    }

    /// The same directory for somebody with this budget: a lock that is held, by a process that was stopped for example, may cost
    /// a quarter of it, so that the network still has its time.
    #[must_use]
    pub fn within(self, budget: Duration) -> Self {
        Self { patience: self.patience.min(budget / 4), ..self }
    }

    /// Its path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the lock of this name, or gives up when it has been waited for long enough.
    pub(crate) fn lock(&self, name: &str) -> Result<Lock, String> {
        self.lock_within(name, self.patience)
    }

    /// Takes the lock of this name, or gives up after `patience`.
    pub(crate) fn lock_within(&self, name: &str, patience: Duration) -> Result<Lock, String> {
        let until = Deadline::after(patience);
        self.lock_while(name, || !until.passed()).map_err(|(NoLock::Busy(why) | NoLock::Failed(why))| why)
    }

    /// Takes the lock of this name, or gives up when it is not to be waited for any more.
    pub(crate) fn lock_while(&self, name: &str, waits: impl Fn() -> bool) -> Result<Lock, NoLock> {
        let path = self.file(name);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file =
                options.open(&path).map_err(|error| NoLock::Failed(self.trouble(&self.explained(name, error))))?;
            match file.try_lock() {
                // Whoever held it may have removed it: then it is nobody's lock any more.
                Ok(()) if is_at(&file, &path) => return Ok(Lock(file)),
                Ok(()) | Err(TryLockError::WouldBlock) if waits() => {}
                Ok(()) | Err(TryLockError::WouldBlock) => {
                    return Err(NoLock::Busy(format!("another pushwrap keeps '{}' locked", path.display())));
                }
                Err(TryLockError::Error(error)) => return Err(NoLock::Failed(self.trouble(&error))),
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(1..8)));
        }
    }

    /// The content of a file of ours; `None` where it is not there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(self.file(name));
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| self.explained(name, error))?,
        };
        let metadata = file.metadata()?;
        if metadata.uid() != geteuid().as_raw() {
            return Err(io::Error::other(format!("'{name}' {}", belongs_to(metadata.uid()))));
        }
        if !metadata.is_file() {
            return Err(io::Error::other(format!("'{name}' is not a regular file: remove it")));
        }
        let mut content = Vec::new();
        file.take(LARGEST_BYTES).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Replaces a file: afterwards it has all of `content`, or is what it was. It survives a power failure from here on.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = temporary(&self.path, (UNFINISHED.as_ref(), ""))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.file(name)).map_err(|error| error.error)?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The files whose names are wanted.
    pub(crate) fn files(&self, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<StateFile>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Some(name) = entry.file_name().into_string().ok().filter(|name| is_wanted(name)) else { continue };
            // Another run may have removed it a moment ago.
            let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
            found.push(StateFile { name, metadata });
        }
        Ok(found)
    }

    /// Clears away what killed runs left: unfinished files, and the locks called `is_lock` that nobody holds any more.
    pub(crate) fn sweep(&self, is_lock: impl Fn(&str) -> bool) {
        let left = self.files(|name| name.starts_with(UNFINISHED) || is_lock(name)).unwrap_or_default();
        for StateFile { name, .. } in left.iter().filter(|file| is_abandoned(&file.metadata)) {
            if name.starts_with(UNFINISHED) {
                let _ = self.remove(name);
            } else if let Ok(_held) = self.lock_within(name, Duration::ZERO) {
                // One that stays is only a small file.
                let _ = self.remove(name);
            }
        }
    }

    /// The error with what is wrong with this file, where more is known than the system says.
    fn explained(&self, name: &str, error: io::Error) -> io::Error {
        match fs::symlink_metadata(self.file(name)) {
            Ok(metadata) if metadata.is_symlink() => {
                io::Error::other(format!("'{name}' is a symbolic link, which is not followed: remove it"))
            }
            Ok(metadata) if metadata.is_dir() => io::Error::other(format!("'{name}' is a directory: remove it")),
            Ok(metadata) if metadata.uid() != geteuid().as_raw() => {
                io::Error::other(format!("'{name}' {}", belongs_to(metadata.uid())))
            }
            _ => error,
        }
    }

    /// What went wrong in this directory.
    pub(crate) fn trouble(&self, error: &io::Error) -> String {
        format!("state directory '{}': {}", self.path.display(), reason(error))
    }
}

/// Files here have mode 0600: two users could neither count a job together nor send each other's pushes.
pub(crate) fn belongs_to(user: u32) -> String {
    format!(
        "belongs to user {user}, and a state directory is for one user: run as that user, or name another directory"
    )
}

/// Whether the open file is still the one of this path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino(),
        _ => false,
    }
}

/// A name for a file made from any text, and its check sum: FNV-1a with 128 bits (draft-eastlake-fnv). It protects from
/// accidents, and from nobody: who can write here needs no collision.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.iter().flat_map(|part| part.iter());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::{Deadline, SpoolPath, digest};

    #[test]
    fn the_digest_is_the_published_one() {
        // draft-eastlake-fnv, test vectors.
        assert_eq!(digest(&[]), "6c62272e07bb014262b821756295c58d");
        assert_eq!(digest(&[b"foo", b"bar"]), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn a_named_directory_is_made_for_its_owner_alone() {
        let above = tempfile::tempdir().unwrap();
        let below = SpoolPath::Named(above.path().join("typo/b")).open().unwrap_err();
        assert!(
            below.ends_with(&format!("there is no directory '{}'", above.path().join("typo").display())),
            "{below}"
        );
        let path = above.path().join("a");
        let state = SpoolPath::Named(path.clone()).open().unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        state.replace("x", b"1").unwrap();
        assert_eq!(fs::metadata(path.join("x")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(state.read("x").unwrap().unwrap(), b"1");
        assert_eq!(state.read("y").unwrap(), None);
    }

    #[test]
    fn a_file_is_no_directory_and_a_link_is_not_followed() {
        let above = tempfile::tempdir().unwrap();
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(SpoolPath::Named(file.clone()).open().unwrap_err().ends_with("it is not a directory"));
        let below = SpoolPath::Named(file.join("a/b")).open().unwrap_err();
        assert!(below.ends_with(&format!("'{}' is not a directory", file.display())), "{below}");
        let state = SpoolPath::Named(above.path().to_owned()).open().unwrap().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", above.path().join("link")).unwrap();
        assert!(state.read("link").unwrap_err().to_string().contains("a symbolic link, which is not followed"));
        let lock = |name: &str| state.lock_within(name, Duration::ZERO).unwrap_err();
        assert!(lock("link").contains("'link' is a symbolic link, which is not followed: remove it"));
        fs::create_dir(above.path().join("directory")).unwrap();
        assert!(lock("directory").contains("'directory' is a directory: remove it"));
    }

    #[test]
    fn a_lock_is_waited_for_and_one_that_was_removed_is_taken_anew() {
        let above = tempfile::tempdir().unwrap();
        let state = SpoolPath::Named(above.path().to_owned()).open().unwrap().unwrap();
        let held = state.lock_within("l", Duration::ZERO).unwrap();
        let refused = state.clone().within(Duration::from_millis(80)).lock("l").unwrap_err();
        assert!(refused.contains("locked"), "{refused}");
        let other = state.clone();
        let waiting = std::thread::spawn(move || other.lock("l").unwrap());
        state.remove("l").unwrap();
        drop(held);
        drop(waiting.join().unwrap());
        assert!(state.lock_within("l", Duration::ZERO).is_ok());
    }

    /// Without a pause and a limit this would never end where the file is never the one that was opened.
    #[test]
    fn a_lock_whose_file_is_replaced_is_waited_for_like_one_that_is_held() {
        let above = tempfile::tempdir().unwrap();
        let state = SpoolPath::Named(above.path().to_owned()).open().unwrap().unwrap();
        let (ended, until) = (AtomicBool::new(false), Deadline::after(Duration::from_secs(10)));
        let asked = Cell::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    fs::write(above.path().join("new"), "").unwrap();
                    fs::rename(above.path().join("new"), above.path().join("l")).unwrap();
                }
            });
            while !asked.get() && !until.passed() {
                let _ = state.lock_while("l", || !asked.replace(true));
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert!(asked.get());
    }
}

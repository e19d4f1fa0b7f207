//! The locks of the state directory. One that a living pushwrap holds is waited for while the budget lasts, because a machine is busy
//! exactly when jobs fail; one that another program holds, or a pushwrap that was stopped, costs a quarter of the budget at most.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::delivery::state_dir::dir::{explained, make_directory};
use crate::delivery::state_dir::process::Process;
use crate::delivery::timing::LOCK_WAIT;
use crate::files::{FileLock, Links, open, reason};
use crate::http::deadline::Deadline;

/// How long a lock is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockPatience {
    /// As long as the same process holds the lock.
    anybody: Duration,
    /// As long as a pushwrap that is not stopped holds the lock.
    living: Deadline,
}

impl LockPatience {
    /// Within the budget of a push. The rest is for the network, and what is not done after [`LOCK_WAIT`] is not for want of budget.
    pub(crate) fn within(budget: Duration) -> Self {
        Self { anybody: LOCK_WAIT.min(budget / 4), living: Deadline::after(LOCK_WAIT.max(budget / 4 * 3)) }
    }

    /// So long in any case.
    pub(crate) fn of(time: Duration) -> Self {
        Self { anybody: time, living: Deadline::after(time) }
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum NoLock {
    /// Another process held the lock for too long.
    Busy(String),
    /// The lock file cannot be opened or locked here.
    Failed(String),
}

impl NoLock {
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Busy(why) | Self::Failed(why) => why,
        }
    }
}

/// A lock that is held. It ends when it is dropped, and with the process. Its file begins with the line of the holder.
#[derive(Debug)]
pub(crate) struct Lock(FileLock);

impl Lock {
    /// Takes the lock of this path, or gives up when the patience is over or `goes_on` says so. The directory is made.
    pub(crate) fn acquire(path: &Path, patience: LockPatience, goes_on: impl Fn() -> bool) -> Result<Self, NoLock> {
        let failed = |error: io::Error| NoLock::Failed(format!("'{}': {}", path.display(), reason(&error)));
        let (mut holder, mut since) = (Vec::new(), Instant::now());
        loop {
            let file = match open_lock_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !patience.living.passed() => {
                    make_directory(path.parent().unwrap_or(path)).map_err(failed)?;
                    continue;
                }
                file => file.map_err(|error| failed(explained(path, error)))?,
            };
            match file.try_lock() {
                // The holder may have removed the file: then it excludes no process any more.
                Ok(()) => {
                    if let Ok(lock) = FileLock::of(file, path) {
                        // A holder whose line cannot be written counts as a foreign process.
                        let _ = lock.file().write_all_at(format!("{}\n", Process::own().to_text()).as_bytes(), 0);
                        return Ok(Self(lock));
                    }
                }
                Err(TryLockError::WouldBlock) => {
                    let now = holder_line(&file);
                    if now != holder {
                        (holder, since) = (now, Instant::now());
                    }
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let is_over = patience.living.passed() || since.elapsed() >= patience.anybody && !is_living(&holder);
            if is_over || !goes_on() {
                return Err(NoLock::Busy(format!("another pushwrap keeps '{}' locked", path.display())));
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(1..8)));
        }
    }

    /// Takes the lock of this path if no process holds it.
    pub(crate) fn now(path: &Path) -> Option<Self> {
        Self::acquire(path, LockPatience::of(Duration::ZERO), || true).ok()
    }

    /// The record in its file, behind the holder.
    pub(crate) fn read_record(&self) -> String {
        record_of(self.0.file())
    }

    /// Writes this record behind the holder.
    pub(crate) fn write_record(&self, record: &str) -> io::Result<()> {
        self.0.file().write_all_at(format!("{record:<width$}\n", width = RECORD_BYTES - 1).as_bytes(), RECORD_AT)
    }
}

/// Where the record begins: behind the holder's line and its end.
const RECORD_AT: u64 = 69;
/// How long the record is with its line end.
const RECORD_BYTES: usize = 64;

/// The record of the lock of this path, which another process may hold; an empty one where there is no such file.
pub(crate) fn recorded_in(path: &Path) -> io::Result<String> {
    match open(path, Links::Refuse) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        file => Ok(record_of(&file?)),
    }
}

fn record_of(file: &File) -> String {
    let mut bytes = [0; RECORD_BYTES];
    let length = file.read_at(&mut bytes, RECORD_AT).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
}

/// Opens a lock's file for reading and writing, or makes it. A link is refused, and a FIFO not waited for.
fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

fn holder_line(file: &File) -> Vec<u8> {
    let mut line = vec![0; 68];
    let length = file.read_at(&mut line, 0).unwrap_or_default();
    line.truncate(length);
    line
}

fn is_living(holder: &[u8]) -> bool {
    let process = std::str::from_utf8(holder).ok().and_then(Process::from_text);
    process.is_some_and(|process| process.is_running())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::{Deadline, Lock, LockPatience, NoLock, Process, RECORD_AT};

    #[test]
    fn a_lock_is_waited_for_and_one_that_was_removed_is_taken_anew() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("group/lock");
        let held = Lock::acquire(&path, LockPatience::of(Duration::from_secs(1)), || true).unwrap();
        held.write_record("taken 17").unwrap();
        assert_eq!(held.read_record().trim_end(), "taken 17");
        assert_eq!(format!("{}\n", Process::own().to_text()).len() as u64, RECORD_AT);
        let other = path.clone();
        let waiting =
            std::thread::spawn(move || Lock::acquire(&other, LockPatience::of(Duration::from_secs(20)), || true));
        fs::remove_file(&path).unwrap();
        drop(held);
        drop(waiting.join().unwrap().unwrap());
        assert!(Lock::now(&path).is_some());
    }

    /// A guarantee: a lock that somebody holds costs a quarter of the budget. A process that holds it for long is no pushwrap at work.
    #[test]
    fn a_lock_that_a_stranger_holds_costs_a_quarter_of_the_budget() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("lock");
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        let began = Instant::now();
        let refused = Lock::acquire(&path, LockPatience::within(Duration::from_millis(400)), || true).unwrap_err();
        assert!(matches!(refused, NoLock::Busy(why) if why.contains("locked")));
        assert!(began.elapsed() >= Duration::from_millis(100) && began.elapsed() < Duration::from_secs(2));
    }

    /// The same lock, and the holder's line names a pushwrap that lives.
    #[test]
    fn a_lock_that_a_living_pushwrap_holds_is_waited_for() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("lock");
        let held = Lock::acquire(&path, LockPatience::of(Duration::from_secs(1)), || true).unwrap();
        let other = path.clone();
        let waiting = std::thread::spawn(move || {
            Lock::acquire(&other, LockPatience::within(Duration::from_millis(400)), || true)
        });
        std::thread::sleep(Duration::from_millis(700));
        drop(held);
        assert!(waiting.join().unwrap().is_ok(), "it gave up after a quarter of the budget");
    }

    /// Without a pause and a limit this would never end where the file is never the one that was opened.
    #[test]
    fn a_lock_whose_file_is_replaced_is_waited_for_like_one_that_is_held() {
        let above = tempfile::tempdir().unwrap();
        let (ended, until) = (AtomicBool::new(false), Deadline::after(Duration::from_secs(10)));
        let tried = Cell::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    fs::write(above.path().join("new"), "").unwrap();
                    fs::rename(above.path().join("new"), above.path().join("l")).unwrap();
                }
            });
            while tried.get() < 20 && !until.passed() {
                let _ = Lock::acquire(&above.path().join("l"), LockPatience::of(Duration::from_millis(20)), || true);
                tried.set(tried.get() + 1);
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert_eq!(tried.get(), 20);
    }
}

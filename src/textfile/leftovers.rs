//! Removes private directories, those of killed runs too, within a bounded time: how deep and wide they are is for the command to
//! decide, and nobody waits for it.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memmem;
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

/// The beginning of the names of private directories.
pub(super) const PREFIX: &str = "pushwrap.";
/// How many entries of the directory above are looked at, and how many leftovers a run removes.
const MOST_ENTRIES: usize = 10_000;
const MOST_LEFTOVERS: usize = 16;
/// A directory that was changed later may be that of a run which has made it and not locked it yet.
const YOUNG: Duration = Duration::from_mins(1);
/// Directories below this depth are moved up instead of being entered: descriptors are few.
const MOST_DEPTH: usize = 32;

/// Empties a directory, as far as the time allows.
pub(super) fn clear(directory: &File, patience: Duration) {
    let until = Instant::now() + patience;
    // Once more for what was moved up.
    while Instant::now() < until && clear_part(directory, (directory, MOST_DEPTH), until) {}
}

/// Empties a directory; whether something was moved up to `top`, which is to be emptied once more.
fn clear_part(directory: &File, (top, depth): (&File, usize), until: Instant) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(mut entries) = Dir::openat(directory, ".", flags, Mode::empty()) else { return false };
    let mut has_moved = false;
    for entry in entries.iter().flatten() {
        let name = entry.file_name();
        if Instant::now() >= until {
            return false;
        }
        if name == c"." || name == c".." || unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).is_ok() {
            continue;
        }
        if depth == 0 {
            has_moved |= renameat(directory, name, top, moved_name().as_str()).is_ok();
        } else if let Ok(below) = openat(directory, name, flags, Mode::empty()) {
            has_moved |= clear_part(&File::from(below), (top, depth - 1), until);
        }
        remove_directory(directory, name);
    }
    has_moved
}

fn remove_directory(above: &File, name: &CStr) {
    let _ = unlinkat(above, name, UnlinkatFlags::RemoveDir);
}

fn moved_name() -> String {
    format!("moved.{:016x}", fastrand::u64(..))
}

/// Removes the private directories in `place` that runs of this user left when they were killed, as far as the time allows. One that is locked belongs to a
/// run; one that stands in the environment of a process belongs to a command whose pushwrap was killed.
pub(super) fn remove_leftovers(place: &Path, patience: Duration) {
    let until = Instant::now() + patience;
    let candidates = unlocked(place, until);
    if candidates.is_empty() {
        return;
    }
    let Some(used) = used_by_processes(&candidates, until) else { return };
    for ((path, opened), is_used) in candidates.iter().zip(used) {
        let left = until.saturating_duration_since(Instant::now());
        if is_used || left.is_zero() {
            continue;
        }
        clear(opened, left);
        let _ = fs::remove_dir(path);
    }
}

/// The private directories of this user that no process holds, locked by us now.
fn unlocked(place: &Path, until: Instant) -> Vec<(PathBuf, File)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(place) else { return found };
    for entry in entries.flatten().take(MOST_ENTRIES) {
        if found.len() == MOST_LEFTOVERS || Instant::now() >= until {
            break;
        }
        if is_private_name(&entry.file_name())
            && let Some(opened) = hold(&entry.path())
        {
            found.push((entry.path(), opened));
        }
    }
    found
}

/// `pushwrap.` and sixteen hexadecimal digits, as [`super::private::PrivateFile`] calls them.
fn is_private_name(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

fn hold(path: &Path) -> Option<File> {
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = opened.metadata().ok()?;
    let is_ours = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o7777 == 0o700;
    let is_young = metadata.modified().ok()?.elapsed().map_or(true, |age| age < YOUNG);
    (is_ours && !is_young && opened.try_lock().is_ok()).then_some(opened)
}

/// Which of the directories a process of this user has in its environment; `None` where that cannot be found in time.
fn used_by_processes(candidates: &[(PathBuf, File)], until: Instant) -> Option<Vec<bool>> {
    let mut used = vec![false; candidates.len()];
    let own_user = geteuid().as_raw();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        if Instant::now() >= until {
            return None;
        }
        let is_process = entry.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if !is_process || entry.metadata().is_ok_and(|process| process.uid() != own_user && own_user != 0) {
            continue;
        }
        let mut environment = Vec::new();
        // The kernel bounds it (execve(2)); a process may end meanwhile.
        let opened = File::open(entry.path().join("environ"));
        if opened.and_then(|file| file.take(8 << 20).read_to_end(&mut environment)).is_err() {
            continue;
        }
        for ((path, _), is_used) in candidates.iter().zip(&mut used) {
            *is_used |= memmem::find(&environment, path.as_os_str().as_bytes()).is_some();
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder, File};
    use std::os::unix::fs::DirBuilderExt as _;
    use std::process::Command;
    use std::time::{Duration, SystemTime};

    use super::{YOUNG, clear, is_private_name, remove_leftovers};

    #[test]
    fn deep_and_wide_directories_are_emptied() {
        let root = tempfile::tempdir().unwrap();
        let mut deep = root.path().to_owned();
        for _ in 0..150 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        (0..300).for_each(|number| fs::write(root.path().join(number.to_string()), "").unwrap());
        fs::write(deep.join("file"), "").unwrap();
        clear(&File::open(root.path()).unwrap(), Duration::from_secs(20));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_nobody_holds_is_removed_and_what_somebody_holds_stays() {
        let root = tempfile::tempdir().unwrap();
        let [left, locked, used] =
            ["0", "1", "2"].map(|name| root.path().join(format!("pushwrap.000000000000000{name}")));
        for directory in [&left, &locked, &used] {
            DirBuilder::new().mode(0o700).create(directory).unwrap();
            fs::write(directory.join("metrics.prom"), "x 1\n").unwrap();
        }
        let young = root.path().join("pushwrap.0000000000000003");
        DirBuilder::new().mode(0o700).create(&young).unwrap();
        for directory in [&left, &locked, &used] {
            File::open(directory).unwrap().set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
        }
        let _lock = File::open(&locked).map(|file| file.lock().map(|()| file)).unwrap().unwrap();
        let mut command =
            Command::new("sleep").arg("60").env("PUSHWRAP_TEXTFILE", used.join("metrics.prom")).spawn().unwrap();
        remove_leftovers(root.path(), Duration::from_secs(20));
        command.kill().unwrap();
        command.wait().unwrap();
        assert_eq!((left.exists(), locked.exists(), used.exists()), (false, true, true));
        assert!(young.exists(), "its run may be about to lock it");
    }

    #[test]
    fn only_names_of_private_directories_are_looked_at() {
        assert!(is_private_name("pushwrap.0123456789abcdef".as_ref()));
        assert!(!is_private_name("pushwrap.d".as_ref()) && !is_private_name("pushwrap.0123456789abcdeg".as_ref()));
    }
}

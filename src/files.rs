//! Files that somebody named, or that others can reach: opened without waiting for anybody, read up to a limit, replaced whole,
//! locked, and told about in plain words.

mod lock;
mod replace;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

pub use lock::{FileLock, lock_now, open_lock};
pub use replace::{Durability, NewMode, Ownership, Replacement, TemporaryName, Written, temporary};

/// An unfinished file older than this was left by a process that was killed.
const ABANDONED: Duration = Duration::from_hours(1);
/// How many links the kernel follows (`path_resolution(7)`).
const MOST_LINKS: usize = 40;
/// A directory in which everybody may make files and only their owners may remove them, as `/tmp` is.
const SHARED: u32 = 0o1002;

/// What happens where the last part of a path is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is followed.
    Follow,
    /// It is an error: who else can write in the directory must not choose what is opened.
    Refuse,
}

/// Opens a file for reading and waits for nobody: not for the writer of a FIFO, not for a device, and no terminal becomes ours.
///
/// # Errors
/// As open(2) has them; `ELOOP` for a link that is refused.
pub fn open(path: &Path, links: Links) -> io::Result<File> {
    let links = if links == Links::Refuse { libc::O_NOFOLLOW } else { 0 };
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | links).open(path)
}

/// Opens a regular file for reading; see [`open`].
///
/// # Errors
/// What stands there is no regular file, or open(2) failed.
pub fn open_regular(path: &Path, links: Links) -> io::Result<File> {
    let file = open(path, links)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// What was read under a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounded {
    /// All there was.
    Whole(Vec<u8>),
    /// There is more than the limit.
    TooLarge,
}

/// Reads to the end, `limit` bytes at most. `expected` is how much there will probably be, in bytes: a sparse file can claim any
/// size, so an allocation that fails is an error here and not the end of the process.
///
/// # Errors
/// As read(2) has them; `OutOfMemory`.
pub fn read_bounded(input: impl Read, expected: u64, limit: u64) -> io::Result<Bounded> {
    if expected > limit {
        return Ok(Bounded::TooLarge);
    }
    let mut bytes = Vec::new();
    // One byte more than there should be, so that the end is found without growing. std's read_to_end, too, returns an error
    // where it cannot grow.
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX).saturating_add(1))?;
    input.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > limit { Bounded::TooLarge } else { Bounded::Whole(bytes) })
}

/// Reads a regular file, `limit` bytes at most; see [`open_regular`] and [`read_bounded`].
///
/// # Errors
/// As these have them.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Bounded> {
    let file = open_regular(path, Links::Follow)?;
    let expected = file.metadata()?.len();
    read_bounded(file, expected, limit)
}

/// Whether the open file is still the one of this path, which is not followed where it is a link.
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The file that a symbolic link leads to, whether it is there or not: a rename over the link would replace the link.
///
/// # Errors
/// The link is one that the kernel would not follow either (`protected_symlinks`, proc(5)): a stranger's in a shared directory.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        let directory = directory_of(&path);
        let (link, around) = (fs::symlink_metadata(&path)?, fs::metadata(directory)?);
        let is_shared = around.permissions().mode() & SHARED == SHARED;
        if is_shared && link.uid() != geteuid().as_raw() && link.uid() != around.uid() {
            let why = format!("'{}' is a symbolic link of user {} in a shared directory", path.display(), link.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        path = directory.join(target);
    }
    Ok(fs::canonicalize(&path).unwrap_or(path))
}

/// The directory that a path lies in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An error of the system in its own words, as messages have them: in lower case and without its number.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// What is wrong with a path that something is to be made at: the missing directory where one is missing, the file where a
/// directory should be.
#[must_use]
pub fn reason_at(path: &Path, error: &io::Error) -> String {
    let above = || path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let is_missing = |above: &&Path| fs::metadata(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let is_in_the_way = |above: &&Path| fs::metadata(above).is_ok_and(|metadata| !metadata.is_dir());
    let found = match error.kind() {
        io::ErrorKind::NotFound => {
            above().filter(is_missing).last().map(|missing| format!("there is no directory '{}'", missing.display()))
        }
        io::ErrorKind::NotADirectory => {
            above().find(is_in_the_way).map(|file| format!("'{}' is not a directory", file.display()))
        }
        _ => None,
    };
    found.unwrap_or_else(|| reason(error))
}

/// Whether a file has not been touched for long: an unfinished one was then left by a process that was killed.
#[must_use]
pub fn is_abandoned(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > ABANDONED)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use super::{Bounded, Links, follow_links, is_at, open, open_regular, read_bounded, read_regular, reason_at};

    #[test]
    fn a_link_leads_to_its_file_whether_that_is_there_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        symlink("second", root.join("first")).unwrap();
        symlink(root.join("file"), root.join("second")).unwrap();
        assert_eq!(follow_links(&root.join("first")).unwrap(), root.join("file"));
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(follow_links(&root.join("first")).unwrap(), root.join("file"));
        assert_eq!(follow_links(Path::new("nowhere")).unwrap(), PathBuf::from("nowhere"));
        symlink("round", root.join("round")).unwrap();
        assert!(fs::metadata(follow_links(&root.join("round")).unwrap()).is_err());
    }

    #[test]
    fn the_missing_directory_is_named_and_the_file_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let words = |path: &Path| reason_at(path, &fs::write(path, "").unwrap_err());
        let missing = directory.path().join("a");
        assert_eq!(words(&missing.join("b/c")), format!("there is no directory '{}'", missing.display()));
        assert_eq!(words(&file.join("b/c")), format!("'{}' is not a directory", file.display()));
        assert_eq!(reason_at(&file, &io::Error::from_raw_os_error(libc::ENOSPC)), "no space left on device");
    }

    #[test]
    fn nothing_is_waited_for_and_a_link_is_followed_on_request_only() {
        let directory = tempfile::tempdir().unwrap();
        let [fifo, link, file] = ["fifo", "link", "file"].map(|name| directory.path().join(name));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(&file, "text").unwrap();
        symlink(&file, &link).unwrap();
        assert!(open(&fifo, Links::Follow).is_ok());
        assert_eq!(open_regular(&fifo, Links::Follow).unwrap_err().to_string(), "it is not a regular file");
        assert!(open_regular(&link, Links::Follow).is_ok());
        assert_eq!(open_regular(&link, Links::Refuse).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        let opened = open_regular(&link, Links::Follow).unwrap();
        assert!(is_at(&opened, &file) && !is_at(&opened, &link));
    }

    #[test]
    fn a_limit_holds_whatever_the_file_says_of_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_regular(&file, 5).unwrap(), Bounded::Whole(b"12345".to_vec()));
        assert_eq!(read_regular(&file, 4).unwrap(), Bounded::TooLarge);
        assert_eq!(read_bounded(&b"12345"[..], 0, 4).unwrap(), Bounded::TooLarge);
        assert_eq!(read_bounded(&b""[..], 5, 4).unwrap(), Bounded::TooLarge);
        let error = read_bounded(&b""[..], u64::MAX, u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}

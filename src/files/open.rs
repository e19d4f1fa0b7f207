//! Opens files without blocking and reads them up to a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What happens where the last part of a path is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Follow the link.
    Follow,
    /// Refuse the link: another user who can write in the directory must not choose the file that is opened.
    Refuse,
}

/// Opens a file for reading without blocking: not for the writer of a FIFO, not for a device, and no terminal becomes ours.
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

/// The contents of a file, read up to a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounded {
    /// All there was.
    Complete(Vec<u8>),
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
    Ok(if bytes.len() as u64 > limit { Bounded::TooLarge } else { Bounded::Complete(bytes) })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;

    use super::{Bounded, Links, is_at, open, open_regular, read_bounded, read_regular};

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
        assert_eq!(read_regular(&file, 5).unwrap(), Bounded::Complete(b"12345".to_vec()));
        assert_eq!(read_regular(&file, 4).unwrap(), Bounded::TooLarge);
        assert_eq!(read_bounded(&b"12345"[..], 0, 4).unwrap(), Bounded::TooLarge);
        assert_eq!(read_bounded(&b""[..], 5, 4).unwrap(), Bounded::TooLarge);
        let error = read_bounded(&b""[..], u64::MAX, u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}

//! A file is replaced whole: another one is written beside it and renamed over it, so that a reader finds the old content or the
//! new one, never a part of either, and a writer that is killed leaves the old one.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use tempfile::{Builder, NamedTempFile};

use super::path::{directory_of, reason};

/// How a file is replaced.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'r> {
    /// How the temporary file beside it is called.
    pub temporary: TemporaryName<'r>,
    /// The mode of a file that was not there before; one that was keeps its own.
    pub mode: NewMode,
    /// Whether the new file must have the old one's owner.
    pub ownership: Ownership,
    /// Whether it survives a power failure.
    pub durability: Durability,
}

/// The name of a temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporaryName<'n> {
    /// This name. Where a file of that name is there, it is an error: a lock must keep two writers apart.
    Fixed(&'n OsStr),
    /// A unique name, which begins and ends with these texts.
    Random(&'n OsStr, &'n str),
}

/// The mode of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewMode {
    /// These mode bits, whatever the umask.
    Exactly(u32),
    /// As a shell's redirection makes it: 0666 without the bits of the umask.
    Umask,
}

/// Whether a new file must have the old one's owner. Only root can give a file away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// It must: else the file is not replaced but written in place, where that is allowed.
    Required,
    /// Where it can be had, the group at least.
    Preferred,
}

/// Whether a replaced file survives a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It does, and a full disk of a server says so before the old file is gone (fsync(2)).
    Synced,
    /// Perhaps: a power failure also ends the processes that need the file.
    Unsynced,
}

/// How a file came to its new content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Another one was renamed over it.
    Replaced,
    /// The file can be written but not replaced (a bind mount, another user's directory): a reader may have seen a part.
    InPlace,
}

impl Replacement<'_> {
    /// Gives the file at `path` this content, or makes it. The path is taken as it is: see [`super::path::follow_links`].
    ///
    /// # Errors
    /// What stands there is no regular file; it can be neither replaced nor written. Then it is as it was.
    pub fn write(self, path: &Path, content: &[u8]) -> io::Result<Written> {
        let old = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Some(metadata),
            Ok(_) => return Err(io::Error::other("it is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let refused = match self.replace(path, content, old.as_ref()) {
            Ok(()) => return Ok(Written::Replaced),
            Err(error) => error,
        };
        let is_refusal = |error: &io::Error| {
            use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
            matches!(error.kind(), PermissionDenied | ResourceBusy | ReadOnlyFilesystem | CrossesDevices)
        };
        if old.is_none() || !is_refusal(&refused) {
            return Err(refused);
        }
        match write_in_place(path, content, self.durability) {
            Ok(()) => Ok(Written::InPlace),
            // Why it cannot be replaced is the better reason where it cannot be written either.
            Err(error) if is_refusal(&error) => Err(refused),
            Err(error) => Err(error),
        }
    }

    fn replace(self, path: &Path, content: &[u8], old: Option<&Metadata>) -> io::Result<()> {
        let creation_mode = if old.is_none() && self.mode == NewMode::Umask { 0o666 } else { 0o600 };
        let mut file = temporary_with_mode(directory_of(path), self.temporary, creation_mode)?;
        file.write_all(content)?;
        match (old, self.mode) {
            (Some(old), _) => self.adopt(file.as_file(), old)?,
            (None, NewMode::Exactly(mode)) => file.as_file().set_permissions(Permissions::from_mode(mode))?,
            (None, NewMode::Umask) => {}
        }
        if self.durability == Durability::Synced {
            file.as_file().sync_all()?;
        }
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Gives the new file the mode and the owner of the old one.
    fn adopt(self, file: &File, old: &Metadata) -> io::Result<()> {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            let given = fchown(file, Some(old.uid()), Some(old.gid()));
            match (given, self.ownership) {
                (Err(error), Ownership::Required) => {
                    let why = format!("its owner cannot be kept ({}): write it as that user", reason(&error));
                    return Err(io::Error::new(error.kind(), why));
                }
                (Err(_), Ownership::Preferred) => {
                    let _ = fchown(file, None, Some(old.gid()));
                }
                (Ok(()), _) => {}
            }
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
    }
}

/// Writes over a file that cannot be replaced. Its length changes last, and its space is had first where the file system can say
/// so: a full disk leaves it as it was.
fn write_in_place(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let length = content.len() as u64;
    let wanted = i64::try_from(length).unwrap_or(i64::MAX);
    if wanted > 0 && fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, wanted) == Err(nix::Error::ENOSPC) {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    file.write_all(content)?;
    file.set_len(length)?;
    if durability == Durability::Synced { file.sync_all() } else { Ok(()) }
}

/// A new file for its owner alone with a name of its own between these two; removed unless it is persisted.
///
/// # Errors
/// As open(2) has them.
pub fn temporary(directory: &Path, (prefix, suffix): (&OsStr, &str)) -> io::Result<NamedTempFile> {
    temporary_with_mode(directory, TemporaryName::Random(prefix, suffix), 0o600)
}

fn temporary_with_mode(directory: &Path, name: TemporaryName<'_>, mode: u32) -> io::Result<NamedTempFile> {
    // tempfile's own way to open it hides the error's number, and so its text.
    let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match name {
        TemporaryName::Fixed(name) => Builder::new().prefix(name).rand_bytes(0).make_in(directory, create),
        TemporaryName::Random(prefix, suffix) => {
            Builder::new().prefix(prefix).suffix(suffix).make_in(directory, create)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{Durability, NewMode, Ownership, Replacement, TemporaryName, Written, write_in_place};

    fn replacement(mode: NewMode) -> Replacement<'static> {
        let (ownership, durability) = (Ownership::Required, Durability::Unsynced);
        Replacement { temporary: TemporaryName::Random(OsStr::new(".new-"), ".tmp"), mode, ownership, durability }
    }

    #[test]
    fn a_file_is_made_or_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(replacement(NewMode::Exactly(0o604)).write(&path, b"one").unwrap(), Written::Replaced);
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"one".to_vec(), 0o604));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(replacement(NewMode::Exactly(0o604)).write(&path, b"two").unwrap(), Written::Replaced);
        assert_eq!((fs::read(&path).unwrap(), mode()), (b"two".to_vec(), 0o640));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("/dev/null", &link).unwrap();
        let error = replacement(NewMode::Umask).write(&link, b"one").unwrap_err();
        assert_eq!(error.to_string(), "it is not a regular file");
    }

    #[test]
    fn in_place_a_file_becomes_longer_or_shorter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        for content in ["much longer", "", "x"] {
            write_in_place(&path, content.as_bytes(), Durability::Unsynced).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}

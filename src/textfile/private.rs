//! A file for one command to write: mode 0600 in a directory of mode 0700. Another user who can write in the directory above can
//! neither have ours opened elsewhere nor put another one in its place without being noticed.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::leftovers::{PREFIX, clear, remove_leftovers};
use super::patience::within;
use super::reader::Reader;
use crate::exposition::Diagnostic;
use crate::files::reason;

/// The name of the file in its directory.
const FILE: &str = "metrics.prom";
/// The places without a `TMPDIR`. They lie in memory or on the disk of the system, on which every command waits too.
const PLACES: [&str; 3] = ["/tmp", "/dev/shm", "/run"];
/// How long another `TMPDIR` may take to hold a new directory before the next place is tried.
const TMPDIR_PATIENCE: Duration = Duration::from_secs(1);
/// How long the removal of what a command left may take.
pub(super) const REMOVAL_PATIENCE: Duration = Duration::from_millis(300);

/// A private file; it is removed with all that the command left beside it when this is dropped.
#[derive(Debug)]
pub struct PrivateFile {
    directory: PathBuf,
    path: PathBuf,
    /// Open and locked, which tells other runs that the directory is in use.
    opened: File,
}

impl PrivateFile {
    /// Creates it below the first of `$TMPDIR`, `/tmp`, `/dev/shm` and `/run` where that works.
    ///
    /// # Errors
    /// One sentence that says why it worked nowhere.
    pub fn create(tmpdir: Option<OsString>) -> Result<Self, String> {
        let tmpdir = tmpdir.filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut reasons = Vec::new();
        if let Some(place) = tmpdir {
            let name = place.display().to_string();
            let is_known = PLACES.iter().any(|known| Path::new(known) == place);
            let create = move || Self::create_in(&place);
            let created = if is_known { Some(create()) } else { within(TMPDIR_PATIENCE, create) };
            match created {
                Some(Ok(private)) => return Ok(private),
                Some(Err(error)) => reasons.push(format!("'{name}': {}", reason(&error))),
                None => reasons.push(format!("'{name}': the file system does not answer")),
            }
        }
        Self::create_below(PLACES.map(Path::new).into_iter(), reasons)
    }

    pub(super) fn create_below<'p>(
        places: impl Iterator<Item = &'p Path>,
        mut reasons: Vec<String>,
    ) -> Result<Self, String> {
        for place in places {
            match Self::create_in(place) {
                Ok(private) => return Ok(private),
                Err(error) => reasons.push(format!("'{}': {}", place.display(), reason(&error))),
            }
        }
        Err(format!("cannot create a file for metrics: {}; set TMPDIR to a writable directory", reasons.join(", ")))
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        // The command may change its directory, so a relative TMPDIR must not reach it.
        let place = std::path::absolute(place)?;
        for _ in 0..16 {
            let directory = place.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            }
            return Self::fill(&directory).inspect_err(|_| {
                // Another user's link or directory with contents stays: this takes away an empty directory only.
                let _ = fs::remove_dir(&directory);
            });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Makes the file in a directory that was just made.
    fn fill(directory: &Path) -> io::Result<Self> {
        let (opened, metadata) = open_own(directory)?;
        // The umask may have taken bits away.
        if metadata.mode() & 0o7777 != 0o700 {
            opened.set_permissions(Permissions::from_mode(0o700))?;
        }
        // Where flock(2) does not work, other runs find the command that has the path in its environment.
        let _ = opened.try_lock();
        make_file(&opened)?;
        Ok(Self { path: directory.join(FILE), directory: directory.to_owned(), opened })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, and every other `*.prom` beside it by name: steps that cannot share a file have one each.
    pub(super) fn read(&self, reader: &mut Reader) {
        if !self.is_there() {
            let directory = self.directory.display();
            let gone = format!(
                "its directory '{directory}' is gone, something has removed it: --textfile names a file elsewhere"
            );
            reader.problem(Diagnostic::of_file("$PUSHWRAP_TEXTFILE", gone));
            return;
        }
        reader.private_file(&self.opened, Path::new(FILE), "$PUSHWRAP_TEXTFILE");
        for name in reader.prom_files(&self.directory) {
            if name != FILE {
                let label = format!("${{PUSHWRAP_TEXTFILE%/*}}/{}", name.to_string_lossy());
                reader.private_file(&self.opened, Path::new(&name), &label);
            }
        }
    }

    /// Whether the directory at our path is the one that was made.
    fn is_there(&self) -> bool {
        match (self.opened.metadata(), fs::symlink_metadata(&self.directory)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

fn make_file(directory: &File) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, FILE, flags, Mode::from_bits_truncate(0o600))?);
    let allow_owner = || match file.metadata()?.mode() & 0o7777 {
        0o600 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(0o600)),
    };
    // Only what was made here is removed.
    allow_owner().inspect_err(|_: &io::Error| remove_file(directory))
}

/// Removes the file, never by its path, where another user's link may stand by now.
fn remove_file(directory: &File) {
    let _ = unlinkat(directory, FILE, UnlinkatFlags::NoRemoveDir);
}

/// Opens a directory that was just made. In a directory where everybody can rename, another one can stand there by now.
fn open_own(directory: &Path) -> io::Result<(File, Metadata)> {
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
    let metadata = opened.metadata()?;
    if metadata.uid() == geteuid().as_raw() {
        Ok((opened, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user put a directory in the place of a new one"))
    }
}

impl PrivateFile {
    /// Removes it with all that the command left beside it, as far as a moment allows.
    pub(super) fn remove(&self) {
        // Nothing can be done, and no message is needed, if the command took it away or filled it with other things.
        if self.is_there() {
            remove_file(&self.opened);
        }
        if fs::remove_dir(&self.directory).is_err() && self.is_there() {
            clear(&self.opened, REMOVAL_PATIENCE);
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        self.remove();
        if let Some(place) = self.directory.parent() {
            remove_leftovers(place, REMOVAL_PATIENCE);
        }
    }
}

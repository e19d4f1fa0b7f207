//! The state directory and the files in it. Any number of runs use it at once, any of them may be killed at any moment, and its
//! disk may be full or gone: a file is there whole or not at all, and nothing here needs a repair.
//!
//! ```text
//! STATE/GROUP/lock                    held to number, count and write
//! STATE/GROUP/runs                    the counts
//! STATE/GROUP/….mark                  a run that goes on
//! STATE/GROUP/DEST/lock               held to send
//! STATE/GROUP/DEST/0000000017.push    what run 17 has to say, never changed
//! STATE/GROUP/DEST/0000000016.refused what the gateway said of run 16, for its owner
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess, geteuid};

use crate::delivery::state_dir::digest::digest;
use crate::files::{Bounded, Links, follow_links, is_abandoned, open, read_bounded, reason, reason_at, temporary};
use crate::grouping::GroupingKey;
use crate::sink::address::SinkAddress;

/// The state directory that is used without being named, where it exists and is writable.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/pushwrap";
/// The beginning of the names of unfinished files.
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
    At(PathBuf),
}

impl SpoolPath {
    /// Whether pushes are to be kept: the default directory is there, or an option names one.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Default => Path::new(DEFAULT_STATE_DIR).is_dir(),
            Self::None => false,
            Self::At(_) => true,
        }
    }

    /// The directory, ready to be used.
    ///
    /// # Errors
    /// Why a directory that was named cannot be used.
    pub fn open(&self) -> Result<Option<SpoolDir>, String> {
        match self {
            Self::None => Ok(None),
            Self::Default if !self.is_wanted() => Ok(None),
            Self::Default => Ok(SpoolDir::at(Path::new(DEFAULT_STATE_DIR)).ok()),
            Self::At(path) => make_directory(path)
                .map_err(|error| reason_at(path, &error))
                .and_then(|()| SpoolDir::at(path))
                .map(Some)
                .map_err(|why| format!("cannot use state directory '{}': {why}", path.display())),
        }
    }

    /// Whether nobody has named a directory and the default one is not there.
    #[must_use]
    pub fn is_missing_default(&self) -> bool {
        *self == Self::Default && matches!(Path::new(DEFAULT_STATE_DIR).try_exists(), Ok(false))
    }

    /// The directory where it is there: what has never been used keeps nothing.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open_existing(&self) -> Result<SpoolDir, String> {
        let path = match self {
            Self::None => return Err("there is no state directory: name one with --state-dir".to_owned()),
            Self::Default => Path::new(DEFAULT_STATE_DIR),
            Self::At(path) => path,
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
    /// Whether everybody can write it.
    is_exposed: bool,
}

impl SpoolDir {
    /// Another user's directory is refused: that user could put pushes there that we would send.
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
        Ok(Self { path: path.to_owned(), is_exposed: metadata.mode() & 0o002 != 0 })
    }

    /// The warning about a directory that everybody can write: files of other users in it are refused, but they can remove ours.
    #[must_use]
    pub fn exposure(&self) -> Option<String> {
        let path = self.path.display();
        self.is_exposed.then(|| format!("everybody can write state directory '{path}', take that away with chmod o-w"))
    }

    /// Its path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a group, whether it is there or not.
    pub(crate) fn group(&self, key: &GroupingKey) -> GroupDir {
        self.group_named(group_name(key))
    }

    pub(crate) fn group_named(&self, name: String) -> GroupDir {
        GroupDir { path: self.path.join(&name), name, state: self.clone() }
    }

    /// Every group that has a directory here.
    pub(crate) fn groups(&self) -> io::Result<Vec<GroupDir>> {
        let names = names(&self.path)?;
        Ok(names.into_iter().filter(|name| is_hex(name, 32)).map(|name| self.group_named(name)).collect())
    }

    /// The message for an error in this directory.
    pub(crate) fn error(&self, error: &io::Error) -> String {
        format!("state directory '{}': {}", self.path.display(), reason(error))
    }
}

/// The directory of one group.
#[derive(Debug, Clone)]
pub(crate) struct GroupDir {
    pub(crate) state: SpoolDir,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl GroupDir {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The name of a group's directory.
pub(crate) fn group_name(key: &GroupingKey) -> String {
    digest(&[key.path().as_bytes()])
}

/// The name of the directories of a destination.
pub(crate) fn destination_name(destination: &SinkAddress) -> String {
    sixteen_digits(&[destination.to_text().as_bytes()])
}

/// The name of the directory of a file of reports.
pub(crate) fn file_name(path: &Path) -> String {
    sixteen_digits(&[b"file ", path.as_os_str().as_bytes()])
}

fn sixteen_digits(parts: &[&[u8]]) -> String {
    let mut name = digest(parts);
    name.truncate(16);
    name
}

/// Makes a directory for its owner alone, where it is not there. The one above must be: a path that was mistyped is not made.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The names in a directory; none where it is not there.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// The content of a file of ours; `None` where it is not there.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match open(path, Links::Refuse) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| explained(path, error))?,
    };
    let (metadata, name) = (file.metadata()?, name_of(path));
    if metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other(format!("'{name}' {}", belongs_to(metadata.uid()))));
    }
    if !metadata.is_file() {
        return Err(io::Error::other(format!("'{name}' is not a regular file: remove it")));
    }
    match read_bounded(file, metadata.len(), LARGEST_BYTES)? {
        Bounded::Complete(content) => Ok(Some(content)),
        Bounded::TooLarge => Err(io::Error::other(format!("'{name}' is too large: remove it"))),
    }
}

/// Replaces a file: afterwards it has all of `content`, or is what it was. It survives a power failure from here on.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut file = unfinished(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// A new file that is not yet what it will be called.
pub(crate) fn unfinished(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    temporary(directory, (UNFINISHED.as_ref(), ""))
}

/// Makes the names in a directory survive a power failure.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file, which may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the unfinished files that killed runs left, of a directory with these names.
pub(crate) fn remove_unfinished(directory: &Path, names: &[String]) {
    for path in names.iter().filter(|name| name.starts_with(UNFINISHED)).map(|name| directory.join(name)) {
        if fs::symlink_metadata(&path).is_ok_and(|metadata| is_abandoned(&metadata)) {
            // One that stays is only a small file.
            let _ = fs::remove_file(path);
        }
    }
}

/// The error with what is wrong with this file, where more is known than the system says.
pub(crate) fn explained(path: &Path, error: io::Error) -> io::Error {
    let name = name_of(path);
    match fs::symlink_metadata(path) {
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

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Files here have mode 0600: two users could neither count a job together nor send each other's pushes.
pub(crate) fn belongs_to(user: u32) -> String {
    format!(
        "belongs to user {user}, and a state directory is for one user: run as that user, or name another directory"
    )
}

/// Whether a name is one of those that we give: what somebody else puts here is left alone.
pub(crate) fn is_hex(name: &str, length: usize) -> bool {
    name.len() == length && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{SpoolPath, read, replace};

    #[test]
    fn a_named_directory_is_made_for_its_owner_alone() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a");
        SpoolPath::At(path.clone()).open().unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        replace(&path.join("x"), b"1").unwrap();
        assert_eq!(fs::metadata(path.join("x")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path.join("x")).unwrap().unwrap(), b"1");
        assert_eq!(read(&path.join("y")).unwrap(), None);
        let mistyped = above.path().join("typo/state");
        let error = SpoolPath::At(mistyped).open().unwrap_err();
        assert!(
            error.ends_with(&format!("there is no directory '{}'", above.path().join("typo").display())),
            "{error}"
        );
    }

    #[test]
    fn a_file_is_no_directory_and_a_link_is_not_followed() {
        let above = tempfile::tempdir().unwrap();
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(SpoolPath::At(file.clone()).open().unwrap_err().ends_with("it is not a directory"));
        let below = SpoolPath::At(file.join("a")).open().unwrap_err();
        assert!(below.ends_with(&format!("'{}' is not a directory", file.display())), "{below}");
        let link = above.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(read(&link).unwrap_err().to_string().contains("a symbolic link, which is not followed"));
    }
}

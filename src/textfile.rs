//! Finds and reads the metrics files of a command. They are whatever a job left there, so nothing here waits for a writer,
//! reads more than it was told to, or trusts that what was there a moment ago is still the same.

mod arguments;
mod said;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use crate::exposition::{Diagnostic, Source};
use crate::files::reason;

pub use arguments::gather;
pub use said::say_findings;

/// How many bytes are read of all files together, if nothing else is said: 64 MiB.
pub const DEFAULT_LIMIT: u64 = 64 << 20;

/// How many files are read of a directory or a pattern.
const MAX_FILES: usize = 10_000;

/// Where the command's metrics are.
#[derive(Debug)]
pub enum Textfile {
    /// In a file of our own, whose path the command gets.
    Private(Private),
    /// In files that the user named: files, directories (of `*.prom`) and patterns.
    Named(Vec<PathBuf>),
    /// In directories and patterns that the user named, which give the command no path to write to, and in a file of our own.
    Both(Private, Vec<PathBuf>),
}

/// Whether the writer of a file had the time to finish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// It ended by itself.
    Done,
    /// It still runs, or was killed: a last line without a line end is perhaps half a line.
    Interrupted,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files that could be read.
    pub sources: Vec<Source<'static>>,
    /// The others: one finding each.
    pub problems: Vec<Diagnostic>,
}

impl Textfile {
    /// The path for `PUSHWRAP_TEXTFILE`: the private file, or the first named path that is neither a directory nor a
    /// pattern.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Private(private) | Self::Both(private, _) => Some(&private.file),
            Self::Named(paths) => paths.iter().map(PathBuf::as_path).find(|path| !path.is_dir() && !is_pattern(path)),
        }
    }

    /// Reads the files as they are now, opened by their paths: a writer may have renamed another file over them. At most
    /// `limit` bytes are read of all together. A named file that is not there is a problem; a private one was not used.
    #[must_use]
    pub fn collect(&self, limit: u64, writer: Writer) -> Found {
        self.read(limit, writer, |name, limit| {
            let Diagnostic { reason, .. } = too_large(name, limit);
            Diagnostic::of_file(name, reason + " of all metrics files together")
                .with_help("--textfile-max raises the limit")
        })
    }

    /// The same; `too_large` says of a file, by its name and the limit, that it is.
    fn read(&self, limit: u64, writer: Writer, too_large: fn(&str, u64) -> Diagnostic) -> Found {
        let (seen, found) = (HashSet::new(), Found::default());
        let mut reader = Reader { limit, left: limit, writer, too_large, seen, found };
        let (private, named): (Option<&Private>, &[PathBuf]) = match self {
            Self::Private(private) => (Some(private), &[]),
            Self::Named(paths) => (None, paths),
            Self::Both(private, paths) => (Some(private), paths),
        };
        if let Some(private) = private.filter(|private| private.file.symlink_metadata().is_ok()) {
            reader.file(&private.file, "$PUSHWRAP_TEXTFILE");
        }
        for path in named {
            reader.named(path);
        }
        reader.found
    }
}

/// A file for one command to write: mode 0600 in a directory of mode 0700, removed when this is dropped.
#[derive(Debug)]
pub struct Private {
    directory: PathBuf,
    file: PathBuf,
}

impl Private {
    /// Creates it below the first of `$TMPDIR`, `/tmp`, `/dev/shm` and `/run` where that works.
    ///
    /// # Errors
    /// One sentence that says why it worked nowhere.
    pub fn create(tmpdir: Option<OsString>) -> Result<Self, String> {
        let tmpdir = tmpdir.filter(|path| !path.is_empty()).map(PathBuf::from);
        let places = tmpdir.into_iter().chain(["/tmp", "/dev/shm", "/run"].map(PathBuf::from));
        Self::create_below(places)
    }

    fn create_below(places: impl Iterator<Item = PathBuf>) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for place in places {
            match Self::create_in(&place) {
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
            let directory = place.join(format!("pushwrap.{:016x}", fastrand::u64(..)));
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            }
            let private = Self { file: directory.join("metrics.prom"), directory };
            // The umask may have taken bits away; nothing else has seen the directory yet.
            fs::set_permissions(&private.directory, Permissions::from_mode(0o700))?;
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&private.file)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            return Ok(private);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Nothing can be done, and nobody is to be told, if the command took it away or filled it with other things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Reads files one after the other, within one limit.
struct Reader {
    limit: u64,
    left: u64,
    writer: Writer,
    too_large: fn(&str, u64) -> Diagnostic,
    /// Device and inode of the files that were read, so that two patterns do not give one file twice.
    seen: HashSet<(u64, u64)>,
    found: Found,
}

/// Why a file is not read.
enum Refusal {
    Failed(io::Error),
    NotAFile(&'static str),
    TooLarge,
    Again,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    /// A path as the user gave it.
    fn named(&mut self, path: &Path) {
        let pattern = path.to_str().filter(|_| is_pattern(path));
        match pattern.map(glob::glob) {
            None => self.file_or_directory(path),
            Some(Err(error)) => self.problem(path, &format!("this is no pattern: {}", error.msg)),
            Some(Ok(paths)) => self.pattern(path, paths),
        }
    }

    fn pattern(&mut self, path: &Path, matches: glob::Paths) {
        let mut count = 0;
        for found in matches {
            count += 1;
            if count > MAX_FILES {
                return self.problem(path, &format!("more than {MAX_FILES} files; the rest is left out"));
            }
            match found {
                Ok(file) => self.file_or_directory(&file),
                Err(error) => self.problem(error.path(), &reason(error.error())),
            }
        }
        if count == 0 {
            self.problem(path, "no file has such a name");
        }
    }

    fn file_or_directory(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.file(path, &path.to_string_lossy());
        }
        let files = fs::read_dir(path).and_then(|entries| {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            // As node_exporter's textfile collector: this ending exactly, hidden files too, not recursive.
            let files = paths.filter(|path| path.as_ref().map_or(true, |path| is_prom(path)));
            files.take(MAX_FILES + 1).collect::<io::Result<Vec<_>>>()
        });
        match files {
            Err(error) => self.problem(path, &format!("cannot read the directory: {}", reason(&error))),
            Ok(files) if files.len() > MAX_FILES => self.problem(path, &format!("more than {MAX_FILES} files")),
            Ok(mut files) => {
                files.sort();
                for file in &files {
                    self.file(file, &file.to_string_lossy());
                }
            }
        }
    }

    fn problem(&mut self, path: &Path, reason: &str) {
        self.found.problems.push(Diagnostic::of_file(path.to_string_lossy(), reason));
    }

    /// Reads one file, called `name` in messages.
    fn file(&mut self, path: &Path, name: &str) {
        let problem = match self.read(path) {
            Ok((bytes, writer)) => {
                self.left -= bytes.len() as u64;
                let source = Source::new(name, bytes);
                return self.found.sources.push(if writer == Writer::Done { source } else { source.unfinished() });
            }
            Err(Refusal::Again) => return,
            Err(Refusal::TooLarge) => (self.too_large)(name, self.limit),
            Err(Refusal::NotAFile(what)) => {
                Diagnostic::of_file(name, format!("this is {what}, not a metrics file; nothing is read of it"))
            }
            Err(Refusal::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {
                Diagnostic::of_file(name, "there is no such file")
            }
            Err(Refusal::Failed(error)) => Diagnostic::of_file(name, format!("cannot read it: {}", reason(&error))),
        };
        self.found.problems.push(problem);
    }

    fn read(&mut self, path: &Path) -> Result<(Vec<u8>, Writer), Refusal> {
        // Looked at before it is opened, because to open a device can do something.
        check_kind(&fs::metadata(path)?)?;
        // And without waiting, because by now it can be a FIFO.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let before = file.metadata()?;
        check_kind(&before)?;
        if !self.seen.insert((before.dev(), before.ino())) {
            return Err(Refusal::Again);
        }
        if before.len() > self.left {
            return Err(Refusal::TooLarge);
        }
        let mut bytes = Vec::new();
        // An allocation that fails would end the process, and with it the report: a sparse file can claim any size.
        bytes.try_reserve(usize::try_from(before.len()).unwrap_or(usize::MAX)).map_err(io::Error::from)?;
        (&mut file).take(self.left.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.left {
            return Err(Refusal::TooLarge);
        }
        let is_growing = grew(&file, &before);
        Ok((bytes, if is_growing { Writer::Interrupted } else { self.writer }))
    }
}

/// Whether somebody wrote to the file while it was read; the sizes of the kernel's own files (`/proc`) mean nothing.
fn grew(file: &File, before: &fs::Metadata) -> bool {
    before.len() > 0 && file.metadata().is_ok_and(|after| after.len() != before.len())
}

fn check_kind(metadata: &fs::Metadata) -> Result<(), Refusal> {
    let kind = metadata.file_type();
    Err(Refusal::NotAFile(if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

fn is_prom(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b".prom")
}

/// Whether a path is to be matched: it has a wildcard, and nothing has this very name.
fn is_pattern(path: &Path) -> bool {
    let has_wildcard = path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    has_wildcard && path.symlink_metadata().is_err()
}

fn too_large(name: &str, limit: u64) -> Diagnostic {
    let limit = match limit {
        bytes if bytes > 0 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    };
    Diagnostic::of_file(name, format!("too large: at most {limit} are read"))
}

#[cfg(test)]
mod tests;

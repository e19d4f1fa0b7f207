//! Reads metrics files one after the other, within one limit and the memory that is left.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};

use super::contents::{TextfileContents, WriterState};
use super::memory::MemoryBudget;
use crate::exposition::{Diagnostic, Source};
use crate::files::{Bounded, read_bounded, reason};

/// How many bytes are read of all files together, if nothing else is said: 8 MiB.
pub const DEFAULT_LIMIT: u64 = 8 << 20;

/// How many files are read of a directory or a pattern.
const MAX_FILES: usize = 10_000;

/// How metrics files are read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// At most this is read of all files together, in bytes.
    pub max_bytes: u64,
    /// Tells the memory that reading, parsing and encoding may take, in bytes; `None` where no limit holds. Called when there is
    /// something to read.
    pub memory_bytes: fn() -> Option<u64>,
    /// Whether the writer of the files is done.
    pub writer: WriterState,
    /// When the run began that the files are of, to tell those that it did not write.
    pub started: Option<SystemTime>,
}

impl ReadOptions {
    fn too_large(self, name: &str) -> Diagnostic {
        let problem = too_large(name, self.max_bytes);
        if self.started.is_none() {
            return problem;
        }
        Diagnostic::of_file(name, problem.reason + " of all metrics files together")
            .with_help("--textfile-max raises the limit")
    }
}

/// Reads files one after the other, within one limit.
#[derive(Debug)]
pub(super) struct Reader {
    options: ReadOptions,
    left: u64,
    memory: MemoryBudget,
    /// Device and inode of the files that were read, so that two patterns do not give one file twice.
    seen: HashSet<(u64, u64)>,
    found: TextfileContents,
}

/// Why a file is not read.
enum ReadRefusal {
    Failed(io::Error),
    NotAFile(&'static str),
    TooLarge,
    NoMemory,
    Again,
}

impl From<io::Error> for ReadRefusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The contents of one file.
struct FileRead {
    bytes: Vec<u8>,
    metadata: Metadata,
    has_grown: bool,
}

impl Reader {
    pub(super) fn new(options: ReadOptions) -> Self {
        let memory = MemoryBudget::new(options.memory_bytes);
        Self { left: options.max_bytes, memory, options, seen: HashSet::new(), found: TextfileContents::default() }
    }

    pub(super) fn finish(self) -> TextfileContents {
        self.found
    }

    pub(super) fn problem(&mut self, problem: Diagnostic) {
        self.found.problems.push(problem);
    }

    /// A path as the user gave it.
    pub(super) fn named(&mut self, path: &Path) {
        let pattern = path.to_str().filter(|_| is_pattern(path));
        match pattern.map(glob::glob) {
            None => self.file_or_directory(path),
            Some(Err(error)) => self.path_problem(path, &format!("this is no pattern: {}", error.msg)),
            Some(Ok(paths)) => self.pattern(path, paths),
        }
    }

    fn pattern(&mut self, path: &Path, matches: glob::Paths) {
        let mut count = 0;
        for found in matches {
            count += 1;
            if count > MAX_FILES {
                return self.path_problem(path, &format!("more than {MAX_FILES} files; the rest is left out"));
            }
            match found {
                Ok(file) => self.file_or_directory(&file),
                Err(error) => self.path_problem(error.path(), &reason(error.error())),
            }
        }
        if count == 0 {
            self.path_problem(path, "no file has such a name");
        }
    }

    fn file_or_directory(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.named_file(path);
        }
        for name in self.prom_files(path) {
            self.named_file(&path.join(name));
        }
    }

    /// The names of the metrics files in a directory, in their order. As node_exporter's textfile collector: `.prom` exactly,
    /// hidden files too, not recursive.
    pub(super) fn prom_files(&mut self, directory: &Path) -> Vec<OsString> {
        let files = fs::read_dir(directory).and_then(|entries| {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            let files = names.filter(|name| name.as_ref().map_or(true, |name| is_prom(name)));
            files.take(MAX_FILES + 1).collect::<io::Result<Vec<_>>>()
        });
        match files {
            Err(error) => self.path_problem(directory, &format!("cannot read the directory: {}", reason(&error))),
            Ok(files) if files.len() > MAX_FILES => {
                self.path_problem(directory, &format!("more than {MAX_FILES} files"));
            }
            Ok(mut files) => {
                files.sort();
                return files;
            }
        }
        Vec::new()
    }

    fn path_problem(&mut self, path: &Path, reason: &str) {
        self.problem(Diagnostic::of_file(path.to_string_lossy(), reason));
    }

    fn named_file(&mut self, path: &Path) {
        let name = path.to_string_lossy();
        if let Some((written, _)) = self.file(AT_FDCWD, path, &name) {
            self.found.note_written(written);
            if let Some(started) = self.options.started {
                self.found.note_stale(&name, (written, started));
            }
        }
    }

    /// Reads a file of the private directory. One that is not there, or that the command has not written, was not used.
    pub(super) fn private_file(&mut self, directory: &File, path: &Path, name: &str) {
        let problems = self.found.problems.len();
        let read = self.file(directory.as_fd(), path, name);
        if let Some((written, _)) = read.filter(|(_, bytes)| *bytes > 0) {
            self.found.note_written(written);
        }
        let has_problems = self.found.problems.len() > problems;
        if has_problems && fstatat(directory, path, AtFlags::AT_SYMLINK_NOFOLLOW).is_err() {
            self.found.problems.truncate(problems);
        }
    }

    /// Reads one file, called `name` in messages. When it was last written, and its size in bytes; `None` where it is not read.
    fn file(&mut self, directory: BorrowedFd<'_>, path: &Path, name: &str) -> Option<(SystemTime, usize)> {
        let refusal = match self.read(directory, path) {
            Ok(read) => return self.add(read, name),
            Err(refusal) => refusal,
        };
        let problem = match refusal {
            ReadRefusal::Again => return None,
            // The report of a run that is over tells of it.
            ReadRefusal::TooLarge | ReadRefusal::NoMemory if self.options.writer == WriterState::Running => {
                return None;
            }
            ReadRefusal::TooLarge => self.options.too_large(name),
            ReadRefusal::NoMemory => {
                Diagnostic::of_file(name, "too large: the memory limit leaves no room for it; nothing is read of it")
            }
            ReadRefusal::NotAFile(what) => {
                Diagnostic::of_file(name, format!("this is {what}, not a metrics file; nothing is read of it"))
            }
            ReadRefusal::Failed(error) if error.kind() == io::ErrorKind::NotFound => {
                Diagnostic::of_file(name, "there is no such file")
            }
            ReadRefusal::Failed(error) => Diagnostic::of_file(name, format!("cannot read it: {}", reason(&error))),
        };
        self.problem(problem);
        None
    }

    fn add(&mut self, read: FileRead, name: &str) -> Option<(SystemTime, usize)> {
        let FileRead { mut bytes, metadata, has_grown } = read;
        self.left -= bytes.len() as u64;
        let is_over = self.options.writer != WriterState::Running;
        if has_grown && is_over {
            // The last line may be half a line; that is a part of this one problem.
            bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1));
            let what = "it grew while it was read: only the lines that were there are pushed";
            self.problem(Diagnostic::of_file(name, what));
        }
        let length = bytes.len();
        let source = Source::new(name, bytes);
        let is_finished = has_grown || self.options.writer == WriterState::Finished;
        self.found.sources.push(if is_finished && is_over { source } else { source.unfinished() });
        metadata.modified().ok().filter(|_| metadata.is_file()).map(|written| (written, length))
    }

    fn read(&mut self, directory: BorrowedFd<'_>, path: &Path) -> Result<FileRead, ReadRefusal> {
        // Looked at before it is opened, because to open a device can do something.
        let open = |flags| openat(directory, path, flags | OFlag::O_CLOEXEC, Mode::empty()).map_err(io::Error::from);
        check_kind(&File::from(open(OFlag::O_PATH)?).metadata()?)?;
        // And without waiting, because by now it can be a FIFO.
        let mut file = File::from(open(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        let before = file.metadata()?;
        check_kind(&before)?;
        if !self.seen.insert((before.dev(), before.ino())) {
            return Err(ReadRefusal::Again);
        }
        if before.len() <= self.left && !self.memory.has_room_for(before.len()) {
            return Err(ReadRefusal::NoMemory);
        }
        let Bounded::Complete(bytes) = read_bounded(&mut file, before.len(), self.left)? else {
            return Err(ReadRefusal::TooLarge);
        };
        if !self.memory.take(&bytes) {
            return Err(ReadRefusal::NoMemory);
        }
        let has_grown = has_grown(&file, &before);
        Ok(FileRead { bytes, metadata: before, has_grown })
    }
}

/// Whether a process wrote to the file while it was read; the sizes of the kernel's own files (`/proc`) mean nothing.
fn has_grown(file: &File, before: &Metadata) -> bool {
    before.is_file() && before.len() > 0 && file.metadata().is_ok_and(|after| after.len() != before.len())
}

fn check_kind(metadata: &Metadata) -> Result<(), ReadRefusal> {
    let kind = metadata.file_type();
    Err(ReadRefusal::NotAFile(if kind.is_file() || is_null_device(metadata) {
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

/// `/dev/null`, by whatever name: character device 1, 3 (null(4)).
fn is_null_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 3)
}

fn is_prom(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".prom")
}

/// Whether a path has a wildcard.
pub(super) fn has_wildcard(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether a path is to be matched: it has a wildcard, and nothing has this very name.
pub(super) fn is_pattern(path: &Path) -> bool {
    has_wildcard(path) && path.symlink_metadata().is_err()
}

/// The problem of a file that has more than `limit` bytes.
pub(super) fn too_large(name: &str, limit: u64) -> Diagnostic {
    let limit = match limit {
        bytes if bytes > 0 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    };
    Diagnostic::of_file(name, format!("too large: at most {limit} are read"))
}

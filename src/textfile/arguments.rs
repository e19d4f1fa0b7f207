//! Metrics files as they are named on the command line of `push` and `check`: standard input and pipes among them, which a
//! person waits for, as with cat(1). The files of a run are never waited for.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::contents::{TextfileContents, WriterState};
use super::reader::{ReadOptions, Reader, too_large};
use crate::exposition::{Diagnostic, Source};
use crate::files::reason;

/// How many bytes are read of one of them: 64 MiB, far more than a gateway should have to hold.
const LIMIT: u64 = 64 << 20;
/// The name of standard input in messages.
const STDIN: &str = "<stdin>";

/// Reads the files; `-` is standard input. A FIFO without a writer is waited for, no longer than `patience` where there is
/// one.
#[must_use]
pub fn gather(files: &[PathBuf], patience: Option<Duration>) -> TextfileContents {
    let mut all = TextfileContents::default();
    for file in files {
        let name = file.to_string_lossy();
        let read = match &*name {
            "-" => Some((STDIN, read_to_end(io::stdin().lock(), Vec::new()))),
            path if is_pipe(file) => Some((path, read_pipe(file, patience))),
            _ => None,
        };
        let mut found = match read {
            Some((name, bytes)) => in_memory(name, bytes),
            None => read_named(file),
        };
        // Of a run an empty directory means that there are no metrics; here somebody meant what is not there.
        if found.sources.is_empty() && found.problems.is_empty() {
            found.problems.push(Diagnostic::of_file(&*name, "the directory holds no *.prom file"));
        }
        all.sources.extend(found.sources);
        all.problems.extend(found.problems);
    }
    all
}

fn read_named(file: &Path) -> TextfileContents {
    let writer = WriterState::Finished;
    let mut reader = Reader::new(ReadOptions { max_bytes: LIMIT, memory_bytes: || None, writer, started: None });
    reader.named(file);
    reader.finish()
}

fn in_memory(name: &str, bytes: io::Result<Vec<u8>>) -> TextfileContents {
    let problem = match bytes {
        Ok(bytes) if bytes.len() as u64 > LIMIT => too_large(name, LIMIT),
        Ok(bytes) => {
            return TextfileContents { sources: vec![Source::new(name, bytes)], ..TextfileContents::default() };
        }
        Err(error) => Diagnostic::of_file(name, format!("cannot read it: {}", reason(&error))),
    };
    TextfileContents { problems: vec![problem], ..TextfileContents::default() }
}

/// Also what a shell makes of `<(COMMAND)`, which is a path such as `/dev/fd/63`.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn read_pipe(path: &Path, patience: Option<Duration>) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let timeout = patience.map_or(PollTimeout::NONE, |patience| patience.try_into().unwrap_or(PollTimeout::MAX));
    let mut first = [0];
    // A FIFO without a writer reads as ended (fifo(7)); a writer that takes its time does not.
    let begun = if poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout)? > 0 {
        0
    } else {
        match file.read(&mut first) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it is a FIFO that nobody writes to")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            read => read?,
        }
    };
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    read_to_end(file, first.into_iter().take(begun).collect())
}

/// Reads on, but no more than one byte beyond the limit.
fn read_to_end(input: impl Read, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    input.take(LIMIT.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! Messages on standard error. Standard output belongs to the command: no byte of ours goes there while
//! a command runs.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::text::{escape_controls, redact_urls};

/// Which messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Volume {
    /// `-q`: nothing, not even that a push failed.
    Quiet,
    /// Only what went wrong.
    #[default]
    Normal,
    /// `-v`: what was done, one line each.
    Verbose,
    /// `-vv`: every attempt as well.
    Debug,
}

/// Writes messages to standard error, as many as the volume allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console(pub Volume);

impl Console {
    /// Prints a warning; nothing with `-q`.
    pub fn warn(self, message: impl Display) {
        if self.0 > Volume::Quiet {
            say(message);
        }
    }

    /// Prints a message about a finished step; only with `-v`.
    pub fn info(self, message: impl Display) {
        if self.0 >= Volume::Verbose {
            say(message);
        }
    }

    /// Prints a message about an attempt; only with `-vv`, and only then is it made.
    pub fn debug<D: Display>(self, message: impl FnOnce() -> D) {
        if self.0 >= Volume::Debug {
            say(message());
        }
    }
}

/// Whether text may be coloured: for terminals that show it, unless somebody wants none (<https://no-color.org>).
#[must_use]
pub fn shows_colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// What a pipe takes without blocking once poll(2) calls it writable (`PIPE_BUF`, pipe(7)).
const CHUNK_BYTES: usize = 4096;
/// How long all that is said may wait together for a reader of our standard error, in milliseconds. What comes after that is
/// dropped unless it can be written at once: nothing that pushwrap says may hold up a signal, a time limit or the end.
const PATIENCE_MS: u16 = 1000;

/// What is left of [`PATIENCE_MS`].
static PATIENCE_LEFT_MS: AtomicU16 = AtomicU16::new(PATIENCE_MS);

/// Says one line on standard error, as `pushwrap: LINE`. A message of several lines gets the prefix on each of them.
/// Control characters are escaped: server answers and file contents must not reach the terminal as commands. An address loses
/// its user, wherever it came from: somebody may have written it where a file or a command is expected.
pub fn say(message: impl Display) {
    let mut text = String::new();
    for line in message.to_string().lines() {
        let _ = writeln!(text, "pushwrap: {}", escape_controls(&redact_urls(line)));
    }
    write_stderr(text.as_bytes());
}

/// Writes bytes to standard error as they are. Errors are ignored and a reader that stands still is given up: nothing that
/// pushwrap has to say is worth hanging the job for.
pub fn write_stderr(mut bytes: &[u8]) {
    let stderr = std::io::stderr();
    while !bytes.is_empty() {
        if !is_writable(stderr.as_fd()) {
            return;
        }
        let chunk = bytes.get(..CHUNK_BYTES).unwrap_or(bytes);
        match stderr.lock().write(chunk) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Writes the command's metrics to standard error. On a terminal control characters but for line ends and tabs are escaped, because
/// the terminal would obey them; elsewhere the bytes stay what a gateway gets.
pub fn write_metrics(text: &[u8]) {
    if !std::io::stderr().is_terminal() {
        return write_stderr(text);
    }
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let (line, end) = line.strip_suffix('\n').map_or((&*line, ""), |line| (line, "\n"));
        let escaped = line.split('\t').map(escape_controls).collect::<Vec<_>>().join("\t");
        write_stderr(format!("{escaped}{end}").as_bytes());
    }
}

fn is_writable(stream: BorrowedFd<'_>) -> bool {
    let mut streams = [PollFd::new(stream, PollFlags::POLLOUT)];
    let start = Instant::now();
    let left = PATIENCE_LEFT_MS.load(Ordering::Relaxed);
    let is_ready = poll(&mut streams, PollTimeout::from(left)).is_ok_and(|ready| ready > 0);
    let waited = u16::try_from(start.elapsed().as_millis()).unwrap_or(u16::MAX);
    let _ =
        PATIENCE_LEFT_MS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(waited)));
    is_ready
}

//! What pushwrap says on standard error, and how. Standard output belongs to the command: no byte of ours goes there while
//! a command runs.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much is said.
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

/// Says things as loud as it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice(pub Volume);

impl Voice {
    /// What the user has to know, unless nothing is to be said at all.
    pub fn trouble(self, message: impl Display) {
        if self.0 > Volume::Quiet {
            say(message);
        }
    }

    /// What was done, for who asked to be told.
    pub fn note(self, message: impl Display) {
        if self.0 >= Volume::Verbose {
            say(message);
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
/// How long a reader of our standard error may stand still before the rest is dropped, in milliseconds.
const PATIENCE_MS: u16 = 1000;

/// Says one line on standard error, as `pushwrap: LINE`. A message of several lines gets the prefix on each of them.
/// Control characters are escaped: server answers and file contents must not reach the terminal as commands. A URL loses its
/// user, wherever it came from: somebody may have written it where a file or a command is expected.
pub fn say(message: impl Display) {
    let mut text = String::new();
    for line in message.to_string().lines() {
        let words: Vec<String> = line.split(' ').map(without_secret).collect();
        let _ = writeln!(text, "pushwrap: {}", printable(&words.join(" ")));
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

fn is_writable(stream: BorrowedFd<'_>) -> bool {
    let mut streams = [PollFd::new(stream, PollFlags::POLLOUT)];
    poll(&mut streams, PollTimeout::from(PATIENCE_MS)).is_ok_and(|ready| ready > 0)
}

/// The text with control characters escaped as in a string literal.
#[must_use]
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, character| {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        out
    })
}

/// A URL, or what should be one, without user and password. A password may hold an unescaped `/` or `@`, so everything up to
/// the last `@` goes, but for that of a grouping key (`job@base64/YQ==`).
#[must_use]
pub fn without_user(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, url),
    };
    let ends_user = |before: &str, after: &str| !(before.contains('/') && after.starts_with("base64/"));
    let parts = rest.rmatch_indices('@').filter_map(|(at, _)| Some((rest.get(..at)?, rest.get(at + 1..)?)));
    let address = parts.into_iter().find(|(before, after)| ends_user(before, after)).map_or(rest, |(_, after)| after);
    scheme.map_or_else(|| address.to_owned(), |scheme| format!("{scheme}://{address}"))
}

fn without_secret(word: &str) -> String {
    let Some(end) = word.find("://") else { return word.to_owned() };
    let before = word.get(..end).unwrap_or_default();
    let start = before.rfind(|character: char| !character.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    // What stands before the scheme is a quotation mark, as a rule.
    match (word.get(..start), word.get(start..)) {
        (Some(before), Some(url)) => format!("{before}{}", without_user(url)),
        _ => without_user(word),
    }
}

/// A duration with two units at most: `2d 1h`, `1h 5m`, `1m 3s`, `1.25s`, `2.7ms`.
#[must_use]
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{:.1}ms", duration.as_secs_f64() * 1000.0),
        1..60 => format!("{:.2}s", duration.as_secs_f64()),
        60..3600 => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
        3600..172_800 => humantime::format_duration(Duration::from_mins(duration.as_secs() / 60)).to_string(),
        seconds => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, printable, span, without_secret, without_user};

    #[test]
    fn durations_have_two_units() {
        assert_eq!(span(Duration::from_micros(1234)), "1.2ms");
        assert_eq!(span(Duration::from_millis(1250)), "1.25s");
        assert_eq!(span(Duration::from_millis(63_500)), "1m 3s");
        assert_eq!(span(Duration::from_secs(3_963)), "1h 6m");
        assert_eq!(span(Duration::from_hours(49)), "2d 1h");
    }

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(printable("ä \u{1b}[31m\u{7}"), "ä \\u{1b}[31m\\u{7}");
        assert_eq!(printable("plain"), "plain");
    }

    #[test]
    fn no_user_info_is_shown() {
        for (url, shown) in [
            ("http://u:p@ss@gw:99999/x", "http://gw:99999/x"),
            ("http://u:p/ss@gw/", "http://gw/"),
            ("u:p@gw", "gw"),
            ("u:p://ss@gw", "gw"),
            ("http://u:p@gw/metrics/job/a@gw", "http://gw"),
            ("http://gw/metrics/job@base64/YQ==", "http://gw/metrics/job@base64/YQ=="),
            ("http://u:p@base64/", "http://base64/"),
            ("gw:9091", "gw:9091"),
        ] {
            assert_eq!(without_user(url), shown);
        }
        assert_eq!(without_secret("'http://u:p@gw/x':"), "'http://gw/x':");
        assert_eq!(without_secret("--url=https://u:p/@gw"), "--url=https://gw");
        assert_eq!(without_secret("me@example.org"), "me@example.org");
    }
}

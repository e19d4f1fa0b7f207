//! What pushwrap says on standard error, and how. Standard output belongs to the command: no byte of ours goes there while
//! a command runs.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

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

/// Writes messages to standard error, as many as the volume allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console(pub Volume);

impl Console {
    /// Says what the user has to know; nothing with `-q`.
    pub fn warn(self, message: impl Display) {
        if self.0 > Volume::Quiet {
            say(message);
        }
    }

    /// Says what was done; only with `-v`.
    pub fn info(self, message: impl Display) {
        if self.0 >= Volume::Verbose {
            say(message);
        }
    }

    /// Says what was tried; only with `-vv`. The message is made where it is said.
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
        let _ = writeln!(text, "pushwrap: {}", printable(&without_secrets(line)));
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
    let start = Instant::now();
    let left = PATIENCE_LEFT_MS.load(Ordering::Relaxed);
    let is_ready = poll(&mut streams, PollTimeout::from(left)).is_ok_and(|ready| ready > 0);
    let waited = u16::try_from(start.elapsed().as_millis()).unwrap_or(u16::MAX);
    let _ =
        PATIENCE_LEFT_MS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(waited)));
    is_ready
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

/// A URL, or what should be one, without user and password.
#[must_use]
pub fn without_user(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => format!("{scheme}://{}", address(rest)),
        _ => behind_user(url).to_owned(),
    }
}

/// A URL behind its scheme, without the user if it has one. What stands before the path is `[USER[:PASSWORD]@]HOST[:PORT]` (RFC
/// 3986, section 3.2); where the port is none, it is the beginning of a password with an unescaped `/`.
fn address(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = |(host, port): (&str, &str)| host.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = !authority.contains('@') && authority.rsplit_once(':').is_none_or(has_port);
    if is_plain { rest } else { behind_user(rest) }
}

/// What follows the last `@`, because a password may hold one; but for that of a grouping key (`job@base64/YQ==`).
fn behind_user(rest: &str) -> &str {
    let ends_user = |before: &str, after: &str| !(before.contains('/') && after.starts_with("base64/"));
    let parts = rest.rmatch_indices('@').filter_map(|(at, _)| Some((rest.get(..at)?, rest.get(at + 1..)?)));
    parts.into_iter().find(|(before, after)| ends_user(before, after)).map_or(rest, |(_, after)| after)
}

/// A line with every address in it without its user: `http://USER:PASSWORD@HOST`, as far as its quotation marks reach, and
/// texts such as `USER:PASSWORD@HOST`.
fn without_secrets(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let is_quoted = before[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric()).ends_with('\'');
        let end = if is_quoted { after.find('\'') } else { after.find(char::is_whitespace) };
        let (url, behind) = after.split_at(end.unwrap_or(after.len()));
        shown.push_str(&without_users(before));
        shown.push_str(address(url));
        rest = behind;
    }
    shown + &without_users(rest)
}

/// Words such as `USER:PASSWORD@HOST` without what stands before the `@`.
fn without_users(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_start_matches(['\'', '"', '(']);
        let is_user = |(before, host): (&str, &str)| {
            before.contains(':') && !before.contains(['/', '=', '{']) && !host.is_empty()
        };
        let quote = &word[..word.len() - bare.len()];
        let shown = if bare.rsplit_once('@').is_some_and(is_user) { behind_user(bare) } else { bare };
        quote.to_owned() + shown
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
    use super::{Duration, printable, span, without_secrets, without_user};

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
        for (line, shown) in [
            ("'http://u:p@gw/x': no", "'http://gw/x': no"),
            ("--url=https://u:p/@gw", "--url=https://gw"),
            ("'http://me:s3 cret@gw' is wrong", "'http://gw' is wrong"),
            ("argument 'me:s3cret@gw:9091' found", "argument 'gw:9091' found"),
            (
                "to 'https://sso.example/login?user=me@x&rd=/' (302)",
                "to 'https://sso.example/login?user=me@x&rd=/' (302)",
            ),
            ("label=\"https://example.org/@me/p\" and", "label=\"https://example.org/@me/p\" and"),
            ("http://[::1]:9091/metrics/job@base64/YQ==", "http://[::1]:9091/metrics/job@base64/YQ=="),
            ("write USER:PASSWORD@ before", "write USER:PASSWORD@ before"),
            ("{job=\"a:b@c\"} at me@example.org", "{job=\"a:b@c\"} at me@example.org"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}

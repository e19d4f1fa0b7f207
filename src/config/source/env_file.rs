//! The env file: `PUSHWRAP_` variables, one `KEY=VALUE` a line, in one format for cron, systemd's `EnvironmentFile`, docker's
//! `--env-file` and a `ConfigMap`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::in_time::{PATIENCE, in_time};
use crate::files::{Links, open_regular};

/// Where the env file is looked for when nothing names one.
pub const DEFAULT_ENV_FILE: &str = "/etc/default/pushwrap";
/// A line longer than this is no setting; what follows is skipped without being kept in memory, because the command's
/// peak RSS starts at ours.
const LONGEST_LINE_BYTES: u64 = 64 * 1024;
/// How many lines that are no settings are said; a file that is something else has thousands.
const MISTAKES: usize = 3;

/// The settings of an env file.
#[derive(Debug, Default)]
pub(crate) struct EnvFile {
    /// Values and their lines, by name.
    pub(crate) settings: HashMap<String, (OsString, usize)>,
    /// The file.
    pub(super) path: PathBuf,
    /// What is wrong with lines of the file, the first ones, and how many there are.
    mistakes: Vec<String>,
    wrong_lines: usize,
    /// The other users who can write the file.
    exposure: Option<String>,
}

impl EnvFile {
    /// Reads a file that somebody named, and waits for its file system no longer than the start of a command may wait.
    ///
    /// # Errors
    /// When it cannot be read in time, is UTF-16, or everybody can write it.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let named = path.to_owned();
        let hung = || io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer");
        in_time(PATIENCE, move || Self::parse(&named, open_regular(&named, Links::Follow)?))
            .unwrap_or_else(|| Err(hung()))
    }

    /// Reads [`DEFAULT_ENV_FILE`]. It lies where the C library's own configuration lies, which every command needs, so
    /// that it is read at once; but not where it is a link to somewhere else.
    ///
    /// # Errors
    /// As [`EnvFile::read`].
    pub(super) fn read_default() -> io::Result<Self> {
        let path = Path::new(DEFAULT_ENV_FILE);
        match open_regular(path, Links::Refuse) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Self::read(path),
            opened => Self::parse(path, opened?),
        }
    }

    fn parse(path: &Path, opened: File) -> io::Result<Self> {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        file.exposure = exposure(&opened.metadata()?, geteuid().as_raw())?;
        file.read_lines(BufReader::with_capacity(8 * 1024, opened))?;
        Ok(file)
    }

    /// The settings of a text.
    ///
    /// # Errors
    /// When it is UTF-16.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(text: &[u8]) -> io::Result<Self> {
        let mut file = Self::default();
        file.read_lines(text)?;
        Ok(file)
    }

    fn read_lines(&mut self, mut reader: impl io::BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if read as u64 == LONGEST_LINE_BYTES && line.last() != Some(&b'\n') {
                reader.skip_until(b'\n')?;
                self.mistake(number, "the line is longer than 64 KiB");
                continue;
            }
            if number == 1 && (line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff])) {
                let reason = "it is UTF-16, save it as UTF-8";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            let text = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| number == 1).unwrap_or(&line);
            match setting(text) {
                Ok(Some((name, value))) => drop(self.settings.insert(name, (OsString::from_vec(value), number))),
                Ok(None) => {}
                Err(reason) => self.mistake(number, reason),
            }
        }
        Ok(())
    }

    fn mistake(&mut self, number: usize, reason: &str) {
        self.wrong_lines += 1;
        if self.wrong_lines <= MISTAKES {
            self.mistakes.push(format!("{}:{number}: {reason}; it is left out", self.path.display()));
        }
    }

    /// Warnings about the file: the other users who can write it, and the lines that are no settings, without their text: it may be
    /// half of a password.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let rest = self.wrong_lines.saturating_sub(MISTAKES);
        let more = (rest > 0).then(|| format!("{}: {rest} more lines are left out", self.path.display()));
        let exposed = self.exposure.as_ref().map(|who| format!("{who} can change env file '{}'", self.path.display()));
        exposed.into_iter().chain(self.mistakes.iter().cloned()).chain(more)
    }
}

/// Who can change what a privileged run does, besides root: the owner or the group of the file. Other users have groups of
/// their own for this, where the umask is 002.
///
/// # Errors
/// Everybody can write the file: then it may send our credentials anywhere.
fn exposure(metadata: &fs::Metadata, user: u32) -> io::Result<Option<String>> {
    let mode = metadata.mode();
    if mode & 0o002 != 0 {
        let reason = "everybody can write it, take that away with chmod o-w";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(match (metadata.uid(), metadata.gid()) {
        _ if user != 0 => None,
        (owner, _) if owner != 0 => Some(format!("user {owner}")),
        (_, group) if group != 0 && mode & 0o020 != 0 => Some(format!("group {group}")),
        _ => None,
    })
}

/// One line of the env file: `KEY=VALUE`, quotes around the value taken off, `#` and `;` begin a comment (systemd.exec(5),
/// docker's `--env-file`). None for a comment and an empty line; the error says what was expected.
fn setting(line: &[u8]) -> Result<Option<(String, Vec<u8>)>, &'static str> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
        return Ok(None);
    }
    if line.contains(&0) {
        return Err("the line holds a NUL byte");
    }
    let mut parts = line.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return Err("expected KEY=VALUE") };
    if name.starts_with(b"export ") {
        return Err("expected KEY=VALUE without 'export'");
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match String::from_utf8(name.to_vec()) {
        Ok(name) if !name.is_empty() && name.bytes().all(|byte| is_word(&byte)) => {
            Ok(Some((name, unquoted(value).to_vec())))
        }
        _ => Err("expected KEY=VALUE, a KEY of letters, digits and '_'"),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::setting;

    fn value(line: &str) -> Option<(String, String)> {
        let setting = setting(line.as_bytes()).unwrap();
        setting.map(|(name, value)| (name, String::from_utf8(value).unwrap()))
    }

    #[test]
    fn lines_of_the_env_file() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(value("A=b\n"), pair("A", "b"));
        assert_eq!(value("A = b c \r\n"), pair("A", "b c"));
        assert_eq!(value("A=\"b c\"\n"), pair("A", "b c"));
        assert_eq!(value("A='b=\"c\"'"), pair("A", "b=\"c\""));
        assert_eq!(value("A='b"), pair("A", "'b"));
        assert_eq!(value("A=\""), pair("A", "\""));
        assert_eq!(value("A=b # no comment"), pair("A", "b # no comment"));
        assert_eq!(value("#A=b"), None);
        assert_eq!(value(" ; A=b"), None);
        assert_eq!(value(" \r\n"), None);
    }

    #[test]
    fn lines_that_are_no_settings() {
        for (line, expected) in [
            ("A\n", "expected KEY=VALUE"),
            ("export A=b\n", "without 'export'"),
            ("=b", "a KEY of letters"),
            ("A B=c", "a KEY of letters"),
            ("\u{e4}=c", "a KEY of letters"),
            ("A=b\0", "a NUL byte"),
        ] {
            let reason = setting(line.as_bytes()).unwrap_err();
            assert!(reason.contains(expected), "{line:?}: {reason}");
        }
    }
}

//! Where a value was given: on the command line, in the environment, in the env file. The precedence is in that order, and
//! the place decides what a mistake does: a flag is bad usage, while nobody's edit of a `ConfigMap` may stop a nightly job.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::files::{Links, open_regular};

/// Where the env file is looked for when nothing names one.
pub const DEFAULT_ENV_FILE: &str = "/etc/default/pushwrap";
/// A line longer than this is no setting; what follows is skipped without being kept in memory, because the command's
/// peak RSS starts at ours.
const LONGEST_LINE_BYTES: u64 = 64 * 1024;
/// How many lines that are no settings are said; a file that is something else has thousands.
const MISTAKES: usize = 3;

/// Where one value comes from; the lower one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// An option on the command line, `--url` for example.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A variable in the env file, with its line.
    EnvFile { variable: String, path: PathBuf, line: usize },
}

impl Origin {
    /// The precedence: 0 is the command line.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Variable(_) => 1,
            Self::EnvFile { .. } => 2,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "--{name}"),
            Self::Variable(name) => formatter.write_str(name),
            Self::EnvFile { variable, path, line } => write!(formatter, "{variable} ({}:{line})", path.display()),
        }
    }
}

/// One value and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) value: OsString,
    pub(super) origin: Origin,
}

/// The layers below the command line.
#[derive(Debug, Default)]
pub(super) struct Layers {
    environment: HashMap<String, OsString>,
    file: HashMap<String, (OsString, usize)>,
    path: PathBuf,
    /// What is wrong with lines of the file, the first ones, and how many there are.
    mistakes: Vec<String>,
    wrong_lines: usize,
}

impl Layers {
    /// The environment's `PUSHWRAP_` variables and no env file.
    pub(super) fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let environment = environment.into_iter().filter_map(ours).filter(|(name, _)| name.starts_with("PUSHWRAP_"));
        Self { environment: environment.collect(), ..Self::default() }
    }

    /// Reads the env file below the environment.
    ///
    /// # Errors
    /// When it cannot be read or is UTF-16; what was read before stays.
    pub(super) fn read_env_file(&mut self, path: &Path) -> std::io::Result<()> {
        path.clone_into(&mut self.path);
        let mut reader = BufReader::with_capacity(8 * 1024, open_regular(path, Links::Follow)?);
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
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
            }
            let text = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| number == 1).unwrap_or(&line);
            match setting(text) {
                Ok(Some((name, value))) => drop(self.file.insert(name, (OsString::from_vec(value), number))),
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

    /// The lines of the env file that are no settings, without their text: it may be half of a password.
    pub(super) fn mistakes(&self) -> impl Iterator<Item = String> {
        let rest = self.wrong_lines.saturating_sub(MISTAKES);
        let more = (rest > 0).then(|| format!("{}: {rest} more lines are left out", self.path.display()));
        self.mistakes.iter().cloned().chain(more)
    }

    /// The value of the option with this long name. An empty variable is unset.
    pub(super) fn get(&self, long: &'static str) -> Option<Given> {
        let name = variable(long);
        let from_environment = self.environment.get(&name).filter(|value| !value.is_empty());
        if let Some(value) = from_environment {
            return Some(Given { value: value.clone(), origin: Origin::Variable(name) });
        }
        let (value, line) = self.file.get(&name).filter(|(value, _)| !value.is_empty())?;
        let origin = Origin::EnvFile { variable: name, path: self.path.clone(), line: *line };
        Some(Given { value: value.clone(), origin })
    }

    /// The variables of the env file that are none of `options` (long names): misspelled ones.
    pub(super) fn unknown<'o>(&self, options: impl IntoIterator<Item = &'o str>) -> Vec<Origin> {
        let known: Vec<String> = options.into_iter().map(variable).collect();
        let mut unknown: Vec<(usize, &String)> = self
            .file
            .iter()
            .filter(|(name, _)| name.starts_with("PUSHWRAP_") && !known.contains(name))
            .map(|(name, (_, line))| (*line, name))
            .collect();
        unknown.sort_unstable();
        let origin =
            |(line, name): (usize, &String)| Origin::EnvFile { variable: name.clone(), path: self.path.clone(), line };
        unknown.into_iter().map(origin).collect()
    }
}

/// The environment variable of an option: `--push-timeout` is `PUSHWRAP_PUSH_TIMEOUT`.
#[must_use]
pub fn variable(long: &str) -> String {
    format!("PUSHWRAP_{}", long.to_ascii_uppercase().replace('-', "_"))
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

/// A list in a variable: with commas, but one a line for headers, whose values hold commas.
pub(super) fn items(value: &OsStr, separator: u8) -> Vec<OsString> {
    let trimmed = value.as_bytes().split(|byte| *byte == separator).map(<[u8]>::trim_ascii);
    trimmed.filter(|item| !item.is_empty()).map(|item| OsStr::from_bytes(item).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::io::Write as _;

    use super::{Layers, Origin, items, setting, variable};

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

    #[test]
    fn the_environment_wins_and_empty_is_unset() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            file,
            "\u{feff}PUSHWRAP_INFO=a\n{}\nPUSHWRAP_URL=http://file\nPUSHWRAP_JOB=file\nPUSHWRAP_ULR=x",
            "x".repeat(100_000)
        )
        .unwrap();
        let given = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let mut layers = Layers::new([given("PUSHWRAP_URL", ""), given("PUSHWRAP_JOB", "environment")]);
        layers.read_env_file(file.path()).unwrap();
        let url = layers.get("url").unwrap();
        assert_eq!(url.value, "http://file");
        assert!(matches!(url.origin, Origin::EnvFile { line: 3, .. }));
        assert_eq!(layers.get("job").unwrap().value, "environment");
        assert_eq!(layers.get("label"), None);
        assert_eq!(layers.get("info").unwrap().value, "a", "a byte order mark is none of its first name");
        let unknown: Vec<String> = layers.unknown(["url", "job", "info"]).iter().map(ToString::to_string).collect();
        assert_eq!(unknown, [format!("PUSHWRAP_ULR ({}:5)", file.path().display())]);
    }

    #[test]
    fn names_and_lists() {
        assert_eq!(variable("push-timeout"), "PUSHWRAP_PUSH_TIMEOUT");
        assert_eq!(items(OsStr::new("a=1, b=2,,"), b','), ["a=1", "b=2"]);
        assert_eq!(items(OsStr::new("A: b, c\nD: e"), b'\n'), ["A: b, c", "D: e"]);
    }
}

//! One value, and where it was given.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Where one value comes from; the lower one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum Origin {
    /// An option on the command line, `--url` for example.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A variable in the env file, with its line.
    EnvFile { variable: String, path: PathBuf, line: usize },
}

impl Origin {
    /// Whether it stands on the command line, where a mistake is bad usage.
    pub(in crate::config) fn is_flag(&self) -> bool {
        matches!(self, Self::Flag(_))
    }

    /// The variable, where it was one.
    pub(super) fn variable(&self) -> Option<&str> {
        match self {
            Self::Flag(_) => None,
            Self::Variable(variable) | Self::EnvFile { variable, .. } => Some(variable),
        }
    }

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
pub(super) struct Setting {
    pub(super) value: OsString,
    pub(super) origin: Origin,
}

/// Whether an option was given on the command line: an empty value is what an unset variable of a shell leaves.
pub(in crate::config) fn is_given(flag: Option<&(impl AsRef<OsStr> + ?Sized)>) -> bool {
    flag.is_some_and(|value| !value.as_ref().is_empty())
}

/// Whether a repeatable option was given on the command line.
pub(in crate::config) fn are_given(flags: &[String]) -> bool {
    flags.iter().any(|flag| is_given(Some(flag)))
}

/// The environment variable of an option: `--push-timeout` is `PUSHWRAP_PUSH_TIMEOUT`.
#[must_use]
pub fn variable(long: &str) -> String {
    format!("PUSHWRAP_{}", long.to_ascii_uppercase().replace('-', "_"))
}

/// A list in a variable: with commas, but one a line for headers, whose values hold commas.
pub(super) fn items(value: &OsStr, separator: u8) -> Vec<OsString> {
    let trimmed = value.as_bytes().split(|byte| *byte == separator).map(<[u8]>::trim_ascii);
    trimmed.filter(|item| !item.is_empty()).map(|item| OsStr::from_bytes(item).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{items, variable};

    #[test]
    fn names_and_lists() {
        assert_eq!(variable("push-timeout"), "PUSHWRAP_PUSH_TIMEOUT");
        assert_eq!(items(OsStr::new("a=1, b=2,,"), b','), ["a=1", "b=2"]);
        assert_eq!(items(OsStr::new("A: b, c\nD: e"), b'\n'), ["A: b, c", "D: e"]);
    }
}

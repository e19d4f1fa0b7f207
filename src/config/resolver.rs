//! Resolves one option after the other over the layers, and decides what a mistake does: on the command line it is bad
//! usage; below it, where it concerns reporting, it is remembered as trouble that fails the push and never the command.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use super::layers::{DEFAULT_ENV_FILE, Given, Layers, Origin, items, variable};
use super::{Reporting, Usage};
use crate::cli::Cli;
use crate::console::without_user;
use crate::files::reason;

/// What is written in the place of an env file where there shall be none.
const NO_ENV_FILE: [&str; 2] = ["none", "/dev/null"];
/// How many characters of a wrong value are shown.
const LONGEST_QUOTE: usize = 200;
/// The options that concern the command itself: a wrong value of theirs stops the run before it begins, wherever it stands.
const OF_THE_COMMAND: [&str; 3] = ["timeout", "signal", "kill-after"];

/// The layers, and the troubles met so far.
pub(super) struct Resolver {
    layers: Layers,
    troubles: Vec<String>,
    warnings: Vec<String>,
}

impl Resolver {
    /// Reads the environment and the env file: `flag`, else `PUSHWRAP_ENV_FILE`, else the default one where it exists. One that
    /// nobody named may be for others alone: then it is said, and what was given elsewhere counts.
    pub(super) fn new(flag: Option<&Path>) -> Self {
        let layers = Layers::new(std::env::vars_os());
        let mut resolver = Self { layers, troubles: Vec::new(), warnings: Vec::new() };
        let named =
            flag.map(Path::to_owned).or_else(|| resolver.layers.get("env-file").map(|given| given.value.into()));
        let path = named.clone().unwrap_or_else(|| DEFAULT_ENV_FILE.into());
        if NO_ENV_FILE.iter().any(|none| path == Path::new(none)) {
            return resolver;
        }
        let failed = |error| format!("cannot read env file '{}': {}", path.display(), reason(&error));
        match resolver.layers.read_env_file(&path) {
            Ok(()) => resolver.warn_of_unknown(),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::PermissionDenied => {
                resolver.warnings.push(failed(error) + "; '--env-file none' does without it");
            }
            Err(error) => resolver.troubles.push(failed(error)),
        }
        resolver
    }

    fn warn_of_unknown(&mut self) {
        let command = Cli::command();
        let subcommands = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let longs = command.get_arguments().chain(subcommands).filter_map(clap::Arg::get_long);
        // PUSHWRAP_TEXTFILE is what the command gets, not what it sets.
        let unknown = self.layers.unknown(longs.filter(|long| *long != "textfile"));
        self.warnings.extend(self.layers.mistakes());
        self.warnings.extend(unknown.iter().map(|origin| format!("no option has the variable {origin}")));
    }

    /// An option with one value.
    pub(super) fn one<T>(
        &mut self,
        long: &'static str,
        flag: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Usage> {
        let given = match flag {
            Some(text) => Some(Given { value: text.into(), origin: Origin::Flag(long) }),
            None => self.layers.get(long),
        };
        let Some(given) = given else { return Ok(None) };
        let parsed = self.parse(long, &given.value, &given.origin, &parse)?;
        Ok(parsed)
    }

    /// A repeatable option. On the command line each value is one item; a variable holds a list.
    pub(super) fn many<T>(
        &mut self,
        long: &'static str,
        flags: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Usage> {
        let (origin, items) = if flags.is_empty() {
            let Some(given) = self.layers.get(long) else { return Ok(None) };
            if is_cut_secret(long, &given.value) {
                let message = format!(
                    "invalid value for {}: of several addresses, one with a user, each begins with its scheme, and a comma \
                     in a user or password is written %2C",
                    given.origin
                );
                return self.refuse(false, message).map(|()| None);
            }
            let separator = if long == "header" { b'\n' } else { b',' };
            let items = items(&given.value, separator);
            if items.is_empty() {
                return Ok(None);
            }
            (given.origin, items)
        } else {
            (Origin::Flag(long), flags.iter().map(OsString::from).collect())
        };
        let parsed = items.iter().map(|item| self.parse(long, item, &origin, &parse));
        // One wrong item makes the list unknown: then the default counts, and nothing is pushed.
        parsed.collect()
    }

    /// A repeatable option whose values are lists themselves.
    pub(super) fn list<T>(
        &mut self,
        long: &'static str,
        flags: &[String],
        parse: impl Fn(&str) -> Result<Vec<T>, String>,
    ) -> Result<Option<Vec<T>>, Usage> {
        let lists = self.many(long, flags, parse)?;
        Ok(lists.map(|lists| lists.into_iter().flatten().collect()))
    }

    /// A switch: the flag can only set it, a variable can also take it back.
    pub(super) fn switch(&mut self, long: &'static str, flag: bool) -> Result<bool, Usage> {
        if flag {
            return Ok(true);
        }
        let Some(given) = self.layers.get(long) else { return Ok(false) };
        let on = self.parse(long, &given.value, &given.origin, &super::values::switch)?;
        Ok(on.unwrap_or(false))
    }

    /// The path of a file. Nothing is wrong with any path before it is opened.
    pub(super) fn path(&self, long: &'static str, flag: Option<&Path>) -> Option<PathBuf> {
        flag.map(Path::to_owned).or_else(|| self.layers.get(long).map(|given| given.value.into()))
    }

    /// Which of two options counts that contradict each other, each named with whether it stands on the command line: the one
    /// of the higher layer, and in the same layer neither.
    pub(super) fn prefer(
        &mut self,
        first: (&'static str, bool),
        second: (&'static str, bool),
        contradiction: &str,
    ) -> Result<(bool, bool), Usage> {
        let rank = |(long, on_command_line): (&'static str, bool)| {
            if on_command_line { Some(0) } else { self.layers.get(long).map(|given| given.origin.rank()) }
        };
        match (rank(first), rank(second)) {
            (Some(left), Some(right)) if left == right => {
                self.refuse(left == 0, contradiction.to_owned()).map(|()| (false, false))
            }
            (Some(left), Some(right)) => Ok((left < right, right < left)),
            (left, right) => Ok((left.is_some(), right.is_some())),
        }
    }

    /// Bad usage where it stops the run, trouble otherwise.
    pub(super) fn refuse(&mut self, stops_the_run: bool, message: String) -> Result<(), Usage> {
        if stops_the_run {
            return Err(Usage(message));
        }
        if !self.troubles.contains(&message) {
            self.troubles.push(message);
        }
        Ok(())
    }

    /// The names of the variables that hold secrets here.
    pub(super) fn secret_variables(&self) -> Vec<OsString> {
        let holds_password = |long: &'static str| {
            let given = self.layers.get(long).filter(|given| matches!(given.origin, Origin::Variable(_)));
            given.is_some_and(|given| given.value.as_bytes().iter().any(|byte| b"@?".contains(byte)))
        };
        let with_password = ["url", "proxy", "remote-write"].into_iter().filter(|long| holds_password(long));
        ["user", "header"].into_iter().chain(with_password).map(|long| variable(long).into()).collect()
    }

    /// Hands over what went wrong on the way.
    pub(super) fn finish(self, reporting: Reporting) -> Reporting {
        let warnings = self.warnings.into_iter().chain(reporting.warnings).collect();
        Reporting { troubles: self.troubles, warnings, ..reporting }
    }

    /// The warnings, for who has no command to protect: then a wrong variable is bad usage too.
    pub(super) fn warnings(self) -> Result<Vec<String>, Usage> {
        if self.troubles.is_empty() { Ok(self.warnings) } else { Err(Usage(self.troubles.join("\n"))) }
    }

    fn parse<T>(
        &mut self,
        long: &'static str,
        value: &OsStr,
        origin: &Origin,
        parse: &impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Usage> {
        let parsed = match value.to_str() {
            Some(text) => parse(text),
            None => Err("expected UTF-8 text".to_owned()),
        };
        match parsed {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => {
                let message = format!("invalid value {}for {origin}: {}", quoted(long, value), shortened(&error));
                let stops_the_run = matches!(origin, Origin::Flag(_)) || OF_THE_COMMAND.contains(&long);
                self.refuse(stops_the_run, message).map(|()| None)
            }
        }
    }
}

/// The value in quotes, without what must not be printed.
fn quoted(long: &str, value: &OsStr) -> String {
    let text = value.to_string_lossy();
    match long {
        "user" | "header" => String::new(),
        // What stands behind '?' may be a token.
        "url" | "proxy" | "remote-write" => match without_user(&text).split_once('?') {
            Some((address, _)) => format!("'{}?…' ", shortened(address)),
            None => format!("'{}' ", shortened(&without_user(&text))),
        },
        _ => format!("'{}' ", shortened(&text)),
    }
}

/// The text, cut off where it is longer than anybody reads: a value can be a whole file.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// Whether a list of URLs may be cut inside a password, whose pieces look like URLs too: `http://me:3,cret@gw`.
fn is_cut_secret(long: &str, value: &OsStr) -> bool {
    let pieces = items(value, b',');
    let has_scheme = |piece: &OsString| piece.to_string_lossy().contains("://");
    long == "url" && value.as_bytes().contains(&b'@') && pieces.len() > 1 && !pieces.iter().all(has_scheme)
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn secrets_are_not_quoted() {
        assert_eq!(quoted("url", "u:p@gw".as_ref()), "'gw' ");
        assert_eq!(quoted("url", "http://gw/?token=secret".as_ref()), "'http://gw/?…' ");
        assert_eq!(quoted("user", "me:secret".as_ref()), "");
        assert_eq!(quoted("job", "x".as_ref()), "'x' ");
    }

    #[test]
    fn long_values_are_cut_off() {
        assert_eq!(quoted("job", "ä".repeat(100_000).as_ref()), format!("'{}…' ", "ä".repeat(200)));
    }
}

//! Resolves one option after the other over the layers, and decides what a mistake does: on the command line it is bad
//! usage; below it, where it concerns reporting, it is remembered as an error that fails the push and never the command.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::usage_error::UsageError;
use super::env_file::{DEFAULT_ENV_FILE, EnvFile};
use super::known::meant;
use super::layers::{Layers, PREFIX};
use super::origin::{Origin, Setting, are_given, is_given, items};
use super::secrets::{VALUE_START, is_cut_secret, listed, quote_value, secret_variables};
use super::values;
use crate::files::reason;
use crate::text::cut_end;

/// What is written in the place of an env file where there shall be none.
const NO_ENV_FILE: [&str; 2] = ["none", "/dev/null"];
/// The options that concern the command itself: a wrong value of theirs stops the run before it begins, wherever it stands.
const OF_THE_COMMAND: [&str; 3] = ["timeout", "signal", "kill-after"];

/// Options of which an empty value on the command line means something: `--proxy ''` is no proxy, as with curl.
const EMPTY_MEANS_NONE: [&str; 1] = ["proxy"];

/// What is written in the place of a path where there shall be no file, or a standard stream.
const NO_PATHS: [&str; 2] = ["none", "-"];

/// The layers, and the errors met so far.
pub(in crate::config) struct Resolver {
    environment: Vec<(OsString, OsString)>,
    layers: Layers,
    errors: Vec<String>,
    warnings: Vec<String>,
    /// The settings that were asked for and given, in that order.
    given: RefCell<Vec<GivenSetting>>,
    /// What relative paths are resolved against; none where they stay as they are.
    directory: Option<PathBuf>,
}

/// A setting that is not the default, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenSetting {
    /// The option's long name.
    pub option: &'static str,
    /// `--url`, `PUSHWRAP_URL`, or the variable with file and line.
    pub source: String,
    /// Its value; `set` where it is a secret.
    pub value: String,
}

/// Errors and warnings about settings below the command line.
pub(in crate::config) struct Complaints {
    /// Errors that fail the push.
    pub(in crate::config) errors: Vec<String>,
    /// Warnings that fail nothing.
    pub(in crate::config) warnings: Vec<String>,
}

impl Resolver {
    /// Reads the environment and the env file: `flag`, else `PUSHWRAP_ENV_FILE`, else the default one where it exists. One that
    /// nobody named may be for others alone: then it is said, and what was given elsewhere counts.
    pub(in crate::config) fn new(flag: Option<&Path>) -> Self {
        let is_ours = |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let environment: Vec<_> = std::env::vars_os().filter(is_ours).collect();
        let layers = Layers::new(&environment);
        let mut resolver = Self {
            environment,
            layers,
            errors: Vec::new(),
            warnings: Vec::new(),
            given: RefCell::default(),
            directory: None,
        };
        let named = resolver.path("env-file", flag);
        let path = named.clone().unwrap_or_else(|| DEFAULT_ENV_FILE.into());
        if NO_ENV_FILE.iter().all(|none| path != Path::new(none)) {
            resolver.read_env_file(&path, named.is_some());
        }
        resolver.warn_of_unknown();
        resolver
    }

    fn read_env_file(&mut self, path: &Path, is_named: bool) {
        let failed = |error| format!("cannot read env file '{}': {}", path.display(), reason(&error));
        let read = if is_named { EnvFile::read(path) } else { EnvFile::read_default() };
        match read {
            Ok(file) => {
                self.warnings.extend(file.warnings());
                self.layers.put_below(file);
            }
            Err(error) if !is_named && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if !is_named && error.kind() == io::ErrorKind::PermissionDenied => {
                self.warnings.push(failed(error) + "; '--env-file none' does without it");
            }
            Err(error) => self.errors.push(failed(error)),
        }
    }

    fn warn_of_unknown(&mut self) {
        for origin in self.layers.unknown() {
            let meant = origin.variable().and_then(meant);
            let hint = meant.map_or_else(String::new, |known| format!(": did you mean {known}?"));
            self.warnings.push(format!("no option has the variable {origin}{hint}"));
        }
    }

    /// An option with one value. An empty one on the command line is what an unset variable of a shell leaves: it was not given.
    pub(in crate::config) fn one<T, E: Display>(
        &mut self,
        long: &'static str,
        flag: Option<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, UsageError> {
        let given = match flag.filter(|text| is_given(Some(text)) || EMPTY_MEANS_NONE.contains(&long)) {
            Some(text) => Some(Setting { value: text.into(), origin: Origin::Flag(long) }),
            None => self.layers.get(long),
        };
        let Some(given) = given else { return Ok(None) };
        self.record(long, &[given.value.as_os_str()], &given.origin);
        self.parse(long, &given.value, &given.origin, &parse)
    }

    /// A repeatable option. On the command line each value is one item; a variable holds a list. Empty items were not given.
    pub(in crate::config) fn many<T, E: Display>(
        &mut self,
        long: &'static str,
        flags: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, UsageError> {
        let given: Vec<OsString> = flags.iter().filter(|flag| is_given(Some(*flag))).map(OsString::from).collect();
        let (origin, items) = if given.is_empty() {
            let Some(setting) = self.layers.get(long) else { return Ok(None) };
            if is_cut_secret(long, &setting.value) {
                let message = format!(
                    "invalid value for {}: of several addresses, one with a user, each begins with its scheme, and a comma \
                     in a user or password is written %2C",
                    setting.origin
                );
                return self.refuse(false, message).map(|()| None);
            }
            let separator = if long == "header" { b'\n' } else { b',' };
            (setting.origin, items(&setting.value, separator))
        } else {
            (Origin::Flag(long), given)
        };
        if items.is_empty() {
            return Ok(None);
        }
        let values: Vec<&OsStr> = items.iter().map(OsString::as_os_str).collect();
        self.record(long, &values, &origin);
        let parsed = items.iter().map(|item| self.parse(long, item, &origin, &parse));
        // One wrong item makes the list unknown: then the default counts, and nothing is pushed.
        parsed.collect()
    }

    /// A repeatable option whose values are lists themselves.
    pub(in crate::config) fn list<T, E: Display>(
        &mut self,
        long: &'static str,
        flags: &[String],
        parse: impl Fn(&str) -> Result<Vec<T>, E>,
    ) -> Result<Option<Vec<T>>, UsageError> {
        let lists = self.many(long, flags, parse)?;
        Ok(lists.map(|lists| lists.into_iter().flatten().collect()))
    }

    /// A switch: the flag can only set it, a variable can also take it back.
    pub(in crate::config) fn switch(&mut self, long: &'static str, flag: bool) -> Result<bool, UsageError> {
        if flag {
            self.record(long, &["on".as_ref()], &Origin::Flag(long));
            return Ok(true);
        }
        let Some(given) = self.layers.get(long) else { return Ok(false) };
        self.record(long, &[given.value.as_os_str()], &given.origin);
        let on = self.parse(long, &given.value, &given.origin, &values::switch)?;
        Ok(on.unwrap_or(false))
    }

    /// The path of a file. Nothing is wrong with any path before it is opened.
    pub(in crate::config) fn path(&self, long: &'static str, flag: Option<&Path>) -> Option<PathBuf> {
        let given = match flag.filter(|path| is_given(Some(path))) {
            Some(path) => Setting { value: path.into(), origin: Origin::Flag(long) },
            None => self.layers.get(long)?,
        };
        self.record(long, &[given.value.as_os_str()], &given.origin);
        Some(self.resolved(given.value.into()))
    }

    /// Resolves relative paths against this directory from now on: a run leaves it when its command has been started.
    pub(in crate::config) fn resolve_paths_from(&mut self, directory: Option<PathBuf>) {
        self.directory = directory;
    }

    /// The path as it is from any directory. `none` and `-` are no paths.
    pub(in crate::config) fn resolved(&self, path: PathBuf) -> PathBuf {
        let is_word = NO_PATHS.iter().any(|word| path.as_os_str() == *word);
        match &self.directory {
            Some(directory) if !is_word => directory.join(path),
            _ => path,
        }
    }

    fn record(&self, option: &'static str, values: &[&OsStr], origin: &Origin) {
        let value = values.iter().map(|value| listed(option, value)).collect::<Vec<_>>().join(", ");
        self.given.borrow_mut().push(GivenSetting { option, value, source: origin.to_string() });
    }

    /// The settings that were asked for and given so far, each once.
    pub(in crate::config) fn given_settings(&self) -> Vec<GivenSetting> {
        let mut settings = self.given.borrow().clone();
        settings.sort_by_key(|setting| setting.option);
        settings.dedup();
        settings
    }

    /// Where an option was set below the command line.
    pub(in crate::config) fn setting_origin(&self, long: &'static str) -> Option<Origin> {
        self.layers.get(long).map(|setting| setting.origin)
    }

    /// Where a repeatable option was given, for messages about its items.
    pub(in crate::config) fn origin(&self, long: &'static str, flags: &[String]) -> Origin {
        let from_below = if are_given(flags) { None } else { self.layers.get(long) };
        from_below.map_or(Origin::Flag(long), |setting| setting.origin)
    }

    /// Which of two options counts that contradict each other, each named with whether it stands on the command line: the one
    /// of the higher layer, and in the same layer neither.
    pub(in crate::config) fn prefer(
        &mut self,
        first: (&'static str, bool),
        second: (&'static str, bool),
        contradiction: &str,
    ) -> Result<(bool, bool), UsageError> {
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

    /// The same for an option that only adds a metric: below the command line a wrong value is said, and fails nothing.
    pub(in crate::config) fn one_or_none<T, E: Display>(
        &mut self,
        long: &'static str,
        flag: Option<&str>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, UsageError> {
        let before = self.errors.len();
        let value = self.one(long, flag, parse)?;
        self.only_say(before, "its metric is left out");
        Ok(value)
    }

    /// As [`Self::prefer`], for options that only add a metric: below the command line a contradiction is said, and fails
    /// nothing.
    pub(in crate::config) fn prefer_or_none(
        &mut self,
        first: (&'static str, bool),
        second: (&'static str, bool),
        contradiction: &str,
    ) -> Result<(bool, bool), UsageError> {
        let before = self.errors.len();
        let preferred = self.prefer(first, second, contradiction)?;
        self.only_say(before, "their metrics are left out");
        Ok(preferred)
    }

    /// What was refused since then is said, with what comes of it, and fails nothing.
    fn only_say(&mut self, since: usize, consequence: &str) {
        self.warnings.extend(self.errors.drain(since..).map(|error| format!("{error}; {consequence}")));
    }

    /// Adds a warning that fails nothing.
    pub(in crate::config) fn warn(&mut self, message: String) {
        self.warnings.push(message);
    }

    /// Bad usage where it stops the run, an error of the settings otherwise.
    pub(in crate::config) fn refuse(&mut self, stops_the_run: bool, message: String) -> Result<(), UsageError> {
        if stops_the_run {
            return Err(UsageError(message));
        }
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
        Ok(())
    }

    /// The names of the variables that hold secrets here.
    pub(in crate::config) fn secret_variables(&self) -> Vec<OsString> {
        secret_variables(&self.environment)
    }

    /// The errors and warnings, for a run: its command starts in any case.
    pub(in crate::config) fn finish(self) -> Complaints {
        Complaints { errors: self.errors, warnings: self.warnings }
    }

    /// The warnings, for a subcommand: a wrong variable is bad usage there.
    pub(in crate::config) fn warnings(self) -> Result<Vec<String>, UsageError> {
        if self.errors.is_empty() { Ok(self.warnings) } else { Err(UsageError(self.errors.join("\n"))) }
    }

    fn parse<T, E: Display>(
        &mut self,
        long: &'static str,
        value: &OsStr,
        origin: &Origin,
        parse: &impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, UsageError> {
        let parsed = match value.to_str() {
            Some(text) => parse(text).map_err(|error| error.to_string()),
            None => Err("expected UTF-8 text".to_owned()),
        };
        match parsed {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => {
                let message =
                    format!("invalid value {}for {origin}: {}", quote_value(long, value), cut_end(&error, VALUE_START));
                let stops_the_run = origin.is_flag() || OF_THE_COMMAND.contains(&long);
                self.refuse(stops_the_run, message).map(|()| None)
            }
        }
    }
}

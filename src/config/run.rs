//! What the options of the run form mean, as one configuration.

use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::grouping_key::Fallbacks;
use super::host::HostInfo;
use super::reporting::{ReportInputs, Reporting, resolve_reporting};
use super::schedule::resolve_deadline;
use super::source::{Resolver, are_given, values};
use super::usage_error::UsageError;
use super::volume::resolve_volume;
use crate::child::Timeout;
use crate::cli;
use crate::console::Volume;
use crate::grouping::{Label, LabelName};
use crate::outcome::Codes;
use crate::report::{DEFAULT_PREFIX, RunIdentity};
use crate::textfile;

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Config {
    /// The command and its arguments, at least one element.
    pub program: Vec<OsString>,
    /// Variables that the command must not see, because they hold secrets.
    pub secret_variables: Vec<OsString>,
    /// The time limit of the command.
    pub timeout: Option<Timeout>,
    /// Which exit codes mean success, and which neither success nor failure.
    pub codes: Codes,
    /// Whether the memory of the whole process tree is sampled.
    pub sample_tree: bool,
    /// Where the command writes metrics of its own.
    pub textfile: TextfileConfig,
    /// What the metrics say about the run.
    pub identity: RunIdentity,
    /// Where and how the run is reported.
    pub reporting: Reporting,
    /// How the run is summed up on standard error afterwards, if at all.
    pub summary: Option<SummaryFormat>,
    /// The volume of messages on standard error.
    pub volume: Volume,
}

/// A form in which a run is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryFormat {
    /// Lines for a person.
    Text,
    /// One line for a program.
    Json,
}

impl FromStr for SummaryFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

/// Where the command's metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextfileConfig {
    /// `--textfile`: files, directories, globs. None: a private file, named by `PUSHWRAP_TEXTFILE`.
    pub paths: Vec<PathBuf>,
    /// No more than this is read of all files together, in bytes.
    pub max_bytes: u64,
}

/// Resolves the run form.
///
/// # Errors
/// Bad usage: the command must not be started.
pub fn resolve(run: cli::Run) -> Result<Config, UsageError> {
    if run.command.is_empty() {
        return Err(UsageError("no command given: pushwrap [OPTIONS] -- COMMAND [ARG]...".to_owned()));
    }
    let mut resolver = Resolver::new(run.destination.env_file.as_deref());
    resolver.resolve_paths_from(std::env::current_dir().ok());
    let config = resolve_run(&mut resolver, run)?;
    Ok(Config { reporting: config.reporting.with(resolver.finish()), ..config })
}

/// The same with layers that were read before, without what went wrong there.
pub(super) fn resolve_run(resolver: &mut Resolver, run: cli::Run) -> Result<Config, UsageError> {
    let cli::Run { destination, about, connection, report, sinks, command_options, messages, command } = run;
    let timeout = resolve_timeout(resolver, &command_options)?;
    let codes = Codes {
        success: resolver.list("success-codes", &command_options.success_codes, values::codes)?.unwrap_or(vec![0]),
        skip: resolver.list("skip-codes", &command_options.skip_codes, values::codes)?.unwrap_or_default(),
    };
    let codes = told_apart(resolver, codes, &command_options)?;
    let sample_tree = !resolver.switch("no-tree", command_options.no_tree)?;
    let max_bytes = resolver.one("textfile-max", command_options.textfile_max.as_deref(), values::size)?;
    let textfile = TextfileConfig {
        paths: given(command_options.textfile).into_iter().map(|path| resolver.resolved(path)).collect(),
        max_bytes: max_bytes.unwrap_or(textfile::DEFAULT_LIMIT),
    };
    let host = HostInfo::detect();
    let program = command.first().cloned().unwrap_or_default();
    let volume = resolve_volume(resolver, &messages.volume)?;
    let host_name = host.name.clone().unwrap_or_default();
    let what_is_reported = || {
        let identity = resolve_identity(resolver, &about, &report, &program)?;
        let run = Some((&report, &sinks));
        let options =
            ReportInputs { destination: &destination, connection: &connection, messages: &messages, volume, run };
        let fallbacks = Fallbacks { host, job: Some(file_name(&program)) };
        Ok((identity, resolve_reporting(resolver, options, fallbacks)?))
    };
    let (identity, reporting) = unless_it_panics(what_is_reported)?;
    let timeout_after = timeout.as_ref().map(|timeout| timeout.after);
    let identity = RunIdentity { host: host_name, timeout: timeout_after, ..identity };
    let secret_variables = resolver.secret_variables();
    let summary = resolver.one("summary", report.summary.as_deref(), str::parse)?;
    Ok(Config {
        program: command,
        secret_variables,
        timeout,
        codes,
        sample_tree,
        textfile,
        identity,
        reporting,
        summary,
        volume,
    })
}

/// What `resolve` returns. A defect of ours in what a report needs must not keep the command from being run: then nothing is
/// reported, and the reason is among the errors.
fn unless_it_panics(
    resolve: impl FnOnce() -> Result<(RunIdentity, Reporting), UsageError>,
) -> Result<(RunIdentity, Reporting), UsageError> {
    catch_unwind(AssertUnwindSafe(resolve)).unwrap_or_else(|_| {
        let error = "an internal error, which is described above".to_owned();
        Ok((RunIdentity::default(), Reporting::nowhere(error)))
    })
}

fn resolve_timeout(resolver: &mut Resolver, options: &cli::CommandOptions) -> Result<Option<Timeout>, UsageError> {
    let after = resolver.one("timeout", options.timeout.as_deref(), values::limit)?.flatten();
    let signal = resolver.one("signal", options.signal.as_deref(), values::signal)?.unwrap_or(libc::SIGTERM);
    let kill_after = resolver.one("kill-after", options.kill_after.as_deref(), values::duration)?;
    Ok(after.map(|after| Timeout { after, signal, kill_after: kill_after.unwrap_or(DEFAULT_KILL_AFTER) }))
}

const DEFAULT_KILL_AFTER: Duration = Duration::from_secs(10);

/// A code cannot be a success and neither success nor failure.
fn told_apart(resolver: &mut Resolver, codes: Codes, options: &cli::CommandOptions) -> Result<Codes, UsageError> {
    let Some(code) = codes.success.iter().find(|code| codes.skip.contains(code)) else { return Ok(codes) };
    let message = format!("exit code {code} is in both --success-codes and --skip-codes");
    resolver.refuse(are_given(&options.skip_codes), message)?;
    Ok(Codes { skip: Vec::new(), ..codes })
}

fn resolve_identity(
    resolver: &mut Resolver,
    about: &cli::AboutOptions,
    report: &cli::ReportOptions,
    program: &OsStr,
) -> Result<RunIdentity, UsageError> {
    let prefix = resolver.one("prefix", report.prefix.as_deref(), values::prefix)?;
    let info = resolver.many("info", &about.info, info_label)?.unwrap_or_default();
    if let Some(twice) = repeated(&info) {
        let origin = resolver.origin("info", &about.info);
        resolver.refuse(origin.is_flag(), format!("the label '{twice}' is given twice, by {origin}"))?;
    }
    let (deadline, max_age) = resolve_deadline(resolver, about)?;
    Ok(RunIdentity {
        prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        host: String::new(),
        command: file_name(program),
        info: info.into_iter().map(|label| (label.name.as_str().to_owned(), label.value)).collect(),
        deadline,
        max_age,
        timeout: None,
    })
}

fn repeated(labels: &[Label]) -> Option<&LabelName> {
    let names = labels.iter().map(|label| &label.name);
    names
        .enumerate()
        .find(|(place, name)| labels.iter().take(*place).any(|label| label.name == **name))
        .map(|(_, name)| name)
}

fn info_label(text: &str) -> Result<Label, String> {
    let label: Label = text.parse()?;
    match label.name.as_str() {
        name @ ("host" | "command" | "version") => Err(format!("pushwrap sets the label '{name}' itself")),
        "job" => Err("the job is named by --job".to_owned()),
        _ => Ok(label),
    }
}

/// The paths without empty ones, which an unset variable of a shell leaves.
fn given(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.into_iter().filter(|path| !path.as_os_str().is_empty()).collect()
}

/// The file name of the command: what metrics and the default job are named after. Arguments can hold secrets.
fn file_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    if name.is_empty() { "pushwrap".to_owned() } else { name.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::unless_it_panics;

    #[test]
    fn a_defect_in_what_is_reported_costs_the_report_and_not_the_command() {
        let (_, reporting) =
            unless_it_panics(|| panic!("a defect")).expect("a configuration with which the command is run");
        assert!(reporting.sinks().is_empty() && reporting.key.is_none());
        assert_eq!(reporting.errors, ["an internal error, which is described above"]);
    }
}

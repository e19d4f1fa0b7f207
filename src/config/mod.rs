//! What the command line, the environment and the env file mean, as one configuration. No other part of pushwrap sees a
//! flag or a `PUSHWRAP_` variable.

mod access;
mod doors;
mod keeping;
mod key;
mod layers;
mod metric;
mod resolver;
mod surroundings;
mod values;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child::Timeout;
use crate::cli;
use crate::console::Volume;
use crate::exit::Codes;
use crate::grouping::{GroupingKey, Label, LabelName};
use crate::report::{DEFAULT_PREFIX, Identity};
use crate::sink::{BaseUrl, Gateway, Method, OutputTarget, StateDir};
use crate::textfile;

use access::Access;
use doors::Doors;
pub use doors::{FlushConfig, resolve_flush};
pub use keeping::{
    DeleteConfig, Filter, GroupsConfig, PruneConfig, Reach, resolve_delete, resolve_groups, resolve_prune,
};
use key::{Fallbacks, Named};
pub use layers::{DEFAULT_ENV_FILE, variable};
pub use metric::{MetricConfig, Task, Timing, resolve_metric};
use resolver::Resolver;
use surroundings::Surroundings;

/// Bad usage of the command line, or of a variable that concerns the command: what was wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Config {
    /// The command and its arguments, at least one element.
    pub program: Vec<OsString>,
    /// Variables that the command must not see, because they hold secrets.
    pub secret_variables: Vec<OsString>,
    /// What ends the command, if anything.
    pub timeout: Option<Timeout>,
    /// Which exit codes mean success, and which neither success nor failure.
    pub codes: Codes,
    /// Whether the memory of the whole process tree is sampled.
    pub sample_tree: bool,
    /// Where the command writes metrics of its own.
    pub textfile: TextfileConfig,
    /// What the metrics say about the run.
    pub identity: Identity,
    /// Where and how the run is reported.
    pub reporting: Reporting,
    /// How the run is summed up on standard error afterwards, if at all.
    pub summary: Option<Summary>,
    /// How much is said on standard error.
    pub volume: Volume,
}

/// A form in which a run is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// Lines for a person.
    Text,
    /// One line for a program.
    Json,
}

/// Where the command's metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextfileConfig {
    /// `--textfile`: files, directories, globs. None: a private file, named by `PUSHWRAP_TEXTFILE`.
    pub paths: Vec<PathBuf>,
    /// No more than this is read of all files together, in bytes.
    pub max_bytes: u64,
}

/// Where and how a run is reported.
#[derive(Debug)]
pub struct Reporting {
    /// The group at the gateway. None where the configuration is wrong: then nothing can be pushed.
    pub key: Option<GroupingKey>,
    /// Who gets the metrics.
    pub destination: Destination,
    /// `--output`: a file or standard error, besides.
    pub output: Option<OutputTarget>,
    /// `--remote-write`: a receiver, besides; its URL is the whole address.
    pub remote_write: Option<Gateway>,
    /// `--state-dir`: where pushes that failed wait and runs are counted.
    pub state_dir: StateDir,
    /// What is wrong in the environment or the env file: said, and then nothing is pushed.
    pub troubles: Vec<String>,
    /// What is said once although nothing is wrong.
    pub warnings: Vec<String>,
    /// What the final push of a successful run is.
    pub on_success: Method,
    /// The budget of one push, everything included.
    pub push_timeout: Duration,
    /// How often is pushed while the command runs. None: never.
    pub push_interval: Option<Duration>,
    /// Whether a push that failed makes a successful run fail.
    pub require_push: bool,
    /// Whether the request is printed instead of sent.
    pub dry_run: bool,
}

impl Reporting {
    /// Whether somebody besides gateways gets the report.
    #[must_use]
    pub fn has_other_door(&self) -> bool {
        self.output.is_some() || self.remote_write.is_some()
    }

    /// Whether nobody at all was named: then the metrics are printed.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        matches!(self.destination, Destination::Unnamed) && !self.has_other_door()
    }
}

/// Who gets the metrics.
#[derive(Debug)]
pub enum Destination {
    /// Nobody was named: they are printed on standard error.
    Unnamed,
    /// `--url none`: nobody, and nothing is said.
    Nowhere,
    /// Pushgateways, at least one.
    Gateways(Vec<Gateway>),
}

/// What `pushwrap push` needs to know.
#[derive(Debug)]
pub struct PushConfig {
    /// Where and how the files go.
    pub reporting: Reporting,
    /// How much is said on standard error.
    pub volume: Volume,
}

/// Resolves the run form.
///
/// # Errors
/// Bad usage: the command must not be started.
pub fn resolve(run: cli::Run) -> Result<Config, Usage> {
    let cli::Run { destination, about, delivery, report, doors, command_options, said, command } = run;
    if command.is_empty() {
        return Err(Usage("no command given: pushwrap [OPTIONS] -- COMMAND [ARG]...".to_owned()));
    }
    let mut resolver = Resolver::new(destination.env_file.as_deref());
    let timeout = resolve_timeout(&mut resolver, &command_options)?;
    let codes = Codes {
        success: resolver.list("success-codes", &command_options.success_codes, values::codes)?.unwrap_or(vec![0]),
        skip: resolver.list("skip-codes", &command_options.skip_codes, values::codes)?.unwrap_or_default(),
    };
    let codes = told_apart(&mut resolver, codes, &command_options)?;
    let sample_tree = !resolver.switch("no-tree", command_options.no_tree)?;
    let max_bytes = resolver.one("textfile-max", command_options.textfile_max.as_deref(), values::size)?;
    let textfile =
        TextfileConfig { paths: command_options.textfile, max_bytes: max_bytes.unwrap_or(textfile::DEFAULT_LIMIT) };
    let surroundings = Surroundings::detect();
    let program = command.first().cloned().unwrap_or_default();
    let mut identity = resolve_identity(&mut resolver, &about, &report, &program)?;
    identity.host = surroundings.host.clone().unwrap_or_default();
    identity.timeout = timeout.as_ref().map(|timeout| timeout.after);
    let run = Some((&report, &doors));
    let options = ReportOptions { destination: &destination, delivery: &delivery, said: &said, run };
    let fallbacks = Fallbacks { surroundings, job: Some(file_name(&program)) };
    let reporting = resolve_reporting(&mut resolver, options, fallbacks)?;
    let secret_variables = resolver.secret_variables();
    let volume = resolve_volume(&mut resolver, &said.loudness)?;
    let summary = resolver.one("summary", report.summary.as_deref(), values::summary)?;
    let reporting = resolver.finish(reporting);
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

/// Resolves `pushwrap push`.
///
/// # Errors
/// Bad usage, a missing job above all.
pub fn resolve_push(push: &cli::Push) -> Result<PushConfig, Usage> {
    let mut resolver = Resolver::new(push.destination.env_file.as_deref());
    let options =
        ReportOptions { destination: &push.destination, delivery: &push.delivery, said: &push.said, run: None };
    let fallbacks = Fallbacks { surroundings: Surroundings::detect(), job: None };
    let reporting = resolve_reporting(&mut resolver, options, fallbacks)?;
    let volume = resolve_volume(&mut resolver, &push.said.loudness)?;
    Ok(PushConfig { reporting: resolver.finish(reporting), volume })
}

fn resolve_timeout(resolver: &mut Resolver, options: &cli::CommandOptions) -> Result<Option<Timeout>, Usage> {
    let after = resolver.one("timeout", options.timeout.as_deref(), values::limit)?.flatten();
    let signal = resolver.one("signal", options.signal.as_deref(), values::signal)?.unwrap_or(libc::SIGTERM);
    let kill_after = resolver.one("kill-after", options.kill_after.as_deref(), values::duration)?;
    Ok(after.map(|after| Timeout { after, signal, kill_after: kill_after.unwrap_or(DEFAULT_KILL_AFTER) }))
}

const DEFAULT_KILL_AFTER: Duration = Duration::from_secs(10);
const DEFAULT_PUSH_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_PUSH_INTERVAL: Duration = Duration::from_mins(1);

/// A code cannot be a success and neither success nor failure.
fn told_apart(resolver: &mut Resolver, codes: Codes, options: &cli::CommandOptions) -> Result<Codes, Usage> {
    let Some(code) = codes.success.iter().find(|code| codes.skip.contains(code)) else { return Ok(codes) };
    let message = format!("exit code {code} is in both --success-codes and --skip-codes");
    resolver.refuse(!options.skip_codes.is_empty(), message)?;
    Ok(Codes { skip: Vec::new(), ..codes })
}

fn resolve_volume(resolver: &mut Resolver, said: &cli::Loudness) -> Result<Volume, Usage> {
    let given = resolver.one("verbose", None, values::verbosity)?;
    let quiet = resolver.switch("quiet", said.quiet)?;
    // On the command line the two exclude each other; below it the flag that is there counts.
    let verbosity = if said.quiet { 0 } else { Some(said.verbose).filter(|count| *count > 0).or(given).unwrap_or(0) };
    Ok(match verbosity {
        _ if quiet && said.verbose == 0 => Volume::Quiet,
        0 => Volume::Normal,
        1 => Volume::Verbose,
        _ => Volume::Debug,
    })
}

fn resolve_identity(
    resolver: &mut Resolver,
    about: &cli::About,
    report: &cli::RunReport,
    program: &OsStr,
) -> Result<Identity, Usage> {
    let prefix = resolver.one("prefix", report.prefix.as_deref(), values::prefix)?;
    let info = resolver.many("info", &about.info, info_label)?.unwrap_or_default();
    if let Some(twice) = repeated(&info) {
        resolver.refuse(!about.info.is_empty(), format!("the label '{twice}' of --info is given twice"))?;
    }
    Ok(Identity {
        prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        host: String::new(),
        command: file_name(program),
        info: info.into_iter().map(|label| (label.name.as_str().to_owned(), label.value)).collect(),
        max_age: resolver.one("max-age", about.max_age.as_deref(), values::positive_duration)?,
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

/// The file name of the command: what metrics and the default job are named after. Arguments can hold secrets.
fn file_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    if name.is_empty() { "pushwrap".to_owned() } else { name.to_string_lossy().into_owned() }
}

/// The options of a report that `push` shares with the run form.
#[derive(Clone, Copy)]
struct ReportOptions<'o> {
    destination: &'o cli::Destination,
    delivery: &'o cli::Delivery,
    said: &'o cli::Said,
    /// What only the run form has.
    run: Option<(&'o cli::RunReport, &'o cli::Doors)>,
}

fn resolve_reporting(
    resolver: &mut Resolver,
    options: ReportOptions<'_>,
    fallbacks: Fallbacks,
) -> Result<Reporting, Usage> {
    let ReportOptions { destination, delivery, said, run } = options;
    let (run, doors) = run.unzip();
    let access = Access::resolve(resolver, delivery)?;
    let gateways = resolve_destination(resolver, &destination.url, &access)?;
    let Doors { output, remote_write, state_dir } = Doors::resolve(resolver, doors, &access)?;
    let mut warnings = Vec::new();
    let cli::Destination { job, label, instance, .. } = destination;
    let named = Named { job: job.as_deref(), labels: label, instance: instance.as_deref() };
    let key = key::resolve(resolver, named, fallbacks, &mut warnings)?;
    if !matches!(gateways, Destination::Gateways(_)) && output.is_none() && remote_write.is_none() {
        warnings.clear();
    }
    let on_success = resolve_method(resolver, destination.replace, run.is_some_and(|run| run.delete_on_success))?;
    let push_timeout = resolver.one("push-timeout", delivery.push_timeout.as_deref(), values::positive_duration)?;
    let push_interval = run.and_then(|run| run.push_interval.as_deref());
    let push_interval = resolver.one("push-interval", push_interval, values::interval)?;
    let require_push = resolver.switch("require-push", run.is_some_and(|run| run.require_push))?;
    Ok(Reporting {
        key,
        destination: gateways,
        output,
        remote_write,
        state_dir,
        troubles: Vec::new(),
        warnings,
        on_success,
        push_timeout: push_timeout.unwrap_or(DEFAULT_PUSH_TIMEOUT),
        push_interval: push_interval.unwrap_or(Some(DEFAULT_PUSH_INTERVAL)),
        require_push,
        dry_run: resolver.switch("dry-run", said.dry_run)?,
    })
}

fn resolve_method(resolver: &mut Resolver, replace: bool, delete: bool) -> Result<Method, Usage> {
    let on = (resolver.switch("replace", replace)?, resolver.switch("delete-on-success", delete)?);
    let counts = match on {
        (true, true) => resolver.prefer(
            ("replace", replace),
            ("delete-on-success", delete),
            "--replace and --delete-on-success contradict each other: name one of them",
        )?,
        one => one,
    };
    Ok(match counts {
        (true, _) => Method::Replace,
        (_, true) => Method::Delete,
        _ => Method::Add,
    })
}

/// One `--url`: a gateway, or nowhere.
enum Target {
    Nowhere,
    Gateway(Box<BaseUrl>),
}

fn target(text: &str) -> Result<Target, String> {
    if text == "none" {
        return Ok(Target::Nowhere);
    }
    text.parse().map(|url| Target::Gateway(Box::new(url))).map_err(|error| format!("{error}"))
}

fn resolve_destination(resolver: &mut Resolver, urls: &[String], access: &Access) -> Result<Destination, Usage> {
    let Some(targets) = resolver.many("url", urls, target)? else { return Ok(Destination::Unnamed) };
    let named = targets.len();
    let mut gateways: Vec<Gateway> = Vec::new();
    for target in targets {
        if let Target::Gateway(url) = target {
            let gateway = access.gateway(*url);
            if !gateways.iter().any(|known| known.url.to_string() == gateway.url.to_string()) {
                gateways.push(gateway);
            }
        } else if named > 1 {
            let contradiction = "--url none stands alone: it means that nothing is reported".to_owned();
            resolver.refuse(!urls.is_empty(), contradiction)?;
        }
    }
    Ok(if gateways.is_empty() { Destination::Nowhere } else { Destination::Gateways(gateways) })
}

/// Opens a file for reading if it is a regular one. Nothing else may be waited for: a FIFO would hang the job.
fn open_regular(path: &Path) -> std::io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

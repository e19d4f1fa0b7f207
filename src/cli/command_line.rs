//! The whole command line: the run form and the subcommands, each with its groups of options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Args, Parser, Subcommand};

use super::metric::Metric;
use super::options::{
    AboutOptions, CommandOptions, ConnectionOptions, DestinationOptions, FilterOptions, GatewayOptions, MessageOptions,
    ReportOptions, SinkOptions, VolumeOptions,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "pushwrap",
    version,
    about = "Run a command, measure it, and push its metrics to a Prometheus Pushgateway",
    override_usage = "pushwrap [OPTIONS] -- COMMAND [ARG]...\n       pushwrap <SUBCOMMAND> ...",
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    term_width = 0
)]
pub struct Cli {
    /// What to do instead of running a command.
    #[command(subcommand)]
    pub subcommand: Option<Sub>,
    /// The options of the run form.
    #[command(flatten)]
    pub run: Run,
}

const AFTER_HELP: &str = "\
Without --url the metrics are printed. Subcommands: metric, push, check, groups,
prune, delete, flush, doctor, install.
All options: pushwrap --help; everything: man pushwrap";

const AFTER_LONG_HELP: &str = "\
Every option but --textfile has a variable, --push-timeout for example
PUSHWRAP_PUSH_TIMEOUT, which may stand in the env file too. The command finds
in $PUSHWRAP_TEXTFILE the file for metrics of its own. A DURATION is 90s, 1h 5m
or a bare number of seconds. Exit status: the command's; 124 after --timeout,
125 when pushwrap failed, 126 and 127 when the command cannot be run or found.";

/// The run form: `pushwrap [OPTIONS] -- COMMAND [ARG]...`.
#[derive(Debug, Args)]
pub struct Run {
    /// Where the metrics go.
    #[command(flatten)]
    pub destination: DestinationOptions,
    /// What is said about the run.
    #[command(flatten)]
    pub about: AboutOptions,
    /// How they are delivered.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How a run is reported.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Who else gets the report, and what is kept of it.
    #[command(flatten)]
    pub sinks: SinkOptions,
    /// What concerns the command itself.
    #[command(flatten)]
    pub command_options: CommandOptions,
    /// What is said on standard error.
    #[command(flatten)]
    pub messages: MessageOptions,
    /// The command and its arguments, after `--`.
    #[arg(last = true, value_name = "COMMAND", hide = true)]
    pub command: Vec<OsString>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Sub {
    /// Push metrics files, or standard input, without running a command
    Push(Box<Push>),
    /// Judge metrics files as the gateway would
    Check(Box<Check>),
    /// Show what the gateway holds: a row a group
    ///
    /// Read from the gateway's API, so that it works even where a broken group has taken the page /metrics down. A run
    /// that is there and has not been heard of for five minutes is listed as lost, a job whose last success is older than
    /// its --max-age as overdue. Ages are by the gateway's clock. Colours only on a terminal.
    Groups(Box<Groups>),
    /// Delete groups that nobody has pushed to for long
    ///
    /// The gateway never deletes a group. This deletes those whose last push, accepted or refused, is older than
    /// --older-than, one at a time and at most fifty a second, and prints each. The gateway is read again before each
    /// deletion (where that takes long, one reading serves for as long again as it took), so a job that comes back keeps
    /// its group. A group without push times is never touched. Ages are by the gateway's clock, which its answers tell.
    Prune(Box<Prune>),
    /// Delete this job's group from the gateway
    ///
    /// The group is named as in the run form, by --job, --label and --instance, and no other is touched. Where the gateway
    /// has no such group, the groups of the job are named that it has, and the exit status is 1.
    Delete(Box<Delete>),
    /// Send what is waiting in the state directory
    ///
    /// With --url or --remote-write only what waits for these, with their credentials; without, everything, to the
    /// addresses that the directory names, with the credentials of these options; with --url none, nothing. Prints what
    /// it pushed, replaced and deleted; what the gateway refused is said.
    Flush(Box<Flush>),
    /// Tell what is configured, from where, and whether it works
    ///
    /// Takes the options and variables of a run and runs nothing. Prints every setting with its source, the grouping key,
    /// what answers at each address, whether state directory and output can be written, and the memory limit. It pushes no
    /// metric and changes nothing at a gateway. Exit status: 0 when a run would be reported, 1 when not.
    Doctor(Box<Doctor>),
    /// Copy this binary, for images without cp
    ///
    /// The copy is written beside PATH and renamed: executable for everybody, never half there, and whoever runs the
    /// old one keeps running. What is there and not a regular file (a device, a FIFO) stays; a link is replaced.
    Install(Install),
    /// Write a metric from inside a job
    ///
    /// Changes one series in the job's metrics file, or in that of --textfile, as a client library would. Parallel writers
    /// lose nothing, and a reader never sees half a change; one that stands still holds up a call for two seconds, which
    /// then exits 1. What cannot be read in the file is left alone. A counter's name
    /// gets the suffix '_total'. Without a file it says so and exits 0; for a bad name or value, or another type than the
    /// file's, it exits 2 and the file stays as it is. The command of 'time' runs in any case, and its exit status is passed
    /// on.
    Metric(Metric),
}

/// `pushwrap push [FILE|-]...`
#[derive(Debug, Args)]
#[command(override_usage = "pushwrap push [OPTIONS] --job <NAME> [FILE|-]...", mut_args(without_command))]
pub struct Push {
    /// Metrics files; - or none for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the metrics go.
    #[command(flatten)]
    pub destination: DestinationOptions,
    /// How they are delivered.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// What is said on standard error.
    #[command(flatten)]
    pub messages: MessageOptions,
}

/// Options of the run form as `push` has them, which runs no command.
fn without_command(option: Arg) -> Arg {
    let (help, long_help) = match option.get_id().as_str() {
        "job" => ("Job name", "Job name\n\nThe job label of the grouping key."),
        "replace" => (
            "Replace the whole group (PUT)",
            "Replace the whole group (PUT)\n\nMetrics that the files do not contain are gone from the group afterwards. \
             Where something could not be read or was left out, the push is a POST, which replaces only the metrics it \
             contains; without a single sample there is none.",
        ),
        "dry_run" => (
            "Print the request, send nothing",
            "Print the request, send nothing\n\nOn standard error, without secrets, with a curl command that sends it.",
        ),
        _ => return option,
    };
    option.help(help).long_help(long_help)
}

/// Options of a push as they are for who asks a gateway.
fn by_request(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "push_timeout" => option.help("Time for each request [default: 10s]").long_help(
            "Time for each request [default: 10s]\n\nBounds name resolution, connection, TLS, sending, the answer and all \
             retries together. Retried are failed connections, time-outs and the statuses 408, 429 and 5xx.",
        ),
        _ => option,
    }
}

/// `pushwrap check [--fix] [--url URL] FILE|-...`
#[derive(Debug, Args)]
#[command(mut_args(by_request))]
pub struct Check {
    /// The gateway that is asked.
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Print the repaired file on standard output
    #[arg(long, conflicts_with = "json")]
    pub fix: bool,
    /// Print the findings as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// Metrics files; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How it is reached.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How much is said about it.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// `pushwrap groups`
#[derive(Debug, Args)]
#[command(mut_args(by_request))]
pub struct Groups {
    /// Which gateways.
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Which groups.
    #[command(flatten)]
    pub filter: FilterOptions,
    /// Print JSON: an array, one group a line
    #[arg(long, help_heading = "What is said")]
    pub json: bool,
    /// Prefix of the runs' metrics [default: pushwrap_]
    #[arg(long, help_heading = "Which groups", value_name = "PREFIX", hide_short_help = true)]
    pub prefix: Option<String>,
    /// How they are reached.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How much is said.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// `pushwrap prune --older-than D`
#[derive(Debug, Args)]
#[command(mut_args(by_request))]
pub struct Prune {
    /// Which gateways.
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Only groups that nobody pushed to for longer
    ///
    /// Neither an accepted push nor a refused one may be younger.
    #[arg(long, help_heading = "Which groups", value_name = "DURATION")]
    pub older_than: Option<String>,
    /// Which groups.
    #[command(flatten)]
    pub filter: FilterOptions,
    /// Print what would be deleted, delete nothing
    #[arg(short = 'n', long, help_heading = "What is said")]
    pub dry_run: bool,
    /// How they are reached.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How much is said.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// `pushwrap delete`
#[derive(Debug, Args)]
#[command(mut_args(by_request))]
pub struct Delete {
    /// Which gateways.
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Job name
    #[arg(long, help_heading = "Where to", value_name = "NAME")]
    pub job: Option<String>,
    /// Grouping label; repeatable
    #[arg(short, long, help_heading = "Where to", value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Instance, 'auto' or 'none' [default: auto]
    #[arg(long, help_heading = "Where to", value_name = "NAME")]
    pub instance: Option<String>,
    /// Print the request, send nothing
    #[arg(short = 'n', long, help_heading = "What is said")]
    pub dry_run: bool,
    /// How they are reached.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How much is said.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// `pushwrap flush`
#[derive(Debug, Args)]
pub struct Flush {
    /// Which gateways.
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Receiver of Prometheus remote write
    #[arg(long, help_heading = "Where to", value_name = "URL")]
    pub remote_write: Option<String>,
    /// Where it waits [default: /var/lib/pushwrap]
    #[arg(long, help_heading = "Where to", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print what waits, send nothing
    #[arg(short = 'n', long, help_heading = "What is said")]
    pub dry_run: bool,
    /// How they are reached.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// How much is said.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// `pushwrap doctor [OPTIONS] [-- COMMAND [ARG]...]`
#[derive(Debug, Args)]
#[command(override_usage = "pushwrap doctor [OPTIONS] [-- COMMAND [ARG]...]")]
pub struct Doctor {
    /// Print JSON: one object
    #[arg(long, help_heading = "What is said")]
    pub json: bool,
    /// The options of the run form.
    #[command(flatten)]
    pub run: Run,
}

/// `pushwrap install PATH`
#[derive(Debug, Args)]
pub struct Install {
    /// File, or directory in which it gets the binary's name
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

//! The options by group, in the order of `--help`. The environment variable of each is `PUSHWRAP_` and its long name in
//! capitals, made by `config` from that name, so that there is one source for both.

#![allow(clippy::doc_markdown, reason = "the doc comments are the help texts, where Markdown means nothing")]

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where the metrics go, and under which grouping key.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub struct Destination {
    /// Pushgateway, or 'none'; repeatable
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Job name [default: file name of COMMAND]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Grouping label; repeatable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Instance, 'auto' or 'none' [default: auto]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub instance: Option<String>,
    /// A successful push replaces the whole group (PUT)
    #[arg(long, hide_short_help = true)]
    pub replace: bool,
    /// Variables [default: /etc/default/pushwrap]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Option<PathBuf>,
}

/// What the metrics say about the run besides its measurements.
#[derive(Debug, Args)]
#[command(next_help_heading = "What about")]
pub struct About {
    /// Label of run_info only; repeatable
    #[arg(long, value_name = "NAME=VALUE", hide_short_help = true)]
    pub info: Vec<String>,
    /// How old the last success may become, for alerts
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
}

/// How a push is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "How")]
pub struct Delivery {
    /// Basic authentication at the gateway
    #[arg(short, long, value_name = "USER[:PASSWORD]", hide_short_help = true)]
    pub user: Option<String>,
    /// File with the password of that user
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub token_file: Option<PathBuf>,
    /// Further header 'Name: value'; repeatable
    #[arg(short = 'H', long, value_name = "HEADER", hide_short_help = true)]
    pub header: Vec<String>,
    /// Trust these instead of the system's roots
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub cacert: Option<PathBuf>,
    /// Certificate of our own
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub cert: Option<PathBuf>,
    /// Its key, where that is in another file
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub key: Option<PathBuf>,
    /// Do not verify the gateway's certificate
    #[arg(short = 'k', long, hide_short_help = true)]
    pub insecure: bool,
    /// Proxy, instead of http_proxy and the like
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub proxy: Option<String>,
    /// Time for a push, in all [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub push_timeout: Option<String>,
}

/// How a run is reported: what only the run form has.
#[derive(Debug, Args)]
pub struct RunReport {
    /// A successful run deletes the group instead
    #[arg(long, help_heading = "Where to", hide_short_help = true)]
    pub delete_on_success: bool,
    /// Push while it runs, or 'off' [default: 1m]
    #[arg(long, help_heading = "How", value_name = "DURATION", hide_short_help = true)]
    pub push_interval: Option<String>,
    /// Exit 125 when only the push failed
    #[arg(long, help_heading = "How")]
    pub require_push: bool,
    /// Prefix of the run's own metrics [default: pushwrap_]
    #[arg(long, help_heading = "What about", value_name = "PREFIX", hide_short_help = true)]
    pub prefix: Option<String>,
    /// Sum the run up afterwards: text or json [default: text]
    #[arg(
        long,
        help_heading = "What is said",
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text"
    )]
    pub summary: Option<String>,
}

/// What concerns the command itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "The command")]
pub struct CommandOptions {
    /// End the command after this long; 0 is never
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Signal that --timeout sends [default: TERM]
    #[arg(short, long, value_name = "SIGNAL", hide_short_help = true)]
    pub signal: Option<String>,
    /// KILL this long after it [default: 10s]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub kill_after: Option<String>,
    /// Exit codes that are a success [default: 0]
    #[arg(long, value_name = "CODES", hide_short_help = true)]
    pub success_codes: Vec<String>,
    /// Exit codes that are neither success nor failure
    #[arg(long, value_name = "CODES", hide_short_help = true)]
    pub skip_codes: Vec<String>,
    /// Metrics file, directory or glob; repeatable
    #[arg(long, value_name = "PATH")]
    pub textfile: Vec<PathBuf>,
    /// Largest metrics file to read [default: 64MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub textfile_max: Option<String>,
    /// Do not sample the memory of the process tree
    #[arg(long, hide_short_help = true)]
    pub no_tree: bool,
}

/// What pushwrap says on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is said")]
pub struct Said {
    /// Run, print the request, send nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Say what is done; -vv says more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing, not even that a push failed
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Which gateways are looked at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub struct Reach {
    /// Pushgateway; repeatable
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Variables [default: /etc/default/pushwrap]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Option<PathBuf>,
}

/// Which of its groups.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which groups")]
pub struct Filter {
    /// Only groups of this job
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Only groups with this label; repeatable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
}

/// How much is said on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is said")]
pub struct Loudness {
    /// Say what is done; -vv says more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing, not even what failed
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

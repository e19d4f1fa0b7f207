//! What may be typed after `pushwrap metric`. These options have no variables: `PUSHWRAP_LABEL` names grouping labels, and a
//! job that runs under pushwrap has it in its environment.

#![allow(clippy::doc_markdown, reason = "the doc comments are the help texts, where Markdown means nothing")]

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueHint};

/// `pushwrap metric set|add|observe|time ...`
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct Metric {
    /// What is done.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `pushwrap metric` does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Set a gauge
    Set(Set),
    /// Add to a counter
    Add(Add),
    /// Observe a value in a histogram or summary
    Observe(Observe),
    /// Run a command and take its time in seconds
    Time(Time),
    /// Print the names that are in the metrics file, for completion
    #[command(hide = true)]
    Names(Names),
}

/// Which series, in which file.
#[derive(Debug, Args)]
pub struct SeriesOptions {
    /// Name of the metric
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Label of the series; repeatable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<OsString>,
    /// What the metric means, for its HELP line
    #[arg(long, value_name = "TEXT")]
    pub help_text: Option<OsString>,
    /// Which file.
    #[command(flatten)]
    pub file: MetricsFileArgs,
}

/// Which metrics file, and what is said of it.
#[derive(Debug, Args)]
pub struct MetricsFileArgs {
    /// Metrics file [default: $PUSHWRAP_TEXTFILE]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub textfile: Option<OsString>,
    /// Say when the file is written in place
    #[arg(short, long)]
    pub verbose: bool,
}

/// `pushwrap metric set NAME VALUE`
#[derive(Debug, Args)]
pub struct Set {
    /// Which series.
    #[command(flatten)]
    pub series: SeriesOptions,
    /// Any number
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub value: String,
}

/// `pushwrap metric add NAME [VALUE]`
#[derive(Debug, Args)]
pub struct Add {
    /// Which series.
    #[command(flatten)]
    pub series: SeriesOptions,
    /// A number that is not negative [default: 1]
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub value: Option<String>,
}

/// `pushwrap metric observe NAME VALUE`
#[derive(Debug, Args)]
pub struct Observe {
    /// Which series.
    #[command(flatten)]
    pub series: SeriesOptions,
    /// A number
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub value: String,
    /// histogram or summary [default: histogram]
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Upper bounds, such as 0.1,1,10 [default: 0.005 to 10]
    #[arg(long, value_name = "BOUNDS", allow_hyphen_values = true)]
    pub buckets: Option<String>,
}

/// `pushwrap metric time NAME -- COMMAND [ARG]...`
#[derive(Debug, Args)]
#[command(override_usage = "pushwrap metric time [OPTIONS] <NAME> -- COMMAND [ARG]...")]
pub struct Time {
    /// Which series.
    #[command(flatten)]
    pub series: SeriesOptions,
    /// gauge, histogram or summary [default: gauge]
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Upper bounds in seconds, such as 0.1,1,10 [default: 0.005 to 10]
    #[arg(long, value_name = "BOUNDS", allow_hyphen_values = true)]
    pub buckets: Option<String>,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND", hide = true)]
    pub command: Vec<OsString>,
}

/// `pushwrap metric names`
#[derive(Debug, Args)]
pub struct Names {
    /// Which file.
    #[command(flatten)]
    pub file: MetricsFileArgs,
}

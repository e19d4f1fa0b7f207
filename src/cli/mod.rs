//! What may be typed. Options are text here, whatever they mean: `config` gives them a meaning, together with the
//! environment and the env file. `--help`, the man page and the shell completions are made from these definitions.

mod command_line;
mod metric;
mod options;
mod parse;
mod secret;

pub use command_line::{Check, Cli, Delete, Doctor, Flush, Groups, Install, Prune, Push, Run, Sub};
pub use metric::{Add, Metric, MetricsFileArgs, Names, Observe, SeriesOptions, Set, Time, Verb};
pub use options::{
    AboutOptions, CommandOptions, ConnectionOptions, DestinationOptions, FilterOptions, GatewayOptions, MessageOptions,
    ReportOptions, SinkOptions, VolumeOptions,
};
pub use parse::{Action, HelpForm, Stop, command, parse};
pub use secret::{SecretValue, secret_values};

//! What the command line, the environment and the env file mean, as one configuration. No other part of pushwrap sees a
//! flag or a `PUSHWRAP_` variable. A file here is one subject; `source` knows where a value comes from.

mod connection;
mod destination;
mod doctor;
mod flush;
mod grouping_key;
mod groups;
mod host;
mod launchers;
mod metric;
mod push;
mod reporting;
mod run;
mod schedule;
mod source;
mod usage_error;
mod volume;

pub use destination::Destination;
pub use doctor::{DoctorConfig, resolve_doctor};
pub use flush::{FlushConfig, resolve_flush};
pub use groups::{
    DeleteConfig, GatewayTargets, GroupFilter, GroupsConfig, PruneConfig, resolve_check, resolve_delete,
    resolve_groups, resolve_prune,
};
pub use launchers::changes_user;
pub use metric::{MetricConfig, Task, Timing, resolve_metric};
pub use push::{PushConfig, resolve_push};
pub use reporting::Reporting;
pub use run::{Config, SummaryFormat, TextfileConfig, resolve};
#[cfg(any(test, fuzzing))]
pub(crate) use source::EnvFile;
pub use source::{DEFAULT_ENV_FILE, GivenSetting, variable};
pub use usage_error::UsageError;

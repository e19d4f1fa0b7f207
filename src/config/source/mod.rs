//! Where a value comes from: the command line, the environment, the env file. The precedence is in that order, and the
//! place decides what a mistake does: a flag is bad usage, while nobody's edit of a `ConfigMap` may stop a nightly job.

mod env_file;
mod in_time;
mod known;
mod layers;
mod origin;
mod resolver;
mod secrets;
pub(super) mod values;

pub use env_file::DEFAULT_ENV_FILE;
#[cfg(any(test, fuzzing))]
pub(crate) use env_file::EnvFile;
pub use origin::variable;
pub(super) use origin::{Origin, are_given, is_given};
pub use resolver::GivenSetting;
pub(super) use resolver::{Complaints, Resolver};

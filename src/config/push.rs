//! What the options of `push` mean: those of the run form, without a command.

use super::grouping_key::Fallbacks;
use super::host::HostInfo;
use super::reporting::{ReportInputs, Reporting, resolve_reporting};
use super::source::Resolver;
use super::usage_error::UsageError;
use super::volume::resolve_volume;
use crate::cli;
use crate::console::Volume;

/// What `pushwrap push` needs to know.
#[derive(Debug)]
pub struct PushConfig {
    /// Where and how the files go.
    pub reporting: Reporting,
    /// How much is said on standard error.
    pub volume: Volume,
}

/// Resolves `pushwrap push`.
///
/// # Errors
/// Bad usage, a missing job above all.
pub fn resolve_push(push: &cli::Push) -> Result<PushConfig, UsageError> {
    let mut resolver = Resolver::new(push.destination.env_file.as_deref());
    let volume = resolve_volume(&mut resolver, &push.messages.volume)?;
    let options = ReportInputs {
        destination: &push.destination,
        connection: &push.connection,
        messages: &push.messages,
        volume,
        run: None,
    };
    let fallbacks = Fallbacks { host: HostInfo::detect(), job: None };
    let reporting = resolve_reporting(&mut resolver, options, fallbacks)?;
    Ok(PushConfig { reporting: reporting.with(resolver.finish()), volume })
}

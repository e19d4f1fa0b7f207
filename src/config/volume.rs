//! How much is said on standard error, as `--verbose` and `--quiet` decide it.

use super::source::{Resolver, values};
use super::usage_error::UsageError;
use crate::cli;
use crate::console::Volume;

/// Resolves `-v` and `-q`.
pub(super) fn resolve_volume(resolver: &mut Resolver, options: &cli::VolumeOptions) -> Result<Volume, UsageError> {
    let given = resolver.one("verbose", None, values::verbosity)?;
    let quiet = resolver.switch("quiet", options.quiet)?;
    // On the command line the two exclude each other; below it the flag that is there counts.
    let verbosity =
        if options.quiet { 0 } else { Some(options.verbose).filter(|count| *count > 0).or(given).unwrap_or(0) };
    Ok(match verbosity {
        _ if quiet && options.verbose == 0 => Volume::Quiet,
        0 => Volume::Normal,
        1 => Volume::Verbose,
        _ => Volume::Debug,
    })
}

//! What the options of `doctor` mean: those of a run, with the source of each.

use super::launchers::is_launcher;
use super::reporting::Reporting;
use super::run::resolve_run;
use super::source::{GivenSetting, Resolver};
use super::usage_error::UsageError;
use crate::cli;

/// What `pushwrap doctor` needs to know.
#[derive(Debug)]
pub struct DoctorConfig {
    /// Where and how a run would be reported.
    pub reporting: Reporting,
    /// The settings that are not the default.
    pub settings: Vec<GivenSetting>,
    /// The job's name, where it is that of a shell, an interpreter or a launcher.
    pub launcher_job: Option<String>,
    /// Whether neither a job nor a command is named, so that `COMMAND` stands for the job.
    pub has_placeholder: bool,
    /// Whether a program reads it.
    pub json: bool,
}

/// The command where none is given: what the default job is named after.
const PLACEHOLDER: &str = "COMMAND";

/// Resolves `pushwrap doctor`.
///
/// # Errors
/// Bad usage.
pub fn resolve_doctor(doctor: cli::Doctor) -> Result<DoctorConfig, UsageError> {
    let cli::Doctor { json, mut run } = doctor;
    let is_unnamed = run.command.is_empty();
    if is_unnamed {
        run.command.push(PLACEHOLDER.into());
    }
    let mut resolver = Resolver::new(run.destination.env_file.as_deref());
    let config = resolve_run(&mut resolver, run)?;
    let settings = resolver.given_settings();
    let reporting = config.reporting.with(resolver.finish());
    let job = reporting.key.as_ref().map(|key| key.job().to_owned());
    let has_placeholder = is_unnamed && job.as_deref() == Some(PLACEHOLDER);
    Ok(DoctorConfig { has_placeholder, reporting, settings, launcher_job: job.filter(|job| is_launcher(job)), json })
}

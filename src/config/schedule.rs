//! By when the job must have succeeded: `--max-age`, or `--schedule` with its margin and its zone. What is wrong with a schedule
//! below the command line is said and costs its metric alone.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::tz::TimeZone;

use super::source::{Resolver, is_given, values};
use super::usage_error::UsageError;
use crate::cli;
use crate::files::{Bounded, read_regular, reason};
use crate::report::DeadlineRule;

const DEFAULT_MARGIN: Duration = Duration::from_hours(1);
const LEFT_OUT: &str = "pushwrap_next_success_deadline_timestamp_seconds is left out";

/// The system's zone.
const LOCALTIME: &str = "/etc/localtime";
/// The directories in which the C libraries find time zones.
const ZONES: [&str; 3] = ["/usr/share/zoneinfo", "/share/zoneinfo", "/etc/zoneinfo"];
/// More than the largest file of a zone, in bytes.
const LARGEST_ZONE: u64 = 256 << 10;

/// The rule of `--schedule`, or the age of `--max-age`, at most one of them.
///
/// # Errors
/// A value on the command line that cannot be read, or both options there.
pub(super) fn resolve_deadline(
    resolver: &mut Resolver,
    about: &cli::AboutOptions,
) -> Result<(Option<DeadlineRule>, Option<Duration>), UsageError> {
    let flags = (("schedule", is_given(about.schedule.as_deref())), ("max-age", is_given(about.max_age.as_deref())));
    let (is_scheduled, is_aged) =
        resolver.prefer_or_none(flags.0, flags.1, "--schedule and --max-age exclude each other")?;
    let max_age = resolver.one("max-age", about.max_age.as_deref(), values::positive_duration)?;
    let schedule = resolver.one_or_none("schedule", about.schedule.as_deref(), str::parse)?;
    let margin = resolve_margin(resolver, about)?;
    let max_age = max_age.filter(|_| is_aged);
    let Some((schedule, margin)) = schedule.filter(|_| is_scheduled).zip(margin) else { return Ok((None, max_age)) };
    match zone() {
        Ok(zone) => Ok((Some(DeadlineRule { schedule, zone, margin }), max_age)),
        Err(error) => {
            resolver.warn(format!("{error}; {LEFT_OUT}"));
            Ok((None, max_age))
        }
    }
}

/// The margin; none where it cannot be read.
fn resolve_margin(resolver: &mut Resolver, about: &cli::AboutOptions) -> Result<Option<Duration>, UsageError> {
    let flag = about.schedule_margin.as_deref();
    let margin = resolver.one_or_none("schedule-margin", flag, values::duration)?;
    let is_set = is_given(flag) || resolver.setting_origin("schedule-margin").is_some();
    Ok(if is_set { margin } else { Some(DEFAULT_MARGIN) })
}

/// The zone of `CRON_TZ`, else `TZ`, else the system's.
fn zone() -> Result<TimeZone> {
    let given = ["CRON_TZ", "TZ"].into_iter().find_map(|variable| Some((variable, given(variable)?)));
    let Some((variable, value)) = given else { return system_zone() };
    let zone = value.to_str().context("expected UTF-8 text").and_then(named);
    zone.map_err(|error| anyhow!("invalid value '{}' for {variable}: {error}", value.to_string_lossy()))
}

fn given(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// A zone as tzset(3) takes it: a name, with a colon or without, or a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
fn named(text: &str) -> Result<TimeZone> {
    let name = text.trim_start_matches(':');
    if Path::new(name) == Path::new(LOCALTIME) {
        return system_zone();
    }
    if ["UTC", "Etc/UTC", "GMT", "Z"].contains(&name) {
        return Ok(TimeZone::UTC);
    }
    let inside = ZONES.iter().find_map(|zones| Path::new(name).strip_prefix(zones).ok()).unwrap_or(Path::new(name));
    if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("expected a time zone such as Europe/Berlin");
    }
    let mut files = ZONES.iter().map(|zones| read_zone(&Path::new(zones).join(inside)));
    if let Some(zone) = files.find_map(Result::ok) {
        return Ok(zone);
    }
    let has_zones = ZONES.iter().any(|zones| Path::new(zones).join("UTC").exists());
    TimeZone::posix(name).map_err(|_| {
        let hint =
            if has_zones { "there is no such time zone" } else { "the system has no zones (tzdata); UTC needs none" };
        anyhow!(hint)
    })
}

/// As the C libraries have it, a system that names no zone has UTC.
fn system_zone() -> Result<TimeZone> {
    match read_zone(Path::new(LOCALTIME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TimeZone::UTC),
        read => read.map_err(|error| anyhow!("cannot read time zone '{LOCALTIME}': {}", reason(&error))),
    }
}

fn read_zone(path: &Path) -> io::Result<TimeZone> {
    let no_zone = || io::Error::new(io::ErrorKind::InvalidData, "it holds no time zone");
    match read_regular(path, LARGEST_ZONE)? {
        Bounded::Complete(bytes) => TimeZone::tzif(&path.to_string_lossy(), &bytes).map_err(|_| no_zone()),
        Bounded::TooLarge => Err(no_zone()),
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn zones_are_named_as_for_the_c_library() {
        for name in ["UTC", "Europe/Berlin", ":Europe/Berlin", ":/etc/localtime", "CET-1CEST,M3.5.0,M10.5.0/3"] {
            assert!(named(name).is_ok(), "{name}: {:?}", named(name));
        }
        assert_eq!(named("/usr/share/zoneinfo/Europe/Berlin").is_ok(), named("Europe/Berlin").is_ok());
        for name in ["Europe/Bonn", "../../../etc/passwd", "/etc/passwd", "", "x y"] {
            assert!(named(name).is_err(), "{name}");
        }
    }
}

//! Settings that people write: the env file and the schedule of cron.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::EnvFile;
use crate::schedule::Schedule;

/// The longest env file of which every line is short enough to be written anew.
const LONGEST: usize = 60_000;

/// An env file: its settings, written anew in quotation marks, are read as the same; no warning has a character that acts on a
/// terminal, or is so long that it could have the text of a line.
pub fn env_file(data: &[u8]) {
    let Ok(file) = EnvFile::of(data) else {
        assert!(data.starts_with(&[0xff, 0xfe]) || data.starts_with(&[0xfe, 0xff]), "only UTF-16 is refused");
        return;
    };
    let lines = data.split(|byte| *byte == b'\n').count();
    let mut text = Vec::new();
    for (name, (value, line)) in &file.settings {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name:?}");
        assert!((1..=lines).contains(line) && !value.as_bytes().contains(&0), "{name} in line {line}");
        text.extend([name.as_bytes(), b"=\"", value.as_bytes(), b"\"\r\n"].concat());
    }
    for warning in file.warnings() {
        assert!(!warning.contains(char::is_control) && warning.len() < 100, "{warning:?}");
    }
    if data.len() <= LONGEST {
        let again = EnvFile::of(&text).unwrap();
        assert_eq!(again.warnings().next(), None);
        assert_eq!(values(&again), values(&file));
    }
}

fn values(file: &EnvFile) -> BTreeMap<&String, &OsString> {
    file.settings.iter().map(|(name, (value, _))| (name, value)).collect()
}

/// A start and a cron expression: the next run is after the start, it is the next one of every later moment before it, and in UTC
/// it is the first minute that meets the five fields as a second parser reads them.
pub fn schedule(data: &[u8]) {
    let Some((seconds, expression)) = data.split_first_chunk::<4>() else { return };
    let Ok(expression) = std::str::from_utf8(expression) else { return };
    let Ok(schedule) = expression.parse::<Schedule>() else { return };
    let start = UNIX_EPOCH + Duration::from_secs(u64::from(u32::from_le_bytes(*seconds)));
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for zone in [TimeZone::UTC, berlin] {
        let Some(next) = schedule.next(start, &zone) else { continue };
        assert!(next > start, "{expression}");
        let between = start + next.duration_since(start).unwrap() / 2;
        for later in [between, next - Duration::from_secs(1)] {
            assert_eq!(schedule.next(later, &zone), Some(next), "{expression} after {later:?}");
        }
        if zone == TimeZone::UTC {
            is_first_in_utc(expression, start, next);
        }
    }
}

fn is_first_in_utc(expression: &str, start: SystemTime, next: SystemTime) {
    /// Two days of minutes.
    const MOST: usize = 2880;
    const MINUTE: u64 = 60;
    let minute = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs() / MINUTE;
    let at = |minute: u64| {
        let time = Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(minute * MINUTE)).unwrap();
        TimeZone::UTC.to_datetime(time)
    };
    let meets = meets(expression);
    assert!(meets(at(minute(next))), "{expression}: {next:?}");
    for skipped in (minute(start) + 1..minute(next)).take(MOST) {
        assert!(!meets(at(skipped)), "{expression}: {} comes before {next:?}", at(skipped));
    }
}

/// Whether a minute meets an expression, by the text of crontab(5) alone.
fn meets(expression: &str) -> impl Fn(DateTime) -> bool {
    let fields = match expression.trim() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        five => five,
    };
    let fields: Vec<String> = fields.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    let [minutes, hours, days, months, weekdays] =
        [(0, 0, 59), (1, 0, 23), (2, 1, 31), (3, 1, 12), (4, 0, 7)].map(|(field, lowest, highest)| {
            (lowest..=highest).filter(|value| allows(&fields[field], *value, (lowest, highest))).collect::<Vec<i64>>()
        });
    let is_both = fields[2].starts_with('*') || fields[4].starts_with('*');
    move |time| {
        let weekday = i64::from(time.weekday().to_sunday_zero_offset());
        let by_week = weekdays.contains(&weekday) || weekday == 0 && weekdays.contains(&7);
        let by_month = days.contains(&i64::from(time.day()));
        let is_day = if is_both { by_month && by_week } else { by_month || by_week };
        let [minute, hour, month] = [time.minute(), time.hour(), time.month()].map(i64::from);
        minutes.contains(&minute) && hours.contains(&hour) && months.contains(&month) && is_day
    }
}

/// Whether a field allows a value.
fn allows(field: &str, value: i64, (lowest, highest): (i64, i64)) -> bool {
    let number = |text: &str| {
        let names = "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat";
        let found = names.split(' ').zip((1..=12).chain(0..=6)).find(|(name, _)| *name == text);
        found.map_or_else(|| text.parse::<i64>().unwrap(), |(_, number)| number)
    };
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(number(step))));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (lowest, highest),
            Some((first, last)) => (number(first), number(last)),
            None => (number(range), if step.is_some() { highest } else { number(range) }),
        };
        (first..=last).contains(&value) && (value - first) % step.unwrap_or(1) == 0
    })
}

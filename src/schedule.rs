//! When a job of cron runs next: expressions as in crontab(5), read and searched, pure. Vixie's rules hold (a day meets day of
//! month or day of week, or both where one of them begins with `*`), and Debian's about daylight saving: a fixed time that the
//! clock jumps over runs at once after the jump, one that comes twice runs once; with `*` as minute or hour the clock alone counts.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The nicknames of crontab(5), but for `@reboot`, which has no time.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const MINUTE: Field = Field { meaning: "minute", lowest: 0, highest: 59, names: &[] };
const HOUR: Field = Field { meaning: "hour", lowest: 0, highest: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { meaning: "day of the month", lowest: 1, highest: 31, names: &[] };
const MONTH: Field = Field { meaning: "month", lowest: 1, highest: 12, names: &MONTHS };
const DAY_OF_WEEK: Field = Field { meaning: "day of the week", lowest: 0, highest: 7, names: &DAYS };

/// The calendar repeats itself after that many days, 400 years: what has not come by then never does.
const DAYS_OF_THE_CALENDAR: u32 = 146_097;
/// How far ahead a run is looked for, in days: leap days on a given weekday can be 40 years apart.
const DAYS_AHEAD: u32 = 41 * 366;

/// The times at which a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    minutes: FieldValues,
    hours: FieldValues,
    days: FieldValues,
    months: FieldValues,
    weekdays: FieldValues,
}

/// The values that one field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldValues {
    /// A bit a value.
    bits: u64,
    /// Whether the field begins with `*`.
    is_star: bool,
}

/// What a field may hold.
struct Field {
    meaning: &'static str,
    lowest: u8,
    highest: u8,
    /// In the order of the values, from the lowest on.
    names: &'static [&'static str],
}

impl Schedule {
    /// The first time after `start` at which cron would run the job in this zone; none within the next 41 years.
    #[must_use]
    pub fn next(&self, start: SystemTime, zone: &TimeZone) -> Option<SystemTime> {
        let start = Timestamp::try_from(start).ok()?;
        // A day earlier: where the clock was put back over midnight, yesterday's times can still come.
        let first = zone.to_datetime(start).date().yesterday().ok()?;
        let next = self.dates(first, DAYS_AHEAD).find_map(|day| self.next_on(day, start, zone))?;
        let seconds = u64::try_from(next.as_second()).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// The days from this one on that meet the schedule, among so many.
    fn dates(&self, first: Date, count: u32) -> impl Iterator<Item = Date> {
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).zip(0..count);
        days.map(|(day, _)| day).filter(|day| self.meets(*day))
    }

    fn meets(&self, day: Date) -> bool {
        let of_month = self.days.has(day.day());
        let of_week = self.weekdays.has(day.weekday().to_sunday_zero_offset());
        let either = if self.days.is_star || self.weekdays.is_star { of_month && of_week } else { of_month || of_week };
        either && self.months.has(day.month())
    }

    /// The first time of this day after `start`.
    fn next_on(&self, day: Date, start: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        let times = hours.flat_map(|hour| (0..60).map(move |minute| (hour, minute)));
        let mut next: Option<Timestamp> = None;
        for (hour, minute) in times.filter(|(_, minute)| self.minutes.has(*minute)) {
            let (instants, is_plain) = self.instants(day.at(hour, minute, 0, 0), zone);
            next = instants.into_iter().flatten().filter(|instant| *instant > start).chain(next).min();
            // Behind a time that comes once, later times come later.
            if is_plain && next.is_some() {
                break;
            }
        }
        next
    }

    /// When the job runs for this time of the wall clock, and whether that time comes exactly once.
    fn instants(&self, time: DateTime, zone: &TimeZone) -> ([Option<Timestamp>; 2], bool) {
        let follows_the_clock = self.minutes.is_star || self.hours.is_star;
        match zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => ([offset.to_timestamp(time).ok(), None], true),
            AmbiguousOffset::Gap { .. } if follows_the_clock => ([None, None], false),
            AmbiguousOffset::Gap { before, .. } => {
                let jump = before.to_timestamp(time).ok().and_then(|inside| {
                    let inside = inside.checked_add(Duration::from_secs(1)).ok()?;
                    zone.preceding(inside).next().map(|transition| transition.timestamp())
                });
                ([jump, None], false)
            }
            AmbiguousOffset::Fold { before, after } => {
                let again = if follows_the_clock { after.to_timestamp(time).ok() } else { None };
                ([before.to_timestamp(time).ok(), again], false)
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let five = NICKNAMES.iter().find(|(name, _)| *name == text).map_or(text, |(_, five)| five);
        if five == "@reboot" {
            return Err("@reboot has no time".to_owned());
        }
        let fields: Vec<&str> = five.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err("expected five fields as in crontab(5), such as '17 3 * * 1-5', or @daily".to_owned());
        };
        let schedule = Self {
            minutes: MINUTE.read(minutes)?,
            hours: HOUR.read(hours)?,
            days: DAY_OF_MONTH.read(days)?,
            months: MONTH.read(months)?,
            weekdays: DAY_OF_WEEK.read(weekdays)?.with_sunday(),
        };
        if schedule.dates(date(2000, 1, 1), DAYS_OF_THE_CALENDAR).next().is_none() {
            return Err("that date never comes".to_owned());
        }
        Ok(schedule)
    }
}

impl FieldValues {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits >> value & 1 == 1)
    }

    /// 7 is Sunday as 0 is.
    fn with_sunday(self) -> Self {
        Self { bits: self.bits | self.bits >> 7 & 1, ..self }
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<FieldValues, String> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.item(item)?;
        }
        Ok(FieldValues { bits, is_star: text.starts_with('*') })
    }

    /// `*`, a value, or a range, each with a step or without.
    fn item(&self, item: &str) -> Result<u64, String> {
        let (values, step) = match item.split_once('/') {
            Some((values, step)) => (values, Some(step)),
            None => (item, None),
        };
        let (first, last) = match values.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if values == "*" => (self.lowest, self.highest),
            None => {
                let value = self.value(values)?;
                (value, if step.is_some() { self.highest } else { value })
            }
        };
        if first > last {
            return Err(format!("the range '{values}' ends before it begins"));
        }
        let step = step.map_or(Some(1), number).filter(|step| *step > 0);
        let step = step.ok_or_else(|| format!("the step of '{item}' is no number from 1 on"))?;
        Ok((first..=last).step_by(usize::from(step)).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let named = self.names.iter().zip(self.lowest..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = named.map(|(_, value)| value).or_else(|| number(text));
        value
            .filter(|value| (self.lowest..=self.highest).contains(value))
            .ok_or_else(|| format!("'{text}' is no {self}"))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { meaning, lowest, highest, names } = self;
        write!(formatter, "{meaning} ({lowest} to {highest}")?;
        match (names.first(), names.last()) {
            (Some(first), Some(last)) => write!(formatter, ", {first} to {last})"),
            _ => formatter.write_str(")"),
        }
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::Schedule;

    fn zone(name: &str) -> TimeZone {
        if name == "UTC" {
            return TimeZone::UTC;
        }
        TimeZone::tzif(name, &std::fs::read(Path::new("/usr/share/zoneinfo").join(name)).unwrap()).unwrap()
    }

    fn at(text: &str) -> SystemTime {
        SystemTime::try_from(text.parse::<Timestamp>().unwrap()).unwrap()
    }

    /// The table was derived minute by minute by cron's own rules, with another implementation of zones.
    #[test]
    fn every_row_of_the_table_is_met() {
        let table = include_str!("../tests/schedule.tsv");
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for row in rows {
            let [name, expression, start, next] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let schedule: Schedule = expression.parse().unwrap();
            assert_eq!(schedule.next(at(start), &zone(name)), Some(at(next)), "{row}");
            count += 1;
        }
        assert_eq!(count, 153);
    }

    #[test]
    fn what_crontab_has_not_is_refused_with_the_reason() {
        for (expression, reason) in [
            ("", "expected five fields"),
            ("* * * *", "expected five fields"),
            ("0 0 3 * * *", "expected five fields"),
            ("0 3 * * * /usr/bin/backup", "expected five fields"),
            ("@fortnightly", "expected five fields"),
            ("@reboot", "has no time"),
            ("60 * * * *", "'60' is no minute (0 to 59)"),
            ("0 24 * * *", "'24' is no hour (0 to 23)"),
            ("0 0 0 * *", "'0' is no day of the month (1 to 31)"),
            ("0 0 L * *", "'L' is no day of the month"),
            ("0 0 15W * *", "'15W' is no day of the month"),
            ("0 0 ? * *", "'?' is no day of the month"),
            ("0 0 * 13 *", "'13' is no month (1 to 12, jan to dec)"),
            ("0 0 * * 8", "'8' is no day of the week (0 to 7, sun to sat)"),
            ("0 0 * * 5#2", "'5#2' is no day of the week"),
            ("0 0 * * monday", "'monday' is no day of the week"),
            ("H 3 * * *", "'H' is no minute"),
            ("+5 3 * * *", "'+5' is no minute"),
            ("1,,2 * * * *", "'' is no minute"),
            ("*/0 * * * *", "the step of '*/0'"),
            ("*/ * * * *", "the step of '*/'"),
            ("*/x * * * *", "the step of '*/x'"),
            ("1-* * * * *", "'*' is no minute"),
            ("0 0 * * sat-sun", "the range 'sat-sun' ends before it begins"),
            ("0 0 31 2 *", "that date never comes"),
            ("0 0 30 2 *", "that date never comes"),
            ("0 0 31 4,6,9,11 *", "that date never comes"),
        ] {
            let error = expression.parse::<Schedule>().unwrap_err();
            assert!(error.contains(reason), "{expression}: {error}");
        }
    }

    #[test]
    fn rare_days_are_found_and_the_search_ends() {
        let next = |expression: &str, start: &str, name: &str| {
            expression.parse::<Schedule>().unwrap().next(at(start), &zone(name))
        };
        // A leap day that is a Sunday: day of month and day of week, because one begins with '*'.
        assert_eq!(next("0 0 29 2 */7", "2088-03-01T00:00:00Z", "UTC"), Some(at("2128-02-29T00:00:00Z")));
        assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z", "UTC"), Some(at("2104-02-29T00:00:00Z")));
        // Always in the hour that the clock jumps over, and with '*' the clock alone counts.
        assert_eq!(next("*/5 2 25-31 3 */7", "2026-11-27T00:00:00Z", "Europe/Berlin"), None);
    }
}

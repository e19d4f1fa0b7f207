//! How long a server asks to be left alone: the `Retry-After` header, as seconds or as a date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The pause that `value` asks for at `now`; none for a moment that has passed and for what is neither form.
pub(super) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    value.parse().map(Duration::from_secs).ok().or_else(|| http_date(value)?.duration_since(now).ok())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; the two obsolete forms are not sent any more (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<SystemTime> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut words = rest.split(' ');
    let day = u64::from(words.next()?.parse::<u8>().ok()?);
    let month = words.next()?;
    let month = 1 + u64::try_from(MONTHS.iter().position(|known| *known == month)?).ok()?;
    let year = u64::from(words.next()?.parse::<u16>().ok()?);
    let mut clock = words.next()?.split(':').map(str::parse::<u8>);
    let mut next = || clock.next()?.ok().map(u64::from);
    let seconds = next()? * 3600 + next()? * 60 + next()?;
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(days_since_epoch(year, month, day) * 86_400 + seconds))
}

/// Days from 1 January 1970 in the Gregorian calendar, counted in years that begin in March, so that the leap day comes last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719468: from 1 March of year 0 to the epoch.
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{http_date, parse};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Fri, 31 Dec 2100 23:59:59 GMT", 4_133_980_799),
        ] {
            assert_eq!(http_date(text), Some(at(seconds)), "{text}");
        }
    }

    #[test]
    fn seconds_and_dates_to_come_are_pauses() {
        let now = at(784_111_770);
        assert_eq!(parse(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        for nothing in [
            "",
            "-1",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:49:07 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "a, 1 Nov 1994 999999999999:0:0 GMT",
        ] {
            assert_eq!(parse(nothing, now), None, "{nothing}");
        }
    }
}

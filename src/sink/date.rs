//! The time of day in a server's answer. Push times are stamps of the gateway's clock, so their age is reckoned by that clock
//! and not by the one of the machine that asks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// An IMF-fixdate, the only form that servers may send: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let number = |text: &str, most: u64| {
        let number = text.parse::<u64>().ok().filter(|number| *number <= most);
        number.filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let month = MONTHS.iter().position(|name| name == month)?;
    let days = days_since_1970(number(year, 9999)?, u64::try_from(month).ok()? + 1, number(day, 31)?)?;
    let clock: Vec<&str> = time.split(':').collect();
    let [hours, minutes, seconds] = clock.as_slice() else { return None };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60 + number(seconds, 60)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds))
}

/// Days from 1970-01-01, in the proleptic Gregorian calendar. The year is taken to begin in March, so that the leap day is
/// its last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let months_since_march = (month + 9) % 12;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (months_since_march * 153 + 2) / 5 + day;
    // 1970-01-01 in the same count.
    days.checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::parse;

    fn seconds(text: &str) -> Option<u64> {
        parse(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn dates_of_servers() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        assert_eq!(seconds("Wed, 25 Nov 2026 17:28:34 GMT"), Some(1_795_627_714));
        assert_eq!(seconds("Mon, 01 Mar 2100 00:00:00 GMT"), Some(4_107_542_400));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["", "now", "Wed, 25 Nov 2026 17:28:34", "Wed, 25 Foo 2026 17:28:34 GMT", "Wed, 25 Nov 2026 17:28 GMT"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(seconds("Wed, 25 Nov 2026 +7:28:34 GMT"), None);
        assert_eq!(seconds("Wed, 25 Nov 0000 17:28:34 GMT"), None);
        assert_eq!(seconds("Wed, 25 Nov 99999999999999999999 17:28:34 GMT"), None);
    }
}

//! How long a server asks to be left alone: the `Retry-After` header, as seconds or as a date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

/// The pause that `value` asks for at `now`; none for a moment that has passed and for what is neither form.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    value
        .parse()
        .map(Duration::from_secs)
        .ok()
        .or_else(|| httpdate::parse_http_date(value).ok()?.duration_since(now).ok())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::parse;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
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

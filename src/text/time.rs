//! Durations and ages for a person.

use std::time::{Duration, SystemTime};

/// How long ago `then` was, in one unit: `3h ago`.
pub(crate) fn age(now: SystemTime, then: SystemTime) -> String {
    match now.duration_since(then).unwrap_or_default().as_secs() {
        0 => "now".to_owned(),
        seconds => one_unit(seconds) + " ago",
    }
}

/// Seconds in one unit: `3h`.
pub(crate) fn one_unit(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A duration with two units at most: `2d 1h`, `1h 5m`, `1m 3s`, `1.25s`, `2.7ms`.
pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{:.1}ms", duration.as_secs_f64() * 1000.0),
        1..60 => format!("{:.2}s", duration.as_secs_f64()),
        60..3600 => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
        3600..172_800 => humantime::format_duration(Duration::from_mins(duration.as_secs() / 60)).to_string(),
        seconds => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{age, span};

    #[test]
    fn ages_have_one_unit() {
        let ago = |seconds: u64| age(UNIX_EPOCH + Duration::from_secs(seconds), UNIX_EPOCH);
        for (seconds, printed) in [
            (0, "now"),
            (119, "119s ago"),
            (120, "2m ago"),
            (7199, "119m ago"),
            (7200, "2h ago"),
            (172_799, "47h ago"),
            (172_800, "2d ago"),
            (86_400_000, "1000d ago"),
        ] {
            assert_eq!(ago(seconds), printed);
        }
        assert_eq!(age(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(9)), "now", "clocks are not exact");
    }

    #[test]
    fn durations_have_two_units() {
        assert_eq!(span(Duration::from_micros(1234)), "1.2ms");
        assert_eq!(span(Duration::from_millis(1250)), "1.25s");
        assert_eq!(span(Duration::from_millis(63_500)), "1m 3s");
        assert_eq!(span(Duration::from_secs(3_963)), "1h 6m");
        assert_eq!(span(Duration::from_hours(49)), "2d 1h");
    }
}

//! What the text of an option value means: durations, signals, exit codes, sizes. Each error says what would be right; the
//! caller puts the option and the value in front of it.

use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail};
use nix::sys::signal::Signal;

/// Longer than any job or machine lives; keeps sums with the clock from overflowing.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// A duration as humantime(…) prints and parses it, or a bare number of seconds as in timeout(1) and curl.
pub(in crate::config) fn duration(text: &str) -> Result<Duration> {
    let wrong = || anyhow!("expected a duration such as 90s, 1h 5m, or a number of seconds");
    let text = text.trim();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let duration = if is_number {
        let seconds: f64 = text.parse().map_err(|_| wrong())?;
        Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).map_err(|_| wrong())?
    } else {
        humantime::parse_duration(text).map_err(|_| wrong())?
    };
    Ok(duration.min(LONGEST))
}

/// A duration that must not be zero.
pub(in crate::config) fn positive_duration(text: &str) -> Result<Duration> {
    match duration(text)? {
        Duration::ZERO => Err(anyhow!("expected a duration longer than 0")),
        duration => Ok(duration),
    }
}

/// An age that people mean in days as a rule: a bare number would be seconds, so that its unit must be written.
pub(in crate::config) fn age(text: &str) -> Result<Duration> {
    let wanted = |error: Error| anyhow!(error.to_string().replace("90s, 1h 5m, or a number of seconds", "90d or 12h"));
    let age = positive_duration(text).map_err(wanted)?;
    let text = text.trim();
    if text.parse::<f64>().is_ok() { Err(anyhow!("expected a unit: write {text}d or {text}s")) } else { Ok(age) }
}

/// A duration of which zero means none, as in timeout(1).
pub(in crate::config) fn limit(text: &str) -> Result<Option<Duration>> {
    duration(text).map(|duration| (!duration.is_zero()).then_some(duration))
}

/// A duration or `off`.
pub(in crate::config) fn interval(text: &str) -> Result<Option<Duration>> {
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match duration(text) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(Some(duration)),
        Ok(_) => Err(anyhow!("expected 0.1s or more, or 'off'")),
        Err(error) => Err(anyhow!("{error}, or 'off'")),
    }
}

/// A signal as kill(1) takes it: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub(in crate::config) fn signal(text: &str) -> Result<i32> {
    let wrong = || anyhow!("expected a signal such as TERM, SIGINT, 15 or RTMIN+1");
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<i32>() {
        return (1..=libc::SIGRTMAX()).contains(&number).then_some(number).ok_or_else(wrong);
    }
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign).and_then(|digits| digits.parse::<u8>().ok()).map(i32::from),
    };
    let from_lowest = name.strip_prefix("RTMIN").map(|rest| offset(rest, '+').map(|offset| libc::SIGRTMIN() + offset));
    let from_highest = name.strip_prefix("RTMAX").map(|rest| offset(rest, '-').map(|offset| libc::SIGRTMAX() - offset));
    let real_time = from_lowest.or(from_highest);
    match real_time {
        Some(Some(number)) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) => Ok(number),
        Some(_) => Err(wrong()),
        None => format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| wrong()),
    }
}

/// Exit codes and ranges of them in a list with commas: `0,24,100-127`.
pub(in crate::config) fn codes(text: &str) -> Result<Vec<u8>> {
    let wrong = || anyhow!("expected exit codes from 0 to 255, such as 0,24,100-127");
    let code = |code: &str| code.trim().parse::<u8>().map_err(|_| wrong());
    let mut codes = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let range = code(first)?..=code(last)?;
        if range.is_empty() {
            return Err(wrong());
        }
        codes.extend(range);
    }
    Ok(codes)
}

/// Bytes: `64MiB`, `10k`, `1000`. `k`, `M`, `G` alone are powers of 1024, as in `ulimit`, `dd` and docker's `--memory`.
pub(in crate::config) fn size(text: &str) -> Result<u64> {
    let wrong = || anyhow!("expected a size such as 64MiB, 10M or a number of bytes");
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|size| *size > 0).ok_or_else(wrong)
}

/// A switch in a variable.
pub(in crate::config) fn switch(text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(anyhow!("expected true or false")),
    }
}

/// How often `-v` was meant: a number, or a switch.
pub(in crate::config) fn verbosity(text: &str) -> Result<u8> {
    match text.trim().parse::<u64>() {
        Ok(count) => Ok(u8::try_from(count).unwrap_or(u8::MAX)),
        Err(_) => switch(text).map(u8::from).map_err(|_| anyhow!("expected a number, true or false")),
    }
}

/// What the Pushgateway's own metrics begin with: pushed under such a name, ours could take its page down for everybody.
const GATEWAY_PREFIXES: [&str; 4] = ["pushgateway_", "promhttp_", "go_", "process_"];

/// The prefix of the run's own metrics: a metric name's beginning (Prometheus data model).
pub(in crate::config) fn prefix(text: &str) -> Result<String> {
    if let Some(taken) = GATEWAY_PREFIXES.iter().find(|taken| text.starts_with(*taken)) {
        bail!("metrics that begin with {taken} are the Pushgateway's own");
    }
    let starts_well =
        text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_' || first == b':');
    if starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':') {
        return Ok(text.to_owned());
    }
    Err(anyhow!("expected the beginning of a metric name, such as backup_"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{codes, duration, interval, limit, positive_duration, prefix, signal, size, switch, verbosity};

    #[test]
    fn durations_are_humantimes_or_seconds() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1h 5m").unwrap(), Duration::from_mins(65));
        assert_eq!(duration("10").unwrap(), Duration::from_secs(10));
        assert_eq!(duration("0.25").unwrap(), Duration::from_millis(250));
        assert!(duration("99999999999999999999").is_ok());
        for wrong in ["", "-1", "1x", "ten", ".", "1e3", "inf", "1 2", "1..2"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(limit("0").unwrap(), None);
        assert!(positive_duration("0s").is_err());
        assert_eq!(interval("off").unwrap(), None);
        assert!(interval("10ms").is_err());
    }

    #[test]
    fn signals_are_names_and_numbers() {
        for (text, number) in [("TERM", 15), ("sigterm", 15), ("15", 15), ("SIGKILL", 9), ("USR1", 10), ("64", 64)] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        assert_eq!(signal("RTMIN+1").unwrap(), libc::SIGRTMIN() + 1);
        assert_eq!(signal("SIGRTMAX-2").unwrap(), libc::SIGRTMAX() - 2);
        for wrong in ["", "0", "65", "-9", "FOO", "RTMIN+99", "RTMIN-1", "RTMAX+1"] {
            assert!(signal(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_sizes_switches_and_prefixes() {
        assert_eq!(codes("0, 24").unwrap(), vec![0, 24]);
        assert_eq!(codes("0,24,100 - 103").unwrap(), vec![0, 24, 100, 101, 102, 103]);
        assert_eq!(codes("0-255").unwrap().len(), 256);
        for wrong in ["3-1", "-3", "3-", "1-2-3", "250-256", "a-b"] {
            assert!(codes(wrong).is_err(), "{wrong}");
        }
        assert!(codes("0,256").is_err() && codes("").is_err() && codes("0,").is_err());
        assert_eq!(size("64MiB").unwrap(), 64 << 20);
        assert_eq!(size("1000").unwrap(), 1000);
        assert!(size("0").is_err() && size("MiB").is_err() && size("1x").is_err() && size("99999999999G").is_err());
        assert!(switch("Yes").unwrap());
        assert!(switch("maybe").is_err());
        for (text, count) in [("999", 255), ("2", 2), ("yes", 1)] {
            assert_eq!(verbosity(text).unwrap(), count, "{text}");
        }
        assert_eq!(prefix("backup_").unwrap(), "backup_");
        assert!(prefix("pushgateway_http_").is_err() && prefix("go_").is_err() && prefix("gogo_").is_ok());
        assert!(prefix("").is_err() && prefix("1a").is_err() && prefix("a-b").is_err());
    }
}

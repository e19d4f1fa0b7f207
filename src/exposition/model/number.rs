//! The numbers of the format, as Go's `strconv.ParseFloat` reads them without hexadecimal and underscores. Rust's own
//! parser is laxer in two places (a sign before NaN, and text that overflows), so the grammar is checked here.

/// What the text of a number means, and whether the Pushgateway reads that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum Spelling {
    /// A finite decimal number; passed on as it was written.
    Decimal,
    /// Not a number, in any letter case.
    Nan,
    /// Positive infinity, in any of its spellings.
    Infinity,
    /// Negative infinity, in any of its spellings.
    NegativeInfinity,
    /// `-nan` and `+nan`, as C's printf writes it: the meaning is certain, but Go refuses the sign.
    SignedNan,
}

impl Spelling {
    /// The spelling that every reader of the format takes; `None` where the text stays as it was written.
    pub(in crate::exposition) fn canonical(self) -> Option<&'static str> {
        match self {
            Self::Decimal => None,
            Self::Nan | Self::SignedNan => Some("NaN"),
            Self::Infinity => Some("+Inf"),
            Self::NegativeInfinity => Some("-Inf"),
        }
    }
}

/// Reads the text of a number; `None` where it is none. Never allocates.
pub(in crate::exposition) fn spelling(text: &[u8]) -> Option<Spelling> {
    let (sign, digits) = match text {
        [sign @ (b'+' | b'-'), rest @ ..] => (Some(*sign), rest),
        _ => (None, text),
    };
    match digits.first()? {
        b'0'..=b'9' | b'.' => is_decimal(text, digits).then_some(Spelling::Decimal),
        _ if digits.eq_ignore_ascii_case(b"nan") => {
            Some(if sign.is_some() { Spelling::SignedNan } else { Spelling::Nan })
        }
        _ if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") => {
            Some(if sign == Some(b'-') { Spelling::NegativeInfinity } else { Spelling::Infinity })
        }
        _ => None,
    }
}

/// The number that `text` means; `None` where it is none.
pub(in crate::exposition) fn parse(text: &str) -> Option<f64> {
    match spelling(text.as_bytes())? {
        Spelling::Decimal => text.parse().ok(),
        Spelling::Nan | Spelling::SignedNan => Some(f64::NAN),
        Spelling::Infinity => Some(f64::INFINITY),
        Spelling::NegativeInfinity => Some(f64::NEG_INFINITY),
    }
}

/// The number that `text` means where the gateway takes it as it is written.
pub(in crate::exposition) fn parse_strict(text: &str) -> Option<f64> {
    match spelling(text.as_bytes())? {
        Spelling::SignedNan => None,
        _ => parse(text),
    }
}

/// The shortest text that means `number`, as Go's `strconv.FormatFloat(…, 'g', -1, 64)` sets the limits of exponents.
pub(in crate::exposition) fn write(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ if number == 0.0 || (1e-4..1e21).contains(&number.abs()) => number.to_string(),
        _ => format!("{number:e}"),
    }
}

/// The text of a bucket's bound, as OpenMetrics ("Canonical Numbers"), Prometheus 3 and `prometheus_client` write it: the
/// same bound is then one series whoever writes it.
pub(in crate::exposition) fn write_bound(bound: f64) -> String {
    if !bound.is_finite() {
        return write(bound);
    }
    if bound != 0.0 && (bound >= 1e6 || !(1e-4..1e16).contains(&bound.abs())) {
        let text = format!("{bound:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{bound:?}")
}

/// `digits` is `text` without its sign and begins with a digit or a point.
fn is_decimal(text: &[u8], digits: &[u8]) -> bool {
    let whole = count_digits(digits);
    let mut rest = digits.get(whole..).unwrap_or_default();
    let mut fraction = 0;
    if let [b'.', tail @ ..] = rest {
        fraction = count_digits(tail);
        rest = tail.get(fraction..).unwrap_or_default();
    }
    if whole + fraction == 0 {
        return false;
    }
    match rest {
        // 308 digits cannot overflow, and nothing else can without an exponent.
        [] => whole <= 308 || is_finite(text),
        [b'e' | b'E', exponent @ ..] => {
            let exponent = match exponent {
                [b'+' | b'-', rest @ ..] => rest,
                _ => exponent,
            };
            !exponent.is_empty() && count_digits(exponent) == exponent.len() && is_finite(text)
        }
        _ => false,
    }
}

fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Go calls a decimal that rounds to infinity an error (`ErrRange`); Rust calls it infinity.
fn is_finite(text: &[u8]) -> bool {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::{Spelling, parse, spelling, write, write_bound};

    #[test]
    fn decimals_are_those_of_go() {
        for good in ["0", "12", "-1", "+1", ".5", "5.", "-.5", "1e3", "1E+3", "1.5e03", "5.e1", "1e-400", "0e999"] {
            assert_eq!(spelling(good.as_bytes()), Some(Spelling::Decimal), "{good}");
        }
        let bad = [
            "", "+", ".", "-.", "e5", "1e", "1e+", "1e5.5", "0x10", "0x1p4", "1_000", "1,5", "12k", "1e309",
            "-1.8e308", "+-1", "Inf1", "infin", "nano", " 1", "1 ", "\u{ff11}", "true", "1.2.3", "3i",
        ];
        for text in bad {
            assert_eq!(spelling(text.as_bytes()), None, "{text}");
        }
        assert_eq!(spelling("9".repeat(400).as_bytes()), None);
        assert_eq!(spelling("0".repeat(400).as_bytes()), Some(Spelling::Decimal));
    }

    #[test]
    fn words_become_what_they_mean() {
        for (text, canonical) in [
            ("nan", "NaN"),
            ("Nan", "NaN"),
            ("-nan", "NaN"),
            ("+NaN", "NaN"),
            ("inf", "+Inf"),
            ("+inf", "+Inf"),
            ("INFINITY", "+Inf"),
            ("-iNf", "-Inf"),
        ] {
            assert_eq!(spelling(text.as_bytes()).and_then(Spelling::canonical), Some(canonical), "{text}");
        }
        assert_eq!(parse("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("1e3"), Some(1000.0));
    }

    #[test]
    fn numbers_are_written_short() {
        for (number, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (1.5e-7, "1.5e-7"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(write(number), text);
            assert_eq!(parse(text).map(f64::is_nan), Some(number.is_nan()));
        }
    }

    #[test]
    fn bounds_are_written_as_everybody_does() {
        for (bound, text) in [
            (0.005, "0.005"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-2.5, "-2.5"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (-1_000_000.0, "-1000000.0"),
            (1e22, "1e+22"),
            (0.000_01, "1e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(write_bound(bound), text);
        }
    }
}

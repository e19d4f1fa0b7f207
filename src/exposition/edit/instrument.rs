//! What a program's client library would do with a measurement: the rules of counters, gauges, histograms and summaries,
//! and the default buckets, are those of Python's `prometheus_client`.

use std::str::FromStr;

use crate::exposition::model::{Kind, Suffix, number};

/// The name of a metric: `[a-zA-Z_:][a-zA-Z0-9_:]*` (Prometheus data model).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName(String);

impl MetricName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MetricName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
        if bytes.next().is_some_and(is_letter) && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err(match text.split_once('{') {
            Some((name, _)) if name.parse::<Self>().is_ok() => "labels are given apart, with -l NAME=VALUE".to_owned(),
            _ => "letters, digits, '_' and ':' only, and no digit first".to_owned(),
        })
    }
}

/// The value of a gauge: any number, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spelling = number::spelling(text.as_bytes()).ok_or_else(|| NOT_A_NUMBER.to_owned())?;
        Ok(Self(spelling.canonical().unwrap_or(text).to_owned()))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self(number::write(number))
    }
}

const NOT_A_NUMBER: &str = "expected a number, such as 12, 0.5 or 1e3";

/// What is added to a counter: never negative, as in every client library, and not NaN, which no later call could mend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Increment(f64);

impl FromStr for Increment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match number::parse(text) {
            None => Err(NOT_A_NUMBER.to_owned()),
            Some(number) if number.is_nan() => Err("a counter that is not a number would stay so".to_owned()),
            Some(number) if number < 0.0 => Err("a counter never falls; a gauge does (metric set)".to_owned()),
            Some(number) => Ok(Self(number)),
        }
    }
}

/// What a histogram or summary observes: any number but NaN, which belongs into no bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation(f64);

impl FromStr for Observation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match number::parse(text) {
            None => Err(NOT_A_NUMBER.to_owned()),
            Some(number) if number.is_nan() => Err("what is not a number cannot be observed".to_owned()),
            Some(number) => Ok(Self(number)),
        }
    }
}

impl From<std::time::Duration> for Observation {
    /// In seconds.
    fn from(duration: std::time::Duration) -> Self {
        Self(duration.as_secs_f64())
    }
}

/// The upper bounds of a histogram's buckets, ascending, the last one infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets(Vec<f64>);

impl Buckets {
    /// The bounds.
    pub(super) fn bounds(&self) -> &[f64] {
        &self.0
    }
}

impl Default for Buckets {
    /// Those of `prometheus_client`'s `Histogram.DEFAULT_BUCKETS`: made for seconds of requests.
    fn default() -> Self {
        let bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];
        Self(bounds.to_vec())
    }
}

impl FromStr for Buckets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bound = |text: &str| number::parse(text.trim()).filter(|number| !number.is_nan());
        let bounds: Option<Vec<f64>> = text.split(',').map(bound).collect();
        let mut bounds = bounds.ok_or("expected upper bounds, such as 0.1,1,10")?;
        if !bounds.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err("the bounds of buckets ascend, and none is there twice".to_owned());
        }
        if bounds.last() != Some(&f64::INFINITY) {
            bounds.push(f64::INFINITY);
        }
        if bounds.len() < 2 {
            return Err("expected at least one finite bound".to_owned());
        }
        // -0 and 0 are one bound, and it is written as 0.
        Ok(Self(bounds.into_iter().map(|bound| bound + 0.0).collect()))
    }
}

/// What one call does to one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A gauge gets this value.
    Set(Value),
    /// A counter grows.
    Add(Increment),
    /// A histogram observes a value. Without buckets: those that the file has, else the default ones.
    Histogram(Observation, Option<Buckets>),
    /// A summary, without quantiles, observes a value.
    Summary(Observation),
}

/// A sample of a series that was there: what it was, and under which bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Was {
    pub(super) suffix: Suffix,
    pub(super) bound: Option<f64>,
    pub(super) number: f64,
}

impl Step {
    /// The type of the metric.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Set(_) => Kind::Gauge,
            Self::Add(_) => Kind::Counter,
            Self::Histogram(..) => Kind::Histogram,
            Self::Summary(_) => Kind::Summary,
        }
    }

    /// The new value of a sample that was there; `None` where it stays as it is.
    pub(super) fn next(&self, was: Was) -> Option<String> {
        let (observation, is_in) = match self {
            Self::Set(value) => return Some(value.0.clone()),
            Self::Add(increment) => return Some(number::write(was.number + increment.0)),
            Self::Histogram(observation, _) => (observation, was.bound.is_some_and(|bound| observation.0 <= bound)),
            Self::Summary(observation) => (observation, false),
        };
        match was.suffix {
            Suffix::Count => Some(number::write(was.number + 1.0)),
            Suffix::Sum => Some(number::write(was.number + observation.0)),
            Suffix::Bucket if is_in => Some(number::write(was.number + 1.0)),
            _ => None,
        }
    }

    /// The samples of a series that was not there: suffix, bound as text, value. `bounds` are those of a histogram.
    pub(super) fn first(&self, bounds: &[String]) -> Vec<(Suffix, Option<String>, String)> {
        let (observation, bounds) = match self {
            Self::Set(value) => return vec![(Suffix::None, None, value.0.clone())],
            Self::Add(increment) => return vec![(Suffix::None, None, number::write(increment.0))],
            Self::Histogram(observation, _) => (observation.0, bounds),
            Self::Summary(observation) => (observation.0, &[][..]),
        };
        let number = |bound: &String| number::parse(bound).unwrap_or(f64::NAN);
        let bucket = |bound: &String| {
            let is_in = observation <= number(bound);
            (Suffix::Bucket, Some(bound.clone()), if is_in { "1" } else { "0" }.to_owned())
        };
        let mut samples: Vec<_> = bounds.iter().map(bucket).collect();
        samples.push((Suffix::Count, None, "1".to_owned()));
        // With negative bounds a sum may fall, so it is no counter (OpenMetrics, "Histogram"; prometheus_client leaves it
        // out in the same case).
        if bounds.first().map(number).is_none_or(|first| first >= 0.0) {
            samples.push((Suffix::Sum, None, number::write(observation)));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::{Buckets, Increment, MetricName, Observation, Value};

    #[test]
    fn names_are_those_of_the_data_model() {
        for good in ["x", "_x", ":x", "a:b_c9", "X"] {
            assert!(good.parse::<MetricName>().is_ok(), "{good}");
        }
        for bad in ["", "9x", "a-b", "a b", "ä", "a.b", "a\n", "a{"] {
            assert!(bad.parse::<MetricName>().is_err(), "{bad}");
        }
        assert!("x{a=\"b\"}".parse::<MetricName>().unwrap_err().contains("-l"));
    }

    #[test]
    fn numbers_are_kept_or_refused() {
        let value = |text: &str| text.parse::<Value>().map(|value| value.0);
        assert_eq!(value("1e3"), Ok("1e3".to_owned()));
        assert_eq!(value("-nan"), Ok("NaN".to_owned()));
        assert!(value("").is_err() && value("1,5").is_err() && value("0x10").is_err() && value("1e309").is_err());
        assert!("-1".parse::<Increment>().is_err() && "nan".parse::<Increment>().is_err());
        assert!("0".parse::<Increment>().is_ok() && "+Inf".parse::<Increment>().is_ok());
        assert!("NaN".parse::<Observation>().is_err() && "-1.5".parse::<Observation>().is_ok());
    }

    #[test]
    fn buckets_ascend_to_infinity() {
        let bounds = |text: &str| text.parse::<Buckets>().map(|buckets| buckets.0);
        assert_eq!(bounds("0.1, 1,10"), Ok(vec![0.1, 1.0, 10.0, f64::INFINITY]));
        assert_eq!(bounds("-1,+Inf"), Ok(vec![-1.0, f64::INFINITY]));
        for bad in ["", ",", "1,", "1,1", "2,1", "inf", "nan,1", "1,inf,2", "a"] {
            assert!(bounds(bad).is_err(), "{bad}");
        }
    }
}

//! What a Pushgateway stores of a histogram or summary, where that is not what stands in the body (expfmt,
//! `startMetric` and `readingValue`; its page writes what is missing as 0).

use crate::exposition::map::HashSet;

use crate::exposition::model::Kind;

/// A sample of a histogram or summary.
#[derive(Debug)]
pub(super) struct PushedSample<'b> {
    /// What follows the name of the family.
    pub(super) suffix: &'b [u8],
    /// The bound or the quantile.
    pub(super) special: Option<f64>,
    pub(super) number: f64,
}

/// The samples of one label set.
#[derive(Debug, Default)]
pub(super) struct StoredSeries {
    has_sum: bool,
    has_count: bool,
    has_infinity: bool,
    specials: HashSet<u64>,
}

impl StoredSeries {
    /// Adds a sample; returns what is stored otherwise.
    pub(super) fn add(&mut self, kind: Kind, sample: &PushedSample<'_>) -> Option<&'static str> {
        match (sample.suffix, sample.special) {
            (b"_sum" | b"_count", Some(_)) => Some("it drops the bound or quantile of a sum or count"),
            (b"_sum", None) => std::mem::replace(&mut self.has_sum, true).then_some("of two sums it keeps the last"),
            (b"_count", None) if std::mem::replace(&mut self.has_count, true) => {
                Some("of two counts it keeps the last")
            }
            (b"_count", None) => count_change(sample.number),
            (_, Some(special)) if special.is_nan() => Some("it drops a sample whose bound or quantile is NaN"),
            (b"", None) => Some("it drops a sample without '_sum', '_count', bound or quantile"),
            (b"", Some(_)) if kind == Kind::Histogram => Some("it drops a sample of a histogram without '_bucket'"),
            (_, Some(special)) => {
                self.has_infinity |= special == f64::INFINITY;
                let is_new = self.specials.insert((special + 0.0).to_bits());
                let changed = if kind == Kind::Histogram { count_change(sample.number) } else { None };
                changed.or((!is_new).then_some("its page has a bound or quantile twice"))
            }
            (_, None) => Some("it drops a bucket without 'le'"),
        }
    }

    /// What the gateway adds.
    pub(super) fn missing(&self, kind: Kind) -> Option<&'static str> {
        if !self.has_count {
            return Some("it stores a missing '_count' as 0");
        }
        if !self.has_sum {
            return Some("it stores a missing '_sum' as 0");
        }
        (kind == Kind::Histogram && !self.has_infinity).then_some("it adds a bucket '+Inf'")
    }
}

/// A count is a 64-bit integer to old gateways; newer ones refuse a negative one.
fn count_change(number: f64) -> Option<&'static str> {
    let is_count = (0.0..18_446_744_073_709_551_616.0).contains(&number) && number.fract() == 0.0;
    (!is_count).then_some("it makes another number of a count that is negative, fractional, infinite or NaN")
}

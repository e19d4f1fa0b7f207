//! The types of the text format 0.0.4, and the suffixes of the samples of histograms and summaries.

/// The type of a family, as a TYPE line of the text format 0.0.4 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Cumulative buckets (`le`), `_sum` and `_count`.
    Histogram,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// The type is unknown.
    Untyped,
}

impl Kind {
    /// The word of a TYPE line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// The kind that a word of a TYPE line names, in any letter case (expfmt compares upper-cased).
    pub(in crate::exposition) fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram, Self::Summary, Self::Untyped]
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.name().as_bytes()))
    }

    /// Whether a family of this kind has parts: `_sum`, `_count`, and `_bucket` for a histogram.
    pub(in crate::exposition) fn is_composite(self) -> bool {
        matches!(self, Self::Histogram | Self::Summary)
    }

    /// Whether a sample with this suffix belongs to a family of this kind.
    pub(in crate::exposition) fn has_part(self, suffix: Suffix) -> bool {
        match suffix {
            Suffix::None => true,
            Suffix::Sum | Suffix::Count => self.is_composite(),
            Suffix::Bucket => self == Self::Histogram,
        }
    }
}

/// What stands between the name of a family and the labels of one of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Suffix {
    /// Nothing.
    #[default]
    None,
    /// `_bucket`, of a histogram.
    Bucket,
    /// `_sum`, of a histogram or a summary.
    Sum,
    /// `_count`, of a histogram or a summary.
    Count,
}

impl Suffix {
    /// Every suffix, in the order of their numbers.
    pub(in crate::exposition) const ALL: [Self; 4] = [Self::None, Self::Bucket, Self::Sum, Self::Count];

    /// The suffixes that make a name a part of a histogram or summary.
    pub(in crate::exposition) const PARTS: [Self; 3] = [Self::Bucket, Self::Sum, Self::Count];

    /// The text of the suffix.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

//! A metric family: what one HELP and one TYPE line are about.

use std::borrow::Cow;

use super::kind::{Kind, Suffix};
use super::sample::Sample;

/// One metric family: a name, a type, a help text and samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family<'a> {
    name: Cow<'a, str>,
    kind: Kind,
    help: Option<Cow<'a, str>>,
    samples: Vec<Sample<'a>>,
}

impl<'a> Family<'a> {
    /// A family of `kind` without samples.
    #[must_use]
    pub fn new(name: impl Into<Cow<'a, str>>, kind: Kind) -> Self {
        Self { name: name.into(), kind, help: None, samples: Vec::new() }
    }

    /// A gauge without samples; `help` is plain text.
    #[must_use]
    pub fn gauge(name: impl Into<Cow<'a, str>>, help: impl Into<Cow<'a, str>>) -> Self {
        Self::new(name, Kind::Gauge).with_help(help)
    }

    /// A counter without samples; `help` is plain text.
    #[must_use]
    pub fn counter(name: impl Into<Cow<'a, str>>, help: impl Into<Cow<'a, str>>) -> Self {
        Self::new(name, Kind::Counter).with_help(help)
    }

    /// The family with another type, of the same shape: for one that was read without a type.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The family with this help text (plain, not escaped); an empty one is none.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Cow<'a, str>>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// The family with one more sample. Label values are plain text; `value` is the text of a number, and text that is
    /// none is written as `NaN`, because an exposition with it would be refused as a whole.
    #[must_use]
    pub fn sample(self, labels: &[(&str, &str)], value: impl Into<String>) -> Self {
        self.part(Suffix::None, labels, value)
    }

    /// The family with one more sample of a part (`_bucket`, `_sum`, `_count`) of a histogram or summary.
    #[must_use]
    pub fn part(mut self, suffix: Suffix, labels: &[(&str, &str)], value: impl Into<String>) -> Self {
        self.samples.push(Sample::own(&self.name, suffix, labels, &value.into()));
        self
    }

    /// The family with this one sample, without labels, in place of its own.
    #[must_use]
    pub fn with_value(mut self, value: &str) -> Self {
        self.samples.clear();
        self.sample(&[], value)
    }

    pub(in crate::exposition) fn with_samples(mut self, help: Option<Cow<'a, str>>, samples: Vec<Sample<'a>>) -> Self {
        self.help = help.filter(|help| !help.is_empty());
        self.samples = samples;
        self
    }

    /// The name, without the suffixes of parts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The help text, plain.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The samples, in the order in which they are written.
    #[must_use]
    pub fn samples(&self) -> &[Sample<'a>] {
        &self.samples
    }
}

//! A sample borrows the text it was read from. It keeps its labels and its value as one piece of text in the form in which
//! it is written again, so that a clean line is never copied.

use std::borrow::Cow;

use super::kind::Suffix;
use super::labels::{pairs, unescape, write_labels};
use super::number;

/// Where something stood in the files that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The place of the file among the sources, from 0.
    pub source: u16,
    /// The line, from 1; 0 where there is none (a sample of our own).
    pub line: u32,
}

impl Position {
    /// The position of what was not read from a file.
    pub const OWN: Self = Self { source: 0, line: 0 };
}

/// One sample: a label set and a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample<'a> {
    /// The whole line as it is written: the name, labels in braces (or nothing), one blank, the value.
    line: Cow<'a, str>,
    /// Where the labels begin.
    labels_at: u32,
    /// Where the value begins.
    value_at: u32,
    suffix: Suffix,
    position: Position,
}

impl<'a> Sample<'a> {
    /// The sample of this line. The parts are where its labels and its value begin.
    pub(in crate::exposition) fn from_line(
        line: Cow<'a, str>,
        parts: (u32, u32),
        suffix: Suffix,
        position: Position,
    ) -> Self {
        Self { line, labels_at: parts.0, value_at: parts.1, suffix, position }
    }

    /// A sample of our own, written from its parts.
    pub(in crate::exposition) fn own(name: &str, suffix: Suffix, labels: &[(&str, &str)], value: &str) -> Self {
        let mut line = [name, suffix.as_str()].concat();
        let labels_at = line.len();
        write_labels(&mut line, labels.iter().copied());
        line.push(' ');
        let value_at = line.len();
        line.push_str(canonical_value(value));
        let parts = [labels_at, value_at].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self::from_line(Cow::Owned(line), (parts[0], parts[1]), suffix, Position::OWN)
    }

    /// The labels in the order in which they were written, values unescaped.
    pub fn labels(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        pairs(self.line.get(self.labels_at as usize..).unwrap_or_default()).map(|(name, value)| (name, unescape(value)))
    }

    /// The text of the value, as it was written (or `NaN`, `+Inf`, `-Inf`).
    #[must_use]
    pub fn value(&self) -> &str {
        self.line.get(self.value_at as usize..).unwrap_or_default()
    }

    /// The value as a number.
    #[must_use]
    pub fn number(&self) -> f64 {
        number::parse(self.value()).unwrap_or(f64::NAN)
    }

    /// What stands between the family's name and the labels.
    #[must_use]
    pub fn suffix(&self) -> Suffix {
        self.suffix
    }

    /// Where the sample stood.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// What stands before the value: the name, the labels in their braces and a blank.
    pub(in crate::exposition) fn series_text(&self) -> &str {
        self.line.get(..self.value_at as usize).unwrap_or_default()
    }

    /// The name: that of the family, and the suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.line.get(..self.labels_at as usize).unwrap_or_default()
    }

    /// The line of the sample, as it is written.
    pub(in crate::exposition) fn line(&self) -> &str {
        &self.line
    }
}

fn canonical_value(value: &str) -> &str {
    match number::spelling(value.as_bytes()) {
        Some(spelling) => spelling.canonical().unwrap_or(value),
        None => "NaN",
    }
}

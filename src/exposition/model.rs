//! The model: families of samples that borrow the text they were read from. A sample keeps its labels and its value as
//! one piece of text in the form in which it is written again, so that a clean line is never copied.

use std::borrow::Cow;

use super::number;

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
    /// Nothing is known.
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
    pub(super) fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram, Self::Summary, Self::Untyped]
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.name().as_bytes()))
    }

    /// Whether a family of this kind has parts: `_sum`, `_count`, and `_bucket` for a histogram.
    pub(super) fn is_composite(self) -> bool {
        matches!(self, Self::Histogram | Self::Summary)
    }

    /// Whether a sample with this suffix belongs to a family of this kind.
    pub(super) fn has_part(self, suffix: Suffix) -> bool {
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
    pub(super) const ALL: [Self; 4] = [Self::None, Self::Bucket, Self::Sum, Self::Count];

    /// The suffixes that make a name a part of a histogram or summary.
    pub(super) const PARTS: [Self; 3] = [Self::Bucket, Self::Sum, Self::Count];

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
    pub(super) fn from_line(line: Cow<'a, str>, parts: (u32, u32), suffix: Suffix, position: Position) -> Self {
        Self { line, labels_at: parts.0, value_at: parts.1, suffix, position }
    }

    fn own(name: &str, suffix: Suffix, labels: &[(&str, &str)], value: &str) -> Self {
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
    pub(super) fn series_text(&self) -> &str {
        self.line.get(..self.value_at as usize).unwrap_or_default()
    }

    /// The name: that of the family, and the suffix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.line.get(..self.labels_at as usize).unwrap_or_default()
    }

    /// The line of the sample, as it is written.
    pub(super) fn line(&self) -> &str {
        &self.line
    }
}

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

    pub(super) fn with_samples(mut self, help: Option<Cow<'a, str>>, samples: Vec<Sample<'a>>) -> Self {
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

/// Writes a label set with its braces; nothing where there are no labels.
pub(super) fn write_labels<'l>(out: &mut String, labels: impl Iterator<Item = (&'l str, &'l str)>) {
    let mut before = '{';
    for (name, value) in labels {
        out.push(before);
        before = ',';
        out.push_str(name);
        out.push_str("=\"");
        write_escaped(out, value);
        out.push('"');
    }
    if before == ',' {
        out.push('}');
    }
}

/// Writes label pairs whose values have their escapes already; nothing where there are none.
pub(super) fn write_pairs<'l>(out: &mut String, pairs: impl Iterator<Item = (&'l str, &'l str)>) {
    let mut before = '{';
    for (name, value) in pairs {
        out.push(before);
        before = ',';
        for piece in [name, "=\"", value, "\""] {
            out.push_str(piece);
        }
    }
    if before == ',' {
        out.push('}');
    }
}

/// Writes a label value with its escapes.
pub(super) fn write_escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// The label pairs of the text of a sample, values still escaped.
pub(super) fn pairs(text: &str) -> Pairs<'_> {
    Pairs { rest: text.strip_prefix('{').unwrap_or(text) }
}

/// Iterator of [`pairs`]; `rest` begins with a label name or with what ends the labels.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'t> {
    rest: &'t str,
}

impl<'t> Pairs<'t> {
    /// The text from the next pair on.
    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = (&'t str, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        // Neither the name of a label nor a value without labels before it contains '='.
        let name = self.rest.get(..self.rest.bytes().position(|byte| byte == b'=')?)?;
        let rest = self.rest.get(name.len() + 2..)?;
        let value = rest.get(..closing_quote(rest)?)?;
        self.rest = rest.get(value.len() + 1..)?.strip_prefix(',').unwrap_or_default();
        Some((name, value))
    }
}

/// Where the quote is that ends a label value.
fn closing_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.as_bytes().get(from..)?)?;
        if text.as_bytes().get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(escaped) => escaped,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(plain)
}

fn canonical_value(value: &str) -> &str {
    match number::spelling(value.as_bytes()) {
        Some(spelling) => spelling.canonical().unwrap_or(value),
        None => "NaN",
    }
}

//! What HELP and TYPE lines say about the metrics of a file. OpenMetrics tells the type of a counter without the suffix
//! of its samples, so a line is applied only when the whole file is read; only then are files compared with each other.

use crate::exposition::map::{HashMap, HashSet};
use std::borrow::Cow;
use std::collections::hash_map::Entry;

use super::findings::{Findings, Span};
use super::mend::Dialect;
use super::records::Records;
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::{Kind, Suffix};

/// The word of a TYPE line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TypeWord {
    /// A type of the text format.
    Kind(Kind),
    /// `info`: a gauge whose samples end in `_info` (OpenMetrics, "Info").
    Info,
    /// `stateset`: gauges of 0 and 1 (OpenMetrics, `StateSet`).
    StateSet,
    /// `gaugehistogram`: `_bucket`, `_gcount` and `_gsum` that may fall (OpenMetrics, `GaugeHistogram`).
    GaugeHistogram,
    /// `unknown` (OpenMetrics, "Unknown").
    Unknown,
}

impl TypeWord {
    fn new(word: &[u8]) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        Kind::from_word(word).map(Self::Kind).or(match lower.as_slice() {
            b"info" => Some(Self::Info),
            b"stateset" => Some(Self::StateSet),
            // expfmt takes the second spelling, and then spoils the page of the whole gateway with it.
            b"gaugehistogram" | b"gauge_histogram" => Some(Self::GaugeHistogram),
            b"unknown" => Some(Self::Unknown),
            _ => None,
        })
    }

    /// The type in the text format of samples that have the very name of the metric.
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Kind(kind) => Some(kind),
            Self::Info | Self::StateSet => Some(Kind::Gauge),
            Self::Unknown => Some(Kind::Untyped),
            Self::GaugeHistogram => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Unknown => "unknown",
        }
    }

    /// Whether one name cannot have both types, because they share the names of their samples.
    fn excludes(self, other: Self) -> bool {
        let is_composite = |word| matches!(word, Self::Kind(kind) if kind.is_composite());
        self == Self::GaugeHistogram && is_composite(other) || other == Self::GaugeHistogram && is_composite(self)
    }
}

/// The type of a metric and where it was declared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declaration {
    pub(super) kind: Kind,
    pub(super) place: Span,
}

/// A HELP or TYPE line.
#[derive(Debug, Clone)]
pub(super) struct MetaLine<'a> {
    /// The metric.
    pub(super) name: Cow<'a, [u8]>,
    /// What follows the name.
    pub(super) text: &'a [u8],
    /// Where that text stands.
    pub(super) span: Span,
}

/// The type that a name is declared with first in a source.
#[derive(Debug, Clone, Copy)]
struct FirstType {
    word: TypeWord,
    line: u32,
}

/// A help text and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Help<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Span,
}

/// The types and help texts of metrics by their names.
#[derive(Debug, Default)]
pub(super) struct Declarations<'a> {
    types: HashMap<Cow<'a, [u8]>, Declaration>,
    helps: HashMap<Cow<'a, [u8]>, Help<'a>>,
    type_lines: Vec<(Cow<'a, [u8]>, TypeWord, Span)>,
    /// The first word that is declared of each name.
    first_types: HashMap<Cow<'a, [u8]>, FirstType>,
    help_lines: Vec<(Cow<'a, [u8]>, Help<'a>)>,
    help_index: HashSet<Cow<'a, [u8]>>,
}

impl<'a> Declarations<'a> {
    pub(super) fn kind(&self, name: &[u8]) -> Option<Declaration> {
        self.types.get(name).copied()
    }

    /// The help text of a metric, which can be taken once.
    pub(super) fn take_help(&mut self, name: &[u8]) -> Option<Help<'a>> {
        self.helps.remove(name)
    }

    /// The help text of a metric.
    pub(super) fn help(&self, name: &[u8]) -> Option<&Help<'a>> {
        self.helps.get(name)
    }

    /// Records a TYPE line.
    pub(super) fn add_type(&mut self, line: MetaLine<'a>, findings: &mut Findings<'_>) {
        let MetaLine { name, text: rest, span: place } = line;
        let trimmed = trim_end(rest);
        if trimmed.is_empty() {
            return;
        }
        let place = Span { len: trimmed.len(), ..place };
        let Some(word) = TypeWord::new(trimmed) else {
            return findings.raise(place, &Problem::TypeWord(trimmed));
        };
        if trimmed.len() < rest.len() {
            let blanks = Span { at: place.at + trimmed.len(), len: rest.len() - trimmed.len(), ..place };
            findings.raise(blanks, &Problem::Blanks);
        }
        match self.first_types.entry(name.clone()) {
            Entry::Occupied(first) if first.get().word == word => return findings.raise(place, &Problem::TypeAgain),
            Entry::Occupied(first) if first.get().word.excludes(word) => {
                let FirstType { word, line } = *first.get();
                return findings.raise(place, &Problem::TypeConflict { first: word.name(), file: "", line });
            }
            entry => entry.or_insert(FirstType { word, line: place.position.line }),
        };
        // Another type than the first one is no conflict yet: in OpenMetrics a counter may have the name of a gauge.
        self.type_lines.push((name, word, place));
        if !matches!(word, TypeWord::Kind(_)) {
            findings.raise(place, &Problem::OpenMetricsType(trimmed));
        }
    }

    /// Records a HELP line.
    pub(super) fn add_help(&mut self, line: MetaLine<'a>, dialect: Dialect, findings: &mut Findings<'_>) {
        let MetaLine { name, text: rest, span } = line;
        if rest.is_empty() {
            return;
        }
        if !self.help_index.insert(name.clone()) {
            return findings.raise(span, &Problem::HelpAgain);
        }
        self.help_lines.push((name, Help { text: help_text(rest, dialect, span, findings), span }));
    }

    /// Applies what the lines say about the metrics of a source that is read to its end.
    pub(super) fn end_source(&mut self, source: u16, records: &Records<'a>, findings: &mut Findings<'a>) {
        let samples = Samples::new(records, source);
        for (name, help) in std::mem::take(&mut self.help_lines) {
            for target in self.targets(&name, &samples).into_iter().map(|(target, _)| target).chain([name]) {
                self.helps.entry(target).or_insert_with(|| help.clone());
            }
        }
        for (name, word, place) in std::mem::take(&mut self.type_lines) {
            for (target, kind) in self.targets_of(&name, word, &samples) {
                if word == TypeWord::Kind(Kind::Counter) && target != name && kind == Kind::Counter {
                    findings.raise(place, &Problem::OpenMetricsName(&target));
                }
                self.declare(target, Declaration { kind, place }, findings);
            }
        }
        self.first_types.clear();
        self.help_index.clear();
    }

    fn declare(&mut self, name: Cow<'a, [u8]>, declared: Declaration, findings: &mut Findings<'a>) {
        match self.types.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(declared);
            }
            Entry::Occupied(first) if first.get().kind != declared.kind => {
                let (first, there) = (first.get().kind.name(), first.get().place.position);
                let file = findings.other_file(declared.place.position, there);
                findings.raise(declared.place, &Problem::TypeConflict { first, file, line: there.line });
            }
            Entry::Occupied(_) => {}
        }
    }

    fn targets(&self, name: &Cow<'a, [u8]>, samples: &Samples<'_, 'a>) -> Vec<(Cow<'a, [u8]>, Kind)> {
        self.first_types.get(name).map_or_else(Vec::new, |first| self.targets_of(name, first.word, samples))
    }

    /// The metrics that a TYPE line for `name` is about, and their types in the text format.
    fn targets_of(
        &self,
        name: &Cow<'a, [u8]>,
        word: TypeWord,
        samples: &Samples<'_, 'a>,
    ) -> Vec<(Cow<'a, [u8]>, Kind)> {
        if !samples.has_related(name) {
            return word.kind().map(|kind| (name.clone(), kind)).into_iter().collect();
        }
        let own = samples.named(name, "");
        // A metric with a TYPE line of its own takes nothing from another one.
        let part =
            |base: &[u8], suffix| samples.named(base, suffix).filter(|name| !self.first_types.contains_key(name));
        let stem = name.strip_suffix(b"_total").unwrap_or(name);
        let created = part(stem, "_created").map(|created| (created, Kind::Gauge));
        let is_first = self.first_types.get(name).is_none_or(|first| first.word == word);
        let main = match word {
            // `x counter` after `x gauge` can only mean the counter `x_total`.
            TypeWord::Kind(Kind::Counter) if own.is_none() || !is_first => {
                (part(name, "_total").unwrap_or_else(|| name.clone()), Kind::Counter)
            }
            TypeWord::Info if own.is_none() => (part(name, "_info").unwrap_or_else(|| name.clone()), Kind::Gauge),
            TypeWord::GaugeHistogram => {
                let suffixes = ["_bucket", "_gcount", "_gsum", "_count", "_sum"];
                let parts = suffixes.into_iter().filter_map(|suffix| part(name, suffix));
                return own.into_iter().chain(parts).map(|name| (name, Kind::Gauge)).chain(created).collect();
            }
            _ => (name.clone(), word.kind().unwrap_or(Kind::Untyped)),
        };
        [main].into_iter().chain(created).collect()
    }
}

/// The suffixes by which a sample belongs to a metric with a shorter name.
const SUFFIXES: [&str; 8] = ["_total", "_created", "_info", "_bucket", "_gcount", "_gsum", "_count", "_sum"];

/// The samples of one source.
struct Samples<'c, 'a> {
    records: &'c Records<'a>,
    source: u16,
    /// The names of the samples, and those without their suffixes.
    related: HashSet<&'c [u8]>,
}

impl<'c, 'a> Samples<'c, 'a> {
    fn new(records: &'c Records<'a>, source: u16) -> Self {
        let groups = records.groups.iter().filter(|group| group.source == source && group.count > 0);
        let names = groups.map(|group| group.name.as_ref());
        let stems = |name: &'c [u8]| {
            SUFFIXES.into_iter().filter_map(move |suffix| name.strip_suffix(suffix.as_bytes())).chain([name])
        };
        Self { records, source, related: names.flat_map(stems).collect() }
    }

    /// Whether a TYPE line for `name` can be about samples of this source. Most are, but a file can have millions of others.
    fn has_related(&self, name: &[u8]) -> bool {
        self.related.contains(name) || name.strip_suffix(b"_total").is_some_and(|stem| self.related.contains(stem))
    }

    /// The name of the samples called `base` and `suffix`, if there are any in this source.
    fn named(&self, base: &[u8], suffix: &str) -> Option<Cow<'a, [u8]>> {
        let group = if suffix.is_empty() {
            self.records.group(base)
        } else {
            self.records.group(&[base, suffix.as_bytes()].concat())
        };
        group.filter(|group| group.source == self.source).map(|group| group.name.clone())
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(..text.len() - blanks).unwrap_or(text)
}

/// Takes the escapes off a help text. A backslash that begins none is itself (Prometheus reads it so; the Pushgateway
/// refuses the line).
fn help_text<'a>(text: &'a [u8], dialect: Dialect, place: Span, findings: &mut Findings<'_>) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(text);
    if matches!(text, Cow::Owned(_)) {
        findings.raise(place, &Problem::HelpUtf8);
    }
    if !text.contains('\\') {
        return text;
    }
    let (mut plain, mut is_repaired, mut has_quote) = (String::with_capacity(text.len()), false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        plain.push(match (character, characters.peek()) {
            ('\\', Some('\\')) => '\\',
            ('\\', Some('n')) => '\n',
            ('\\', Some('"')) if dialect == Dialect::OpenMetrics => {
                has_quote = true;
                '"'
            }
            (other, _) => {
                is_repaired |= other == '\\';
                plain.push(other);
                continue;
            }
        });
        characters.next();
    }
    if is_repaired {
        findings.raise(place, &Problem::HelpEscape);
    }
    if has_quote {
        findings.raise(place, &Problem::HelpQuote);
    }
    Cow::Owned(plain)
}

/// The name of the whole that `name` is a part of by this suffix.
pub(super) fn base_of(name: &[u8], suffix: Suffix) -> Option<&[u8]> {
    name.strip_suffix(suffix.as_str().as_bytes()).filter(|base| !base.is_empty())
}

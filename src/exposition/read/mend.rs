//! A sample line that is not in the form in which it will be written: everything whose meaning is certain is written anew.

use std::borrow::Cow;
use std::ops::Range;

use super::composite_value::{CompositePart, composite_value};
use super::escape_name::{NameKind, escape_name};
use super::grammar::{COLON, DIGIT, NAME, VALUE, label_name_len, run};
use super::label_hash::LabelHasher;
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::number::{Spelling, spelling};
use crate::exposition::model::{write_escaped, write_pairs};

/// The format of a line, which decides what it may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Text format 0.0.4.
    Text,
    /// OpenMetrics text: an unknown escape means itself.
    OpenMetrics,
}

/// Something wrong at a place of a line; for a line that is kept, something that was repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::exposition) struct LineFault<'l> {
    /// Where, in bytes from the start of the text that was parsed.
    pub(in crate::exposition) at: usize,
    /// How much, in bytes.
    pub(in crate::exposition) len: usize,
    pub(in crate::exposition) problem: Problem<'l>,
}

impl<'l> LineFault<'l> {
    fn new(at: usize, len: usize, problem: Problem<'l>) -> Self {
        Self { at, len, problem }
    }
}

/// How many labels a sample may have. One with 10,000 costs a Pushgateway six seconds.
pub(super) const MAX_LABELS: usize = 128;

/// A line that was written anew.
#[derive(Debug)]
pub(super) struct RewrittenLine<'l> {
    /// The name of the metric, where it stood in quotes within the braces.
    pub(super) metric: Option<String>,
    /// The samples that the line stands for: one, but for composite values and start times.
    pub(super) samples: Vec<RewrittenSample>,
    /// The repairs of a line that a gateway would not have taken.
    pub(super) repairs: Vec<LineFault<'l>>,
}

/// A sample that was written anew.
#[derive(Debug)]
pub(super) struct RewrittenSample {
    /// What is added to the name.
    pub(super) suffix: &'static str,
    /// What follows the name, in the form that the encoder writes.
    pub(super) text: String,
}

/// Reads `text` (what follows the name of a sample) as liberally as its meaning is certain.
pub(super) fn mend<'l>(
    text: &'l [u8],
    dialect: Dialect,
    hasher: &LabelHasher<'_>,
) -> Result<RewrittenLine<'l>, LineFault<'l>> {
    rewrite(Cursor::new(text, dialect), hasher)
}

/// Reads a whole sample whose name stands in quotes within the braces that begin it.
pub(super) fn mend_nameless<'l>(
    text: &'l [u8],
    dialect: Dialect,
    hasher: &LabelHasher<'_>,
) -> Result<RewrittenLine<'l>, LineFault<'l>> {
    let mut line = Cursor::new(text, dialect);
    line.metric = NamePosition::Missing;
    rewrite(line, hasher)
}

fn rewrite<'l>(mut line: Cursor<'l>, hasher: &LabelHasher<'_>) -> Result<RewrittenLine<'l>, LineFault<'l>> {
    let is_tight = line.next_byte().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'{'));
    line.skip_blanks();
    if line.next_byte() == Some(b'{') && !line.begins_composite() {
        line.at += 1;
        line.labels()?;
        line.skip_blanks();
    }
    if line.metric == NamePosition::Missing {
        return Err(LineFault::new(0, 1, Problem::NotASample(line.text)));
    }
    let value = line.value(is_tight)?;
    let start = line.tail(is_tight)?;
    line.export_labels(hasher);
    let mut samples = match value {
        SampleValue::Number(text) => vec![RewrittenSample { suffix: "", text: line.write(None, text) }],
        SampleValue::Composite(parts) => {
            let sample = |part: &CompositePart<'_>| RewrittenSample {
                suffix: part.suffix,
                text: line.write(part.label, part.value),
            };
            parts.iter().map(sample).collect()
        }
    };
    samples.extend(start.map(|time| RewrittenSample { suffix: "_created", text: line.write(None, ascii(time)) }));
    let metric = match line.metric {
        NamePosition::Quoted(name) => Some(name),
        NamePosition::Missing | NamePosition::BeforeBraces => None,
    };
    Ok(RewrittenLine { metric, samples, repairs: line.repairs })
}

/// The value of a sample.
enum SampleValue<'l> {
    Number(&'l str),
    /// What a composite value stands for.
    Composite(Vec<CompositePart<'l>>),
}

/// Where the name of the metric is.
#[derive(Debug, PartialEq, Eq)]
enum NamePosition {
    /// Before the text that is read.
    BeforeBraces,
    /// In the braces, and not found yet.
    Missing,
    /// The name stood in quotes within the braces.
    Quoted(String),
}

/// A label as it was read.
struct LabelText<'l> {
    /// The name in the form in which it is written.
    name: Cow<'l, str>,
    at: usize,
    len: usize,
    /// The value with its escapes, in [`Cursor::values`].
    value: Range<usize>,
}

/// A place in a line that is read.
pub(super) struct Cursor<'l> {
    pub(super) text: &'l [u8],
    pub(super) at: usize,
    dialect: Dialect,
    metric: NamePosition,
    labels: Vec<LabelText<'l>>,
    values: String,
    repairs: Vec<LineFault<'l>>,
}

impl<'l> Cursor<'l> {
    pub(super) fn new(text: &'l [u8], dialect: Dialect) -> Self {
        let (metric, labels, values) = (NamePosition::BeforeBraces, Vec::new(), String::new());
        Self { text, at: 0, dialect, metric, labels, values, repairs: Vec::new() }
    }

    pub(super) fn next_byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'l [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    }

    /// The bytes up to the next blank.
    pub(super) fn token(&self) -> &'l [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or(rest)
    }

    /// A fault at the next `len` bytes.
    pub(super) fn fault<T>(&self, len: usize, problem: Problem<'l>) -> Result<T, LineFault<'l>> {
        Err(LineFault::new(self.at, len, problem))
    }

    /// Everything up to the closing brace, which is passed.
    fn labels(&mut self) -> Result<(), LineFault<'l>> {
        loop {
            self.skip_blanks();
            if self.next_byte() == Some(b'}') {
                self.at += 1;
                break;
            }
            if self.labels.len() == MAX_LABELS {
                return self.fault(self.rest().len(), Problem::TooManyLabels);
            }
            if let Some((name, at)) = self.label_name()? {
                let len = self.at - at;
                let start = self.values.len();
                self.label_value()?;
                self.labels.push(LabelText { name, at, len, value: start..self.values.len() });
            }
            self.skip_blanks();
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return self.fault(1, Problem::LabelSeparator),
            }
        }
        self.find_twice().map_or(Ok(()), Err)
    }

    /// The name of a label and where it stands; none where a name in quotes was that of the metric.
    fn label_name(&mut self) -> Result<Option<(Cow<'l, str>, usize)>, LineFault<'l>> {
        let at = self.at;
        if self.next_byte() == Some(b'"') {
            let text = self.quoted_name()?;
            let is_label = self.rest().iter().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b'=');
            if !is_label && self.metric != NamePosition::Missing {
                return Err(LineFault::new(at, 1, Problem::LabelName(self.text.get(at..).unwrap_or_default())));
            }
            let kind = if is_label { NameKind::Label } else { NameKind::Metric };
            let Some(name) = escape_name(text, kind) else {
                return Err(LineFault::new(at, self.at - at, Problem::QuotedNameText));
            };
            if name.starts_with("__") && is_label {
                return Err(LineFault::new(at, self.at - at, Problem::LabelNameReserved(text)));
            }
            self.repair_once(LineFault::new(at, self.at - at, Problem::QuotedName));
            if is_label {
                return Ok(Some((Cow::Owned(name), at)));
            }
            self.metric = NamePosition::Quoted(name);
            return Ok(None);
        }
        let name = self.text.get(at..at + label_name_len(self.text, at)).unwrap_or_default();
        if name.is_empty() {
            return match self.next_byte() {
                Some(b',') => self.fault(1, Problem::LabelComma),
                _ => self.fault(1, Problem::LabelName(self.rest())),
            };
        }
        if name.starts_with(b"__") {
            return self.fault(name.len(), Problem::LabelNameReserved(name));
        }
        self.at += name.len();
        Ok(Some((Cow::Borrowed(ascii(name)), at)))
    }

    /// The text between the quotes of a name, which is passed.
    pub(super) fn quoted_name(&mut self) -> Result<&'l [u8], LineFault<'l>> {
        let opened = self.at;
        let mut end = opened + 1;
        while let Some(&byte) = self.text.get(end) {
            match byte {
                b'"' => {
                    self.at = end + 1;
                    return Ok(self.text.get(opened + 1..end).unwrap_or_default());
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.fault(self.rest().len(), Problem::LabelUnclosed)
    }

    /// Records a repair, once for each kind: a line can hold millions of them.
    fn repair_once(&mut self, repair: LineFault<'l>) {
        let kind = std::mem::discriminant(&repair.problem);
        if !self.repairs.iter().any(|other| std::mem::discriminant(&other.problem) == kind) {
            self.repairs.push(repair);
        }
    }

    /// The second appearance of a name that appears twice.
    fn find_twice(&self) -> Option<LineFault<'l>> {
        let mut labels: Vec<_> = self.labels.iter().collect();
        labels.sort_by(|a, b| (&a.name, a.at).cmp(&(&b.name, b.at)));
        labels.windows(2).find_map(|pair| match pair {
            [first, second] if first.name == second.name => {
                let name = self.text.get(second.at..second.at + second.len).unwrap_or_default();
                Some(LineFault::new(second.at, second.len, Problem::LabelTwice(name)))
            }
            _ => None,
        })
    }

    /// Renames labels that the grouping key has with another value, as Prometheus renames those that clash with a target's
    /// (`scrape.go`, `resolveConflictingExposedLabels`).
    fn export_labels(&mut self, hasher: &LabelHasher<'_>) {
        for number in 0..self.labels.len() {
            let Some(label) = self.labels.get(number) else { continue };
            let value = self.values.get(label.value.clone()).unwrap_or_default();
            if !hasher.clashes(label.name.as_bytes(), value.as_bytes()) {
                continue;
            }
            let mut name = format!("exported_{}", label.name);
            while hasher.is_overwritten(name.as_bytes()) || self.labels.iter().any(|other| other.name == name) {
                name.insert_str(0, "exported_");
            }
            let raw = self.text.get(label.at..label.at + label.len).unwrap_or_default();
            let fault = LineFault::new(label.at, label.len, Problem::LabelExported(raw));
            self.repair_once(fault);
            if let Some(label) = self.labels.get_mut(number) {
                label.name = Cow::Owned(name);
            }
        }
    }

    /// A sample behind its name: the labels, one more where there is one, and the value.
    fn write(&self, extra: Option<(&str, &str)>, value: &str) -> String {
        let own = self
            .labels
            .iter()
            .map(|label| (label.name.as_ref(), self.values.get(label.value.clone()).unwrap_or_default()));
        let mut out = String::with_capacity(self.text.len());
        write_pairs(&mut out, own.chain(extra));
        out.push(' ');
        out.push_str(spelling(value.as_bytes()).and_then(Spelling::canonical).unwrap_or(value));
        out
    }

    /// `="text"` after a label name.
    fn label_value(&mut self) -> Result<(), LineFault<'l>> {
        self.skip_blanks();
        if self.next_byte() != Some(b'=') {
            return self.fault(1, Problem::LabelEquals(self.rest()));
        }
        self.at += 1;
        self.skip_blanks();
        if self.next_byte() != Some(b'"') {
            return self.fault(1, Problem::LabelQuote(self.rest()));
        }
        let opened = self.at;
        self.at += 1;
        loop {
            let piece = run(self.text, self.at, NAME | DIGIT | COLON | VALUE);
            match std::str::from_utf8(self.text.get(self.at..self.at + piece).unwrap_or_default()) {
                Ok(piece) => self.values.push_str(piece),
                Err(error) => {
                    self.at += error.valid_up_to();
                    return self.fault(1, Problem::LabelUtf8);
                }
            }
            self.at += piece;
            match self.next_byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(LineFault::new(opened, self.text.len() - opened, Problem::LabelUnclosed)),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), LineFault<'l>> {
        match self.text.get(self.at + 1) {
            Some(b'\\') => self.values.push_str("\\\\"),
            Some(b'"') => self.values.push_str("\\\""),
            Some(b'n') => self.values.push_str("\\n"),
            // OpenMetrics, "Escaping": a backslash before anything else is a backslash.
            Some(_) if self.dialect == Dialect::OpenMetrics => {
                self.repair_once(LineFault::new(self.at, 1, Problem::LabelBackslash));
                write_escaped(&mut self.values, "\\");
                self.at += 1;
                return Ok(());
            }
            Some(_) => {
                let escape = self.rest();
                return self.fault(2, Problem::LabelEscape(escape.get(..2).unwrap_or(escape)));
            }
            None => return self.fault(1, Problem::LabelUnclosed),
        }
        self.at += 2;
        Ok(())
    }

    /// The value, which is passed; its text, or the parts of a composite one.
    fn value(&mut self, is_tight: bool) -> Result<SampleValue<'l>, LineFault<'l>> {
        let token = self.token();
        if self.dialect == Dialect::OpenMetrics && token.starts_with(b"{") {
            return self.composite(token);
        }
        let Some(spelling) = spelling(token) else {
            return match token.first() {
                None => self.fault(1, Problem::ValueMissing),
                Some(&byte) if is_tight && byte != b'=' => self.fault(1, Problem::BadName(token)),
                Some(_) => self.fault(token.len(), Problem::BadValue(token)),
            };
        };
        if spelling == Spelling::SignedNan {
            self.repairs.push(LineFault::new(self.at, token.len(), Problem::NumberWord(token)));
        }
        self.at += token.len();
        Ok(SampleValue::Number(ascii(token)))
    }

    /// Whether a composite value begins here, and not the labels.
    fn begins_composite(&self) -> bool {
        let field = label_name_len(self.text, self.at + 1);
        self.dialect == Dialect::OpenMetrics && field > 0 && self.text.get(self.at + 1 + field) == Some(&b':')
    }

    fn composite(&mut self, token: &'l [u8]) -> Result<SampleValue<'l>, LineFault<'l>> {
        let is_special = |label: &LabelText<'_>| matches!(label.name.as_ref(), "le" | "quantile");
        let Some(value) = composite_value(token).filter(|_| !self.labels.iter().any(is_special)) else {
            return self.fault(token.len(), Problem::BadValue(token));
        };
        self.repairs.push(LineFault::new(self.at, token.len(), Problem::CompositeValue));
        if value.has_native_buckets {
            self.repairs.push(LineFault::new(self.at, token.len(), Problem::NativeBuckets));
        }
        self.at += token.len();
        Ok(SampleValue::Composite(value.parts))
    }

    /// What follows the value: a time stamp, an exemplar, blanks.
    ///
    /// Returns the start time of OpenMetrics 2.0, where there is one.
    fn tail(&mut self, is_tight: bool) -> Result<Option<&'l [u8]>, LineFault<'l>> {
        let end = self.at;
        self.skip_blanks();
        let stamp = self.token();
        if spelling(stamp) == Some(Spelling::Decimal) {
            if is_tight {
                return Err(LineFault::new(0, 1, Problem::UnclearName));
            }
            self.repairs.push(LineFault::new(self.at, stamp.len(), Problem::Timestamp));
            self.at += stamp.len();
            self.skip_blanks();
        }
        let start = self.start_time();
        let rest = self.rest();
        if is_exemplar(rest) {
            self.repairs.push(LineFault::new(self.at, rest.len(), Problem::Exemplar));
        } else if !rest.is_empty() {
            return self.fault(rest.len(), Problem::AfterValue(rest));
        } else if end < self.text.len() && self.repairs.is_empty() {
            self.repairs.push(LineFault::new(end, self.text.len() - end, Problem::Blanks));
        }
        Ok(start)
    }

    /// `st@` and a time, which are passed.
    fn start_time(&mut self) -> Option<&'l [u8]> {
        let token = self.token();
        let time = token.strip_prefix(b"st@").filter(|_| self.dialect == Dialect::OpenMetrics)?;
        spelling(time).filter(|spelling| *spelling == Spelling::Decimal)?;
        self.repairs.push(LineFault::new(self.at, token.len(), Problem::StartTime));
        self.at += token.len();
        self.skip_blanks();
        Some(time)
    }
}

/// `# {labels} value`, as OpenMetrics writes it after a sample; what is in it is not looked at.
fn is_exemplar(text: &[u8]) -> bool {
    let Some(labels) = text.strip_prefix(b"#") else { return false };
    labels.trim_ascii_start().first() == Some(&b'{') && labels.contains(&b'}')
}

/// Text that is ASCII by the grammar.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

//! One change of one series in a metrics file that others write too. Only the lines of that series are touched: what stands
//! in the file besides, whether it can be read or not, stays byte for byte.

use crate::exposition::map::HashSet;
use std::borrow::Cow;

use super::instrument::{MetricName, Step, Was};
use super::rewrite::{Edits, head};
use crate::exposition::diagnostic::{Diagnostic, Severity};
use crate::exposition::model::{Family, Kind, Sample, Suffix, number, write_labels};
use crate::exposition::read::{Comment, Context, Encoding, Lines, Reading, Source, comment, read};

/// What is to be done to which series.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The metric. A counter's name gets the suffix `_total`, unless the file has a counter of the very name.
    pub name: MetricName,
    /// The labels, values plain. No name twice, and not the one that the type keeps for itself (`le`, `quantile`).
    pub labels: Vec<(String, String)>,
    /// The help text, plain; none leaves the one that the file has.
    pub help: Option<String>,
    /// What is done.
    pub step: Step,
}

/// A file with a change applied.
#[derive(Debug)]
pub struct Changed {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The problems of lines that could not be read. They were left alone.
    pub problems: Vec<Diagnostic>,
}

/// Why a change is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchanged {
    /// The caller asks for what cannot be: another type than the file's, a name that is taken.
    Misuse(String),
    /// The file is in no state to be changed.
    Unreadable(String),
}

impl Change {
    /// The file of `source` with the change applied, exactly as a reader will find it: the result has been read again.
    ///
    /// # Errors
    /// The reason why the file has to stay as it is.
    pub fn apply(&self, source: &Source<'_>) -> Result<Changed, Unchanged> {
        if source.encoding == Encoding::BrokenUtf16 {
            let reason = format!("'{}' says that it is UTF-16, but not all of it is", source.name);
            return Err(Unchanged::Unreadable(reason));
        }
        let before = read(std::slice::from_ref(source), &Context::default());
        let name = self.family_name(&before);
        let family = before.families.iter().find(|family| family.name() == name);
        match family {
            Some(family) => self.check_type(family)?,
            None => self.check_counter(&before)?,
        }
        let mut edits = Edits::default();
        let lines = OwnLines::find(source, &name, family);
        let added = self.edit_samples(&name, family, &lines, &mut edits)?;
        self.edit_head(&name, family, &lines, &mut edits);
        let bytes = edits.apply(source);
        let (kind, declared) = (self.step.kind(), lines.declared);
        let expected = Expected { name: &name, kind, declared, samples: before.samples() + added };
        expected.check(&bytes, source, &before)?;
        Ok(Changed { bytes, problems: dropped(&before).cloned().collect() })
    }

    /// Counters end in `_total`: client libraries see to it. But one that another program wrote without stays the one it is.
    fn family_name(&self, before: &Reading<'_>) -> String {
        let name = self.name.as_str();
        let is_there = || before.families.iter().any(|family| family.name() == name);
        match self.step.kind() {
            Kind::Counter if !name.ends_with("_total") && !is_there() => format!("{name}_total"),
            _ => name.to_owned(),
        }
    }

    /// A series without a type takes the new one, unless that makes it a part of something.
    fn check_type(&self, family: &Family<'_>) -> Result<(), Unchanged> {
        let (there, wanted) = (family.kind(), self.step.kind());
        if there == wanted || (there == Kind::Untyped && !wanted.is_composite()) {
            return Ok(());
        }
        Err(other_type(there, wanted))
    }

    /// `add NAME` counts in `NAME_total`. Another metric called `NAME` beside it would take that call its counter away, and the
    /// client libraries refuse it as well.
    fn check_counter(&self, before: &Reading<'_>) -> Result<(), Unchanged> {
        let name = format!("{}_total", self.name.as_str());
        let is_counter = |family: &Family<'_>| family.name() == name && family.kind() == Kind::Counter;
        if self.step.kind() != Kind::Counter && before.families.iter().any(is_counter) {
            let wanted = self.step.kind().name();
            return Err(Unchanged::Misuse(format!("it is a counter in the file, as '{name}', not a {wanted}")));
        }
        Ok(())
    }

    /// Changes the samples of the series, or adds them; tells how many are added.
    fn edit_samples(
        &self,
        name: &str,
        family: Option<&Family<'_>>,
        lines: &OwnLines,
        edits: &mut Edits,
    ) -> Result<u64, Unchanged> {
        self.check_buckets(family)?;
        let series = family.map(|family| self.series(family)).unwrap_or_default();
        for (sample, was) in &series {
            let next = self.step.next(*was).map_or(Cow::Borrowed(sample.value()), Cow::Owned);
            let text = format!("{}{next}\n", sample.series_text());
            edits.replace(sample.position().line, &text);
        }
        if !series.is_empty() {
            return Ok(0);
        }
        let samples = self.step.first(&self.bounds(family));
        let mut text = String::new();
        for (suffix, bound, value) in &samples {
            text.push_str(name);
            text.push_str(suffix.as_str());
            let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            write_labels(&mut text, own.chain(bound.as_deref().map(|bound| ("le", bound))));
            text.push(' ');
            text.push_str(value);
            text.push('\n');
        }
        edits.add_after(lines.last, &text);
        Ok(samples.len() as u64)
    }

    /// The samples of the series, if it is there.
    fn series<'f, 'a>(&self, family: &'f Family<'a>) -> Vec<(&'f Sample<'a>, Was)> {
        let special = special(family.kind());
        let wanted = self.labels.iter().filter(|(_, value)| !value.is_empty()).count();
        let mut found = Vec::new();
        for sample in family.samples() {
            let (mut same, mut bound) = (0, None);
            // An empty label is none (Prometheus data model).
            let is_same = sample.labels().filter(|(_, value)| !value.is_empty()).all(|(name, value)| {
                if name == special {
                    bound = number::parse(&value);
                    return true;
                }
                same += 1;
                self.labels.iter().any(|(own, text)| own == name && *text == value)
            });
            if is_same && same == wanted {
                found.push((sample, Was { suffix: sample.suffix(), bound, number: sample.number() }));
            }
        }
        found
    }

    /// Buckets that were asked for must be those that the file has: histograms with different ones cannot be added up.
    fn check_buckets(&self, family: Option<&Family<'_>>) -> Result<(), Unchanged> {
        let (Some(family), Step::Histogram(_, Some(buckets))) = (family, &self.step) else { return Ok(()) };
        let texts = bounds_of(family);
        let mut there: Vec<f64> = texts.iter().filter_map(|text| number::parse(text)).collect();
        there.sort_by(f64::total_cmp);
        if there == buckets.bounds() {
            return Ok(());
        }
        Err(Unchanged::Misuse(format!("it has other buckets in the file: {}", texts.join(","))))
    }

    /// The bounds that a new series of the histogram gets, as text.
    fn bounds(&self, family: Option<&Family<'_>>) -> Vec<String> {
        match &self.step {
            Step::Histogram(_, buckets) => {
                let there = family.map(bounds_of).filter(|bounds| !bounds.is_empty());
                there.unwrap_or_else(|| {
                    let buckets = buckets.clone().unwrap_or_default();
                    buckets.bounds().iter().map(|bound| number::write_bound(*bound)).collect()
                })
            }
            _ => Vec::new(),
        }
    }

    /// Writes the HELP and TYPE lines that are missing, and changes those that say something else.
    fn edit_head(&self, name: &str, family: Option<&Family<'_>>, lines: &OwnLines, edits: &mut Edits) {
        let kind = self.step.kind();
        let is_typed = family.is_some_and(|family| family.kind() == kind);
        let old_help = family.and_then(Family::help);
        let help = self.help.as_deref().filter(|help| !help.is_empty() && old_help != Some(*help));
        if let (Some(line), Some(help)) = (lines.help, help) {
            edits.replace(line, &head(name, Some(help), None));
        }
        if let Some(line) = lines.untyped.filter(|_| !is_typed) {
            edits.replace(line, &head(name, None, Some(kind)));
        }
        let help = help.filter(|_| lines.help.is_none());
        let kind = Some(kind).filter(|_| !is_typed && !lines.is_typed);
        edits.add_before(lines.first, &head(name, help, kind));
    }
}

/// The label that tells apart the samples of one series.
fn special(kind: Kind) -> &'static str {
    match kind {
        Kind::Histogram => "le",
        Kind::Summary => "quantile",
        _ => "",
    }
}

/// The bounds of a histogram's first series, as they are written.
fn bounds_of(family: &Family<'_>) -> Vec<String> {
    let mut bounds: Vec<String> = Vec::new();
    let buckets = family.samples().iter().filter(|sample| sample.suffix() == Suffix::Bucket);
    for bound in buckets.filter_map(|sample| sample.labels().find(|(name, _)| *name == "le")) {
        if bounds.iter().any(|known| *known == bound.1) {
            break;
        }
        bounds.push(bound.1.into_owned());
    }
    bounds
}

/// The lines of a file that belong to one family.
#[derive(Debug, Default)]
struct OwnLines {
    first: Option<u32>,
    last: Option<u32>,
    /// The HELP line.
    help: Option<u32>,
    /// The TYPE line that says `untyped`, or `unknown` as OpenMetrics calls it.
    untyped: Option<u32>,
    /// Whether there is a TYPE line at all.
    is_typed: bool,
    /// The type in the first TYPE line.
    declared: Option<Kind>,
}

impl OwnLines {
    fn find(source: &Source<'_>, name: &str, family: Option<&Family<'_>>) -> Self {
        let mut own = Self::default();
        for sample in family.into_iter().flat_map(Family::samples) {
            own.add(sample.position().line);
        }
        for found in Lines::new(&source.bytes) {
            let text = found.text.trim_ascii_start();
            let found_comment = if text.first() == Some(&b'#') { comment(text) } else { continue };
            match found_comment {
                Ok(Comment::Help { name: other, text }) if *other == *name.as_bytes() && !text.is_empty() => {
                    own.help = own.help.or(Some(found.number));
                }
                Ok(Comment::Type { name: other, word }) if *other == *name.as_bytes() && !word.is_empty() => {
                    let word = word.trim_ascii_end();
                    let says_nothing =
                        ["untyped", "unknown"].iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()));
                    own.untyped = own.untyped.or(Some(found.number).filter(|_| says_nothing));
                    own.declared = own.declared.or(Kind::from_word(word));
                    own.is_typed = true;
                }
                _ => continue,
            }
            own.add(found.number);
        }
        own
    }

    fn add(&mut self, line: u32) {
        self.first = Some(self.first.map_or(line, |first| first.min(line)));
        self.last = self.last.max(Some(line));
    }
}

fn dropped<'r>(reading: &'r Reading<'_>) -> impl Iterator<Item = &'r Diagnostic> {
    reading.diagnostics.iter().filter(|found| found.severity == Severity::Dropped)
}

/// The conditions that a changed file must meet.
struct Expected<'e> {
    name: &'e str,
    kind: Kind,
    /// The type in the file's TYPE line, with samples or without.
    declared: Option<Kind>,
    samples: u64,
}

impl Expected<'_> {
    /// Reads what is to be written: whatever the rules above overlook, nothing that could be read before is lost, and the
    /// samples are found under their type.
    fn check(&self, bytes: &[u8], source: &Source<'_>, before: &Reading<'_>) -> Result<(), Unchanged> {
        let changed = [Source::new(source.name.clone(), bytes)];
        let after = read(&changed, &Context::default());
        if after.errors() > before.errors() {
            let known: HashSet<&str> = dropped(before).map(|found| found.reason.as_str()).collect();
            let new = dropped(&after).find(|found| !known.contains(found.reason.as_str()));
            let reason = new.map_or("it does not fit into the file", |found| found.reason.as_str());
            return Err(Unchanged::Misuse(format!("{reason}: choose another name")));
        }
        match after.families.iter().find(|family| family.name() == self.name) {
            Some(family) if family.kind() != self.kind => Err(other_type(family.kind(), self.kind)),
            Some(_) if after.samples() == self.samples => Ok(()),
            // A TYPE line alone, without samples: the parts that were added became metrics of their own.
            None if let Some(kind) = self.declared.filter(|kind| *kind != self.kind) => {
                Err(other_type(kind, self.kind))
            }
            _ => {
                // A series of the file that is the same as one that was added would be gone.
                let reason = "what the file has of it cannot be changed: choose another name".to_owned();
                Err(dropped(before)
                    .next()
                    .map_or_else(|| Unchanged::Misuse(reason), |found| Unchanged::Unreadable(found.to_string())))
            }
        }
    }
}

fn other_type(there: Kind, wanted: Kind) -> Unchanged {
    let word = if there == Kind::Untyped { "plain number" } else { there.name() };
    let remedy = match there {
        Kind::Summary if wanted == Kind::Histogram => ": --type summary observes it",
        Kind::Histogram if wanted == Kind::Summary => ": --type histogram observes it",
        _ => "",
    };
    Unchanged::Misuse(format!("it is a {word} in the file, not a {}{remedy}", wanted.name()))
}

#[cfg(test)]
mod tests;

//! Histograms and summaries. Their samples mean something only together: a histogram without the bucket that could not
//! be read would lie, so what belongs to it goes with it, and only that.

use crate::exposition::map::HashMap;

use super::builder::{Builder, Settled};
use super::findings::Span;
use super::label_hash::LabelHasher;
use super::records::{NONE, Record, Records};
use super::series_table::SeriesTable;
use crate::exposition::diagnostic::{Problem, Severity};
use crate::exposition::model::{Kind, Sample, Suffix, number, pairs, write_pairs};

/// The samples of one label set (without `le` or `quantile`).
#[derive(Debug, Default)]
struct SeriesParts {
    /// The bucket `+Inf`.
    inf: Option<Member>,
    count: Option<Member>,
    has_sum: bool,
    /// The bound and the value of the last bucket.
    bucket: Option<(f64, f64)>,
    last: u32,
    is_bad: bool,
}

/// A sample of a histogram or summary.
#[derive(Debug, Clone, Copy)]
struct Member {
    number: u32,
    group: u32,
    suffix: Suffix,
    record: Record,
}

/// A sample of a histogram or summary: its label set, and its bound or quantile.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    /// The hash of the labels without `le` or `quantile`.
    labels: u64,
    /// The bound or the quantile.
    special: Option<f64>,
}

/// What the label `le` or `quantile` of a sample says.
#[derive(Debug, Clone, Copy)]
enum Special<'t> {
    /// There is none.
    Missing,
    /// A number, and its text.
    Number(f64, &'t str),
    /// Its text is no number.
    Bad(&'t str),
}

/// A histogram or summary in the making.
struct Composite<'b, 'a, 'k> {
    builder: &'b mut Builder<'a, 'k>,
    kind: Kind,
    name: &'b str,
    series: Vec<SeriesParts>,
    index: HashMap<u64, usize>,
    /// The labels of the last sample and its series: most samples have those of the one before.
    last: Option<(u64, usize)>,
}

/// The samples of the histogram or summary `name` whose groups are `parts`.
pub(super) fn build<'a>(
    builder: &mut Builder<'a, '_>,
    kind: Kind,
    name: &[u8],
    parts: [Option<u32>; 4],
) -> Vec<Sample<'a>> {
    let members = members(builder, parts);
    if is_spoiled(builder, kind, name) {
        if let Some(first) = members.first() {
            builder.raise(first.group, &first.record, &Problem::Spoiled(name));
        }
        return Vec::new();
    }
    let mut table = std::mem::take(&mut builder.table);
    table.reset(members.len());
    let mut composite =
        Composite { builder, kind, name: ascii(name), series: Vec::new(), index: HashMap::default(), last: None };
    let kept = composite.settle(members, &mut table);
    let added = composite.finish();
    let samples = composite.samples(&kept, added);
    builder.table = table;
    samples
}

/// The samples of all parts in the order in which they were read: the lists of the parts, merged.
fn members(builder: &Builder<'_, '_>, parts: [Option<u32>; 4]) -> Vec<Member> {
    let groups = parts.map(|part| part.unwrap_or(NONE));
    let mut heads = groups.map(|group| builder.records.first(group));
    let counts = groups.map(|group| builder.records.groups.get(group as usize).map_or(0, |group| group.count));
    let mut members = Vec::with_capacity(counts.into_iter().map(|count| count as usize).sum());
    loop {
        let next = heads.iter_mut().zip(groups).zip(Suffix::ALL).min_by_key(|((head, _), _)| **head);
        let Some(((head, group), suffix)) = next else { break };
        let number = *head;
        let Some(record) = builder.record(number) else { break };
        *head = record.next;
        members.push(Member { number, group, suffix, record });
    }
    members
}

/// Whether a sample of a part could not be read, so that its label set is unknown.
fn is_spoiled(builder: &Builder<'_, '_>, kind: Kind, name: &[u8]) -> bool {
    Suffix::PARTS
        .into_iter()
        .filter(|suffix| kind.has_part(*suffix))
        .any(|suffix| builder.records.is_spoiled(&[name, suffix.as_str().as_bytes()].concat()))
}

impl<'a> Composite<'_, 'a, '_> {
    /// Leaves one sample of each series and adds it to the series that it is a part of.
    fn settle(&mut self, members: Vec<Member>, table: &mut SeriesTable) -> Vec<(Member, usize)> {
        let mut kept: Vec<(Member, Meaning)> = Vec::with_capacity(members.len());
        // The numbers of the records that came first, which the table knows.
        let mut numbers = Vec::with_capacity(members.len());
        for member in members {
            let Some(meaning) = self.meaning(&member) else { continue };
            let hash = self.hash(&member, meaning);
            let Some(first) = table.find_or_add(hash, member.number, |other| self.is_same(&member, meaning, other))
            else {
                numbers.push(member.number);
                kept.push((member, meaning));
                continue;
            };
            let place = numbers.binary_search(&first).ok().and_then(|place| kept.get_mut(place));
            if let Some((there, _)) = place
                && self.builder.settle_duplicate(member.group, &member.record, there.number) == Settled::LastStays
            {
                *there = member;
            }
        }
        let settled = kept.into_iter().map(|(member, meaning)| {
            let series = self.series_of(meaning.labels);
            self.add(series, &member, meaning);
            (member, series)
        });
        settled.collect()
    }

    /// The label that tells apart the samples of one series.
    fn special_name(&self) -> &'static str {
        if self.kind == Kind::Histogram { "le" } else { "quantile" }
    }

    fn raise(&mut self, member: &Member, problem: &Problem<'_>) {
        self.builder.raise(member.group, &member.record, problem);
    }

    /// The label set and the bound of a sample; `None` where the sample fits nowhere, which is reported.
    fn meaning(&mut self, member: &Member) -> Option<Meaning> {
        let name = self.special_name();
        let (labels, special) = special(&self.builder.records, self.builder.hasher, member, name);
        let (number, problem) = match (self.kind, member.suffix, special) {
            (_, Suffix::Sum | Suffix::Count, Special::Missing) => (None, None),
            (_, Suffix::Sum | Suffix::Count, _) => (None, Some(Problem::Misplaced(name))),
            (Kind::Histogram, Suffix::None, _) | (_, Suffix::None, Special::Missing) => {
                (None, Some(Problem::BareSample(self.kind)))
            }
            (_, _, Special::Missing) => (None, Some(Problem::BucketWithoutLe)),
            (_, Suffix::None, Special::Number(number, text)) if !(0.0..=1.0).contains(&number) => {
                (Some(number), Some(Problem::QuantileRange(text.as_bytes())))
            }
            (_, _, Special::Number(number, _)) => (Some(number), None),
            (_, Suffix::None, Special::Bad(text)) => (None, Some(Problem::BadQuantile(text.as_bytes()))),
            (_, _, Special::Bad(text)) => (None, Some(Problem::BadLe(text.as_bytes()))),
        };
        let meaning = Meaning { labels, special: number };
        let Some(problem) = problem else { return Some(meaning) };
        let is_dropped = problem.severity() == Severity::Dropped;
        if let Some(group) = self.builder.records.groups.get(member.group as usize) {
            self.builder.findings.raise(member.record.place(group), &problem);
        }
        if is_dropped && member.suffix != Suffix::None {
            let series = self.series_of(labels);
            self.mark_bad(series);
        }
        (!is_dropped).then_some(meaning)
    }

    fn text(&self, member: &Member) -> &str {
        text(&self.builder.records, member)
    }

    fn hash(&self, member: &Member, meaning: Meaning) -> u64 {
        let part = self.builder.hasher.mix(meaning.labels, member.suffix as u64 + 1);
        meaning.special.map_or(part, |number| self.builder.hasher.mix(part, number.to_bits()))
    }

    fn is_same(&self, member: &Member, meaning: Meaning, other: u32) -> bool {
        let Some(record) = self.builder.record(other) else { return false };
        let other_member = Member { number: other, record, ..*member };
        let number = match special(&self.builder.records, self.builder.hasher, &other_member, self.special_name()).1 {
            Special::Number(number, _) => Some(number),
            Special::Missing | Special::Bad(_) => None,
        };
        number == meaning.special && self.builder.is_same(member.group, member.number, other, self.special_name())
    }

    fn series_of(&mut self, labels: u64) -> usize {
        if let Some((last, series)) = self.last
            && last == labels
        {
            return series;
        }
        let next = self.series.len();
        let series = *self.index.entry(labels).or_insert(next);
        if series == next {
            self.series.push(SeriesParts::default());
        }
        self.last = Some((labels, series));
        series
    }

    fn mark_bad(&mut self, series: usize) {
        if let Some(series) = self.series.get_mut(series) {
            series.is_bad = true;
        }
    }

    /// Adds a sample to its series.
    fn add(&mut self, series: usize, member: &Member, meaning: Meaning) {
        let value = self.value(member);
        if matches!(member.suffix, Suffix::Bucket | Suffix::Count) && !self.check_count(member, value) {
            self.mark_bad(series);
        }
        let mut is_falling = false;
        if let Some(series) = self.series.get_mut(series) {
            series.last = series.last.max(member.number);
            match (member.suffix, meaning.special) {
                (Suffix::Sum, _) => series.has_sum = true,
                (Suffix::Count, _) => series.count = Some(*member),
                (Suffix::Bucket, Some(bound)) => {
                    is_falling = series.bucket.is_some_and(|(last, before)| last < bound && value < before);
                    series.bucket = Some((bound, value));
                    if bound == f64::INFINITY {
                        series.inf = Some(*member);
                    }
                }
                _ => {}
            }
        }
        if is_falling {
            self.raise(member, &Problem::FallingBuckets);
        }
    }

    /// Whether a value can be a count. The gateway makes 64-bit integers of them; what does not fit becomes an arbitrary
    /// one, and newer gateways refuse negative ones.
    fn check_count(&mut self, member: &Member, value: f64) -> bool {
        let is_count = (0.0..18_446_744_073_709_551_616.0).contains(&value);
        if !is_count || value.fract() != 0.0 {
            let text = self.value_text(member).to_owned();
            let problem = if is_count { Problem::FractionalCount } else { Problem::BadCount };
            self.raise(member, &problem(text.as_bytes()));
        }
        is_count
    }

    fn value_text(&self, member: &Member) -> &str {
        self.text(member).get(member.record.value_at as usize..).unwrap_or_default()
    }

    fn value(&self, member: &Member) -> f64 {
        number::parse(self.value_text(member)).unwrap_or(f64::NAN)
    }

    /// Judges every series as a whole; returns the samples that are to be added, by the number of the one before.
    fn finish(&mut self) -> HashMap<u32, Sample<'a>> {
        let mut added = HashMap::default();
        let interrupted = self.builder.records.interrupted.clone();
        for number in 0..self.series.len() {
            let Some(series) = self.series.get_mut(number) else { continue };
            let is_half = series.count.is_none() || !series.has_sum;
            let is_cut = is_half && interrupted.contains(&series.last);
            let (last, inf, count) = (series.last, series.inf, series.count);
            if series.is_bad {
                continue;
            }
            let problem = match (self.kind, inf, count) {
                _ if is_cut => Problem::Interrupted,
                (Kind::Histogram, None, None) => Problem::NoInfNoCount,
                (Kind::Histogram, _, _) => {
                    self.complete(inf, count).map(|sample| added.insert(last, sample));
                    continue;
                }
                _ => continue,
            };
            series.is_bad = true;
            self.raise_at(last, &problem);
        }
        added
    }

    fn raise_at(&mut self, number: u32, problem: &Problem<'_>) {
        if let Some(record) = self.builder.record(number) {
            let place = Span { position: record.position(), at: record.at as usize, len: 1 };
            self.builder.findings.raise(place, problem);
        }
    }

    /// The sample that a histogram lacks: `+Inf` is `_count` and the other way round.
    fn complete(&mut self, inf: Option<Member>, count: Option<Member>) -> Option<Sample<'a>> {
        let (member, suffix, problem) = match (inf, count) {
            (Some(inf), Some(count)) => {
                if (self.value(&inf) - self.value(&count)).abs() > 0.0 {
                    self.raise(&count, &Problem::CountMismatch);
                }
                return None;
            }
            (Some(inf), None) => (inf, Suffix::Count, Problem::CountAdded),
            (None, Some(count)) => (count, Suffix::Bucket, Problem::InfAdded),
            (None, None) => return None,
        };
        let hasher = self.builder.hasher;
        let others = pairs(self.text(&member))
            .filter(|(name, value)| *name != "le" && !value.is_empty() && !hasher.is_overwritten(name.as_bytes()));
        let bound = (suffix == Suffix::Bucket).then_some(("le", "+Inf"));
        let sample = self.compose(&member, suffix, others.chain(bound));
        self.raise(&member, &problem);
        Some(sample)
    }

    /// A sample as it is written. The gateway puts histograms together before it replaces labels by those of the grouping
    /// key, so samples that are to belong together must not differ in what it will replace.
    fn sample(&mut self, member: &Member) -> Sample<'a> {
        let suffix = member.suffix.as_str();
        let group = self.builder.records.groups.get(member.group as usize);
        let has_own_name = group.is_some_and(|group| group.name.len() == self.name.len() + suffix.len());
        if !has_own_name {
            self.raise(member, &Problem::GaugePart);
        }
        if has_own_name && !member.record.has_ignored {
            return self.builder.records.take_sample(member.group, &member.record, member.suffix);
        }
        let hasher = self.builder.hasher;
        let labels = pairs(self.text(member));
        let kept = labels.filter(|(name, value)| !value.is_empty() && !hasher.is_overwritten(name.as_bytes()));
        self.compose(member, member.suffix, kept)
    }

    /// A sample with the value of `member`.
    fn compose<'l>(
        &self,
        member: &Member,
        suffix: Suffix,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
    ) -> Sample<'a> {
        let mut line = [self.name, suffix.as_str()].concat();
        let labels_at = line.len();
        write_pairs(&mut line, labels);
        line.push(' ');
        let value_at = line.len();
        line.push_str(self.value_text(member));
        let [labels_at, value_at] = [labels_at, value_at].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Sample::from_line(line.into(), (labels_at, value_at), suffix, member.record.position())
    }

    /// The samples of the series that are whole.
    fn samples(&mut self, kept: &[(Member, usize)], mut added: HashMap<u32, Sample<'a>>) -> Vec<Sample<'a>> {
        let mut samples = Vec::with_capacity(kept.len() + added.len());
        for (member, series) in kept {
            if self.series.get(*series).is_some_and(|series| !series.is_bad) {
                samples.push(self.sample(member));
                samples.extend(added.remove(&member.number));
            }
        }
        samples
    }
}

/// A name, which is ASCII by the grammar.
fn ascii(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

fn text<'c>(records: &'c Records<'_>, member: &Member) -> &'c str {
    records.groups.get(member.group as usize).map_or("", |group| records.text(group, &member.record))
}

/// The hash of the labels without the one called `name`, and what that one says.
fn special<'c>(records: &'c Records<'_>, hasher: &LabelHasher<'_>, member: &Member, name: &str) -> (u64, Special<'c>) {
    let hash = member.record.hash;
    let text = text(records, member);
    // Where the line was read, the place of the last `le` or `quantile` was noted; it may be the other one.
    let noted = text.get(member.record.special_at as usize..).filter(|_| member.record.special_at > 0);
    let is_it = |rest: &&str| pairs(rest).next().is_some_and(|(found, _)| found == name);
    let Some(rest) = noted.filter(is_it).or_else(|| find_pair(text, name)) else {
        return (hash, Special::Missing);
    };
    let value = pairs(rest).next().map_or("", |(_, value)| value);
    let special = match number::parse_strict(value) {
        // -0 and 0 are one bound.
        Some(number) if !number.is_nan() => Special::Number(number + 0.0, value),
        _ => Special::Bad(value),
    };
    if value.is_empty() || hasher.is_overwritten(name.as_bytes()) {
        return (hash, special);
    }
    let pair = rest.get(..name.len() + 2 + value.len()).unwrap_or_default();
    (hash.wrapping_sub(hasher.hash(pair.as_bytes())), special)
}

/// The text from the label called `name` on.
fn find_pair<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut labels = pairs(text);
    loop {
        let rest = labels.rest();
        if labels.next()?.0 == name {
            return Some(rest);
        }
    }
}

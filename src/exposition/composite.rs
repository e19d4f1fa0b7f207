//! Histograms and summaries. Their samples mean something only together: a histogram without the bucket that could not
//! be read would lie, so what belongs to it goes with it, and only that.

use std::collections::HashMap;

use super::collect::Record;
use super::families::Builder;
use super::findings::Place;
use super::model::{Kind, Sample, Suffix, pairs, write_pairs};
use super::number;
use super::problem::Problem;

/// The samples of one label set (without `le` or `quantile`).
#[derive(Debug, Default)]
struct Series {
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

/// What a sample says beside its labels.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    /// The hash of the labels without `le` or `quantile`.
    labels: u64,
    /// The bound or the quantile.
    special: Option<f64>,
}

/// A histogram or summary in the making.
struct Composite<'b, 'a, 'k> {
    builder: &'b mut Builder<'a, 'k>,
    kind: Kind,
    series: Vec<Series>,
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
    let mut composite = Composite { builder, kind, series: Vec::new(), index: HashMap::new(), last: None };
    let mut kept = Vec::with_capacity(members.len());
    for member in members {
        let Some(meaning) = composite.meaning(&member) else { continue };
        let hash = composite.hash(&member, meaning);
        let first = table.find_or_add(hash, member.number, |other| composite.is_same(&member, meaning, other));
        if let Some(first) = first {
            composite.builder.raise_duplicate(member.group, &member.record, first);
            continue;
        }
        let series = composite.series_of(meaning.labels);
        composite.add(series, &member, meaning);
        kept.push((member, series));
    }
    let added = composite.finish();
    let samples = composite.samples(&kept, added);
    builder.table = table;
    samples
}

/// The samples of all parts in the order in which they were read.
fn members(builder: &Builder<'_, '_>, parts: [Option<u32>; 4]) -> Vec<Member> {
    let suffixes = [Suffix::None, Suffix::Bucket, Suffix::Sum, Suffix::Count];
    let mut members = Vec::new();
    for (group, suffix) in parts.into_iter().zip(suffixes).filter_map(|(group, suffix)| Some((group?, suffix))) {
        let numbers = builder.numbers(Some(group));
        members.extend(
            numbers
                .into_iter()
                .filter_map(|number| Some(Member { number, group, suffix, record: builder.record(number)? })),
        );
    }
    members.sort_unstable_by_key(|member| member.number);
    members
}

/// Whether a sample of a part could not be read, so that nobody knows which label set it belonged to.
fn is_spoiled(builder: &Builder<'_, '_>, kind: Kind, name: &[u8]) -> bool {
    Suffix::PARTS
        .into_iter()
        .filter(|suffix| kind.has_part(*suffix))
        .any(|suffix| builder.collected.is_spoiled(&[name, suffix.as_str().as_bytes()].concat()))
}

impl<'a> Composite<'_, 'a, '_> {
    /// The label that tells apart the samples of one series.
    fn special_name(&self) -> &'static str {
        if self.kind == Kind::Histogram { "le" } else { "quantile" }
    }

    fn raise(&mut self, member: &Member, problem: &Problem<'_>) {
        self.builder.raise(member.group, &member.record, problem);
    }

    /// What a sample says; `None` where it has no place, which is said.
    fn meaning(&mut self, member: &Member) -> Option<Meaning> {
        let name = self.special_name();
        let (labels, special) = self.special(member, name);
        let bad = match (self.kind, member.suffix, special.as_deref()) {
            (_, Suffix::Sum | Suffix::Count, None) => return Some(Meaning { labels, special: None }),
            (_, Suffix::Sum | Suffix::Count, Some(_)) => Problem::Misplaced(name),
            (Kind::Histogram, Suffix::None, _) | (_, _, None) if member.suffix == Suffix::None => {
                Problem::BareSample(self.kind)
            }
            (_, _, None) => Problem::BucketWithoutLe,
            (_, _, Some(text)) => match number::parse_strict(text) {
                Some(number) if !number.is_nan() => {
                    if member.suffix == Suffix::None && !(0.0..=1.0).contains(&number) {
                        self.raise(member, &Problem::QuantileRange(text.as_bytes()));
                    }
                    // -0 and 0 are one bound.
                    return Some(Meaning { labels, special: Some(number + 0.0) });
                }
                _ if self.kind == Kind::Histogram => Problem::BadLe(text.as_bytes()),
                _ => Problem::BadQuantile(text.as_bytes()),
            },
        };
        self.raise(member, &bad);
        if member.suffix != Suffix::None {
            let series = self.series_of(labels);
            self.mark_bad(series);
        }
        None
    }

    /// The hash of the labels without the one called `name`, and the value of that.
    fn special(&self, member: &Member, name: &str) -> (u64, Option<String>) {
        let hash = member.record.hash;
        let Some(group) = self.builder.collected.groups.get(member.group as usize) else { return (hash, None) };
        let text = self.builder.collected.text(group, &member.record);
        // Where the line was read, the place of the last `le` or `quantile` was noted; it may be the other one.
        let noted = text.get(member.record.special_at as usize..).filter(|_| member.record.special_at > 0);
        let noted = noted.and_then(|rest| pairs(rest).next()).filter(|(found, _)| *found == name);
        let Some((_, value)) = noted.or_else(|| pairs(text).find(|(found, _)| *found == name)) else {
            return (hash, None);
        };
        if value.is_empty() || self.builder.key.is_overwritten(name.as_bytes()) {
            return (hash, Some(value.to_owned()));
        }
        let pair = self.builder.key.hash(format!("{name}=\"{value}").as_bytes());
        (hash.wrapping_sub(pair), Some(value.to_owned()))
    }

    fn hash(&self, member: &Member, meaning: Meaning) -> u64 {
        let part = self.builder.key.mix(meaning.labels, member.suffix as u64 + 1);
        meaning.special.map_or(part, |number| self.builder.key.mix(part, number.to_bits()))
    }

    fn is_same(&self, member: &Member, meaning: Meaning, other: u32) -> bool {
        let Some(record) = self.builder.record(other) else { return false };
        let other_member = Member { number: other, record, ..*member };
        let (_, special) = self.special(&other_member, self.special_name());
        let number = special.as_deref().and_then(number::parse_strict).map(|number| number + 0.0);
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
            self.series.push(Series::default());
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
            series.last = member.number;
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
            let text = self.value_text(member);
            let problem = if is_count { Problem::FractionalCount } else { Problem::BadCount };
            self.raise(member, &problem(text.as_bytes()));
        }
        is_count
    }

    fn value_text(&self, member: &Member) -> String {
        let group = self.builder.collected.groups.get(member.group as usize);
        let text = group.map_or("", |group| self.builder.collected.text(group, &member.record));
        text.get(member.record.value_at as usize..).unwrap_or_default().to_owned()
    }

    fn value(&self, member: &Member) -> f64 {
        let group = self.builder.collected.groups.get(member.group as usize);
        let text = group.map_or("", |group| self.builder.collected.text(group, &member.record));
        number::parse(text.get(member.record.value_at as usize..).unwrap_or_default()).unwrap_or(f64::NAN)
    }

    /// Judges every series as a whole; returns the samples that are to be added, by the number of the one before.
    fn finish(&mut self) -> HashMap<u32, Sample<'a>> {
        let mut added = HashMap::new();
        let interrupted = self.builder.collected.interrupted.clone();
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
            let place = Place { position: record.position(), at: record.at as usize, len: 1 };
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
        let group = self.builder.collected.groups.get(member.group as usize)?;
        let text = self.builder.collected.text(group, &member.record);
        let others = pairs(text).filter(|(name, _)| *name != "le");
        let bound = (suffix == Suffix::Bucket).then_some(("le", "+Inf"));
        let mut new = String::with_capacity(text.len() + 16);
        write_pairs(&mut new, others.chain(bound));
        new.push(' ');
        let value_at = u32::try_from(new.len()).unwrap_or(u32::MAX);
        new.push_str(text.get(member.record.value_at as usize..).unwrap_or_default());
        let sample = Sample::from_text(new.into(), value_at, suffix, member.record.position());
        self.raise(&member, &problem);
        Some(sample)
    }

    /// The samples of the series that are whole.
    fn samples(&mut self, kept: &[(Member, usize)], mut added: HashMap<u32, Sample<'a>>) -> Vec<Sample<'a>> {
        let mut samples = Vec::with_capacity(kept.len() + added.len());
        for (member, series) in kept {
            if self.series.get(*series).is_some_and(|series| !series.is_bad) {
                samples.push(self.builder.sample(member.group, &member.record, member.suffix));
                samples.extend(added.remove(&member.number));
            }
        }
        samples
    }
}

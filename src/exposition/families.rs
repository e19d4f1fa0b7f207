//! Second step of reading: records become families. Here everything is known, so types are applied whatever the order of
//! the lines was, series are compared, and what the gateway would refuse is left out.

use std::collections::HashMap;

use super::Context;
use super::collect::{Collected, NONE, Record};
use super::composite;
use super::declare::{Declarations, Declared, base_of};
use super::findings::{Findings, Place};
use super::key::Key;
use super::model::{Family, Kind, Sample, Suffix, pairs};
use super::names::Names;
use super::problem::Problem;
use super::series::Table;

/// A family that is to be built: which groups of samples belong to it.
#[derive(Debug)]
struct Plan<'a> {
    name: &'a [u8],
    kind: Kind,
    declared: Option<Declared>,
    /// Groups by their suffix, in the order of [`Suffix`].
    parts: [Option<u32>; 4],
}

/// What builds families.
pub(super) struct Builder<'a, 'k> {
    pub(super) collected: Collected<'a>,
    pub(super) findings: Findings<'a>,
    pub(super) key: &'k Key<'k>,
    pub(super) table: Table,
}

/// Builds the families in the order of their first samples.
pub(super) fn build<'a>(
    mut builder: Builder<'a, '_>,
    mut declarations: Declarations<'a>,
    context: &Context<'_>,
) -> (Vec<Family<'a>>, Findings<'a>) {
    let mut families = Vec::new();
    let mut names = Names::new(context.reserved);
    for plan in plans(&builder.collected, &declarations, &mut builder.findings) {
        let Some(place) = builder.first_place(&plan) else { continue };
        let kind = match names.admit(plan.name, plan.kind) {
            Ok(kind) => kind,
            Err(problem) => {
                builder.findings.raise(place, &problem);
                continue;
            }
        };
        if kind != plan.kind {
            builder.findings.raise(place, &Problem::Retyped(kind));
        }
        if let Some(declared) = plan.declared
            && declared.place.position.source == place.position.source
            && declared.place.position > place.position
        {
            builder.findings.raise(declared.place, &Problem::TypeLate);
        }
        let samples = if kind.is_composite() {
            composite::build(&mut builder, kind, plan.name, plan.parts)
        } else {
            builder.scalars(plan.parts[Suffix::None as usize])
        };
        if samples.is_empty() {
            continue;
        }
        names.take(plan.name, kind);
        let help = declarations.take_help(plan.name);
        let name = std::str::from_utf8(plan.name).unwrap_or_default();
        families.push(Family::new(name, kind).with_samples(help, samples));
    }
    (families, builder.findings)
}

/// Which groups make a family.
fn plans<'a>(collected: &Collected<'a>, declarations: &Declarations<'a>, findings: &mut Findings<'a>) -> Vec<Plan<'a>> {
    let mut plans: Vec<Plan<'a>> = Vec::new();
    let mut index = HashMap::new();
    for (number, group) in collected.groups.iter().enumerate().filter(|(_, group)| group.count > 0) {
        let (name, suffix) = owner(group.name, collected, declarations);
        let declared = declarations.kind(name);
        if suffix != Suffix::None
            && let Some(own) = declarations.kind(group.name)
        {
            let kind = declared.map_or(Kind::Untyped, |declared| declared.kind);
            findings.raise(own.place, &Problem::TypeOfPart(name, kind));
        }
        let at = *index.entry(name).or_insert_with(|| {
            let kind = declared.map_or(Kind::Untyped, |declared| declared.kind);
            plans.push(Plan { name, kind, declared, parts: [None; 4] });
            plans.len() - 1
        });
        if let Some(plan) = plans.get_mut(at) {
            plan.parts[suffix as usize] = u32::try_from(number).ok();
        }
    }
    plans
}

/// The family that samples of this name belong to, and their suffix there (expfmt, `setOrCreateCurrentMF`, but whatever
/// the order of the lines).
fn owner<'a>(name: &'a [u8], collected: &Collected<'a>, declarations: &Declarations<'a>) -> (&'a [u8], Suffix) {
    let own = declarations.kind(name);
    for suffix in Suffix::PARTS {
        let Some(base) = base_of(name, suffix) else { continue };
        let kind = declarations.kind(base).map(|declared| declared.kind);
        if kind.is_some_and(|kind| kind.is_composite() && kind.has_part(suffix))
            && (own.is_none() || has_other_samples(base, name, collected, declarations))
        {
            return (base, suffix);
        }
    }
    (name, Suffix::None)
}

/// Whether the histogram or summary `base` has samples beside those of `name`. Client libraries write a TYPE line for a
/// metric without samples too, and such a line takes no other metric's name away.
fn has_other_samples(base: &[u8], name: &[u8], collected: &Collected<'_>, declarations: &Declarations<'_>) -> bool {
    [Suffix::None].into_iter().chain(Suffix::PARTS).any(|suffix| {
        let part = [base, suffix.as_str().as_bytes()].concat();
        part != name
            && collected.group_index(&part).is_some()
            && (suffix == Suffix::None || declarations.kind(&part).is_none())
    })
}

impl<'a> Builder<'a, '_> {
    fn first_place(&self, plan: &Plan<'_>) -> Option<Place> {
        let groups = plan.parts.iter().flatten().filter_map(|&part| self.collected.groups.get(part as usize));
        let first = groups.min_by_key(|group| group.first)?;
        self.collected.records.get(first.first as usize).map(|record| record.place(first))
    }

    /// The record of this number.
    pub(super) fn record(&self, number: u32) -> Option<Record> {
        self.collected.records.get(number as usize).copied()
    }

    /// Raises a problem of a whole sample.
    pub(super) fn raise(&mut self, group: u32, record: &Record, problem: &Problem<'_>) {
        if let Some(group) = self.collected.groups.get(group as usize) {
            let place = record.place(group);
            self.findings.raise(place, problem);
        }
    }

    /// Says that a sample's series was there before.
    pub(super) fn raise_duplicate(&mut self, group: u32, record: &Record, first: u32) {
        let Some((first, of)) = self.record(first).zip(self.collected.groups.get(group as usize)) else { return };
        let labels =
            |record: &Record| self.collected.text(of, record).rsplit_once(' ').map(|(labels, _)| labels.to_owned());
        let same_text = labels(record) == labels(&first);
        let position = first.position();
        let file = self.findings.other_file(record.position(), position);
        self.raise(group, record, &Problem::Duplicate { file, line: position.line, same_text });
    }

    /// The samples of a counter, a gauge or an untyped metric.
    fn scalars(&mut self, group: Option<u32>) -> Vec<Sample<'a>> {
        let Some(group) = group else { return Vec::new() };
        let count = self.leave_out_duplicates(group);
        let mut samples = Vec::with_capacity(count);
        let mut next = self.collected.first(group);
        while let Some(record) = self.record(next) {
            samples.push(self.collected.take_sample(group, &record, Suffix::None));
            next = record.next;
        }
        samples
    }

    /// Takes the samples out of a group whose series was there before; how many are left.
    fn leave_out_duplicates(&mut self, group: u32) -> usize {
        let mut left = self.collected.groups.get(group as usize).map_or(0, |group| group.count as usize);
        let mut table = std::mem::take(&mut self.table);
        table.reset(left);
        let (mut next, mut before) = (self.collected.first(group), NONE);
        while let Some(record) = self.record(next) {
            match table.find_or_add(record.hash, next, |other| self.is_same(group, next, other, "")) {
                None => before = next,
                Some(first) => {
                    self.raise_duplicate(group, &record, first);
                    self.collected.unlink(before, &record);
                    left -= 1;
                }
            }
            next = record.next;
        }
        self.table = table;
        left
    }

    /// Whether two records of a group have the same labels as the gateway sees them, `special` left aside.
    pub(super) fn is_same(&self, group: u32, one: u32, other: u32, special: &str) -> bool {
        let Some(group) = self.collected.groups.get(group as usize) else { return false };
        let labels = |number: u32| {
            let record = self.record(number)?;
            let text = self.collected.text(group, &record);
            let mut labels: Vec<_> = pairs(text)
                .filter(|(name, value)| {
                    !value.is_empty() && *name != special && !self.key.is_overwritten(name.as_bytes())
                })
                .collect();
            labels.sort_unstable();
            Some(labels)
        };
        labels(one) == labels(other)
    }
}

//! Second step of reading: records become families. Here everything is known, so types are applied whatever the order of
//! the lines was, series are compared, and what the gateway would refuse is left out.

use crate::exposition::map::HashMap;

use super::builder::{Builder, Settled};
use super::composite;
use super::context::Context;
use super::declarations::{Declaration, Declarations, base_of};
use super::findings::{Findings, Span};
use super::records::{NONE, Records};
use super::taken_names::TakenNames;
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::{Family, Kind, Sample, Suffix};

/// A family that is to be built: which groups of samples belong to it.
#[derive(Debug)]
struct FamilyPlan {
    name: Box<[u8]>,
    kind: Kind,
    declared: Option<Declaration>,
    /// Groups by their suffix, in the order of [`Suffix`].
    parts: [Option<u32>; 4],
}

/// Builds the families in the order of their first samples.
pub(super) fn build<'a>(
    mut builder: Builder<'a, '_>,
    mut declarations: Declarations<'a>,
    context: &Context<'_>,
) -> (Vec<Family<'a>>, Findings<'a>) {
    let mut families = Vec::new();
    let mut names = TakenNames::new(context.reserved);
    for plan in plans(&builder.records, &declarations, &mut builder.findings) {
        let Some(place) = first_place(&builder, &plan) else { continue };
        let kind = match names.admit(&plan.name, plan.kind) {
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
            composite::build(&mut builder, kind, &plan.name, plan.parts)
        } else {
            scalars(&mut builder, plan.parts[Suffix::None as usize])
        };
        if samples.is_empty() {
            continue;
        }
        names.take(&plan.name, kind);
        let help = declarations.take_help(&plan.name).map(|help| help.text);
        let name = String::from_utf8(plan.name.into_vec()).unwrap_or_default();
        families.push(Family::new(name, kind).with_samples(help, samples));
    }
    (families, builder.findings)
}

/// Which groups make a family.
fn plans<'a>(records: &Records<'a>, declarations: &Declarations<'a>, findings: &mut Findings<'a>) -> Vec<FamilyPlan> {
    let mut plans: Vec<FamilyPlan> = Vec::new();
    let mut index = HashMap::default();
    for (number, group) in records.groups.iter().enumerate().filter(|(_, group)| group.count > 0) {
        let (name, suffix) = owner(&group.name, records, declarations);
        let declared = declarations.kind(name);
        let kind = declared.map_or(Kind::Untyped, |declared| declared.kind);
        if suffix != Suffix::None {
            if let Some(own) = declarations.kind(&group.name) {
                findings.raise(own.place, &Problem::TypeOfPart(name, kind));
            }
            if let Some(help) = declarations.help(&group.name) {
                findings.raise(help.span, &Problem::HelpOfPart(name, kind));
            }
        }
        let at = *index.entry(name).or_insert_with(|| {
            plans.push(FamilyPlan { name: name.into(), kind, declared, parts: [None; 4] });
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
fn owner<'a>(name: &'a [u8], records: &Records<'a>, declarations: &Declarations<'a>) -> (&'a [u8], Suffix) {
    let own = declarations.kind(name);
    for suffix in Suffix::PARTS {
        let Some(base) = base_of(name, suffix) else { continue };
        let kind = declarations.kind(base).map(|declared| declared.kind);
        if kind.is_some_and(|kind| kind.is_composite() && kind.has_part(suffix))
            && (own.is_none() || has_other_samples(base, name, records, declarations))
        {
            return (base, suffix);
        }
    }
    let histogram = |base: &[u8]| declarations.kind(base).is_some_and(|declared| declared.kind == Kind::Histogram);
    for (text, suffix) in GAUGE_PARTS {
        if let Some(base) = name.strip_suffix(text.as_bytes())
            && own.is_none()
            && histogram(base)
            && records.group(&[base, suffix.as_str().as_bytes()].concat()).is_none()
        {
            return (base, suffix);
        }
    }
    (name, Suffix::None)
}

/// What OpenMetrics calls the parts of a gauge histogram. Some programs write them for a histogram.
const GAUGE_PARTS: [(&str, Suffix); 2] = [("_gcount", Suffix::Count), ("_gsum", Suffix::Sum)];

/// Whether the histogram or summary `base` has samples beside those of `name`. Client libraries write a TYPE line for a
/// metric without samples too, and such a line takes no other metric's name away.
fn has_other_samples(base: &[u8], name: &[u8], records: &Records<'_>, declarations: &Declarations<'_>) -> bool {
    [Suffix::None].into_iter().chain(Suffix::PARTS).any(|suffix| {
        let part = [base, suffix.as_str().as_bytes()].concat();
        part != name
            && records.group_index(&part).is_some()
            && (suffix == Suffix::None || declarations.kind(&part).is_none())
    })
}

/// Where the first sample of a family stands.
fn first_place(builder: &Builder<'_, '_>, plan: &FamilyPlan) -> Option<Span> {
    let groups = plan.parts.iter().flatten().filter_map(|&part| builder.records.groups.get(part as usize));
    let first = groups.min_by_key(|group| group.first)?;
    builder.records.all.get(first.first as usize).map(|record| record.place(first))
}

/// The samples of a counter, a gauge or an untyped metric.
fn scalars<'a>(builder: &mut Builder<'a, '_>, group: Option<u32>) -> Vec<Sample<'a>> {
    let Some(group) = group else { return Vec::new() };
    let count = leave_out_duplicates(builder, group);
    let mut samples = Vec::with_capacity(count);
    let mut next = builder.records.first(group);
    while let Some(record) = builder.record(next) {
        samples.push(builder.records.take_sample(group, &record, Suffix::None));
        next = record.next;
    }
    samples
}

/// Leaves one sample of each series in a group; how many are left.
fn leave_out_duplicates(builder: &mut Builder<'_, '_>, group: u32) -> usize {
    let mut left = builder.records.groups.get(group as usize).map_or(0, |group| group.count as usize);
    let mut table = std::mem::take(&mut builder.table);
    table.reset(left);
    let (mut next, mut before) = (builder.records.first(group), NONE);
    while let Some(record) = builder.record(next) {
        match table.find_or_add(record.hash, next, |other| builder.is_same(group, next, other, "")) {
            None => before = next,
            Some(first) => {
                if builder.settle_duplicate(group, &record, first) == Settled::LastStays {
                    builder.records.replace(first, &record);
                }
                builder.records.unlink(before, &record);
                left -= 1;
            }
        }
        next = record.next;
    }
    builder.table = table;
    left
}

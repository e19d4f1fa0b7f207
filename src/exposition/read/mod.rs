//! Reads what commands leave in their metrics files, whatever bytes these are.
//!
//! The lines are gone over once (`collect`; one line is recognised by `layout` or written anew by `mend`), what HELP and
//! TYPE lines say is applied (`declarations`), and families are built without what a gateway would refuse (`families`,
//! `composite`, `taken_names`).

mod builder;
mod collect;
mod comment;
mod composite;
mod composite_value;
mod context;
mod declarations;
mod escape_name;
mod families;
mod findings;
mod grammar;
mod label_hash;
mod layout;
mod lines;
mod mend;
mod reading;
mod records;
mod series_table;
mod source;
mod taken_names;

use builder::Builder;
use collect::Collector;
use label_hash::LabelHasher;
use series_table::SeriesTable;

use crate::exposition::diagnostic::Severity;

pub use context::Context;
pub use reading::Reading;
pub use source::Source;

pub(in crate::exposition) use comment::{Comment, comment};
pub(in crate::exposition) use grammar::name_len;
pub(in crate::exposition) use lines::{LineEnd, Lines};
pub(in crate::exposition) use source::Encoding;

/// Reads files: text format 0.0.4 as shells, editors and client libraries write it, and OpenMetrics text. Never fails; any
/// bytes are allowed. The families of several files are merged; of the same series in two of them the first stays.
#[must_use]
pub fn read<'a>(sources: &'a [Source<'a>], context: &Context<'_>) -> Reading<'a> {
    let hasher = LabelHasher::new(context.grouping);
    let mut collector = Collector::new(sources, &hasher);
    for (number, source) in (0..=u16::MAX).zip(sources) {
        collector.read(number, source);
    }
    let Collector { records, findings, declarations, .. } = collector;
    let builder = Builder { records, findings, hasher: &hasher, table: SeriesTable::default() };
    let (families, findings) = families::build(builder, declarations, context);
    Reading {
        families,
        errors: findings.count(Severity::Dropped),
        doubts: findings.count(Severity::Doubtful),
        repairs: findings.count(Severity::Repaired),
        diagnostics: findings.into_diagnostics(),
    }
}

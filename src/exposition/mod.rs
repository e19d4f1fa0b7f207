//! The exposition format: reads what commands leave in their metrics files, whatever bytes these are, and writes what
//! every Pushgateway takes. Pure: no I/O, no clock.
//!
//! [`read`] makes families of files, [`encode`] writes them. [`judge`] is apart from all this: it says what a gateway does
//! with bytes as they are. [`Change`] changes one series of a file by the rules of client libraries.

mod diagnostic;
mod edit;
mod map;
mod model;
mod owned;
mod read;
mod types;
mod verdict;
mod write;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Excerpt, Paint, Severity};
pub use edit::{Buckets, Change, Changed, Increment, MetricName, Observation, Step, Unchanged, Value};
pub use model::{Family, Kind, Position, Sample, Suffix};
pub use owned::OwnedFamilies;
pub use read::{Context, Reading, Source, read};
pub use types::{HeldTypes, ReconciledFamilies, TypeConflict, held_types, reconcile_types};
pub use verdict::{Verdict, VerdictReason, judge, judge_file};
pub use write::{CONTENT_TYPE, encode, encode_with_labels};

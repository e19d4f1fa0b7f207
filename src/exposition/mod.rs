//! The exposition format: reads what commands leave in their metrics files, whatever bytes these are, and writes what
//! every Pushgateway takes. Pure: no I/O, no clock.
//!
//! [`read`] goes over the lines once (`collect`, with one line read by `line` and numbers by `number`), applies what HELP
//! and TYPE lines say (`declare`), and builds families without what a gateway would refuse (`families`, `composite`,
//! `names`). [`encode`] writes them. [`judge`] is apart from all this: it says what a gateway does with bytes as they are.
//! [`Change`] changes one series of a file (`change`, `rewrite`) by the rules of client libraries (`instrument`).

mod change;
mod collect;
mod composite;
mod declare;
mod diagnostic;
mod encode;
mod families;
mod findings;
mod gateway;
mod instrument;
mod key;
mod line;
mod model;
mod names;
mod number;
mod problem;
mod rewrite;
mod series;
mod source;

#[cfg(test)]
mod tests;

pub use change::{Change, Changed, Unchanged};
pub use diagnostic::{Diagnostic, Excerpt, Paint, Severity, count, json_string};
pub use encode::{CONTENT_TYPE, encode, encode_with_labels};
pub use gateway::{Refusal, Verdict, judge};
pub use instrument::{Buckets, Increment, MetricName, Observation, Step, Value};
pub use model::{Family, Kind, Position, Sample, Suffix};
pub use source::Source;

use collect::Collector;
use families::Builder;
use key::Key;
use series::Table;

/// What a file is read for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'c> {
    /// The grouping labels of the push, `job` included: the gateway replaces labels of the same name by them.
    pub grouping: &'c [(String, String)],
    /// Names of the families that the caller writes itself. A family of the file that has such a name, or collides with
    /// one, is dropped with a message.
    pub reserved: &'c [String],
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Reading<'a> {
    /// Families that every gateway takes, in the order in which they first appeared.
    pub families: Vec<Family<'a>>,
    /// What was found, in the order of the files and their lines; bounded, so `errors` can be more.
    pub diagnostics: Vec<Diagnostic>,
    errors: u64,
    doubts: u64,
    repairs: u64,
}

impl Reading<'_> {
    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.families.iter().map(|family| family.samples().len() as u64).sum()
    }

    /// How many things were dropped.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// How many things are passed on though they are probably not meant so.
    #[must_use]
    pub fn doubts(&self) -> u64 {
        self.doubts
    }

    /// How many things were repaired.
    #[must_use]
    pub fn repairs(&self) -> u64 {
        self.repairs
    }

    /// Adds what could not be read at all.
    pub fn add(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Dropped => self.errors += 1,
            Severity::Doubtful => self.doubts += 1,
            Severity::Repaired => self.repairs += 1,
        }
        self.diagnostics.push(diagnostic);
    }
}

/// Reads files: text format 0.0.4 as shells, editors and client libraries write it, and OpenMetrics text. Never fails; any
/// bytes are allowed. The families of several files are merged; of the same series in two of them the first stays.
#[must_use]
pub fn read<'a>(sources: &'a [Source<'a>], context: &Context<'_>) -> Reading<'a> {
    let key = Key::new(context.grouping);
    let mut collector = Collector::new(sources, &key);
    for (number, source) in (0..=u16::MAX).zip(sources) {
        collector.read(number, source);
    }
    let Collector { collected, findings, declarations, .. } = collector;
    let builder = Builder { collected, findings, key: &key, table: Table::default() };
    let (families, findings) = families::build(builder, declarations, context);
    Reading {
        families,
        errors: findings.count(Severity::Dropped),
        doubts: findings.count(Severity::Doubtful),
        repairs: findings.count(Severity::Repaired),
        diagnostics: findings.into_diagnostics(),
    }
}

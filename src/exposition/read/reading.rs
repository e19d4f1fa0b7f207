//! What was read.

use crate::exposition::diagnostic::{Diagnostic, Severity};
use crate::exposition::model::Family;

/// The families of the files and the findings in them.
#[derive(Debug, Clone, Default)]
pub struct Reading<'a> {
    /// Families that every gateway takes, in the order in which they first appeared.
    pub families: Vec<Family<'a>>,
    /// The findings, in the order of the files and their lines; bounded, so `errors` can be more.
    pub diagnostics: Vec<Diagnostic>,
    pub(super) errors: u64,
    pub(super) doubts: u64,
    pub(super) repairs: u64,
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

    /// The findings alone, which borrow nothing.
    #[must_use]
    pub(in crate::exposition) fn without_families(self) -> Reading<'static> {
        let Self { diagnostics, errors, doubts, repairs, .. } = self;
        Reading { families: Vec::new(), diagnostics, errors, doubts, repairs }
    }

    /// Adds what could not be read at all.
    pub fn add(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Dropped | Severity::Unread => self.errors += 1,
            Severity::Doubtful => self.doubts += 1,
            Severity::Repaired => self.repairs += 1,
        }
        self.diagnostics.push(diagnostic);
    }
}

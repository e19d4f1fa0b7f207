//! What families are built from: the records, and what tells that two of them are one series.

use super::findings::Findings;
use super::label_hash::LabelHasher;
use super::records::{Record, Records};
use super::series_table::SeriesTable;
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::pairs;

/// Which of two samples of one series stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    FirstStays,
    LastStays,
}

/// Builds families.
#[derive(Debug)]
pub(super) struct Builder<'a, 'k> {
    pub(super) records: Records<'a>,
    pub(super) findings: Findings<'a>,
    pub(super) hasher: &'k LabelHasher<'k>,
    pub(super) table: SeriesTable,
}

impl Builder<'_, '_> {
    /// The record of this number.
    pub(super) fn record(&self, number: u32) -> Option<Record> {
        self.records.all.get(number as usize).copied()
    }

    /// Raises a problem of a whole sample.
    pub(super) fn raise(&mut self, group: u32, record: &Record, problem: &Problem<'_>) {
        if let Some(group) = self.records.groups.get(group as usize) {
            let place = record.place(group);
            self.findings.raise(place, problem);
        }
    }

    /// Says which of two samples of one series stays: in one file the last, because shells append; of two files the first.
    pub(super) fn settle_duplicate(&mut self, group: u32, record: &Record, first: u32) -> Settled {
        let Some((first, of)) = self.record(first).zip(self.records.groups.get(group as usize)) else {
            return Settled::FirstStays;
        };
        let (there, here) = (first.place(of), record.place(of));
        if there.position.source == here.position.source {
            self.findings.raise(there, &Problem::Superseded { line: here.position.line });
            return Settled::LastStays;
        }
        self.findings.raise_duplicate(here, there);
        Settled::FirstStays
    }

    /// Whether two records of a group have the same labels as the gateway sees them, `special` left aside.
    pub(super) fn is_same(&self, group: u32, one: u32, other: u32, special: &str) -> bool {
        let Some(group) = self.records.groups.get(group as usize) else { return false };
        let labels = |number: u32| {
            let record = self.record(number)?;
            let text = self.records.text(group, &record);
            let mut labels: Vec<_> = pairs(text)
                .filter(|(name, value)| {
                    !value.is_empty() && *name != special && !self.hasher.is_overwritten(name.as_bytes())
                })
                .collect();
            labels.sort_unstable();
            Some(labels)
        };
        labels(one) == labels(other)
    }
}

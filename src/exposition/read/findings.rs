//! Collects what is found while files are read. Bounded, because a file of 64 MiB can be wrong sixteen million times:
//! everything is counted, the first of each file's repairs and the first thousand of the rest are kept.

use crate::exposition::map::HashMap;

use super::source::Source;
use crate::exposition::diagnostic::{Diagnostic, Excerpt, Problem, Severity};
use crate::exposition::model::Position;

/// How many findings of one severity are kept.
const KEPT: usize = 1000;

/// A piece of a line of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) position: Position,
    /// Where, in bytes from the start of the file.
    pub(super) at: usize,
    /// How many bytes.
    pub(super) len: usize,
}

/// The findings so far.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    sources: &'a [Source<'a>],
    kept: Vec<(Position, Diagnostic)>,
    counts: [u64; 3],
    /// For each repair that a whole file can need on every line: where its first finding is.
    repeated: [Option<usize>; Problem::REPEATED],
    current: u16,
    /// For each pair of files with the same series: where its finding is, and how many series there are.
    duplicates: HashMap<(u16, u16), (usize, u64)>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(sources: &'a [Source<'a>]) -> Self {
        Self {
            sources,
            kept: Vec::new(),
            counts: [0; 3],
            repeated: [None; Problem::REPEATED],
            current: 0,
            duplicates: HashMap::default(),
        }
    }

    /// Begins with the next source.
    pub(super) fn next_source(&mut self, source: u16) {
        self.current = source;
        self.repeated = [None; Problem::REPEATED];
    }

    /// The name of another source than the one of `here`; empty for the same one.
    pub(super) fn other_file(&self, here: Position, there: Position) -> &'a str {
        if here.source == there.source {
            return "";
        }
        self.sources.get(usize::from(there.source)).map_or("", |source| source.name.as_str())
    }

    /// Counts a finding, and keeps it while there is room.
    pub(super) fn raise(&mut self, place: Span, problem: &Problem<'_>) {
        let severity = problem.severity();
        let count = &mut self.counts[severity as usize];
        *count += 1;
        if let Some(slot) = problem.repeated_slot().and_then(|slot| self.repeated.get_mut(slot)) {
            if let Some((_, first)) = slot.and_then(|index| self.kept.get_mut(index)) {
                first.repeats += 1;
                return;
            }
            *slot = Some(self.kept.len());
        } else if *count > KEPT as u64 {
            return;
        }
        let diagnostic = self.describe(place, problem);
        self.kept.push((place.position, diagnostic));
    }

    /// Counts a series that another file has too: one finding for each pair of files, because programs that write the same
    /// metrics have all series in common.
    pub(super) fn raise_duplicate(&mut self, here: Span, there: Span) {
        let pair = (here.position.source, there.position.source);
        if let Some((_, count)) = self.duplicates.get_mut(&pair) {
            *count += 1;
            return;
        }
        let (file, line) = (self.other_file(here.position, there.position), there.position.line);
        self.duplicates.insert(pair, (self.kept.len(), 1));
        self.raise(here, &Problem::Duplicate { file, line });
    }

    /// Tells in the findings about pairs of files how many series they have in common.
    fn count_duplicates(&mut self) {
        for ((_, there), (index, count)) in &self.duplicates {
            let file = self.sources.get(usize::from(*there)).map_or("", |source| source.name.as_str());
            if let Some((_, diagnostic)) = self.kept.get_mut(*index).filter(|_| *count > 1) {
                diagnostic.reason = Problem::Duplicates { file, count: *count }.reason();
            }
        }
    }

    /// Counts a finding about a source as a whole.
    pub(super) fn raise_for_file(&mut self, problem: &Problem<'_>) {
        let position = Position { source: self.current, line: 0 };
        self.raise(Span { position, at: 0, len: 0 }, problem);
    }

    fn describe(&self, place: Span, problem: &Problem<'_>) -> Diagnostic {
        let source = self.sources.get(usize::from(place.position.source));
        let bytes = source.map_or(&[][..], |source| source.bytes.as_ref());
        let (before, rest) = bytes.split_at(place.at.min(bytes.len()));
        let ends_line = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let start = before.iter().rposition(ends_line).map_or(0, |end| end + 1);
        let end = place.at + rest.iter().position(ends_line).unwrap_or(rest.len());
        let line = bytes.get(start..end.max(start)).unwrap_or_default();
        let is_line = place.position.line > 0;
        let characters = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
        Diagnostic {
            file: source.map_or_else(String::new, |source| source.name.clone()),
            line: place.position.line,
            column: if is_line { u32::try_from(characters + 1).unwrap_or(u32::MAX) } else { 0 },
            severity: problem.severity(),
            reason: problem.reason(),
            help: problem.help(),
            excerpt: is_line.then(|| Excerpt::new(line, place.at - start, place.len)),
            repeats: 0,
        }
    }

    /// How many findings of a severity there were.
    pub(super) fn count(&self, severity: Severity) -> u64 {
        self.counts[severity as usize]
    }

    /// The findings in the order of the files' lines.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.count_duplicates();
        self.kept.sort_by_key(|(position, diagnostic)| (*position, diagnostic.column));
        self.kept.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}

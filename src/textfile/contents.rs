//! What was read of the metrics files of a command.

use std::time::{Duration, SystemTime};

use crate::exposition::{Diagnostic, Source};
use crate::text::span;

/// A clock of a file system may be this far behind ours (FAT has steps of two seconds).
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// Whether the writer of a file had the time to finish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterState {
    /// The command ended by itself.
    Finished,
    /// The command was killed: a last line without a line end is perhaps half a line.
    Killed,
    /// The command still runs: the file may grow, and its last line may be half a line.
    Running,
}

/// The metrics files that were read.
#[derive(Debug, Default)]
pub struct TextfileContents {
    /// The files that could be read.
    pub sources: Vec<Source<'static>>,
    /// The files that could not be read: one finding each.
    pub problems: Vec<Diagnostic>,
    /// When the oldest of the files that were read was last written.
    pub oldest_written: Option<SystemTime>,
    /// The named files that were last written before the run began, and when.
    pub stale: Vec<(String, SystemTime)>,
}

impl TextfileContents {
    /// Notes when a file that was read was last written.
    pub(super) fn note_written(&mut self, written: SystemTime) {
        self.oldest_written = Some(self.oldest_written.map_or(written, |oldest| oldest.min(written)));
    }

    /// Notes a named file that was written before the run began at `started`.
    pub(super) fn note_stale(&mut self, name: &str, (written, started): (SystemTime, SystemTime)) {
        if written + CLOCK_STEP < started {
            self.stale.push((name.to_owned(), written));
        }
    }

    /// The warning about files that this run, which began at `started`, did not write.
    #[must_use]
    pub fn stale_warning(&self, started: SystemTime) -> Option<String> {
        let (name, written) = self.stale.iter().min_by_key(|(_, written)| *written)?;
        let before = span(started.duration_since(*written).unwrap_or_default());
        Some(match self.stale.len() {
            1 => format!(
                "metrics file '{name}' was last written {before} before this run: its metrics are not this run's"
            ),
            count => format!(
                "{count} metrics files were last written before this run, '{name}' {before} before: their metrics are not this run's"
            ),
        })
    }
}

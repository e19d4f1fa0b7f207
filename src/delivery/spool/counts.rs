//! How often a job ran and with which outcome, kept in the state directory. Counted under a lock, so that runs at the same time
//! lose nothing, and only for as long as a job can wait.

use std::fmt::Write as _;

use crate::delivery::spool::dir::{SpoolDir, digest};
use crate::outcome::Outcome;

/// The first line of the file.
const HEAD: &str = "pushwrap runs 1";

/// How often the job of one group has run since its state directory was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunCounts {
    /// In the order of [`Outcome::ALL`].
    runs: [u64; Outcome::ALL.len()],
    /// Runs since the last success; skipped ones do not count.
    pub consecutive_failures: u64,
}

impl RunCounts {
    /// How many runs ended like this.
    #[must_use]
    pub fn runs(&self, outcome: Outcome) -> u64 {
        Outcome::ALL.iter().zip(self.runs).find(|(other, _)| **other == outcome).map_or(0, |(_, count)| count)
    }

    fn add(&mut self, outcome: Outcome) {
        for (count, other) in self.runs.iter_mut().zip(Outcome::ALL) {
            *count = count.saturating_add(u64::from(other == outcome));
        }
        self.consecutive_failures = match outcome {
            Outcome::Success => 0,
            Outcome::Skipped => self.consecutive_failures,
            _ => self.consecutive_failures.saturating_add(1),
        };
    }

    fn to_text(self, group: &str) -> String {
        let mut text = format!("{HEAD}\ngroup {group}\n");
        for (outcome, count) in Outcome::ALL.iter().zip(self.runs) {
            let _ = writeln!(text, "{} {count}", outcome.name());
        }
        let _ = writeln!(text, "consecutive_failures {}", self.consecutive_failures);
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let number = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
        };
        if !text.starts_with(HEAD) || !text.ends_with('\n') {
            return None;
        }
        let runs = Outcome::ALL.map(|outcome| number(outcome.name()).unwrap_or(0));
        Some(Self { runs, consecutive_failures: number("consecutive_failures")? })
    }
}

impl SpoolDir {
    /// The counts of a group as they are now, where they can be read.
    pub(crate) fn counts(&self, group_name: &str) -> Option<RunCounts> {
        let content = self.read(&format!("{group_name}.runs")).ok()??;
        std::str::from_utf8(&content).ok().and_then(RunCounts::from_text)
    }

    /// Counts a run of this group (the path of its grouping key) and returns the new counts, with what has to be said
    /// although it worked.
    ///
    /// # Errors
    /// Why it was not counted.
    pub fn count(&self, group: &str, outcome: Outcome) -> Result<(RunCounts, Option<String>), String> {
        let group_name = digest(&[group.as_bytes()]);
        let file = format!("{group_name}.runs");
        let _lock = self.lock(&format!("{group_name}.lock"))?;
        let trouble = |error: std::io::Error| self.trouble(&error);
        let (mut counts, mut note) = (RunCounts::default(), None);
        if let Some(content) = self.read(&file).map_err(trouble)? {
            let known = std::str::from_utf8(&content).ok().and_then(RunCounts::from_text);
            let damaged = || format!("'{}' is damaged: runs are counted from 0", self.path().join(&file).display());
            note = known.is_none().then(damaged);
            counts = known.unwrap_or_default();
        }
        counts.add(outcome);
        self.replace(&file, counts.to_text(group).as_bytes()).map_err(trouble)?;
        Ok((counts, note))
    }
}

#[cfg(test)]
mod tests {
    use super::RunCounts;
    use crate::delivery::spool::dir::SpoolPath;
    use crate::outcome::Outcome;

    #[test]
    fn a_success_ends_a_row_of_failures_and_a_skipped_run_changes_nothing() {
        let mut counts = RunCounts::default();
        for (outcome, failures) in [
            (Outcome::Failure, 1),
            (Outcome::Timeout, 2),
            (Outcome::Skipped, 2),
            (Outcome::NotStarted, 3),
            (Outcome::Success, 0),
            (Outcome::Skipped, 0),
        ] {
            counts.add(outcome);
            assert_eq!(counts.consecutive_failures, failures, "{outcome:?}");
        }
        assert_eq!((counts.runs(Outcome::Skipped), counts.runs(Outcome::Signal)), (2, 0));
        assert_eq!(RunCounts::from_text(&counts.to_text("/metrics/job/a")), Some(counts));
    }

    #[test]
    fn half_a_file_is_damaged() {
        let text = RunCounts::default().to_text("g");
        for end in 0..text.len() - 1 {
            assert_eq!(RunCounts::from_text(&text[..end]), None, "{end}");
        }
    }

    #[test]
    fn runs_at_the_same_time_are_all_counted() {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::Named(directory.path().to_owned()).open().unwrap().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        state.count("g", Outcome::Failure).unwrap();
                    }
                });
            }
        });
        let (counts, note) = state.count("g", Outcome::Skipped).unwrap();
        assert_eq!((counts.runs(Outcome::Failure), counts.consecutive_failures, note), (80, 80, None));
    }
}

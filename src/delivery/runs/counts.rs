//! How often the job of a group ran and with which outcome.

use std::fmt::Write as _;
use std::io;

use crate::delivery::runs::mark::{DeadRun, MARK, Mark};
use crate::delivery::state_dir::dir::{GroupDir, names, read, remove, remove_unfinished, replace};
use crate::outcome::{Outcome, RunCounts};

/// The first line of the file of counts.
const HEAD: &str = "pushwrap runs 2";

/// The contents of the file of counts. It is written under the lock of its group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RunsFile {
    pub(crate) counts: RunCounts,
    /// The number of the last run.
    pub(crate) last: u64,
    /// The marks of the runs that were counted last. One of them that is still there belongs to a run that was counted, and whose
    /// process was killed before its push was stored.
    counted: Vec<String>,
}

impl RunsFile {
    /// Counts that an older version has kept.
    pub(crate) fn of(counts: RunCounts) -> Self {
        Self { counts, ..Self::default() }
    }

    /// The counts of a group; none where it has never run, and [`io::ErrorKind::InvalidData`] where they are damaged.
    pub(crate) fn read(group: &GroupDir) -> io::Result<Option<Self>> {
        let Some(content) = read(&group.file("runs"))? else { return Ok(None) };
        let known = std::str::from_utf8(&content).ok().and_then(Self::from_text);
        known.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn write(&self, group: &GroupDir) -> io::Result<()> {
        replace(&group.file("runs"), self.to_text().as_bytes())
    }

    /// Removes the marks of the runs that are counted, once what is pushed of them is stored. One that stays is known to be counted.
    pub(crate) fn remove_marks(&self, group: &GroupDir) {
        for mark in &self.counted {
            let _ = remove(&group.file(mark));
        }
    }

    /// Counts a run that has ended.
    pub(crate) fn add(&mut self, outcome: Outcome, mark: Option<&Mark>) {
        self.counts.add(outcome);
        self.counted.extend(mark.map(Mark::name));
    }

    /// Counts the runs of this group that were killed or could not be counted, and returns all that have left their marks.
    pub(crate) fn add_lost(&mut self, group: &GroupDir) -> io::Result<Vec<DeadRun>> {
        let names = names(&group.path)?;
        remove_unfinished(&group.path, &names);
        let before = std::mem::take(&mut self.counted);
        let mut dead = Vec::new();
        for name in names.into_iter().filter(|name| name.ends_with(MARK)) {
            let Some(mut run) = DeadRun::at(&group.file(&name)) else { continue };
            run.is_counted = before.contains(&name);
            match run.outcome {
                _ if run.is_counted => {}
                Some(outcome) => self.counts.add(outcome),
                None => self.counts.add_lost(),
            }
            self.counted.push(name);
            dead.push(run);
        }
        Ok(dead)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\nlast {}\n", self.last);
        for outcome in Outcome::ALL {
            let _ = writeln!(text, "{} {}", outcome.name(), self.counts.runs(outcome));
        }
        let RunCounts { lost, consecutive_failures, .. } = self.counts;
        let _ = writeln!(text, "lost {lost}\nconsecutive_failures {consecutive_failures}");
        for mark in &self.counted {
            let _ = writeln!(text, "counted {mark}");
        }
        text.push_str("end\n");
        text
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let body = text.strip_prefix(HEAD)?.strip_suffix("\nend\n")?;
        let of = |name: &'static str| body.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = |name| of(name).next().and_then(|value| value.parse().ok());
        let counts = counts_of(number)?;
        Some(Self { counts, last: number("last")?, counted: of("counted").map(str::to_owned).collect() })
    }
}

/// The counts of lines of a name and a number.
pub(crate) fn counts_of(number: impl Fn(&'static str) -> Option<u64>) -> Option<RunCounts> {
    let runs = Outcome::ALL.map(|outcome| number(outcome.name()).unwrap_or(0));
    Some(RunCounts::new(runs, number("lost").unwrap_or(0), number("consecutive_failures")?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{DeadRun, GroupDir, Mark, RunsFile};
    use crate::delivery::runs::mark::CountsPush;
    use crate::delivery::state_dir::dir::{SpoolPath, make_directory};
    use crate::delivery::state_dir::process::Process;
    use crate::grouping::GroupingKey;
    use crate::outcome::Outcome;

    fn group() -> (tempfile::TempDir, GroupDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::At(directory.path().to_owned()).open().unwrap().unwrap();
        let group = state.group_named("0".repeat(32));
        make_directory(&group.path).unwrap();
        (directory, group)
    }

    #[test]
    fn half_a_file_is_damaged() {
        let mut runs = RunsFile { last: 17, counted: vec!["1-x.mark".to_owned()], ..RunsFile::default() };
        runs.add(Outcome::Failure, None);
        let text = runs.to_text();
        assert_eq!(RunsFile::from_text(&text), Some(runs));
        for end in 0..text.len() - 1 {
            assert_eq!(RunsFile::from_text(&text[..end]), None, "{end}");
        }
    }

    fn mark(group: &GroupDir) -> Mark {
        let key = GroupingKey::new("a", []).unwrap();
        Mark::leave(group, &CountsPush { key, prefix: "x_".to_owned(), destinations: Vec::new() }).unwrap()
    }

    /// What a killed process leaves: its mark without its lock.
    fn leave_dead_mark(group: &GroupDir, name: &str, process: &str) {
        fs::write(group.file(name), format!("began 1700000000\nowner {process}\nprefix x_\nlabel job=a\n")).unwrap();
    }

    #[test]
    fn a_run_is_lost_when_its_process_is_no_more_and_counted_once() {
        let (_directory, group) = group();
        let going_on = mark(&group);
        let own = Process::own().to_text();
        let started_later = own.replacen(" 0", " 9", 1);
        let before_a_reboot = own.replace(own.rsplit(' ').next().unwrap(), "another-boot");
        for (name, process) in
            [("1-a.mark", "0999999999 1 x"), ("2-b.mark", &started_later), ("3-c.mark", &before_a_reboot)]
        {
            leave_dead_mark(&group, name, process);
        }
        // Copied or restored under a process that lives: it has no lock on this file.
        leave_dead_mark(&group, "4-d.mark", &own);
        // It could not take the lock, and goes on or has ended.
        leave_dead_mark(&group, "6-f.mark", &format!("{own}\noutcome success"));
        // A power failure took its content.
        fs::write(group.file("5-e.mark"), "").unwrap();
        let mut runs = RunsFile::default();
        let dead = runs.add_lost(&group).unwrap();
        assert_eq!((dead.len(), runs.counts.lost, runs.counts.runs(Outcome::Success)), (5, 4, 1));
        assert_eq!(dead.iter().filter(|run| run.push.is_some()).count(), 4);
        assert_eq!(dead.iter().filter_map(DeadRun::sentence).count(), 4);
        runs.write(&group).unwrap();
        // Killed between the counts and the marks: these are known to be counted, and their counts are pushed again.
        let mut again = RunsFile::read(&group).unwrap().unwrap();
        let dead = again.add_lost(&group).unwrap();
        assert!(dead.len() == 5 && dead.iter().all(|run| run.is_counted && run.sentence().is_none()));
        again.add(Outcome::Success, Some(&going_on));
        again.write(&group).unwrap();
        again.remove_marks(&group);
        assert_eq!((again.counts.lost, again.counts.consecutive_failures), (4, 0));
        assert!(!group.file(&going_on.name()).exists() && !group.file("1-a.mark").exists());
        assert!(group.file("4-d.mark").exists());
        assert_eq!(again.add_lost(&group).unwrap(), []);
    }

    /// The clock of the wall tells when a run began, and not whether it lives.
    #[test]
    fn a_clock_that_jumped_makes_no_run_lost_and_none_lasting() {
        let (_directory, group) = group();
        for (name, began) in [("1-a", 0), ("2-b", 4_000_000_000_u64), ("3-c", u64::MAX)] {
            let mark = |owner: &str| format!("began {began}\nowner {owner}\n");
            fs::write(group.file(&format!("{name}l.mark")), mark(&Process::own().to_text())).unwrap();
            fs::write(group.file(&format!("{name}d.mark")), mark("0999999999 1 x")).unwrap();
        }
        let mut runs = RunsFile::default();
        assert_eq!(runs.add_lost(&group).unwrap().len(), 3);
    }

    /// A directory that was restored from a copy has the marks of runs that have ended since, and older counts.
    #[test]
    fn a_restored_directory_counts_the_runs_of_its_marks_once() {
        let (_directory, group) = group();
        leave_dead_mark(&group, "1-a.mark", "0999999999 1 x");
        let mut runs = RunsFile { last: 3, ..RunsFile::default() };
        for counted in [1, 1] {
            runs.add_lost(&group).unwrap();
            runs.write(&group).unwrap();
            runs.remove_marks(&group);
            runs = RunsFile::read(&group).unwrap().unwrap();
            assert_eq!(runs.counts.lost, counted);
        }
    }
}

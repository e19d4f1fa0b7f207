//! How often the job of a group ran and with which outcome, and the runs that were killed: each run leaves a mark when its command
//! has started, and who counts next finds the marks of processes that are no more.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delivery::spool::dir::{
    GroupDir, make_directory, names, read, remove, remove_unfinished, replace, unfinished,
};
use crate::delivery::spool::process::Process;
use crate::files::{Links, open};
use crate::outcome::{Outcome, RunCounts};

/// The first line of the file of counts.
const HEAD: &str = "pushwrap runs 2";
/// What the names of marks end in.
const MARK: &str = ".mark";

/// What the file of counts says. It is written under the lock of its group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RunsFile {
    pub(crate) counts: RunCounts,
    /// The number of the last run.
    pub(crate) last: u64,
    /// The marks of the runs that were counted last: one of them that is still there was not removed in time.
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

    /// Writes the counts, and removes the marks of the runs that are in them.
    pub(crate) fn write(&self, group: &GroupDir) -> io::Result<()> {
        replace(&group.file("runs"), self.to_text().as_bytes())?;
        for mark in &self.counted {
            // One that stays is known to be counted.
            let _ = remove(&group.file(mark));
        }
        Ok(())
    }

    /// Counts a run that has ended, and takes away its mark.
    pub(crate) fn add(&mut self, outcome: Outcome, mark: Option<&Mark>) {
        self.counts.add(outcome);
        self.counted.extend(mark.map(Mark::name));
    }

    /// Counts the runs of this group that were killed, and returns when they began.
    pub(crate) fn add_lost(&mut self, group: &GroupDir) -> io::Result<Vec<LostRun>> {
        let names = names(&group.path)?;
        remove_unfinished(&group.path, &names);
        let before = std::mem::take(&mut self.counted);
        let mut lost = Vec::new();
        for name in names.into_iter().filter(|name| name.ends_with(MARK)) {
            if before.contains(&name) {
                self.counted.push(name);
            } else if let Some(run) = LostRun::at(&group.file(&name)) {
                self.counts.add_lost();
                self.counted.push(name);
                lost.push(run);
            }
        }
        Ok(lost)
    }

    fn to_text(&self) -> String {
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

    fn from_text(text: &str) -> Option<Self> {
        let body = text.strip_prefix(HEAD)?.strip_suffix("\nend\n")?;
        let of = |name: &'static str| body.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = |name| of(name).next().and_then(|value| value.parse().ok());
        let counts = counts_of(number)?;
        Some(Self { counts, last: number("last")?, counted: of("counted").map(str::to_owned).collect() })
    }
}

impl GroupDir {
    /// Whether runs of the group have left marks.
    pub(crate) fn has_marks(&self) -> bool {
        names(&self.path).is_ok_and(|names| names.iter().any(|name| name.ends_with(MARK)))
    }
}

/// The counts of lines of a name and a number.
pub(crate) fn counts_of(number: impl Fn(&'static str) -> Option<u64>) -> Option<RunCounts> {
    let runs = Outcome::ALL.map(|outcome| number(outcome.name()).unwrap_or(0));
    Some(RunCounts::new(runs, number("lost").unwrap_or(0), number("consecutive_failures")?))
}

/// A run that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LostRun {
    began: SystemTime,
    pid: i32,
}

impl LostRun {
    /// The run of this mark, if it is lost. Its process holds a lock on it, which nobody else can fake or inherit; the pid decides
    /// where there are no locks, and where the directory was copied or restored under a run that goes on.
    fn at(mark: &Path) -> Option<Self> {
        let file = open(mark, Links::Refuse).ok()?;
        if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let text = fs::read_to_string(mark).unwrap_or_default();
        let (began, process) = text.split_once(' ').unwrap_or_default();
        let process = Process::from_text(process);
        if process.as_ref().is_some_and(Process::is_alive) {
            return None;
        }
        let began = UNIX_EPOCH + Duration::from_secs(began.parse().unwrap_or_default());
        Some(Self { began, pid: process.map_or(0, |process| process.pid()) })
    }

    /// What is said of it, once.
    pub(crate) fn sentence(&self, group: &str) -> String {
        let (began, pid) = (humantime::format_rfc3339_seconds(self.began), self.pid);
        format!(
            "a run of {group} that began at {began} is lost: its pushwrap (process {pid}) ended before it could report"
        )
    }
}

/// The mark of a run that goes on.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    /// Locked: nobody takes the run for lost while this process lives.
    _file: File,
}

impl Mark {
    /// Leaves a mark of this process. It is locked before it has its name, so that nobody finds it unlocked.
    pub(crate) fn leave(group: &GroupDir) -> io::Result<Self> {
        make_directory(&group.path)?;
        let mut file = unfinished(&group.path)?;
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Where the file system knows no locks, the pid is what is left.
        let _ = file.as_file().try_lock();
        writeln!(file, "{began} {}", Process::own().to_text())?;
        let path = group.file(&format!("{}-{:08x}{MARK}", Process::own().pid(), fastrand::u32(..)));
        let file = file.persist(&path).map_err(|error| error.error)?;
        Ok(Self { path, _file: file })
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{GroupDir, Mark, Process, RunsFile};
    use crate::delivery::spool::dir::{SpoolPath, make_directory};
    use crate::outcome::{Outcome, RunCounts};

    fn group() -> (tempfile::TempDir, GroupDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::Named(directory.path().to_owned()).open().unwrap().unwrap();
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

    /// What a killed process leaves: its mark without its lock.
    fn leave_dead_mark(group: &GroupDir, name: &str, process: &str) {
        fs::write(group.file(name), format!("1700000000 {process}\n")).unwrap();
    }

    #[test]
    fn a_run_is_lost_when_its_process_is_no_more_and_counted_once() {
        let (_directory, group) = group();
        let going_on = Mark::leave(&group).unwrap();
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
        leave_dead_mark(&group, "5-e.mark", "");
        let mut runs = RunsFile::default();
        assert_eq!(runs.add_lost(&group).unwrap().len(), 4);
        assert_eq!(runs.counts, RunCounts::new([0; 8], 4, 4));
        let marks = [group.file("1-a.mark"), group.file("5-e.mark")];
        let kept: Vec<Vec<u8>> = marks.iter().map(|path| fs::read(path).unwrap()).collect();
        runs.write(&group).unwrap();
        assert!(marks.iter().all(|path| !path.exists()) && group.file("4-d.mark").exists());
        // Killed between the counts and the marks: these are known to be counted.
        for (path, content) in marks.iter().zip(kept) {
            fs::write(path, content).unwrap();
        }
        let mut again = RunsFile::read(&group).unwrap().unwrap();
        assert_eq!(again.add_lost(&group).unwrap(), []);
        again.add(Outcome::Success, Some(&going_on));
        again.write(&group).unwrap();
        assert_eq!((again.counts.lost, again.counts.consecutive_failures), (4, 0));
        assert!(!going_on.path.exists() && marks.iter().all(|path| !path.exists()));
    }
}

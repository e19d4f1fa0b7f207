//! The state directory of a series, on a disk that can get full or read-only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::harness::InTime as _;
use super::plan::StateKind;

/// Longer ago than this nobody works on a file any more: what is then unfinished was left by a KILL.
const LONG_AGO: Duration = Duration::from_hours(48);

/// A directory on a file system of its own, which ends with it.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of this size there.
    pub(crate) fn mount(at: &Path, size: &str) -> Option<Self> {
        let mut call = Command::new("mount");
        call.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(at);
        call.output_in_time().status.success().then(|| Self(at.to_owned()))
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file on a tmpfs of ours");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn remount(&self, how: &str) {
        let mut call = Command::new("mount");
        let done = call.args(["-o", &format!("remount,{how}")]).arg(&self.0).output_in_time();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The state directory of a series.
pub(crate) struct StateDirectory {
    kind: StateKind,
    path: PathBuf,
    tmpfs: Option<Tmpfs>,
}

impl StateDirectory {
    pub(crate) fn new(kind: StateKind, path: PathBuf) -> Self {
        let is_mounted = matches!(kind, StateKind::Full | StateKind::ReadOnly);
        if kind != StateKind::None {
            fs::create_dir(&path).expect("a directory for states");
        }
        let tmpfs = is_mounted.then(|| Tmpfs::mount(&path, "1m").expect("a tmpfs"));
        Self { kind, path, tmpfs }
    }

    /// The value of `--state-dir`.
    pub(crate) fn option(&self) -> &Path {
        if self.kind == StateKind::None { Path::new("none") } else { &self.path }
    }

    /// Its disk takes nothing any more.
    pub(crate) fn break_disk(&self) {
        match (&self.tmpfs, self.kind) {
            (Some(tmpfs), StateKind::Full) => tmpfs.fill(),
            (Some(tmpfs), _) => tmpfs.remount("ro"),
            _ => {}
        }
    }

    /// Its disk is as it was.
    pub(crate) fn heal(&self) {
        match (&self.tmpfs, self.kind) {
            (Some(_), StateKind::Full) => drop(fs::remove_file(self.path.join("filler"))),
            (Some(tmpfs), _) => tmpfs.remount("rw"),
            _ => {}
        }
    }

    /// Every file in it, at any depth.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files_below(&self.path)
    }

    /// The locks of the groups.
    pub(crate) fn group_locks(&self) -> Vec<PathBuf> {
        let depth = |path: &Path| path.strip_prefix(&self.path).map_or(0, |path| path.components().count());
        self.files().into_iter().filter(|path| path.ends_with("lock") && depth(path) == 2).collect()
    }

    /// Whether a push of this run waits in it.
    pub(crate) fn holds(&self, run_label: &str) -> bool {
        let label = format!("\"{run_label}\"");
        let pushes = self.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "push"));
        pushes
            .filter_map(|path| fs::read(path).ok())
            .any(|push| memchr::memmem::find(&push, label.as_bytes()).is_some())
    }

    /// Whether the run of this pushwrap has a mark in it.
    pub(crate) fn has_mark(&self, pid: u32) -> bool {
        let (start, end) = (format!("{pid}-"), ".mark");
        let names = self.files().into_iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        names.into_iter().any(|name| name.starts_with(&start) && name.ends_with(end))
    }
}

/// Every file below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// Makes what killed runs have left old enough for the next run to know that nobody works on it.
pub(crate) fn age(path: &Path) {
    let then = SystemTime::now() - LONG_AGO;
    // It may be gone.
    let _ = File::open(path).and_then(|file| file.set_modified(then));
}

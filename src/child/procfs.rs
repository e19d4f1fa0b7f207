//! Reading single facts of a process from /proc (`proc_pid_stat(5)`, `proc_tid_children(5)`). A process that is gone is a
//! normal answer here, never an error.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// Enough for nearly every file of the kernel that is read here, in bytes.
const PIECE: usize = 4096;

/// The content of a file of the kernel, in one piece where it is small. Such a file says that it has no bytes, so that std would
/// read 32 first.
pub(super) fn read(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(PIECE);
    // Without `take` std asks for the size before.
    File::open(path).ok()?.take(u64::MAX).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The same as text.
pub(super) fn read_text(path: impl AsRef<Path>) -> Option<String> {
    String::from_utf8(read(path)?).ok()
}

/// What /proc/PID/stat says that supervising needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The state letter: `T` is stopped, `Z` ended but not reaped.
    pub(crate) state: u8,
    /// The parent's pid, 0 when it is outside of our PID namespace.
    pub(crate) parent: i32,
    /// The start time in clock ticks since boot: with the pid it names one process for ever.
    pub(crate) start: u64,
    /// The number of threads.
    pub(crate) threads: u64,
}

impl Stat {
    /// Reads it, or `None` when there is no such process.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&read(format!("/proc/{pid}/stat"))?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The name, second and in brackets, may hold blanks and brackets: the last bracket ends it.
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        Some(Self {
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            start: field(22)?.parse().ok()?,
        })
    }

    /// Whether the process still runs something. A process whose first thread has ended is listed as `Z` while its other
    /// threads go on.
    pub(crate) fn is_alive(self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    /// Whether it is stopped (job control, not a debugger).
    pub(crate) fn is_stopped(self) -> bool {
        self.state == b'T'
    }
}

/// The proportional set size of a process in bytes (`proc_pid_smaps_rollup(5)`, Linux 4.14): a page that N processes share
/// counts as an Nth. `None` where there is no such process, or where we may not read it.
pub(super) fn pss_bytes(pid: i32) -> Option<u64> {
    let text = read_text(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))?;
    Some(kib.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// The numbers that name entries of a directory below /proc: pids, threads or descriptors.
pub(super) fn numbers(directory: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process with so many threads, by the kernel's own lists: one for each thread, because a child belongs
/// to the thread that forked it.
pub(super) fn children(pid: i32, threads: u64) -> Vec<i32> {
    // Nearly every process has one thread, and listing a directory costs more than all else here.
    let threads = if threads == 1 { vec![pid] } else { numbers(&format!("/proc/{pid}/task")) };
    let lists = threads.into_iter().filter_map(|thread| read(format!("/proc/{pid}/task/{thread}/children")));
    let mut children = Vec::new();
    for list in lists {
        let pids = list.split(|byte| *byte == b' ');
        children.extend(pids.filter_map(|pid| std::str::from_utf8(pid).ok()?.parse::<i32>().ok()));
    }
    children
}

/// Our own children.
pub(super) fn own_children() -> Vec<i32> {
    children(std::process::id().cast_signed(), 0)
}

/// Whether the kernel keeps those lists (`CONFIG_PROC_CHILDREN`).
pub(super) fn has_children_lists() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{Stat, children, pss_bytes};

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let line = b"17 (a) Z (b) T 3 17 17 0 -1 4194304 88 0 0 0 0 0 0 0 20 0 1 0 123456 2654208 160 1844674";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start), (b'T', 3, 123_456));
        assert!(stat.is_stopped() && stat.is_alive());
    }

    #[test]
    fn a_process_whose_first_thread_ended_is_alive() {
        let zombie = b"17 (x) Z 3 17 17 0 -1 4194304 88 0 0 0 0 0 0 0 20 0 1 0 1";
        assert!(!Stat::parse(zombie).unwrap().is_alive());
        let leaderless = b"17 (x) Z 3 17 17 0 -1 4194304 88 0 0 0 0 0 0 0 20 0 2 0 1";
        assert!(Stat::parse(leaderless).unwrap().is_alive());
    }

    #[test]
    fn we_are_among_our_parents_children() {
        let parent = Stat::read(std::process::id().cast_signed()).unwrap().parent;
        assert!(children(parent, 0).contains(&std::process::id().cast_signed()));
    }

    #[test]
    fn we_hold_memory_of_our_own() {
        let pss = pss_bytes(std::process::id().cast_signed()).unwrap();
        assert!((100_000..10_000_000_000).contains(&pss), "{pss}");
    }

    #[test]
    fn nobody_is_nothing() {
        assert_eq!((Stat::read(0x7fff_fffe), pss_bytes(0x7fff_fffe)), (None, None));
        assert!(children(0x7fff_fffe, 0).is_empty() && children(0x7fff_fffe, 1).is_empty());
    }
}

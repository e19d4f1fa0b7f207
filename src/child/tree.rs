//! The command's process tree: who belongs to it, and how much memory it holds. Its members come from the kernel's lists
//! of children, so that the cost follows the size of the tree and not that of the host.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::procfs::{self, Stat};
use super::sys;

/// A process of the tree and all that descend from it, as far as they can be found.
#[derive(Debug)]
pub(super) struct Tree {
    /// Until it has been reaped: then its pid may be another process's.
    root: Option<i32>,
    orphans: Orphans,
    /// A child of pushwrap's own.
    left_out: Option<i32>,
    /// Those found by the last walk, with their start times: who was once a descendant stays one, also when the process
    /// between has ended and the kernel has given it another parent.
    members: BTreeMap<i32, u64>,
    lists: bool,
}

/// Whether the tree's orphans become children of pushwrap: where it is PID 1 or a subreaper (`PR_SET_CHILD_SUBREAPER(2const)`).
#[derive(Debug, Clone)]
pub(super) enum Orphans {
    /// No: they go to another process.
    Elsewhere,
    /// Yes; these children it had before it started the command, and they are none of the tree's.
    Ours {
        /// Their pids.
        older: Vec<i32>,
    },
}

impl Tree {
    /// The tree below `root`, a child of this process.
    pub(super) fn new(root: i32, orphans: Orphans) -> Self {
        Self {
            root: Some(root),
            orphans,
            left_out: None,
            members: BTreeMap::new(),
            lists: procfs::has_children_lists(),
        }
    }

    /// Whether `pid` was a member when the tree was last walked.
    pub(super) fn has(&self, pid: i32) -> bool {
        self.members.get(&pid).is_some_and(|start| Stat::read(pid).is_some_and(|stat| stat.start == *start))
    }

    /// The root, as long as it has not been reaped.
    pub(super) fn root(&self) -> Option<i32> {
        self.root
    }

    /// Leaves out a child of pushwrap that is none of the command's processes.
    pub(super) fn leave_out(&mut self, pid: Option<i32>) {
        self.left_out = pid;
    }

    /// Takes note that the root has been reaped.
    pub(super) fn root_is_gone(&mut self) {
        self.root = None;
    }

    /// Finds the living members anew: root, its descendants, and those who were descendants earlier.
    pub(super) fn walk(&mut self) -> Vec<i32> {
        let parents = if self.lists { None } else { Some(parents()) };
        let mut found = BTreeMap::new();
        let mut left: Vec<(i32, Option<u64>)> = self.root.iter().map(|root| (*root, None)).collect();
        left.extend(self.members.iter().map(|(pid, start)| (*pid, Some(*start))));
        if let Orphans::Ours { older } = &self.orphans {
            let ours = children(std::process::id().cast_signed(), 0, parents.as_ref());
            left.extend(
                ours.into_iter()
                    .filter(|pid| !older.contains(pid) && Some(*pid) != self.left_out)
                    .map(|pid| (pid, None)),
            );
        }
        while let Some((pid, known_start)) = left.pop() {
            if found.contains_key(&pid) {
                continue;
            }
            let Some(stat) = Stat::read(pid).filter(|stat| stat.is_alive()) else { continue };
            if known_start.is_some_and(|start| start != stat.start) {
                continue;
            }
            found.insert(pid, stat.start);
            left.extend(children(pid, stat.threads, parents.as_ref()).into_iter().map(|pid| (pid, None)));
        }
        self.members = found;
        self.members.keys().copied().collect()
    }
}

/// The children of a process, from the kernel's lists or from what a scan of all processes has found.
fn children(pid: i32, threads: u64, parents: Option<&Vec<(i32, i32)>>) -> Vec<i32> {
    match parents {
        None => procfs::children(pid, threads),
        Some(parents) => parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child).collect(),
    }
}

/// Every process with its parent: the way without the kernel's lists. It costs what the whole host runs, which the pace of
/// the sampling takes into account by itself.
fn parents() -> Vec<(i32, i32)> {
    procfs::numbers("/proc").into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect()
}

/// Watches how much memory the tree holds.
#[derive(Debug)]
pub(super) struct Sampler {
    system: Option<System>,
    seen: Vec<Pid>,
    last: (Vec<i32>, u64),
    interval: Duration,
    /// When the next sample is due.
    pub(super) next: Instant,
    /// The largest sum of resident sets so far; `None` before the first sample.
    pub(super) peak_bytes: Option<u64>,
}

impl Sampler {
    /// A sampler whose first sample is due after [`SHORTEST`].
    pub(super) fn new(now: Instant) -> Self {
        Self {
            system: None,
            seen: Vec::new(),
            last: (Vec::new(), 0),
            interval: SHORTEST,
            next: now + SHORTEST,
            peak_bytes: None,
        }
    }

    /// Takes one sample and decides when the next is due.
    pub(super) fn sample(&mut self, tree: &mut Tree) {
        let before = sys::thread_cpu_time();
        let members = tree.walk();
        let bytes = self.resident_bytes(&members);
        if bytes > 0 {
            self.peak_bytes = self.peak_bytes.max(Some(bytes));
        }
        let now = (members, bytes);
        let steady = self.last == now;
        self.last = now;
        self.interval = pace(self.interval, sys::thread_cpu_time().saturating_sub(before), steady);
        self.next = Instant::now() + self.interval;
    }

    /// The peak of a tree whose largest process held so many bytes: it holds at least those, also between two samples and before
    /// the first. `None` where samples find nothing.
    pub(super) fn peak_with(&self, largest_bytes: u64) -> Option<u64> {
        let is_new = self.interval == SHORTEST;
        self.peak_bytes.or(is_new.then_some(0)).map(|peak| peak.max(largest_bytes))
    }

    /// The sum of the resident sets. Pages that several processes share count once for each.
    fn resident_bytes(&mut self, members: &[i32]) -> u64 {
        let pids: Vec<Pid> = members.iter().filter_map(|pid| Some(Pid::from_u32(u32::try_from(*pid).ok()?))).collect();
        // Made when it is first needed, because before the command is started it would be part of its peak.
        if self.system.is_none() {
            self.system = System::new().ok();
        }
        let Some(system) = self.system.as_mut() else { return 0 };
        // Those of the last time as well: only a process that is asked for again is found dead and forgotten.
        self.seen.extend_from_slice(&pids);
        let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&self.seen), true, what);
        self.seen.clone_from(&pids);
        pids.iter().filter_map(|pid| system.process(*pid)).map(sysinfo::Process::memory).sum()
    }
}

/// The first interval between two samples.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest interval while anything changes.
const BUSY: Duration = Duration::from_secs(1);
/// The longest interval when nothing changes: pushwrap has to cost nothing beside a command that sleeps.
const STEADY: Duration = Duration::from_secs(10);
/// An interval is at least this many times what the sample has cost: sampling uses at most half a hundredth of a core.
const BUSY_SHARE: u32 = 200;
/// The same when nothing changes: at most a thousandth of a core.
const STEADY_SHARE: u32 = 1000;

/// The interval after a sample: from 100 ms doubling to 1 s, up to 10 s as long as neither the members of the tree nor its
/// memory change, and longer where a sample is dear because the tree is large.
fn pace(last: Duration, cost: Duration, steady: bool) -> Duration {
    let (longest, share) = if steady { (STEADY, STEADY_SHARE) } else { (BUSY, BUSY_SHARE) };
    (last * 2).min(longest).max(cost * share)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Orphans, SHORTEST, Sampler, Tree, pace, sys};

    const CHEAP: Duration = Duration::from_micros(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_pace_doubles_to_a_second_while_things_change() {
        let mut interval = SHORTEST;
        let mut intervals = Vec::new();
        for _ in 0..6 {
            interval = pace(interval, CHEAP, false);
            intervals.push(interval);
        }
        assert_eq!(intervals, [ms(200), ms(400), ms(800), ms(1000), ms(1000), ms(1000)]);
    }

    #[test]
    fn the_pace_slows_down_when_nothing_changes_and_comes_back() {
        assert_eq!(pace(ms(1000), CHEAP, true), ms(2000));
        assert_eq!(pace(ms(8000), CHEAP, true), ms(10_000));
        assert_eq!(pace(ms(10_000), CHEAP, false), ms(1000));
    }

    #[test]
    fn a_dear_sample_is_taken_rarely() {
        assert_eq!(pace(ms(1000), ms(20), false), ms(4000));
        assert_eq!(pace(ms(1000), ms(20), true), Duration::from_secs(20));
        assert_eq!(pace(Duration::from_secs(20), CHEAP, false), ms(1000));
    }

    #[test]
    fn a_tree_finds_grandchildren_and_keeps_them_when_their_parent_has_ended() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sh -c 'sleep 60 & echo $!; wait' & wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.as_mut().unwrap()), &mut line).unwrap();
        let sleeper: i32 = line.trim().parse().unwrap();
        for lists in [true, false] {
            let mut tree = Tree::new(shell.id().cast_signed(), Orphans::Elsewhere);
            tree.lists &= lists;
            assert!(tree.walk().contains(&sleeper), "lists: {lists}");
            assert!(tree.has(sleeper));
        }
        let mut tree = Tree::new(shell.id().cast_signed(), Orphans::Elsewhere);
        let mut sampler = Sampler::new(Instant::now());
        sampler.sample(&mut tree);
        let peak = sampler.peak_bytes.unwrap();
        assert!((100_000..100_000_000).contains(&peak), "{peak}");

        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(tree.walk().contains(&sleeper), "seen once, so still a member");
        for pid in tree.walk() {
            sys::send(pid, libc::SIGKILL);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while !tree.walk().is_empty() {
            assert!(Instant::now() < deadline, "still there");
            std::thread::yield_now();
        }
    }
}

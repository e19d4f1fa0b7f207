//! The command's process tree: which processes belong to it. They come from the kernel's lists of children, so that the cost
//! follows the size of the tree and not that of the host.

use std::collections::BTreeMap;

use super::procfs::{self, Stat};

/// A process of the tree and all that descend from it, as far as they can be found.
#[derive(Debug)]
pub(super) struct Tree {
    /// Until it has been reaped: then its pid may be another process's.
    root: Option<i32>,
    orphans: Orphans,
    /// A child of pushwrap's own.
    left_out: Option<i32>,
    /// The members found by the last walk, with their start times: a process that was once a descendant stays a member, also when the process
    /// between has ended and the kernel has given it another parent.
    members: BTreeMap<i32, u64>,
    /// Those of them that descend from the root without a gap.
    attached: Vec<i32>,
    lists: bool,
}

/// Whether the tree's orphans become children of pushwrap: where it is PID 1 or a subreaper (`PR_SET_CHILD_SUBREAPER(2const)`).
#[derive(Debug, Clone)]
pub(super) enum Orphans {
    /// No: they go to another process.
    Elsewhere,
    /// Yes; pushwrap had these children before it started the command, and they are none of the tree's.
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
            attached: Vec::new(),
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

    /// Remembers that the root has been reaped.
    pub(super) fn root_is_gone(&mut self) {
        self.root = None;
    }

    /// Those found by the last walk that descend from the root. A process whose parent has ended has left them, though it stays
    /// a member.
    pub(super) fn attached(&self) -> &[i32] {
        &self.attached
    }

    /// Finds the living members anew: root, its descendants, and earlier descendants.
    pub(super) fn walk(&mut self) -> Vec<i32> {
        let parents = if self.lists { None } else { Some(parents()) };
        let mut found = BTreeMap::new();
        descend(self.root.iter().map(|root| (*root, None)).collect(), parents.as_ref(), &mut found);
        self.attached = found.keys().copied().collect();
        let mut others: Vec<(i32, Option<u64>)> =
            self.members.iter().map(|(pid, start)| (*pid, Some(*start))).collect();
        if let Orphans::Ours { older } = &self.orphans {
            let ours = children(std::process::id().cast_signed(), 0, parents.as_ref());
            let is_the_commands = |pid: &i32| !older.contains(pid) && Some(*pid) != self.left_out;
            others.extend(ours.into_iter().filter(is_the_commands).map(|pid| (pid, None)));
        }
        descend(others, parents.as_ref(), &mut found);
        self.members = found;
        self.members.keys().copied().collect()
    }
}

/// Adds the living ones of some processes and all below them, each with its start time. A process whose start time is known and
/// another is another process.
fn descend(mut left: Vec<(i32, Option<u64>)>, parents: Option<&Vec<(i32, i32)>>, found: &mut BTreeMap<i32, u64>) {
    while let Some((pid, known_start)) = left.pop() {
        if found.contains_key(&pid) {
            continue;
        }
        let Some(stat) = Stat::read(pid).filter(|stat| stat.is_alive()) else { continue };
        if known_start.is_some_and(|start| start != stat.start) {
            continue;
        }
        found.insert(pid, stat.start);
        left.extend(children(pid, stat.threads, parents).into_iter().map(|pid| (pid, None)));
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Orphans, Tree};
    use crate::child::sys;

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
        tree.walk();
        assert!(tree.attached().contains(&sleeper));

        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(tree.walk().contains(&sleeper), "seen once, so still a member");
        assert!(!tree.attached().contains(&sleeper), "but not below the root any more");
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

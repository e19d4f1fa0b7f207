//! The limit on the command's time: the signals of timeout(1), sent to the command and every living descendant one by one.
//! Never to the process group: that may be the caller's script or the whole cron job.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::plan::Timeout;
use super::sys::{self, SignalSet};
use super::tree::Tree;
use crate::outcome::Expiry;

/// How often KILL is repeated while the tree has members: processes that were forked meanwhile, or that cannot die yet.
const REPEAT: Duration = Duration::from_millis(100);
/// How long the end of pushwrap waits for killed descendants to be gone.
const SWEEP: Duration = Duration::from_secs(1);

/// Whether the signal of a limit could be sent to at least one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalResult {
    /// At least one process received it, or none was left.
    Sent,
    /// No process may be signalled: all belong to another user.
    NotPermitted,
}

/// The limit, and how far it has gone.
#[derive(Debug)]
pub(super) struct Limit {
    timeout: Timeout,
    /// When something is to be done next.
    pub(super) next: Option<Instant>,
    /// The last step that was taken.
    pub(super) expired: Option<Expiry>,
}

impl Limit {
    /// A limit on a command that was started at `start`.
    pub(super) fn new(timeout: Timeout, start: Instant) -> Self {
        Self { timeout, next: start.checked_add(timeout.after), expired: None }
    }

    /// Takes the step that is due at `next`. Where no process may be signalled the limit is given up.
    pub(super) fn act(&mut self, tree: &mut Tree) -> SignalResult {
        let now = Instant::now();
        let first = if self.expired.is_none() { self.timeout.signal } else { libc::SIGKILL };
        let mut reached = false;
        for pid in all(tree) {
            reached |= sys::send(pid, first);
            // A stopped process acts on no signal before it is continued, as timeout(1) knows.
            sys::send(pid, libc::SIGCONT);
        }
        if !reached {
            self.next = None;
            return SignalResult::NotPermitted;
        }
        if first == libc::SIGKILL {
            kill(tree);
            self.expired = Some(Expiry::Killed);
            self.next = Some(now + REPEAT);
        } else {
            self.expired = Some(Expiry::Signaled);
            let grace = Some(self.timeout.kill_after).filter(|grace| !grace.is_zero());
            self.next = grace.and_then(|grace| now.checked_add(grace));
        }
        SignalResult::Sent
    }

    /// After the end of the command: sees to it that nothing is left of its tree when it had to be killed. After a first
    /// signal that was enough, what has outlived the command is left alone, as timeout(1) does.
    pub(super) fn sweep(&self, tree: &mut Tree, reap: &dyn Fn()) {
        if self.expired != Some(Expiry::Killed) {
            return;
        }
        let end = Instant::now() + SWEEP;
        loop {
            reap();
            if !kill(tree) || Instant::now() > end {
                return;
            }
            // The next of them to end says so: as a subreaper pushwrap is the parent of them all by now.
            sys::next_signal(SignalSet::of(&[libc::SIGCHLD]), Some(Duration::from_millis(10)));
        }
    }
}

/// Kills all of the tree, walking it until no new member turns up. Returns whether it had members.
fn kill(tree: &mut Tree) -> bool {
    let mut killed = BTreeSet::new();
    // Bounded for the sake of what forks faster than it is killed; it is killed again after a while.
    for _ in 0..100 {
        let new: Vec<i32> = all(tree).into_iter().filter(|pid| !killed.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in &new {
            sys::send(*pid, libc::SIGKILL);
        }
        killed.extend(new);
    }
    !killed.is_empty()
}

/// The living members of the tree; the command itself in any case while it is not reaped, also where there is no /proc to
/// find it in.
fn all(tree: &mut Tree) -> Vec<i32> {
    let mut pids = tree.walk();
    if let Some(root) = tree.root().filter(|root| !pids.contains(root)) {
        pids.insert(0, root);
    }
    pids
}

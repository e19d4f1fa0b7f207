//! The way of a signal to the command. In the first moments of a run it is handed on at once; later it is held for a moment
//! and handed on only when the [`Witness`] has not seen it, because then the command has not got it directly.

use std::time::{Duration, Instant};

use super::arguments::Area;
use super::sys::{self, SignalInfo, SignalSet};
use super::witness::Witness;

/// When the witness is started, counted from the start of the command: most jobs are over by then and do without.
const WITNESS_AFTER: Duration = Duration::from_millis(100);
/// How long a signal is held. The kernel signals a process group in one go; systemd signals the processes of a control group
/// one after the other, and timeout(1) its child before its group.
const HOLD: Duration = Duration::from_millis(100);
/// The signals that stop a process. A continue takes a pending one back, and the other way round (signal(7)).
pub(super) const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The treatment of a signal that the witness has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unseen {
    /// Forward it to the command.
    Forward,
    /// Drop it: the command has got it otherwise, or is not to get it.
    Discard,
}

/// A signal that waits for what the witness says.
#[derive(Debug)]
struct HeldSignal {
    info: SignalInfo,
    due: Instant,
    unseen: Unseen,
}

/// Hands signals on to the command.
#[derive(Debug)]
pub(super) struct Forwarder {
    command: i32,
    arguments: Option<Area>,
    witness: Option<Witness>,
    start: Option<Instant>,
    held: Vec<HeldSignal>,
    /// What the last witness had seen of signals that have not reached us, and until when that counts.
    late: (SignalSet, Instant),
}

impl Forwarder {
    /// For a `command` that was started at `start`; `arguments` are those of this process.
    pub(super) fn new(command: i32, arguments: Option<Area>, start: Instant) -> Self {
        let late = (SignalSet::EMPTY, start);
        let start = start.checked_add(WITNESS_AFTER);
        Self { command, arguments, witness: None, start, held: Vec::new(), late }
    }

    /// When [`Forwarder::act`] is to be called.
    pub(super) fn next(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.due).chain(self.start).min()
    }

    /// The witness's pid, which is none of the command's processes.
    pub(super) fn witness_pid(&self) -> Option<i32> {
        self.witness.as_ref().map(Witness::pid)
    }

    /// Hands a signal on, unless the command has got it directly.
    pub(super) fn forward(&mut self, info: SignalInfo) {
        if self.witness.is_some() {
            self.hold(info, Unseen::Forward);
        } else {
            sys::pass_on(self.command, &info);
        }
    }

    /// Remembers a signal that is not forwarded: the witness may have got it, so the next signal needs a new witness.
    pub(super) fn discard(&mut self, info: SignalInfo) {
        if self.witness.is_some() {
            self.hold(info, Unseen::Discard);
        }
    }

    fn hold(&mut self, info: SignalInfo, unseen: Unseen) {
        // As the kernel does it with those that are pending: the witness shows the last one only.
        let is_opposite = |held: i32| match info.signal {
            libc::SIGCONT => STOPS.contains(&held),
            signal => held == libc::SIGCONT && STOPS.contains(&signal),
        };
        self.held.retain(|held| !is_opposite(held.info.signal));
        self.held.push(HeldSignal { info, due: Instant::now() + HOLD, unseen });
    }

    /// Does what is due: starts the witness, or asks it about the signals that are held.
    pub(super) fn act(&mut self) {
        let now = Instant::now();
        if self.start.is_some_and(|start| start <= now) {
            self.start = None;
            self.witness = Witness::start(self.command, self.arguments);
        }
        if !self.held.iter().any(|held| held.due <= now) {
            return;
        }
        let late = if now < self.late.1 { self.late.0 } else { SignalSet::EMPTY };
        let seen = self.ask().union(late);
        let mut settled = SignalSet::EMPTY;
        for held in std::mem::take(&mut self.held) {
            let signal = SignalSet::of(&[held.info.signal]);
            if seen.has(held.info.signal) {
                settled = settled.union(signal);
            } else if held.due > now {
                self.held.push(held);
            } else if held.unseen == Unseen::Forward {
                sys::pass_on(self.command, &held.info);
            }
        }
        self.late = (seen.without(settled), now + HOLD);
    }

    /// What the witness has seen. Where that is anything, another one takes its place, and does so before it is asked: what
    /// comes between the two is seen by both.
    fn ask(&mut self) -> SignalSet {
        let Some(witness) = self.witness.take_if(|witness| witness.has_seen_any()) else { return SignalSet::EMPTY };
        self.witness = Witness::start(self.command, self.arguments);
        witness.seen_with(self.command)
    }
}

//! The one loop that supervises the command: it waits for the next signal or the next point in time, and does nothing in
//! between. Whatever happens to the command is seen here, in order, by one thread.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::{getpgrp, getpid, getsid, tcgetpgrp};

use super::caller::{BLOCKED, Caller, is_init, raise_cpu_limit};
use super::cgroup::Baseline;
use super::exec::{self, Shared};
use super::expiry::{Limit, SignalResult};
use super::forward::{Forwarder, STOPS};
use super::memory::Sampler;
use super::plan::{Event, Plan, WakeTimes};
use super::procfs::{self, Stat};
use super::program::{Program, SpawnError, StartFailure};
use super::relay::{self, Sender};
use super::sys::{self, ChildState, SignalInfo, SignalSet};
use super::tree::{Orphans, Tree};
use super::usage::{CommandProgress, CommandResult, ResourceUsage, TreeUsage};
use crate::outcome::{Cause, End, Expiry, OWN_FAILURE, Status};

/// A command that has been started: a process that has executed it, or is about to.
#[derive(Debug)]
pub struct Child<'a> {
    caller: &'a mut Caller,
    pid: i32,
    attempt: Attempt,
    started: SystemTime,
    clock: Instant,
    forwarder: Forwarder,
    tree: Tree,
    sampler: Option<Sampler>,
    limit: Option<Limit>,
    due: Option<Instant>,
    every: Option<Duration>,
    cgroups: Baseline,
}

/// Starts the command. To be called while pushwrap is small, because its size is the floor of the command's measured peak,
/// and while it has one thread.
///
/// # Errors
/// There is no process for the command: 126 or 127, and the sentence that says why.
pub fn spawn<'a>(program: &Program, plan: Plan, caller: &'a mut Caller) -> Result<Child<'a>, SpawnError> {
    if plan.timeout.is_some() {
        // Only then: an orphan of the command sees pushwrap as its parent, which it would not without pushwrap. With a
        // limit it is what makes processes that have left their parents findable.
        caller.reaps_orphans |= nix::sys::prctl::set_child_subreaper(true).is_ok();
    }
    let orphans =
        if caller.reaps_orphans { Orphans::Ours { older: procfs::own_children() } } else { Orphans::Elsewhere };
    let started = SystemTime::now();
    let clock = Instant::now();
    let process = start(program, caller);
    // Here it delays nothing: the command is being executed, and can neither have been killed nor stopped yet.
    let cgroups = if plan.read_cgroups && process.is_ok() { Baseline::read() } else { Baseline::default() };
    // Also when there is no command: a reader of a pipe must not wait for pushwrap to close it.
    caller.release();
    raise_cpu_limit();
    let (pid, attempt) = process.map_err(|failure| failure.at(program.name(), started, clock.elapsed()))?;
    let forwarder = Forwarder::new(pid, caller.arguments, clock);
    Ok(Child {
        caller,
        pid,
        attempt,
        started,
        clock,
        forwarder,
        tree: Tree::new(pid, orphans),
        sampler: plan.sample_tree.then(|| Sampler::new(clock)),
        limit: plan.timeout.filter(|timeout| !timeout.after.is_zero()).map(|timeout| Limit::new(timeout, clock)),
        due: plan.wake.and_then(|wake| clock.checked_add(first_wake(wake, &cgroups))),
        every: plan.wake.and_then(|wake| wake.every),
        cgroups,
    })
}

/// The time to the next call: up to a tenth shorter than `every`, so that jobs which started in the same second do not push in the
/// same second for ever.
fn spread(every: Duration) -> Duration {
    every.mul_f64(1.0 - fastrand::f64() / 10.0)
}

/// When the next call is due. Calls that were missed while everything was stopped are left out.
fn next_due(due: Instant, now: Instant, pause: Duration) -> Option<Instant> {
    due.checked_add(pause).filter(|next| *next > now).or_else(|| now.checked_add(pause))
}

/// When the caller is called for the first time. Where the kernel's kill for want of memory would take pushwrap along, at once:
/// the caller may have no other chance to tell of the run.
fn first_wake(wake: WakeTimes, cgroups: &Baseline) -> Duration {
    if cgroups.kills_together() { Duration::ZERO } else { wake.first }
}

/// The facts for the message when the command was not executed.
#[derive(Debug)]
struct Attempt {
    name: OsString,
    files: Vec<CString>,
    shared: Shared,
}

impl Attempt {
    /// Why nothing was executed; to be asked when the process has ended.
    fn failure(&self) -> Option<StartFailure> {
        let refusal = self.shared.refusal()?;
        Some(StartFailure::Refused { refusal, file: self.files.get(refusal.file).cloned() })
    }
}

/// Starts the process. A limit on processes is often reached for a moment only, so like a shell it tries again for a while.
fn start(program: &Program, caller: &Caller) -> Result<(i32, Attempt), StartFailure> {
    let mut image = program.image().map_err(|refusal| StartFailure::Refused { refusal, file: None })?;
    let mut pause = Duration::from_millis(100);
    loop {
        match exec::start(&mut image, &caller.exec_state()) {
            Ok((pid, shared)) => {
                return Ok((pid, Attempt { name: program.name().to_owned(), files: image.files, shared }));
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && pause < Duration::from_secs(2) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(error) => return Err(StartFailure::NoProcess(error)),
        }
    }
}

impl Child<'_> {
    /// Supervises the command until it has ended: hands signals on, follows its stops, enforces the limit on its time,
    /// samples its memory, and calls `on_event`, which must not take long.
    ///
    /// # Errors
    /// The command could not be executed: status 127 or 126, and the reason.
    pub fn supervise(mut self, on_event: &mut dyn FnMut(Event, &CommandProgress)) -> Result<CommandResult, SpawnError> {
        loop {
            match sys::next_signal(BLOCKED, self.time_left()) {
                Some(received) if received.signal == libc::SIGCHLD => {}
                Some(received) => self.relay(&received, on_event),
                None => {}
            }
            // Always, and before any deadline is acted on: SIGCHLD merges with the ones before it, and a command that has
            // ended in time has not run out of it.
            if let Some((status, usage)) = self.look_after_children() {
                return match self.attempt.failure() {
                    Some(failure) => Err(failure.at(&self.attempt.name, self.started, self.clock.elapsed())),
                    None => Ok(self.ended(status, usage)),
                };
            }
            self.keep_time(on_event);
        }
    }

    /// The time until something has to be done.
    fn time_left(&self) -> Option<Duration> {
        let limit = self.limit.as_ref().and_then(|limit| limit.next);
        let sample = self.sampler.as_ref().map(|sampler| sampler.next);
        let next = [limit, sample, self.due, self.forwarder.next()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Does what the clock says.
    fn keep_time(&mut self, on_event: &mut dyn FnMut(Event, &CommandProgress)) {
        let now = Instant::now();
        if self.forwarder.next().is_some_and(|next| next <= now) {
            self.forwarder.act();
            self.tree.leave_out(self.forwarder.witness_pid());
        }
        let due = self.limit.as_mut().filter(|limit| limit.next.is_some_and(|next| next <= now));
        if due.is_some_and(|limit| limit.act(&mut self.tree) == SignalResult::NotPermitted) {
            on_event(Event::CannotSignal, &self.progress());
        }
        if let Some(sampler) = self.sampler.as_mut().filter(|sampler| sampler.next <= now) {
            sampler.sample(&mut self.tree);
        }
        if let Some(due) = self.due.filter(|due| *due <= now) {
            self.due = self.every.and_then(|every| next_due(due, now, spread(every)));
            on_event(Event::Due, &self.progress());
        }
    }

    fn progress(&self) -> CommandProgress {
        CommandProgress {
            started: self.started,
            elapsed: self.clock.elapsed(),
            survived_order: self.caller.has_survived_order(),
            tree: self.tree_usage(None),
        }
    }

    /// Measurements of the process tree; the peak of its largest process is known when the command has ended.
    fn tree_usage(&self, largest_bytes: Option<u64>) -> TreeUsage {
        let peak = |sampler: &Sampler| match largest_bytes {
            Some(bytes) => sampler.peak_with(bytes),
            None => sampler.peak_bytes(),
        };
        TreeUsage {
            peak_rss_bytes: self.sampler.as_ref().and_then(peak),
            cpu_throttled: self.cgroups.throttled(),
            oom_kills: self.cgroups.oom_kills(),
        }
    }

    /// Hands a signal on to the command, unless it has got it already.
    fn relay(&mut self, received: &SignalInfo, on_event: &mut dyn FnMut(Event, &CommandProgress)) {
        let sender = Sender::of(received, self.pid, &self.tree);
        let handling = relay::handling(received.signal, sender, leads_session());
        if handling.forward {
            self.forwarder.forward(*received);
        } else {
            self.forwarder.discard(*received);
        }
        if handling.order && self.caller.hear(received.signal) {
            on_event(Event::StopOrdered(received.signal), &self.progress());
        }
    }

    /// Sees what has become of the command; follows its stops, reaps it when it has ended, and orphans.
    fn look_after_children(&mut self) -> Option<(Status, ResourceUsage)> {
        let end = loop {
            match sys::wait_for(self.pid) {
                ChildState::None => break None,
                ChildState::Stopped(signal) => self.follow_stop(signal),
                ChildState::Ended(status, usage) => break Some((status, usage)),
                // Only this loop reaps the command. Should it happen all the same, a run that ends beats one that hangs.
                ChildState::NoChild => break Some((Status::Exited(OWN_FAILURE), ResourceUsage::default())),
            }
        };
        self.caller.reap_orphans(end.is_none().then_some(self.pid));
        end
    }

    /// Stops as the command has stopped, so that the shell that waits for pushwrap takes its terminal back, and continues
    /// with it.
    fn follow_stop(&mut self, signal: i32) {
        let follows = match signal {
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => true,
            // Where no shell waits for us nobody would continue us: then an administrator means the command alone.
            libc::SIGSTOP => in_foreground(),
            _ => false,
        };
        if !follows || is_init() || leads_session() || !self.is_stopped() {
            return;
        }
        // It has come already: what is pending now would be lost with our stop, and nobody would send it again.
        let pending = |signals: &[i32]| sys::next_signal(SignalSet::of(signals), Some(Duration::ZERO));
        if let Some(continued) = pending(&[libc::SIGCONT]) {
            return self.relay(&continued, &mut |_, _| {});
        }
        sys::raise_default_if(signal, || self.is_stopped());
        // Only when something has continued us: in an orphaned process group the kernel discards the stop. A shell
        // continues the whole group, an administrator perhaps pushwrap alone.
        let Some(continued) = pending(&[libc::SIGCONT]) else { return };
        self.forwarder.discard(continued);
        if self.is_stopped() {
            // Where another stop has come since, it is that one which the command obeys, and a CONT would take it back.
            match pending(&STOPS) {
                Some(stop) => self.relay(&stop, &mut |_, _| {}),
                None => drop(sys::send(self.pid, libc::SIGCONT)),
            }
        }
    }

    fn is_stopped(&self) -> bool {
        // Where there is no /proc: perhaps. To continue it once too often is better than never.
        Stat::read(self.pid).is_none_or(Stat::is_stopped)
    }

    /// Puts together what is known about the command that has been reaped just now.
    fn ended(mut self, status: Status, usage: ResourceUsage) -> CommandResult {
        let duration = self.clock.elapsed();
        let ended = SystemTime::now();
        let tree = self.tree_usage(Some(usage.peak_rss_bytes));
        let timeout = self.limit.as_ref().and_then(|limit| limit.expired);
        let cause = Cause {
            timeout,
            oom_killed: timeout != Some(Expiry::Killed)
                && status.shell_code() == Status::Signaled(libc::SIGKILL).shell_code()
                && tree.oom_kills.is_some_and(|kills| kills > 0),
            told_to_stop: self.caller.told_to_stop(),
        };
        self.caller.note_end(status);
        self.tree.root_is_gone();
        if let Some(limit) = &self.limit {
            let caller = &self.caller;
            limit.sweep(&mut self.tree, &|| caller.reap_orphans(None));
        }
        CommandResult { end: End::Ended { status, cause }, started: self.started, ended, duration, usage, tree }
    }
}

/// Whether pushwrap leads its session.
fn leads_session() -> bool {
    getsid(None) == Ok(getpid())
}

/// Whether our process group is the foreground group of the controlling terminal.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Instant, next_due, spread};

    #[test]
    fn missed_calls_are_left_out() {
        let (due, pause) = (Instant::now(), Duration::from_mins(1));
        let next = |late: u64| next_due(due, due + Duration::from_secs(late), pause).unwrap() - due;
        assert_eq!(next(0), pause);
        assert_eq!(next(59), pause);
        assert_eq!(next(600), Duration::from_mins(11));
    }

    #[test]
    fn calls_are_spread_over_a_tenth_of_their_interval() {
        let pauses: Vec<Duration> = (0..1000).map(|_| spread(Duration::from_mins(1))).collect();
        let (shortest, longest) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        assert!(shortest >= Duration::from_secs(54) && longest <= Duration::from_mins(1));
        assert!(shortest < Duration::from_secs(55) && longest > Duration::from_secs(59));
    }
}

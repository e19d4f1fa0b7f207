//! The thread of one sink: what waits for it and what it has in flight, how it delivers, and what it reports.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::delivery::lazy_push::LazyPush;
use crate::delivery::sending::drain::Drained;
use crate::delivery::sending::outage::Outage;
use crate::delivery::spool::store::SpoolOptions;
use crate::delivery::timing::{PAUSE_BEFORE_REPEAT, UNANSWERED_FOR_AT_MOST};
use crate::http::deadline::{Cancel, Deadline, Timer};
use crate::http::error::{Failure, Fault};
use crate::sink::delivered::Delivered;
use crate::sink::push::PushKind;
use crate::sink::{DeliveryResult, FileSink, Limits, Sink};
use crate::text::panic_text;

/// The result of one push at one gateway. A running push that was replaced before it started has none.
#[derive(Debug)]
pub struct Report {
    /// The gateway's place in the list that the dispatcher was made with.
    pub gateway: usize,
    /// The kind of the push.
    pub kind: PushKind,
    /// Its result; none where nothing was sent.
    pub result: Option<Result<Delivered, Failure>>,
    /// Warnings, one line each.
    pub said: Vec<String>,
    /// Whether the push is kept and an earlier run has said already that the gateway does not take any.
    pub is_known_outage: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) kind: PushKind,
    pub(super) push: LazyPush,
    pub(super) deadline: Deadline,
}

/// How far a final push has come on its way into the state directory.
#[derive(Debug, Default)]
pub(super) enum Persistence {
    /// The push does not go into the spool.
    #[default]
    Nothing,
    /// The push is to be written to the spool, which gets a moment more than the network.
    Due,
    /// The push was written or could not be: the message when it is not delivered.
    Done(String),
}

impl Persistence {
    /// The message about a push that is given up now.
    pub(super) fn sentence(&mut self) -> Option<String> {
        match std::mem::take(self) {
            Self::Nothing => None,
            Self::Due => Some("the push may be lost: it was not written to the state directory in time".to_owned()),
            Self::Done(sentence) => Some(sentence),
        }
    }
}

/// The jobs of one gateway: the waiting one and the running one.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) has_thread: bool,
    pub(super) waiting: Option<Job>,
    pub(super) in_flight: Option<(PushKind, Cancel)>,
    pub(super) persistence: Persistence,
    /// After the final push: other groups' pushes that had waited are sent.
    pub(super) draining: Option<Cancel>,
    /// When a push was last given up unanswered: the gateway may still apply it.
    pub(super) unanswered: Option<Instant>,
}

impl Worker {
    pub(super) fn is_persisting(&self) -> bool {
        self.is_busy() && matches!(self.persistence, Persistence::Due)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.in_flight.is_some() || self.draining.is_some()
    }
}

#[derive(Debug, Default)]
pub(super) struct DispatcherState {
    pub(super) workers: Vec<Worker>,
    /// The first worker leaves the mark of the run.
    pub(super) is_marked: bool,
    pub(super) reports: VecDeque<Report>,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct DispatcherShared {
    pub(super) sinks: Vec<Sink>,
    pub(super) spool: Option<SpoolOptions>,
    pub(super) state: Mutex<DispatcherState>,
    pub(super) changed: Condvar,
    pub(super) wakeup: OnceLock<Option<EventFd>>,
}

impl DispatcherShared {
    pub(super) fn state(&self) -> MutexGuard<'_, DispatcherState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wakeup(&self) -> Option<&EventFd> {
        let make = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok();
        self.wakeup.get_or_init(make).as_ref()
    }

    /// In one step with what made the worker idle: a thread that sees no work left must find the report.
    pub(super) fn report(&self, mut state: MutexGuard<'_, DispatcherState>, report: Report) {
        state.reports.push_back(report);
        drop(state);
        self.notify();
    }

    /// The final push has come further, or has turned out not to be kept.
    pub(super) fn set_persistence(&self, gateway: usize, persistence: Persistence) {
        self.state().workers[gateway].persistence = persistence;
        self.changed.notify_all();
    }

    /// Whether the thread of this worker, which has delivered a final push, has nothing left to do: then it is no longer there.
    fn ends(&self, gateway: usize) -> bool {
        let worker = &mut self.state().workers[gateway];
        worker.has_thread = worker.waiting.is_some();
        !worker.has_thread
    }

    /// Wakes the thread that waits for reports.
    pub(super) fn notify(&self) {
        // Made here if need be: an eventfd that is made later would not notify of this change.
        if let Some(wakeup) = self.wakeup() {
            // EAGAIN: the eventfd is already readable.
            let _ = wakeup.write(1);
        }
        self.changed.notify_all();
    }
}

/// The loop of one worker's thread: takes jobs until the final push is done, or the dispatcher ends it.
pub(super) fn run_worker(shared: &DispatcherShared, gateway: usize) {
    let is_marked = gateway == 0 && shared.state().is_marked;
    if let Some(spool) = shared.spool.as_ref().filter(|_| is_marked) {
        spool.leave_mark(&shared.sinks);
    }
    while let Some((job, cancel)) = next_job(shared, gateway) {
        let performed = perform(shared, gateway, &job, &cancel);
        let (unanswered, repeats, is_taken) = (performed.unanswered, performed.repeats, performed.result.is_ok());
        let before = {
            let mut state = shared.state();
            let worker = &mut state.workers[gateway];
            let before = worker.unanswered;
            worker.unanswered = if unanswered { Some(Instant::now()) } else { before };
            before
        };
        let may_come_late = repeats || before.is_some_and(|moment| moment.elapsed() < UNANSWERED_FOR_AT_MOST);
        if job.kind == PushKind::Final && is_taken && may_come_late {
            repeat(shared, gateway, &job, &cancel);
        }
        let mut state = shared.state();
        let worker = &mut state.workers[gateway];
        // Let go in the meantime: no thread waits for this report any more.
        let wanted = worker.in_flight.take().is_some();
        let others = wanted && is_taken && job.kind == PushKind::Final && job.push.stored(gateway).is_some();
        worker.draining = others.then(|| cancel.clone());
        if wanted {
            shared.report(state, performed.report(gateway, job.kind));
        } else {
            drop(state);
        }
        if others {
            send_others(shared, gateway, &job, &cancel);
        }
        if job.kind == PushKind::Final && shared.ends(gateway) {
            return;
        }
    }
}

/// The gateway takes pushes, so the spooled pushes of other groups are sent too.
fn send_others(shared: &DispatcherShared, gateway: usize, job: &Job, cancel: &Cancel) {
    let limits = Limits { deadline: job.deadline, cancel };
    let send = |spool: &SpoolOptions| spool.send_others(&shared.sinks[gateway], limits);
    let drained = catch_unwind(AssertUnwindSafe(|| shared.spool.as_ref().map(send)));
    report_drained(shared, gateway, drained.ok().flatten().unwrap_or_default());
    shared.state().workers[gateway].draining = None;
    shared.notify();
}

/// Reports what came of pushes that had waited.
fn report_drained(shared: &DispatcherShared, gateway: usize, drained: impl IntoIterator<Item = Drained>) {
    let url = shared.sinks[gateway].name();
    for Drained { mut result, sent, outdated, said, .. } in drained {
        let mut said = [outdated, said].concat();
        if let (Some(Ok(delivered)), Some(sent)) = (&mut result, &sent) {
            let group = sent.group();
            said.extend(delivered.refused(&url).map(|why| format!("{group}, which had waited: {why}")));
            delivered.details.push(format!("{group}, which had waited, was {} '{url}'", sent.deed()));
        }
        let report = Report { gateway, kind: PushKind::Spooled, result, said, is_known_outage: false };
        shared.report(shared.state(), report);
    }
}

/// The result of a job.
pub(super) struct Performed {
    result: Result<Delivered, Failure>,
    unanswered: bool,
    repeats: bool,
    said: Vec<String>,
    is_known_outage: bool,
}

impl Performed {
    fn of(DeliveryResult { result, unanswered, said }: DeliveryResult) -> Self {
        Self { result, unanswered, said, repeats: false, is_known_outage: false }
    }

    pub(super) fn report(self, gateway: usize, kind: PushKind) -> Report {
        let Self { result, said, is_known_outage, .. } = self;
        Report { gateway, kind, result: Some(result), said, is_known_outage }
    }
}

/// Composes and delivers. A panic while composing is a result too: the thread that waits for the report must get it.
pub(super) fn perform(shared: &DispatcherShared, gateway: usize, job: &Job, cancel: &Cancel) -> Performed {
    let sink = &shared.sinks[gateway];
    let limits = Limits { deadline: job.deadline, cancel };
    let delivered = catch_unwind(AssertUnwindSafe(|| {
        let spool = shared.spool.as_ref();
        let is_final = job.kind == PushKind::Final;
        let stored = if is_final { job.push.stored(gateway) } else { None };
        if is_final {
            let kept = stored.map_or(Persistence::Nothing, |(_, stored)| Persistence::Done(stored.sentence()));
            shared.set_persistence(gateway, kept);
            // The files have been read: who waits for the report can remove them meanwhile.
            shared.notify();
        }
        if let Some((spool, stored)) = spool.zip(stored) {
            let Drained { result, unanswered, repeats, outage, outdated, said, .. } =
                spool.deliver(sink, job.push.composed(), stored, limits);
            let result = result.unwrap_or_else(|| Err(sink.given_up(Fault::Superseded)));
            let is_outage = result.as_ref().is_err_and(|failure| failure.fault.decision().may_pass());
            return Performed {
                result,
                unanswered,
                repeats,
                said: [outdated, said].concat(),
                is_known_outage: is_outage && outage == Some(Outage::Known),
            };
        }
        if let (Some(spool), Sink::File(FileSink::File(path))) = (spool, sink) {
            let number = if is_final { job.push.number() } else { None };
            return Performed::of(spool.write((sink, path), job.push.composed(), (job.kind, number), limits));
        }
        let older = spool.filter(|_| !is_final).and_then(|spool| spool.send_older(sink, job.push.composed(), limits));
        let unanswered = older.as_ref().is_some_and(|draining| draining.unanswered);
        report_drained(shared, gateway, older);
        let delivered = sink.deliver(job.push.composed(), job.kind, limits);
        Performed::of(DeliveryResult { unanswered: delivered.unanswered || unanswered, ..delivered })
    }));
    delivered.unwrap_or_else(|panic| {
        let said = shared.state().workers[gateway].persistence.sentence().into_iter().collect();
        let result = Err(sink.given_up(Fault::Internal(panic_text(panic.as_ref()))));
        Performed::of(DeliveryResult { said, ..result.into() })
    })
}

fn next_job(shared: &DispatcherShared, gateway: usize) -> Option<(Job, Cancel)> {
    let mut state = shared.state();
    loop {
        if state.closed {
            return None;
        }
        if let Some(job) = state.workers[gateway].waiting.take() {
            let cancel = Cancel::new();
            state.workers[gateway].in_flight = Some((job.kind, cancel.clone()));
            return Some((job, cancel));
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Sends the final push once more after a moment, so that it stands although the gateway applies an older one late. The first
/// one has arrived, so nothing depends on this one.
fn repeat(shared: &DispatcherShared, gateway: usize, job: &Job, cancel: &Cancel) {
    let pause = Deadline::after(PAUSE_BEFORE_REPEAT.min(job.deadline.left() / 2));
    let timer = Timer::new(pause, cancel.clone());
    if timer.sleep(PAUSE_BEFORE_REPEAT).is_ok() || cancel.until().is_some() {
        return;
    }
    let (sink, limits) = (&shared.sinks[gateway], Limits { deadline: job.deadline, cancel });
    match job.push.stored(gateway) {
        Some((_, stored)) => stored.repeat(sink, (job.push.composed(), job.push.number()), limits),
        None => drop(sink.deliver(job.push.composed(), job.kind, limits)),
    }
}

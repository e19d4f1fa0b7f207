//! The threads that deliver while the command runs and after it has ended: one for each gateway, made when it is first needed,
//! so that a slow gateway can delay neither the command nor another gateway, and an older push never overtakes a newer one.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::delivery::spool::drain::Drained;
use crate::delivery::spool::outage::Outage;
use crate::delivery::spool::store::{RunRecord, SpoolOptions, StoredPush};
use crate::delivery::timing::{
    IN_FLIGHT_AFTER_NEWER, LOOK_AT_PROGRESS, PAUSE_BEFORE_REPEAT, UNANSWERED_FOR_AT_MOST, WAIT_AFTER_DEADLINE,
    WAIT_FOR_WRITE,
};
use crate::http::Endpoint;
use crate::http::deadline::{Cancel, Deadline};
use crate::http::error::{Failure, Fault, Phase};
use crate::sink::Push;
use crate::sink::delivered::Delivered;
use crate::sink::push::PushKind;
use crate::sink::{DeliveryResult, Limits, Sink};
use crate::text::panic_text;

/// What became of one push at one gateway. A running push that was replaced before it started has none.
#[derive(Debug)]
pub struct Report {
    /// The gateway's place in the list that the dispatcher was made with.
    pub gateway: usize,
    /// What the push was.
    pub kind: PushKind,
    /// Its result; none where nothing was sent.
    pub result: Option<Result<Delivered, Failure>>,
    /// What has to be said besides, one line each.
    pub said: Vec<String>,
    /// Whether the push is kept and an earlier run has said already that the gateway does not take any.
    pub is_known_outage: bool,
}

/// A push that is composed by the first thread that delivers it: what goes into it may be large, and its disk slow. Clones are
/// the same push.
#[derive(Clone)]
pub struct LazyPush(Arc<LazyLock<(Push, Option<RunRecord>), Compose>>);

type Compose = Box<dyn FnOnce() -> (Push, Option<RunRecord>) + Send>;

impl LazyPush {
    /// A push that `compose` makes when it is needed.
    #[must_use]
    pub fn new(compose: impl FnOnce() -> Push + Send + 'static) -> Self {
        Self::recorded(|| (compose(), None))
    }

    /// A final push that `compose` makes and records in the state directory.
    #[must_use]
    pub fn recorded(compose: impl FnOnce() -> (Push, Option<RunRecord>) + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(compose))))
    }

    /// What the state directory has of it and of the sink of this place.
    fn stored(&self, sink: usize) -> Option<(&RunRecord, &StoredPush)> {
        let record = self.0.1.as_ref()?;
        Some((record, record.stored(sink)?))
    }
}

impl From<Push> for LazyPush {
    fn from(push: Push) -> Self {
        Self::new(move || push)
    }
}

impl std::ops::Deref for LazyPush {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.0.0
    }
}

impl std::fmt::Debug for LazyPush {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LazyPush").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Job {
    kind: PushKind,
    push: LazyPush,
    deadline: Deadline,
}

/// How far a final push has come on its way into the state directory.
#[derive(Debug, Default)]
enum Persistence {
    /// It does not go there.
    #[default]
    Nothing,
    /// It is to be written, which is worth a moment more than the network gets.
    Due,
    /// It was written or could not be: what is said when it is not delivered.
    Done(String),
}

impl Persistence {
    /// What is said of a push that is given up now.
    fn sentence(&mut self) -> Option<String> {
        match std::mem::take(self) {
            Self::Nothing => None,
            Self::Due => Some("the push may be lost: it was not written to the state directory in time".to_owned()),
            Self::Done(sentence) => Some(sentence),
        }
    }
}

/// What waits and what runs for one gateway.
#[derive(Debug, Default)]
struct Worker {
    has_thread: bool,
    waiting: Option<Job>,
    in_flight: Option<(PushKind, Cancel)>,
    persistence: Persistence,
    /// After the final push: other groups' pushes that had waited are sent.
    draining: Option<Cancel>,
    /// When a push was last given up unanswered: the gateway may still apply it.
    unanswered: Option<Instant>,
}

impl Worker {
    fn is_persisting(&self) -> bool {
        self.is_busy() && matches!(self.persistence, Persistence::Due)
    }

    fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.in_flight.is_some() || self.draining.is_some()
    }
}

#[derive(Debug, Default)]
struct DispatcherState {
    workers: Vec<Worker>,
    /// The first worker leaves the mark of the run.
    is_marked: bool,
    reports: VecDeque<Report>,
    closed: bool,
}

#[derive(Debug)]
struct DispatcherShared {
    sinks: Vec<Sink>,
    spool: Option<SpoolOptions>,
    state: Mutex<DispatcherState>,
    changed: Condvar,
    wakeup: OnceLock<Option<EventFd>>,
}

impl DispatcherShared {
    fn state(&self) -> MutexGuard<'_, DispatcherState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wakeup(&self) -> Option<&EventFd> {
        let make = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok();
        self.wakeup.get_or_init(make).as_ref()
    }

    /// In one step with what made the worker idle: who sees that nothing is left to do must find the report.
    fn report(&self, mut state: MutexGuard<'_, DispatcherState>, report: Report) {
        state.reports.push_back(report);
        drop(state);
        self.notify();
    }

    /// The final push has come further, or has turned out not to be kept.
    fn set_persistence(&self, gateway: usize, persistence: Persistence) {
        self.state().workers[gateway].persistence = persistence;
        self.changed.notify_all();
    }

    /// Tells whoever waits that something has changed.
    fn notify(&self) {
        // Made here if need be: one that is made later would never notify for what has happened now.
        if let Some(wakeup) = self.wakeup() {
            // EAGAIN: the eventfd is already readable.
            let _ = wakeup.write(1);
        }
        self.changed.notify_all();
    }
}

/// Delivers to several gateways, each on its own thread and in order.
#[derive(Debug)]
pub struct Dispatcher {
    shared: Arc<DispatcherShared>,
}

impl Dispatcher {
    /// A dispatcher for these sinks. Nothing is opened, read or started before the first push.
    #[must_use]
    pub fn new<S: Into<Sink>>(sinks: Vec<S>) -> Self {
        let sinks: Vec<Sink> = sinks.into_iter().map(Into::into).collect();
        let workers = sinks.iter().map(|_| Worker::default()).collect();
        let state = Mutex::new(DispatcherState { workers, ..DispatcherState::default() });
        let (spool, changed, wakeup) = (None, Condvar::new(), OnceLock::new());
        Self { shared: Arc::new(DispatcherShared { sinks, spool, state, changed, wakeup }) }
    }

    /// The same dispatcher, whose final pushes wait there when they fail. Before the first push.
    #[must_use]
    pub fn with_spool(mut self, spool: SpoolOptions) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spool = Some(spool);
        }
        self
    }

    /// The command has started: a run that is counted leaves a mark. Comes back at once.
    pub fn mark_run(&mut self) {
        if !self.shared.spool.as_ref().is_some_and(|spool| spool.state_dir.is_wanted()) {
            return;
        }
        let mut state = self.shared.state();
        state.is_marked = true;
        let Some(worker) = state.workers.first_mut() else { return };
        let has_thread = std::mem::replace(&mut worker.has_thread, true);
        drop(state);
        if !has_thread && !self.start(0) {
            self.shared.state().workers[0].has_thread = false;
        }
    }

    /// The sinks, in the order of [`Report::gateway`].
    #[must_use]
    pub fn sinks(&self) -> &[Sink] {
        &self.shared.sinks
    }

    /// Becomes readable when there are reports to [`take`](Self::take). `None` when the process has no descriptor left.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.wakeup().map(AsFd::as_fd)
    }

    /// Gives a push to every gateway and comes back at once. It takes the place of one that waits and is not more important;
    /// one that is in flight and less important may take two more seconds at most, and no further try.
    ///
    /// Where no thread can be made (`RLIMIT_NPROC`) a final push is delivered before this comes back, and others are left out:
    /// they must not delay the command.
    pub fn submit(&mut self, kind: PushKind, push: &LazyPush, deadline: Deadline) {
        for gateway in 0..self.shared.sinks.len() {
            self.submit_to(gateway, Job { kind, push: push.clone(), deadline });
        }
    }

    fn submit_to(&mut self, gateway: usize, job: Job) {
        let mut state = self.shared.state();
        let worker = &mut state.workers[gateway];
        if worker.waiting.as_ref().is_some_and(|waiting| waiting.kind > job.kind) {
            return;
        }
        if let Some((kind, cancel)) = &worker.in_flight
            && *kind < job.kind
        {
            cancel.shorten(IN_FLIGHT_AFTER_NEWER.min(job.deadline.left() / 2));
        }
        let keeps = |spool: &SpoolOptions| job.kind == PushKind::Final && spool.keeps(&self.shared.sinks[gateway]);
        if self.shared.spool.as_ref().is_some_and(keeps) {
            worker.persistence = Persistence::Due;
        }
        worker.waiting = Some(job);
        let has_thread = std::mem::replace(&mut worker.has_thread, true);
        drop(state);
        self.shared.changed.notify_all();
        if !has_thread && !self.start(gateway) {
            self.deliver_inline(gateway);
        }
    }

    fn start(&self, gateway: usize) -> bool {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("push".to_owned()).spawn(move || run_worker(&shared, gateway)).is_ok()
    }

    fn deliver_inline(&self, gateway: usize) {
        let mut state = self.shared.state();
        let worker = &mut state.workers[gateway];
        worker.has_thread = false;
        let job = worker.waiting.take().filter(|job| job.kind == PushKind::Final);
        drop(state);
        if let Some(job) = job {
            let performed = perform(&self.shared, gateway, &job, &Cancel::new());
            self.shared.report(self.shared.state(), performed.report(gateway, job.kind));
        }
    }

    /// Whether anything waits or is in flight.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.shared.state().workers.iter().any(Worker::is_busy)
    }

    /// The reports that have come since the last call.
    pub fn take(&mut self) -> Vec<Report> {
        if let Some(Some(wakeup)) = self.shared.wakeup.get() {
            // Nothing to read is nothing to take back.
            let _ = wakeup.read();
        }
        self.shared.state().reports.drain(..).collect()
    }

    /// No more retries, and what is in flight or waits may take `within` at most: for who is told to stop meanwhile.
    pub fn shorten(&self, within: Duration) {
        let limit = Deadline::after(within);
        for worker in &mut self.shared.state().workers {
            if let Some((_, cancel)) = &worker.in_flight {
                cancel.shorten(within);
            }
            if let Some(cancel) = &worker.draining {
                cancel.shorten(within);
            }
            if let Some(job) = &mut worker.waiting {
                job.deadline = job.deadline.min(limit);
            }
        }
    }

    /// Gives everything up at once.
    pub fn stop(&self) {
        self.shorten(Duration::ZERO);
    }

    /// Waits until nothing is left to do, or until `deadline` and a moment's grace have passed, and returns all reports. What
    /// has not ended by then is let go and reported as timed out.
    pub fn wait(&mut self, deadline: Deadline) -> Vec<Report> {
        let until = Deadline::from(deadline.instant() + WAIT_AFTER_DEADLINE);
        let sinks = &self.shared.sinks;
        let writes = |(worker, sink): (&Worker, &Sink)| worker.is_persisting() || worker.is_busy() && !sink.is_remote();
        let progress = || self.shared.spool.as_ref().map_or(0, |spool| spool.run.progress());
        // What a disk takes is written to the end, even where the network has used up the budget.
        let (mut steps, mut writing_until) = (progress(), Deadline::from(until.instant() + WAIT_FOR_WRITE));
        let mut state = self.shared.state();
        while state.workers.iter().any(Worker::is_busy) {
            if steps != progress() {
                (steps, writing_until) = (progress(), writing_until.max(Deadline::after(WAIT_FOR_WRITE)));
            }
            let is_writing = state.workers.iter().zip(sinks).any(writes);
            let until = if is_writing { writing_until } else { until };
            if until.passed() {
                break;
            }
            let pause = if is_writing { until.left().min(LOOK_AT_PROGRESS) } else { until.left() };
            let waited = self.shared.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut left = Vec::new();
        for (gateway, worker) in state.workers.iter_mut().enumerate() {
            if let Some(cancel) = worker.draining.take() {
                cancel.stop();
            }
            let waiting = worker.waiting.take().map(|job| job.kind);
            let in_flight = worker.in_flight.take().map(|(kind, cancel)| {
                cancel.stop();
                kind
            });
            left.extend(waiting.max(in_flight).map(|kind| (gateway, kind, worker.persistence.sentence())));
        }
        let mut reports: Vec<Report> = state.reports.drain(..).collect();
        reports.extend(left.into_iter().map(|(gateway, kind, kept)| Report {
            gateway,
            kind,
            result: Some(Err(sinks[gateway].given_up(Fault::Timeout(Phase::LetGo)))),
            said: kept.into_iter().collect(),
            is_known_outage: false,
        }));
        reports
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.stop();
        self.shared.changed.notify_all();
    }
}

/// The life of one gateway's thread.
fn run_worker(shared: &DispatcherShared, gateway: usize) {
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
        // Let go in the meantime: nobody waits for this report any more.
        let wanted = worker.in_flight.take().is_some();
        let others = wanted && job.kind == PushKind::Final && is_taken && shared.spool.is_some();
        worker.draining = others.then(|| cancel.clone());
        if wanted {
            shared.report(state, performed.report(gateway, job.kind));
        } else {
            drop(state);
        }
        if others {
            send_others(shared, gateway, &job, &cancel);
        }
    }
}

/// The gateway takes pushes: those of other groups that waited go out too.
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
    for Drained { mut result, sent, mut said, .. } in drained {
        if let (Some(Ok(delivered)), Some(sent)) = (&mut result, &sent) {
            let group = sent.group();
            said.extend(delivered.refused(&url).map(|why| format!("{group}, which had waited: {why}")));
            delivered.notes.push(format!("{group}, which had waited, was {} '{url}'", sent.deed()));
        }
        let report = Report { gateway, kind: PushKind::Spooled, result, said, is_known_outage: false };
        shared.report(shared.state(), report);
    }
}

/// What came of a job.
struct Performed {
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

    fn report(self, gateway: usize, kind: PushKind) -> Report {
        let Self { result, said, is_known_outage, .. } = self;
        Report { gateway, kind, result: Some(result), said, is_known_outage }
    }
}

/// Composes and delivers. A panic while composing is a result too: who waits for the report must get it.
fn perform(shared: &DispatcherShared, gateway: usize, job: &Job, cancel: &Cancel) -> Performed {
    let sink = &shared.sinks[gateway];
    let limits = Limits { deadline: job.deadline, cancel };
    let delivered = catch_unwind(AssertUnwindSafe(|| {
        let spool = shared.spool.as_ref();
        let is_final = job.kind == PushKind::Final;
        let stored = if is_final { job.push.stored(gateway) } else { None };
        if is_final {
            let kept = stored.map_or(Persistence::Nothing, |(_, stored)| Persistence::Done(stored.sentence()));
            shared.set_persistence(gateway, kept);
        }
        if let Some((spool, stored)) = spool.zip(stored) {
            let Drained { result, unanswered, repeats, outage, said, .. } =
                spool.deliver(sink, &job.push, stored, limits);
            let result = result.unwrap_or_else(|| Err(sink.given_up(Fault::Superseded)));
            let is_outage = result.as_ref().is_err_and(Failure::retryable);
            return Performed {
                result,
                unanswered,
                repeats,
                said,
                is_known_outage: is_outage && outage == Some(Outage::Known),
            };
        }
        let older = spool.filter(|_| !is_final).and_then(|spool| spool.send_older(sink, &job.push, limits));
        let unanswered = older.as_ref().is_some_and(|draining| draining.unanswered);
        report_drained(shared, gateway, older);
        let delivered = sink.deliver(&job.push, job.kind, limits);
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
    let timer = crate::http::deadline::Timer::new(pause, cancel.clone());
    if timer.sleep(PAUSE_BEFORE_REPEAT).is_ok() || cancel.until().is_some() {
        return;
    }
    let (sink, limits) = (&shared.sinks[gateway], Limits { deadline: job.deadline, cancel });
    match job.push.stored(gateway) {
        Some((_, stored)) => stored.repeat(sink, &job.push, limits),
        None => drop(sink.deliver(&job.push, job.kind, limits)),
    }
}

/// Pushes to all gateways at once under one deadline; each result stands where its gateway stands. Comes back by the deadline and
/// a moment's grace, whatever hangs.
#[must_use]
pub fn deliver_all(gateways: &[Endpoint], push: &Push, deadline: Deadline) -> Vec<Result<Delivered, Failure>> {
    let mut dispatcher = Dispatcher::new(gateways.to_vec());
    dispatcher.submit(PushKind::Final, &push.clone().into(), deadline);
    let mut reports = dispatcher.wait(deadline);
    reports.sort_by_key(|report| report.gateway);
    reports.into_iter().filter_map(|report| report.result).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    use super::{Deadline, Dispatcher, Duration, Endpoint, Job, LazyPush, Push, PushKind, SpoolOptions, thread};
    use crate::delivery::SpoolPath;
    use crate::exposition::{Family, OwnedFamilies};
    use crate::grouping::GroupingKey;
    use crate::sink::Method;

    fn push() -> LazyPush {
        let own = vec![Family::gauge("x", "").sample(&[], "1")].into();
        let key = GroupingKey::new("a", []).unwrap();
        Push { method: Method::Add, key, own, command: OwnedFamilies::default() }.into()
    }

    /// What `submit` does where no thread can be made: the final push goes out on the caller's thread, others are left out.
    #[test]
    fn without_threads_only_the_final_push_is_delivered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let length = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            length
        });
        let mut dispatcher = Dispatcher::new(vec![Endpoint::at(url.parse().unwrap())]);
        for kind in [PushKind::Heartbeat, PushKind::Stopping, PushKind::Final] {
            let job = Job { kind, push: push(), deadline: Deadline::after(Duration::from_secs(10)) };
            dispatcher.shared.state().workers[0].waiting = Some(job);
            dispatcher.deliver_inline(0);
        }
        let reports = dispatcher.take();
        assert_eq!((reports.len(), reports[0].kind), (1, PushKind::Final));
        assert!(matches!(reports[0].result, Some(Ok(_))), "{reports:?}");
        assert!(served.join().unwrap() > 0 && !dispatcher.busy());
    }

    /// A dispatcher to a gateway that is down, with a state directory.
    fn with_spool(directory: &tempfile::TempDir) -> Dispatcher {
        let (state_dir, key) = (SpoolPath::Named(directory.path().to_owned()), push().key.clone());
        let (prefix, carried_over, budget, run) = (String::new(), Vec::new(), Duration::from_secs(1), Arc::default());
        let spool = SpoolOptions { state_dir, key, prefix, carried_over, budget, run };
        Dispatcher::new(vec![Endpoint::at("http://127.0.0.1:1".parse().unwrap())]).with_spool(spool)
    }

    #[test]
    fn a_push_that_is_not_written_in_time_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut dispatcher = with_spool(&directory);
        let (_never, hangs) = mpsc::channel::<()>();
        let slow = LazyPush::new(move || {
            let _ = hangs.recv();
            panic!("nobody waits for this any more")
        });
        let deadline = Deadline::after(Duration::from_millis(1));
        dispatcher.submit(PushKind::Final, &slow, deadline);
        let said: Vec<Vec<String>> = dispatcher.wait(deadline).into_iter().map(|report| report.said).collect();
        assert_eq!(said, [["the push may be lost: it was not written to the state directory in time"]]);
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut dispatcher = with_spool(&directory);
        Arc::get_mut(&mut dispatcher.shared).unwrap().spool.as_mut().unwrap().state_dir = SpoolPath::None;
        let deadline = Deadline::after(Duration::from_secs(10));
        dispatcher.submit(PushKind::Final, &LazyPush::new(|| panic!("a defect")), deadline);
        assert_eq!(dispatcher.wait(deadline)[0].said, Vec::<String>::new());
    }

    #[test]
    fn a_push_that_cannot_even_be_composed_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut dispatcher = with_spool(&directory);
        let deadline = Deadline::after(Duration::from_secs(10));
        dispatcher.submit(PushKind::Final, &LazyPush::new(|| panic!("a defect")), deadline);
        let reports = dispatcher.wait(deadline);
        assert!(
            matches!(&reports[0].result, Some(Err(failure)) if failure.to_string().contains("a defect")),
            "{reports:?}"
        );
        assert!(reports[0].said[0].starts_with("the push may be lost"), "{reports:?}");
    }
}

//! The threads that deliver while the command runs and after it has ended: one for each gateway, made when it is first needed,
//! so that a slow gateway can delay neither the command nor another gateway, and an older push never overtakes a newer one.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::deadline::{Cancel, Deadline};
use super::deliver::Delivered;
use super::doors::{Handed, Limits, Sink};
use super::failure::{Failure, Fault, Phase};
use super::quote::panic_text;
use super::state_place::Errand;
use super::state_spool::Spool;
use super::{Gateway, Push};

/// How long the push in flight may still take when a more important one waits.
const HURRY: Duration = Duration::from_secs(2);
/// How long after its deadline a delivery is waited for before it is let go: it ends by itself, unless a file system or the
/// resolver hangs.
const GRACE: Duration = Duration::from_millis(150);
/// How much longer when a report is still being written to a file or to the state directory: on a slow disk it would be lost.
const KEEPING_GRACE: Duration = Duration::from_secs(2);
/// How long a gateway that left a push unanswered may take to apply it after all, before the final one is sent once more.
const SETTLE: Duration = Duration::from_secs(2);
/// A push that was left unanswered longer ago than this has been applied, or never will be.
const LATEST: Duration = Duration::from_mins(1);

/// What a push is in the life of a run; later ones are more important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// The heartbeat of a running command. It waits for its turn, and a newer push takes its place.
    Running,
    /// The run was told to stop: a KILL may follow before the command has ended.
    Interim,
    /// The run has ended.
    Final,
    /// A push that had waited in the state directory; only in reports.
    Waiting,
}

/// What became of one push at one gateway. A running push that was replaced before it started has none.
#[derive(Debug)]
pub struct Report {
    /// The gateway's place in the list that the courier was made with.
    pub gateway: usize,
    /// What the push was.
    pub turn: Turn,
    /// Its result.
    pub result: Result<Delivered, Failure>,
    /// What has to be said besides, one line each.
    pub said: Vec<String>,
}

/// A push that is composed by the first thread that delivers it: what goes into it may be large, and its disk slow. Clones are
/// the same push.
#[derive(Clone)]
pub struct Parcel(Arc<LazyLock<Push, Compose>>);

type Compose = Box<dyn FnOnce() -> Push + Send>;

impl Parcel {
    /// A push that `compose` makes when it is needed.
    #[must_use]
    pub fn new(compose: impl FnOnce() -> Push + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(compose))))
    }
}

impl From<Push> for Parcel {
    fn from(push: Push) -> Self {
        Self::new(move || push)
    }
}

impl std::ops::Deref for Parcel {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.0
    }
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parcel").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Job {
    turn: Turn,
    push: Parcel,
    deadline: Deadline,
}

/// How far a final push has come on its way into the state directory.
#[derive(Debug, Default)]
enum Keeping {
    /// It does not go there.
    #[default]
    Nothing,
    /// It is to be written, which is worth a moment more than the network gets.
    Due,
    /// It was written or could not be: what is said when it is not delivered.
    Done(String),
}

impl Keeping {
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
struct Lane {
    has_thread: bool,
    waiting: Option<Job>,
    in_flight: Option<(Turn, Cancel)>,
    keeping: Keeping,
    /// After the final push: other groups' pushes that had waited are sent.
    errand: Option<Cancel>,
    /// When a push was last given up unanswered: the gateway may still apply it.
    unanswered: Option<Instant>,
}

impl Lane {
    fn is_keeping(&self) -> bool {
        self.is_busy() && matches!(self.keeping, Keeping::Due)
    }

    fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.in_flight.is_some() || self.errand.is_some()
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    reports: VecDeque<Report>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    sinks: Vec<Sink>,
    spool: Option<Spool>,
    state: Mutex<State>,
    changed: Condvar,
    bell: OnceLock<Option<EventFd>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self) -> Option<&EventFd> {
        let make = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok();
        self.bell.get_or_init(make).as_ref()
    }

    /// In one step with what made the lane idle: who sees that nothing is left to do must find the report.
    fn report(&self, mut state: MutexGuard<'_, State>, report: Report) {
        state.reports.push_back(report);
        drop(state);
        self.ring();
    }

    /// The final push has come further, or has turned out not to be kept.
    fn keeping(&self, gateway: usize, keeping: Keeping) {
        self.state().lanes[gateway].keeping = keeping;
        self.changed.notify_all();
    }

    /// Tells whoever waits that something has changed.
    fn ring(&self) {
        // Made here if need be: one that is made later would never ring for what has happened now.
        if let Some(bell) = self.bell() {
            // A full counter is a bell that rings already.
            let _ = bell.write(1);
        }
        self.changed.notify_all();
    }
}

/// Delivers to several gateways, each on its own thread and in order.
#[derive(Debug)]
pub struct Courier {
    shared: Arc<Shared>,
}

impl Courier {
    /// A courier for these sinks. Nothing is opened, read or started before the first push.
    #[must_use]
    pub fn new<S: Into<Sink>>(sinks: Vec<S>) -> Self {
        let sinks: Vec<Sink> = sinks.into_iter().map(Into::into).collect();
        let lanes = sinks.iter().map(|_| Lane::default()).collect();
        let state = Mutex::new(State { lanes, ..State::default() });
        let (spool, changed, bell) = (None, Condvar::new(), OnceLock::new());
        Self { shared: Arc::new(Shared { sinks, spool, state, changed, bell }) }
    }

    /// The same courier, whose final pushes wait there when they fail. Before the first push.
    #[must_use]
    pub fn with_spool(mut self, spool: Spool) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spool = Some(spool);
        }
        self
    }

    /// The sinks, in the order of [`Report::gateway`].
    #[must_use]
    pub fn sinks(&self) -> &[Sink] {
        &self.shared.sinks
    }

    /// Becomes readable when there are reports to [`take`](Self::take). `None` when the process has no descriptor left.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.bell().map(AsFd::as_fd)
    }

    /// Gives a push to every gateway and comes back at once. It takes the place of one that waits and is not more important;
    /// one that is in flight and less important may take two more seconds at most, and no further try.
    ///
    /// Where no thread can be made (`RLIMIT_NPROC`) a final push is delivered before this comes back, and others are left out:
    /// they must not delay the command.
    pub fn submit(&mut self, turn: Turn, push: &Parcel, deadline: Deadline) {
        for gateway in 0..self.shared.sinks.len() {
            self.submit_to(gateway, Job { turn, push: push.clone(), deadline });
        }
    }

    fn submit_to(&mut self, gateway: usize, job: Job) {
        let mut state = self.shared.state();
        let lane = &mut state.lanes[gateway];
        if lane.waiting.as_ref().is_some_and(|waiting| waiting.turn > job.turn) {
            return;
        }
        if let Some((turn, cancel)) = &lane.in_flight
            && *turn < job.turn
        {
            cancel.hurry(HURRY.min(job.deadline.left() / 2));
        }
        let keeps = |spool: &Spool| job.turn == Turn::Final && spool.keeps(&self.shared.sinks[gateway]);
        if self.shared.spool.as_ref().is_some_and(keeps) {
            lane.keeping = Keeping::Due;
        }
        lane.waiting = Some(job);
        let has_thread = std::mem::replace(&mut lane.has_thread, true);
        drop(state);
        self.shared.changed.notify_all();
        if !has_thread && !self.start(gateway) {
            self.deliver_here(gateway);
        }
    }

    fn start(&self, gateway: usize) -> bool {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("push".to_owned()).spawn(move || run_lane(&shared, gateway)).is_ok()
    }

    fn deliver_here(&self, gateway: usize) {
        let mut state = self.shared.state();
        let lane = &mut state.lanes[gateway];
        lane.has_thread = false;
        let job = lane.waiting.take().filter(|job| job.turn == Turn::Final);
        drop(state);
        if let Some(job) = job {
            let Handed { result, said, .. } = hand_over(&self.shared, gateway, &job, &Cancel::new());
            self.shared.report(self.shared.state(), Report { gateway, turn: job.turn, result, said });
        }
    }

    /// Whether anything waits or is in flight.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.shared.state().lanes.iter().any(Lane::is_busy)
    }

    /// The reports that have come since the last call.
    pub fn take(&mut self) -> Vec<Report> {
        if let Some(Some(bell)) = self.shared.bell.get() {
            // Nothing to read is nothing to take back.
            let _ = bell.read();
        }
        self.shared.state().reports.drain(..).collect()
    }

    /// No more retries, and what is in flight or waits may take `within` at most: for who is told to stop meanwhile.
    pub fn hurry(&self, within: Duration) {
        let limit = Deadline::after(within);
        for lane in &mut self.shared.state().lanes {
            if let Some((_, cancel)) = &lane.in_flight {
                cancel.hurry(within);
            }
            if let Some(cancel) = &lane.errand {
                cancel.hurry(within);
            }
            if let Some(job) = &mut lane.waiting {
                job.deadline = job.deadline.min(limit);
            }
        }
    }

    /// Gives everything up at once.
    pub fn stop(&self) {
        self.hurry(Duration::ZERO);
    }

    /// Waits until nothing is left to do, or until `deadline` and a moment's grace have passed, and returns all reports. What
    /// has not ended by then is let go and reported as timed out.
    pub fn wait(&mut self, deadline: Deadline) -> Vec<Report> {
        let until = Deadline::from(deadline.instant() + GRACE);
        let keeping_until = Deadline::from(until.instant() + KEEPING_GRACE);
        let sinks = &self.shared.sinks;
        let writes = |(lane, sink): (&Lane, &Sink)| lane.is_keeping() || lane.is_busy() && !sink.is_remote();
        let mut state = self.shared.state();
        while state.lanes.iter().any(Lane::is_busy) {
            let until = if state.lanes.iter().zip(sinks).any(writes) { keeping_until } else { until };
            if until.passed() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(state, until.left());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut left = Vec::new();
        for (gateway, lane) in state.lanes.iter_mut().enumerate() {
            if let Some(cancel) = lane.errand.take() {
                cancel.stop();
            }
            let waiting = lane.waiting.take().map(|job| job.turn);
            let in_flight = lane.in_flight.take().map(|(turn, cancel)| {
                cancel.stop();
                turn
            });
            left.extend(waiting.max(in_flight).map(|turn| (gateway, turn, lane.keeping.sentence())));
        }
        let mut reports: Vec<Report> = state.reports.drain(..).collect();
        reports.extend(left.into_iter().map(|(gateway, turn, kept)| Report {
            gateway,
            turn,
            result: Err(sinks[gateway].given_up(Fault::Timeout(Phase::LetGo))),
            said: kept.into_iter().collect(),
        }));
        reports
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.stop();
        self.shared.changed.notify_all();
    }
}

/// The life of one gateway's thread.
fn run_lane(shared: &Shared, gateway: usize) {
    while let Some((job, cancel)) = next_job(shared, gateway) {
        let Handed { result, unanswered, said } = hand_over(shared, gateway, &job, &cancel);
        let before = {
            let mut state = shared.state();
            let lane = &mut state.lanes[gateway];
            let before = lane.unanswered;
            lane.unanswered = if unanswered { Some(Instant::now()) } else { before };
            before
        };
        if job.turn == Turn::Final && result.is_ok() && before.is_some_and(|moment| moment.elapsed() < LATEST) {
            repeat(shared, gateway, &job, &cancel);
        }
        let mut state = shared.state();
        let lane = &mut state.lanes[gateway];
        // Let go in the meantime: nobody waits for this report any more.
        let wanted = lane.in_flight.take().is_some();
        let others = wanted && job.turn == Turn::Final && result.is_ok() && shared.spool.is_some();
        lane.errand = others.then(|| cancel.clone());
        if wanted {
            shared.report(state, Report { gateway, turn: job.turn, result, said });
        } else {
            drop(state);
        }
        if others {
            send_others(shared, gateway, &job, &cancel);
        }
    }
}

/// The gateway takes pushes: those of other groups that waited go out too.
fn send_others(shared: &Shared, gateway: usize, job: &Job, cancel: &Cancel) {
    let limits = Limits { deadline: job.deadline, cancel };
    let send = |spool: &Spool| spool.send_others(&shared.sinks[gateway], &job.push, limits);
    let errands = catch_unwind(AssertUnwindSafe(|| shared.spool.as_ref().map(send)));
    report_errands(shared, gateway, errands.ok().flatten().unwrap_or_default());
    shared.state().lanes[gateway].errand = None;
    shared.ring();
}

fn report_errands(shared: &Shared, gateway: usize, errands: impl IntoIterator<Item = Errand>) {
    for Errand { result, said, .. } in errands {
        shared.report(shared.state(), Report { gateway, turn: Turn::Waiting, result, said });
    }
}

/// Composes and delivers. A panic while composing is a result too: who waits for the report must get it.
fn hand_over(shared: &Shared, gateway: usize, job: &Job, cancel: &Cancel) -> Handed {
    let sink = &shared.sinks[gateway];
    let limits = Limits { deadline: job.deadline, cancel };
    let spool = shared.spool.as_ref().filter(|_| job.turn == Turn::Final);
    let handed = catch_unwind(AssertUnwindSafe(|| {
        if let Some(place) = spool.and_then(|spool| spool.place(sink)) {
            let stored = place.keep(&job.push);
            shared.keeping(gateway, Keeping::Done(place.sentence(&stored)));
            return place.deliver(sink, stored, limits);
        }
        if job.turn == Turn::Final {
            shared.keeping(gateway, Keeping::Nothing);
        }
        let older = shared.spool.as_ref().filter(|_| job.turn < Turn::Final);
        let older = older.and_then(|spool| spool.send_older(sink, &job.push, limits));
        let unanswered = older.as_ref().is_some_and(|errand| errand.unanswered);
        report_errands(shared, gateway, older);
        let handed = sink.deliver(&job.push, job.turn, limits);
        Handed { unanswered: handed.unanswered || unanswered, ..handed }
    }));
    handed.unwrap_or_else(|panic| {
        let said = shared.state().lanes[gateway].keeping.sentence().into_iter().collect();
        let result = Err(sink.given_up(Fault::Internal(panic_text(panic.as_ref()))));
        Handed { said, ..result.into() }
    })
}

fn next_job(shared: &Shared, gateway: usize) -> Option<(Job, Cancel)> {
    let mut state = shared.state();
    loop {
        if state.closed {
            return None;
        }
        if let Some(job) = state.lanes[gateway].waiting.take() {
            let cancel = Cancel::new();
            state.lanes[gateway].in_flight = Some((job.turn, cancel.clone()));
            return Some((job, cancel));
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Sends the final push once more after a moment, so that it stands although the gateway applies an older one late. The first
/// one has arrived, so nothing depends on this one.
fn repeat(shared: &Shared, gateway: usize, job: &Job, cancel: &Cancel) {
    let pause = Deadline::after(SETTLE.min(job.deadline.left() / 2));
    let watch = super::deadline::Watch::new(pause, cancel.clone());
    if watch.sleep(SETTLE).is_ok() || cancel.until().is_some() {
        return;
    }
    let (sink, limits) = (&shared.sinks[gateway], Limits { deadline: job.deadline, cancel });
    match shared.spool.as_ref().and_then(|spool| spool.place(sink)) {
        Some(place) => place.repeat(sink, &job.push, limits),
        None => drop(sink.deliver(&job.push, job.turn, limits)),
    }
}

/// Pushes to all gateways at once under one deadline; each result stands where its gateway stands. Comes back by the deadline and
/// a moment's grace, whatever hangs.
#[must_use]
pub fn deliver_all(gateways: &[Gateway], push: &Push, deadline: Deadline) -> Vec<Result<Delivered, Failure>> {
    let mut courier = Courier::new(gateways.to_vec());
    courier.submit(Turn::Final, &push.clone().into(), deadline);
    let mut reports = courier.wait(deadline);
    reports.sort_by_key(|report| report.gateway);
    reports.into_iter().map(|report| report.result).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    use super::{Courier, Deadline, Duration, Gateway, Job, Parcel, Push, Spool, Turn, thread};
    use crate::sink::{CountsText, Method, StateDir};

    fn push() -> Parcel {
        Push { method: Method::Add, path: "/metrics/job/a".to_owned(), body: Arc::from(*b"x 1\n"), salvage: None }
            .into()
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
        let mut courier = Courier::new(vec![Gateway::at(url.parse().unwrap())]);
        for turn in [Turn::Running, Turn::Interim, Turn::Final] {
            let job = Job { turn, push: push(), deadline: Deadline::after(Duration::from_secs(10)) };
            courier.shared.state().lanes[0].waiting = Some(job);
            courier.deliver_here(0);
        }
        let reports = courier.take();
        assert_eq!((reports.len(), reports[0].turn), (1, Turn::Final));
        assert!(reports[0].result.is_ok(), "{reports:?}");
        assert!(served.join().unwrap() > 0 && !courier.busy());
    }

    /// A courier to a gateway that is down, with a state directory.
    fn keeping(directory: &tempfile::TempDir) -> Courier {
        let state_dir = StateDir::Named(directory.path().to_owned());
        let (counts_text, budget) = (CountsText::new(|_| Vec::new()), Duration::from_secs(1));
        let spool = Spool { state_dir, grouping: Vec::new(), lasting: Vec::new(), counts_text, budget };
        Courier::new(vec![Gateway::at("http://127.0.0.1:1".parse().unwrap())]).with_spool(spool)
    }

    #[test]
    fn a_push_that_is_not_written_in_time_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut courier = keeping(&directory);
        let (_never, hangs) = mpsc::channel::<()>();
        let slow = Parcel::new(move || {
            let _ = hangs.recv();
            panic!("nobody waits for this any more")
        });
        let deadline = Deadline::after(Duration::from_millis(1));
        courier.submit(Turn::Final, &slow, deadline);
        let said: Vec<Vec<String>> = courier.wait(deadline).into_iter().map(|report| report.said).collect();
        assert_eq!(said, [["the push may be lost: it was not written to the state directory in time"]]);
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut courier = keeping(&directory);
        Arc::get_mut(&mut courier.shared).unwrap().spool.as_mut().unwrap().state_dir = StateDir::None;
        let deadline = Deadline::after(Duration::from_secs(10));
        courier.submit(Turn::Final, &Parcel::new(|| panic!("a defect")), deadline);
        assert_eq!(courier.wait(deadline)[0].said, Vec::<String>::new());
    }

    #[test]
    fn a_push_that_cannot_even_be_composed_is_said_to_be_lost() {
        let directory = tempfile::tempdir().unwrap();
        let mut courier = keeping(&directory);
        let deadline = Deadline::after(Duration::from_secs(10));
        courier.submit(Turn::Final, &Parcel::new(|| panic!("a defect")), deadline);
        let reports = courier.wait(deadline);
        assert!(matches!(&reports[0].result, Err(failure) if failure.to_string().contains("a defect")), "{reports:?}");
        assert!(reports[0].said[0].starts_with("the push may be lost"), "{reports:?}");
    }
}

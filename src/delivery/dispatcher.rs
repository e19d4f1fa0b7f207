//! The threads that deliver while the command runs and after it has ended: one for each gateway,
//! so that a slow gateway can delay neither the command nor another gateway, and an older push never overtakes a newer one.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::delivery::lazy_push::LazyPush;
use crate::delivery::spool::store::SpoolOptions;
use crate::delivery::timing::{IN_FLIGHT_AFTER_NEWER, LOOK_AT_PROGRESS, WAIT_AFTER_DEADLINE, WAIT_FOR_WRITE};
use crate::delivery::worker::{
    DispatcherShared, DispatcherState, Job, Persistence, Report, Worker, perform, run_worker,
};
use crate::http::Endpoint;
use crate::http::deadline::{Cancel, Deadline};
use crate::http::error::{Failure, Fault, Phase};
use crate::sink::delivered::Delivered;
use crate::sink::push::PushKind;
use crate::sink::{Push, Sink};

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

    /// The command has started: the threads are made while it runs, so that its end does not wait for them. The first leaves the
    /// mark of a run that is counted. Comes back at once; a thread that cannot be made is tried again when it is needed.
    pub fn begin(&mut self) {
        let is_counted = self.shared.spool.as_ref().is_some_and(|spool| spool.state_dir.is_wanted());
        self.shared.state().is_marked = is_counted;
        for gateway in 0..self.shared.sinks.len() {
            let has_thread = std::mem::replace(&mut self.shared.state().workers[gateway].has_thread, true);
            if !has_thread && !self.start(gateway) {
                self.shared.state().workers[gateway].has_thread = false;
            }
        }
    }

    /// The sinks, in the order of [`Report::gateway`].
    #[must_use]
    pub fn sinks(&self) -> &[Sink] {
        &self.shared.sinks
    }

    /// Becomes readable when there are reports to [`take`](Self::take), and when the final push has been composed. `None` when the process has no descriptor left.
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

    /// No more retries, and what is in flight or waits may take `within` at most: for a run that gets a stop signal meanwhile.
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
    use crate::exposition::Family;
    use crate::grouping::GroupingKey;
    use crate::sink::Method;

    fn push() -> LazyPush {
        let own = vec![Family::gauge("x", "").sample(&[], "1")].into();
        let key = GroupingKey::new("a", []).unwrap();
        Push { own, ..Push::empty(Method::Add, key) }.into()
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
        let (state_dir, key) = (SpoolPath::At(directory.path().to_owned()), push().composed().key.clone());
        let (prefix, budget, run) = (String::new(), Duration::from_secs(1), Arc::default());
        let spool = SpoolOptions { state_dir, key, prefix, budget, run };
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

//! One deadline for everything a delivery does, and the way to be let go before it. Every wait of this module's siblings
//! goes through [`Timer::wait`], so nothing here can have a time-out of its own.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// When a server that is tried once more is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// A year: what a budget too large for the clock is taken as.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// The moment by which a delivery has to be over, on the monotonic clock, and how long a server that cannot be reached at all is
/// tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    moment: Instant,
    patience: UnreachableLimit,
}

/// How long a server is tried again that cannot be reached: refused, no such name, no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum UnreachableLimit {
    /// As long as there is time.
    Deadline,
    /// Until then.
    Until(Instant),
    /// Once more.
    Once,
}

impl Deadline {
    /// The moment `budget` from now.
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        let now = Instant::now();
        Self::from(now.checked_add(budget).unwrap_or(now + FOREVER))
    }

    /// The same moment, for a server that is tried again for no more than `patience` from now where it cannot be reached.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience: UnreachableLimit::Until(Self::after(patience).moment), ..self }
    }

    /// The same moment, for a server that is tried again once where it cannot be reached.
    #[must_use]
    pub fn with_one_more_try(self) -> Self {
        Self { patience: UnreachableLimit::Once, ..self }
    }

    /// The same moment, with no more patience than this, where the patience is bounded at all.
    #[must_use]
    pub fn patient_at_most(self, patience: Duration) -> Self {
        match self.patience {
            UnreachableLimit::Until(moment) => {
                Self { patience: UnreachableLimit::Until(moment.min(Self::after(patience).moment)), ..self }
            }
            UnreachableLimit::Deadline | UnreachableLimit::Once => self,
        }
    }

    /// An earlier moment with the same patience.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        Self { moment: self.moment.checked_sub(by).unwrap_or(self.moment), ..self }
    }

    /// What is left until then; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.moment.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// The same moment as an `Instant`.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.moment
    }
}

impl From<Instant> for Deadline {
    fn from(moment: Instant) -> Self {
        Self { moment, patience: UnreachableLimit::Deadline }
    }
}

/// The caller's hold on one delivery: it can shorten it or stop it from another thread. Clones are the same hold; each
/// delivery needs its own.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    /// When the delivery has to be over because somebody asked; `None` while nobody has.
    until: Mutex<Option<Instant>>,
    /// Rung at each change. Made by the first wait; `None` inside when the process has no descriptor left.
    wakeup: OnceLock<Option<EventFd>>,
}

impl Cancel {
    /// A hold on which nobody has pulled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No more retries; the attempt in flight may take `within` at most.
    pub fn shorten(&self, within: Duration) {
        let limit = Deadline::after(within).instant();
        let mut until = self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(until.map_or(limit, |earlier| earlier.min(limit)));
        drop(until);
        if let Some(Some(wakeup)) = self.0.wakeup.get() {
            // A full counter is a wakeup that rings already.
            let _ = wakeup.write(1);
        }
    }

    /// Stop at once.
    pub fn stop(&self) {
        self.shorten(Duration::ZERO);
    }

    /// When the delivery has to be over because somebody asked.
    pub(crate) fn until(&self) -> Option<Instant> {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wakeup(&self) -> Option<&EventFd> {
        let make = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok();
        self.0.wakeup.get_or_init(make).as_ref()
    }
}

/// Why a wait ended without what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The limit of this step has passed, or the whole deadline.
    TimedOut,
    /// The caller stopped or shortened the delivery, and that moment has come.
    Stopped,
}

impl std::fmt::Display for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "time is up",
            Self::Stopped => "stopped",
        })
    }
}

impl std::error::Error for Interruption {}

impl From<Interruption> for std::io::Error {
    fn from(interruption: Interruption) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, interruption)
    }
}

/// What a delivery is bounded by: its deadline, the limit of the step that runs, and the caller's hold.
#[derive(Debug)]
pub(crate) struct Timer {
    deadline: Deadline,
    limit: Mutex<Instant>,
    cancel: Cancel,
}

impl Timer {
    pub(crate) fn new(deadline: Deadline, cancel: Cancel) -> Self {
        Self { deadline, limit: Mutex::new(deadline.instant()), cancel }
    }

    /// What is left of the whole budget.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.left()
    }

    /// What is left for a server that could not be reached in `round` tries and the one before them; none when that is enough.
    pub(crate) fn patience_left(&self, round: u32) -> Option<Duration> {
        match self.deadline.patience {
            UnreachableLimit::Deadline => Some(self.left()),
            UnreachableLimit::Once => (round == 0).then_some(FIRST_RETRY),
            UnreachableLimit::Until(moment) => {
                Some(moment.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
            }
        }
    }

    /// Whether the caller asked for no more retries.
    pub(crate) fn is_shortened(&self) -> bool {
        self.cancel.until().is_some()
    }

    /// What is left of the step that runs.
    pub(crate) fn left_of_step(&self) -> Duration {
        self.until().saturating_duration_since(Instant::now())
    }

    /// Bounds the step that begins now; the deadline holds in any case.
    pub(crate) fn limit_step(&self, within: Duration) {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = Deadline::after(within).instant();
    }

    fn until(&self) -> Instant {
        let limit = *self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let own = limit.min(self.deadline.instant());
        self.cancel.until().map_or(own, |asked| own.min(asked))
    }

    /// Fails when the step may not go on.
    pub(crate) fn check(&self) -> Result<(), Interruption> {
        let now = Instant::now();
        if self.cancel.until().is_some_and(|asked| asked <= now) {
            return Err(Interruption::Stopped);
        }
        if self.until() <= now { Err(Interruption::TimedOut) } else { Ok(()) }
    }

    /// Waits until one of `events` (or an error) is there on `fd`; without `fd` it waits for the limit alone.
    pub(crate) fn wait(&self, fd: Option<BorrowedFd<'_>>, events: PollFlags) -> Result<PollFlags, Interruption> {
        // Before the check: who pulls after it finds the wakeup.
        let wakeup = self.cancel.wakeup();
        loop {
            self.check()?;
            if fd.is_none() && self.is_shortened() {
                return Err(Interruption::Stopped);
            }
            let mut fds = Vec::with_capacity(2);
            fds.extend(fd.map(|fd| PollFd::new(fd, events)));
            fds.extend(wakeup.map(|wakeup| PollFd::new(wakeup.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, timeout_for(self.left_of_step())) {
                Ok(_) | Err(Errno::EINTR) => {}
                // Only a lack of memory is left; time goes on, so this cannot spin for ever.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            let seen = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::revents).unwrap_or(PollFlags::empty());
            if let Some(wakeup) = wakeup
                && !seen(fds.last()).is_empty()
            {
                let _ = wakeup.read();
            }
            if fd.is_some() && !seen(fds.first()).is_empty() {
                return Ok(seen(fds.first()));
            }
        }
    }

    /// Waits for `pause` before another try; fails when there must be none.
    pub(crate) fn sleep(&self, pause: Duration) -> Result<(), Interruption> {
        self.limit_step(pause.min(self.left()));
        let interruption = self.wait(None, PollFlags::empty());
        self.limit_step(self.left());
        match interruption {
            Err(Interruption::Stopped) => Err(Interruption::Stopped),
            _ => self.check(),
        }
    }
}

/// A poll(2) time-out that is never shorter than `left`, so that a wait cannot spin through its last millisecond.
fn timeout_for(left: Duration) -> PollTimeout {
    let millis = left.as_nanos().div_ceil(1_000_000);
    i32::try_from(millis).ok().and_then(|millis| PollTimeout::try_from(millis).ok()).unwrap_or(PollTimeout::MAX)
}

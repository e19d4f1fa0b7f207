//! What pushwrap was given by its caller, and what it has to give back: the signal mask and dispositions for the command,
//! the way in which the command died for the caller.

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::arguments::{self, Area};
use super::exec::ExecState;
use super::procfs;
use super::relay::STOP_ORDERS;
use super::sys::{self, Disposition, SignalInfo, SignalSet};
use crate::outcome::{Exit, Status};

/// Faults of our own: blocked they would only loop or kill without a trace (tini and catatonit leave out the same).
const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];
/// libc keeps these for its threads (nptl(7): 32 and 33; musl 34 as well): they stay as they were.
const LIBC_OWN: [i32; 2] = [32, 33];

/// All signals that are blocked and read.
pub(super) const BLOCKED: SignalSet = {
    let [a, b, c, d, e, f, g] = FAULTS;
    let [h, i] = LIBC_OWN;
    SignalSet::all_but(&[a, b, c, d, e, f, g, h, i, libc::SIGKILL, libc::SIGSTOP])
};

/// A stop order that repeats one from before the end of the command, or the signal that it died by, is the same order when
/// it comes within this time: a signal to the whole process group reaches pushwrap and the command, at slightly different moments.
const SAME_ORDER: Duration = Duration::from_millis(100);

/// How long after the last order to stop the end of the command is taken for its effect. One that goes on for longer has
/// survived it (a HUP that means "reload").
const ORDER_HOLDS: Duration = Duration::from_mins(5);

/// What pushwrap was given by its caller. There is one, from [`take_over`].
#[derive(Debug)]
pub struct Caller {
    mask: SignalSet,
    pipe: Disposition,
    child: Disposition,
    closed: [bool; 3],
    /// Descriptors from 3 on that were open at the start and belong to the command.
    descriptors: Vec<i32>,
    /// Where ps(1) reads the arguments.
    pub(super) arguments: Option<Area>,
    /// Those of [`STOP_ORDERS`] that were ignored at the start (nohup): they do not tell us to stop.
    ignored_orders: Vec<i32>,
    /// Whether ended processes that are not the command's first have to be reaped here.
    pub(super) reaps_orphans: bool,
    /// The stop orders that have come, and when the last one did.
    heard: Vec<i32>,
    last_order: Option<Instant>,
    /// When and how the command ended.
    end: Option<(Instant, Status)>,
    orders_after_end: u32,
}

/// Takes the signals over. To be called in the first lines of `main`, before there are threads and before anything is
/// opened: from here on signals wait in the queue until they are read, so that none is lost and none interrupts. `arguments`
/// are the process's own.
#[must_use]
pub fn take_over(arguments: &[OsString]) -> Caller {
    let before = sys::mask();
    sys::set_mask(BLOCKED.union(before));
    sys::protect_streams();
    sys::share_one_heap();
    let child = if sys::is_ignored(libc::SIGCHLD) { Disposition::Ignore } else { Disposition::Default };
    // With SIGCHLD ignored the kernel reaps children by itself and their status is lost (wait(2), NOTES).
    sys::set_disposition(libc::SIGCHLD, Disposition::Default);
    Caller {
        mask: before,
        pipe: if sys::pipe_ignored_at_start() { Disposition::Ignore } else { Disposition::Default },
        child,
        closed: sys::closed_at_start(),
        descriptors: open_descriptors(),
        arguments: arguments::area(arguments),
        ignored_orders: STOP_ORDERS
            .into_iter()
            .chain([libc::SIGQUIT])
            .filter(|signal| sys::is_ignored(*signal))
            .collect(),
        reaps_orphans: is_init(),
        heard: Vec::new(),
        last_order: None,
        end: None,
        orders_after_end: 0,
    }
}

/// The open descriptors from 3 on. The one that reading the directory itself needs is closed again and is left out.
fn open_descriptors() -> Vec<i32> {
    // How many there are is the size of the directory since Linux 6.2 (proc_pid_fd(5)); listing them takes ten times as long.
    let count = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
    if count == 3 && (0..3).all(sys::is_open) {
        return Vec::new();
    }
    let mut open = procfs::numbers("/proc/self/fd");
    open.retain(|fd| *fd > 2 && sys::is_open(*fd));
    open
}

/// Whether this process is the init of its PID namespace.
pub(super) fn is_init() -> bool {
    std::process::id() == 1
}

/// Why [`Caller::wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// `done` can be read.
    Done,
    /// The time is over.
    Deadline,
    /// A new order to stop has come.
    Stop {
        /// Whether it is the second since the command has ended: leave at once.
        second: bool,
    },
}

impl Caller {
    /// Gives the signals back, for what runs no command: there they do what they always do.
    pub fn give_back(&self) {
        sys::set_disposition(libc::SIGCHLD, self.child);
        sys::set_mask(self.mask);
    }

    /// Blanks the secrets among the arguments for ps(1): each is a value, and where the secret stands in it.
    pub fn blank_secrets(&self, arguments: &[OsString], secrets: &[(&str, Range<usize>)]) {
        if let Some(area) = self.arguments {
            area.blank(arguments, secrets);
        }
    }

    /// The inherited state that the command has to find.
    pub(super) fn exec_state(&self) -> ExecState {
        ExecState { mask: self.mask, pipe: self.pipe, child: self.child, closed: self.closed }
    }

    /// Lets go of what was inherited for the command only: a write end that pushwrap held would keep a reader waiting for
    /// its end until the push is over. Standard error stays, for messages.
    pub(super) fn release(&mut self) {
        sys::let_go_of(&[0, 1]);
        for fd in self.descriptors.drain(..) {
            sys::close(fd);
        }
    }

    /// Remembers a signal that may be a stop signal; returns whether it is one, and the first of its kind.
    pub(super) fn hear(&mut self, signal: i32) -> bool {
        let order = STOP_ORDERS.contains(&signal) && !self.ignored_orders.contains(&signal);
        if order {
            if self.has_survived_order() {
                self.heard.clear();
            }
            self.last_order = Some(Instant::now());
        }
        let first = order && !self.heard.contains(&signal);
        if first {
            self.heard.push(signal);
        }
        first
    }

    /// Whether pushwrap got a stop signal so recently that the command may end because of it.
    pub(super) fn told_to_stop(&self) -> bool {
        self.last_order.is_some_and(|last| last.elapsed() < ORDER_HOLDS)
    }

    /// Whether pushwrap got a stop signal so long ago that the command evidently goes on.
    pub(super) fn has_survived_order(&self) -> bool {
        self.last_order.is_some() && !self.told_to_stop()
    }

    /// Remembers the end of the command.
    pub(super) fn note_end(&mut self, status: Status) {
        self.end = Some((Instant::now(), status));
    }

    /// Reaps every ended process that is a child of ours but for `except`: orphans come to PID 1 and to a subreaper, and
    /// unreaped ones fill the limit on processes.
    pub(super) fn reap_orphans(&self, except: Option<i32>) {
        if !self.reaps_orphans {
            return;
        }
        while let Some(pid) = sys::any_ended_child().filter(|pid| Some(*pid) != except) {
            // Where that is refused (a seccomp profile) the same one would be found again without end.
            if !sys::reap(pid) {
                return;
            }
        }
    }

    /// Waits after the end of the command until `done` can be read, `until` has come, or pushwrap gets a stop signal. Signals
    /// that came before the call count. As PID 1 it goes on reaping.
    pub fn wait(&mut self, done: BorrowedFd<'_>, until: Instant) -> Wake {
        let signals = order_descriptor();
        loop {
            while let Some(received) = sys::next_signal(BLOCKED, Some(Duration::ZERO)) {
                self.reap_orphans(None);
                if let Some(second) = self.is_new_order(&received) {
                    return Wake::Stop { second };
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let ready = wait_for_either(done, signals.as_ref(), left);
            if ready {
                return Wake::Done;
            }
            if left.is_zero() {
                return Wake::Deadline;
            }
        }
    }

    /// Whether a signal after the end of the command is a new order to stop, and if so whether it is the second.
    fn is_new_order(&mut self, received: &SignalInfo) -> Option<bool> {
        // The command is over, so that QUIT means us.
        let is_order = STOP_ORDERS.contains(&received.signal) || received.signal == libc::SIGQUIT;
        if !is_order || self.ignored_orders.contains(&received.signal) {
            return None;
        }
        if let Some((reaped, status)) = self.end {
            let repeated = self.heard.contains(&received.signal) || status == Status::Signaled(received.signal);
            if repeated && reaped.elapsed() < SAME_ORDER {
                return None;
            }
        }
        self.orders_after_end += 1;
        Some(self.orders_after_end > 1)
    }
}

/// Raises the soft limit on CPU time to the hard one, once the command has the soft one: pushwrap does not use the
/// command's time up, and must not be signalled for its own.
pub(super) fn raise_cpu_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CPU) {
        let _ = setrlimit(Resource::RLIMIT_CPU, hard, hard);
    }
}

/// A descriptor that can be read when a signal is pending that [`Caller::wait`] has to see. It is only polled: the
/// signal itself is taken from the queue.
fn order_descriptor() -> Option<SignalFd> {
    let mut wanted = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD] {
        wanted.add(signal);
    }
    SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok()
}

/// Waits until `done` can be read (then true), a signal is pending or the time is over.
fn wait_for_either(done: BorrowedFd<'_>, signals: Option<&SignalFd>, left: Duration) -> bool {
    let mut fds = vec![PollFd::new(done, PollFlags::POLLIN)];
    let mut left = left;
    match signals {
        Some(signals) => fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN)),
        // No descriptor is to be had (ulimit -n): poll the queue now and then.
        None => left = left.min(Duration::from_millis(50)),
    }
    // Rounded up: rounded down the last millisecond would be spent turning round.
    let left = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, left).is_ok() && fds[0].any() == Some(true)
}

/// Ends pushwrap as `exit` says: with this status, or by this signal without a core file of its own. PID 1 cannot die by a
/// signal that it sends itself, so there the status is 128 + N.
pub fn leave(exit: Exit) -> ! {
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => {
            if !is_init() {
                die_by(signal);
            }
            Status::Signaled(signal).shell_code()
        }
    };
    std::process::exit(i32::from(code))
}

/// Dies by `signal`, unless its default action is not to die.
fn die_by(signal: i32) {
    // A limit of 0 alone does not stop a core that goes to a pipe (core(5)), as timeout(1) notes as well.
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    sys::raise_default(signal);
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use super::{Caller, Disposition, SignalInfo, Status, Wake, sys};

    fn given() -> Caller {
        Caller {
            mask: sys::mask(),
            pipe: Disposition::Default,
            child: Disposition::Default,
            closed: [false; 3],
            descriptors: Vec::new(),
            arguments: None,
            ignored_orders: vec![libc::SIGHUP],
            reaps_orphans: false,
            heard: Vec::new(),
            last_order: None,
            end: None,
            orders_after_end: 0,
        }
    }

    fn received(signal: i32) -> SignalInfo {
        SignalInfo::for_test(signal)
    }

    #[test]
    fn the_first_order_after_the_end_is_told_from_the_second() {
        let mut caller = given();
        caller.note_end(Status::Exited(0));
        assert_eq!(caller.is_new_order(&received(libc::SIGTERM)), Some(false));
        assert_eq!(caller.is_new_order(&received(libc::SIGINT)), Some(true));
        assert_eq!(caller.is_new_order(&received(libc::SIGUSR1)), None);
        assert_eq!(caller.is_new_order(&received(libc::SIGHUP)), None, "ignored by the caller");
    }

    #[test]
    fn an_order_holds_for_five_minutes_after_the_last_one() {
        let ago = |minutes| Instant::now().checked_sub(Duration::from_mins(minutes)).unwrap();
        let mut caller = given();
        assert!(!caller.told_to_stop() && !caller.has_survived_order());
        assert!(caller.hear(libc::SIGTERM));
        caller.last_order = Some(ago(4));
        assert!(caller.told_to_stop() && !caller.has_survived_order());
        caller.last_order = Some(ago(6));
        assert!(!caller.told_to_stop() && caller.has_survived_order());
        assert!(caller.hear(libc::SIGTERM), "the first of a new order");
        assert!(caller.told_to_stop() && !caller.has_survived_order());
    }

    #[test]
    fn the_echo_of_the_order_that_ended_the_command_is_no_new_one() {
        let mut caller = given();
        assert!(caller.hear(libc::SIGTERM), "the first");
        assert!(!caller.hear(libc::SIGTERM), "again");
        assert!(!caller.hear(libc::SIGHUP), "ignored by the caller");
        assert!(!caller.hear(libc::SIGQUIT), "no order to stop");
        caller.note_end(Status::Signaled(libc::SIGINT));
        assert_eq!(caller.is_new_order(&received(libc::SIGTERM)), None, "sent to the whole group");
        assert_eq!(caller.is_new_order(&received(libc::SIGINT)), None, "it has died by it");
        assert_eq!(caller.is_new_order(&received(libc::SIGQUIT)), Some(false));
        let later = Instant::now().checked_sub(Duration::from_millis(200)).unwrap();
        caller.end = Some((later, Status::Signaled(libc::SIGINT)));
        assert_eq!(caller.is_new_order(&received(libc::SIGTERM)), Some(true), "not an echo any more");
    }

    #[test]
    fn waiting_ends_when_it_is_done_and_when_the_time_is_over() {
        let (reader, mut writer) = pipe().unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(given().wait(reader.as_fd(), soon), Wake::Deadline);
        assert!(Instant::now() >= soon);
        writer.write_all(b"x").unwrap();
        assert_eq!(given().wait(reader.as_fd(), Instant::now() + Duration::from_secs(30)), Wake::Done);
    }
}

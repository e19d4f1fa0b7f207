//! The system calls that supervising needs and no safe crate offers: signal masks that keep every bit, waiting for a
//! signal with its origin, wait4 with its resource usage. Each is a thin function with a safe face; nothing decides here.

#![allow(unsafe_code, reason = "nix has neither wait4, nor real-time signals, nor a mask with the signals glibc hides")]

use std::ffi::CStr;
use std::mem::{MaybeUninit, zeroed};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::usage::ResourceUsage;
use crate::outcome::Status;

/// The size of the kernel's signal set in bytes, which its system calls expect.
const SET_BYTES: libc::size_t = size_of::<u64>();

/// A set of signals as the kernel has it: bit N-1 is signal N. glibc's own type hides 32 and 33 (nptl keeps them for
/// itself and takes them out of every mask), and an inherited mask must be handed on with all its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignalSet(u64);

impl SignalSet {
    /// The empty set.
    pub(super) const EMPTY: Self = Self(0);

    /// The set with these bits.
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether the signal of this number is in it.
    pub(super) const fn has(self, signal: i32) -> bool {
        self.0 & Self::of(&[signal]).0 != 0
    }

    /// The signals of this set that are not in `other`.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set of these signals.
    pub(super) const fn of(signals: &[i32]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << (signals[i] - 1);
            i += 1;
        }
        Self(bits)
    }

    /// All 64 signals but these.
    pub(super) const fn all_but(signals: &[i32]) -> Self {
        Self(!Self::of(signals).0)
    }

    /// The signals that are in either set.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Changes the mask of the calling thread as `how` says (`SIG_SETMASK`, `SIG_BLOCK`, `SIG_UNBLOCK`) and returns the old one.
fn change_mask(how: i32, set: SignalSet) -> SignalSet {
    let mut old = 0_u64;
    // SAFETY: both pointers are to 8 bytes that live through the call, and the kernel gets that size.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set.0, &raw mut old, SET_BYTES) };
    SignalSet(old)
}

/// Makes `set` the mask of the calling thread and returns the old one. Async-signal-safe.
pub(super) fn set_mask(set: SignalSet) -> SignalSet {
    change_mask(libc::SIG_SETMASK, set)
}

/// The mask of the calling thread.
pub(super) fn mask() -> SignalSet {
    change_mask(libc::SIG_BLOCK, SignalSet(0))
}

/// What a process does with a signal that it does not catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
}

/// Sets the disposition of `signal`; numbers that libc keeps for itself are left alone. Async-signal-safe.
pub(super) fn set_disposition(signal: i32, to: Disposition) {
    // SAFETY: a zeroed sigaction is valid (no flags, empty mask, SIG_DFL); no handler is installed.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = if to == Disposition::Ignore { libc::SIG_IGN } else { libc::SIG_DFL };
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

/// Whether `signal` is ignored. Async-signal-safe.
pub(super) fn is_ignored(signal: i32) -> bool {
    // SAFETY: the call only fills `action`, which is then initialised whatever it returned (zeroed before).
    unsafe {
        let mut action: libc::sigaction = zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// What the process was given that std's runtime overwrites before `main`: one bit for each closed standard descriptor,
/// one for an ignored SIGPIPE.
static GIVEN: AtomicU8 = AtomicU8::new(0);
const PIPE_IGNORED: u8 = 1 << 3;

/// Runs before std's runtime, which ignores SIGPIPE and opens /dev/null on closed standard descriptors (rust's
/// library/std/src/sys/pal/unix/mod.rs): where there is such a runtime (`main.rs`), in `main` it would be too late to learn what was
/// inherited.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_RUNTIME: extern "C" fn() = note_what_was_given;

extern "C" fn note_what_was_given() {
    let mut given = 0;
    for fd in 0..3_u8 {
        if !is_open(i32::from(fd)) {
            given |= 1 << fd;
        }
    }
    if is_ignored(libc::SIGPIPE) {
        given |= PIPE_IGNORED;
    }
    GIVEN.store(given, Ordering::Relaxed);
}

/// Whether the descriptor `fd` is open.
pub(super) fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD only asks; a closed descriptor is an answer.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Which of the descriptors 0, 1, 2 were closed when the process started.
pub(super) fn closed_at_start() -> [bool; 3] {
    // The linker may drop a whole object file of which nothing is used: this is the use.
    std::hint::black_box(&raw const BEFORE_RUNTIME);
    let given = GIVEN.load(Ordering::Relaxed);
    [given & 1 != 0, given & 2 != 0, given & 4 != 0]
}

/// What std's runtime does before `main` and pushwrap needs, for the entry point that does without the runtime: a write to a pipe
/// without a reader is an error and no signal, and no file that is opened later becomes a standard stream that was closed.
pub(super) fn protect_streams() {
    set_disposition(libc::SIGPIPE, Disposition::Ignore);
    for _ in (0..).zip(closed_at_start()).filter(|(fd, closed)| *closed && !is_open(*fd)) {
        // SAFETY: the paths are C strings. The lowest number that is free is the one of the stream. Where there is no /dev/null the
        // stream takes nothing.
        unsafe {
            if libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) == -1 {
                libc::open(c"/".as_ptr(), libc::O_PATH);
            }
        }
    }
}

/// Lets all threads share one heap: a second one costs four system calls and its own pages.
pub(super) fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt has no memory arguments, and changes only from where malloc takes its memory.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Whether SIGPIPE was ignored when the process started.
pub(super) fn pipe_ignored_at_start() -> bool {
    GIVEN.load(Ordering::Relaxed) & PIPE_IGNORED != 0
}

/// The environment as the process was given it: every entry, in order, duplicates and entries without '=' included
/// (`std::env::vars_os` drops and hides such).
pub(super) fn environment() -> Vec<&'static CStr> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: environ is null or a null-terminated array of C strings (environ(7)); nothing in pushwrap ever changes the
    // environment of its own process, so the strings live as long as the process.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry));
            entry = entry.add(1);
        }
    }
    entries
}

/// The file that this process was executed from, as execve(2) got it: for the interpreter of a script, the script.
pub(super) fn executed_file() -> Option<&'static CStr> {
    // SAFETY: getauxval reads what the kernel put above the stack, and AT_EXECFN is 0 or the address of a C string there, which
    // stays as long as the process.
    unsafe {
        let address = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        (!address.is_null()).then(|| CStr::from_ptr(address))
    }
}

/// A signal taken from the queue, with what the kernel says about its origin (sigaction(2)).
#[derive(Debug, Clone, Copy)]
pub(super) struct SignalInfo {
    /// Its number.
    pub(super) signal: i32,
    /// `si_code`: above 0 the kernel made it, else a process sent it.
    pub(super) code: i32,
    /// `si_pid` where a process sent it: 0 when the sender is outside of our PID namespace.
    pub(super) sender: i32,
    value: libc::sigval,
}

#[cfg(test)]
impl SignalInfo {
    /// As if a process had sent it by kill(2).
    pub(super) fn for_test(signal: i32) -> Self {
        Self { signal, code: libc::SI_USER, sender: 1, value: libc::sigval { sival_ptr: ptr::null_mut() } }
    }
}

/// Takes the next pending signal of `set`, waiting until one comes or `timeout` has passed (`None`: for ever). The
/// signals have to be blocked.
pub(super) fn next_signal(set: SignalSet, timeout: Option<Duration>) -> Option<SignalInfo> {
    let limit = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    });
    let limit: *const libc::timespec = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: all three pointers are to memory that lives through the call; a null time-out means none. The accessors
    // read plain integers of the union, which is initialised (zeroed before, filled by the kernel).
    unsafe {
        let signal = libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set.0, info.as_mut_ptr(), limit, SET_BYTES);
        if signal <= 0 {
            return None;
        }
        let info = info.assume_init();
        Some(SignalInfo { signal: info.si_signo, code: info.si_code, sender: info.si_pid(), value: info.si_value() })
    }
}

/// Sends `signal` to the process `pid`; whether that was allowed: it may belong to another user (a setuid command). A process
/// that is gone is no error.
pub(super) fn send(pid: i32, signal: i32) -> bool {
    // SAFETY: kill has no memory arguments; errno is thread-local memory that is always there.
    unsafe { libc::kill(pid, signal) == 0 || *libc::__errno_location() != libc::EPERM }
}

/// Sends a received signal on to the process `pid`, with its value where it was queued with one (sigqueue(3)).
pub(super) fn pass_on(pid: i32, received: &SignalInfo) {
    // SAFETY: sigqueue has no memory arguments; the value is an integer or a pointer that nobody here follows.
    let queued =
        received.code == libc::SI_QUEUE && unsafe { libc::sigqueue(pid, received.signal, received.value) } == 0;
    if !queued {
        send(pid, received.signal);
    }
}

/// Lets the default action of `signal` happen to this process now: it stops, or dies, or (an ignored stop in an orphaned
/// process group) nothing happens. Afterwards mask and disposition are as before.
pub(super) fn raise_default(signal: i32) {
    raise_default_if(signal, || true);
}

/// The same, unless `still_due` says no when the signal, which has to be blocked, is pending already: a CONT that comes after
/// that takes a stop back, one that came before was taken back by it (signal(7)). A STOP happens before anybody is asked.
pub(super) fn raise_default_if(signal: i32, still_due: impl FnOnce() -> bool) {
    let ignored = is_ignored(signal);
    set_disposition(signal, Disposition::Default);
    // SAFETY: tgkill has no memory arguments. It is used instead of raise(3), which refuses nothing but caches ids.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), signal) };
    if !still_due() {
        next_signal(SignalSet::of(&[signal]), Some(Duration::ZERO));
    }
    let before = change_mask(libc::SIG_UNBLOCK, SignalSet::of(&[signal]));
    set_mask(before);
    if ignored {
        set_disposition(signal, Disposition::Ignore);
    }
}

/// The state of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildState {
    /// Nothing new.
    None,
    /// The child was stopped by this signal.
    Stopped(i32),
    /// The child ended and has been reaped: its pid may be another process's from now on.
    Ended(Status, ResourceUsage),
    /// There is no such child.
    NoChild,
}

/// Asks once what has become of the child `pid`, and reaps it when it has ended. Never waits.
pub(super) fn wait_for(pid: i32) -> ChildState {
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid, both pointers live through the call; the W macros only compute.
    unsafe {
        let mut usage: libc::rusage = zeroed();
        match libc::wait4(pid, &raw mut status, libc::WNOHANG | libc::WUNTRACED, &raw mut usage) {
            0 => ChildState::None,
            -1 => ChildState::NoChild,
            _ if libc::WIFSTOPPED(status) => ChildState::Stopped(libc::WSTOPSIG(status)),
            _ => ChildState::Ended(ended(status), used(&usage)),
        }
    }
}

fn ended(status: i32) -> Status {
    if libc::WIFSIGNALED(status) {
        Status::Signaled(libc::WTERMSIG(status))
    } else {
        Status::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }
}

fn used(usage: &libc::rusage) -> ResourceUsage {
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let duration =
        |time: libc::timeval| Duration::from_secs(number(time.tv_sec)) + Duration::from_micros(number(time.tv_usec));
    ResourceUsage {
        cpu_user: duration(usage.ru_utime),
        cpu_system: duration(usage.ru_stime),
        // Linux counts ru_maxrss in KiB, and disk blocks in units of 512 bytes whatever the disk (getrusage(2), GNU time).
        peak_rss_bytes: number(usage.ru_maxrss).saturating_mul(1024),
        disk_read_bytes: number(usage.ru_inblock).saturating_mul(512),
        disk_written_bytes: number(usage.ru_oublock).saturating_mul(512),
        major_page_faults: number(usage.ru_majflt),
    }
}

/// Reaps the child `pid`, which has ended; whether that was possible.
pub(super) fn reap(pid: i32) -> bool {
    // SAFETY: a null status pointer means that nobody wants it (wait(2)).
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) == pid }
}

/// The pid of some child that has ended and still waits to be reaped, whoever it is; it stays unreaped.
pub(super) fn any_ended_child() -> Option<i32> {
    // SAFETY: a zeroed siginfo_t is valid and lives through the call; si_pid reads an integer, 0 when nobody has ended.
    unsafe {
        let mut info: libc::siginfo_t = zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) != 0 {
            return None;
        }
        Some(info.si_pid()).filter(|pid| *pid != 0)
    }
}

/// CPU time that the calling thread has used so far.
pub(super) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Puts /dev/null in the place of standard streams, or closes them where there is no /dev/null.
pub(super) fn let_go_of(streams: &[i32]) {
    // SAFETY: the path is a C string; the descriptor numbers are plain integers, and no Rust object owns a standard stream.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for stream in streams {
            if null == -1 {
                libc::close(*stream);
            } else if null != *stream {
                libc::dup2(null, *stream);
            }
        }
        if null != -1 && !streams.contains(&null) {
            libc::close(null);
        }
    }
}

/// Closes a descriptor that was inherited.
pub(super) fn close(fd: i32) {
    // SAFETY: the number is a plain integer, and no Rust object owns it: nothing in this process has opened it.
    unsafe { libc::close(fd) };
}

//! Starting the command: fork, put back what was inherited, exec. Everything is prepared before the fork, because between
//! fork and exec only async-signal-safe calls are allowed (signal-safety(7)), and nothing may be allocated there.

#![allow(
    unsafe_code,
    reason = "std's spawn loses an ignored SIGPIPE, closed descriptors and the order of the environment"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::sys::{self, Disposition, SignalSet};

/// The shell that runs files without `#!`, as execvp of glibc, env and timeout(1) do.
const SHELL: &CStr = c"/bin/sh";

/// What to execute, ready for execve(2).
#[derive(Debug)]
pub(super) struct ExecImage {
    /// The files to try, in this order: one, or the command's name in each directory of PATH.
    pub(super) files: Vec<CString>,
    /// The arguments, the command's name as it was typed first.
    pub(super) argv: Vec<CString>,
    /// The environment, entry for entry.
    pub(super) env: Vec<EnvEntry>,
    /// The name that a script which starts pushwrap again would have for it. `None` where nothing tells that pushwrap may have
    /// been started by such a script: then no file is read.
    pub(super) own_name: Option<Vec<u8>>,
}

/// The "error number" of a file that is not executed because it is a script that starts pushwrap for itself again, without end.
/// No system call has it.
pub(super) const STARTS_ITSELF: i32 = -1;

/// How much of a script's first line the kernel reads (`BINPRM_BUF_SIZE`, linux/binfmts.h).
const FIRST_LINE_BYTES: usize = 256;

/// One entry of the command's environment.
#[derive(Debug)]
pub(super) enum EnvEntry {
    /// As pushwrap was given it.
    Inherited(&'static CStr),
    /// Set by pushwrap.
    Own(CString),
    /// `NAME=PID` that has to name the command's own pid: systemd's `LISTEN_PID` and `WATCHDOG_PID` (`sd_listen_fds(3)`).
    OwnPid(Vec<u8>),
}

impl EnvEntry {
    /// An entry for the variable `name` into which the pid of the command is written when it is known.
    pub(super) fn own_pid(name: &[u8]) -> Self {
        let mut bytes = name.to_vec();
        bytes.push(b'=');
        // Ten digits are enough for any pid, the eleventh byte ends the string.
        bytes.resize(bytes.len() + 11, 0);
        Self::OwnPid(bytes)
    }
}

/// What the command finds that std's runtime and pushwrap have changed in this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExecState {
    /// The signal mask.
    pub(super) mask: SignalSet,
    /// The disposition of SIGPIPE.
    pub(super) pipe: Disposition,
    /// The disposition of SIGCHLD.
    pub(super) child: Disposition,
    /// Which of the descriptors 0, 1, 2 are closed.
    pub(super) closed: [bool; 3],
}

/// Why no file could be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExecRefusal {
    /// The error of execve(2) that is reported.
    pub(super) errno: i32,
    /// The index of the file it belongs to.
    pub(super) file: usize,
}

/// What the child tells its parent before it ends without having executed anything. In memory shared by both: a pipe
/// would need descriptors, and the command has to run when there are none left as well.
#[derive(Debug)]
struct Page {
    errno: AtomicI32,
    file: AtomicUsize,
}

/// The mapping of a [`Page`]; it goes when this goes.
#[derive(Debug)]
pub(super) struct Shared(*mut Page);

impl Shared {
    /// Why the child has executed nothing; to be asked when it has ended.
    pub(super) fn refusal(&self) -> Option<ExecRefusal> {
        let errno = self.page().errno.load(Ordering::Relaxed);
        (errno != 0).then(|| ExecRefusal { errno, file: self.page().file.load(Ordering::Relaxed) })
    }

    fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping; it is page-aligned and zeroed, which is a valid Page.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(page.cast())) }
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping lives as long as `self`, and all access is atomic.
        unsafe { &*self.0 }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this size; no reference into it outlives `self`.
        unsafe { libc::munmap(self.0.cast(), size_of::<Page>()) };
    }
}

/// Starts the image in a new process: its pid, and where it says why it has executed nothing, should that be so when it has
/// ended. Nobody waits for its execve(2): that can take long (a file system that hangs), or the process is stopped before it.
///
/// # Errors
/// Those of mmap(2) and clone(2): no process was started.
pub(super) fn start(image: &mut ExecImage, exec_state: &ExecState) -> io::Result<(i32, Shared)> {
    let shared = Shared::new()?;
    let own_name = image.own_name.take();
    let mut call = Call { own_name: own_name.as_deref(), ..Call::new(image) };

    // Not vfork(2): the child has its own copy of the memory, so that its ru_maxrss does not start at our peak.
    // SAFETY: a plain fork, made while there is one thread; the child calls only what is async-signal-safe and never returns
    // from `become_command`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => become_command(&mut call, exec_state, shared.page()),
        _ => Ok((i32::try_from(pid).unwrap_or(-1), shared)),
    }
}

/// The arguments of execve(2) as pointers into an [`ExecImage`].
struct Call<'a> {
    files: Vec<*const libc::c_char>,
    argv: Vec<*const libc::c_char>,
    /// `/bin/sh FILE ARG...`; the second slot is filled when a file turns out to need it.
    shell_argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// Where the command's pid has to be written.
    own_pids: Vec<*mut u8>,
    /// See [`ExecImage::own_name`].
    own_name: Option<&'a [u8]>,
}

impl Call<'_> {
    fn new(image: &mut ExecImage) -> Self {
        let argv = pointers(&image.argv);
        let mut shell_argv = vec![SHELL.as_ptr(), ptr::null()];
        shell_argv.extend_from_slice(argv.get(1..).unwrap_or(&[]));
        let mut env = Vec::with_capacity(image.env.len() + 1);
        let mut own_pids = Vec::new();
        for entry in &mut image.env {
            env.push(match entry {
                EnvEntry::Inherited(entry) => entry.as_ptr(),
                EnvEntry::Own(entry) => entry.as_ptr(),
                EnvEntry::OwnPid(bytes) => {
                    let value = bytes.iter().position(|byte| *byte == b'=').map_or(0, |equals| equals + 1);
                    let start = bytes.as_mut_ptr();
                    own_pids.push(start.wrapping_add(value));
                    start.cast_const().cast()
                }
            });
        }
        env.push(ptr::null());
        Self { files: pointers(&image.files), argv, shell_argv, env, own_pids, own_name: None }
    }
}

/// The array of pointers that execve(2) takes.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's part. Only async-signal-safe calls, no allocation, no return.
fn become_command(call: &mut Call<'_>, exec_state: &ExecState, page: &Page) -> ! {
    sys::set_disposition(libc::SIGPIPE, exec_state.pipe);
    sys::set_disposition(libc::SIGCHLD, exec_state.child);
    for (fd, closed) in (0..).zip(exec_state.closed) {
        if closed {
            sys::close(fd);
        }
    }
    // SAFETY: getpid is async-signal-safe; each pointer has room for ten digits and the end (EnvEntry::own_pid).
    unsafe {
        let pid = libc::getpid();
        for digits in &call.own_pids {
            write_decimal(*digits, pid.unsigned_abs());
        }
    }
    sys::set_mask(exec_state.mask);
    let refusal = execute(call);
    page.file.store(refusal.file, Ordering::Relaxed);
    page.errno.store(refusal.errno, Ordering::Relaxed);
    // SAFETY: _exit is async-signal-safe and has no memory arguments.
    unsafe { libc::_exit(127) }
}

/// Tries the files one after another, as execvp of glibc does (posix/execvpe.c): a directory of PATH that cannot be used is
/// skipped, an EACCES is remembered and reported when nothing else is found, any other error ends the search.
fn execute(call: &mut Call<'_>) -> ExecRefusal {
    let mut refusal = ExecRefusal { errno: libc::ENOENT, file: 0 };
    for (index, file) in call.files.iter().enumerate().filter(|(_, file)| !file.is_null()) {
        if call.own_name.is_some_and(|own_name| is_own_script(*file, own_name)) {
            return ExecRefusal { errno: STARTS_ITSELF, file: index };
        }
        let mut errno = try_one(*file, &call.argv, &call.env);
        if errno == libc::ENOEXEC {
            call.shell_argv[1] = *file;
            try_one(SHELL.as_ptr(), &call.shell_argv, &call.env);
            // The shell's own error (none in a scratch image) would name the wrong file.
            errno = libc::ENOEXEC;
        }
        if refusal.errno != libc::EACCES {
            refusal = ExecRefusal { errno, file: index };
        }
        match errno {
            libc::EACCES | libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            _ => return ExecRefusal { errno, file: index },
        }
    }
    refusal
}

/// Whether a file is a script whose first line makes pushwrap run the file itself. A file that cannot be read is none.
fn is_own_script(file: *const libc::c_char, own_name: &[u8]) -> bool {
    let mut head = [0_u8; FIRST_LINE_BYTES];
    // SAFETY: the file is a C string that `start` holds, the buffer is as long as is said. The calls are async-signal-safe, and
    // the descriptor is closed before the command could inherit it.
    let len = unsafe {
        let fd = libc::open(file, libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY);
        if fd < 0 {
            return false;
        }
        let len = libc::read(fd, head.as_mut_ptr().cast(), head.len());
        libc::close(fd);
        len
    };
    usize::try_from(len).ok().and_then(|len| head.get(..len)).is_some_and(|head| starts_itself(head, own_name))
}

/// Whether `head`, the beginning of a file, is a `#!` line that names the program `own_name` (a path or through env) and
/// ends in `--`: what the kernel and env put behind that is the file. Allocates nothing.
fn starts_itself(head: &[u8], own_name: &[u8]) -> bool {
    let Some(line) = head.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) else {
        return false;
    };
    let mut is_named = false;
    let mut last: &[u8] = &[];
    for word in line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty()) {
        is_named |= word.rsplit(|byte| *byte == b'/').next() == Some(own_name);
        last = word;
    }
    is_named && last == b"--"
}

/// Executes one file; returns only with the error number when it could not.
fn try_one(file: *const libc::c_char, argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> i32 {
    // SAFETY: the file is a C string, both arrays are null-terminated arrays of C strings, all alive: `start` holds the image.
    // errno is thread-local memory that is always there.
    unsafe {
        libc::execve(file, argv.as_ptr(), env.as_ptr());
        *libc::__errno_location()
    }
}

/// Writes `number` in decimal digits and an end.
///
/// # Safety
/// There must be room for ten digits and the end at `to`.
unsafe fn write_decimal(to: *mut u8, number: u32) {
    let mut divisor = 1_000_000_000;
    let mut at = to;
    while divisor > 0 {
        let digit = number / divisor % 10;
        if number >= divisor || divisor == 1 {
            // SAFETY: at most ten digits are written, and one byte after them.
            unsafe {
                *at = b'0' + u8::try_from(digit).unwrap_or(0);
                at = at.add(1);
            }
        }
        divisor /= 10;
    }
    // SAFETY: see above.
    unsafe { *at = 0 };
}

#[cfg(test)]
mod tests {
    use super::starts_itself;

    #[test]
    fn a_first_line_that_runs_its_own_file_is_recognized() {
        let is = |head: &str| starts_itself(head.as_bytes(), b"pushwrap");
        for head in [
            "#!/usr/local/bin/pushwrap --\necho\n",
            "#! /usr/bin/env -S pushwrap --\n",
            "#!/usr/bin/env -S\tpushwrap --job x --",
            "#!pushwrap --\r\n",
        ] {
            assert!(is(head), "{head}");
        }
        for head in [
            "#!/usr/bin/env -S pushwrap -- sh\n",
            "#!/bin/sh --\npushwrap --\n",
            "#!/usr/bin/pushwrap\n",
            "#!/usr/bin/pushwrap2 --\n",
            "pushwrap --\n",
            "",
        ] {
            assert!(!is(head), "{head}");
        }
    }
}

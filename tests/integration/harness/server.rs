//! A server of the machine's distribution for one test: started on a free port, ready when it listens, gone with the test.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket};
use nix::unistd::Pid;

/// The path of a program as `scripts/servers` gives it: from PATH, else from a package unpacked below `target/`.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    static KNOWN: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = known.get(name) {
        return path.clone();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers");
    let out = Command::new(&script).arg(name).output().expect("scripts/servers can be run");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let path = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    known.insert(name.to_owned(), path.clone());
    path
}

/// A PATH on which the program is, for a shell that a test starts: the machine's, and the program's directory after it.
#[track_caller]
pub(crate) fn path_with(name: &str) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let place = program(name).parent().expect("an absolute path").to_owned();
    std::env::join_paths(std::env::split_paths(&path).chain([place])).expect("a PATH")
}

/// A running server and its private directory (data, configuration, log). Dropping it ends the server.
pub(crate) struct Server {
    child: Child,
    port: ReservedPort,
    dir: tempfile::TempDir,
}

impl Server {
    /// Starts `program` with what `arguments` makes of a free port and a private directory, and returns when it listens there.
    #[track_caller]
    pub(crate) fn start(program: &Path, arguments: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), ReservedPort::new());
        let mut server = Self { child: spawn(program, &arguments(port.number, dir.path()), dir.path()), port, dir };
        super::wait_for(&format!("{} to listen on port {}", program.display(), server.port()), || {
            let ended = server.child.try_wait().expect("the server is our child");
            assert!(ended.is_none(), "{} does not start; it says:\n{}", program.display(), server.log());
            TcpStream::connect(server.address()).ok()
        });
        server
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// The process id of the server.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// The private directory, removed with the server.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the server has written on standard output and standard error so far.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.dir.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Sends the server a signal, for example STOP to make it hang.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the server is our child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, arguments: &[String], dir: &Path) -> Child {
    let log = File::create(dir.join("server.log")).expect("a log file");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).stderr(log.try_clone().expect("a second handle"));
    ends_with_the_test(command.stdout(log)).spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// A test binary that is killed runs no destructor, so the kernel has to end the child with the thread that started it.
#[allow(unsafe_code, reason = "std has no safe way to run prctl between fork and exec")]
fn ends_with_the_test(command: &mut Command) -> &mut Command {
    // SAFETY: the closure makes one system call and allocates nothing, so it may run between fork and exec.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)) }
}

/// A port that is this process's until the value is dropped: bound and not listened on, so that the kernel gives it to nobody who
/// asks for a free one, and only a server that gets its number can listen there (`SO_REUSEADDR`, socket(7), which servers set).
pub(crate) struct ReservedPort {
    pub(crate) number: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// A free one.
    pub(crate) fn new() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        setsockopt(&socket, ReuseAddr, &true).expect("SO_REUSEADDR");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port on 127.0.0.1");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("a bound address");
        Self { number: address.port(), _socket: socket }
    }
}

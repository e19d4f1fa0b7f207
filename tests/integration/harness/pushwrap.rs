//! The real binary under a builder: what it is given, what it did, one assertion each.
//!
//! Its streams are files, not pipes, so that a grandchild that keeps one open cannot hold up a test.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::in_time::{LIMIT, ends_within};
use super::pushgateway::{Group, Pushgateway};
use super::wait_for;

/// The binary under test: `TESTED_PUSHWRAP` (make test names the one users get), else the debug build.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("TESTED_PUSHWRAP").filter(|path| !path.is_empty());
    let path = named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pushwrap")), PathBuf::from);
    assert!(path.is_file(), "'{}' is not there: run 'make build'", path.display());
    path
}

/// Whether the binary under test is the debug build, which needs more of everything than the one that users get.
pub(crate) fn is_debug_build() -> bool {
    cfg!(debug_assertions) && std::env::var_os("TESTED_PUSHWRAP").is_none()
}

/// Where nothing else is said, no test touches the machine's own state directory.
pub(crate) const NO_STATE: (&str, &str) = ("PUSHWRAP_STATE_DIR", "none");

/// The binary under test without the builder, for tests that need the machine's environment. What configures the tests
/// themselves is no variable of pushwrap's, which would say so.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(binary());
    command.env(NO_STATE.0, NO_STATE.1).env_remove("TESTED_PUSHWRAP").env_remove("TEST_SERVERS");
    command
}

/// One call of pushwrap that is being put together. Nothing of the machine's environment but PATH, HOME and TMPDIR reaches it, nor
/// does its state directory.
pub(crate) struct Pushwrap {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    textfile: Option<Vec<u8>>,
    directory: tempfile::TempDir,
    current_dir: Option<PathBuf>,
}

impl Pushwrap {
    /// pushwrap without options.
    pub(crate) fn new() -> Self {
        let kept = ["PATH", "HOME", "TMPDIR"].iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        Self {
            arguments: Vec::new(),
            environment: kept.chain([(NO_STATE.0.into(), NO_STATE.1.into())]).collect(),
            stdin: None,
            textfile: None,
            directory: tempfile::tempdir().expect("a temporary directory"),
            current_dir: None,
        }
    }

    /// Pushes to this gateway as exactly the group `{job="…"}`.
    pub(crate) fn push_to(self, gateway: &Pushgateway, job: &str) -> Self {
        self.args(["--url", &gateway.url(), "--job", job, "--instance", "none"])
    }

    /// One more option or argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More options or arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// One environment variable, for pushwrap and so for the command.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name.as_ref());
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes one environment variable away, PATH for example.
    pub(crate) fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name.as_ref());
        self
    }

    /// What is on standard input. Without it: /dev/null.
    pub(crate) fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_vec());
        self
    }

    /// Metrics that the command writes to `PUSHWRAP_TEXTFILE` before it does anything else.
    pub(crate) fn textfile(mut self, metrics: impl AsRef<[u8]>) -> Self {
        self.textfile = Some(metrics.as_ref().to_vec());
        self
    }

    /// The working directory.
    pub(crate) fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// A private directory that lives as long as the run, for files that a test hands over.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `pushwrap OPTIONS -- COMMAND`, until it ends.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(self, command: impl IntoIterator<Item = A>) -> Run {
        self.spawn(command).wait()
    }

    /// `pushwrap ARGUMENTS` just as they were given, for subcommands and for mistakes, until it ends.
    #[track_caller]
    pub(crate) fn call(self) -> Run {
        self.start().wait()
    }

    /// `pushwrap OPTIONS -- COMMAND`, and returns while it runs.
    #[track_caller]
    pub(crate) fn spawn<A: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = A>) -> Running {
        let mut command: Vec<OsString> = command.into_iter().map(|word| word.as_ref().to_owned()).collect();
        if let Some(metrics) = self.textfile.take() {
            command[0] = writes_textfile(self.directory.path(), &command[0], &metrics).into_os_string();
        }
        self.arg("--").args(command).start()
    }

    /// The call as a [`Command`], for tests that need what the builder has not (a terminal, other streams, another wrapper).
    /// The second value keeps the private directory alive.
    pub(crate) fn command(self) -> (Command, tempfile::TempDir) {
        let mut command = Command::new(binary());
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.current_dir {
            command.current_dir(directory);
        }
        (command, self.directory)
    }

    /// Starts the call as it stands and returns while it runs.
    #[track_caller]
    pub(crate) fn start(mut self) -> Running {
        let stdin = self.stdin.take();
        let (mut command, directory) = self.command();
        let stream = |name: &str| File::create(directory.path().join(name)).expect("a file for a stream");
        command.stdout(stream(STDOUT)).stderr(stream(STDERR));
        command.stdin(stdin.map_or_else(Stdio::null, |bytes| file_with(directory.path(), &bytes).into()));
        let start = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start '{}': {error}", binary().display()));
        Running { child, start, directory, ended: false }
    }
}

const STDOUT: &str = "harness.stdout";
const STDERR: &str = "harness.stderr";

fn file_with(directory: &Path, bytes: &[u8]) -> File {
    let path = directory.join("harness.stdin");
    File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a file for standard input");
    File::open(path).expect("the file just written")
}

/// A link with the command's own file name to the script that writes the metrics first: so the default job and `run_info`
/// are those of the command. A link, because a script written here could still be open for writing in another thread's
/// child when it is executed (ETXTBSY).
fn writes_textfile(directory: &Path, command: &OsStr, metrics: &[u8]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/harness/write-textfile");
    let link = directory.join(Path::new(command).file_name().expect("a command with a file name"));
    let beside = |suffix: &str| {
        let mut path = link.clone().into_os_string();
        path.push(suffix);
        path
    };
    fs::write(beside(".textfile"), metrics).expect("the metrics of the command");
    fs::write(beside(".command"), command.as_encoded_bytes()).expect("the name of the command");
    symlink(script, &link).expect("a link to the script");
    link
}

/// A pushwrap that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    start: Instant,
    directory: tempfile::TempDir,
    ended: bool,
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Sends it a signal.
    pub(crate) fn kill(&self, signal: Signal) {
        kill(self.pid(), signal).expect("pushwrap is our child and was not waited for");
    }

    /// What has been written on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        read(self.directory.path(), STDOUT)
    }

    /// What has been written on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read(self.directory.path(), STDERR)
    }

    /// The private directory of the call.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until standard output contains `text`.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&self, text: &str) {
        wait_for(&format!("'{text}' on standard output"), || self.stdout().contains(text).then_some(()));
    }

    /// Waits until standard error contains `text`.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        wait_for(&format!("'{text}' on standard error"), || self.stderr().contains(text).then_some(()));
    }

    /// Waits until it ends. A run that hangs fails the test, with what it had written.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Run {
        let ended = ends_within(&self.child, LIMIT);
        assert!(ended, "pushwrap hangs: {}; standard error so far:\n{}", threads(self.pid()), self.stderr());
        let took = self.start.elapsed();
        let status = self.child.wait().expect("pushwrap is our child");
        self.ended = true;
        Run { status, took, stdout: self.stdout(), stderr: self.stderr() }
    }
}

/// What each thread of a process does: its name, its state, and where in the kernel it waits (proc(5)).
fn threads(pid: Pid) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| {
        let page = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let state = page("stat").rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
        format!("{} {state} {} {}", page("comm").trim(), page("wchan"), page("syscall").trim())
    };
    tasks.map(of_task).collect::<Vec<_>>().join(", ")
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read(directory: &Path, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(directory.join(name)).unwrap_or_default()).into_owned()
}

/// A call that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// As wait(2) tells it.
    pub(crate) status: ExitStatus,
    /// From just before the start until it was seen to have ended.
    pub(crate) took: Duration,
    /// Standard output, as text (what is not UTF-8 is replaced).
    pub(crate) stdout: String,
    /// Standard error, as text.
    pub(crate) stderr: String,
}

impl Run {
    /// It exited with this status.
    #[track_caller]
    pub(crate) fn exit(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "it ended with {}; standard error:\n{}", self.status, self.stderr);
        self
    }

    /// It died by this signal.
    #[track_caller]
    pub(crate) fn signal(self, signal: i32) -> Self {
        assert_eq!(
            self.status.signal(),
            Some(signal),
            "it ended with {}; standard error:\n{}",
            self.status,
            self.stderr
        );
        self
    }

    /// Standard output is exactly this.
    #[track_caller]
    pub(crate) fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.stdout, expected, "standard output; standard error:\n{}", self.stderr);
        self
    }

    /// Standard error is exactly this.
    #[track_caller]
    pub(crate) fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.stderr, expected, "standard error");
        self
    }

    /// Standard error contains this.
    #[track_caller]
    pub(crate) fn stderr_has(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "standard error has no '{part}':\n{}", self.stderr);
        self
    }

    /// Standard error does not contain this.
    #[track_caller]
    pub(crate) fn stderr_lacks(self, part: &str) -> Self {
        assert!(!self.stderr.contains(part), "standard error has '{part}':\n{}", self.stderr);
        self
    }

    /// Standard output contains this.
    #[track_caller]
    pub(crate) fn stdout_has(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "standard output has no '{part}':\n{}", self.stdout);
        self
    }

    /// Standard output does not contain this.
    #[track_caller]
    pub(crate) fn stdout_lacks(self, part: &str) -> Self {
        assert!(!self.stdout.contains(part), "standard output has '{part}':\n{}", self.stdout);
        self
    }

    /// It took at most this long. Only for limits that README promises.
    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(self.took <= limit, "it took {:?}, more than {limit:?}; standard error:\n{}", self.took, self.stderr);
        self
    }

    /// The gateway holds, in the group `{job="…"}`, the plain samples `name value` or `name{label="value"} value` of `text`.
    #[track_caller]
    pub(crate) fn pushed(self, gateway: &Pushgateway, job: &str, text: &str) -> Self {
        let group = gateway.group([("job", job)]);
        let group = group.unwrap_or_else(|| panic!("the gateway has no group {{job=\"{job}\"}}:\n{}", self.stderr));
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(holds(gateway, &group, line), "the gateway has no '{line}' but:\n{}", gateway.metrics());
        }
        self
    }
}

/// Whether the gateway's page has the sample with all of the group's labels.
fn holds(gateway: &Pushgateway, group: &Group, line: &str) -> bool {
    let (series, value) = line.rsplit_once(' ').expect("a sample is 'series value'");
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
    let grouping = group.labels();
    let wanted: Vec<String> = labels
        .split_terminator(',')
        .map(ToOwned::to_owned)
        .chain(grouping.iter().map(|(name, value)| format!("{name}=\"{value}\"")))
        .collect();
    gateway.metrics().lines().any(|found| {
        found.starts_with(&format!("{name}{{"))
            && found.ends_with(&format!("}} {value}"))
            && wanted.iter().all(|label| found.contains(label))
    })
}

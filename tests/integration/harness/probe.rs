//! The command that the process tests run (`probe.c`), and the ways in which it is run: directly, through env (which
//! executes it, so every test must hold for it), through pushwrap.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::in_time::InTime as _;
use super::pushwrap::binary;

/// The probe, compiled when it is first needed; static, so that it also runs in an empty container.
pub(crate) fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(compile)
}

fn compile() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/harness/probe.c");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let fresh = directory.join(format!("probe-{}", std::process::id()));
    let status = Command::new("cc").args(["-O1", "-static", "-o"]).arg(&fresh).arg(&source).status();
    let status = status.expect("the process tests need a C compiler: install gcc and libc6-dev");
    assert!(status.success(), "cc could not compile '{}': install libc6-dev", source.display());
    // Written by another process and moved: nobody here ever has it open for writing (ETXTBSY).
    let probe = directory.join("probe");
    fs::rename(fresh, &probe).expect("the probe just compiled");
    probe
}

/// A word as a shell reads it, in single quotation marks too: the repository may lie in a path with a blank.
pub(crate) fn for_shell(word: impl AsRef<OsStr>) -> String {
    word.as_ref().to_string_lossy().replace(' ', "\\ ")
}

/// What stands between the caller and the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// Nothing.
    Nothing,
    /// env, which executes the command: proves that a test is right.
    Env,
    /// The binary under test.
    Pushwrap,
}

impl Through {
    /// All three, the reference first.
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Env, Self::Pushwrap];

    /// The arguments before the command.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Env => vec!["env".into()],
            Self::Pushwrap => vec![binary().into(), "--url".into(), "none".into(), "--".into()],
        }
    }

    /// The same as one string for a shell.
    pub(crate) fn shell_words(self) -> String {
        self.arguments().iter().map(|word| for_shell(word) + " ").collect()
    }
}

/// The command under a wrapper that was executed under `conditions` (see `given` in probe.c).
pub(crate) fn given<A: AsRef<OsStr>>(conditions: &[&str], through: Through, command: &[A]) -> Command {
    let mut call = Command::new(probe());
    call.arg("given").args(conditions).arg("--").args(through.arguments()).args(command);
    call.stdin(Stdio::null());
    call
}

/// The probe's own `ACTION [ARG]...` as a command.
pub(crate) fn action(arguments: &[&str]) -> Vec<OsString> {
    std::iter::once(probe().as_os_str().to_owned()).chain(arguments.iter().map(OsString::from)).collect()
}

/// Runs the command all three ways under the same conditions; each must give what the direct run gives.
#[track_caller]
pub(crate) fn like_direct<A: AsRef<OsStr>>(conditions: &[&str], command: &[A]) -> Output {
    let [direct, env, pushwrap] = Through::ALL.map(|through| given(conditions, through, command).output_in_time());
    assert_eq!(printed(&env), printed(&direct), "through env, under {conditions:?}: the test itself is wrong");
    assert_eq!(printed(&pushwrap), printed(&direct), "through pushwrap, under {conditions:?}");
    direct
}

/// Status and both streams; lossless, because it is compared.
fn printed(output: &Output) -> String {
    let (out, err) = (output.stdout.escape_ascii(), output.stderr.escape_ascii());
    format!("{:?}\n{out}\n{err}", output.status).replace("\\n", "\n")
}

/// A sleep of an hour that is nobody else's: what is left of a test shows, and goes with the test.
pub(crate) struct Sleeper(String);

impl Sleeper {
    /// One more; its `Display` is the command line.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(3600);
        Self(format!("{}.{}", COUNT.fetch_add(1, Ordering::Relaxed), std::process::id()))
    }

    /// The command's arguments.
    pub(crate) fn arguments(&self) -> [&str; 2] {
        ["sleep", &self.0]
    }

    /// The pids of those that run.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let wanted = format!("sleep\0{}\0", self.0);
        let pids =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == wanted.as_bytes()))
            .map(Pid::from_raw)
            .collect()
    }

    /// Whether one runs.
    pub(crate) fn runs(&self) -> bool {
        !self.pids().is_empty()
    }
}

impl std::fmt::Display for Sleeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sleep {}", self.0)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

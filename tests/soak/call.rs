//! One run: its command line, its start, what is done to it meanwhile, and everything that it leaves to be judged.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::entrance::RUN_MARKER;
use super::harness::in_time::ends_within;
use super::harness::pushwrap::binary;
use super::harness::wait_for;
use super::plan::{Descendant, Ending, Fault, Metrics, Output, RunPlan, Setting, SinkKind, Target};
use super::state_dir::StateDirectory;

/// A run that takes so long beyond its time hangs for ever.
const PATIENCE: Duration = Duration::from_secs(90);

/// The variable by which the processes of a series are found.
pub(crate) const PROCESS_MARKER: &str = "SOAK_SERIES";

/// Numbers that a command writes where it writes much.
const MUCH: u32 = 20_000;

/// What a run gets from its series.
pub(crate) struct Site<'s> {
    /// For files of the run's own.
    pub(crate) directory: &'s Path,
    /// `TMPDIR`.
    pub(crate) tmp: PathBuf,
    /// A directory without room.
    pub(crate) full_tmp: &'s Path,
    pub(crate) state: &'s StateDirectory,
    pub(crate) output: Option<PathBuf>,
    pub(crate) sinks: Vec<(SinkKind, String)>,
    pub(crate) job: String,
    /// The value of [`PROCESS_MARKER`].
    pub(crate) marker: String,
    /// Words before `pushwrap` that make it PID 1.
    pub(crate) unshare: &'s [&'static str],
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct RunResult {
    pub(crate) plan: RunPlan,
    /// The command line, for a shell.
    pub(crate) line: String,
    pub(crate) status: ExitStatus,
    /// It had to be ended by the soak.
    pub(crate) hung: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The JSON of `--summary`.
    pub(crate) summary: Option<Value>,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) started_at: SystemTime,
    pub(crate) ended_at: SystemTime,
    /// How long it was stopped, or waited for the soak.
    pub(crate) paused: Duration,
    /// pushwrap was killed.
    pub(crate) killed: Option<Killed>,
    /// pushwrap got a stop signal.
    pub(crate) stopped: bool,
    /// The signal that the command got from the soak, directly or through pushwrap.
    pub(crate) command_signal: Option<Signal>,
}

/// What a killed pushwrap has left in the state directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Killed {
    /// The push of its run.
    pub(crate) push: bool,
    /// The mark of its run.
    pub(crate) mark: bool,
}

/// The value of the label `run` of `run_info`.
pub(crate) fn run_label(number: u64) -> String {
    format!("{RUN_MARKER}{number}")
}

/// A pipe that a run writes to and that a process it leaves behind may hold open. It takes all that a run writes.
struct Stream {
    reader: PipeReader,
    bytes: Vec<u8>,
}

impl Stream {
    fn new() -> io::Result<(Self, Stdio)> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETPIPE_SZ(1 << 20))?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self { reader, bytes: Vec::new() }, writer.into()))
    }

    /// Everything that was written so far.
    fn text(&mut self) -> String {
        // It ends with the writers, or with EAGAIN.
        let _ = self.reader.read_to_end(&mut self.bytes);
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What the command does, as a script for sh.
fn script(plan: &RunPlan) -> String {
    let RunPlan { number, command, .. } = plan;
    let ignored = if command.ending == Ending::Stubborn { "TERM XFSZ" } else { "XFSZ" };
    let mut steps = vec![format!("trap '' {ignored}"), "ulimit -c 0".to_owned()];
    if command.ending == Ending::Counts {
        steps.push("n=0; trap 'n=$((n+1))' TERM".to_owned());
    }
    steps.push(format!("echo out {number}; echo err {number} >&2"));
    steps.extend(metrics(plan));
    match command.output {
        Output::Line => {}
        Output::Much => steps.push(format!("seq {MUCH}")),
        Output::Closed => steps.push("exec >&- 2>&-".to_owned()),
    }
    match command.descendant {
        Descendant::None => {}
        Descendant::Child => steps.push("sleep 0.3 & :".to_owned()),
        Descendant::Daemon => steps.push("setsid sleep 0.3 & :".to_owned()),
    }
    if command.stops {
        // In another session: a signal to the group must not leave the shell stopped.
        steps.push("setsid sh -c \"sleep 0.1; kill -CONT $$\" & kill -STOP $$".to_owned());
    }
    if !command.lasts.is_zero() {
        steps.push(format!("sleep {}", command.lasts.as_secs_f64()));
    }
    steps.push(match command.ending {
        Ending::Exit(status) => format!("exit {status}"),
        Ending::Skip => "exit 75".to_owned(),
        Ending::Remark => "exit 3".to_owned(),
        Ending::Signal(signal) => format!("kill -{} $$; exit 99", signal.as_str().trim_start_matches("SIG")),
        // Not below the shell: a shell that is killed would leave it behind.
        Ending::Timeout | Ending::Stubborn => "exec sleep 30".to_owned(),
        Ending::Counts => "i=0; while [ $n -eq 0 ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done; \
                           for i in 1 2 3 4 5 6; do sleep 0.05; done; echo got $n"
            .to_owned(),
        Ending::NotFound | Ending::CannotRun => String::new(),
    });
    steps.join("; ")
}

/// The step that writes the command's metrics.
fn metrics(plan: &RunPlan) -> Option<String> {
    let number = plan.number;
    let own = format!("soak_run {number}\\n");
    let write = |text: &str| format!("printf '{text}' >\"$PUSHWRAP_TEXTFILE\"");
    let steps = match plan.command.metrics {
        Metrics::None | Metrics::Missing => return None,
        Metrics::Good | Metrics::OwnFile => write(&own),
        Metrics::Several => {
            let more = format!("printf 'soak_more {number}\\n' >\"${{PUSHWRAP_TEXTFILE%/*}}/more.prom\"");
            format!("{}; {more}", write(&own))
        }
        Metrics::Bad => write(&format!(
            "{own}no metric\\nup{{job=\"x\"}} 1\\nsoak_h{{le=\"1\"}} 1\\npush_time_seconds 0\\npushwrap_success 7\\nsoak_nan -nan\\n"
        )),
        Metrics::Large => {
            let many = "awk 'BEGIN { for (i = 0; i < 5000; i++) print \"soak_many{n=\\\"\" i \"\\\"} \" i }'";
            format!("{}; {many} >>\"$PUSHWRAP_TEXTFILE\"", write(&own))
        }
        Metrics::Conflict => write(&format!("{own}# TYPE soak_typed gauge\\nsoak_typed 1\\n")),
    };
    Some(format!("if [ -n \"$PUSHWRAP_TEXTFILE\" ]; then {steps}; fi"))
}

/// What the command writes on standard output if nothing ends it.
pub(crate) fn expected_stdout(plan: &RunPlan) -> String {
    if !plan.command.is_script() {
        return String::new();
    }
    let mut text = format!("out {}\n", plan.number);
    if plan.command.output == Output::Much {
        text.extend((1..=MUCH).map(|number| format!("{number}\n")));
    }
    if plan.command.ending == Ending::Counts && plan.command.output != Output::Closed {
        text += "got 1\n";
    }
    text
}

/// The arguments of setsid(1), which makes the run a session of its own: a terminal of the soak's is none of its business.
fn arguments(plan: &RunPlan, site: &Site<'_>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |parts: &[&str]| all.extend(parts.iter().map(|part| (*part).to_owned()));
    match plan.setting {
        Setting::Limit(limit) => add(&["prlimit", limit]),
        Setting::PidOne => add(site.unshare),
        _ => {}
    }
    let path = |path: &Path| path.to_string_lossy().into_owned();
    add(&[&path(&binary()), "-v", "--summary=json", "--env-file", "none", "--instance", "none"]);
    add(&["--job", &site.job, "--info", &format!("run={}", run_label(plan.number))]);
    add(&["--push-timeout", &plan.push_timeout.as_secs_f64().to_string()]);
    add(&["--state-dir", &path(site.state.option())]);
    for (kind, url) in &site.sinks {
        add(&[if *kind == SinkKind::Pushgateway { "--url" } else { "--remote-write" }, url]);
    }
    if let Some(output) = &site.output {
        add(&["--output", &path(output)]);
    }
    let own_file = site.directory.join(format!("metrics-{}.prom", plan.number));
    if matches!(plan.command.metrics, Metrics::OwnFile | Metrics::Missing) {
        add(&["--textfile", &path(&own_file)]);
    }
    plan.options.iter().for_each(|option| add(&[option]));
    match plan.command.ending {
        Ending::NotFound => add(&["--", "no-such-command"]),
        Ending::CannotRun => add(&["--", "/etc/passwd"]),
        _ => add(&["--", "sh", "-c", &script(plan)]),
    }
    all
}

/// The line for a shell.
fn line(arguments: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+".contains(c);
    let word = |text: &String| {
        if !text.is_empty() && text.chars().all(is_plain) {
            text.clone()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    arguments.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A run that goes on.
struct RunInProgress<'r> {
    plan: &'r RunPlan,
    child: Child,
    stdout: Stream,
    stderr: Stream,
    killed: bool,
    stopped: bool,
    command_signal: Option<Signal>,
    paused: Duration,
}

/// Runs it until its end.
pub(crate) fn run(plan: &RunPlan, site: &Site<'_>) -> RunResult {
    let arguments = arguments(plan, site);
    let lock = match plan.setting {
        Setting::Locked(_) => hold_locks(site.state),
        _ => Vec::new(),
    };
    if plan.setting == Setting::NoDisk {
        site.state.break_disk();
    }
    let (stdout, out) = Stream::new().expect("a pipe");
    let (stderr, err) = Stream::new().expect("a pipe");
    let (started, started_at) = (Instant::now(), SystemTime::now());
    let child = {
        let mut call = Command::new("setsid");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let tmp = match plan.setting {
            Setting::NoTemporaryDirectory => Path::new("/nonexistent"),
            Setting::FullTemporaryDirectory => site.full_tmp,
            _ => &site.tmp,
        };
        call.args(&arguments).env_clear().env("PATH", path).env("TMPDIR", tmp).env(PROCESS_MARKER, &site.marker);
        call.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("setsid(1) of util-linux is needed")
    };
    let mut run = RunInProgress {
        plan,
        child,
        stdout,
        stderr,
        killed: false,
        stopped: false,
        command_signal: None,
        paused: Duration::ZERO,
    };
    if let Setting::Locked(time) = plan.setting {
        ends_within(&run.child, time);
        run.paused += time;
    }
    drop(lock);
    if let Some(fault) = plan.fault {
        run.inject(fault);
    }
    let hung = !ends_within(&run.child, PATIENCE);
    if hung || run.killed {
        // A command whose pushwrap was killed goes on. It is not reaped yet, so that nobody else has its number.
        let _ = killpg(run.pid(), Signal::SIGKILL);
    }
    let pid = run.child.id();
    let status = run.child.wait().expect("a child of ours");
    let (ended, ended_at) = (Instant::now(), SystemTime::now());
    if plan.setting == Setting::NoDisk {
        site.state.heal();
    }
    let (stdout, stderr) = (run.stdout.text(), run.stderr.text());
    // unshare(1) up to 2.38 fails when it wants to die as its child did.
    let unshare_failed = plan.setting == Setting::PidOne && stderr.contains("unshare: sigprocmask");
    run.killed &= status.signal() == Some(Signal::SIGKILL as i32) || unshare_failed;
    let summary = stderr.lines().find(|line| line.starts_with("{\"job\":"));
    RunResult {
        line: line(&arguments),
        status,
        hung,
        summary: summary.and_then(|line| serde_json::from_str(line).ok()),
        stdout,
        started,
        ended,
        started_at,
        ended_at,
        paused: run.paused,
        killed: run.killed.then(|| Killed {
            push: site.state.holds(&run_label(plan.number)),
            mark: plan.setting != Setting::PidOne && site.state.has_mark(pid),
        }),
        stopped: run.stopped,
        command_signal: run.command_signal,
        stderr,
        plan: plan.clone(),
    }
}

/// Takes the locks of the groups that are there.
fn hold_locks(state: &StateDirectory) -> Vec<File> {
    let mut locks = Vec::new();
    for path in state.group_locks() {
        if let Ok(file) = File::options().read(true).write(true).open(path)
            && file.lock().is_ok()
        {
            locks.push(file);
        }
    }
    locks
}

impl RunInProgress<'_> {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The process of pushwrap itself.
    fn pushwrap(&self) -> Option<Pid> {
        if self.plan.setting == Setting::PidOne { children(self.pid()).first().copied() } else { Some(self.pid()) }
    }

    /// The process of the command.
    fn command(&self) -> Option<Pid> {
        children(self.pushwrap()?).into_iter().find(|child| name_of(*child) != "signal-witness")
    }

    fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Signal { to, .. } if self.plan.command.ending == Ending::Counts && !self.counts(to) => {}
            Fault::Signal { to, signal, times, at } => {
                if self.plan.command.ending != Ending::Counts && ends_within(&self.child, at) {
                    return;
                }
                self.send(to, signal);
                for _ in 1..times {
                    if ends_within(&self.child, Duration::from_millis(30)) {
                        return;
                    }
                    self.send(to, signal);
                }
            }
            Fault::Pause { to, at, lasts } => {
                if ends_within(&self.child, at) {
                    return;
                }
                self.send(to, Signal::SIGSTOP);
                ends_within(&self.child, lasts);
                self.send(to, Signal::SIGCONT);
                self.paused += lasts;
            }
        }
    }

    /// Waits until the command counts signals, and until pushwrap has its witness where that is needed; whether both came to be
    /// while the run went on.
    fn counts(&mut self, to: Target) -> bool {
        let begun = format!("out {}\n", self.plan.number);
        wait_for("a command that counts signals", || {
            if ends_within(&self.child, Duration::from_millis(1)) {
                return Some(false);
            }
            let has_witness = to != Target::Group
                || children(self.pushwrap()?).into_iter().any(|child| name_of(child) == "signal-witness");
            (has_witness && self.stdout.text().contains(&begun)).then_some(true)
        })
    }

    fn send(&mut self, to: Target, signal: Signal) {
        let is_order = matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP);
        let to_pushwrap = if to == Target::Command { None } else { self.pushwrap() };
        let command = if matches!(to, Target::Command | Target::Both) { self.command() } else { None };
        let is_felt = !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT);
        self.killed |= to_pushwrap.is_some() && signal == Signal::SIGKILL;
        self.stopped |= to_pushwrap.is_some() && is_order;
        if is_felt {
            self.command_signal = Some(signal);
        }
        // What has ended is not waited for yet, so that nobody else has its pid.
        match to {
            Target::Group => {
                let _ = killpg(self.pid(), signal);
            }
            _ => {
                for pid in to_pushwrap.into_iter().chain(command) {
                    let _ = kill(pid, signal);
                }
            }
        }
    }
}

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| Some(Pid::from_raw(child.parse().ok()?))).collect()
}

fn name_of(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

impl RunResult {
    pub(crate) fn number(&self) -> u64 {
        self.plan.number
    }

    /// How it ended, as a shell would say.
    pub(crate) fn shell_status(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// A value of the summary.
    pub(crate) fn said(&self, key: &str) -> Option<&Value> {
        self.summary.as_ref().map(|summary| &summary[key])
    }
}

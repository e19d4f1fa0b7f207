//! What a wrapper uses while the command runs: a minute of `sleep`, and a minute of 200 processes.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::text;
use crate::figures::{Figures, Table, Target, mebibytes};
use crate::harness::pushwrap::binary;
use crate::harness::{FakeGateway, Pushgateway, Reply, Version};
use crate::measure::command;
use crate::page::Page;
use crate::peers;

const MINUTE: Duration = Duration::from_mins(1);
/// Longer than the minute, and short enough that what a wrapper leaves behind ends soon.
const COMMAND_SECONDS: u32 = 65;
const PROCESSES: usize = 200;
const SLEEP: &str = "**pushwrap**, `sleep`";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let (gateway, server) = (Pushgateway::start(Version::Newest), FakeGateway::start([Reply::ok()]));
    let directory = tempfile::tempdir()?;
    let makefile = directory.path().join("Makefile");
    let targets = (0..PROCESSES).map(|number| format!("p{number}")).collect::<Vec<_>>().join(" ");
    fs::write(&makefile, format!("all: {targets}\n{targets}:\n\t@sleep {COMMAND_SECONDS}\n"))?;
    let (seconds, jobs, makefile) = (COMMAND_SECONDS.to_string(), format!("-j{PROCESSES}"), text(&makefile));
    let (sleep, make) = (vec!["sleep", &seconds], vec!["make", &jobs, "-f", &makefile]);
    let (url, own) = (gateway.url(), text(&binary()));
    let report = |job| vec![own.as_str(), "--url", &url, "--job", job, "--instance", "none", "--"];
    let task_mon = peers::find("task-mon").map(|path| text(&path));
    let ping = server.url();
    let timeout = ["timeout", "100"];
    let wrap =
        |name, wrapper: Vec<&str>, command: &Vec<&str>| Wrapper::start(name, &[wrapper, command.clone()].concat());
    let mut wrappers = vec![
        wrap(SLEEP, report("sleep"), &sleep)?,
        wrap("**pushwrap**, `make -j200`", report("make"), &make)?,
        wrap("`timeout`, `sleep`", timeout.to_vec(), &sleep)?,
    ];
    if let Some(task_mon) = &task_mon {
        let wrapper = || vec![task_mon.as_str(), "--base-url", &ping, "--uuid", "1", "--"];
        wrappers.push(wrap("`task-mon`, `sleep`", wrapper(), &sleep)?);
        wrappers.push(wrap("`task-mon`, `make -j200`", wrapper(), &make)?);
    }
    thread::sleep(MINUTE.saturating_sub(wrappers[0].started.elapsed()));
    let minutes = wrappers.iter().map(Wrapper::read).collect::<Result<Vec<_>>>()?;
    let mut table = Table::new(["after a minute", "CPU", "voluntary context switches", "RSS", "PSS"]);
    for (wrapper, minute) in wrappers.iter().zip(&minutes) {
        let pss = minute.pss_bytes.map_or_else(|| "not readable".to_owned(), |bytes| mebibytes(bytes as f64));
        let cpu = format!("{:.2} ms", minute.cpu.as_secs_f64() * 1e3);
        let switches = minute.switches.to_string();
        table.row([wrapper.name.to_owned(), cpu, switches, mebibytes(minute.rss_bytes as f64), pss]);
    }
    let cpu = minutes[0].cpu.as_secs_f64() * 1e3;
    let remark = "CPU time is that of the wrapper alone, its start included. pushwrap has pushed once meanwhile, five seconds after the \
                  start, and has sampled the memory of all processes.";
    Ok(Figures {
        tables: vec![table],
        targets: vec![Target::at_most(
            "a minute of a running job: at most 5 ms of CPU",
            5.0,
            Some((cpu, format!("{cpu:.2} ms"))),
        )],
        remarks: vec![remark.to_owned()],
        ..Figures::default()
    })
}

/// A wrapper whose command runs. It is ended with the value.
struct Wrapper {
    name: &'static str,
    child: Child,
    started: Instant,
}

impl Wrapper {
    fn start(name: &'static str, call: &[&str]) -> Result<Self> {
        let (program, arguments) = call.split_first().context("a program")?;
        let child = command(program, arguments).spawn().with_context(|| format!("cannot start {call:?}"))?;
        Ok(Self { name, child, started: Instant::now() })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Its clock has the time of threads that have ended as well, in nanoseconds.
    fn read(&self) -> Result<Minute> {
        let cpu = Duration::from(clock_gettime(clock_getcpuclockid(self.pid())?)?);
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid()))?.filter_map(Result::ok);
        let statuses: Vec<String> =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok()).collect();
        let switches = statuses.iter().filter_map(|status| value(status, "voluntary_ctxt_switches:")).sum();
        let rss_kibibytes = statuses.first().and_then(|status| value(status, "VmRSS:")).unwrap_or_default();
        // pushwrap dumps no core, so that only root can read this of it.
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap_or_default();
        let pss_bytes = value(&rollup, "Pss:").map(|kibibytes| kibibytes * 1024);
        Ok(Minute { cpu, switches, rss_bytes: rss_kibibytes * 1024, pss_bytes })
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        // TERM is passed on by those that pass on anything; the command of the others ends by itself.
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// What a wrapper has used since its start.
struct Minute {
    cpu: Duration,
    switches: u64,
    rss_bytes: u64,
    pss_bytes: Option<u64>,
}

/// The number after a name at the beginning of a line.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

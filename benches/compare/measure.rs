//! Whole processes from start to exit. Cases are run in turn, in a new order each round, so that what else the machine does meets
//! all of them alike; their medians are compared.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::figures::{Table, mebibytes, time};
use super::harness::probe::probe;

/// cron's own PATH: a longer one would cost everybody who executes a command by its name.
const PATH: &str = "/usr/bin:/bin";

/// How often each case is run before it is timed, where there are enough rounds.
const WARM_UPS: usize = 3;
const ROUNDS_WITH_WARM_UP: usize = 20;

/// A program with nothing of the machine's environment but HOME and TMPDIR, and with its streams on /dev/null.
pub(crate) fn command<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH);
    command.envs(["HOME", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A command with the name that its row has.
pub(crate) struct Case {
    name: String,
    command: Command,
    every: usize,
}

impl Case {
    pub(crate) fn new<A: AsRef<OsStr>>(
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self { name: name.to_owned(), command: command(program, arguments), every: 1 }
    }

    /// A line for `sh -c`.
    pub(crate) fn shell(name: &str, script: &str) -> Self {
        Self::new(name, "sh", ["-c", script])
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it in one of so many rounds, for what takes long.
    pub(crate) fn every(mut self, rounds: usize) -> Self {
        self.every = rounds;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self) -> Result<(Duration, ExitStatus)> {
        let start = Instant::now();
        let status = self.command.status().with_context(|| format!("cannot start {:?}", self.command))?;
        Ok((start.elapsed(), status))
    }

    /// What the command and all that it has waited for have used; medians of five runs.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut runs = (0..5).map(|_| self.use_once()).collect::<Result<Vec<Usage>>>()?;
        runs.sort_by_key(|usage| usage.peak_rss_bytes);
        Ok(runs.swap_remove(2))
    }

    /// The same of a single run, for what takes long.
    pub(crate) fn use_once(&self) -> Result<Usage> {
        let file = tempfile::NamedTempFile::new()?;
        let mut call = command(probe(), [OsStr::new("usage"), file.path().as_os_str(), self.command.get_program()]);
        call.args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => call.env(name, value),
                None => call.env_remove(name),
            };
        }
        let status = call.status()?;
        let text = fs::read_to_string(file.path())?;
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let &[kibibytes, micros] = numbers.as_slice() else { bail!("was not measured by the probe: {status}") };
        ensure!(status.success(), "ended with {status}");
        Ok(Usage { peak_rss_bytes: kibibytes * 1024, cpu: Duration::from_micros(micros) })
    }
}

/// The largest resident set of one process, and the CPU time of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) peak_rss_bytes: u64,
    pub(crate) cpu: Duration,
}

/// Medians of one case: the time until it had ended, and what it used.
pub(crate) struct Used {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) usage: Usage,
}

impl Used {
    /// Name, time, CPU time and memory as a row has them.
    pub(crate) fn cells(&self) -> [String; 4] {
        let memory = mebibytes(self.usage.peak_rss_bytes as f64);
        [self.name.clone(), time(self.took), time(self.usage.cpu), memory]
    }
}

/// Runs each case once a round, for work that takes so long that starting the probe does not count. Gives what was used, and
/// sentences about cases that failed.
pub(crate) fn used_in_turn(cases: &[Case], rounds: usize) -> (Vec<Used>, Vec<String>) {
    let mut runs: Vec<Vec<(Duration, Usage)>> = cases.iter().map(|_| Vec::new()).collect();
    let mut failed = Vec::new();
    for _ in 0..rounds {
        for (case, runs) in cases.iter().zip(&mut runs) {
            let start = Instant::now();
            match case.use_once() {
                Ok(usage) => runs.push((start.elapsed(), usage)),
                Err(error) => failed.push(format!("Left out: {} {error:#}.", case.name)),
            }
        }
    }
    failed.dedup();
    let used = cases.iter().zip(runs).filter_map(|(case, mut runs)| {
        runs.sort_unstable_by_key(|(took, _)| *took);
        let (took, usage) = *runs.get(runs.len() / 2)?;
        Some(Used { name: case.name.clone(), took, usage })
    });
    (used.collect(), failed)
}

/// The sorted times of one case.
struct Timing {
    name: String,
    times: Vec<Duration>,
}

impl Timing {
    fn percentile(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((self.times.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }
}

/// What was measured of all cases.
pub(crate) struct Comparison {
    timings: Vec<Timing>,
    /// Sentences about cases that failed and are left out.
    pub(crate) failed: Vec<String>,
}

/// Times each case once a round.
pub(crate) fn in_turn(mut cases: Vec<Case>, rounds: usize) -> Result<Comparison> {
    let mut times: Vec<Vec<Duration>> = cases.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let mut failures: Vec<Option<String>> = cases.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let warm_ups = if rounds < ROUNDS_WITH_WARM_UP { 0 } else { WARM_UPS };
    for round in 0..warm_ups + rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let case = &mut cases[index];
            let is_timed = round >= warm_ups;
            if failures[index].is_some() || (is_timed && !(round - warm_ups).is_multiple_of(case.every)) {
                continue;
            }
            let (took, status) = case.run()?;
            if !status.success() {
                failures[index] = Some(format!("Left out: {} ended with {status}.", case.name));
            } else if is_timed {
                times[index].push(took);
            }
        }
    }
    let mut comparison = Comparison { timings: Vec::new(), failed: Vec::new() };
    for ((case, mut times), failure) in cases.into_iter().zip(times).zip(failures) {
        times.sort_unstable();
        match failure {
            Some(failure) => comparison.failed.push(failure),
            None => comparison.timings.push(Timing { name: case.name, times }),
        }
    }
    Ok(comparison)
}

impl Comparison {
    pub(crate) fn median(&self, name: &str) -> Option<Duration> {
        Some(self.timings.iter().find(|timing| timing.name == name)?.percentile(50))
    }

    /// How many times longer than another case.
    pub(crate) fn ratio(&self, name: &str, beside: &str) -> Option<f64> {
        Some(self.median(name)?.as_secs_f64() / self.median(beside)?.as_secs_f64())
    }

    /// One row a case, with its ratio to one of them.
    pub(crate) fn table(&self, heading: &str, beside: &str) -> Table {
        let ratios = format!("× {beside}");
        let mut table = Table::new([heading, "median", "90th percentile", "runs", &ratios]);
        for timing in &self.timings {
            let ratio = self.ratio(&timing.name, beside).map_or_else(|| "?".to_owned(), |ratio| format!("{ratio:.2}"));
            let [median, slow] = [50, 90].map(|percent| time(timing.percentile(percent)));
            table.row([timing.name.clone(), median, slow, timing.times.len().to_string(), ratio]);
        }
        table
    }
}

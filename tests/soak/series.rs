//! Runs that share gateways, a state directory and a directory for temporary files: they are made under faults, then everything is
//! healed and what waits is flushed, then one ordinary run closes the series.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::call::{self, PROCESS_MARKER, RunResult, Site};
use super::entrance::{Content, Entrance, Exchange, Mode};
use super::figures::Finding;
use super::harness::{Prometheus, Pushgateway, Pushwrap, Version, http};
use super::locked;
use super::plan::{RunPlan, SeriesPlan, Setting, SinkKind};
use super::state_dir::{StateDirectory, age, files_below};

/// The group that holds `soak_typed` with another type than the jobs of the soak.
const OTHER_GROUP: (&str, &str) = ("job/soak-other", "# TYPE soak_typed counter\nsoak_typed 3\n");

/// What `flush` gets to send everything.
const FLUSHES: usize = 6;

/// How many runs may be needed to take away what killed ones have left.
const MORE_RUNS: usize = 5;

/// How long the processes of commands have to end by themselves.
const LONGEST_LEFT: Duration = Duration::from_secs(15);

/// What a worker plays its series with.
pub(crate) struct Servers<'p> {
    gateways: [Mutex<Pushgateway>; 2],
    pub(crate) receiver: &'p Prometheus,
    /// A directory without room, where there is one.
    pub(crate) full_tmp: PathBuf,
    pub(crate) unshare: &'p [&'static str],
}

impl<'p> Servers<'p> {
    /// Real gateways, an old one and a new one.
    pub(crate) fn start(receiver: &'p Prometheus, full_tmp: &Path, unshare: &'p [&'static str]) -> Self {
        let gateways = Version::ALL.map(|version| Mutex::new(start_gateway(version)));
        Self { gateways, receiver, full_tmp: full_tmp.to_owned(), unshare }
    }
}

fn start_gateway(version: Version) -> Pushgateway {
    let gateway = Pushgateway::start(version);
    gateway.push("PUT", OTHER_GROUP.0, OTHER_GROUP.1);
    gateway
}

/// A destination of the reports.
pub(crate) struct SinkAtWork {
    pub(crate) kind: SinkKind,
    pub(crate) entrance: Entrance,
    /// Which of the worker's gateways is behind the entrance.
    gateway: usize,
    /// When the gateway lost all that it held.
    pub(crate) lost_at: Mutex<Option<Instant>>,
}

impl SinkAtWork {
    /// The address as pushwrap gets it.
    pub(crate) fn url(&self) -> String {
        let path = if self.kind == SinkKind::RemoteWrite { "/api/v1/write" } else { "" };
        self.entrance.url() + path
    }
}

/// A series that is played.
pub(crate) struct Series<'w> {
    pub(crate) plan: SeriesPlan,
    pub(crate) servers: &'w Servers<'w>,
    seed: u64,
    /// Before the directory in which it is: it may have to be unmounted.
    pub(crate) state: StateDirectory,
    directory: tempfile::TempDir,
    pub(crate) sinks: Vec<SinkAtWork>,
    results: Mutex<Vec<RunResult>>,
    findings: Mutex<Vec<Finding>>,
    /// `runs_total` as it was last seen, by sink (none: the file of `--output`) and labels.
    counters: Mutex<HashMap<(Option<usize>, String), f64>>,
    falls: Mutex<Vec<Fall>>,
    pub(crate) flushes: Mutex<Vec<String>>,
}

/// A counter that was less than before.
struct Fall {
    /// Where it was seen; none for the file of `--output`.
    sink: Option<usize>,
    /// The run after which it was seen.
    number: u64,
    text: String,
}

impl<'w> Series<'w> {
    pub(crate) fn new(plan: SeriesPlan, seed: u64, servers: &'w Servers<'w>) -> Self {
        let directory = tempfile::Builder::new().prefix("soak-").tempdir().expect("a temporary directory");
        for name in ["tmp", "output"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let state = StateDirectory::new(plan.state, directory.path().join("state"));
        let mut gateways = (0..2).cycle();
        let sinks = plan.sinks.iter().map(|kind| {
            let gateway = if *kind == SinkKind::Pushgateway { gateways.next().unwrap_or(0) } else { 0 };
            let address = match kind {
                SinkKind::Pushgateway => locked(&servers.gateways[gateway]).address(),
                SinkKind::RemoteWrite => servers.receiver.url().trim_start_matches("http://").to_owned(),
            };
            SinkAtWork { kind: *kind, entrance: Entrance::before(&address), gateway, lost_at: Mutex::default() }
        });
        let sinks = sinks.collect();
        Self {
            plan,
            servers,
            seed,
            state,
            directory,
            sinks,
            results: Mutex::default(),
            findings: Mutex::default(),
            counters: Mutex::default(),
            falls: Mutex::default(),
            flushes: Mutex::default(),
        }
    }

    /// The name of a job, which no other series has.
    pub(crate) fn job(&self, job: usize) -> String {
        format!("soak-{}-{}-{}", self.seed, self.plan.number, ["a", "b"][job])
    }

    /// The value of the variable by which its processes are found.
    fn marker(&self) -> String {
        format!("{}-{}-{}", std::process::id(), self.seed, self.plan.number)
    }

    pub(crate) fn output(&self, job: usize) -> PathBuf {
        self.directory.path().join("output").join(format!("{}.prom", self.job(job)))
    }

    /// Plays it to its end: what its runs were, and what was found.
    pub(crate) fn play(self) -> (Vec<RunResult>, Vec<Finding>) {
        let (faulty, closing) = self.plan.runs.split_at(self.plan.runs.len() - 1);
        let lanes = self.plan.lanes;
        if lanes == 1 {
            // On this thread, with which the servers end that a run starts.
            for plan in faulty {
                self.make(plan);
            }
        }
        thread::scope(|scope| {
            for lane in (0..lanes).filter(|_| lanes > 1) {
                let series = &self;
                scope.spawn(move || faulty.iter().skip(lane).step_by(lanes).for_each(|plan| series.make(plan)));
            }
        });
        self.heal();
        let mut results = std::mem::take(&mut *locked(&self.results));
        results.sort_by_key(RunResult::number);
        self.judge_runs(&results);
        self.judge_groups(&results);
        self.wait_for_processes();
        self.age_leftovers();
        self.make(&closing[0]);
        results.append(&mut locked(&self.results));
        self.judge_runs(&results[results.len() - 1..]);
        self.judge_closing(&results);
        self.judge_falls(&results);
        self.judge_leftovers(&results);
        self.clear();
        (results, std::mem::take(&mut locked(&self.findings)))
    }

    /// Makes one run.
    fn make(&self, plan: &RunPlan) {
        if plan.loses_gateway {
            self.lose_gateway();
        }
        for (sink, modes) in self.sinks.iter().zip(&plan.modes) {
            sink.entrance.set(modes);
        }
        if plan.flushes_before {
            self.flush("1");
        }
        let result = call::run(plan, &self.site(plan));
        if self.plan.lanes == 1 && self.plan.has_output {
            self.judge_output(&result);
        }
        locked(&self.results).push(result);
        self.judge_counters(plan);
    }

    fn site(&self, plan: &RunPlan) -> Site<'_> {
        Site {
            directory: self.directory.path(),
            tmp: self.tmp(),
            full_tmp: &self.servers.full_tmp,
            state: &self.state,
            output: self.plan.has_output.then(|| self.output(plan.job)),
            sinks: self.sinks.iter().map(|sink| (sink.kind, sink.url())).collect(),
            job: self.job(plan.job),
            marker: self.marker(),
            unshare: self.servers.unshare,
        }
    }

    fn tmp(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// The first gateway is killed, and a new one takes its place.
    fn lose_gateway(&self) {
        let Some(sink) = self.sinks.iter().find(|sink| sink.kind == SinkKind::Pushgateway) else { return };
        let new = start_gateway(Version::ALL[sink.gateway]);
        sink.entrance.replace_target(&new.address());
        *locked(&sink.lost_at) = Some(Instant::now());
        *locked(&self.servers.gateways[sink.gateway]) = new;
    }

    /// Every fault is over, and what waits is sent.
    fn heal(&self) {
        self.state.heal();
        self.sinks.iter().for_each(|sink| sink.entrance.set(&[Mode::Pass]));
        let is_sent = (0..FLUSHES).any(|_| self.flush("10") == Some(0));
        if !is_sent {
            let said = locked(&self.flushes).last().cloned().unwrap_or_default();
            self.find("lost", None, format!("{FLUSHES} times flush could not send everything: {said}"));
        }
    }

    fn flush(&self, push_timeout: &str) -> Option<i32> {
        if self.state.option() == Path::new("none") {
            return Some(0);
        }
        let call =
            Pushwrap::new().args(["flush", "-v", "--env-file", "none", "--push-timeout", push_timeout, "--state-dir"]);
        let ended = call.arg(self.state.option()).env(PROCESS_MARKER, self.marker()).call();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        if !matches!(ended.status.code(), Some(0 | 1)) || is_defect(&said) {
            self.find("panic", None, format!("flush: {} {said}", ended.status));
        }
        locked(&self.flushes).push(said);
        ended.status.code()
    }

    pub(crate) fn find(&self, rule: &'static str, run: Option<&RunResult>, text: String) {
        let number = run.map_or(self.plan.runs[0].number, RunResult::number);
        let line = run.map(|run| run.line.clone()).unwrap_or_default();
        let kinds = run.map(|run| run.plan.kinds.clone()).unwrap_or_default();
        locked(&self.findings).push(Finding { rule, number, text, line, kinds });
    }

    /// The gateway behind a sink.
    pub(crate) fn gateway(&self, sink: &SinkAtWork) -> MutexGuard<'_, Pushgateway> {
        locked(&self.servers.gateways[sink.gateway])
    }

    /// No counter falls at a gateway or in the file of `--output`.
    fn judge_counters(&self, plan: &RunPlan) {
        let mut counters = locked(&self.counters);
        let job = format!("job=\"{}\"", self.job(plan.job));
        let gateways = self.sinks.iter().enumerate().filter(|(_, sink)| sink.kind == SinkKind::Pushgateway);
        let pages = gateways.map(|(place, sink)| (Some(place), self.gateway(sink).metrics()));
        let file = self.plan.has_output.then(|| fs::read_to_string(self.output(plan.job)).unwrap_or_default());
        for (place, page) in pages.chain(file.map(|text| (None, text))) {
            let lines = page.lines().filter(|line| line.starts_with("pushwrap_runs_total{") && line.contains(&job));
            for (series, value) in lines.filter_map(|line| line.rsplit_once(' ')) {
                let value: f64 = value.parse().expect("a number");
                let before = counters.insert((place, series.to_owned()), value).unwrap_or_default();
                if value < before {
                    let (sink, number) = (place, plan.number);
                    let at = place.map_or_else(|| "in its file".to_owned(), |place| format!("at gateway {place}"));
                    let text = format!("after run {number} {series} fell from {before} to {value} {at}");
                    locked(&self.falls).push(Fall { sink, number, text });
                }
            }
        }
    }

    /// A counter may have fallen for a moment where a gateway took a push late. Whether one did is known when all runs have ended.
    fn judge_falls(&self, results: &[RunResult]) {
        for Fall { sink, number, text } in std::mem::take(&mut *locked(&self.falls)) {
            let run = results.iter().find(|run| run.number() == number);
            let path_end = run.map(|run| format!("/job/{}", self.job(run.plan.job))).unwrap_or_default();
            let exchanges = sink.map(|sink| self.sinks[sink].entrance.exchanges()).unwrap_or_default();
            let ends: Vec<Exchange> = exchanges
                .into_iter()
                .filter(|exchange| exchange.content == Content::End && exchange.path.ends_with(&path_end))
                .collect();
            if !is_one_late(&ends, &ends) {
                self.find("counter", run, text);
            }
        }
    }

    /// What killed runs have left is from now on from the day before yesterday.
    fn age_leftovers(&self) {
        let is_unfinished = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(".new-") || name.starts_with(".pushwrap-") || name.ends_with(".refused")
        };
        let files = self.state.files().into_iter().chain(files_below(&self.directory.path().join("output")));
        files.filter(is_unfinished).for_each(|path| age(&path));
        self.private_directories().iter().for_each(|path| age(path));
    }

    pub(crate) fn private_directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.tmp()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// The same when more runs have taken away what the closing one has left: each gives it 0.3 s, little on a busy machine.
    pub(crate) fn private_directories_after_more_runs(&self) -> Vec<PathBuf> {
        for _ in 0..MORE_RUNS {
            if self.private_directories().is_empty() {
                break;
            }
            Pushwrap::new().env("TMPDIR", self.tmp()).args(["--env-file", "none", "--url", "none"]).run(["true"]);
        }
        self.private_directories()
    }

    /// The files beside those of `--output`.
    pub(crate) fn beside_output(&self) -> Vec<PathBuf> {
        let own = [self.output(0), self.output(1)];
        files_below(&self.directory.path().join("output")).into_iter().filter(|path| !own.contains(path)).collect()
    }

    /// Waits until the commands of the series have ended, those of killed runs too; what is still there after a while.
    pub(crate) fn wait_for_processes(&self) -> Vec<String> {
        let until = Instant::now() + LONGEST_LEFT;
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > until {
                return processes;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The processes of the series that are there.
    fn processes(&self) -> Vec<String> {
        let entry = format!("{PROCESS_MARKER}={}", self.marker());
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter(|pid| pid.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
        let has_marker = |pid: &Path| {
            let environment = fs::read(pid.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
        };
        let found = pids.map(|pid| pid.path()).filter(|pid| has_marker(pid));
        found.map(|pid| fs::read_to_string(pid.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
    }

    /// Everything that its runs did, for a series that is repeated.
    pub(crate) fn history(results: &[RunResult]) -> String {
        let of = |run: &RunResult| {
            let (number, kinds) = (run.number(), run.plan.kinds.join("; "));
            format!("run {number} ({kinds}): {}\n  {}\n{}", run.status, run.line, run.stderr)
        };
        results.iter().map(of).collect()
    }

    /// The groups go from the gateways, which other series use.
    fn clear(&self) {
        for sink in self.sinks.iter().filter(|sink| sink.kind == SinkKind::Pushgateway) {
            for job in 0..self.plan.jobs {
                let url = format!("{}/metrics/job/{}", self.gateway(sink).url(), self.job(job));
                let _ = http::request("DELETE", &url, b"");
            }
        }
    }
}

/// Whether a sink took one of `first` that was given up, because its pushwrap was killed or out of time, after one of `next`. pushwrap
/// sends the pushes of a group one after the other, so that two are there at once only then (docs/delivery.md).
pub(crate) fn is_one_late(first: &[Exchange], next: &[Exchange]) -> bool {
    let mut taken = first.iter().filter(|exchange| exchange.is_taken());
    taken.any(|late| next.iter().any(|next| next.is_taken() && late.at < next.at && next.at < late.done))
}

/// Whether pushwrap says that it has a defect.
pub(crate) fn is_defect(said: &str) -> bool {
    ["internal error", "a defect of", "panicked", "RUST_BACKTRACE"].iter().any(|text| said.contains(text))
}

/// Whether a run shares its disk or its limits with nobody else and can use all of them.
pub(crate) fn has_all_it_needs(plan: &RunPlan) -> bool {
    matches!(plan.setting, Setting::Plain | Setting::PidOne | Setting::Locked(_))
}

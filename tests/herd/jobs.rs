//! The jobs of one round: how each of the two senders reports a job, and what became of all reports.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::entrance::Entrance;
use super::gateway::{LoadedGateway, job};
use super::harness::{Pushwrap, server};

/// How many jobs end within [`OVER`].
pub(crate) const JOBS: usize = 500;
const OVER: Duration = Duration::from_secs(2);
/// The command's own metric.
pub(crate) const ROWS: &str = "imported_rows";

/// What reports the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// pushwrap with its defaults and a state directory for all jobs.
    Pushwrap,
    /// A script that pushes the same metrics once.
    Curl,
}

impl Sender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pushwrap => "pushwrap",
            Self::Curl => "curl script",
        }
    }
}

/// The metrics of a run.
pub(crate) struct Metrics {
    /// As pushwrap sends them, each sample with the label `job`, which a gateway replaces.
    pub(crate) text: String,
}

impl Metrics {
    /// What pushwrap reports of such a job.
    pub(crate) fn of_a_run() -> Self {
        let call = Pushwrap::new().args(["--url", "none", "--job", "any", "--instance", "none"]);
        let (file, state) = (call.directory().join("metrics.prom"), call.directory().join("state"));
        fs::create_dir(&state).unwrap();
        let (mut command, _directory) =
            with_command(call.arg("--output").arg(&file).arg("--state-dir").arg(state)).command();
        assert!(command.status().unwrap().success());
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(ROWS), "{text}");
        Self { text }
    }
}

/// What became of the reports of one sender's jobs, and what they cost the gateway.
pub(crate) struct Results {
    /// Jobs whose report the gateway took, as their sender or another run knows.
    pub(crate) acknowledged: usize,
    /// Jobs whose report waits in the state directory.
    pub(crate) kept: usize,
    /// Jobs of whose report nobody knows anything.
    pub(crate) lost: usize,
    pub(crate) requests: usize,
    pub(crate) cpu: Duration,
    /// From the start of the first job to the end of the last.
    pub(crate) took: Duration,
}

/// The directory of a round.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn make(metrics: &Metrics) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(files.state()).unwrap();
        fs::write(files.metrics(), &metrics.text).unwrap();
        files
    }

    fn metrics(&self) -> PathBuf {
        self.directory.path().join("metrics.prom")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The jobs whose pushes wait.
    fn kept_jobs(&self) -> HashSet<String> {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let groups = entries(&self.state()).flat_map(|group| entries(&group).collect::<Vec<_>>());
        let files = groups.flat_map(|queue| entries(&queue).collect::<Vec<_>>());
        let pushes = files.filter(|file| file.extension().is_some_and(|extension| extension == "push"));
        let job_of = |push: PathBuf| {
            let text = fs::read_to_string(push).unwrap();
            text.lines().find_map(|line| line.strip_prefix("label job=")).unwrap().to_owned()
        };
        pushes.map(job_of).collect()
    }
}

/// Runs all jobs, and returns when they have ended and the gateway has worked off what it got.
pub(crate) fn run(sender: Sender, metrics: &Metrics, gateway: &LoadedGateway, entrance: &Entrance) -> Results {
    let (files, before, start) = (Files::make(metrics), gateway.cpu(), Instant::now());
    let running: Vec<(Child, Option<tempfile::TempDir>)> = (0..JOBS)
        .map(|number| {
            let due = OVER.mul_f64(f64::from(u32::try_from(number).unwrap()) / f64::from(u32::try_from(JOBS).unwrap()));
            thread::sleep((start + due).saturating_duration_since(Instant::now()));
            spawn(sender, &job(number), entrance, &files)
        })
        .collect();
    let ended = running.into_iter().map(|(mut child, _directory)| child.wait().unwrap().success());
    let succeeded: Vec<bool> = ended.collect();
    let took = start.elapsed();
    gateway.wait_until_idle();
    let (cpu, requests) = (gateway.cpu() - before, entrance.requests());
    let (kept, reported) = (files.kept_jobs(), gateway.reported_jobs());
    let mut results = Results { acknowledged: 0, kept: 0, lost: 0, requests, cpu, took };
    for (number, has_succeeded) in succeeded.into_iter().enumerate() {
        let job = job(number);
        // A run may find that another run has sent its push: then the gateway has it, and it does not wait any more.
        let was_sent_by_another = sender == Sender::Pushwrap && !kept.contains(&job) && reported.contains(&job);
        if has_succeeded || was_sent_by_another {
            results.acknowledged += 1;
        } else if kept.contains(&job) {
            results.kept += 1;
        } else {
            results.lost += 1;
        }
    }
    results
}

fn spawn(sender: Sender, job: &str, entrance: &Entrance, files: &Files) -> (Child, Option<tempfile::TempDir>) {
    let (mut command, directory) = match sender {
        Sender::Pushwrap => {
            let call = Pushwrap::new().args(["--url", &entrance.url(), "--job", job, "--instance", "none"]);
            let call = with_command(call.arg("--require-push").arg("--state-dir").arg(files.state()));
            let (command, directory) = call.command();
            (command, Some(directory))
        }
        Sender::Curl => {
            let target = format!("{}/metrics/job/{job}", entrance.url());
            let curl = server::program("curl");
            let options = "-m 10 -sS -f -o /dev/null --data-binary";
            let push = format!("'{}' {options} @'{}' {target}", curl.display(), files.metrics().display());
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo 17 >/dev/null; {push}")]);
            (command, None)
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (command.spawn().unwrap(), directory)
}

/// The job itself.
fn with_command(call: Pushwrap) -> Pushwrap {
    call.args(["--", "sh", "-c", &format!("echo '{ROWS} 17' >$PUSHWRAP_TEXTFILE")])
}

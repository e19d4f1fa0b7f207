//! Fifty workers run jobs for a minute with one state directory, while their pushwraps are killed at random moments and their
//! gateway comes and goes. In the end every run is counted once, no counter has fallen, and each group tells of its newest run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../integration/harness/mod.rs"]
mod harness;

mod flapping;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flapping::FlappingGateway;
use harness::{Pushgateway, Pushwrap, SetAtEnd, Version};

const FOR: Duration = Duration::from_mins(1);
/// Workers with a job of their own, whose runs follow on each other, and workers that run one job at the same time.
const ALONE: usize = 25;
const TOGETHER: usize = 25;
const JOBS_TOGETHER: usize = 5;
/// One run of so many is killed.
const KILLED: usize = 4;

/// What one worker has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Runs whose command began.
    began: u64,
    /// Runs that were killed, and those whose command had begun and that had no mark yet: they are not counted.
    killed: u64,
    without_mark: u64,
    /// Runs that ended by themselves, and the number of the last of them.
    ended: u64,
    last_ended: u64,
    /// What the last runs said.
    said: VecDeque<String>,
    /// What a run said that must not be said.
    complaints: Vec<String>,
}

impl Seen {
    fn run(&mut self, number: u64, (url, job, state): (&str, &str, &Path)) {
        let script = format!("printf 'n {number}\\n' >$PUSHWRAP_TEXTFILE; echo began; sleep 0.0{}", fastrand::u8(1..9));
        let call = Pushwrap::new().args(["--url", url, "--job", job, "--instance", "none", "--push-timeout", "5"]);
        let call = call.arg("--state-dir").arg(state).args(["--push-interval", "0.1", "-v", "--", "sh", "-c", &script]);
        let (mut command, directory) = call.command();
        let stderr = directory.path().join("stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let is_killed = fastrand::usize(0..KILLED) == 0;
        let mut was_marked = !is_killed;
        if is_killed {
            let until = Instant::now() + Duration::from_millis(fastrand::u64(0..400));
            while Instant::now() < until {
                was_marked = was_marked || has_mark(state, child.id());
                thread::sleep(Duration::from_millis(5).min(until.saturating_duration_since(Instant::now())));
            }
            child.kill().unwrap();
            was_marked = was_marked || has_mark(state, child.id());
        }
        let was_killed = child.wait().unwrap().code().is_none();
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        self.began += u64::from(output == "began\n");
        let said = fs::read_to_string(stderr).unwrap();
        assert!(was_killed || output == "began\n", "{said}");
        self.killed += u64::from(was_killed);
        self.without_mark += u64::from(output == "began\n" && !was_marked);
        if !was_killed {
            (self.ended, self.last_ended) = (self.ended + 1, number);
        }
        let is_complaint =
            |line: &&str| ["not kept", "may be lost", "is not counted:"].iter().any(|part| line.contains(part));
        self.said.push_back(format!("run {number}, {}:\n{said}", if was_killed { "killed" } else { "ended" }));
        if self.said.len() > 5 {
            self.said.pop_front();
        }
        self.complaints.extend(said.lines().filter(is_complaint).map(str::to_owned));
    }
}

fn has_mark(state: &Path, pid: u32) -> bool {
    let prefix = format!("{pid}-");
    let groups = fs::read_dir(state).into_iter().flatten().flatten();
    let names = groups.flat_map(|group| fs::read_dir(group.path()).into_iter().flatten().flatten());
    names.map(|name| name.file_name().to_string_lossy().into_owned()).any(|name| name.starts_with(&prefix))
}

/// The runs of each job as the gateway has them.
fn counts(gateway: &Pushgateway) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for line in gateway.metrics().lines().filter(|line| line.starts_with("pushwrap_runs_total{")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let job = series.split("job=\"").nth(1).unwrap().split('"').next().unwrap();
        *counts.entry(job.to_owned()).or_default() += value.parse::<u64>().unwrap();
    }
    counts
}

/// Looks at the gateway until the end, and returns how often it looked. No counter may fall.
fn watch(gateway: &Pushgateway, is_over: &AtomicBool) -> usize {
    let (mut before, mut looks) = (HashMap::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let now = counts(gateway);
        for (job, count) in &before {
            assert!(now.get(job) >= Some(count), "{job}: {count} became {:?}", now.get(job));
        }
        (before, looks) = (now, looks + 1);
        thread::sleep(Duration::from_millis(50));
    }
    looks
}

#[test]
fn nothing_is_lost_while_runs_are_killed_and_the_gateway_comes_and_goes() {
    let (gateway, state) = (Pushgateway::start(Version::Newest), tempfile::tempdir().unwrap());
    let flapping = FlappingGateway::before(&gateway);
    let (url, state) = (flapping.url(), state.path());
    let (is_over, until) = (AtomicBool::new(false), Instant::now() + FOR);
    let job = |worker: usize| if worker < ALONE { worker } else { ALONE + worker % JOBS_TOGETHER };
    let (seen, looks) = thread::scope(|scope| {
        let looks = scope.spawn(|| watch(&gateway, &is_over));
        let working = SetAtEnd(&is_over);
        let work = |worker: usize| {
            let (mut seen, job) = (Seen::default(), format!("job{}", job(worker)));
            for number in 1.. {
                if Instant::now() > until {
                    break;
                }
                seen.run(number, (&url, &job, state));
            }
            seen
        };
        let workers: Vec<_> = (0..ALONE + TOGETHER).map(|worker| scope.spawn(move || work(worker))).collect();
        let flaps = scope.spawn(|| flapping.flap_until(until));
        let seen: Vec<Seen> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        flaps.join().unwrap();
        // The last pushes of lost runs, and what still waits.
        let flushed = Pushwrap::new().args(["flush", "--push-timeout", "20", "--state-dir"]).arg(state).call();
        drop(working);
        assert_eq!(flushed.status.code(), Some(0), "{}", flushed.stderr);
        (seen, looks.join().unwrap())
    });
    report(&gateway, (&seen, looks), job);
}

fn report(gateway: &Pushgateway, (seen, looks): (&[Seen], usize), job: impl Fn(usize) -> usize) {
    let sum = |part: fn(&Seen) -> u64| seen.iter().map(part).sum::<u64>();
    let (began, killed, without_mark) =
        (sum(|seen| seen.began), sum(|seen| seen.killed), sum(|seen| seen.without_mark));
    let counts = counts(gateway);
    let counted: u64 = counts.values().sum();
    let lost: f64 =
        gateway.groups().iter().filter_map(|group| group.number("pushwrap_runs_total", [("outcome", "lost")])).sum();
    let mut stderr = std::io::stderr();
    let figures = format!(
        "{began} runs, {killed} of their pushwraps killed ({without_mark} before they had a mark), {counted} counted ({lost} as lost), \
         {looks} looks at the gateway\n"
    );
    std::io::Write::write_all(&mut stderr, figures.as_bytes()).unwrap();
    let complaints: Vec<&String> = seen.iter().flat_map(|seen| &seen.complaints).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(counted <= began && counted >= began - without_mark, "{figures}");
    let mut jobs: HashMap<usize, (u64, u64)> = HashMap::new();
    for (worker, seen) in seen.iter().enumerate() {
        let entry = jobs.entry(job(worker)).or_default();
        *entry = (entry.0 + seen.began, entry.1 + seen.without_mark);
    }
    for (job, (began, without_mark)) in jobs {
        let count = counts[&format!("job{job}")];
        assert!(count <= began && count >= began - without_mark, "job{job}: {count} of {began}, {without_mark}");
    }
    for (worker, seen) in seen.iter().enumerate().take(ALONE) {
        let group = gateway.group([("job", &format!("job{worker}"))]).unwrap();
        let number: u64 = group.value("n", []).unwrap().parse().unwrap();
        assert!(
            number >= seen.last_ended,
            "job{worker}: n {number}\n{}\n{}",
            seen.said.iter().cloned().collect::<String>(),
            group.json()
        );
    }
}

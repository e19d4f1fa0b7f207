//! Thousands of seeded runs under faults: killed, stopped, limited, without disk, and with gateways that hang, lie, refuse, break off or
//! are closed. A model says after each what must be true. Everything is real but the entrance before the gateways.
//!
//! `RUNS` says how many, `MINUTES` for how long at most, `WORKERS` how many series at once. `SEED` draws the same runs again, and `ONLY=N` of them those of the series
//! of run N.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../integration/harness/mod.rs"]
mod harness;

mod call;
mod draw;
mod entrance;
mod figures;
mod judge_group;
mod judge_run;
mod plan;
mod series;
mod state_dir;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use figures::{Figures, Finding};
use harness::{InTime as _, Prometheus};
use plan::{Abilities, RUNS_IN_SERIES, SeriesPlan};
use series::{Series, Servers};
use state_dir::Tmpfs;

/// So many runs where nothing else is said: about a minute.
const RUNS: u64 = 1000;

/// So many series at once where nothing else is said: most of a run is waiting.
const WORKERS: u64 = 16;

/// After so many series a line is printed.
const PROGRESS: u64 = 125;

/// The ways to make pushwrap PID 1, as root and as another user.
const UNSHARE: [&[&str]; 2] = [
    &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"],
];

/// A setting of the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not '{text}'")))
}

/// What is behind the lock, also when a thread that held it has panicked: its series is reported anyway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// What a soak is made of.
struct Soak {
    seed: u64,
    series: Vec<u64>,
    abilities: Abilities,
    unshare: &'static [&'static str],
    next: AtomicU64,
    figures: Mutex<Figures>,
    /// After so many no series is begun any more.
    minutes: Option<u64>,
    start: Instant,
}

impl Soak {
    fn new(abilities: Abilities, unshare: &'static [&'static str]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let series = match setting("ONLY") {
            Some(number) => vec![number / RUNS_IN_SERIES],
            None => (0..setting("RUNS").unwrap_or(RUNS).div_ceil(RUNS_IN_SERIES)).collect(),
        };
        Self {
            seed: setting("SEED").unwrap_or(now.as_secs()),
            series,
            abilities,
            unshare,
            next: AtomicU64::new(0),
            figures: Mutex::default(),
            minutes: setting("MINUTES"),
            start: Instant::now(),
        }
    }

    /// Plays series until none is left, or the time is over.
    fn work(&self, servers: &Servers<'_>) {
        loop {
            if self.minutes.is_some_and(|minutes| self.start.elapsed() > Duration::from_mins(minutes)) {
                return;
            }
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(number) = usize::try_from(place).ok().and_then(|place| self.series.get(place)) else { return };
            let series = Series::new(SeriesPlan::draw(self.seed, *number, self.abilities), self.seed, servers);
            let played = catch_unwind(AssertUnwindSafe(|| series.play()));
            let (results, findings) = played.unwrap_or_else(|_| {
                let (number, text) = (number * RUNS_IN_SERIES, "the soak itself has failed, see above".to_owned());
                (Vec::new(), vec![Finding { rule: "closing", number, text, line: String::new(), kinds: Vec::new() }])
            });
            for finding in &findings {
                self.report(finding);
            }
            if self.series.len() == 1 {
                say(&Series::history(&results));
            }
            let mut figures = locked(&self.figures);
            figures.add(&results, &findings);
            if (place + 1).is_multiple_of(PROGRESS) {
                let (runs, found) = (figures.runs(), figures.findings());
                say(&format!("{runs} runs in {:.0?}, {found} findings\n", self.start.elapsed()));
            }
        }
    }

    fn report(&self, Finding { rule, number, text, line, kinds }: &Finding) {
        let seed = self.seed;
        say(&format!(
            "FOUND {rule} in run {number} ({}): {text}\n  {line}\n  again: make soak SEED={seed} ONLY={number}\n",
            kinds.join("; ")
        ));
    }
}

/// The first of the ways to make PID namespaces that this machine allows.
fn unshare() -> Option<&'static [&'static str]> {
    UNSHARE.into_iter().find(|way| Command::new(way[0]).args(&way[1..]).arg("true").output_in_time().status.success())
}

#[test]
fn every_run_keeps_to_the_model_whatever_goes_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let full = directory.path().join("full");
    std::fs::create_dir(&full).unwrap();
    let tmpfs = Tmpfs::mount(&full, "4k");
    if let Some(tmpfs) = &tmpfs {
        tmpfs.fill();
    }
    let unshare = unshare();
    let abilities = Abilities { is_root: tmpfs.is_some(), has_pid_namespaces: unshare.is_some() };
    if !abilities.is_root {
        say("no tmpfs may be mounted here: nothing is said of disks that are full or read-only\n");
    }
    if !abilities.has_pid_namespaces {
        say("no PID namespace may be made here: nothing is said of pushwrap as PID 1\n");
    }
    let soak = Soak::new(abilities, unshare.unwrap_or_default());
    say(&format!("seed {}, {} series of {RUNS_IN_SERIES} runs\n", soak.seed, soak.series.len()));
    let receiver = Prometheus::start_with(&[], true, &["--web.enable-remote-write-receiver"]);
    let workers = setting("WORKERS").unwrap_or(WORKERS).min(soak.series.len() as u64).max(1);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| soak.work(&Servers::start(&receiver, &full, soak.unshare)));
        }
    });
    let mut figures = locked(&soak.figures);
    say(&format!("\nSEED={} in {:.0?}: {}", soak.seed, soak.start.elapsed(), figures.tables()));
    assert_eq!(figures.findings(), 0, "see FOUND above");
}

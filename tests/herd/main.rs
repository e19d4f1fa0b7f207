//! Five hundred jobs report within two seconds to one Pushgateway that holds ten thousand groups: pushwrap beside a script that
//! pushes the same metrics with one `curl -m 10`. `make herd` prints each round as a row of a table, and fails where pushwrap has
//! fewer pushes acknowledged than the script, or costs the gateway more than 1.2 times the script's requests or CPU.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on has failed")]

#[path = "../integration/harness/mod.rs"]
mod harness;

mod entrance;
mod gateway;
mod jobs;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use entrance::Entrance;
use gateway::{LoadedGateway, StoredGroups};
use jobs::{JOBS, Metrics, Results, Sender};

/// What the gateway holds before a round.
const GROUPS: usize = 10_000;
/// How much more than the script pushwrap may cost a gateway.
const MOST_COST: f64 = 1.2;
/// Both connections of each job pass through this process.
const DESCRIPTORS: u64 = 8192;

/// How soon the gateway answers.
#[derive(Debug, Clone, Copy)]
struct Answers {
    name: &'static str,
    delay: Duration,
}

const ANSWERS: [Answers; 2] = [
    Answers { name: "as it can", delay: Duration::ZERO },
    Answers { name: "2 s later", delay: Duration::from_secs(2) },
];

/// Both senders in one round.
struct Round {
    curl: Results,
    pushwrap: Results,
}

impl Round {
    fn requests(&self) -> f64 {
        ratio(self.pushwrap.requests, self.curl.requests)
    }

    fn cpu(&self) -> f64 {
        self.pushwrap.cpu.as_secs_f64() / self.curl.cpu.as_secs_f64()
    }

    fn has_as_many_acknowledged(&self) -> bool {
        self.pushwrap.acknowledged >= self.curl.acknowledged
    }

    fn is_good(&self) -> bool {
        let costs_little = self.requests() <= MOST_COST && self.cpu() <= MOST_COST;
        self.has_as_many_acknowledged() && self.pushwrap.lost == 0 && costs_little
    }
}

fn main() -> io::Result<ExitCode> {
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard)?;
    let metrics = Metrics::of_a_run();
    let stored = StoredGroups::make(GROUPS, &metrics.text);
    let mut out = io::stdout();
    writeln!(
        out,
        "| gateway answers | round | sender | acknowledged | kept | lost | requests | CPU of the gateway | all ended after |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let mut measured = Vec::new();
    for answers in ANSWERS {
        for number in 1..=rounds {
            let row = |sender| {
                let results = measure(sender, &stored, &metrics, answers);
                print_row(answers, number, sender, &results).map(|()| results)
            };
            // Who is first takes turns: a machine may be busier in one half of a round.
            let (curl, pushwrap) = if number % 2 == 1 {
                let curl = row(Sender::Curl)?;
                (curl, row(Sender::Pushwrap)?)
            } else {
                let pushwrap = row(Sender::Pushwrap)?;
                (row(Sender::Curl)?, pushwrap)
            };
            measured.push(Round { curl, pushwrap });
        }
    }
    print_judgement(&measured)
}

fn measure(sender: Sender, stored: &StoredGroups, metrics: &Metrics, answers: Answers) -> Results {
    let gateway = LoadedGateway::start(stored);
    let entrance = Entrance::before(gateway.address(), answers.delay);
    jobs::run(sender, metrics, &gateway, &entrance)
}

fn print_row(answers: Answers, number: usize, sender: Sender, results: &Results) -> io::Result<()> {
    let Results { acknowledged, kept, lost, requests, cpu, took } = results;
    let (name, sender, cpu, took) = (answers.name, sender.name(), cpu.as_secs_f64(), took.as_secs_f64());
    let mut out = io::stdout();
    writeln!(
        out,
        "| {name} | {number} | {sender} | {acknowledged} | {kept} | {lost} | {requests} | {cpu:.1} s | {took:.1} s |"
    )?;
    out.flush()
}

fn print_judgement(rounds: &[Round]) -> io::Result<ExitCode> {
    let most = |value: fn(&Round) -> f64| rounds.iter().map(value).fold(0.0, f64::max);
    let fewer = rounds.iter().filter(|round| !round.has_as_many_acknowledged()).count();
    let lost: usize = rounds.iter().map(|round| round.pushwrap.lost).sum();
    let mut out = io::stdout();
    writeln!(
        out,
        "\n{JOBS} jobs in 2 s, {GROUPS} groups at the gateway. pushwrap beside the script: fewer acknowledged in {fewer} of {} rounds, \
         {lost} lost, at most {:.2} times the requests, at most {:.2} times the gateway's CPU.",
        rounds.len(),
        most(Round::requests),
        most(Round::cpu),
    )?;
    Ok(if rounds.iter().all(Round::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ratio(one: usize, other: usize) -> f64 {
    let number = |value: usize| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    number(one) / number(other)
}

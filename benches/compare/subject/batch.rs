//! Many short jobs at a time, as a scheduler starts them on the hour.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use super::curl;
use crate::figures::{Figures, Table, time};
use crate::harness::pushwrap::binary;
use crate::harness::{Pushgateway, Version};
use crate::measure::command;
use crate::page::Page;

const JOBS: usize = 1000;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 3;

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let gateway = Pushgateway::start(Version::Newest);
    let (url, curl) = (gateway.url(), curl());
    let own = |job: usize| {
        let job = format!("pushwrap-{job}");
        command(binary(), ["--url", &url, "--job", &job, "--instance", "none", "--require-push", "--", "true"])
    };
    let script = |job: usize| {
        let line = format!("true; echo x 1 | {curl} -sSf --data-binary @- {url}/metrics/job/curl-{job}");
        command("sh", ["-c", &line])
    };
    let (mut own_runs, mut script_runs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        gateway.wipe();
        own_runs.push(run_all(&own)?);
        ensure!(gateway.groups().len() == JOBS, "each job has its group");
        gateway.wipe();
        script_runs.push(run_all(&script)?);
        ensure!(gateway.groups().len() == JOBS, "each job has its group");
    }
    let mut table = Table::new(["1000 × `true`, 32 at a time, all pushed", "median", "CPU of the clients"]);
    for (name, mut runs) in [("**pushwrap**", own_runs), ("`sh` and `curl`", script_runs)] {
        runs.sort_unstable();
        let (took, cpu) = runs[ROUNDS / 2];
        table.row([name.to_owned(), time(took), time(cpu)]);
    }
    let remark = "The gateway needs the same two cores. How 500 jobs behave that all push in the same second stands in [fleet](fleet.md).";
    Ok(Figures { tables: vec![table], remarks: vec![remark.to_owned()], ..Figures::default() })
}

/// Runs all jobs, and gives the time and the CPU time that they took.
fn run_all(job: &(impl Fn(usize) -> std::process::Command + Sync)) -> Result<(Duration, Duration)> {
    let (next, before, start) = (AtomicUsize::new(0), cpu_of_children()?, Instant::now());
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= JOBS {
                return Ok(());
            }
            let status = job(number).status()?;
            ensure!(status.success(), "job {number} ended with {status}");
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().ok().context("a worker panicked")?)
    })?;
    Ok((start.elapsed(), cpu_of_children()?.saturating_sub(before)))
}

fn cpu_of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs()))
}

//! What `groups` and `prune -n` take where a gateway holds 10,000 groups, beside the transfer of the page that they read.

use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::{curl, pushwrap};
use crate::figures::{Figures, Table};
use crate::harness::pushwrap::binary;
use crate::harness::{FakeGateway, Pushgateway, Reply, Version, http};
use crate::measure::{Case, command, used_in_turn};
use crate::page::Page;

const GROUPS: usize = 10_000;
const SENDERS: usize = 4;

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    // With its check of each push against all groups the gateway would take minutes to be filled.
    let gateway = Pushgateway::start_with(Version::Newest, &["--push.disable-consistency-check"]);
    fill(&gateway.url(), &pushed_by_a_run()?)?;
    let url = gateway.url();
    let (rows, failed) = used_in_turn(
        &[
            Case::new("`curl GATEWAY/api/v1/metrics`", curl(), ["-sSf", &format!("{url}/api/v1/metrics")]),
            pushwrap("`pushwrap groups`", ["groups", "--url", &url]),
            pushwrap("`pushwrap groups --json`", ["groups", "--json", "--url", &url]),
            pushwrap("`pushwrap groups --job NAME`, one group", ["groups", "--job", "job-77", "--url", &url]),
            pushwrap("`pushwrap prune -n`, all groups", ["prune", "-n", "--older-than", "1s", "--url", &url]),
        ],
        5,
    );
    let mut table = Table::new(["10,000 groups", "median", "CPU", "peak RSS"]);
    for row in &rows {
        table.row(row.cells());
    }
    let answer = http::get(&format!("{url}/api/v1/metrics")).len();
    let size = format!("The gateway's answer has {:.1} MB.", answer as f64 / 1e6);
    Ok(Figures { tables: vec![table], remarks: failed.into_iter().chain([size]).collect(), ..Figures::default() })
}

/// The metrics that a run of `true` pushes.
fn pushed_by_a_run() -> Result<String> {
    let fake = FakeGateway::start([Reply::ok()]);
    let status = command(binary(), ["--url", &fake.url(), "--job", "j", "--require-push", "--", "true"]).status()?;
    ensure!(status.success(), "a run that pushes ended with {status}");
    Ok(fake.requests().last().context("the push")?.body())
}

/// Pushes it to so many groups, a few at a time.
fn fill(url: &str, body: &str) -> Result<()> {
    let send = |first: usize| -> Result<()> {
        for job in (first..GROUPS).step_by(SENDERS) {
            let answer = http::request("PUT", &format!("{url}/metrics/job/job-{job}"), body.as_bytes())?;
            // Without its check it answers before it has stored them.
            ensure!([200, 202].contains(&answer.status), "the gateway answers {}: {}", answer.status, answer.body);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|first| scope.spawn(move || send(first))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().ok().context("a sender panicked")?)
    })
}

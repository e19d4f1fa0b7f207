//! What the tests are written with: the real binary under a builder, real servers, and a gateway that misbehaves on demand.
//!
//! Every wait polls a condition until a deadline and then says what it waited for; every server ends with its test.
#![allow(dead_code, unused_imports, reason = "the harness serves several binaries, and none uses all of it")]

pub(crate) mod alerts;
pub(crate) mod backlog;
pub(crate) mod fake;
pub(crate) mod http;
pub(crate) mod in_time;
pub(crate) mod nginx;
pub(crate) mod pages;
pub(crate) mod probe;
pub(crate) mod prometheus;
pub(crate) mod pty;
pub(crate) mod pushgateway;
pub(crate) mod pushwrap;
pub(crate) mod server;
pub(crate) mod talk;
pub(crate) mod tinyproxy;
pub(crate) mod tls;
pub(crate) mod vmalert;
pub(crate) mod watched;

pub(crate) use fake::{FakeGateway, Reply};
pub(crate) use in_time::{InTime, wait_in_time};
pub(crate) use probe::Through;
pub(crate) use prometheus::Prometheus;
pub(crate) use pty::Terminal;
pub(crate) use pushgateway::{Group, Pushgateway, Version};
pub(crate) use pushwrap::{Pushwrap, Run, Running};
pub(crate) use watched::Watched;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true on a loaded two-core machine. Never a measure of anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often a limit of time may be missed: a busy machine holds one run up, what is too slow by itself is so every time.
pub(crate) const CHANCES: usize = 8;

/// Fails the test unless two of three measured values lie within `range`. Only for what a busy machine can falsify once.
#[track_caller]
pub(crate) fn lies_within(range: Range<f64>, mut measure: impl FnMut() -> f64) {
    let mut measured = Vec::new();
    while measured.iter().filter(|value| range.contains(value)).count() < 2 {
        assert!(measured.len() < 3, "fewer than two of {measured:?} are within {range:?}");
        measured.push(measure());
    }
}

/// Gives what an `attempt` gives that takes less than `limit`, or fails the test when none of [`CHANCES`] does. Only for
/// limits that README promises.
#[track_caller]
pub(crate) fn within_limit<T>(limit: Duration, mut attempt: impl FnMut() -> T) -> T {
    let mut took = Vec::new();
    for _ in 0..CHANCES {
        let start = Instant::now();
        let given = attempt();
        took.push(start.elapsed());
        if took.last().is_some_and(|took| *took < limit) {
            return given;
        }
    }
    panic!("each attempt took more than {limit:?}: {took:?}");
}

/// The pauses between looks at a condition: most come true at once, and looking costs something too.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(Duration::from_millis(1)), |pause| Some((*pause * 3 / 2).min(Duration::from_millis(20))))
}

/// Looks until `condition` gives a value, or fails the test after [`PATIENCE`] with what was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    try_wait_for(condition).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Looks until `condition` gives a value, for [`PATIENCE`] at most.
pub(crate) fn try_wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pauses = pauses();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= PATIENCE {
            return None;
        }
        thread::sleep(pauses.next().unwrap_or_default());
    }
}

/// Sets a flag when it goes, also in a panic: a scope waits for the thread that the flag ends, whatever else in it has failed.
pub(crate) struct SetAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

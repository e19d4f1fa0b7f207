//! What one `pushwrap metric` call costs with a file of 1000 series, beside what the shell pays for any program: `true`,
//! started the same way, in turn. `cargo bench --bench metric` makes the figures that docs/benchmarks.md quotes.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SERIES: usize = 1000;
const ROUNDS: usize = 1000;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let mut text = "# HELP files_total Files saved.\n# TYPE files_total counter\n".to_owned();
    text.extend(
        (1..SERIES).map(|series| format!("files_total{{volume=\"/srv/volume-{series}\",kind=\"plain\"}} {series}\n")),
    );
    fs::write(&file, text).unwrap();
    let calls: [(&str, &[&str]); 3] = [
        ("add", &["metric", "add", "files", "-l", "volume=/srv/volume-500", "-l", "kind=plain"]),
        ("set", &["metric", "set", "free_bytes", "1e9", "--help-text", "Bytes free."]),
        ("observe", &["metric", "observe", "upload_seconds", "0.3"]),
    ];
    println!("one call, file of {SERIES} series, median and 99th percentile of {ROUNDS}, in ms");
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(ROUNDS); calls.len() + 1];
    // In turn, so that what else the machine does meets all of them.
    for _ in 0..ROUNDS {
        times[0].push(timed(&mut Command::new("true")));
        for (times, (_, arguments)) in times.iter_mut().skip(1).zip(calls) {
            times.push(timed(Command::new(program()).args(arguments).env("PUSHWRAP_TEXTFILE", &file)));
        }
    }
    for (name, times) in std::iter::once("true").chain(calls.map(|(name, _)| name)).zip(times) {
        let (median, slow) = figures(times);
        println!("{name:>8} {median:>7.2} {slow:>7.2}");
    }
    assert!(fs::read_to_string(&file).unwrap().contains(&format!("volume-500\",kind=\"plain\"}} {}", 500 + ROUNDS)));
    println!("     i/o {:>7.2}  (read, write beside, rename: what the file system takes of it)", replacing(&file));
}

/// The binary that users get, where `make bench` names it.
fn program() -> PathBuf {
    std::env::var_os("TESTED_PUSHWRAP").map_or_else(|| env!("CARGO_BIN_EXE_pushwrap").into(), PathBuf::from)
}

fn timed(command: &mut Command) -> Duration {
    command.stdin(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let took = start.elapsed();
    assert!(status.success());
    took
}

fn figures(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |index: usize| times[index].as_secs_f64() * 1e3;
    (at(times.len() / 2), at(times.len() * 99 / 100))
}

fn replacing(file: &Path) -> f64 {
    let beside = file.with_extension("tmp");
    let once = || {
        let start = Instant::now();
        fs::write(&beside, fs::read(file).unwrap()).unwrap();
        fs::rename(&beside, file).unwrap();
        start.elapsed()
    };
    figures((0..ROUNDS).map(|_| once()).collect()).0
}

//! How fast a metrics file is read, repaired, checked and written anew, and how much memory whole processes need for it.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pushwrap::exposition::{Context, Source, encode, read};

use super::{pushwrap, text};
use crate::figures::{Figures, Table, Target, grouped, time, times};
use crate::harness::{FakeGateway, Reply, server};
use crate::measure::{Case, Used, used_in_turn};
use crate::page::Page;

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
const ROUNDS: usize = 9;
const RUN: &str = "a run, `--output FILE`";
const PUSH: &str = "a run, pushed to a small server";
/// `check` reads at most 64 MiB.
const CHECK: &str = "`pushwrap check FILE`, 500,000 samples";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let mut speed = Table::new(["read, repair, write anew", "MB", "median", "MB/s", "ns a sample"]);
    let mut of_a_million = None;
    for samples in SIZES {
        let bytes = generate(samples);
        let took = pipeline_time(&bytes)?;
        let rate = bytes.len() as f64 / 1e6 / took.as_secs_f64();
        let cells = [format!("{:.1}", bytes.len() as f64 / 1e6), time(took), format!("{rate:.0}")];
        let nanos = format!("{:.0}", took.as_secs_f64() * 1e9 / samples as f64);
        speed.row([format!("{} samples", grouped(samples as u64))].into_iter().chain(cells).chain([nanos]));
        of_a_million = Some((rate, format!("{rate:.0} MB/s")));
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("made.prom");
    let half = directory.path().join("half.prom");
    fs::write(&file, generate(1_000_000))?;
    fs::write(&half, generate(500_000))?;
    let (used, failed) = used_in_turn(&whole(&file, &half), 3);
    let (size, half_size) = (fs::metadata(&file)?.len() as f64, fs::metadata(&half)?.len() as f64);
    let of_file = |row: &Used| row.usage.peak_rss_bytes as f64 / if row.name == CHECK { half_size } else { size };
    let mut memory = Table::new(["1,000,000 samples, whole process", "median", "CPU", "peak RSS", "× the file"]);
    for row in &used {
        memory.row(row.cells().into_iter().chain([format!("{:.2}", of_file(row))]));
    }
    let share = |name| used.iter().find(|row: &&Used| row.name == name).map(of_file);
    let worst_run = share(RUN).zip(share(PUSH)).map(|(output, push)| times(output.max(push)));
    Ok(Figures {
        tables: vec![speed, memory],
        remarks: failed.into_iter().chain([format!("A file of ten lines takes {}.", time(ten_lines()))]).collect(),
        targets: vec![
            Target::at_least("reading a million samples: at least 400 MB/s", 400.0, of_a_million),
            Target::at_most("memory of a run that reads them: at most 2.5 × the file", 2.5, worst_run),
            Target::at_most("memory of `check`: at most 3.5 × the file", 3.5, share(CHECK).map(times)),
        ],
        ..Figures::default()
    })
}

fn pipeline_time(bytes: &[u8]) -> Result<Duration> {
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let out = pipeline(black_box(bytes));
        runs.push(start.elapsed());
        ensure!(out.len() == bytes.len(), "the file is clean, so it comes out as it went in");
    }
    runs.sort_unstable();
    Ok(runs[ROUNDS / 2])
}

fn pipeline(bytes: &[u8]) -> Vec<u8> {
    let sources = [Source::new("bench.prom", bytes)];
    let grouping = [("job".to_owned(), "bench".to_owned()), ("instance".to_owned(), "here".to_owned())];
    encode(&read(&sources, &Context { grouping: &grouping, reserved: &[] }).families)
}

/// The time for a file as a shell script writes it.
fn ten_lines() -> Duration {
    let text = "# HELP backup_bytes Bytes written.\n# TYPE backup_bytes gauge\nbackup_bytes{volume=\"/home\"} 5.12e+09\n\
                backup_bytes{volume=\"/srv\"} 1.8e+11\n# TYPE backup_errors_total counter\nbackup_errors_total 0\n\
                backup_files 1234\nbackup_last_success_timestamp_seconds 1732100000\n# done\nbackup_seconds 12.5\n";
    let (start, rounds) = (Instant::now(), 10_000);
    for _ in 0..rounds {
        black_box(pipeline(black_box(text.as_bytes())));
    }
    start.elapsed() / rounds
}

fn whole(file: &Path, half: &Path) -> Vec<Case> {
    let (made, out) = (text(file), text(&file.with_file_name("out.prom")));
    let script = format!("cat '{made}' >\"$PUSHWRAP_TEXTFILE\"");
    let promtool = format!("'{}' check metrics <'{made}'; true", text(&server::program("promtool")));
    let server = FakeGateway::start([Reply::ok()]);
    let url = server.url();
    // It has to answer as long as the bench runs.
    std::mem::forget(server);
    let limits = ["--push-timeout", "60", "--textfile-max", "1GiB", "--job", "j", "--instance", "none"];
    let run = |name, more: [&str; 2]| {
        let command = ["--require-push", "--", "sh", "-c", &script];
        Case::new(name, crate::harness::pushwrap::binary(), more.into_iter().chain(limits).chain(command))
    };
    vec![
        run(RUN, ["--output", &out]),
        run(PUSH, ["--url", &url]),
        pushwrap(CHECK, ["check", &text(half)]),
        Case::shell("`promtool check metrics`", &promtool),
    ]
}

/// About 100 bytes a sample: counters, gauges and histograms with three to six labels, in the form in which client libraries write
/// them.
pub(super) fn generate(samples: usize) -> Vec<u8> {
    let (mut out, mut written, mut family) = (String::with_capacity(samples * 110), 0, 0);
    while written < samples {
        written += match family % 3 {
            0 => scalars(&mut out, &format!("bench_requests_{family}_total"), "counter"),
            1 => scalars(&mut out, &format!("bench_queue_{family}_length_bytes"), "gauge"),
            _ => histograms(&mut out, &format!("bench_latency_{family}_seconds")),
        };
        family += 1;
    }
    out.into_bytes()
}

fn scalars(out: &mut String, name: &str, kind: &str) -> usize {
    let _ = write!(out, "# HELP {name} A {kind} of the bench.\n# TYPE {name} {kind}\n");
    for series in 0..500 {
        let _ = writeln!(
            out,
            "{name}{{method=\"{}\",path=\"/api/v1/items/{series}\",status=\"{}\",zone=\"eu-central-{}\"}} {}",
            ["GET", "POST", "PUT"][series % 3],
            [200, 404, 500][series / 3 % 3],
            series % 7,
            series as f64 * 1234.567,
        );
    }
    500
}

fn histograms(out: &mut String, name: &str) -> usize {
    let _ = write!(out, "# HELP {name} A histogram of the bench.\n# TYPE {name} histogram\n");
    for series in 0..50 {
        let labels = format!("handler=\"/api/v1/orders/{series}\",region=\"region-{}\",tier=\"gold\"", series % 5);
        for (count, bound) in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1", "+Inf"].iter().enumerate() {
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {}", (count + 1) * series);
        }
        let _ =
            writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {}", series as f64 * 0.75, 8 * series);
    }
    500
}

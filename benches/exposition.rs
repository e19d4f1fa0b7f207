//! How fast a metrics file is read, repaired, checked and written anew, and how much memory that takes, beside
//! `promtool check metrics` in turn. `cargo bench --bench exposition` makes the figures that docs/benchmarks.md quotes.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pushwrap::exposition::{Context, Source, encode, read};

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(samples) = arguments.iter().position(|argument| argument == "--memory") {
        return memory(arguments[samples + 1].parse().unwrap());
    }
    if let Some(path) = arguments.iter().position(|argument| argument == "--generate") {
        fs::write(&arguments[path + 2], generate(arguments[path + 1].parse().unwrap())).unwrap();
        return;
    }
    small();
    println!(
        "{:>9} {:>8} {:>10} {:>8} {:>9} {:>12} {:>14}",
        "samples", "MB", "ms", "MB/s", "ns/sample", "memory", "promtool"
    );
    for samples in SIZES {
        large(samples);
    }
}

/// A file as a shell script writes it.
fn small() {
    let text = "# HELP backup_bytes Bytes written.\n# TYPE backup_bytes gauge\nbackup_bytes{volume=\"/home\"} 5.12e+09\n\
                backup_bytes{volume=\"/srv\"} 1.8e+11\n# TYPE backup_errors_total counter\nbackup_errors_total 0\n\
                backup_files 1234\nbackup_last_success_timestamp_seconds 1732100000\n# done\nbackup_seconds 12.5\n";
    let start = Instant::now();
    let rounds = 10_000;
    for _ in 0..rounds {
        black_box(pipeline(black_box(text.as_bytes())));
    }
    println!("10 lines: {:.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
}

fn large(samples: usize) {
    let text = generate(samples);
    let path = std::env::temp_dir().join(format!("pushwrap-bench-{}.prom", std::process::id()));
    fs::write(&path, &text).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turn, so that what else the machine does meets both.
    for round in 0..ROUNDS {
        let start = Instant::now();
        let out = pipeline(black_box(&text));
        ours.push(start.elapsed());
        assert_eq!(out.len(), text.len(), "the file is clean, so it comes out as it went in");
        if round < 3 {
            theirs.extend(promtool(&path));
        }
    }
    fs::remove_file(&path).unwrap();
    let (ours, megabytes) = (median(ours), text.len() as f64 / 1e6);
    println!(
        "{samples:>9} {megabytes:>8.1} {:>10.1} {:>8.0} {:>9.0} {:>12} {:>14}",
        ours.as_secs_f64() * 1e3,
        megabytes / ours.as_secs_f64(),
        ours.as_secs_f64() * 1e9 / samples as f64,
        format!("{:.2} x file", peak(samples) / text.len() as f64),
        if theirs.is_empty() { "not here".to_owned() } else { format!("{:.0} ms", median(theirs).as_secs_f64() * 1e3) },
    );
}

fn pipeline(text: &[u8]) -> Vec<u8> {
    let sources = [Source::new("bench.prom", text)];
    let grouping = [("job".to_owned(), "bench".to_owned()), ("instance".to_owned(), "here".to_owned())];
    let reading = read(&sources, &Context { grouping: &grouping, reserved: &[] });
    assert_eq!(reading.errors(), 0);
    encode(&reading.families)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long `promtool check metrics` takes; nothing where it is not installed.
fn promtool(path: &Path) -> Option<Duration> {
    let start = Instant::now();
    let mut command = Command::new(std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into()));
    command.args(["check", "metrics"]).stdin(fs::File::open(path).unwrap());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    Some(start.elapsed())
}

/// The peak of resident memory in bytes of a process that does the work once, without that of one that does nothing.
fn peak(samples: usize) -> f64 {
    let run = |samples: usize| -> f64 {
        let program = std::env::current_exe().unwrap();
        let out = Command::new(program).args(["--memory", &samples.to_string()]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
    };
    run(samples) - run(0)
}

/// Reads a file of this size as the program does, and prints the peak of resident memory in bytes.
fn memory(samples: usize) {
    let path = std::env::temp_dir().join(format!("pushwrap-bench-memory-{}.prom", std::process::id()));
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--generate", &samples.to_string(), path.to_str().unwrap()])
        .status();
    assert!(status.unwrap().success());
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    black_box(pipeline(&text));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{}", kilobytes * 1024);
}

/// About 100 bytes a sample: counters, gauges and histograms with three to six labels, in the form in which client
/// libraries write them.
fn generate(samples: usize) -> Vec<u8> {
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

//! What is measured is the command's and not pushwrap's, and measuring costs next to nothing.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::harness::fake::CLOSED_PORT;
use super::harness::probe::{action, probe};
use super::harness::pushwrap::{bare, is_debug_build};
use super::harness::{CHANCES, FakeGateway, InTime as _, Pushwrap, Reply, lies_within, wait_for, within_limit};

const MIB: f64 = 1_048_576.0;

/// The body of the final push of a run of `command`.
fn pushed<A: AsRef<std::ffi::OsStr>>(options: &[&str], command: &[A]) -> String {
    let gateway = FakeGateway::start((0..20).map(|_| Reply::ok()));
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--job", "j"]).args(options).arg("--").args(command);
    let output = call.stdin(Stdio::null()).output_in_time();
    gateway.requests().last().unwrap_or_else(|| panic!("nothing was pushed: {output:?}")).body()
}

/// The value of a plain sample.
fn value(body: &str, series: &str) -> f64 {
    let line = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no '{series}' in:\n{body}")).parse().unwrap()
}

#[test]
fn c40_the_measured_peak_is_not_pushwraps_own() {
    let directory = tempfile::tempdir().unwrap();
    let env_file = directory.path().join("env");
    fs::write(&env_file, "# a comment of no use to anybody\n".repeat(1_600_000)).unwrap();
    let certificates = directory.path().join("ca");
    fs::write(&certificates, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(900_000)).unwrap();
    let textfile = directory.path().join("metrics");
    fs::write(&textfile, "# a comment\n".repeat(4_400_000)).unwrap();
    for (option, file) in [("--env-file", &env_file), ("--cacert", &certificates), ("--textfile", &textfile)] {
        let mut call = bare();
        call.args(["--url", CLOSED_PORT, "--push-timeout", "1s", "--summary=json", option])
            .arg(file)
            .args(["--", "true"]);
        let said = String::from_utf8(call.output_in_time().stderr).unwrap();
        let peak = said.split("\"peak_rss_bytes\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let peak: f64 = peak.unwrap_or_else(|| panic!("no peak: {said}")).parse().unwrap();
        assert!(peak > 0.0 && peak < 4.0 * MIB, "with {option}: {peak}");
    }
}

#[test]
fn c41_the_peak_is_that_of_the_largest_process() {
    for script in ["exec \"$0\" memory 200 0", "\"$0\" memory 200 0; true"] {
        let body = pushed(&[], &["sh", "-c", script, probe().to_str().unwrap()]);
        let peak = value(&body, "pushwrap_peak_rss_bytes") / MIB;
        assert!((200.0..215.0).contains(&peak), "{script}: {peak} MiB");
    }
}

#[test]
fn c41_cpu_time_counts_what_the_command_has_waited_for() {
    for (waited, counted) in [("waited", true), ("unwaited", false)] {
        let body = pushed(&[], &action(&["burn-below", "0.3", waited]));
        let user = value(&body, "pushwrap_cpu_seconds{mode=\"user\"}");
        assert_eq!(user > 0.2, counted, "{waited}: {user}");
    }
}

#[test]
fn c42_the_peak_of_the_tree_is_the_sum_over_its_processes() {
    let body = pushed(&[], &action(&["memory", "10", "4000", "50"]));
    let tree = value(&body, "pushwrap_tree_peak_rss_bytes") / MIB;
    let single = value(&body, "pushwrap_peak_rss_bytes") / MIB;
    // Each has its 10 MiB and little else: the probe is static.
    assert!((450.0..560.0).contains(&tree), "{tree} MiB");
    assert!(single < 15.0, "{single} MiB");
}

#[test]
fn memory_that_is_shared_after_a_fork_counts_once() {
    lies_within(190.0..210.0, || {
        let body = pushed(&[], &action(&["forked-memory", "190", "3000", "kept"]));
        value(&body, "pushwrap_tree_peak_rss_bytes") / MIB
    });
}

#[test]
fn memory_that_is_shared_no_more_counts_for_each() {
    lies_within(105.0..120.0, || {
        let body = pushed(&[], &action(&["forked-memory", "40", "5000", "rewritten"]));
        value(&body, "pushwrap_tree_peak_rss_bytes") / MIB
    });
}

#[test]
fn a_process_that_has_left_the_tree_does_not_count() {
    let script = "(\"$0\" memory 100 2000 &); sleep 2.5";
    for options in [&[][..], &["--timeout", "1m"]] {
        let body = pushed(options, &["sh", "-c", script, probe().to_str().unwrap()]);
        let tree = value(&body, "pushwrap_tree_peak_rss_bytes") / MIB;
        assert!(tree < 50.0, "{options:?}: {tree} MiB");
    }
}

#[test]
fn c42_the_tree_can_be_left_out() {
    let body = pushed(&["--no-tree"], &["sleep", "0.3"]);
    assert!(!body.contains("pushwrap_tree_peak_rss_bytes"), "{body}");
    let body = pushed(&[], &["sleep", "0.3"]);
    assert!(body.contains("pushwrap_tree_peak_rss_bytes"), "{body}");
}

/// A directory on a disk: what is below TMPDIR may be in memory.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Writes the file out and takes it from the page cache.
const FORGET: &str = "forget() { dd of=\"$1\" oflag=nocache conv=notrunc,fdatasync count=0 status=none; }";

/// The body of the final push of a shell script that runs in a directory on a disk where there is a file `data`.
fn pushed_on_disk(script: &str) -> String {
    let directory = on_disk();
    fs::write(directory.path().join("data"), vec![1; 4 << 20]).unwrap();
    fs::copy(probe(), directory.path().join("program")).unwrap();
    let forget = format!("{FORGET}; cd \"$0\"; forget data; forget program");
    let path = directory.path().to_str().unwrap();
    assert!(std::process::Command::new("sh").args(["-c", &forget, path]).status().unwrap().success());
    let body = pushed(&[], &["sh", "-c", &format!("cd \"$0\" && {script}"), path]);
    drop(directory);
    body
}

#[test]
fn what_was_read_from_and_written_to_disks_is_told() {
    let body = pushed_on_disk("cat data >/dev/null");
    let read = value(&body, "pushwrap_disk_read_bytes") / MIB;
    assert!((4.0..8.0).contains(&read), "{body}");
    let body = pushed_on_disk("dd if=/dev/zero of=new bs=1M count=6 conv=fsync status=none");
    let written = value(&body, "pushwrap_disk_written_bytes") / MIB;
    assert!((6.0..10.0).contains(&written), "{body}");
}

#[test]
fn page_faults_that_wait_for_a_disk_are_told() {
    // The program is not in the page cache when it is executed.
    let body = pushed_on_disk("./program memory 1 0");
    assert!(value(&body, "pushwrap_major_page_faults") >= 1.0, "{body}");
    let body = pushed(&[], &action(&["memory", "1", "0"]));
    assert!(body.contains("\npushwrap_major_page_faults 0\n"), "{body}");
}

#[test]
fn every_report_says_when_it_was_made() {
    let now = || UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let gateway = FakeGateway::start((0..20).map(|_| Reply::ok()));
    let before = now();
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--job", "j", "--push-interval", "0.3s", "--", "sleep", "0.8"]);
    call.stdin(Stdio::null()).output_in_time();
    let (requests, after) = (gateway.requests(), now());
    let made: Vec<f64> =
        requests.iter().map(|request| value(&request.body(), "pushwrap_report_timestamp_seconds")).collect();
    assert!(made.len() >= 2 && made.is_sorted() && made[0] > before && made[made.len() - 1] < after, "{made:?}");
    let last = requests.last().unwrap().body();
    assert!(
        value(&last, "pushwrap_report_timestamp_seconds") >= value(&last, "pushwrap_end_timestamp_seconds"),
        "{last}"
    );
}

#[test]
fn the_first_push_comes_after_one_interval_where_that_is_less_than_five_seconds() {
    within_limit(Duration::from_secs(5), || {
        let gateway = FakeGateway::start((0..20).map(|_| Reply::ok()));
        let mut call = bare();
        call.args(["--url", &gateway.url(), "--job", "j", "--push-interval", "0.2s", "--", "sleep", "60"]);
        let mut pushwrap = call.stdin(Stdio::null()).spawn().unwrap();
        let first = gateway.wait_for_requests(1).remove(0).body();
        pushwrap.kill().unwrap();
        pushwrap.wait().unwrap();
        assert!(first.contains("pushwrap_running 1\n"), "{first}");
    });
}

/// A second heap is a mapping of 64 MiB without access (`HEAP_MAX_SIZE` in glibc's malloc/arena.c).
#[test]
fn the_threads_of_pushwrap_share_one_heap() {
    let gateway = FakeGateway::start([Reply::NoAnswer]);
    let running = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).spawn(["true"]);
    gateway.wait_for_requests(1);
    let maps = fs::read_to_string(format!("/proc/{}/maps", running.pid())).unwrap();
    let is_heap = |line: &&str| {
        let (start, rest) = line.split_once('-').unwrap();
        let end = rest.split(' ').next().unwrap();
        let bytes = u64::from_str_radix(end, 16).unwrap() - u64::from_str_radix(start, 16).unwrap();
        line.contains(" ---p ") && bytes > 32 << 20
    };
    assert_eq!(maps.lines().filter(is_heap).count(), 0, "{maps}");
}

/// CPU time that the process has used, from /proc/PID/schedstat: in nanoseconds, where /proc/PID/stat has ticks of 10 ms.
fn cpu_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_task = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(|task| of_task(task.ok()?.path())).sum())
}

#[test]
fn done_4_waiting_costs_next_to_nothing() {
    let gateway = FakeGateway::start((0..100).map(|_| Reply::ok()));
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--job", "j", "--", "sleep", "60"]).stdin(Stdio::null());
    let mut pushwrap = call.spawn().unwrap();
    gateway.wait_for_requests(1);
    // From here on nothing happens but the sampling, which has slowed down by then, and a push a minute. What a machine
    // with cold caches adds differs from one stretch of ten seconds to the next.
    let stretch = || {
        let (before, start) = (cpu_time(pushwrap.id()), Instant::now());
        wait_for("ten seconds to pass", || (start.elapsed() > Duration::from_secs(10)).then_some(()));
        cpu_time(pushwrap.id()).saturating_sub(before)
    };
    // 5 ms in a minute for the binary that users get; a debug build needs some times that.
    let limit = if is_debug_build() { Duration::from_millis(10) } else { Duration::from_millis(1) };
    let mut used = Vec::new();
    while used.len() < CHANCES && used.last().is_none_or(|used| *used >= limit) {
        used.push(stretch());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", pushwrap.id())).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap()
    };
    pushwrap.kill().unwrap();
    pushwrap.wait().unwrap();
    // The promise is for the binary that users get; a debug build is some sixty megabytes of file to begin with.
    let most = if is_debug_build() { 16 } else { 8 };
    assert!(field("VmHWM") < most * 1024, "{} KiB", field("VmHWM"));
    assert!(field("Threads") <= 2, "{} threads", field("Threads"));
    assert!(used.last().is_some_and(|used| *used < limit), "{used:?} in ten seconds each");
}

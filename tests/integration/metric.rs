//! `pushwrap metric set|add|observe`: what a script calls, and what is then in the file, whoever else writes there, whatever
//! ends the writer.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::harness::pushwrap::binary;
use super::harness::{InTime as _, Pushgateway, Pushwrap, Run, SetAtEnd, Version, http, wait_for, wait_in_time};

/// A directory with a metrics file, which is not there at first.
struct MetricsFile {
    directory: tempfile::TempDir,
    file: PathBuf,
}

impl MetricsFile {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { file: directory.path().join("m.prom"), directory }
    }

    fn with(text: impl AsRef<[u8]>) -> Self {
        let target = Self::new();
        fs::write(&target.file, text).unwrap();
        target
    }

    #[track_caller]
    fn call(&self, arguments: &[&str]) -> Run {
        Pushwrap::new().env("PUSHWRAP_TEXTFILE", &self.file).arg("metric").args(arguments).call()
    }

    /// A call that has nothing to say.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> &Self {
        self.call(arguments).exit(0).stdout("").stderr("");
        self
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.file).unwrap()).into_owned()
    }

    /// The names in the directory that are not hidden, and the others.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_script_has_counters_gauges_histograms_and_summaries() {
    let target = MetricsFile::new();
    target
        .done(&["add", "files", "-l", "volume=/home \"x\"", "--help-text", "Files saved."])
        .done(&["add", "files", "2.5", "-l", "volume=/home \"x\""])
        .done(&["set", "temperature_celsius", "-5"])
        .done(&["set", "temperature_celsius", "-7.50"])
        .done(&["observe", "upload_seconds", "0.3", "--buckets", "0.1,1"])
        .done(&["observe", "upload_seconds", "4"])
        .done(&["observe", "batch_size", "12", "--type", "summary"]);
    assert_eq!(
        target.text(),
        "# HELP files_total Files saved.\n# TYPE files_total counter\nfiles_total{volume=\"/home \\\"x\\\"\"} 3.5\n\
         # TYPE temperature_celsius gauge\ntemperature_celsius -7.50\n\
         # TYPE upload_seconds histogram\nupload_seconds_bucket{le=\"0.1\"} 0\nupload_seconds_bucket{le=\"1.0\"} 1\n\
         upload_seconds_bucket{le=\"+Inf\"} 2\nupload_seconds_count 2\nupload_seconds_sum 4.3\n\
         # TYPE batch_size summary\nbatch_size_count 1\nbatch_size_sum 12\n"
    );
    assert_eq!(target.names(), [".m.prom.lock", "m.prom"]);
    let named = Pushwrap::new().args(["metric", "names", "--textfile"]).arg(&target.file).call().exit(0).stderr("");
    named.stdout("files_total\ntemperature_celsius\nupload_seconds\nbatch_size\n");
}

#[test]
fn under_pushwrap_the_metrics_of_a_script_reach_the_gateway() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let script = "set -e; m='\"$0\" metric'; eval $m add files 3 -l volume=/srv; eval $m set free_bytes 1e9
                  eval $m observe upload_seconds 0.3; eval $m time step_seconds -- true";
    let run = Pushwrap::new().push_to(&gateway, "j").run([
        "sh".as_ref(),
        "-c".as_ref(),
        script.as_ref(),
        binary().as_os_str(),
    ]);
    run.exit(0).stderr("").pushed(
        &gateway,
        "j",
        "files_total{volume=\"/srv\"} 3\nfree_bytes 1e+09\npushwrap_textfile_errors 0\npushwrap_textfile_samples 20\n",
    );
    let group = gateway.group([("job", "j")]).unwrap();
    assert_eq!(group.kind("files_total").as_deref(), Some("COUNTER"));
    assert_eq!(group.kind("upload_seconds").as_deref(), Some("HISTOGRAM"));
    assert_eq!(group.kind("step_seconds").as_deref(), Some("GAUGE"));
}

#[test]
fn the_example_script_reports_a_backup() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let call = Pushwrap::new().push_to(&gateway, "backup");
    let (home, srv, target) =
        (call.directory().join("home"), call.directory().join("srv"), call.directory().join("to"));
    for (directory, files) in [(&home, 3), (&srv, 2)] {
        fs::create_dir(directory).unwrap();
        (0..files).for_each(|number| fs::write(directory.join(number.to_string()), "text").unwrap());
    }
    let bin = call.directory().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(binary(), bin.join("pushwrap")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backup.sh");
    let run = call.env("PATH", path).run([script, target, home, srv]).exit(0).stdout("").stderr("");
    run.pushed(
        &gateway,
        "backup",
        "backup_files_total 5\nbackup_archive_seconds_count 2\nbackup_archive_seconds_bucket{le=\"3600\"} 2\n\
         pushwrap_success 1\npushwrap_textfile_errors 0\n",
    );
    let group = gateway.group([("job", "backup")]).unwrap();
    assert!(group.number("backup_archive_bytes", [("volume", "home")]).unwrap() > 0.0);
    assert!(group.number("backup_verify_seconds", []).unwrap() > 0.0);
    assert_eq!(group.help("backup_files_total").as_deref(), Some("Files saved."));
}

#[test]
fn the_example_script_overwrites_no_archive() {
    let directory = tempfile::tempdir().unwrap();
    for source in ["s1", "s2"] {
        fs::create_dir_all(directory.path().join(source).join("data")).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backup.sh");
    let mut command = Command::new(script);
    let out = command.args(["to", "s1/data", "s2/data/"]).current_dir(directory.path()).output_in_time();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let said = "backup.sh: two directories are named 'data': one archive would replace the other\n";
    assert_eq!(String::from_utf8_lossy(&out.stderr), said);
    assert_eq!(fs::read_dir(directory.path().join("to")).unwrap().count(), 0);
}

#[test]
fn outside_pushwrap_a_script_runs_on() {
    let script = "set -e; \"$0\" metric add files; \"$0\" metric set x 1; \"$0\" metric observe y 2
                  \"$0\" metric time z -- echo step; echo done";
    for set in [None, Some("")] {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(binary()).env_remove("PUSHWRAP_TEXTFILE");
        if let Some(empty) = set {
            command.env("PUSHWRAP_TEXTFILE", empty);
        }
        let out = command.output_in_time();
        assert_eq!(out.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&out.stdout), "step\ndone\n");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 4, "one line a call: {said}");
        assert_eq!(
            lines[0],
            "pushwrap: 'files' is not written: there is no PUSHWRAP_TEXTFILE outside pushwrap; --textfile names a file"
        );
    }
}

/// Given the option with an empty variable of a script behind it, when anything is called, then it is as if it was not given.
#[test]
fn an_empty_textfile_is_none() {
    for verb in [&["set", "x", "1"][..], &["add", "x"], &["observe", "x", "1"], &["time", "x"]] {
        let command: &[&str] = if verb[0] == "time" { &["--", "sh", "-c", "echo step; exit 3"] } else { &[] };
        let (status, out) = if verb[0] == "time" { (3, "step\n") } else { (0, "") };
        for option in [&["--textfile", ""][..], &["--textfile="]] {
            let call = || Pushwrap::new().arg("metric").args(verb).args(option).args(command);
            let run = call().call().exit(status).stdout(out);
            run.stderr_has("'x' is not written: there is no PUSHWRAP_TEXTFILE outside pushwrap");
            let target = MetricsFile::new();
            call().env("PUSHWRAP_TEXTFILE", &target.file).call().exit(status).stdout(out).stderr("");
            assert!(target.text().starts_with("# TYPE x"), "{}", target.text());
        }
    }
}

/// Given a name that a run writes itself, when a metric is to have it, then it is refused as the gateway's own names are.
#[test]
fn names_of_the_runs_own_metrics_are_refused() {
    let target = MetricsFile::with("x 1\n");
    for (call, name) in [
        (&["set", "pushwrap_success", "7"][..], "pushwrap_success"),
        (&["add", "pushwrap_runs"], "pushwrap_runs_total"),
        (&["observe", "pushwrap_duration_seconds", "1"], "pushwrap_duration_seconds"),
    ] {
        let said = format!("'{name}' is a metric of every run under pushwrap: choose another name\n");
        target.call(call).exit(2).stdout("").stderr_has(&said);
    }
    let timed = target.call(&["time", "pushwrap_duration_seconds", "--", "sh", "-c", "echo step; exit 3"]);
    timed.exit(3).stdout("step\n").stderr_has("the command is not timed: invalid metric name");
    assert_eq!(target.text(), "x 1\n");
    target.done(&["set", "pushwrap_mine", "1"]);
}

#[test]
fn the_grouping_labels_of_the_run_are_no_labels_of_metrics() {
    let target = MetricsFile::new();
    let call = Pushwrap::new().env("PUSHWRAP_LABEL", "team=a").env("PUSHWRAP_BUCKETS", "x").env("PUSHWRAP_TYPE", "x");
    call.args(["metric", "set", "x", "1", "--textfile"]).arg(&target.file).call().exit(0).stderr("");
    assert_eq!(target.text(), "# TYPE x gauge\nx 1\n");
}

#[test]
fn a_mistake_is_said_and_the_file_stays() {
    let text = "# TYPE c_total counter\nc_total 1\n# TYPE s summary\ns_sum 1\ns_count 1\n# TYPE h histogram\n\
                h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    let target = MetricsFile::with(text);
    for (arguments, said) in [
        (&["set", "1x", "1"][..], "invalid metric name '1x': letters, digits, '_' and ':' only, and no digit first"),
        (&["set", "x{a=\"b\"}", "1"], "labels are given apart, with -l NAME=VALUE"),
        (&["set", "x", "1,5"], "invalid value '1,5': expected a number, such as 12, 0.5 or 1e3"),
        (&["set", "x", ""], "invalid value '': expected a number"),
        (&["set", "x", "1", "-l", "__a=b"], "invalid label '__a=b'"),
        (&["set", "x", "1", "-l", "a"], "invalid label 'a': expected NAME=VALUE"),
        (&["set", "x", "1", "-l", "a=b", "-l", "a=c"], "the label 'a' is given twice"),
        (&["set", "x"], "required arguments"),
        (&["set", "c_total", "1"], "'c_total' is not written: it is a counter in the file, not a gauge"),
        (&["set", "h_sum", "1"], "'h_sum' is not written: a type of its own for a part of the histogram 'h': choose"),
        (&["set", "push_time_seconds", "1"], "is written by the Pushgateway itself: choose another name"),
        (&["add", "c", "-1"], "invalid value '-1': a counter never falls; a gauge does (metric set)"),
        (&["add", "c", "kind=x"], "invalid value 'kind=x': a label is given with -l, as in -l kind=x\n"),
        (&["add", "c", "nan"], "a counter that is not a number would stay so"),
        (&["observe", "c_total", "1"], "it is a counter in the file, not a histogram"),
        (&["observe", "s", "1"], "it is a summary in the file, not a histogram: --type summary observes it"),
        (&["observe", "h", "1", "--buckets", "1,2"], "it has other buckets in the file: 1.0,+Inf"),
        (&["observe", "h", "1", "--buckets", "2,1"], "invalid --buckets '2,1': the bounds of buckets ascend"),
        (&["observe", "h", "1", "-l", "le=1"], "invalid label 'le'"),
        (&["observe", "s", "1", "--type", "summary", "-l", "quantile=1"], "invalid label 'quantile'"),
        (&["observe", "s", "1", "--type", "summary", "--buckets", "1"], "a summary has no buckets"),
        (&["observe", "x", "1", "--type", "gauge"], "invalid --type 'gauge': expected histogram, summary"),
        (&["nonsense", "x", "1"], "unrecognized subcommand 'nonsense'"),
    ] {
        target.call(arguments).exit(2).stdout("").stderr_has(said).stderr_has("pushwrap: ");
        assert_eq!(target.text(), text, "{arguments:?}");
    }
}

#[test]
fn a_file_is_read_up_to_a_limit() {
    let target = MetricsFile::with("x 1\n");
    File::options().write(true).open(&target.file).unwrap().set_len(1 << 40).unwrap();
    target.call(&["set", "x", "2"]).exit(1).stderr_has("it is larger than 64 MiB\n");
    let timed = target.call(&["time", "x", "--", "sh", "-c", "exit 7"]).exit(7);
    timed.stderr_has("cannot read metrics file '").stderr_has("it is larger than 64 MiB\n");
}

#[test]
fn a_type_is_told_without_samples_too() {
    for (line, call, said) in [
        ("# TYPE h gauge\n", &["observe", "h", "3"][..], "it is a gauge in the file, not a histogram"),
        ("# TYPE h histogram\n", &["observe", "h", "3", "--type", "summary"], "it is a histogram in the file"),
        ("# TYPE h counter\n", &["set", "h", "3"], "it is a counter in the file, not a gauge"),
    ] {
        let target = MetricsFile::with(line);
        target.call(call).exit(2).stderr_has(said);
        assert_eq!(target.text(), line);
    }
    MetricsFile::with("# TYPE h histogram\n").done(&["observe", "h", "3"]);
}

#[test]
fn what_another_program_wrote_stays_byte_for_byte() {
    let text =
        b"# by hand\n  x   1 \r\n# TYPE y counter\ny{b=\"\\\\\"} 01.50 1700000000000\n\xff\xfe junk\ny abc\n\nz 1"
            .as_slice();
    let target = MetricsFile::with(text);
    let run = target.call(&["set", "new", "5"]).exit(0);
    let path = target.file.display();
    assert!(run.stderr.contains(&format!("pushwrap: left alone in the metrics file: {path}:5:1: ")), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("{path}:6:3: 'abc' is not a number")), "{}", run.stderr);
    assert_eq!(fs::read(&target.file).unwrap(), [text, b"\n# TYPE new gauge\nnew 5\n"].concat());
    target.call(&["add", "y", "1", "-l", "b=\\"]).exit(0);
    assert!(target.text().contains("\ny{b=\"\\\\\"} 2.5\n\u{fffd}\u{fffd} junk\ny abc\n\nz 1\n"), "{}", target.text());
}

#[test]
fn many_bad_lines_are_counted() {
    let target = MetricsFile::with("a b\n".repeat(30));
    let run = target.call(&["set", "x", "1"]).exit(0);
    assert_eq!(run.stderr.lines().count(), 4);
    run.stderr_has("pushwrap: and 27 more; 'pushwrap check' shows all of them\n");
}

#[test]
fn mode_and_links_stay() {
    let target = MetricsFile::with("x 1\n");
    fs::set_permissions(&target.file, Permissions::from_mode(0o604)).unwrap();
    let link = target.directory.path().join("link");
    symlink("m.prom", &link).unwrap();
    Pushwrap::new().args(["metric", "set", "x", "2", "--textfile"]).arg(&link).call().exit(0).stderr("");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(target.text(), "# TYPE x gauge\nx 2\n");
    assert_eq!(fs::metadata(&target.file).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(target.names(), [".m.prom.lock", "link", "m.prom"]);
    // A new file is as the shell's own > makes it.
    let beside = target.directory.path().join("new.prom");
    let script = "umask 027; \"$0\" metric set x 1 --textfile \"$1\"";
    assert!(Command::new("sh").args(["-c", script]).arg(binary()).arg(&beside).status_in_time().success());
    assert_eq!(fs::metadata(&beside).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn a_link_in_place_of_the_lock_is_said() {
    let target = MetricsFile::with("x 1\n");
    symlink("m.prom", target.directory.path().join(".m.prom.lock")).unwrap();
    let refused = target.call(&["set", "x", "2"]).exit(1);
    refused.stderr_has("/.m.prom.lock' is a symbolic link, which is not followed: remove it\n");
    assert_eq!(target.text(), "x 1\n");
}

#[test]
fn nothing_but_a_regular_file_is_touched() {
    let target = MetricsFile::new();
    fs::create_dir(&target.file).unwrap();
    target.call(&["set", "x", "1"]).exit(1).stderr_has("it is not a regular file");
    fs::remove_dir(&target.file).unwrap();
    assert!(Command::new("mkfifo").arg(&target.file).status().unwrap().success());
    target.call(&["set", "x", "1"]).exit(1).stderr_has("it is not a regular file");
    assert_eq!(target.names(), ["m.prom"]);
    let device = Pushwrap::new().args(["metric", "set", "x", "1", "--textfile", "/dev/null"]).call();
    device.exit(1).stderr_has("it is not a regular file");
    assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file() && !Path::new("/dev/.null.lock").exists());
    let nowhere = Pushwrap::new().args(["metric", "set", "x", "1", "--textfile", "/nowhere/m.prom"]).call();
    nowhere.exit(1).stderr(
        "pushwrap: 'x' is not written: cannot lock metrics file '/nowhere/m.prom': there is no directory '/nowhere'\n",
    );
}

#[test]
fn a_writer_that_stands_still_does_not_hold_up_others_for_ever() {
    let target = MetricsFile::new();
    target.done(&["set", "x", "1"]);
    let lock = File::open(target.directory.path().join(".m.prom.lock")).unwrap();
    lock.lock().unwrap();
    let refused = target.call(&["set", "x", "2"]).exit(1).within(Duration::from_secs(4));
    refused.stderr_has("another writer does not let go of it ('fuser ").stderr_has("/.m.prom.lock' names it)\n");
    assert_eq!(target.text(), "# TYPE x gauge\nx 1\n");
    drop(lock);
    target.done(&["set", "x", "3"]);
}

/// On a busy machine many writers may wait for longer than one that stands still is waited for; but what changes the file
/// without the lock, as `>>` does, is no reason to wait for ever.
#[test]
fn writers_that_go_on_are_waited_for() {
    for lets_go in [true, false] {
        let target = MetricsFile::with("x 1\n");
        target.done(&["set", "x", "1"]);
        let lock = File::open(target.directory.path().join(".m.prom.lock")).unwrap();
        lock.lock().unwrap();
        let mut call = metric(&target.file, &["set", "x", "2"]);
        let mut waiting = call.stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        let is_over = |after: u64| start.elapsed() > Duration::from_secs(after);
        let (mut held, beside) = (Some(lock), target.directory.path().join("beside"));
        let status = wait_for("the call to end", || {
            fs::write(&beside, format!("x 1\ny {}\n", start.elapsed().as_micros())).unwrap();
            if held.is_some() {
                fs::rename(&beside, &target.file).unwrap();
            }
            // Twice as long as a writer that stands still is waited for, and more.
            if lets_go && is_over(5) {
                held = None;
            }
            waiting.try_wait().unwrap()
        });
        assert_eq!(status.code(), Some(i32::from(!lets_go)));
        assert_eq!(target.text().contains("x 2\n"), lets_go, "{}", target.text());
    }
}

#[test]
fn a_link_to_nothing_yet_leads_to_the_new_file() {
    let target = MetricsFile::new();
    symlink("real.prom", &target.file).unwrap();
    target.done(&["set", "x", "1"]);
    assert_eq!(target.text(), "# TYPE x gauge\nx 1\n");
    assert_eq!(target.names(), [".real.prom.lock", "m.prom", "real.prom"]);
}

/// `pushwrap metric` without the harness around it: these are called by the hundred.
fn metric(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("metric").args(arguments).env("PUSHWRAP_TEXTFILE", file).stdin(Stdio::null());
    command
}

#[test]
fn sixteen_writers_lose_nothing_and_a_reader_sees_whole_files() {
    let target = MetricsFile::new();
    let loop_of = |writer: usize| {
        let script = "set -e; i=0; while [ $i -lt 60 ]; do \"$0\" metric add all; i=$((i+1)); done
                      \"$0\" metric add each 60 -l writer=$1";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(binary()).arg(writer.to_string()).env("PUSHWRAP_TEXTFILE", &target.file);
        shell
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut looks) = (0.0, 0);
            while !over.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&target.file).unwrap_or_default();
                let value = text.lines().find_map(|line| line.strip_prefix("all_total ")?.parse().ok());
                assert!(
                    text.is_empty() || (value.is_some_and(|value: f64| value >= last) && text.ends_with('\n')),
                    "{text}"
                );
                last = value.unwrap_or(last);
                looks += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            looks
        });
        // The scope waits for the reader, also when a writer fails.
        let reading = SetAtEnd(&over);
        let writers: Vec<_> = (0..16).map(|writer| loop_of(writer).spawn().unwrap()).collect();
        let all_well = writers
            .into_iter()
            .map(|mut writer| wait_in_time(&mut writer, &"a writer").success())
            .fold(true, |all, one| all & one);
        drop(reading);
        assert!(all_well, "a writer has failed");
        // How often the reader gets a processor is the machine's matter.
        assert!(reader.join().unwrap() > 1, "nobody has read");
    });
    let text = target.text();
    assert!(text.starts_with("# TYPE all_total counter\nall_total 960\n"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("each_total{writer=") && line.ends_with("} 60")).count(),
        16
    );
}

#[test]
fn a_writer_that_is_killed_leaves_a_file_that_the_gateway_takes() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let url = format!("{}/metrics/job/killed", gateway.url());
    let mut text = "# TYPE n_total counter\nn_total 0\n# TYPE other gauge\n".to_owned();
    text.extend((0..1000).map(|series| format!("other{{series=\"{series}\"}} {series}\n")));
    let target = MetricsFile::with(&text);
    let (mut tried, mut killed) = (0_u32, 0_u32);
    // A kill must come before the call is over, as often as not: on every machine the calls before tell how long one takes.
    let mut longest = Duration::from_millis(1);
    let count = || -> u64 { target.text().lines().nth(1).unwrap().strip_prefix("n_total ").unwrap().parse().unwrap() };
    let whole = text.lines().count();
    while killed < 100 {
        tried += 1;
        assert!(tried < 1000, "only {killed} of {tried} calls were killed");
        let before = count();
        let mut writer = metric(&target.file, &["add", "n"]).spawn().unwrap();
        std::thread::sleep(longest.mul_f64(fastrand::f64()));
        writer.kill().unwrap();
        let was_killed = wait_in_time(&mut writer, &"a writer").signal().is_some();
        killed += u32::from(was_killed);
        longest = longest.mul_f64(if was_killed { 1.1 } else { 0.9 });
        let after = count();
        assert!(after == before + 1 || (was_killed && after == before), "{before} {after}");
        let text = fs::read(&target.file).unwrap();
        assert_eq!(text.split_inclusive(|&byte| byte == b'\n').count(), whole);
        let answer = http::request("PUT", &url, &text).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let before = count();
    target.done(&["add", "n"]);
    assert_eq!(count(), before + 1);
    assert_eq!(target.names(), [".m.prom.lock", "m.prom"]);
}

#[test]
fn a_write_that_does_not_fit_leaves_the_old_file() {
    let text = "# a comment of thirty characters\n".repeat(500);
    let target = MetricsFile::with(&text);
    // The limit on file sizes, here in KiB, fails as a full disk does; unless it is ignored, its signal kills.
    let script = "ulimit -f 4; \"$0\" metric set x 1";
    let call = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).arg(binary()).env("PUSHWRAP_TEXTFILE", &target.file).output_in_time()
    };
    let ignored = call(&format!("trap '' XFSZ; {script}"));
    assert_eq!(ignored.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ignored.stderr).into_owned();
    assert!(said.contains("cannot write metrics file") && said.contains("file too large"), "{said}");
    assert_eq!(target.text(), text);
    assert_eq!(target.names(), [".m.prom.lock", "m.prom"]);
    let killed = call(script);
    assert!(!killed.status.success());
    assert_eq!(target.text(), text);
    target.done(&["set", "x", "1"]);
    assert_eq!(target.text(), format!("{text}# TYPE x gauge\nx 1\n"));
    assert_eq!(target.names(), [".m.prom.lock", "m.prom"]);
}

/// `add` writes `c_total`; a gauge `c` beside it would take its counter away.
#[test]
fn a_name_that_is_a_counter_already_is_no_gauge_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let call = |arguments: &[&str]| Pushwrap::new().arg("metric").args(arguments).arg("--textfile").arg(&file).call();
    call(&["add", "c"]).exit(0);
    let before = fs::read(&file).unwrap();
    call(&["set", "c", "5"]).exit(2).stderr_has("it is a counter in the file, as 'c_total', not a gauge");
    assert_eq!(fs::read(&file).unwrap(), before);
    call(&["add", "c"]).exit(0);
}

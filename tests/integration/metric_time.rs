//! `pushwrap metric time`: the rules of the run form for the command, and a metric whatever becomes of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::harness::probe::{action, given};
use super::harness::pushwrap::binary;
use super::harness::{InTime as _, Pushwrap, Through};

fn value(file: &Path, sample: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

#[test]
fn the_time_of_a_step_is_a_gauge_in_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let run =
        Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).args(["metric", "time", "step_seconds", "-l", "step=dump"]);
    let run = run.args(["--help-text", "Seconds.", "--", "sh", "-c", "sleep 0.3; cat; echo out; echo err >&2; exit 3"]);
    let run = run.stdin("in\n").call().exit(3).stdout("in\nout\n").stderr("err\n");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# HELP step_seconds Seconds.\n# TYPE step_seconds gauge\nstep_seconds{step=\"dump\"} "),
        "{text}"
    );
    let seconds = value(&file, "step_seconds{step=\"dump\"}");
    assert!((0.3..run.took.as_secs_f64()).contains(&seconds), "{seconds}");
}

#[test]
fn a_step_that_repeats_is_a_histogram_or_a_summary() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let time = |arguments: &[&str]| {
        let call = Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).args(["metric", "time"]).args(arguments);
        call.args(["--", "true"]).call().exit(0).stdout("").stderr("");
    };
    for _ in 0..2 {
        time(&["h_seconds", "--type", "histogram", "--buckets", "0.000001,60"]);
        time(&["s_seconds", "--type", "summary"]);
    }
    time(&["d_seconds", "--type", "histogram"]);
    for (sample, expected) in [
        ("h_seconds_bucket{le=\"1e-06\"}", 0.0),
        ("h_seconds_bucket{le=\"60.0\"}", 2.0),
        ("h_seconds_count", 2.0),
        ("s_seconds_count", 2.0),
        ("d_seconds_bucket{le=\"+Inf\"}", 1.0),
    ] {
        assert!((value(&file, sample) - expected).abs() < f64::EPSILON, "{sample}");
    }
    assert!(value(&file, "s_seconds_sum") > 0.0);
    assert!(fs::read_to_string(&file).unwrap().contains("d_seconds_bucket{le=\"0.005\"}"));
}

#[test]
fn the_command_runs_whatever_becomes_of_the_metric() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let text = "# TYPE c_total counter\nc_total 1\n";
    for (arguments, said) in [
        (&["1x"][..], "pushwrap: the command is not timed: invalid metric name '1x'"),
        (&["x", "--type", "nonsense"], "pushwrap: the command is not timed: invalid --type 'nonsense': expected gauge"),
        (&["x", "-l", "a"], "pushwrap: the command is not timed: invalid label 'a'"),
        (&["x", "--buckets", "1"], "pushwrap: the command is not timed: a gauge has no buckets"),
        (&["c_total"], "pushwrap: 'c_total' is not written: it is a counter in the file, not a gauge"),
        (&["x", "--textfile", "/nowhere/m.prom"], "pushwrap: 'x' is not written: cannot lock metrics file"),
    ] {
        fs::write(&file, text).unwrap();
        let call = Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).args(["metric", "time"]).args(arguments);
        call.args(["--", "sh", "-c", "echo out; exit 7"]).call().exit(7).stdout("out\n").stderr_has(said);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    Pushwrap::new()
        .args(["metric", "time", "x", "--", "sh", "-c", "exit 7"])
        .call()
        .exit(7)
        .stderr_has("PUSHWRAP_TEXTFILE");
    Pushwrap::new().args(["metric", "time", "x"]).call().exit(2).stderr_has("<COMMAND>");
}

#[test]
fn a_command_that_cannot_be_run_is_not_timed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let call = Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).args(["metric", "time", "x", "--"]);
    call.arg("no-such-command")
        .call()
        .exit(127)
        .stderr("pushwrap: cannot run 'no-such-command': command not found in PATH\n");
    assert!(!file.exists());
    Pushwrap::new().args(["metric", "time", "x", "--textfile"]).arg(&file).args(["--", "/"]).call().exit(126);
    assert!(!file.exists());
}

#[test]
fn the_command_finds_what_it_would_find_without() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let file = file.to_str().unwrap();
    let number = libc::SIGTERM.to_string();
    for (conditions, command) in [
        (&[][..], action(&["state"])),
        (&["ignore", "13", "block", &number, "umask", "27"], action(&["state"])),
        (&["open", "9", "close", "0"], action(&["descriptors"])),
        (&["setenv", "PUSHWRAP_TEXTFILE", "/x"], action(&["environment"])),
        (&["limit", "4", "0"], action(&["die", &number])),
        (&["limit", "4", "0"], action(&["die", "40"])),
    ] {
        let program = binary();
        let mut timed: Vec<std::ffi::OsString> = vec![program.into()];
        timed.extend(["metric", "time", "--textfile", file, "x", "--"].map(Into::into));
        timed.extend(command.iter().cloned());
        let direct = given(conditions, Through::Nothing, &command).output_in_time();
        let timed = given(conditions, Through::Nothing, &timed).output_in_time();
        assert_eq!(timed.status, direct.status, "{conditions:?} {command:?}");
        assert_eq!(String::from_utf8_lossy(&timed.stdout), String::from_utf8_lossy(&direct.stdout), "{conditions:?}");
        assert_eq!(String::from_utf8_lossy(&timed.stderr), String::from_utf8_lossy(&direct.stderr), "{conditions:?}");
        assert!(value(Path::new(file), "x") > 0.0);
    }
}

#[test]
fn signals_reach_the_command_and_the_metric_is_written_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let call = Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).args(["metric", "time", "x", "--", "sh", "-c", script]);
    let running = call.start();
    running.wait_for_stdout("ready");
    running.kill(Signal::SIGTERM);
    running.wait().exit(9).stdout("ready\ncaught\n").stderr("").within(Duration::from_mins(1));
    assert!(value(&file, "x") > 0.0);
}

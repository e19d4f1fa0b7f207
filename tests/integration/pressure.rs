//! What strains a run: a standard error that nobody reads, few descriptors, answers and metrics files without an end. The end of
//! the command, and what is left behind, stay as they are without.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::fake::CLOSED_PORT;
use super::harness::pushwrap::binary;
use super::harness::{
    FakeGateway, InTime as _, Pushgateway, Pushwrap, Reply, Terminal, Version, wait_for, wait_in_time,
};
use super::state::{failing, run, waiting};

/// A pipe that is full and that nobody reads: its two ends.
fn full_pipe() -> (OwnedFd, fs::File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut writer = fs::File::from(writer);
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// A time limit for a dead gateway (3 s), one for everything that is said (1 s), and what a busy machine needs.
const UNREAD: Duration = Duration::from_secs(9);

/// Given a standard error that nobody reads and much to be said, when the command ends, gets TERM or takes too long, then
/// pushwrap ends as soon as with a reader.
#[test]
fn a_standard_error_that_nobody_reads_delays_nothing() {
    let bad: &str = &(0..3000).fold(String::new(), |text, n| text + &format!("a bad line {n}\n"));
    let stop = "trap 'exit 3' TERM; : >ready; while :; do sleep 0.05; done";
    thread::scope(|scope| {
        for (options, script, status) in
            [(&[][..], "exit 3", 3), (&[], stop, 3), (&["--timeout", "1", "--kill-after", "1"], "sleep 600", 124)]
        {
            scope.spawn(move || {
                let (reader, unread) = full_pipe();
                let call = Pushwrap::new().args(["-v", "--summary", "--url", CLOSED_PORT, "--job", "j"]).args(options);
                let call = call.args(["--push-interval", "300ms", "--textfile", "m.prom", "--", "sh", "-c", script]);
                let (mut command, directory) = call.command();
                fs::write(directory.path().join("m.prom"), bad).unwrap();
                command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(unread);
                let mut began = Instant::now();
                let mut child = command.spawn().unwrap();
                drop(command);
                if script == stop {
                    wait_for("the command", || directory.path().join("ready").exists().then_some(()));
                    // Some pushes fail first, which is more to be said.
                    thread::sleep(Duration::from_secs(1));
                    began = Instant::now();
                    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
                }
                let ended = wait_in_time(&mut child, &command_name(script));
                assert_eq!(ended.code(), Some(status), "{script}");
                assert!(began.elapsed() < UNREAD, "{script}: {:?}", began.elapsed());
                drop(reader);
            });
        }
    });
}

fn command_name(script: &str) -> String {
    format!("pushwrap -- sh -c '{script}'")
}

/// Given two variables of one name in the environment, the secret one first, when a command runs, then it gets neither.
#[test]
fn a_secret_that_stands_twice_in_the_environment_does_not_reach_the_command() {
    let imports = ["import os, sys, ctypes", "libc = ctypes.CDLL(None)"].join("\n");
    let script = format!(
        "{imports}\n\
         argv = [sys.argv[1], '--', 'cat', '/proc/self/environ']\n\
         env = ['PATH=/usr/bin:/bin', 'PUSHWRAP_STATE_DIR=none', 'PUSHWRAP_URL=none',\n\
                'PUSHWRAP_USER=me:s3cret', 'PUSHWRAP_USER=', 'PUSHWRAP_PROXY=http://me:s3cret@gw', 'PUSHWRAP_PROXY=']\n\
         array = lambda texts: (ctypes.c_char_p * (len(texts) + 1))(*[text.encode() for text in texts], None)\n\
         libc.execve(sys.argv[1].encode(), array(argv), array(env))\n"
    );
    let out = Command::new("python3").args(["-c", &script]).arg(binary()).output_in_time();
    let seen = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && seen.contains("PATH=/usr/bin"), "{out:?}");
    assert!(!seen.contains("s3cret") && !seen.contains("PUSHWRAP_USER"), "{seen:?}");
}

/// Given labels that hold what a terminal obeys, when metrics are printed, then it is escaped; what is pushed has it as it was.
#[test]
fn metrics_that_are_printed_send_a_terminal_nothing() {
    let metrics = "x{l=\"\u{1b}[2Jred\u{9b}1m\u{7}\"} 1\n# HELP y \u{1b}]0;title\u{7}\ny 2\n# a comment \u{1b}[2J\n";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, metrics).unwrap();
    let (pushwrap, file) = (binary(), file.to_str().unwrap());
    for options in [
        &["--job", "j"] as &[&str],
        &["-n", "--url", CLOSED_PORT, "--job", "j"],
        &["--output", "-", "--url", "none", "--job", "j"],
    ] {
        let call = [&[pushwrap.to_str().unwrap(), "--env-file", "none", "--instance", "none"], options].concat();
        // The command makes the file new, so that it is of this run.
        let terminal = Terminal::start(&[&call[..], &["--textfile", file, "--", "touch", file]].concat());
        terminal.wait_for("pushwrap_run_info");
        let seen = terminal.seen();
        assert!(seen.contains("[2Jred") && !seen.contains(|c: char| c.is_control() && !"\r\n".contains(c)), "{seen:?}");
    }
    // Elsewhere it stays what a gateway gets.
    let run = Pushwrap::new().textfile(metrics).run(["true"]).exit(0).stdout("");
    assert!(run.stderr.contains("x{l=\"\u{1b}[2Jred\u{9b}1m\u{7}\"} 1\n"), "{:?}", run.stderr);
    let gateway = Pushgateway::start(Version::Newest);
    Pushwrap::new().push_to(&gateway, "j").textfile(metrics).run(["true"]).exit(0).stderr("");
    assert!(gateway.metrics().contains("\u{1b}[2Jred"), "{}", gateway.metrics());
}

/// Given answers that never end, when groups are read, then pushwrap stops at a size, whatever time is left.
#[test]
fn an_answer_without_an_end_is_bounded_by_its_size() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"status\":\"success\",\"data\":[";
    let fake = FakeGateway::start([Reply::Endless(answer.to_vec())]);
    let call = Pushwrap::new().args(["groups", "--push-timeout", "100s", "--url", &fake.url()]);
    call.call().exit(1).stdout("").stderr_has(&format!("cannot read from '{}'", fake.url())).stderr_has("larger than");
}

/// Given a line with 10,000 labels, which costs a gateway seconds, when a run is reported, then the line is left out and the rest
/// arrives.
#[test]
fn a_sample_with_ten_thousand_labels_costs_the_gateway_nothing() {
    let labels: Vec<String> = (0..10_000).map(|number| format!("l{number}=\"\"")).collect();
    let fake = FakeGateway::without_api([Reply::ok()]);
    let metrics = format!("before 1\nwide{{{}}} 1\nafter 2\n", labels.join(",").replace("\"\"", "\"v\""));
    let call = Pushwrap::new().args(["--url", &fake.url(), "--job", "j"]).textfile(metrics);
    call.run(["true"]).exit(0).stderr_has("a sample with more than 128 labels, which would cost the gateway seconds");
    let [request] = fake.requests().try_into().unwrap();
    let samples = request.samples();
    assert!(samples.contains("\nbefore 1\n") && samples.contains("\nafter 2\n"), "{samples}");
    assert!(samples.contains("pushwrap_success 1\n") && samples.contains("pushwrap_textfile_errors 1\n"), "{samples}");
    assert!(!samples.contains("wide"), "{} bytes", samples.len());
}

/// Given jobs that start at the same time, when they have run for one interval, then their pushes do not come at the same time: they
/// are spread over a tenth of the interval.
#[test]
fn heartbeats_of_jobs_that_start_together_are_spread() {
    const JOBS: usize = 16;
    let gateway = Pushgateway::start(Version::Newest);
    let name = |job: usize| format!("j{job}");
    let running: Vec<_> = (0..JOBS)
        .map(|job| Pushwrap::new().push_to(&gateway, &name(job)).args(["--push-interval", "4s"]).spawn(["sleep", "60"]))
        .collect();
    let after: Vec<f64> = (0..JOBS)
        .map(|job| {
            let group = wait_for("the heartbeat", || gateway.group([("job", name(job).as_str())]));
            let number = |metric: &str| group.number(metric, []).unwrap();
            number("push_time_seconds") - number("pushwrap_start_timestamp_seconds")
        })
        .collect();
    for run in running {
        run.kill(Signal::SIGKILL);
    }
    let (first, last) =
        (after.iter().copied().fold(f64::MAX, f64::min), after.iter().copied().fold(f64::MIN, f64::max));
    assert!(first >= 4.0 && last - first > 0.15, "{after:?}");
}

/// Given metrics that cannot be read before the time for the push is over, when that push is let go, then the private directory
/// goes away all the same.
#[test]
fn a_push_that_is_let_go_leaves_no_private_directory() {
    let fake = FakeGateway::without_api([Reply::ok()]);
    let tmpdir = tempfile::tempdir().unwrap();
    let call = Pushwrap::new().args(["--url", &fake.url(), "--job", "j", "--textfile-max", "64MiB"]);
    let call = call.args(["--push-timeout", "100ms"]).env("TMPDIR", tmpdir.path());
    let script = "seq -f '# TYPE m%.0f gauge' 2500000 >\"$PUSHWRAP_TEXTFILE\"; exit 3";
    call.run(["sh", "-c", script]).exit(3).stderr_has("cannot push to");
    let left: Vec<_> = fs::read_dir(tmpdir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(fake.connections(), 0, "it was pushed in time");
}

/// Given 57 MiB of TYPE lines, each of another metric and none with a sample, when a run ends, then it does not read them: that took
/// seconds.
#[test]
fn type_lines_without_end_delay_nothing() {
    let fake = FakeGateway::without_api([Reply::ok()]);
    let call = Pushwrap::new().args(["--url", &fake.url(), "--job", "j", "--textfile"]);
    let file = call.directory().join("m.prom");
    let mut lines = BufWriter::new(fs::File::create(&file).unwrap());
    for number in 0..2_700_000 {
        writeln!(lines, "# TYPE m{number} gauge").unwrap();
    }
    let bytes = lines.into_inner().unwrap().metadata().unwrap().len();
    assert!(bytes > 55 << 20, "{bytes}");
    let file = file.to_str().unwrap().to_owned();
    let run = call.args([&file]).run(["touch", &file]).exit(0).within(Duration::from_secs(2));
    run.stderr(&format!("pushwrap: {file}: too large: at most 8 MiB are read of all metrics files together\n"));
    let body = fake.requests().pop().unwrap().body();
    assert!(body.contains("pushwrap_textfile_errors 1\n") && body.contains("pushwrap_success 1\n"), "{body}");
}

/// Given a push of another group that waits and fails, when a run of this group says what it does, then one sees which failed.
#[test]
fn a_failed_push_of_another_group_does_not_read_like_the_runs_own() {
    let state = tempfile::tempdir().unwrap();
    let down = Reply::status("503 Service Unavailable", "");
    // The other group's own push is not taken and not tried again, that of this group is taken, and then the gateway is down.
    let fake = FakeGateway::without_api([Reply::status("401 Unauthorized", ""), Reply::ok(), down]);
    failing(&fake.url(), "other", state.path()).run(["true"]).exit(0);
    assert_eq!(waiting(state.path()).len(), 1);
    let said = run(&fake.url(), "j", state.path()).arg("-v").run(["true"]).exit(0).stderr;
    assert!(said.contains("pushed {job=\"j\"} to"), "{said}");
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("503 Service Unavailable")).collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(failed[0].starts_with("pushwrap: a push of another group waits on: "), "{said}");
}

/// Given a standard output that was closed, is full or has lost its reader, when a command prints on it, then it fails, and says
/// so in one sentence but for a reader that left.
#[test]
fn a_standard_output_that_takes_nothing_is_said() {
    let gateway = Pushgateway::start(Version::Newest);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("m.prom"), "x 1\n").unwrap();
    let url = gateway.url();
    let calls: [&[&str]; 4] = [
        &["groups", "--url", &url],
        &["prune", "--url", &url, "--older-than", "1ms"],
        &["check", "--fix", "m.prom"],
        &["doctor", "--url", &url, "--job", "j"],
    ];
    for (redirection, reason) in [(">&-", "bad file descriptor"), (">/dev/full", "no space left on device")] {
        for call in calls {
            gateway.push("PUT", "job/a", "x 1\n");
            // Ages are by the gateway's clock, in whole seconds.
            wait_for("a group that is old enough", || {
                let run = Pushwrap::new().args(calls[1]).arg("-n").call().exit(0);
                (!run.stdout.is_empty()).then_some(())
            });
            let script = format!("exec \"$0\" \"$@\" {redirection}");
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).arg(binary()).args(call).env("PUSHWRAP_STATE_DIR", "none");
            let out = shell.current_dir(directory.path()).output_in_time();
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(1), "{call:?} {redirection}: {said}");
            assert_eq!(
                said,
                format!("pushwrap: cannot write to standard output: {reason}\n"),
                "{call:?} {redirection}"
            );
        }
    }
    let (reader, left) = nix::unistd::pipe().unwrap();
    drop(reader);
    let mut call = Command::new(binary());
    call.args(calls[0]).stdin(Stdio::null()).stdout(left).stderr(Stdio::piped()).env("PUSHWRAP_STATE_DIR", "none");
    let out = call.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(1), &b""[..]));
}

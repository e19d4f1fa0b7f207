//! The command's metrics files: which are read, what is said of those that are not as they should be, and what is left.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, InTime as _, Pushgateway, Pushwrap, Reply, Version, wait_for};

fn value(group: &str, name: &str) -> f64 {
    let line = group.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{group}")).parse().unwrap()
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_step_has_a_file_of_its_own_in_the_private_directory() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let script = "echo 'dump 1' >\"$PUSHWRAP_TEXTFILE\"; echo 'load 2' >\"${PUSHWRAP_TEXTFILE%/*}/load.prom\"
                  echo 'left_out 3' >\"${PUSHWRAP_TEXTFILE%/*}/load.prom.tmp\"; echo 'dump 4' >\"${PUSHWRAP_TEXTFILE%/*}/again.prom\"";
    let run = Pushwrap::new().push_to(&gateway, "steps").run(["sh", "-c", script]).exit(0).stdout("");
    run.stderr_has("${PUSHWRAP_TEXTFILE%/*}/again.prom:1:").pushed(
        &gateway,
        "steps",
        "dump 1\nload 2\npushwrap_textfile_errors 1\npushwrap_textfile_samples 2\n",
    );
}

#[test]
fn a_private_directory_that_is_gone_is_one_error_and_one_sentence() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let call = Pushwrap::new().push_to(&gateway, "gone");
    let tmpdir = call.directory().join("tmp");
    fs::create_dir(&tmpdir).unwrap();
    let run = call.env("TMPDIR", &tmpdir).run(["sh", "-c", "rm -rf \"$TMPDIR\"/*"]).exit(0);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    run.stderr_has("its directory '").stderr_has("' is gone").stderr_has("--textfile").pushed(
        &gateway,
        "gone",
        "pushwrap_textfile_errors 1\npushwrap_textfile_samples 0\n",
    );
}

/// Given a gateway that never answers, when a run waits for it, then the private directory is gone already.
#[test]
fn the_private_directory_is_removed_while_the_gateway_is_waited_for() {
    let gateway = FakeGateway::start([Reply::NoAnswer]);
    let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j", "--push-timeout", "60s"]);
    let tmpdir = call.directory().join("tmp");
    fs::create_dir(&tmpdir).unwrap();
    let running = call.env("TMPDIR", &tmpdir).spawn(["sh", "-c", "echo x 1 >\"$PUSHWRAP_TEXTFILE\""]);
    let pushed = gateway.wait_for_requests(1);
    assert!(pushed[0].samples().contains("x 1\n"), "{pushed:?}");
    wait_for("the directory to be gone", || names(&tmpdir).is_empty().then_some(()));
    running.kill(Signal::SIGTERM);
    running.wait().exit(0);
}

#[test]
fn yesterdays_file_is_told_from_todays() {
    let call = Pushwrap::new();
    let file = call.directory().join("m.prom");
    fs::write(&file, "x 1\n").unwrap();
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    File::options().write(true).open(&file).unwrap().set_modified(yesterday).unwrap();
    let run = call.arg("--textfile").arg(&file).run(["true"]).exit(0).stdout("");
    let written = value(&run.stderr, "pushwrap_textfile_mtime_seconds");
    let expected = yesterday.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((written - expected).abs() < 1.0, "{written} {expected}");
    run.stderr_has("/m.prom' was last written 1day before this run: its metrics are not this run's\n");
    let call = Pushwrap::new();
    let file = call.directory().join("m.prom");
    let run = call.arg("--textfile").arg(&file).run(["sh", "-c", "echo x 1 >\"$PUSHWRAP_TEXTFILE\""]).exit(0);
    run.stderr_lacks("before this run").stderr_has("pushwrap_textfile_mtime_seconds ");
    Pushwrap::new().run(["true"]).exit(0).stderr_lacks("pushwrap_textfile_mtime_seconds");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_one_error() {
    // A writer that the command has left behind; whether it writes at that moment is for the machine to decide.
    let script =
        "(exec >>\"$PUSHWRAP_TEXTFILE\"; while [ -e \"$PUSHWRAP_TEXTFILE\" ]; do echo '# a comment'; done) & sleep 0.1";
    wait_for("a file that grows", || {
        let call = Pushwrap::new();
        let file = call.directory().join("m.prom");
        let run = call.arg("--textfile").arg(&file).run(["sh", "-c", script]).exit(0);
        let is_seen = run.stderr.contains("/m.prom: it grew while it was read");
        run.stderr_has(if is_seen { "\npushwrap_textfile_errors 1\n" } else { "\npushwrap_textfile_errors 0\n" });
        is_seen.then_some(())
    });
}

#[test]
fn at_most_eight_mebibytes_are_read() {
    let call = Pushwrap::new();
    let file = call.directory().join("m.prom");
    fs::write(&file, "#".repeat((8 << 20) + 1)).unwrap();
    let run = call.arg("--textfile").arg(&file).run(["true"]).exit(0);
    run.stderr_has("too large: at most 8 MiB are read");
}

#[test]
fn a_null_device_is_an_empty_file() {
    let run = Pushwrap::new().args(["--textfile", "/dev/null"]).run(["true"]).exit(0);
    run.stderr_has("\npushwrap_textfile_errors 0\n").stderr_lacks("/dev/null");
}

#[test]
fn with_little_address_space_the_commands_status_is_passed_on() {
    let call = Pushwrap::new();
    let file = call.directory().join("m.prom");
    let mut lines = String::new();
    (0..200_000).for_each(|number| writeln!(lines, "m{number} 1").unwrap());
    fs::write(&file, lines).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 65536; exec \"$0\" --textfile \"$1\" -- sh -c 'exit 7'"]);
    let out = shell.arg(binary()).arg(&file).env("PUSHWRAP_STATE_DIR", "none").output().unwrap();
    assert_eq!(out.status.code(), Some(7), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn what_killed_runs_left_the_next_run_takes_away() {
    let above = tempfile::tempdir().unwrap();
    let tmpdir = above.path().join("tmp");
    fs::create_dir(&tmpdir).unwrap();
    let start = |seconds: &str| {
        let call = Pushwrap::new().args(["--url", "none"]).env("TMPDIR", &tmpdir);
        call.spawn(["sh", "-c", "echo ready; exec sleep \"$0\"", seconds])
    };
    let (killed, lives) = (start("0.2"), start("60"));
    killed.wait_for_stdout("ready");
    lives.wait_for_stdout("ready");
    killed.kill(Signal::SIGKILL);
    drop(killed);
    assert_eq!(names(&tmpdir).len(), 2);
    // One that was changed just now may be that of a run that is about to lock it.
    Pushwrap::new().args(["--url", "none"]).env("TMPDIR", &tmpdir).run(["true"]).exit(0).stderr("");
    assert_eq!(names(&tmpdir).len(), 2);
    for entry in fs::read_dir(&tmpdir).unwrap() {
        let directory = fs::File::open(entry.unwrap().path()).unwrap();
        directory.set_modified(SystemTime::now() - Duration::from_mins(5)).unwrap();
    }
    // Its command lives for a moment longer, and has the path in its environment.
    wait_for("the leftover to go", || {
        Pushwrap::new().args(["--url", "none"]).env("TMPDIR", &tmpdir).run(["true"]).exit(0).stderr("");
        (names(&tmpdir).len() == 1).then_some(())
    });
    lives.kill(Signal::SIGTERM);
    lives.wait();
    assert!(names(&tmpdir).is_empty());
}

/// Makes so many directories that a disk needs seconds to remove them, and prints when it has done so.
const DEEP_AND_WIDE: &str = "import os, time
top = os.path.dirname(os.environ['PUSHWRAP_TEXTFILE'])
os.chdir(top)
for number in range(50000):
    os.mkdir('wide.%d' % number)
for number in range(20):
    os.chdir(top)
    for name in ['deep.%d' % number] + ['d'] * 500:
        os.mkdir(name)
        os.chdir(name)
print(time.time())
";

/// Neither the end of the run that made it, nor that of the next one, which finds it.
#[test]
fn a_deep_and_wide_private_directory_does_not_delay_the_end() {
    /// What emptying it may take, and a busy machine besides.
    const MOST: Duration = Duration::from_secs(2);
    let above = tempfile::tempdir().unwrap();
    let tmpdir = above.path().join("tmp");
    fs::create_dir(&tmpdir).unwrap();
    let one = || Pushwrap::new().args(["--url", "none"]).env("TMPDIR", &tmpdir);
    let run = one().run(["python3", "-c", DEEP_AND_WIDE]).exit(0).stderr("");
    let done = UNIX_EPOCH + Duration::from_secs_f64(run.stdout.trim().parse().unwrap());
    let delay = SystemTime::now().duration_since(done).unwrap();
    assert!(delay < MOST, "{delay:?}");
    for entry in fs::read_dir(&tmpdir).unwrap() {
        let left = fs::File::open(entry.unwrap().path()).unwrap();
        left.set_modified(SystemTime::now() - Duration::from_mins(5)).unwrap();
    }
    let start = Instant::now();
    one().run(["true"]).exit(0).stderr("");
    assert!(start.elapsed() < MOST, "{:?}", start.elapsed());
}

#[test]
fn the_private_file_is_private_whatever_the_umask() {
    let script =
        "umask 0777; exec \"$0\" --url none -- sh -c 'stat -c %a \"$PUSHWRAP_TEXTFILE\" \"${PUSHWRAP_TEXTFILE%/*}\"'";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(binary()).env("PUSHWRAP_STATE_DIR", "none");
    let out = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "600\n700\n", "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(fs::metadata("/tmp").unwrap().permissions().mode() & 0o1000, 0o1000);
}

/// With so few descriptors the directory can be made and the file in it cannot.
#[test]
fn a_private_directory_without_its_file_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    // With three the loader of the command cannot open its libraries: that is 127 with and without pushwrap.
    for (descriptors, status) in [(3, 127), (4, 3), (5, 3)] {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" --url none -- sh -c 'exit 3'");
        let mut call = Command::new("sh");
        let out = call.args(["-c", &script]).arg(binary()).env("TMPDIR", directory.path()).output_in_time();
        assert_eq!(out.status.code(), Some(status), "{descriptors}: {out:?}");
        assert_eq!(names(directory.path()), [""; 0], "{descriptors}: {out:?}");
    }
}

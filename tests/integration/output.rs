//! `--output`: a real node_exporter reads what a run leaves in its textfile directory, and nothing else is there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;

use super::harness::fake::CLOSED_PORT;
use super::harness::pushwrap::NO_STATE;
use super::harness::server::{self, Server};
use super::harness::{FakeGateway, InTime as _, Pushgateway, Pushwrap, Reply, Version, http, wait_for, within_limit};

/// A node_exporter that has the textfile collector alone.
fn node_exporter(directory: &Path) -> Server {
    Server::start(&server::program("node_exporter"), |port, _| {
        vec![
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.textfile".to_owned(),
            format!("--collector.textfile.directory={}", directory.display()),
        ]
    })
}

/// A run as `{job="j", zone="eu"}` whose report goes to this file and nowhere else.
fn to(path: &Path) -> Pushwrap {
    Pushwrap::new().args(["--job", "j", "-l", "zone=eu", "--instance", "none", "--output"]).arg(path)
}

/// A shell script, without the machine's own state directory.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env(NO_STATE.0, NO_STATE.1);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in a directory, hidden ones too.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn line(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().find(|line| line.starts_with(&format!("{name}{{"))).map(ToOwned::to_owned)
}

#[test]
fn node_exporter_shows_the_run_with_its_grouping_labels() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = node_exporter(directory.path());
    let path = directory.path().join("j.prom");
    let histogram =
        "# TYPE d histogram\nd_bucket{le=\"1\"} 1\nd_bucket{le=\"+Inf\"} 2\nd_sum 3\nd_count 2\nx{zone=\"us\"} 7\n";
    to(&path).textfile(histogram).run(["true"]).exit(0).stdout("").stderr("");

    let page = http::get(&format!("{}/metrics", exporter.url()));
    assert!(page.contains("node_textfile_scrape_error 0\n"), "{page}");
    for sample in [
        "pushwrap_success{job=\"j\",zone=\"eu\"} 1\n",
        "pushwrap_outcome{job=\"j\",outcome=\"success\",zone=\"eu\"} 1\n",
        "d_bucket{job=\"j\",zone=\"eu\",le=\"1\"} 1\n",
        "d_count{job=\"j\",zone=\"eu\"} 2\n",
        "x{exported_zone=\"us\",job=\"j\",zone=\"eu\"} 7\n",
        "# TYPE pushwrap_success gauge\n",
    ] {
        assert!(page.contains(sample), "no '{sample}' in\n{page}");
    }
    assert_eq!(names(directory.path()), ["j.prom"]);
}

#[test]
fn a_new_file_is_readable_whatever_the_umask_and_an_old_one_keeps_mode_and_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j.prom");
    let script = "umask 077; exec \"$0\" --job j --output \"$1\" -- true";
    let binary = super::harness::pushwrap::binary();
    let run = |path: &Path| {
        let status = shell(script).arg(&binary).arg(path).status_in_time();
        assert!(status.success());
    };
    run(&path);
    assert_eq!(mode(&path), 0o644);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    if geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(2345)).unwrap();
    }
    let before = fs::metadata(&path).unwrap();
    run(&path);
    let after = fs::metadata(&path).unwrap();
    assert_ne!(before.ino(), after.ino(), "it is replaced, not written over");
    assert_eq!((mode(&path), after.uid(), after.gid()), (0o640, before.uid(), before.gid()));
    assert_eq!(names(directory.path()), ["j.prom"]);
}

#[test]
fn a_link_keeps_pointing_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("j.prom"));
    fs::write(&real, "").unwrap();
    symlink("real", &link).unwrap();
    to(&link).run(["true"]).exit(0).stderr("");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("pushwrap_success"));
    // As the shell's > makes the file that a link leads to.
    fs::remove_file(&real).unwrap();
    to(&link).run(["true"]).exit(0).stderr("");
    assert_eq!(names(directory.path()), ["j.prom", "real"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(real).unwrap().contains("pushwrap_success"));
}

/// As the kernel has it (`protected_symlinks`): whoever can write to a shared directory must not choose what root replaces.
#[test]
fn a_strangers_link_in_a_shared_directory_is_not_followed() {
    if !geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("j.prom"));
    fs::write(&real, "precious").unwrap();
    symlink(&real, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
    let said = format!("'{}' is a symbolic link of user 1234 in a shared directory\n", link.display());
    to(&link).run(["true"]).exit(0).stderr_has(&said);
    let metric = || Pushwrap::new().args(["metric", "set", "x", "1", "--textfile"]);
    metric().arg(&link).call().exit(1).stderr_has(&said);
    assert_eq!(fs::read_to_string(&real).unwrap(), "precious");
    let inside = directory.path().join("state");
    symlink(directory.path(), &inside).unwrap();
    std::os::unix::fs::lchown(&inside, Some(1234), None).unwrap();
    let run = to(Path::new("-")).arg("--state-dir").arg(&inside).run(["true"]).exit(0);
    run.stderr_has(&format!(
        "cannot use state directory '{0}': '{0}' is a symbolic link of user 1234",
        inside.display()
    ));
}

#[test]
fn a_failing_and_a_skipped_run_keep_what_they_know_nothing_about() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j.prom");
    to(&path).textfile("x 1\n").run(["true"]).exit(0);
    let success = line(&path, "pushwrap_last_success_timestamp_seconds").unwrap();
    assert!(line(&path, "x").is_some());
    to(&path).run(["false"]).exit(1).stderr("");
    assert_eq!(line(&path, "pushwrap_last_success_timestamp_seconds"), Some(success.clone()));
    assert_eq!(line(&path, "x"), None, "metrics of the command do not outlive the next run");
    to(&path).args(["--skip-codes", "75"]).run(["sh", "-c", "exit 75"]).exit(75).stderr("");
    assert_eq!(line(&path, "pushwrap_last_success_timestamp_seconds"), Some(success));
    assert_eq!(line(&path, "pushwrap_success").unwrap(), "pushwrap_success{job=\"j\",zone=\"eu\"} 0");
    let skipped = line(&path, "pushwrap_last_skipped_timestamp_seconds").unwrap();
    assert_eq!(
        line(&path, "pushwrap_exit_code").unwrap(),
        "pushwrap_exit_code{job=\"j\",zone=\"eu\"} 1",
        "of the failure"
    );
    to(&path).run(["true"]).exit(0).stderr("");
    assert_eq!(line(&path, "pushwrap_last_skipped_timestamp_seconds"), Some(skipped));
}

#[test]
fn a_damaged_old_file_is_replaced_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j.prom");
    fs::write(&path, b"\xff\xfe\0\0{{{ pushwrap_last_success_timestamp_seconds{ 5").unwrap();
    to(&path).run(["false"]).exit(1).stderr("");
    assert!(line(&path, "pushwrap_success").is_some());
}

#[test]
fn a_running_command_is_seen_in_the_file_and_its_last_run_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (path, gate) = (directory.path().join("j.prom"), directory.path().join("gate"));
    to(&path).textfile("x 1\n").run(["false"]).exit(1);
    let script = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    let running = to(&path).spawn(["sh", "-c", &script]);
    wait_for("the report of a running command", || {
        line(&path, "pushwrap_running").is_some_and(|line| line.ends_with(" 1")).then_some(())
    });
    assert!(line(&path, "pushwrap_exit_code").unwrap().ends_with(" 1"), "the last run's");
    assert!(line(&path, "x").is_some());
    fs::write(gate, "").unwrap();
    running.wait().exit(0).stderr("");
    assert!(line(&path, "pushwrap_running").unwrap().ends_with(" 0"));
    assert_eq!(line(&path, "x"), None);
}

#[test]
fn a_dash_is_standard_error_and_never_standard_output() {
    let run = to(Path::new("-")).run(["echo", "out"]).exit(0).stdout("out\n");
    assert!(run.stderr.contains("\npushwrap_exit_code{job=\"j\",zone=\"eu\"} 0\n"), "{}", run.stderr);
    assert!(!run.stderr.contains("--url"), "another sink was named:\n{}", run.stderr);
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_changes_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Pushgateway::start(Version::Newest);
    let missing = directory.path().join("no");
    let refused: [(PathBuf, &str); 2] = [
        (missing.join("j.prom"), &format!("there is no directory '{}'", missing.display())),
        (directory.path().to_owned(), "it is not a regular file"),
    ];
    for (path, why) in refused {
        let run = Pushwrap::new().push_to(&gateway, "j").arg("--output").arg(&path).run(["true"]).exit(0).stdout("");
        run.pushed(&gateway, "j", "pushwrap_success 1\n")
            .stderr(&format!("pushwrap: cannot write '{}': {why}\n", path.display()));
        gateway.wipe();
        to(&path).arg("--require-push").run(["true"]).exit(125);
    }
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

/// Given a file in a directory of another user, when runs write it, then they write it in place, which is said with -v, and keep
/// the last success; nothing is left beside it.
#[test]
fn a_file_that_can_be_written_but_not_replaced_is_written_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = directory.path().join("jobs");
    let path = jobs.join("j.prom");
    fs::create_dir(&jobs).unwrap();
    fs::write(&path, "x 1234567890\n".repeat(1000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    for (place, mode) in [(directory.path(), 0o755), (jobs.as_path(), 0o555)] {
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
    }
    let before = fs::metadata(&path).unwrap().ino();
    let run = unprivileged(directory.path());
    let said = format!("pushwrap: '{}' cannot be replaced: it is written in place\n", path.display());
    let call = |options: &[&str], command: &str| {
        let mut call = run();
        call.args(["--job", "j", "-l", "zone=eu", "--instance", "none", "--output"]).arg(&path).args(options);
        let out = call.args(["--", command]).output_in_time();
        String::from_utf8(out.stderr).unwrap()
    };
    assert_eq!(call(&[], "true"), "");
    let success = line(&path, "pushwrap_last_success_timestamp_seconds").unwrap();
    let verbose = call(&["-v"], "false");
    assert!(verbose.contains(&said), "{verbose}");
    assert_eq!(line(&path, "pushwrap_success").unwrap(), "pushwrap_success{job=\"j\",zone=\"eu\"} 0");
    assert_eq!(line(&path, "pushwrap_last_success_timestamp_seconds"), Some(success));
    assert!(!fs::read_to_string(&path).unwrap().contains("x 1234567890"), "the file ends where the report ends");
    assert_eq!((fs::metadata(&path).unwrap().ino(), mode(&path)), (before, 0o666));
    assert_eq!(names(&jobs), ["j.prom"]);
    fs::set_permissions(&jobs, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Calls of the binary under test as somebody who is not root: root may write to every directory. They run a copy in this
/// directory, which another user can reach.
fn unprivileged(directory: &Path) -> impl Fn() -> Command {
    let own = directory.join("pushwrap");
    fs::copy(super::harness::pushwrap::binary(), &own).unwrap();
    move || {
        let mut call = if geteuid().is_root() {
            let mut call = Command::new("setpriv");
            call.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&own);
            call
        } else {
            Command::new(&own)
        };
        call.env(NO_STATE.0, NO_STATE.1);
        call
    }
}

/// SIGXFSZ is ignored, so that the limit of the file size is an error of write(2), as a full disk is.
#[test]
fn a_full_disk_leaves_the_old_file_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j.prom");
    to(&path).run(["true"]).exit(0);
    let before = fs::read(&path).unwrap();
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --job j --output \"$1\" --textfile \"$2\" -- true";
    let large = tempfile::NamedTempFile::new().unwrap();
    fs::write(large.path(), (0..5000).fold(String::new(), |text, n| text + &format!("x{{n=\"{n}\"}} 1\n"))).unwrap();
    let binary = super::harness::pushwrap::binary();
    let out = shell(script).arg(&binary).args([&path, &large.path().to_owned()]).output_in_time();
    assert!(out.status.success());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.starts_with(&format!("pushwrap: cannot write '{}': file too large", path.display())), "{said}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(directory.path()), ["j.prom"]);
}

#[test]
fn a_gateway_that_is_down_or_hangs_does_not_keep_the_file_from_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let silent = FakeGateway::start([Reply::Silence]);
    for (at, url) in [CLOSED_PORT.to_owned(), silent.url()].iter().enumerate() {
        let path = directory.path().join(format!("{at}.prom"));
        let run = within_limit(Duration::from_millis(1300), || {
            to(&path).args(["--url", url, "--push-timeout", "1"]).run(["true"]).exit(0)
        });
        run.stderr_has("cannot push to");
        assert!(line(&path, "pushwrap_success").is_some());
    }
}

#[test]
fn a_dry_run_writes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j.prom");
    let run = to(&path).arg("-n").run(["true"]).exit(0);
    run.stderr_has("pushwrap_success 1\n").stderr_has(&format!("pushwrap: not written: '{}'\n", path.display()));
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

/// What a killed pushwrap left beside the file is cleared away when it is old, and only that.
#[test]
fn abandoned_files_are_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    for (name, hours) in [(".pushwrap-old.tmp", 2), (".pushwrap-new.tmp", 0), (".other-old.tmp", 2)] {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(hours)).unwrap();
    }
    to(&directory.path().join("j.prom")).run(["true"]).exit(0).stderr("");
    assert_eq!(names(directory.path()), [".other-old.tmp", ".pushwrap-new.tmp", "j.prom"]);
}

/// Given files that can and cannot be written, when a run is summed up, then each is there with what became of it.
#[test]
fn the_summary_tells_what_became_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.prom");
    to(&path).arg("--summary").run(["true"]).exit(0).stderr_has(&format!("written   to {} in ", path.display()));
    let json = |path: &Path| -> serde_json::Value {
        let run = to(path).arg("--summary=json").run(["true"]).exit(0);
        serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap()
    };
    let written = json(&path)["pushes"][0].clone();
    assert_eq!(written["url"], path.to_str().unwrap());
    assert!(written["status"].is_null() && written["error"].is_null(), "{written}");
    let lost = json(&directory.path().join("nowhere/run.prom"))["pushes"][0].clone();
    assert!(lost["status"].is_null(), "{lost}");
    assert!(lost["error"].as_str().unwrap().contains("there is no directory"), "{lost}");
}

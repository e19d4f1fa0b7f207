//! Which commands run, which do not, and what is said about those: a table, each row beside timeout(1), which does with the
//! exec family of glibc what pushwrap does itself.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::probe::given;
use super::harness::pushwrap::{bare, binary};
use super::harness::{FakeGateway, InTime as _, Pushgateway, Pushwrap, Reply, Through, Version};

/// A directory with one file of each kind that can and cannot be run.
fn workshop() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // By another process: a file that this one has written may still be open in another test's child (ETXTBSY).
        let mut tee = Command::new("tee").arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut tee.stdin.take().unwrap(), content).unwrap();
        assert!(tee.wait().unwrap().success());
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    file("no-interpreter", b"#!/nowhere/interpreter\n", 0o755);
    file("carriage-return", b"#!/bin/sh\r\necho x\r\n", 0o755);
    file("not-executable", b"#!/bin/sh\n", 0o644);
    file("directory/inside", b"", 0o644);
    file("bare-script", b"echo \"ran $0 $1\"\n", 0o755);
    file("empty", b"", 0o755);
    file("garbage", b"\x01\x02\x03\xff\x00\n", 0o755);
    file("elf-magic", b"\x7fELF", 0o755);
    file("busy", b"#!/bin/sh\n", 0o755);
    file("one/twice", b"#!/bin/sh\necho wrong\n", 0o644);
    file("two/twice", b"#!/bin/sh\necho right\n", 0o755);
    file("two/bare-script", b"echo \"ran $0 $1\"\n", 0o755);
    symlink("loop", directory.path().join("loop")).unwrap();
    directory
}

/// Exit status through pushwrap and through timeout, and what pushwrap said.
fn both(directory: &Path, path: &str, command: &[&str]) -> (i32, i32, String) {
    let run = |wrapper: &[&str]| {
        let mut call = Command::new(wrapper[0]);
        call.args(&wrapper[1..]).args(command).current_dir(directory).env("PATH", path).stdin(Stdio::null());
        call.output_in_time()
    };
    let binary = binary();
    let pushwrap = run(&[binary.to_str().unwrap(), "--url", "none", "--"]);
    let timeout = run(&["/usr/bin/timeout", "9"]);
    let said = String::from_utf8_lossy(&pushwrap.stderr).into_owned();
    (pushwrap.status.code().unwrap(), timeout.status.code().unwrap(), said)
}

#[test]
fn c11_what_cannot_be_run_ends_as_with_timeout_and_is_explained() {
    let workshop = workshop();
    let busy = OpenOptions::new().append(true).open(workshop.path().join("busy")).unwrap();
    let long = "n".repeat(300);
    let rows: &[(&str, i32, &str)] = &[
        ("./missing", 127, "no such file or directory"),
        ("missing", 127, "not found in PATH"),
        ("", 127, "not found in PATH"),
        ("./no-interpreter", 127, "its interpreter '/nowhere/interpreter' is missing"),
        ("./carriage-return", 127, "ends in a carriage return"),
        ("./not-executable", 126, "is not executable"),
        ("./directory", 126, "is a directory"),
        ("./directory/", 126, "is a directory"),
        ("./bare-script/x", 126, "not a directory"),
        ("./loop", 126, "symbolic link"),
        (&format!("./{long}"), 126, "too long"),
        ("./busy", 126, "is open for writing"),
        // The shell tries these two and fails: its status and its text, not ours.
        ("./garbage", 127, ""),
        ("./elf-magic", 127, ""),
    ];
    for (command, status, said) in rows {
        let (pushwrap, timeout, message) = both(workshop.path(), "/usr/bin:/bin", &[command]);
        assert_eq!(pushwrap, timeout, "'{command}': not as timeout(1): {message}");
        if !said.is_empty() {
            assert_eq!(pushwrap, *status, "'{command}': {message}");
            assert!(message.contains(said), "'{command}': {message}");
            assert!(message.starts_with("pushwrap: ") && message.lines().count() == 1, "'{command}': {message}");
        }
    }
    drop(busy);
    // Where it differs: a name that is too long for any file is not found, in a search.
    let (pushwrap, _, message) = both(workshop.path(), "/usr/bin:/bin", &[&long]);
    assert_eq!(pushwrap, 127, "{message}");
}

#[test]
fn c11_a_command_that_did_not_start_is_a_run_that_is_pushed() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let output = bare().args(["--url", &gateway.url(), "--job", "j", "--", "/nowhere/cmd"]).output_in_time();
    assert_eq!(output.status.code(), Some(127));
    let body = gateway.wait_for_requests(1)[0].body();
    assert!(body.contains("pushwrap_outcome{outcome=\"not_started\"} 1"), "{body}");
    assert!(body.contains("pushwrap_exit_code 127"), "{body}");
}

#[test]
fn c12_a_script_without_an_interpreter_runs_by_the_shell() {
    let workshop = workshop();
    let path = format!("{}/one:{}/two:/usr/bin:/bin", workshop.path().display(), workshop.path().display());
    for (command, expected) in [
        (["./bare-script", "argument"], "ran ./bare-script argument\n".to_owned()),
        (["bare-script", "argument"], format!("ran {}/two/bare-script argument\n", workshop.path().display())),
        (["./empty", ""], String::new()),
    ] {
        for through in Through::ALL.into_iter().skip(1) {
            let mut call = given(&["setenv", "PATH", &path], through, &command);
            let output = call.current_dir(&workshop).output_in_time();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{command:?} {through:?}");
            assert!(output.status.success() && output.stderr.is_empty(), "{command:?} {through:?}");
        }
    }
}

#[test]
fn c13_path_is_searched_as_everywhere() {
    let workshop = workshop();
    let here = workshop.path().display();
    let rows: &[(&str, &str, i32)] = &[
        (&format!("{here}/one:{here}/two"), "twice", 0),
        (&format!("{here}/one"), "twice", 126),
        // bash and pushwrap say 127 here, glibc's execvp leaves the last errno, which is ENOTDIR.
        (&format!("/bin:{here}/bare-script"), "missing", 127),
        (":/bin", "bare-script", 0),
        ("/bin:", "bare-script", 0),
        ("/nowhere::/bin", "bare-script", 0),
        ("", "bare-script", 0),
        ("/bin", "bare-script", 127),
    ];
    for (path, command, status) in rows {
        let (pushwrap, timeout, message) = both(workshop.path(), path, &[command]);
        assert_eq!(pushwrap, *status, "PATH={path} {command}: {message}");
        if !path.ends_with("/bare-script") {
            assert_eq!(pushwrap, timeout, "PATH={path} {command}: not as timeout(1)");
        }
    }
}

#[test]
fn c13_without_path_the_systems_own_directories_are_searched() {
    let workshop = workshop();
    for (command, status) in [("true", 0), ("bare-script", 127)] {
        let mut call = bare();
        call.args(["--url", "none", "--", command]).current_dir(&workshop).env_remove("PATH");
        assert_eq!(call.output_in_time().status.code(), Some(status), "{command}");
    }
}

#[test]
fn c13_an_argument_that_the_kernel_takes_is_taken_and_one_more_byte_is_not() {
    // MAX_ARG_STRLEN is 32 pages with the end of the string (execve(2)). The longest argument goes through; one that is a
    // byte longer cannot even be given to pushwrap, so there the variable that pushwrap adds is what is too long.
    let longest = "x".repeat(131_071);
    let output = bare().args(["--url", "none", "--", "true", &longest]).output_in_time();
    assert!(output.status.success(), "{output:?}");
    let file = format!("--textfile={}", "/".repeat(131_060));
    let output = bare().args(["--url", "none", &file, "--", "true"]).output_in_time();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(126), "{said}");
    assert!(said.contains("too long"), "{said}");
}

#[test]
fn c51_ps_shows_no_secret_while_the_command_runs() {
    let script = "tr '\\0' ' ' < /proc/$PPID/cmdline";
    let run = Pushwrap::new()
        .args([
            "-uoperator:s3cret",
            "-H",
            "X-Key: t0ken",
            "--url",
            "http://me:pa55@localhost:1/x",
            "--push-timeout",
            "1",
        ])
        .args(["--proxy=http://p:w0rd@localhost:1", "--job", "j", "-q"])
        .run(["sh", "-c", script, "operator:s3cret"]);
    assert!(run.status.success(), "{}", run.stderr);
    for secret in ["t0ken", "pa55", "w0rd"] {
        assert!(!run.stdout.contains(secret), "{}", run.stdout);
    }
    let (own, command) = run.stdout.split_once(" -- ").unwrap();
    assert!(own.contains("-uoperator:xxxxxx -H X-Key:xxxxxx --url http://xxxxxxx@localhost:1/x"), "{own}");
    assert!(command.contains("operator:s3cret"), "the command's own stay: {command}");
}

/// Given a command that leaves the directory in which it began, when it examines pushwrap, then pushwrap has left it too; relative
/// paths of options lead where they led.
#[test]
fn c52_pushwrap_does_not_keep_the_directory_in_which_it_began() {
    let gateway = Pushgateway::start(Version::Newest);
    let directory = tempfile::tempdir().unwrap();
    let run = Pushwrap::new().push_to(&gateway, "k").current_dir(directory.path());
    let run = run.args(["--textfile", "own.prom", "--output", "out.prom"]);
    let script =
        "echo 'x 1' >own.prom; cd /; until [ \"$(readlink /proc/$PPID/cwd)\" = / ]; do sleep 0.01; done; echo left";
    run.run(["sh", "-c", script]).exit(0).stdout("left\n").stderr("").pushed(&gateway, "k", "x 1\n");
    assert!(fs::read_to_string(directory.path().join("out.prom")).unwrap().contains("\nx{"));
}

#[test]
fn c11_a_script_that_starts_itself_again_is_stopped() {
    let gateway = Pushgateway::start(Version::Newest);
    let directory = tempfile::tempdir().unwrap();
    // The kernel ends the path of an interpreter at a blank: the repository may lie below one.
    let (own, name) = (directory.path().join("pushwrap"), "pushwrap");
    symlink(binary(), &own).unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let run = |file: &str, first_line: &str| {
        let script = directory.path().join(file);
        // Another process writes it: a child of another test would hold it open for writing here (ETXTBSY).
        let write = ["-c", "printf '#!%s\\nexit 7\\n' \"$1\" >\"$0\""];
        assert!(Command::new("sh").args(write).arg(&script).arg(first_line).status().unwrap().success());
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        let mut call = Command::new(&script);
        // The limit ends what would go on without end.
        call.env_clear().env("PATH", &path).env("PUSHWRAP_URL", gateway.url()).env("PUSHWRAP_TIMEOUT", "4");
        call.env("PUSHWRAP_INSTANCE", "none").env("PUSHWRAP_STATE_DIR", "none").env("PUSHWRAP_ENV_FILE", "none");
        let done = call.output_in_time();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let direct = format!("{} --", own.display());
    for (file, first_line) in [("direct", direct.as_str()), ("by-env", &format!("/usr/bin/env -S {name} --"))] {
        let (status, said) = run(file, first_line);
        assert_eq!(status, Some(126), "{first_line}: {said}");
        assert!(said.contains("starts pushwrap with the file itself as the command, without end"), "{said}");
        let group = gateway.group([("job", file)]).unwrap();
        assert_eq!(group.value("pushwrap_exit_code", []).unwrap(), "126", "{first_line}");
    }
    let group = gateway.group([("job", "direct")]).unwrap();
    assert_eq!(group.value("pushwrap_outcome", [("outcome", "not_started")]).unwrap(), "1");
    // A script that names what runs it is no such script, nor is one in a run.
    let (status, said) = run("shell", &format!("/usr/bin/env -S {name} -- sh"));
    assert_eq!(status, Some(7), "{said}");
    let inner = directory.path().join("shell");
    Pushwrap::new().args(["--url", "none"]).env("PATH", &path).run([&inner]).exit(7);
}

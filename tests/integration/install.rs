//! `pushwrap install`: a copy that runs, in one step, wherever it is to go.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::harness::pushwrap::binary;
use super::harness::{InTime as _, Pushwrap};

fn install(path: &Path) -> Pushwrap {
    Pushwrap::new().arg("install").arg(path)
}

/// It is our binary, executable for everybody, and runs.
#[track_caller]
fn runs(path: &Path) {
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(path).unwrap() == fs::read(binary()).unwrap(), "'{}' is another file", path.display());
    let output = Command::new(path).arg("--version").output_in_time();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("pushwrap {}\n", env!("CARGO_PKG_VERSION")));
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with(".pushwrap-")), "something is left: {names:?}");
}

#[test]
fn a_path_is_a_file_or_a_directory() {
    let root = tempfile::tempdir().unwrap();
    install(&root.path().join("pw")).call().exit(0).stdout("").stderr("");
    runs(&root.path().join("pw"));
    let name = binary().file_name().unwrap().to_owned();
    fs::create_dir(root.path().join("bin")).unwrap();
    install(&root.path().join("bin")).call().exit(0);
    runs(&root.path().join("bin").join(&name));
    // Relative, and from a copy that has another name.
    let copy = root.path().join("pw");
    let status = Command::new(&copy).args(["install", "other"]).current_dir(root.path().join("bin")).status_in_time();
    assert!(status.success());
    runs(&root.path().join("bin/other"));
}

#[test]
fn the_umask_does_not_matter_and_what_was_there_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("pw");
    fs::write(&target, "old").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o400)).unwrap();
    let script = format!("umask 077; exec '{}' install '{}'", binary().display(), target.display());
    assert!(Command::new("sh").args(["-c", &script]).status_in_time().success());
    runs(&target);
    // A link is replaced, not followed.
    let link = root.path().join("link");
    symlink("/dev/null", &link).unwrap();
    install(&link).call().exit(0);
    runs(&link);
}

#[test]
fn a_binary_that_runs_is_replaced_by_another_file() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("pw");
    install(&target).call().exit(0);
    let before = fs::metadata(&target).unwrap().ino();
    assert!(Command::new(&target).arg("install").arg(&target).status_in_time().success());
    runs(&target);
    assert_ne!(fs::metadata(&target).unwrap().ino(), before);
}

#[test]
fn what_cannot_be_written_is_said() {
    for (path, why) in [
        ("/nonexistent/a/pw", "there is no directory '/nonexistent'"),
        ("/nonexistent/", "there is no such directory"),
        ("/dev/null/pw", "'/dev/null' is not a directory"),
    ] {
        let said = format!("pushwrap: cannot install to '{path}': {why}\n");
        install(Path::new(path)).call().exit(1).stdout("").stderr(&said);
    }
    install(Path::new("/proc/pw")).call().exit(1).stdout("").stderr_has("cannot install to '/proc/pw': ");
}

#[test]
fn what_is_there_and_not_a_regular_file_stays() {
    let root = tempfile::tempdir().unwrap();
    let fifo = root.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        let path = root.path().join(name);
        let said = format!("pushwrap: cannot install to '{}': it is there and not a regular file\n", path.display());
        let before = fs::metadata(&path).unwrap().ino();
        install(&path).call().exit(1).stdout("").stderr(&said);
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }
}

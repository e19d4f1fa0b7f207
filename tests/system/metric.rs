//! `pushwrap metric` where it needs root or a daemon of the system: owners, a disk that is full, cron.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::engine::{need_program, need_root};
use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, Reply};

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A script that may cover directories of the system, in a mount namespace of its own.
pub(super) fn covered(script: &str) -> Output {
    need_root("mounting file systems");
    let mut call = Command::new(need_program("unshare", "util-linux"));
    call.args(["--mount", "--propagation", "private", "sh", "-euc", script]).arg(binary()).stdin(Stdio::null());
    call.output().unwrap()
}

#[test]
fn the_owner_of_the_file_stays_or_the_file_does() {
    need_root("files of other users");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, "x 1\n").unwrap();
    chown(&file, Some(65534), Some(65534)).unwrap();
    let set = |value: &str| {
        let mut call = Command::new(binary());
        call.args(["metric", "set", "x", value, "--textfile"]).arg(&file).output().unwrap()
    };
    assert!(set("2").status.success());
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (65534, 65534, 0o644));
    // Another user, who may write to the directory but cannot give files away.
    chown(&file, Some(0), Some(0)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let own = directory.path().join("pushwrap");
    fs::copy(binary(), &own).unwrap();
    let mut call = Command::new(need_program("setpriv", "util-linux"));
    call.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(own);
    let out = call.args(["metric", "set", "x", "3", "--textfile"]).arg(&file).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("its owner cannot be kept (operation not permitted): write it as that user"),
        "{out:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "# TYPE x gauge\nx 2\n");
}

#[test]
fn a_file_that_can_be_written_but_not_replaced_is_written_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path().display();
    // A bind mount cannot be renamed over (EBUSY); where the directory is read-only, no file can be made beside it (EROFS).
    let script = format!(
        "cd {d}; mkdir jobs; echo 'x 1234567890' >real; : >jobs/m.prom; mount --bind real jobs/m.prom
         export PUSHWRAP_TEXTFILE={d}/jobs/m.prom; \"$0\" metric set x 2; cat real
         \"$0\" metric set -v y 3 2>&1; cat real; ls -A jobs; rm jobs/.m.prom.lock; umount jobs/m.prom
         mount --bind jobs jobs; mount -o remount,bind,ro jobs; mount --bind real jobs/m.prom
         \"$0\" metric add n; cat real; ls -A jobs"
    );
    let out = covered(&script);
    let (x, y) = ("# TYPE x gauge\nx 2\n", "# TYPE y gauge\ny 3\n");
    let said = format!("pushwrap: '{d}/jobs/m.prom' cannot be replaced: it is written in place\n");
    let files = ".m.prom.lock\nm.prom\n";
    let n = "# TYPE n_total counter\nn_total 1\n";
    assert_eq!(text(&out.stdout), format!("{x}{said}{x}{y}{files}{x}{y}{n}m.prom\n"), "{}", text(&out.stderr));
    assert_eq!(text(&out.stderr), "");
}

#[test]
fn a_user_writes_a_file_in_another_users_directory() {
    need_root("files of other users");
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, "x 1\n").unwrap();
    chown(&file, Some(65534), Some(65534)).unwrap();
    let own = directory.path().join("pushwrap");
    fs::copy(binary(), &own).unwrap();
    let mut call = Command::new(need_program("setpriv", "util-linux"));
    call.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(own);
    let out = call.args(["metric", "set", "x", "3", "-v", "--textfile"]).arg(&file).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(text(&out.stderr).ends_with("cannot be replaced: it is written in place\n"), "{out:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "# TYPE x gauge\nx 3\n");
}

#[test]
fn a_full_disk_keeps_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path().display();
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {d}; for i in $(seq 1000); do echo \"other{{i=\\\"$i\\\"}} $i\"; done > {d}/m.prom
         cp {d}/m.prom {d}/../kept.$$; dd if=/dev/zero of={d}/fill bs=1k 2>/dev/null || :
         export PUSHWRAP_TEXTFILE={d}/m.prom; set +e; \"$0\" metric set x 1; echo $?; \"$0\" metric time x -- sh -c 'exit 7'; echo $?
         cmp {d}/m.prom {d}/../kept.$$ && echo same; rm {d}/fill {d}/../kept.$$; \"$0\" metric set x 1; echo $?; ls -A {d}"
    );
    let out = covered(&script);
    assert_eq!(text(&out.stdout), "1\n7\nsame\n0\n.m.prom.lock\nm.prom\n", "{}", text(&out.stderr));
    let said = text(&out.stderr);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.lines().all(|line| line.ends_with("no space left on device") || line.contains("no storage space")),
        "{said}"
    );
}

#[test]
fn the_example_runs_under_a_real_cron() {
    let cron = need_program("cron", "cron");
    let gateway = FakeGateway::start((0..4).map(|_| Reply::ok()));
    let directory = tempfile::tempdir().unwrap();
    symlink(binary(), directory.path().join("pushwrap")).unwrap();
    fs::create_dir(directory.path().join("srv")).unwrap();
    fs::write(directory.path().join("srv/file"), "text").unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backup.sh");
    let d = directory.path().display();
    let job = format!("pushwrap --url {} --job backup -- {} {d}/to {d}/srv", gateway.url(), example.display());
    fs::write(
        directory.path().join("table"),
        format!("PATH={d}:/usr/bin:/bin\n* * * * * root {job} >{d}/said 2>&1; touch {d}/over\n"),
    )
    .unwrap();
    let script = format!(
        "mount -t tmpfs tmpfs /etc/cron.d; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/spool/cron
         mkdir /var/spool/cron/crontabs; install -m 644 {d}/table /etc/cron.d/table
         {} -f & cron=$!; for i in $(seq 1 900); do [ -e {d}/over ] && break; sleep 0.1; done; kill $cron",
        cron.display()
    );
    let output = covered(&script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(directory.path().join("said")).unwrap(), "");
    let requests = gateway.requests();
    let body = requests.last().expect("a push").body();
    for part in
        ["backup_files_total 1\n", "backup_archive_seconds_count 1\n", "backup_verify_seconds ", "pushwrap_success 1\n"]
    {
        assert!(body.contains(part), "{body}");
    }
}

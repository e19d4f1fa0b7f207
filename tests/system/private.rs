//! A directory for temporary files that everybody can write and that is not sticky: another user may rename what root makes there.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::engine::{need_program, need_root};
use super::harness::pushwrap::binary;
use super::harness::{InTime as _, wait_for};

/// How many runs race. A check and a use of the path with a gap between them lose some of ten.
const RUNS: usize = 300;

/// As another user: puts a link to the victim into the place of every new directory, as fast as it can, and counts these on standard output.
const ATTACK: &str = "import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
place, victim = sys.argv[1:]
print('ready', flush=True)
number = 0
while True:
    for name in os.listdir(place):
        if not name.startswith('pushwrap.') or os.path.islink(place + '/' + name):
            continue
        try:
            os.rename(place + '/' + name, place + '/away.%d' % number)
            os.symlink(victim, place + '/' + name)
            number += 1
            print(number, flush=True)
        except OSError:
            pass
";

/// Given another user who puts links into the place of new directories, when root runs commands, then what the links lead to
/// stays as it was.
#[test]
fn a_link_in_place_of_a_new_directory_changes_nothing_elsewhere() {
    need_root("another user");
    let python = need_program("python3", "python3");
    let above = tempfile::tempdir_in("/var/tmp").unwrap();
    let [place, victim] = ["place", "victim"].map(|name| above.path().join(name));
    for (directory, mode) in [(above.path(), 0o755), (&place, 0o777), (&victim, 0o750)] {
        fs::create_dir_all(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(&place, Some(65534), Some(65534)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_001);
    fs::write(victim.join("metrics.prom"), "precious\n").unwrap();
    for path in [victim.join("metrics.prom"), victim.clone()] {
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let seen = tempfile::NamedTempFile::new().unwrap();
    let mut attacker = Command::new(python);
    attacker.args(["-c", ATTACK]).arg(&place).arg(&victim).stdin(Stdio::null()).stdout(seen.reopen().unwrap());
    let mut attacker = attacker.spawn().unwrap();
    let attacks = || fs::read_to_string(seen.path()).unwrap().lines().count();
    wait_for("the attacker", || (attacks() > 0).then_some(()));
    for _ in 0..RUNS {
        let mut call = Command::new(binary());
        call.env_clear().env("PATH", "/usr/bin:/bin").env("PUSHWRAP_STATE_DIR", "none").env("TMPDIR", &place);
        let out = call.args(["--url", "none", "--", "true"]).output_in_time();
        assert!(out.status.success(), "{out:?}");
    }
    let attacked = attacks();
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    assert!(attacked > RUNS / 10, "the other user replaced {attacked} directories only");
    let (directory, file) = (fs::metadata(&victim).unwrap(), fs::metadata(victim.join("metrics.prom")).unwrap());
    let times = [directory.modified().unwrap(), file.modified().unwrap()];
    assert_eq!((directory.mode() & 0o7777, times), (0o750, [long_ago; 2]));
    assert_eq!(fs::read_to_string(victim.join("metrics.prom")).unwrap(), "precious\n");
}

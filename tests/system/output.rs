//! `--output` where it needs root: a bind mount in place of the file.

use std::fs;

use super::metric::{covered, text};

#[test]
fn a_bind_mount_is_written_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path().display();
    // A bind mount cannot be renamed over (EBUSY); where the directory is read-only, no file can be made beside it (EROFS).
    let script = format!(
        "cd {d}; mkdir jobs; echo 'x 1234567890' >real; : >jobs/m.prom; mount --bind real jobs/m.prom
         run() {{ \"$BINARY\" --state-dir none --job j --instance none --output {d}/jobs/m.prom \"$@\"; }}
         BINARY=$0; run -- true; cp real first; run -v -- false 2>&1 | grep 'in place'
         ls -A jobs; umount jobs/m.prom; mount --bind jobs jobs; mount -o remount,bind,ro jobs; mount --bind real jobs/m.prom
         run -- true; ls -A jobs; cp real last"
    );
    let out = covered(&script);
    let said = format!("pushwrap: '{d}/jobs/m.prom' cannot be replaced: it is written in place\n");
    assert_eq!(text(&out.stdout), format!("{said}m.prom\nm.prom\n"), "{}", text(&out.stderr));
    assert_eq!(text(&out.stderr), "");
    let written = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    for name in ["first", "last"] {
        let text = written(name);
        assert!(text.contains("pushwrap_success{job=\"j\"} 1\n") && !text.contains("x 1234567890"), "{text}");
    }
    let success = "pushwrap_last_success_timestamp_seconds{job=\"j\"}";
    assert!(written("first").contains(success) && written("last").contains(success));
}

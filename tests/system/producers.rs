//! What real client libraries write today, made on the spot: Python's official client and the collector scripts
//! of the distribution, through the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Pushwrap, server};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn pythons_text_and_openmetrics_lose_nothing() {
    for format in ["text", "openmetrics"] {
        let script = root().join("tests/corpus/producers/python.py");
        let out = Command::new(server::program("python-prometheus")).arg(script).arg(format).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let samples =
            String::from_utf8(out.stdout.clone()).unwrap().lines().filter(|line| !line.starts_with('#')).count();
        let run = Pushwrap::new().args(["check", "--fix", "-"]).stdin(&out.stdout).call().exit(0);
        let kept = run.stdout.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(kept, samples, "{format}: {}", run.stderr);
        let _ = Pushwrap::new().args(["check", "-"]).stdin(&run.stdout).call().exit(0);
    }
}

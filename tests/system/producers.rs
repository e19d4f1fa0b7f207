//! What real client libraries write today, made on the spot: Python's prometheus-client from PyPI and the collector scripts
//! of the distribution, through the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Pushwrap;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A Python below `target/` that has prometheus-client.
fn python() -> PathBuf {
    let venv = root().join("target/python");
    let python = venv.join("bin/python");
    let has_library = |python: &Path| {
        Command::new(python).args(["-c", "import prometheus_client"]).output().is_ok_and(|out| out.status.success())
    };
    if !has_library(&python) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).output();
        assert!(made.is_ok_and(|out| out.status.success()), "python3 cannot make a venv: install python3-venv");
        let out = Command::new(&python).args(["-m", "pip", "-q", "install", "prometheus-client"]).output().unwrap();
        assert!(out.status.success(), "pip gets no prometheus-client: {}", String::from_utf8_lossy(&out.stderr));
    }
    python
}

#[test]
fn pythons_text_and_openmetrics_lose_nothing() {
    for format in ["text", "openmetrics"] {
        let script = root().join("tests/corpus/producers/python.py");
        let out = Command::new(python()).arg(script).arg(format).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let samples =
            String::from_utf8(out.stdout.clone()).unwrap().lines().filter(|line| !line.starts_with('#')).count();
        let run = Pushwrap::new().args(["check", "--fix", "-"]).stdin(&out.stdout).call().exit(0);
        let kept = run.stdout.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(kept, samples, "{format}: {}", run.stderr);
        let _ = Pushwrap::new().args(["check", "-"]).stdin(&run.stdout).call().exit(0);
    }
}

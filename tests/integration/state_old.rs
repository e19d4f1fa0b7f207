//! A state directory that an older version wrote, with one file for each group and destination: `fixtures/state-of-0.1` is what a
//! run that succeeded (`rows 5`, `seen 1`) and one that failed with 3 (`rows 6`) left there while two gateways and a receiver of
//! remote write were down.

use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Prometheus, Pushgateway, Pushwrap, Version};
use super::state::{files, flush};

const GATEWAY: &str = "http://gateway.example:9091";
const OTHER: &str = "http://other.example:9091";
const RECEIVER: &str = "http://prometheus.example:9090/api/v1/write";

fn copy() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/state-of-0.1");
    for file in fs::read_dir(fixture).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), state.path().join(file.file_name())).unwrap();
    }
    state
}

/// The servers have no such names: each of them is asked as a proxy, and answers what is asked of it itself.
fn by_way_of(call: Pushwrap, server: &str) -> Pushwrap {
    call.env("http_proxy", server)
}

fn run(gateway: &Pushgateway, state: &Path) -> Pushwrap {
    let call = Pushwrap::new().args(["--url", GATEWAY, "--job", "nightly", "--instance", "none", "--state-dir"]);
    by_way_of(call.arg(state), &gateway.url())
}

/// The files that the older version knows.
fn old_files(state: &Path) -> Vec<PathBuf> {
    let old = |path: &PathBuf| path.parent() == Some(state) && path.file_name().unwrap().len() > 32;
    files(state, "").into_iter().filter(old).collect()
}

#[track_caller]
fn assert_the_two_runs(gateway: &Pushgateway) {
    let group = gateway.group([("job", "nightly")]).unwrap();
    let number = |name: &str| group.number(name, []);
    assert_eq!((number("rows"), number("seen")), (Some(6.0), Some(1.0)));
    assert_eq!((number("pushwrap_exit_code"), number("pushwrap_consecutive_failures")), (Some(3.0), Some(1.0)));
    assert!(number("pushwrap_last_success_timestamp_seconds").is_some());
    let counts = ["success", "failure"].map(|outcome| group.value("pushwrap_runs_total", [("outcome", outcome)]));
    assert_eq!(counts.map(Option::unwrap), ["1", "1"]);
}

#[test]
fn flush_sends_all_that_an_older_version_left_and_the_counts_go_on() {
    let (state, gateway, other) = (copy(), Pushgateway::start(Version::Newest), Pushgateway::start(Version::Bookworm));
    let prometheus = Prometheus::start_with(&[], false, &["--web.enable-remote-write-receiver"]);
    assert_eq!(old_files(state.path()).len(), 8);
    let flush = |option: [&str; 2], server: &str| by_way_of(flush(state.path()), server).args(option).call().exit(0);
    for (url, gateway) in [(GATEWAY, &gateway), (OTHER, &other)] {
        flush(["--url", url], &gateway.url()).stdout_has(&format!("{{job=\"nightly\"}} pushed to '{url}' (stored "));
        assert_the_two_runs(gateway);
    }
    flush(["--remote-write", RECEIVER], &prometheus.url()).stdout_has("{job=\"nightly\"} written to").stderr("");
    assert_eq!(prometheus.wait_for("pushwrap_exit_code{job=\"nightly\"}")[0].1, "3");
    assert_eq!(prometheus.query("rows{job=\"nightly\"}")[0].1, "6");
    assert_eq!((old_files(state.path()), files(state.path(), ".push")), (Vec::new(), Vec::new()));
    run(&gateway, state.path()).run(["true"]).exit(0).stderr("");
    let group = gateway.group([("job", "nightly")]).unwrap();
    let counts = ["success", "failure"].map(|outcome| group.value("pushwrap_runs_total", [("outcome", outcome)]));
    assert_eq!(counts.map(Option::unwrap), ["2", "1"]);
}

#[test]
fn the_next_run_sends_what_an_older_version_left_and_counts_itself() {
    let (state, gateway) = (copy(), Pushgateway::start(Version::Newest));
    run(&gateway, state.path()).textfile("rows 7\n").run(["sh", "-c", "exit 4"]).exit(4).stderr("");
    let group = gateway.group([("job", "nightly")]).unwrap();
    let number = |name: &str| group.number(name, []);
    assert_eq!((number("rows"), number("seen")), (Some(7.0), Some(1.0)));
    assert_eq!((number("pushwrap_exit_code"), number("pushwrap_consecutive_failures")), (Some(4.0), Some(2.0)));
    assert!(number("pushwrap_last_success_timestamp_seconds").is_some());
    assert_eq!(group.value("pushwrap_runs_total", [("outcome", "failure")]).as_deref(), Some("2"));
    assert_eq!(old_files(state.path()).len(), 4, "what is for others stays");
}

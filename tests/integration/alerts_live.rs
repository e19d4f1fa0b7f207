//! The alert rules, live: real runs with one problem each, a real Pushgateway and a real Prometheus that loads the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::harness::pushgateway::Version;
use super::harness::server::{self, Server};
use super::harness::{Prometheus, Pushgateway, Pushwrap, http, wait_for};

/// The rules with times that a test can wait for.
fn rules() -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/alerts/gateway.yml");
    fs::read_to_string(shipped)
        .unwrap()
        .replace("offset 1d", "offset 5s")
        .replace("for: 5m", "for: 1s")
        .replace("> 300", "> 5")
}

/// One that scrapes the gateway and judges the rules every second.
fn prometheus(gateway: &Pushgateway) -> Prometheus {
    let config = serde_json::json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": ["rules.yml"],
        "scrape_configs": [{
            "job_name": "pushgateway",
            "honor_labels": true,
            "static_configs": [{ "targets": [gateway.address()] }],
        }],
    });
    Prometheus::of(Server::start(&server::program("prometheus"), |port, directory| {
        fs::write(directory.join("rules.yml"), rules()).unwrap();
        fs::write(directory.join("prometheus.yml"), config.to_string()).unwrap();
        vec![
            format!("--config.file={}", directory.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", directory.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ]
    }))
}

/// What fires, as `ALERT JOB`.
fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let rows = prometheus.query("ALERTS{alertstate=\"firing\"}");
    rows.into_iter().map(|(labels, _)| format!("{} {}", labels["alertname"], labels["job"])).collect()
}

#[test]
fn each_trouble_of_a_real_run_fires_one_alert_and_a_good_run_none() {
    let gateway = Pushgateway::start(Version::Newest);
    let prometheus = prometheus(&gateway);
    let state = tempfile::tempdir().unwrap();
    let run = |job: &str, options: &[&str], command: &[&str]| {
        Pushwrap::new().push_to(&gateway, job).args(options).run(command);
    };
    let long = Pushwrap::new()
        .push_to(&gateway, "long")
        .args(["--max-age", "8", "--push-interval", "1"])
        .spawn(["sleep", "300"]);
    let lost = Pushwrap::new().push_to(&gateway, "lost").args(["--push-interval", "1"]).spawn(["sleep", "30"]);
    wait_for("the first push of the run that is to be lost", || gateway.group([("job", "lost")]));
    lost.kill(nix::sys::signal::Signal::SIGKILL);
    run("good", &["--max-age", "1h", "--timeout", "1h"], &["true"]);
    run("failing", &[], &["false"]);
    for _ in 0..3 {
        run("keeps", &["--state-dir", state.path().to_str().unwrap()], &["false"]);
    }
    run("overdue", &["--max-age", "1"], &["true"]);
    run("never", &["--max-age", "1h"], &["false"]);
    run("timeout", &["--timeout", "1"], &["sleep", "99"]);
    run("broken", &[], &["sh", "-c", "echo 'x{ 1' >>\"$PUSHWRAP_TEXTFILE\""]);
    let conflict = b"# TYPE pushwrap_running counter\npushwrap_running 1\n";
    let refused = http::request("POST", &format!("{}/metrics/job/refused", gateway.url()), conflict);
    assert!(refused.is_ok_and(|answer| answer.status == 400), "the gateway refuses another type");

    let expected = [
        "JobFailed failing",
        "JobFailed timeout",
        "JobKeepsFailing keeps",
        "JobLost lost",
        "JobMetricsBroken broken",
        "JobNeverSucceeded never",
        "JobOverdue overdue",
        "JobPushRefused refused",
        "JobRunningTooLong long",
    ];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    wait_for("each problem to fire its alert, and no other", || (firing(&prometheus) == expected).then_some(()));
    long.kill(nix::sys::signal::Signal::SIGTERM);
    drop(gateway);
    prometheus.wait_for("ALERTS{alertname=\"PushgatewayDown\",alertstate=\"firing\"}");
}

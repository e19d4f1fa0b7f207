//! The recording rules and the dashboard, live: a real Prometheus evaluates every expression over the data of real runs, and none
//! is empty. The two that need a control group with a limit are in tests/system.

use nix::sys::signal::Signal;

use super::harness::alerts::{Judge, dashboard_expressions, dashboard_variables, needs_limit, recorded_names};
use super::harness::pushgateway::Version;
use super::harness::{Prometheus, Pushgateway, Pushwrap, Running, wait_for};

/// Runs of every kind that a figure is made of, at one gateway. What still runs is returned.
fn run_all_kinds(gateway: &Pushgateway) -> Running {
    let call = |job: &str| Pushwrap::new().args(["--url", &gateway.url(), "--job", job, "--instance", "db1"]);
    let spawn_known = |job: &str| {
        let running = call(job).args(["--push-interval", "1"]).spawn(["sleep", "300"]);
        wait_for("the first push", || gateway.group([("instance", "db1"), ("job", job)]));
        running
    };
    let state = tempfile::tempdir().unwrap();
    let counted = |job: &str| call(job).arg("--state-dir").arg(state.path());
    counted("good").args(["--max-age", "1h", "--timeout", "1h"]).run(["sleep", "1"]).exit(0);
    for _ in 0..2 {
        counted("bad").run(["false"]).exit(1);
    }
    call("overdue").args(["--max-age", "1"]).run(["true"]).exit(0);
    spawn_known("lost").kill(Signal::SIGKILL);
    let running = spawn_known("running");
    // The gateway takes no series that another group holds with another type.
    gateway.push(
        "POST",
        "job/script",
        "# TYPE pushwrap_textfile_mtime_seconds counter\npushwrap_textfile_mtime_seconds 0\n",
    );
    call("refused").textfile("x 1\n").run(["true"]).exit(0).stderr_has("400 Bad Request");
    running
}

#[track_caller]
fn value(prometheus: &Prometheus, series: &str) -> f64 {
    let rows = prometheus.wait_for(series);
    assert_eq!(rows.len(), 1, "{series}: {rows:?}");
    rows[0].1.parse().unwrap()
}

#[test]
fn every_figure_of_the_dashboard_and_of_the_recording_rules_has_a_value() {
    let gateway = Pushgateway::start(Version::Newest);
    let prometheus = Judge::default().with_recording_rules().of_gateway(&gateway).start();
    let running = run_all_kinds(&gateway);

    let (limits, expressions): (Vec<_>, Vec<_>) =
        dashboard_expressions().into_iter().partition(|each| needs_limit(each));
    assert_eq!(
        limits.len() + expressions.len(),
        include_str!("../../examples/grafana/pushwrap.json").matches("\"expr\"").count()
    );
    assert_eq!(limits.len(), 2, "{limits:?}");
    let names = recorded_names();
    assert!(names.len() > 5, "{names:?}");
    for expression in expressions.iter().chain(&names) {
        for (labels, value) in prometheus.wait_for(expression) {
            assert!(value.parse::<f64>().unwrap().is_finite(), "{expression}: {value} for {labels:?}");
        }
    }
    for (series, expected) in [
        ("job:pushwrap_success:ratio{job=\"good\"}", 1.0),
        ("job:pushwrap_success:ratio{job=\"bad\"}", 0.0),
        ("job:pushwrap_success:ratio7d{job=\"good\"}", 1.0),
        ("job_outcome:pushwrap_runs:increase1d{job=\"bad\",outcome=\"failure\"}", 2.0),
        ("job_outcome:pushwrap_runs:increase1d{job=\"good\",outcome=\"success\"}", 1.0),
    ] {
        assert!((value(&prometheus, series) - expected).abs() < 1e-9, "{series}");
    }
    for series in ["job:pushwrap_duration_seconds:max", "job:pushwrap_duration_seconds:median7d"] {
        let seconds = value(&prometheus, &format!("{series}{{job=\"good\"}}"));
        assert!((1.0..60.0).contains(&seconds), "{series}: {seconds}");
    }
    let since = value(&prometheus, "job:pushwrap_since_success_seconds:max{job=\"overdue\"}");
    assert!((0.0..300.0).contains(&since), "{since}");
    running.kill(Signal::SIGTERM);
}

/// The lists from which a user of the dashboard chooses.
#[test]
fn the_variables_of_the_dashboard_list_what_there_is() {
    let gateway = Pushgateway::start(Version::Newest);
    let prometheus = Judge::default().of_gateway(&gateway).start();
    Pushwrap::new().args(["--url", &gateway.url(), "--job", "j", "--instance", "db1"]).run(["true"]).exit(0);
    let variables = dashboard_variables();
    assert_eq!(variables.len(), 2, "{variables:?}");
    for (series, label) in variables {
        let rows = prometheus.wait_for(&format!("count by ({label}) ({series})"));
        assert_eq!(rows[0].0[&label], if label == "job" { "j" } else { "db1" });
    }
}

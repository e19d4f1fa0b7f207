//! `--remote-write`: real receivers hold what a run says, without a gateway between.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::harness::fake::CLOSED_PORT;
use super::harness::server::{self, Server};
use super::harness::{FakeGateway, Prometheus, Pushwrap, Reply, http, wait_for, within_limit};

const HISTOGRAM: &str = "# TYPE d histogram\nd_bucket{le=\"0.5\"} 1\nd_bucket{le=\"+Inf\"} 3\nd_sum 4.25\nd_count 3\n\
    # TYPE s summary\ns{quantile=\"0.9\"} 7\ns_sum 8\ns_count 9\nodd{a=\"q\\\"b\\\\n\\n\",empty=\"\",zone=\"us\"} -1.5e-3\n\
    none NaN\nendless +Inf\n";

/// A run as `{job="j", zone="eu"}` that is written to this address and nowhere else.
fn to(url: &str) -> Pushwrap {
    Pushwrap::new().args(["--job", "j", "-l", "zone=eu", "--instance", "none", "--remote-write", url])
}

fn receiver() -> Prometheus {
    Prometheus::start_with(&[], true, &["--web.enable-remote-write-receiver"])
}

fn write_url(prometheus: &Prometheus) -> String {
    format!("{}/api/v1/write", prometheus.url())
}

/// The one value of a series.
#[track_caller]
fn value(prometheus: &Prometheus, series: &str) -> String {
    let rows = prometheus.wait_for(series);
    assert_eq!(rows.len(), 1, "{series}: {rows:?}");
    rows[0].1.clone()
}

#[test]
fn prometheus_holds_the_run_under_its_grouping_labels() {
    let prometheus = receiver();
    let run = to(&write_url(&prometheus)).arg("-v").textfile(HISTOGRAM).run(["sh", "-c", "exit 3"]).exit(3).stdout("");
    run.stderr_has(&format!("pushed {{job=\"j\", zone=\"eu\"}} to '{}' (204)\n", write_url(&prometheus)));
    let in_group = |name: &str| format!("{name}{{job=\"j\",zone=\"eu\",instance=\"\"}}");
    for (series, expected) in [
        (in_group("pushwrap_exit_code"), "3"),
        (in_group("d_sum"), "4.25"),
        (in_group("s_count"), "9"),
        (in_group("endless"), "+Inf"),
        (in_group("none"), "NaN"),
        ("d_bucket{le=\"0.5\"}".to_owned(), "1"),
        ("d_bucket{le=\"+Inf\"}".to_owned(), "3"),
        ("s{quantile=\"0.9\"}".to_owned(), "7"),
        ("odd{a=\"q\\\"b\\\\n\\n\",empty=\"\",zone=\"eu\"}".to_owned(), "-0.0015"),
        ("pushwrap_outcome{outcome=\"failure\"}".to_owned(), "1"),
        ("histogram_quantile(0.25, d_bucket)".to_owned(), "0.375"),
    ] {
        assert_eq!(value(&prometheus, &series), expected, "{series}");
    }
}

#[test]
fn runs_one_after_the_other_are_samples_of_the_same_series() {
    let prometheus = receiver();
    for code in 1..=5 {
        to(&write_url(&prometheus)).run(["sh", "-c", &format!("exit {code}")]).exit(code).stderr("");
    }
    assert_eq!(value(&prometheus, "pushwrap_exit_code"), "5");
    assert_eq!(value(&prometheus, "count_over_time(pushwrap_exit_code[5m])"), "5");
}

#[test]
fn a_prometheus_that_takes_no_remote_write_says_how_it_would() {
    let prometheus = Prometheus::start(&[], true);
    let run = to(&write_url(&prometheus)).run(["true"]).exit(0);
    run.stderr_has("404 Not Found: remote write receiver")
        .stderr_has("(start Prometheus with --web.enable-remote-write-receiver)");
}

#[test]
fn a_sample_that_is_older_than_the_newest_is_explained() {
    let text = "out of order sample\n";
    let fake = FakeGateway::start([Reply::status("400 Bad Request", text)]);
    to(&format!("{}/api/v1/push", fake.url())).run(["true"]).exit(0).stderr_has("is the clock of this machine right?");
}

#[test]
fn the_request_is_that_of_the_specification() {
    let fake = FakeGateway::start([Reply::status("204 No Content", "")]);
    let url = format!("{}/api/prom/push", fake.url()).replace("http://", "http://me:pw@");
    to(&url).args(["-H", "X-Scope-OrgID: tenant"]).run(["true"]).exit(0).stderr("");
    let request = fake.wait_for_requests(1).remove(0);
    assert_eq!(request.line(), "POST /api/prom/push HTTP/1.1");
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("user-agent", concat!("pushwrap/", env!("CARGO_PKG_VERSION"))),
        ("authorization", "Basic bWU6cHc="),
        ("x-scope-orgid", "tenant"),
    ] {
        assert_eq!(request.header(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn metrics_that_are_refused_do_not_take_the_run_with_them() {
    let fake = FakeGateway::start([Reply::status("400 Bad Request", "nonsense"), Reply::status("204 No Content", "")]);
    let run = to(&format!("{}/api/v1/write", fake.url())).textfile("x 1\n").run(["true"]).exit(0);
    run.stderr_has("refused the command's metrics, only the run's own metrics were pushed: 400 Bad Request: nonsense");
    let lengths: Vec<usize> = fake.wait_for_requests(2).iter().map(|request| request.raw.len()).collect();
    assert!(lengths[1] > 0 && fake.connections() == 2, "{lengths:?}");
}

#[test]
fn a_receiver_that_hangs_or_is_down_holds_up_nothing_else() {
    let (up, silent) = (FakeGateway::start([Reply::ok()]), FakeGateway::start([Reply::Silence]));
    for url in [silent.url(), CLOSED_PORT.to_owned()] {
        let run = within_limit(Duration::from_millis(1300), || {
            let call = to(&format!("{url}/api/v1/write")).args(["--url", &up.url(), "--push-timeout", "1"]);
            call.run(["true"]).exit(0)
        });
        run.stderr_has(&format!("cannot write to '{url}/api/v1/write'"));
    }
    up.wait_for_requests(2);
    let failing = to(&format!("{CLOSED_PORT}/api/v1/write")).args(["--push-timeout", "0.3", "--require-push"]);
    failing.run(["true"]).exit(125);
}

#[test]
fn a_wrong_address_is_refused_before_the_command_runs() {
    let wrong = |url: &str| to(url).run(["true"]).exit(125);
    wrong("http://prometheus:9090").stderr_has("give it whole, as 'http://prometheus:9090/api/v1/write'");
    wrong("http://u:s3cret@prometheus:9090/x?y#z").stderr_has("fragment").stderr_lacks("s3cret");
    let call = Pushwrap::new().env("PUSHWRAP_REMOTE_WRITE", "nonsense://").args(["--job", "j"]);
    call.run(["echo", "out"]).exit(0).stdout("out\n").stderr_has("PUSHWRAP_REMOTE_WRITE");
}

#[test]
fn what_a_receiver_does_not_take_waits_and_is_sent_later() {
    let state = tempfile::tempdir().unwrap();
    let fake = FakeGateway::start([Reply::status("401 Unauthorized", ""), Reply::status("204 No Content", "")]);
    let url = format!("{}/api/v1/write", fake.url());
    let call = to(&url).arg("--state-dir").arg(state.path());
    call.run(["sh", "-c", "exit 6"]).exit(6).stderr_has("401").stderr_has("it waits in");
    let text = fs::read_to_string(&super::state::files(state.path(), ".push")[0]).unwrap();
    assert!(text.contains("kind remote-write\n") && text.contains("label zone=eu\n"), "{text}");
    let flush = Pushwrap::new().args(["flush", "--state-dir"]).arg(state.path()).call().exit(0).stderr("");
    flush.stdout_has(&format!("{{job=\"j\", zone=\"eu\"}} written to '{url}' (stored "));
    let sent = fake.wait_for_requests(2).remove(1);
    assert_eq!(sent.header("content-encoding").as_deref(), Some("snappy"));
    assert_eq!(sent.line(), "POST /api/v1/write HTTP/1.1");
}

/// A `VictoriaMetrics`, by the name that scripts/servers gives it.
fn victoria_metrics(name: &str) -> Server {
    let server = Server::start(&server::program(name), |port, dir| {
        vec![
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}", dir.join("data").display()),
            "-search.latencyOffset=0s".to_owned(),
        ]
    });
    wait_for("VictoriaMetrics to answer", || {
        let answer = http::request("GET", &format!("{}/health", server.url()), b"").ok()?;
        (answer.status == 200).then_some(())
    });
    server
}

/// The values of all series that VictoriaMetrics exports for a name.
#[track_caller]
fn exported(server: &Server, name: &str) -> Vec<Value> {
    wait_for(&format!("{name} at VictoriaMetrics"), || {
        let body = http::get(&format!("{}/api/v1/export?match[]={name}", server.url()).replace("[]", "%5B%5D"));
        let rows: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (!rows.is_empty()).then_some(rows)
    })
}

#[test]
fn victoria_metrics_takes_remote_write() {
    for name in ["victoria-metrics", "victoria-metrics-newest"] {
        let server = victoria_metrics(name);
        to(&format!("{}/api/v1/write", server.url())).textfile("written 1.5\n").run(["true"]).exit(0).stderr("");
        let rows = exported(&server, "written");
        assert_eq!(rows[0]["values"], serde_json::json!([1.5]));
        assert_eq!(rows[0]["metric"], serde_json::json!({"__name__": "written", "job": "j", "zone": "eu"}));
    }
}

/// Bookworm's is too old for this sink.
#[test]
fn victoria_metrics_takes_pushes_as_a_gateway_does() {
    let server = victoria_metrics("victoria-metrics-newest");
    let import = format!("{}/api/v1/import/prometheus", server.url());
    let pushed = Pushwrap::new().args(["--job", "a b", "-l", "zone=eu", "--instance", "none", "--url", &import]);
    pushed.textfile("imported 2\n").run(["true"]).exit(0).stderr("");
    let rows = exported(&server, "imported");
    assert_eq!(rows[0]["values"], serde_json::json!([2]));
    assert_eq!(rows[0]["metric"], serde_json::json!({"__name__": "imported", "job": "a b", "zone": "eu"}));
}

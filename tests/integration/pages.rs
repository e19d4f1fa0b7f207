//! Each fenced block of README.md and docs/ has a test that executes or validates it as it stands. Here are those that need no
//! container; the others are in tests/system.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::harness::pages::{block, blocks, typed};
use super::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, Run, Version, server, wait_for};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_block_of_the_pages_is_named_by_a_test() {
    let files = ["tests/integration", "tests/system"].map(|place| fs::read_dir(root().join(place)).unwrap());
    let paths = files.into_iter().flatten().map(|entry| entry.unwrap().path());
    let tests: String =
        paths.filter(|path| path.extension().is_some_and(|name| name == "rs")).map(|path| read(&path)).collect();
    // A drawing is neither run nor read by a program.
    let is_drawing = |name: &str, language: &str| name.starts_with("docs/ARCHITECTURE.md#") && language == "text";
    let blocks = blocks();
    assert!(blocks.len() > 30, "only {} blocks were found", blocks.len());
    let without = blocks.iter().filter(|block| !block.generated && !is_drawing(&block.name, &block.language));
    let without: Vec<String> = without
        .filter(|block| !tests.contains(&format!("\"{}\"", block.name)))
        .map(|block| format!("{} ({})", block.name, block.language))
        .collect();
    assert!(without.is_empty(), "no test executes or validates these blocks:\n{}", without.join("\n"));
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Runs promtool in a directory, which must succeed.
#[track_caller]
fn promtool(directory: &Path, arguments: &[&str]) {
    let ran = Command::new(server::program("promtool")).args(arguments).current_dir(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
}

#[test]
fn prometheus_takes_the_configuration_on_the_page_about_alerts() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("prometheus.yml"), block("docs/alerting.md#alerts-for-every-job")).unwrap();
    fs::copy(root().join("examples/alerts/gateway.yml"), directory.path().join("gateway.yml")).unwrap();
    promtool(directory.path(), &["check", "config", "prometheus.yml"]);
}

#[test]
fn the_annotation_links_an_alert_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let annotations = block("docs/alerting.md#the-log-of-a-failed-run 2").replace('\n', "\n    ");
    let rules =
        format!("groups:\n- name: x\n  rules:\n  - alert: A\n    expr: pushwrap_success == 0\n    {annotations}\n");
    fs::write(directory.path().join("rules.yml"), rules).unwrap();
    // JSON is YAML.
    let test = json!({
        "rule_files": ["rules.yml"],
        "tests": [{
            "input_series": [
                { "series": "pushwrap_success{job=\"backup\"}", "values": "0x9" },
                { "series": "pushwrap_run_info{job=\"backup\",log=\"https://logs.example/?unit=backup.service\"}", "values": "1x9" },
                { "series": "pushwrap_run_info{job=\"other\",log=\"https://logs.example/other\"}", "values": "1x9" },
            ],
            "alert_rule_test": [{
                "eval_time": "5m",
                "alertname": "A",
                "exp_alerts": [{
                    "exp_labels": { "job": "backup" },
                    "exp_annotations": { "log": "https://logs.example/?unit=backup.service" },
                }],
            }],
        }],
    });
    fs::write(directory.path().join("test.yml"), test.to_string()).unwrap();
    promtool(directory.path(), &["test", "rules", "test.yml"]);
}

#[test]
fn the_python_program_hands_its_metrics_over_and_runs_by_hand_too() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("job.py");
    fs::write(&program, block("docs/migrating.md#from-client-libraries")).unwrap();
    let python = server::program("python-prometheus");
    let gateway = Pushgateway::start(Version::Newest);
    Pushwrap::new().push_to(&gateway, "rows").run([&python, &program]).exit(0).stderr("");
    let group = gateway.group([("job", "rows")]).expect("the job's group");
    assert_eq!(group.number("rows_total", []), Some(42.0));
    assert_eq!(group.kind("rows_total").as_deref(), Some("COUNTER"));
    let by_hand = Command::new(python).arg(program).env_remove("PUSHWRAP_TEXTFILE").status().unwrap();
    assert!(by_hand.success());
}

#[test]
fn a_summary_has_the_lines_of_its_page() {
    let gateway = Pushgateway::start(Version::Newest);
    let run = Pushwrap::new().push_to(&gateway, "backup").arg("--summary").textfile("x 1\n").run(["true"]).exit(0);
    let heads = |text: &str| -> Vec<String> {
        let line = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        // A run that has used no disk has no line about it.
        text.lines().map(line).filter(|head| head != "pushwrap: disk").collect()
    };
    assert_eq!(heads(&run.stderr), heads(&block("docs/reference.md#--summary")));
    for part in ["outcome   success, exit status 0\n", "metrics   1 sample\n", "ms (200)\n"] {
        assert!(run.stderr.contains(part), "no '{part}' in:\n{}", run.stderr);
    }
}

/// Calls pushwrap as a line of a page says, with a gateway of this test in the place of the page's.
fn call(line: &str, gateway: &FakeGateway) -> Run {
    let arguments = line.strip_prefix("pushwrap ").unwrap().replace("http://pushgateway:9091", &gateway.url());
    Pushwrap::new().args(arguments.split(' ')).call()
}

/// What a gateway says that holds these groups: labels, and the value of each metric.
fn held(groups: &[(Value, &[(&str, f64)])], date: &[&str]) -> Reply {
    let group = |(labels, metrics): &(Value, &[(&str, f64)])| {
        let mut families = BTreeMap::from([("labels".to_owned(), labels.clone())]);
        for (name, value) in *metrics {
            let (family, own) = match name.strip_prefix("pushwrap_outcome ") {
                Some(outcome) => ("pushwrap_outcome", json!({ "outcome": outcome })),
                None => (*name, json!({})),
            };
            let sample = json!({ "type": "GAUGE", "metrics": [{ "labels": own, "value": value.to_string() }] });
            families.insert(family.to_owned(), sample);
        }
        json!(families)
    };
    let groups: Vec<Value> = groups.iter().map(group).collect();
    Reply::with_headers("200 OK", date, &json!({ "status": "success", "data": groups }).to_string())
}

/// The groups in the table of docs/gateway.md.
fn groups_of_the_table(now: f64) -> Reply {
    let (minute, hour, day) = (60.0, 3600.0, 86400.0);
    held(
        &[
            (
                json!({ "job": "backup", "instance": "db1" }),
                &[
                    ("pushwrap_running", 0.0),
                    ("pushwrap_outcome success", 1.0),
                    ("pushwrap_start_timestamp_seconds", now - 9.5 * hour),
                    ("pushwrap_duration_seconds", 724.0),
                    ("push_time_seconds", now - 9.3 * hour),
                ],
            ),
            (
                json!({ "job": "import", "instance": "db2" }),
                &[
                    ("pushwrap_running", 1.0),
                    ("pushwrap_start_timestamp_seconds", now - 190.0),
                    ("pushwrap_report_timestamp_seconds", now - 10.0),
                    ("push_time_seconds", now - 10.0),
                ],
            ),
            (json!({ "job": "legacy", "instance": "old7" }), &[("x", 1.0), ("push_time_seconds", now - 412.5 * day)]),
            (
                json!({ "job": "report", "namespace": "batch" }),
                &[
                    ("pushwrap_running", 0.0),
                    ("pushwrap_outcome failure", 1.0),
                    ("pushwrap_start_timestamp_seconds", now - 27.5 * minute),
                    ("pushwrap_duration_seconds", 8.2),
                    ("push_time_seconds", now - 27.3 * minute),
                    ("push_failure_time_seconds", now - 5.5 * minute),
                ],
            ),
            (
                json!({ "job": "sync", "instance": "web2" }),
                &[
                    ("pushwrap_running", 0.0),
                    ("pushwrap_outcome success", 1.0),
                    ("pushwrap_start_timestamp_seconds", now - 31.5 * hour),
                    ("pushwrap_duration_seconds", 63.0),
                    ("pushwrap_last_success_timestamp_seconds", now - 31.4 * hour),
                    ("pushwrap_max_age_seconds", 26.0 * hour),
                    ("push_time_seconds", now - 31.4 * hour),
                ],
            ),
        ],
        &[],
    )
}

#[test]
fn groups_prints_the_table_of_its_page() {
    let [(command, table)] = &typed(&block("docs/gateway.md#pushwrap-groups"))[..] else { panic!("one command") };
    // The ages are those of the page for less than a second.
    wait_for("the table of the page", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let gateway = FakeGateway::start([groups_of_the_table(now)]);
        let run = call(command, &gateway).exit(0).stderr("");
        let cells = |text: &str| text.split_whitespace().count();
        assert_eq!(cells(&run.stdout), cells(table), "{}", run.stdout);
        (run.stdout == *table).then_some(())
    });
}

#[test]
fn prune_prints_the_line_of_its_page() {
    let [(command, line)] = &typed(&block("docs/gateway.md#pushwrap-prune"))[..] else { panic!("one command") };
    // The clock of the gateway is at 1 000 000 000 seconds since 1970, and ages are by it.
    let now = 1e9;
    let date = ["Date: Sun, 09 Sep 2001 01:46:40 GMT"];
    let young =
        (json!({ "job": "sync" }), &[("push_time_seconds", now - 1000.0), ("push_failure_time_seconds", 0.0)][..]);
    let old = (
        json!({ "job": "legacy", "instance": "old7" }),
        &[("push_time_seconds", now - 412.5 * 86400.0), ("push_failure_time_seconds", 0.0)][..],
    );
    let both = held(&[old, young.clone()], &date);
    let gone = held(&[young], &date);
    let gateway = FakeGateway::start([both.clone(), both, Reply::status("202 Accepted", ""), gone]);
    call(command, &gateway).exit(0).stdout(line);
}

/// The runs themselves take minutes or hours: make says what it would do.
#[test]
fn make_knows_the_goals_of_the_page_about_reliability() {
    let commands = typed(&block("docs/reliability.md#reliability"));
    assert!(!commands.is_empty());
    for (command, _) in commands {
        let rehearsed = command.replace("make ", "make -n ");
        let ran = Command::new("sh").args(["-c", &rehearsed]).current_dir(root()).output().unwrap();
        assert!(ran.status.success() && rehearsed != command, "{rehearsed}: {ran:?}");
    }
}

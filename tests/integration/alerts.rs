//! The alert and recording rules that come with pushwrap: promtool plays the history of jobs to them, and the files of the
//! three sinks say the same.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::server;

/// Where the rules of one sink alone begin, in a rules file and in its unit tests.
const OWN_PART: &str = "# --- this sink ---";

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/alerts")
}

fn read(name: &str) -> String {
    fs::read_to_string(rules().join(name)).unwrap()
}

/// Runs promtool beside the rules; its text when it refuses them.
fn promtool(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new(server::program("promtool")).args(arguments).current_dir(rules()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.success() { Ok(()) } else { Err(text) }
}

#[test]
fn the_rules_for_the_gateway_pass_their_unit_tests() {
    promtool(&["test", "rules", "gateway.test.yml"]).unwrap();
}

#[test]
fn the_rules_for_node_exporter_pass_their_unit_tests() {
    promtool(&["test", "rules", "output.test.yml"]).unwrap();
}

#[test]
fn the_rules_for_remote_write_pass_their_unit_tests() {
    promtool(&["test", "rules", "remote-write.test.yml"]).unwrap();
}

#[test]
fn the_recording_rules_pass_their_unit_tests() {
    promtool(&["test", "rules", "recording-rules.test.yml"]).unwrap();
}

#[test]
fn every_rules_file_has_unit_tests_and_no_rule_twice() {
    let files = fs::read_dir(rules()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<String> = files.filter(|name| !name.contains(".test.")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(rules().join(file.replace(".yml", ".test.yml")).exists(), "{file} has no unit tests");
        promtool(&["check", "rules", "--lint=all", "--lint-fatal", &file]).unwrap();
    }
}

#[test]
fn every_alert_has_a_unit_test_and_a_live_test() {
    let tests = ["tests/integration/alerts_live.rs", "tests/system/alerts.rs"];
    let live = tests.map(|file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()).concat();
    for file in ["gateway.yml", "output.yml", "remote-write.yml"] {
        let units = read(&file.replace(".yml", ".test.yml"));
        for name in read(file).lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
            assert!(units.contains(&format!("ALERTS{{alertname=\"{name}\"")), "{file}: {name} has no unit test");
            assert!(live.contains(&format!("\"{name} ")), "{file}: {name} has no live test");
        }
    }
}

#[test]
fn the_page_on_alerting_lists_every_alert_with_its_severity() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerting.md")).unwrap();
    let mut listed = page.lines().filter(|line| line.starts_with("| `")).count();
    for file in ["gateway.yml", "output.yml", "remote-write.yml"] {
        let text = read(file);
        let alerts: Vec<&str> = text.split("      - alert: ").skip(1).collect();
        for alert in &alerts {
            let name = alert.lines().next().unwrap();
            let severity = alert.split("severity: ").nth(1).unwrap().split(' ').next().unwrap();
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/alerting.md does not list {name}"));
            assert!(row.contains(&format!("| {severity} |")), "docs/alerting.md gives {name} another severity: {row}");
        }
        // The shared ones are counted once, with those of the gateway.
        listed -= if file == "gateway.yml" {
            alerts.len()
        } else {
            text.split(OWN_PART).nth(1).unwrap().matches("- alert:").count()
        };
    }
    assert_eq!(listed, 0, "docs/alerting.md lists alerts that are in no file");
}

/// Where the text between the line `opening` and the own part of a sink begins and ends.
fn shared_span(text: &str, opening: &str) -> Range<usize> {
    let start = text.find(opening).unwrap() + opening.len();
    let end = start + text[start..].find(OWN_PART).unwrap();
    start..text[..end].rfind('\n').unwrap() + 1
}

/// `name` holds `made` where gateway's file has its shared part; with `UPDATE=1` it is written there.
#[track_caller]
fn hold(name: &str, opening: &str, made: &str) {
    let mut text = read(name);
    let span = shared_span(&text, opening);
    if std::env::var_os("UPDATE").is_some() {
        text.replace_range(span, made);
        fs::write(rules().join(name), text).unwrap();
        return;
    }
    assert!(text[span] == *made, "{name} is not what gateway's makes: run 'UPDATE=1 cargo test alerts'");
}

/// A word of PromQL that names one of pushwrap's metrics, its selector and its offset included; empty for other text.
fn series(expression: &str) -> &str {
    if !expression.starts_with("pushwrap_") {
        return "";
    }
    let name = expression.find(|each: char| !each.is_ascii_alphanumeric() && each != '_').unwrap_or(expression.len());
    let labels = if expression[name..].starts_with('{') { expression[name..].find('}').unwrap() + 1 } else { 0 };
    if expression[name + labels..].starts_with('[') {
        return "";
    }
    let offset = expression[name + labels..].strip_prefix(" offset ").map_or(0, |word| {
        " offset ".len() + word.find(|each: char| !each.is_ascii_alphanumeric()).unwrap_or(word.len())
    });
    &expression[..name + labels + offset]
}

/// The same expression over the last sample of 32 days of each series.
fn looking_back(expression: &str) -> String {
    let mut made = String::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let found = series(rest);
        if found.is_empty() {
            // A word that a name is only a part of is passed over as a whole.
            let word = rest.find(|each: char| !each.is_ascii_alphanumeric() && each != '_').unwrap_or(rest.len());
            let length = word.max(first.len_utf8());
            made.push_str(&rest[..length]);
            rest = &rest[length..];
        } else {
            let (selector, offset) = found.split_at(found.find(" offset").unwrap_or(found.len()));
            made.extend(["last_over_time(", selector, "[32d]", offset, ")"]);
            rest = &rest[found.len()..];
        }
    }
    made
}

/// Every expression of a rules file, and none of its texts for people, looks back.
fn rules_looking_back(text: &str) -> String {
    let mut in_expression = false;
    let mut made = String::new();
    for line in text.split_inclusive('\n') {
        let key = line.trim_start();
        in_expression = key.starts_with("expr:") || in_expression && !key.starts_with("labels:");
        made.push_str(&if in_expression { looking_back(line) } else { line.to_owned() });
    }
    made
}

#[test]
fn the_rules_of_the_three_sinks_say_the_same() {
    let gateway = read("gateway.yml");
    let common = &gateway[shared_span(&gateway, "groups:\n")];
    // Only a gateway knows of that time.
    let common = &common
        .replace("(pushwrap_report_timestamp_seconds or push_time_seconds)", "pushwrap_report_timestamp_seconds");
    let common = &common.replace("      # The gateway's own time of the last push serves runs that tell none.\n", "");
    let renamed =
        common.replace("$labels.job", "$labels.exported_job").replace("$labels.instance", "$labels.exported_instance");
    hold("output.yml", "groups:\n", &renamed);
    hold("remote-write.yml", "groups:\n", &rules_looking_back(common));

    let tests = read("gateway.test.yml");
    let common = &tests[shared_span(&tests, "tests:\n")];
    let renamed = common.replace("job=\"", "exported_job=\"").replace("instance=\"", "exported_instance=\"");
    let renamed = renamed.replace("job: ", "exported_job: ").replace("instance: ", "exported_instance: ");
    let gateway_up = "up{exported_job=\"pushgateway\",exported_instance=\"gateway:9091\"}";
    assert!(renamed.contains(gateway_up), "the unit tests watch the sink too");
    hold("output.test.yml", "tests:\n", &renamed.replace(gateway_up, "up{job=\"node\",instance=\"db1:9100\"}"));
    let reports = "pushwrap_report_timestamp_seconds{job=\"other\"}";
    hold(
        "remote-write.test.yml",
        "tests:\n",
        &common.replace("up{job=\"pushgateway\",instance=\"gateway:9091\"}", reports),
    );
}

#[test]
fn an_expression_looks_back_where_it_names_a_series_and_nowhere_else() {
    let cases = [
        ("pushwrap_running == 1", "last_over_time(pushwrap_running[32d]) == 1"),
        (
            "(pushwrap_a{b=\"c\"} or pushwrap_d)",
            "(last_over_time(pushwrap_a{b=\"c\"}[32d]) or last_over_time(pushwrap_d[32d]))",
        ),
        (
            "pushwrap_a and pushwrap_a offset 1d",
            "last_over_time(pushwrap_a[32d]) and last_over_time(pushwrap_a[32d] offset 1d)",
        ),
        ("3 * max_over_time(pushwrap_a[7d])", "3 * max_over_time(pushwrap_a[7d])"),
        ("not_pushwrap_a + up", "not_pushwrap_a + up"),
    ];
    for (expression, expected) in cases {
        assert_eq!(looking_back(expression), expected);
    }
}

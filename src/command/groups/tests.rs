//! Rows and their table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::row::{GroupRow, GroupState};
use super::{METRICS, table};
use crate::exposition::Paint;
use crate::grouping::GroupingKey;
use crate::report;
use crate::sink::{Group, PushTime, Series};
use crate::text::json;

const NOW: u64 = 1_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn group(labels: &[(&str, &str)], values: &[(&str, f64)]) -> Group {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let series = values.iter().map(|(name, value)| match name.split_once('=') {
        Some((name, outcome)) => Series {
            family: format!("pushwrap_{name}"),
            labels: vec![("outcome".to_owned(), outcome.to_owned())],
            value: *value,
        },
        None => Series { family: format!("pushwrap_{name}"), labels: Vec::new(), value: *value },
    });
    let (pushed, refused) = (PushTime::At(at(NOW - 60)), PushTime::Never);
    Group { key: GroupingKey::held(labels).unwrap(), pushed, refused, series: series.collect() }
}

fn row(group: &Group) -> GroupRow<'_> {
    GroupRow::of(group, "pushwrap_", at(NOW))
}

const JOB: &[(&str, &str)] = &[("job", "a")];

#[test]
fn the_metrics_that_are_looked_at_are_those_that_runs_have() {
    for name in METRICS {
        assert!(report::METRICS.iter().any(|metric| metric.name == name), "{name}");
    }
}

#[test]
fn rows_are_aligned_under_their_titles() {
    let ended = group(
        &[("job", "backup"), ("instance", "db1")],
        &[("running", 0.0), ("outcome=success", 1.0), ("outcome=failure", 0.0), ("duration_seconds", 63.5)],
    );
    let foreign = group(&[("job", "\u{1b}[2J"), ("a", ""), ("b", "x y")], &[]);
    let text = table(&[row(&ended), row(&foreign)], Paint::Plain);
    assert_eq!(
        text,
        "JOB          LABELS        OUTCOME  STARTED  DURATION  PUSHED\n\
         backup       instance=db1  success  -        1m 3s     60s ago\n\
         \"\\u{1b}[2J\"  a=\"\",b=\"x y\"  -        -        -         60s ago\n"
    );
    let coloured = table(&[row(&ended)], Paint::Ansi);
    assert!(coloured.contains("  \u{1b}[32msuccess\u{1b}[0m  -"), "{coloured}");
}

#[test]
fn one_long_name_does_not_make_every_row_long() {
    let (long, short) = (group(&[("job", &"x".repeat(1000))], &[]), group(JOB, &[]));
    let text = table(&[row(&long), row(&short)], Paint::Plain);
    assert!(text.lines().last().unwrap().len() < 120, "{text}");
}

#[test]
fn what_runs_is_not_described_by_the_run_before() {
    let values = [
        ("running", 1.0),
        ("outcome=failure", 1.0),
        ("duration_seconds", 5.0),
        ("exit_code", 3.0),
        ("start_timestamp_seconds", 999_000.0),
    ];
    let mut running = group(JOB, &values);
    assert_eq!(row(&running).cells()[2..5], ["running", "16m ago", "16m 40s"]);
    assert_eq!(row(&running).exit_code, None);
    running.pushed = PushTime::At(at(NOW - 301));
    assert_eq!(row(&running).state, GroupState::Lost);
    assert_eq!(row(&running).cells()[2..], ["lost", "16m ago", "-", "5m ago"]);
}

#[test]
fn a_run_is_lost_when_its_own_reports_are_old() {
    let reported = |seconds: f64| group(JOB, &[("running", 1.0), ("report_timestamp_seconds", seconds)]);
    // Somebody else pushed to the group a minute ago.
    assert_eq!(row(&reported(999_699.0)).state, GroupState::Lost);
    let mut running = reported(999_701.0);
    running.pushed = PushTime::Unknown;
    assert_eq!(row(&running).state, GroupState::Running);
}

#[test]
fn a_skip_is_shown_beside_the_run_before_it() {
    let skipped = |at: f64, values: &[(&str, f64)]| {
        let all = [values, &[("last_skipped_timestamp_seconds", at)]].concat();
        row(&group(JOB, &all)).outcome()
    };
    let running = [("running", 1.0), ("start_timestamp_seconds", 999_000.0), ("report_timestamp_seconds", 999_990.0)];
    assert_eq!(skipped(999_900.0, &running), "running, skipped 100s ago");
    assert_eq!(skipped(998_000.0, &running), "running");
    let ended = [
        ("running", 0.0),
        ("outcome=failure", 1.0),
        ("start_timestamp_seconds", 999_000.0),
        ("end_timestamp_seconds", 999_950.0),
    ];
    assert_eq!(skipped(999_900.0, &ended), "failure");
    assert_eq!(skipped(999_960.0, &ended), "failure, skipped 40s ago");
    assert_eq!(skipped(999_900.0, &[]), "skipped");
}

#[test]
fn overdue_is_a_last_success_older_than_it_may_become() {
    let with = |success: f64, max_age: f64| {
        let values = [
            ("running", 0.0),
            ("outcome=success", 1.0),
            ("last_success_timestamp_seconds", success),
            ("max_age_seconds", max_age),
        ];
        row(&group(JOB, &values)).outcome()
    };
    assert_eq!(with(999_000.0, 999.0), "success, overdue");
    assert_eq!(with(999_000.0, 1001.0), "success");
    assert_eq!(with(2_000_000.0, 1.0), "success");
    assert_eq!(with(f64::NAN, f64::INFINITY), "success");
}

#[test]
fn overdue_is_a_deadline_without_a_success_since() {
    let with = |success: f64, deadline: f64| {
        let values = [
            ("running", 0.0),
            ("outcome=success", 1.0),
            ("last_success_timestamp_seconds", success),
            ("next_success_deadline_timestamp_seconds", deadline),
        ];
        row(&group(JOB, &values)).outcome()
    };
    assert_eq!(with(900_000.0, 999_999.0), "success, overdue");
    assert_eq!(with(f64::NAN, 999_999.0), "success, overdue");
    assert_eq!(with(999_999.5, 999_999.0), "success");
    assert_eq!(with(900_000.0, 1_007_300.0), "success, due in 2h");
    assert_eq!(with(900_000.0, f64::INFINITY), "success");
}

#[test]
fn a_refused_push_is_told() {
    let mut refused = group(JOB, &[]);
    refused.refused = PushTime::At(at(NOW - 10));
    assert_eq!(row(&refused).pushed(), "60s ago, refused 10s ago");
    refused.pushed = PushTime::Never;
    assert_eq!(row(&refused).pushed(), "never, refused 10s ago");
    refused.pushed = PushTime::At(at(NOW - 5));
    assert_eq!(row(&refused).pushed(), "5s ago");
    refused.pushed = PushTime::Unknown;
    refused.refused = PushTime::Unknown;
    assert_eq!(row(&refused).pushed(), "-");
}

#[test]
fn a_program_gets_objects() {
    let odd = group(&[("job", "a\"b"), ("l", "\u{7}")], &[("running", 0.0), ("exit_code", f64::NAN)]);
    let value: serde_json::Value = serde_json::from_str(&json(&row(&odd).json("http://gw"))).unwrap();
    assert_eq!(value["job"], "a\"b");
    assert_eq!(value["labels"], serde_json::json!({"l": "\u{7}"}));
    assert_eq!((&value["state"], &value["exit_code"]), (&"unknown".into(), &serde_json::Value::Null));
    assert_eq!(value["push_time_seconds"], 999_940.0);
    assert_eq!(value["push_failure_time_seconds"], 0);
    let foreign: serde_json::Value = serde_json::from_str(&json(&row(&group(JOB, &[])).json("http://gw"))).unwrap();
    assert_eq!(foreign["state"], serde_json::Value::Null);
}

/// Programs may read the text with less than a whole JSON parser, so order and numbers stay as they are.
#[test]
fn the_text_of_an_object_stays_as_it_is() {
    let values = [
        ("running", 0.0),
        ("outcome=failure", 1.0),
        ("exit_code", 3.0),
        ("start_timestamp_seconds", 999_000.25),
        ("duration_seconds", 0.000_001_5),
        ("last_success_timestamp_seconds", 1e21),
        ("last_skipped_timestamp_seconds", -0.0),
    ];
    let group = group(&[("job", "a\"\\\n\u{1}ä"), ("l", "\u{7}"), ("b", "/")], &values);
    let expected = concat!(
        r#"{"gateway":"http://gw","job":"a\"\\\n\u0001ä","labels":{"b":"/","l":"\u0007"},"state":"failure","#,
        r#""overdue":false,"exit_code":3,"start_timestamp_seconds":999000.25,"duration_seconds":0.0000015,"#,
        r#""report_timestamp_seconds":null,"last_success_timestamp_seconds":1000000000000000000000,"#,
        r#""last_skipped_timestamp_seconds":-0,"max_age_seconds":null,"#,
        r#""next_success_deadline_timestamp_seconds":null,"push_time_seconds":999940,"push_failure_time_seconds":0}"#,
    );
    assert_eq!(json(&row(&group).json("http://gw")), expected);
}

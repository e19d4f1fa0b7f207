//! The alert rules that come with pushwrap: promtool plays the history of a job to them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::harness::server;

/// Series of promtool's notation at one sample a minute, and the alerts that must fire at a time.
const UNIT_TEST: &str = r#"
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'pushwrap_success{job="failing"}', values: '1 1 0 0 0 0 0 0 0 0 0'}
      - {series: 'pushwrap_success{job="fine"}', values: '1x10'}
      - {series: 'pushwrap_last_success_timestamp_seconds{job="overdue"}', values: '0x10'}
      - {series: 'pushwrap_max_age_seconds{job="overdue"}', values: '300x10'}
      - {series: 'pushwrap_running{job="lost"}', values: '1x10'}
      - {series: 'push_time_seconds{job="lost"}', values: '0x10'}
      - {series: 'pushwrap_running{job="alive"}', values: '1x10'}
      - {series: 'push_time_seconds{job="alive"}', values: '0+60x10'}
      - {series: 'pushwrap_running{job="silent"}', values: '1 1 _x9'}
      - {series: 'pushwrap_tree_peak_rss_bytes{job="large"}', values: '95x10'}
      - {series: 'pushwrap_memory_limit_bytes{job="large"}', values: '100x10'}
    alert_rule_test:
      - {eval_time: 4m, alertname: JobFailed, exp_alerts: [{exp_labels: {job: failing}, exp_annotations: {summary: failing failed in its last run}}]}
      - {eval_time: 4m, alertname: RemoteJobFailed, exp_alerts: [{exp_labels: {job: failing}, exp_annotations: {summary: failing failed in its last run}}]}
      - {eval_time: 4m, alertname: JobOverdue, exp_alerts: []}
      - {eval_time: 10m, alertname: JobOverdue, exp_alerts: [{exp_labels: {job: overdue}, exp_annotations: {summary: overdue last succeeded 10m 0s ago}}]}
      - {eval_time: 10m, alertname: RemoteJobOverdue, exp_alerts: [{exp_labels: {job: overdue}, exp_annotations: {summary: overdue last succeeded 10m 0s ago}}]}
      - {eval_time: 4m, alertname: JobLost, exp_alerts: []}
      - eval_time: 10m
        alertname: JobLost
        exp_alerts: [{exp_labels: {job: lost}, exp_annotations: {summary: 'lost runs, by its last word, but has not been heard of for five minutes'}}]
      - eval_time: 10m
        alertname: RemoteJobLost
        exp_alerts: [{exp_labels: {job: silent}, exp_annotations: {summary: 'silent runs, by its last word, but has not been heard of for five minutes'}}]
      - {eval_time: 1m, alertname: JobNearItsMemoryLimit, exp_alerts: [{exp_labels: {job: large}, exp_annotations: {summary: large used 95% of its memory limit}}]}
"#;

#[test]
fn each_alert_fires_for_its_job_and_for_no_other() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/alerts.yml");
    let directory = tempfile::tempdir().unwrap();
    let test = directory.path().join("test.yml");
    fs::write(&test, UNIT_TEST.replace("RULES", rules.to_str().unwrap())).unwrap();
    let ran = Command::new(server::program("promtool")).args(["test", "rules"]).arg(&test).output().unwrap();
    assert!(ran.status.success(), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
}

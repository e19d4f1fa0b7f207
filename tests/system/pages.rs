//! The shell blocks of README.md and docs/ as somebody types them: in order, on a host that has what the page says and nothing
//! more. Blocks for cron and systemd are in files of their own.

use std::process::Command;

use super::harness::pages::{block, typed};
use super::harness::tls::Authority;
use super::harness::{Group, server};
use super::host::Host;

/// A block with the gateway's address in the environment.
fn with_url(block: &str) -> String {
    format!("export PUSHWRAP_URL=http://pushgateway:9091\n{block}")
}

/// A block as the command of a run of this job.
fn as_command(job: &str, block: &str) -> String {
    format!("pushwrap --url http://pushgateway:9091 --job {job} -- sh -euc '{}'", block.replace('\'', "'\\''"))
}

#[track_caller]
fn ended(group: &Group, outcome: &str) {
    let ended = group.value("pushwrap_outcome", [("outcome", outcome)]);
    assert_eq!(ended.as_deref(), Some("1"), "{:?}", group.json());
}

#[test]
fn the_first_push_of_readme() {
    let host = Host::start();
    let all = block("README.md#the-first-push");
    let (pushes, delete) = all.trim_end().rsplit_once('\n').expect("several lines");
    let out = host.sh(pushes);
    let text = String::from_utf8_lossy(&out.stdout);
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows.len() == 2 && rows[1].starts_with("hello ") && rows[1].contains(" failure "), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("pushwrap: outcome   failure, exit status 1\n"), "{out:?}");
    let group = host.group("hello");
    ended(&group, "failure");
    assert!(group.number("pushwrap_last_success_timestamp_seconds", []).is_some(), "the first of the two succeeded");
    host.done(&with_url(delete));
    let left = host.done(&with_url("pushwrap groups"));
    assert!(!left.contains("hello"), "{left}");
}

#[test]
fn the_metrics_of_readme() {
    let host = Host::start();
    host.done(&as_command("backup", &block("README.md#metrics-of-the-job")));
    let group = host.group("backup");
    assert_eq!(group.number("backup_files", []), Some(12.0));
    assert_eq!(group.number("backup_archive_bytes", [("volume", "home")]), Some(5.1e9));
    assert_eq!(group.number("pushwrap_textfile_errors", []), Some(0.0));
}

#[test]
fn the_metrics_of_the_page_about_them() {
    let host = Host::start();
    host.done("mkdir -p /backup /srv; echo text >/srv/file");
    host.done(&block("docs/metrics-file.md#the-file"));
    let written: f64 = host.done("stat -c %s /backup/srv.tar").trim().parse().unwrap();
    assert_eq!(host.group("backup").number("backup_bytes", []), Some(written));

    host.done("gzip -k /backup/srv.tar");
    host.done(&as_command("shell", &block("docs/metrics-file.md#pushwrap-metric-for-shell-scripts")));
    let group = host.group("shell");
    assert_eq!(group.number("backup_files_total", []), Some(12.0));
    assert_eq!(group.kind("backup_files_total").as_deref(), Some("COUNTER"));
    assert_eq!(group.help("backup_files_total").as_deref(), Some("Files saved."));
    assert_eq!(group.kind("upload_seconds").as_deref(), Some("HISTOGRAM"));
    assert!(group.number("backup_verify_seconds", []).is_some());
}

#[test]
fn the_link_to_a_log_is_a_label() {
    let host = Host::start();
    host.write_program("/usr/local/bin/backup");
    host.done(&with_url(&block("docs/alerting.md#the-log-of-a-failed-run")));
    let label = [("log", "https://logs.example/?unit=backup.service")];
    assert_eq!(host.group("backup").number("pushwrap_run_info", label), Some(1.0));
}

#[test]
fn a_push_waits_for_the_gateway_as_the_page_about_delivery_says() {
    let host = Host::start();
    let [(install, _)] = &typed(&block("docs/delivery.md#the-state-directory"))[..] else { panic!("one command") };
    host.done(install);
    host.begin_outage();
    let run = host.sh(&with_url("pushwrap --job backup --instance db1 -- true"));
    assert!(run.status.success() && String::from_utf8_lossy(&run.stderr).contains("it waits in"), "{run:?}");
    // As old as on the page.
    host.done("find /var/lib/pushwrap -name '*.push' -exec touch -d '3 hours ago' {} +");
    host.end_outage();

    let [(flush, said)] = &typed(&block("docs/delivery.md#the-state-directory 2"))[..] else { panic!("one command") };
    let printed = host.done(flush);
    let without_age = |line: &str| line.split(" (stored ").next().unwrap().to_owned();
    assert_eq!(without_age(&printed), without_age(said));
    assert!(printed.ends_with(" ago)\n"), "{printed}");
    ended(&host.group("backup"), "success");
}

#[test]
fn an_old_group_is_deleted_as_the_page_about_migrating_says() {
    let host = Host::start();
    host.done("busybox wget -qO- --post-data 'x 1\n' http://pushgateway:9091/metrics/job/backup");
    host.done(&with_url("pushwrap --job backup --instance db1 -- true"));
    assert_eq!(host.groups().len(), 2);
    host.done(&with_url(&block("docs/migrating.md#the-first-day")));
    let left = host.group("backup").labels();
    assert!(left.contains(&("instance".to_owned(), "db1".to_owned())), "{left:?}");
}

/// Given a gateway with TLS and a password, when an operator follows the page about many hosts, then a job of root's and one of
/// another user report.
#[test]
fn a_host_of_a_fleet_reports_with_one_file_of_settings() {
    let authority = Authority::new();
    let pair = authority.issue("gateway", "DNS:pushgateway.example");
    let hash = Command::new(server::program("htpasswd")).args(["-nbB", "jobs", "secret"]).output().unwrap();
    let hash = String::from_utf8_lossy(&hash.stdout).trim().split_once(':').unwrap().1.to_owned();
    let web = serde_json::json!({
        "tls_server_config": { "cert_file": "/run/gateway.pem", "key_file": "/run/gateway.key" },
        "basic_auth_users": { "jobs": hash },
    });
    let web = authority.file("web.yml", &web.to_string());
    let mounts = [
        (pair.cert, "/run/gateway.pem"),
        (pair.key, "/run/gateway.key"),
        (web, "/run/web.yml"),
        (authority.cert(), "/etc/ssl/certs/ca-certificates.crt"),
    ];
    let host = Host::start_with(&mounts, &["--web.listen-address=:443", "--web.config.file=/run/web.yml"]);
    host.write("/etc/default/pushwrap", "644", &block("docs/fleet.md#2-one-file-of-settings"));
    host.write("/etc/pushwrap/password", "640", "secret\n");
    host.done("chgrp www-data /etc/pushwrap/password");
    host.done(&block("docs/fleet.md#3-users-and-state-directories"));
    assert_eq!(host.done("stat -c '%a %U' /var/lib/pushwrap-www-data"), "700 www-data\n");

    let said = host.done(&block("docs/fleet.md#4-check-before-you-roll-out"));
    let row = said.lines().find(|line| line.starts_with("hello "));
    assert!(row.is_some_and(|row| row.contains("site=berlin") && row.contains(" success ")), "{said}");
    let job = "PUSHWRAP_STATE_DIR=/var/lib/pushwrap-www-data pushwrap --job own --require-push -- true";
    host.done(&format!("setpriv --reuid=www-data --regid=www-data --clear-groups sh -c '{job}'"));
    assert_ne!(host.done("ls -A /var/lib/pushwrap-www-data"), "", "runs are counted there");
}

/// The command of a step `- run: COMMAND`, as a runner hands it to its shell.
fn step(block: &str) -> String {
    block.trim().strip_prefix("- run: ").expect("a step").to_owned() + "\n"
}

/// Given a step as the pages have it, when the secret is there and when it is not (a fork), then the tests run and their status is
/// that of the step, and with the secret they are reported.
#[test]
fn the_tests_of_a_step_run_with_and_without_the_secret() {
    for name in ["README.md#recipes 4", "docs/ci.md#ci"] {
        let host = Host::start();
        host.write("/usr/local/bin/make", "755", "#!/bin/sh\necho \"made $*\"\nexit 2\n");
        for url in ["http://pushgateway:9091", ""] {
            let variables = format!("export CI=true GITHUB_ACTIONS=true GITHUB_SHA=0123abc PUSHGATEWAY={url}");
            host.write("/tmp/step.sh", "644", &step(&block(name)));
            let out = host.sh(&format!("{variables}; bash -e /tmp/step.sh"));
            assert_eq!(out.status.code(), Some(2), "{name}: {out:?}");
            assert_eq!(String::from_utf8_lossy(&out.stdout), "made test\n", "{name}");
        }
        let group = host.group("nightly-tests");
        ended(&group, "failure");
        assert_eq!(group.labels().len(), 1, "a runner's name is no part of the key: {:?}", group.labels());
        assert_eq!(group.number("pushwrap_run_info", [("commit", "0123abc")]), Some(1.0));
    }
}

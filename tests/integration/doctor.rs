//! `pushwrap doctor` against real servers: each misconfiguration is named with what to do about it, and a good set-up is confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::unistd::{Uid, chown};
use serde_json::Value;

use super::harness::fake::CLOSED_PORT;
use super::harness::nginx::Nginx;
use super::harness::prometheus::Prometheus;
use super::harness::pushwrap::binary;
use super::harness::tls::Authority;
use super::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, Version};

fn doctor(arguments: &[&str]) -> Pushwrap {
    Pushwrap::new().arg("doctor").args(["--env-file", "none", "--instance", "none"]).args(arguments)
}

fn problem(arguments: &[&str], part: &str) {
    doctor(arguments).call().exit(1).stdout_has("problem").stdout_has(part).stdout_has("a run would not be reported");
}

/// Given both versions of the gateway, when `doctor` asks them, then it names kind, version and key, and exits 0.
#[test]
fn a_good_set_up_is_told() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let run = doctor(&["--url", &gateway.url(), "--job", "backup", "-l", "zone=eu"]).call().exit(0).stderr("");
        run.stdout_has("Pushgateway 1.")
            .stdout_has(r#"{job="backup", zone="eu"}"#)
            .stdout_has("/metrics/job/backup/zone/eu")
            .stdout_has("--job backup  from --job")
            .stdout_has("a run would be reported");
        assert_eq!(gateway.groups().len(), 0, "nothing was pushed");
    }
}

/// Given settings of every layer, when `doctor --json` lists them, then each has its source and secrets are not printed.
#[test]
fn every_setting_has_its_source_and_secrets_are_set() {
    let gateway = Pushgateway::start(Version::Newest);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pushwrap.env");
    fs::write(&file, format!("# ours\nPUSHWRAP_URL={}\nPUSHWRAP_ULR=x\n", gateway.url())).unwrap();
    let run = Pushwrap::new().args(["doctor", "--json", "--instance=none", "--job", "k", "--env-file"]).arg(&file);
    let run = run.env("PUSHWRAP_USER", "me:hunter2secret").call().exit(0).stdout_lacks("hunter2secret");
    let run = run
        .stdout_has(r#"],"grouping_key":{"job":"k"},"path":"/metrics/job/k","settings":[{"option":""#)
        .stdout_has(r#"{"option":"job","source":"--job","value":"k"}"#);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let source = |option: &str| {
        let settings = report["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["option"] == option).unwrap();
        (found["value"].as_str().unwrap().to_owned(), found["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(source("user"), ("set".to_owned(), "PUSHWRAP_USER".to_owned()));
    assert_eq!(source("url"), (gateway.url(), format!("PUSHWRAP_URL ({}:2)", file.display())));
    assert_eq!(source("job"), ("k".to_owned(), "--job".to_owned()));
    assert_eq!(report["would_report"], true);
    assert_eq!(report["grouping_key"]["job"], "k");
    let text = report.to_string();
    assert!(text.contains("PUSHWRAP_ULR") && text.contains("did you mean PUSHWRAP_URL?"), "{text}");
}

/// Given an address where something else answers, when `doctor` asks, then it says what that is.
#[test]
fn what_is_no_gateway_is_named() {
    let prometheus = Prometheus::start(&[], false);
    problem(&["--url", &prometheus.url()], "this is Prometheus");
    let gateway = Pushgateway::start(Version::Newest);
    problem(&["--url", &format!("{}/pushgateway", gateway.url())], "answers without the path of this URL");
    let login =
        FakeGateway::start([Reply::with_headers("200 OK", &["Content-Type: text/html"], "<html>Log in</html>")]);
    problem(&["--url", &login.url()], "web page, as a login does");
    problem(&["--url", CLOSED_PORT], "refused");
    problem(&[], "no gateway is named");
}

/// Given a gateway behind basic authentication and TLS, when credentials or certificates are wrong, then that is named.
#[test]
fn credentials_and_certificates_are_tried() {
    let gateway = Pushgateway::start(Version::Newest);
    let block =
        format!("location / {{ auth_basic gate; auth_basic_user_file /dev/null; proxy_pass {}; }}", gateway.url());
    let guarded = Nginx::start(&block);
    problem(&["--url", &guarded.url(), "-u", "me:wrong"], "401");
    let authority = Authority::new();
    let other = super::delivery_secured::tls_server(&authority.issue("other", "DNS:gw.example"), "");
    let ca = authority.cert().display().to_string();
    problem(&["--url", &other.url_by_name(), "--cacert", &ca], "its certificate is for 'gw.example'");
    let old = super::delivery_secured::tls_server(&authority.issue_expired("old", "DNS:localhost"), "");
    problem(&["--url", &old.url_by_name(), "--cacert", &ca], "expired");
}

/// Given a gateway whose clock is an hour off, when `doctor` asks, then it says so.
#[test]
fn a_clock_that_is_off_is_told() {
    let hour = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    let date = format!("Date: {}", httpdate::fmt_http_date(hour));
    let body = r#"{"status":"success","data":{"build_information":{"version":"1.11.3"}}}"#;
    let gateway = FakeGateway::start([Reply::with_headers("200 OK", &[&date], body)]);
    let run = doctor(&["--url", &gateway.url(), "--job", "k"]).call().exit(0);
    run.stdout_has("warning").stdout_has("its clock is").stdout_has("apart from ours");
}

/// Given a proxy that is in the way, when `doctor` asks, then the proxy is named.
#[test]
fn a_proxy_in_the_way_is_named() {
    let gateway = Pushgateway::start(Version::Newest);
    let run = doctor(&["--url", &gateway.url().replace("127.0.0.1", "gw.example"), "--job", "k"]);
    let run = run.env("http_proxy", CLOSED_PORT).env_remove("no_proxy").call().exit(1);
    run.stdout_has("reached through proxy").stdout_has("refused");
}

/// Given directories that cannot serve, when `doctor` checks them, then it says why and what to do.
#[test]
fn directories_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let file = directory.path().join("job.prom");
    let output = file.display().to_string();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    problem(
        &["--url", "none", "--output", &output],
        "node_exporter cannot read it: give others the right with chmod o+rx",
    );
    problem(&["--url", "none", "--output", "/no/such/directory/x.prom"], "cannot be written");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    problem(&["--url", "none", "--output", &directory.path().display().to_string()], "it is not a regular file");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    problem(
        &["--url", "none", "--output", &output],
        "node_exporter cannot read it: give others the right with chmod o+r '",
    );
    fs::remove_file(&file).unwrap();
    let nowhere = doctor(&["--url", "none", "--job", "k"]).call().exit(0);
    nowhere.stdout_has("a run would be reported nowhere, as '--url none' says");
    let run = doctor(&["--url", "none", "--output", &output, "--job", "k", "--state-dir"]).arg(&state).call().exit(0);
    run.stdout_has("node_exporter can read it").stdout_has("is not there yet: the first run makes it");
    assert!(!state.exists(), "nothing is made");
    problem(&["--url", "none", "--state-dir", "/no/such/state/dir"], "cannot use '/no/such/state/dir'");
    if Uid::effective().is_root() {
        fs::create_dir(&state).unwrap();
        chown(&state, Some(Uid::from_raw(65534)), None).unwrap();
        problem(&["--url", "none", "--state-dir", &state.display().to_string()], "belongs to user 65534");
    }
}

/// Given a job that is named after an interpreter, or a file that cannot be read, when `doctor` runs, then both are reported.
#[test]
fn names_and_files_that_mislead_are_told() {
    let run = doctor(&["--url", "none", "--job", "python3"]).call().exit(0);
    run.stdout_has("every job that 'python3' runs would share this group");
    doctor(&["--url", "none", "--", "python3", "x.py"]).call().exit(0).stdout_has("every job that 'python3' runs");
    problem(&["--url", "http://localhost:1", "--job", "k", "--token-file", "/no/such/token"], "/no/such/token");
    doctor(&["--nonsense"]).call().exit(2);
}

/// Given an env file that only another user can read, when `doctor` runs, then it names the file, and no run would be reported.
#[test]
fn an_env_file_of_somebody_else_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pushwrap.env");
    fs::write(&file, "PUSHWRAP_URL=none\nPUSHWRAP_JOB=k\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut doctor = Command::new(binary());
    if Uid::effective().is_root() {
        // Root reads every file: another user gets a copy of the binary. Another process writes it (ETXTBSY).
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("pushwrap");
        assert!(Command::new("cp").arg(binary()).arg(&copy).status().unwrap().success());
        doctor = Command::new("setpriv");
        doctor.args(["--reuid=65534", "--clear-groups"]).arg(copy);
    }
    let output = doctor.args(["doctor", "--env-file"]).arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("problem settings: cannot read env file") && text.contains("permission denied"), "{text}");
}

/// Given Kubernetes without a service account, when `doctor` runs, then it says how the namespace gets into the key.
#[test]
fn a_namespace_that_is_missing_is_told() {
    let gateway = Pushgateway::start(Version::Newest);
    let run =
        doctor(&["--url", &gateway.url(), "--job", "k"]).env("KUBERNETES_SERVICE_HOST", "10.0.0.1").call().exit(0);
    run.stdout_has("the grouping key has no namespace").stdout_has("metadata.namespace");
}

/// Given a receiver of remote write, when `doctor` tries it, then it says whether it takes samples.
#[test]
fn remote_write_is_tried() {
    let taking = Prometheus::start_with(&[], false, &["--web.enable-remote-write-receiver"]);
    let address = format!("{}/api/v1/write", taking.url());
    doctor(&["--url", "none", "--job", "k", "--remote-write", &address])
        .call()
        .exit(0)
        .stdout_has("it takes remote write");
    let refusing = Prometheus::start(&[], false);
    problem(
        &["--url", "none", "--job", "k", "--remote-write", &format!("{}/api/v1/write", refusing.url())],
        "remote-write-receiver",
    );
}

/// Given neither a job nor a command, when doctor prints the group, then it says what COMMAND stands for.
#[test]
fn the_name_that_stands_for_the_command_is_not_taken_for_the_job() {
    let sentence = "COMMAND stands for the name of the command";
    doctor(&["--url", "none"]).call().stdout_has("{job=\"COMMAND\"").stdout_has(sentence);
    doctor(&["--url", "none", "--job", "j"]).call().stdout_lacks(sentence);
}

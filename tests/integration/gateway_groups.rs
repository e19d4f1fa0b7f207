//! `pushwrap groups`: what real gateways hold, whoever pushed it, as a person and as a program get to see it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::harness::nginx::Nginx;
use super::harness::pushwrap::binary;
use super::harness::tls::Authority;
use super::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, Run, Terminal, Version, http};

fn groups(gateway: &Pushgateway) -> Pushwrap {
    Pushwrap::new().args(["groups", "--url", &gateway.url()])
}

fn rows(run: &Run) -> Vec<Value> {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", run.stdout))
}

/// The columns of each line.
fn columns(run: &Run) -> Vec<Vec<&str>> {
    run.stdout.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn every_group_has_a_row_whoever_pushed_it() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let run = |job: &str, script: &str| {
            let pushwrap = Pushwrap::new().args(["--url", &gateway.url(), "--job", job, "--instance", "db1"]);
            pushwrap.args(["-l", "zone=eu", "--max-age", "1h", "--skip-codes", "75"]).run(["sh", "-c", script])
        };
        run("backup", "exit 0");
        run("report", "exit 3");
        run("sync", "exit 75");
        gateway.push("PUT", "job/curl", "x 1\n");
        gateway.push("PUT", "job/odd/instance@base64/=/l/%1b%5B31m%0Ax", "x 1\n");

        let table = groups(&gateway).call().exit(0).stderr("");
        let columns = columns(&table);
        assert_eq!(columns[0], ["JOB", "LABELS", "OUTCOME", "STARTED", "DURATION", "PUSHED"]);
        assert_eq!(columns[1][..3], ["backup", "instance=db1,zone=eu", "success"], "{}", table.stdout);
        assert_eq!(columns[2][..5], ["curl", "-", "-", "-", "-"]);
        assert_eq!(columns[3][..2], ["odd", "instance=\"\",l=\"\\u{1b}[31m\\nx\""]);
        assert_eq!(columns[4][2], "failure");
        assert_eq!(columns[5][2..4], ["skipped", "-"], "a skipped run has neither start nor duration");
        assert_eq!(columns.len(), 6);
        assert!(!table.stdout.contains('\u{1b}'), "{:?}", table.stdout);

        let all = rows(&groups(&gateway).arg("--json").call().exit(0));
        assert_eq!(all.len(), 5);
        let report = &all[3];
        assert_eq!(report["gateway"], gateway.url());
        assert_eq!(
            (&report["job"], &report["state"], &report["exit_code"]),
            (&"report".into(), &"failure".into(), &3.into())
        );
        assert_eq!(report["labels"], serde_json::json!({"instance": "db1", "zone": "eu"}));
        assert_eq!(report["max_age_seconds"], 3600);
        assert!(report["duration_seconds"].as_f64().unwrap() > 0.0 && report["push_failure_time_seconds"] == 0);
        assert!(report["push_time_seconds"].as_f64() >= report["start_timestamp_seconds"].as_f64());
        assert!(report["last_success_timestamp_seconds"].is_null());
        // The page of the gateway shows both alike.
        assert_eq!(all[1]["labels"], serde_json::json!({}));
        assert_eq!(all[2]["labels"]["instance"], "");
    }
}

#[test]
fn what_runs_and_what_is_overdue_is_marked() {
    let gateway = Pushgateway::start(Version::Newest);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    gateway.push("PUT", "job/runs", &format!("pushwrap_running 1\npushwrap_start_timestamp_seconds {}\n", now - 7300));
    let overdue = "pushwrap_running 0\npushwrap_outcome{outcome=\"success\"} 1\npushwrap_outcome{outcome=\"failure\"} 0\n\
                   pushwrap_last_success_timestamp_seconds 1000\npushwrap_max_age_seconds 60\n";
    gateway.push("PUT", "job/late", overdue);
    let table = groups(&gateway).call().exit(0);
    let columns = columns(&table);
    assert_eq!(columns[1][2..4], ["success,", "overdue"], "{}", table.stdout);
    assert_eq!(columns[2][..7], ["runs", "-", "running", "2h", "ago", "2h", "1m"], "{}", table.stdout);
    let all = rows(&groups(&gateway).arg("--json").call());
    assert_eq!((&all[0]["overdue"], &all[1]["overdue"]), (&true.into(), &false.into()));
    assert_eq!(all[1]["state"], "running");
    // Somebody else's prefix makes it somebody else's group.
    let other = rows(&groups(&gateway).args(["--json", "--prefix", "own_"]).call());
    assert!(other.iter().all(|row| row["state"].is_null()), "{other:?}");
}

/// Given runs with a schedule, when the deadline of one has passed without a success, then it is overdue, and the other is due.
#[test]
fn what_a_schedule_says_is_shown() {
    let gateway = Pushgateway::start(Version::Newest);
    let run = |job: &str, options: &[&str]| {
        let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", job, "--instance", "none"]).env("TZ", "UTC");
        call.args(options).run(["true"]).exit(0).stderr("");
    };
    run("due", &["--schedule", "* * * * *", "--schedule-margin", "150m"]);
    run("missed", &[]);
    let missed = [("next_success_deadline", 2000), ("last_success", 1000)].map(|(name, value)| {
        let name = format!("pushwrap_{name}_timestamp_seconds");
        format!("# TYPE {name} gauge\n{name} {value}\n")
    });
    gateway.push("POST", "job/missed", &missed.concat());
    let table = groups(&gateway).call().exit(0).stderr("");
    table.stdout_has("success, due in 2h").stdout_has("success, overdue");
    let all = rows(&groups(&gateway).arg("--json").call().exit(0));
    assert_eq!((&all[0]["overdue"], &all[1]["overdue"]), (&false.into(), &true.into()));
    assert_eq!(all[1]["next_success_deadline_timestamp_seconds"], 2000);
    assert!(all[0]["next_success_deadline_timestamp_seconds"].as_f64() > all[0]["start_timestamp_seconds"].as_f64());
}

/// Given a run that holds its lock, when the next one skips, then the row shows the run and the skip beside it.
#[test]
fn a_skip_stands_beside_the_run_that_holds_the_lock() {
    let gateway = Pushgateway::start(Version::Newest);
    let run = |script: &str| {
        let pushwrap = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j", "--instance", "none"]);
        pushwrap.args(["--skip-codes", "75"]).run(["sh", "-c", script])
    };
    run("exit 3").exit(3);
    run("exit 75").exit(75);
    groups(&gateway).call().exit(0).stdout_has("failure, skipped ");
    let row = rows(&groups(&gateway).arg("--json").call().exit(0)).remove(0);
    assert_eq!(row["state"], "failure");
    assert!(row["last_skipped_timestamp_seconds"].as_f64() > row["report_timestamp_seconds"].as_f64(), "{row}");
    run("exit 0").exit(0);
    groups(&gateway).call().exit(0).stdout_has("success").stdout_lacks("skipped");
}

#[test]
fn a_filter_shows_fewer() {
    let gateway = Pushgateway::start(Version::Bookworm);
    for path in ["job/a/zone/eu", "job/a/zone/us", "job/a", "job/ab"] {
        gateway.push("PUT", path, "x 1\n");
    }
    let count = |options: &[&str]| rows(&groups(&gateway).arg("--json").args(options).call().exit(0)).len();
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--job", "a"]), 3);
    assert_eq!(count(&["-l", "zone=eu"]), 1);
    assert_eq!(count(&["--job", "none"]), 0);
    groups(&gateway).args(["--job", "none"]).call().exit(0).stdout("JOB  LABELS  OUTCOME  STARTED  DURATION  PUSHED\n");
    // A variable narrows it too, and says so.
    let narrowed = groups(&gateway).arg("--json").env("PUSHWRAP_JOB", "ab").call().exit(0);
    assert_eq!(rows(&narrowed).len(), 1);
    narrowed.stderr("pushwrap: PUSHWRAP_JOB is set: only groups of job 'ab'\n");
    let typo = Pushwrap::new().args(["groups", "--url", &gateway.url(), "--job", "typo"]).call().exit(0);
    typo.stderr(&format!("pushwrap: '{}' holds no group with job=\"typo\"\n", gateway.url()));
}

#[test]
fn a_gateway_that_somebody_broke_still_shows_its_groups() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        gateway.push("PUT", "job/fine", "x 1\n");
        let poison = http::request("PUT", &format!("{}/metrics/job/bad/l/%FF", gateway.url()), b"x 1\n").unwrap();
        assert_eq!(poison.status, 400);
        assert_eq!(http::request("GET", &format!("{}/metrics", gateway.url()), b"").unwrap().status, 500);
        groups(&gateway).call().exit(0).stdout_has("bad").stdout_has("never, refused ").stdout_has("fine");
    }
}

#[test]
fn colours_are_for_terminals() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/a", "pushwrap_running 0\npushwrap_outcome{outcome=\"success\"} 1\n");
    let printed = |variables: &[&str]| {
        let binary = binary();
        let url = gateway.url();
        let call = [binary.to_str().unwrap(), "groups", "--url", &url];
        let terminal = Terminal::start(&[&["env"], variables, &call].concat());
        terminal.wait_for_times("\n", 2);
        terminal.seen()
    };
    assert!(printed(&["TERM=xterm"]).contains("\u{1b}[32msuccess\u{1b}[0m"));
    for plain in [&["TERM=dumb"][..], &["TERM=xterm", "NO_COLOR=1"]] {
        assert!(!printed(plain).contains('\u{1b}'), "{plain:?}");
    }
}

#[test]
fn several_gateways_are_shown_one_after_the_other() {
    let (first, second) = (Pushgateway::start(Version::Newest), Pushgateway::start(Version::Bookworm));
    first.push("PUT", "job/a", "x 1\n");
    second.push("PUT", "job/b", "x 1\n");
    let both = || Pushwrap::new().args(["groups", "--url", &first.url(), "--url", &second.url()]);
    let printed = both().call().exit(0).stdout;
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (6, first.url().as_str(), second.url().as_str()));
    let all = rows(&both().arg("--json").call());
    assert_eq!((&all[0]["job"], &all[1]["gateway"]), (&"a".into(), &second.url().into()));
    // One that does not answer takes nothing from the other.
    let dead = FakeGateway::start([Reply::status("502 Bad Gateway", "")]);
    let half =
        Pushwrap::new().args(["groups", "--json", "--push-timeout", "1", "--url", &dead.url(), "--url", &second.url()]);
    let half = half.call().exit(1).stderr_has("502 Bad Gateway");
    assert_eq!(rows(&half).len(), 1);
}

#[test]
fn what_is_no_gateway_is_said() {
    for (reply, part) in [
        (Reply::status("200 OK", "<html>hello</html>"), "is not that of a Pushgateway"),
        (Reply::status("200 OK", ""), "is not that of a Pushgateway"),
        (Reply::status("200 OK", "{\"status\":\"success\"}"), "is not that of a Pushgateway: it has no 'data'"),
        (Reply::status("200 OK", "{\"data\":[{\"labels\":"), "is not that of a Pushgateway"),
        (Reply::status("404 Not Found", "404 page not found"), "404 Not Found"),
        (Reply::status("401 Unauthorized", ""), "401 Unauthorized"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":[".to_vec()), "broke the connection off"),
        (Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":[".to_vec()), "in time"),
        (Reply::NoAnswer, "in time"),
    ] {
        let fake = FakeGateway::start([reply.clone()]);
        let call = Pushwrap::new().args(["groups", "--push-timeout", "1", "--url", &fake.url(), "-u", "me:s3cret"]);
        let run = call.call().exit(1).within(Duration::from_secs(2));
        run.stderr_has(part).stderr_has(&format!("pushwrap: cannot read from '{}'", fake.url())).stderr_lacks("s3cret");
    }
}

#[test]
fn bad_usage_is_2() {
    let refused = |arguments: &[&str], part: &str| {
        Pushwrap::new().args(arguments).call().exit(2).stdout("").stderr_has(part);
    };
    refused(&["groups"], "no gateway is named: it takes --url URL or PUSHWRAP_URL");
    refused(&["groups", "--url", "http://gw", "-l", "x"], "expected NAME=VALUE");
    // What an empty variable of a script makes of 'zone=$ZONE' names no group, least of all every group without a zone.
    refused(&["groups", "--url", "http://gw", "-l", "zone="], "'zone=' for --label: expected a value after the '='");
    refused(&["prune", "--url", "http://gw", "--older-than", "1d", "-l", "zone="], "expected a value after the '='");
    refused(&["groups", "--url", "http://gw", "--prefix", "1"], "beginning of a metric name");
    refused(&["groups", "--url", "http://gw", "extra"], "'extra'");
    refused(&["prune", "--url", "http://gw"], "--older-than is required");
    refused(&["prune", "--url", "http://gw", "--older-than", "0"], "longer than 0");
    refused(&["prune", "--url", "http://gw", "--older-than", "90"], "expected a unit: write 90d or 90s");
    refused(&["prune", "--url", "http://gw", "--older-than", "soon"], "expected a duration such as 90d or 12h");
    // An empty variable of a script must not delete the groups of every job.
    refused(&["prune", "--url", "http://gw", "--older-than", "1d", "--job", ""], "--job is empty");
    refused(&["prune", "--url", "http://gw", "--older-than", "1d", "-l", ""], "--label is empty");
    refused(&["delete", "--url", "http://gw"], "--job is required");
    refused(&["delete", "--url", "http://gw", "--job", "a", "-l", "le=1"], "'le' cannot be a grouping label");
    refused(&["install"], "<PATH>");
    // There is no command to protect: a wrong variable is no better than a wrong flag.
    let wrong = Pushwrap::new().args(["prune", "--url", "http://gw"]).env("PUSHWRAP_OLDER_THAN", "soon");
    wrong.call().exit(2).stderr_has("for PUSHWRAP_OLDER_THAN: expected a duration");
    let empty =
        Pushwrap::new().args(["prune", "--url", "http://gw", "--older-than", "1d"]).env("PUSHWRAP_LABEL", "zone=");
    empty.call().exit(2).stderr_has("for PUSHWRAP_LABEL: expected a value after the '='");
    Pushwrap::new().args(["groups", "--url", "none"]).call().exit(0);
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push("PUT", "job/a", "x 1\n");
    let (mut command, _directory) = groups(&gateway).command();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(std::process::Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*said),
        (Some(1), "pushwrap: cannot write to standard output: no space left on device\n")
    );
}

/// nginx as companies put it in front: a path prefix, a password, TLS.
#[test]
fn behind_a_proxy_with_prefix_password_and_tls() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let authority = Authority::new();
    let pair = authority.issue("front", "DNS:localhost");
    let passwords = authority.file("htpasswd", "me:{PLAIN}secret\n");
    let nginx = Nginx::start_tls(&format!(
        "ssl_certificate {}; ssl_certificate_key {};\nlocation /push/gw/ {{ auth_basic x; auth_basic_user_file {};\n\
         proxy_pass http://{}/; }}",
        pair.cert.display(),
        pair.key.display(),
        passwords.display(),
        gateway.address()
    ));
    let url = format!("{}/push/gw", nginx.url_by_name());
    let ca = authority.cert();
    let call = |subcommand: &str, user: &str| {
        Pushwrap::new().args([subcommand, "--url", &url, "-u", user, "--cacert", ca.to_str().unwrap()])
    };
    gateway.push("PUT", "job/a/l@base64/eC95", "x 1\n");
    gateway.push("PUT", "job/b", "x 1\n");
    gateway.push("PUT", "job/c", "x 1\n");
    call("groups", "me:secret").call().exit(0).stdout_has("l=x/y");
    call("groups", "me:s3cret").call().exit(1).stderr_has("401").stderr_lacks("s3cret");
    call("delete", "me:secret")
        .args(["--job", "b", "--instance", "none"])
        .call()
        .exit(0)
        .stdout_has("deleted")
        .stderr("");
    super::harness::wait_for("group b to go", || gateway.group([("job", "b")]).is_none().then_some(()));
    super::harness::wait_for("the group to be old enough and to go", || {
        let run = call("prune", "me:secret").args(["--older-than", "1ms", "--job", "a"]).call().exit(0);
        (run.stdout.starts_with("deleted {job=\"a\", l=\"x/y\"}, last push ")).then_some(())
    });
    assert_eq!(gateway.groups().len(), 1);
    assert!(gateway.group([("job", "c")]).is_some());
}

/// Two and a half thousand runs of others, each with all its metrics: what is kept in memory is what is listed.
#[test]
fn thousands_of_groups_need_little_memory() {
    let gateway = Pushgateway::start_with(Version::Newest, &["--push.disable-consistency-check"]);
    let outcomes = ["success", "failure", "skipped", "signal", "timeout", "oom_killed", "not_started", "terminated"];
    let mut body =
        "pushwrap_running 0\npushwrap_duration_seconds 1.5\npushwrap_start_timestamp_seconds 1.7e9\n".to_owned();
    for outcome in outcomes {
        let _ = writeln!(body, "pushwrap_outcome{{outcome=\"{outcome}\"}} 0");
    }
    for metric in 0..50 {
        let _ = writeln!(body, "# HELP other_{metric} A metric of somebody else, with a help text.\nother_{metric} 1");
    }
    for group in 0..2500 {
        gateway.push("PUT", &format!("job/job{}/instance/host{group}", group % 50), &body);
    }
    let (pushwrap, url) = (binary(), gateway.url());
    let measured = Pushwrap::new().args(["--url", "none", "--summary=json"]).run([
        pushwrap.to_str().unwrap(),
        "groups",
        "--json",
        "--push-timeout",
        "100s",
        "--url",
        &url,
    ]);
    let measured = measured.exit(0);
    assert_eq!(rows(&measured).len(), 2500);
    let summary: Value = serde_json::from_str(measured.stderr.trim()).unwrap();
    let peak = summary["peak_rss_bytes"].as_u64().unwrap() >> 20;
    let answer = http::get(&format!("{url}/api/v1/metrics")).len() >> 20;
    // Measured: 25 MiB in a debug build for an answer of 28 MiB; the bound is a third more.
    assert!(peak < 34 && answer > 15, "{peak} MiB for an answer of {answer} MiB");
}

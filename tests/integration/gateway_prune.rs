//! `pushwrap prune` and `pushwrap delete`: exactly the groups that are meant go, and never one that somebody still pushes to.

use std::time::Duration;

use pushwrap::grouping::GroupingKey;
use pushwrap::http::{Cancel, Deadline, Endpoint};
use pushwrap::sink::{Push, deliver, inventory};

use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, PATIENCE, Pushgateway, Pushwrap, Reply, Terminal, Version, http, wait_for};

/// The time of day in the answers below: 1 000 000 000 seconds since 1970.
const DATE: &str = "Date: Sun, 09 Sep 2001 01:46:40 GMT";

/// A gateway's answer: for each group its labels as JSON, when a push was accepted and when one was refused.
fn answer(groups: &[(&str, &str, &str)]) -> Reply {
    answer_at(&[DATE], groups)
}

fn answer_at(headers: &[&str], groups: &[(&str, &str, &str)]) -> Reply {
    let family = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!(",\"{name}\":{{\"type\":\"GAUGE\",\"metrics\":[{{\"labels\":{{}},\"value\":\"{value}\"}}]}}"),
    };
    let group = |(labels, pushed, refused): &(&str, &str, &str)| {
        let times = family("push_time_seconds", pushed) + &family("push_failure_time_seconds", refused);
        format!("{{\"labels\":{{{labels}}},\"last_push_successful\":true{times}}}")
    };
    let groups: Vec<String> = groups.iter().map(group).collect();
    Reply::with_headers("200 OK", headers, &format!("{{\"status\":\"success\",\"data\":[{}]}}", groups.join(",")))
}

const OLD: &str = "9.99e+08";
const A: &str = "\"job\":\"a\"";
const B: &str = "\"job\":\"b\"";

fn prune(url: &str) -> Pushwrap {
    Pushwrap::new().args(["prune", "--url", url, "--older-than", "1d"])
}

/// What a gateway was asked to delete.
fn deletes(gateway: &FakeGateway) -> Vec<String> {
    let lines = gateway.requests().into_iter().map(|request| request.line());
    lines.filter_map(|line| Some(line.strip_prefix("DELETE ")?.strip_suffix(" HTTP/1.1")?.to_owned())).collect()
}

/// Each key that a gateway can hold: the path that makes it, and how it is printed.
const KEYS: [(&str, &str); 14] = [
    ("job/a", r#"{job="a"}"#),
    ("job/a/zone/eu", r#"{job="a", zone="eu"}"#),
    ("job/a/zone@base64/=", r#"{job="a", zone=""}"#),
    ("job/own/instance@base64/=", r#"{job="own", instance=""}"#),
    ("job/a%20b", r#"{job="a b"}"#),
    ("job@base64/YS9i", r#"{job="a/b"}"#),
    ("job@base64/Lg==", r#"{job="."}"#),
    ("job@base64/Li4=", r#"{job=".."}"#),
    ("job/a+b", r#"{job="a+b"}"#),
    ("job/%C3%A4/x@base64/Pz8_", r#"{job="ä", x="???"}"#),
    ("job/a/l/%00%0A%1B", "{job=\"a\", l=\"\\0\\n\\u{1b}\"}"),
    ("job/a/l/%22%5C%25%23", r#"{job="a", l="\"\\%#"}"#),
    ("job/a/labels/x/Z/1/_y/2", r#"{job="a", Z="1", _y="2", labels="x"}"#),
    ("job/a/U__x_2e_y/1", r#"{job="a", U__x_2e_y="1"}"#),
];

/// Given groups whose keys are all nearly alike, when one after the other is deleted, then each time exactly that one goes.
#[test]
fn a_delete_hits_exactly_the_group_that_was_read() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        for (path, _) in KEYS {
            gateway.push("PUT", path, "x{own=\"1\"} 1\n");
        }
        // A family of this name hides the labels in the gateway's answer.
        gateway.push("PUT", "job/hidden/l/1", "labels 1\nlast_push_successful 1\n");
        let at = Endpoint::at(gateway.url().parse().unwrap());
        let keys = || -> Vec<GroupingKey> {
            let inventory = inventory(&at, &[], Deadline::after(PATIENCE)).unwrap();
            inventory.groups.into_iter().map(|group| group.key).collect()
        };
        let mut left = keys();
        let printed: Vec<String> = left.iter().map(ToString::to_string).collect();
        for (path, key) in KEYS {
            assert!(printed.iter().any(|printed| printed == key), "{path}: no {key} in {printed:?}");
        }
        assert!(printed.contains(&"{job=\"hidden\", l=\"1\"}".to_owned()), "{printed:?}");
        assert_eq!(printed.len(), KEYS.len() + 1);
        while !left.is_empty() {
            let key = left.remove(left.len() / 2);
            let push = Push::deletion(key.clone());
            deliver(&at, &push, Deadline::after(PATIENCE), &Cancel::new()).unwrap();
            wait_for(&format!("{key} alone to go"), || (keys() == left).then_some(()));
        }
    }
}

#[test]
fn a_rehearsal_deletes_nothing_and_the_real_thing_everything() {
    let gateway = Pushgateway::start(Version::Bookworm);
    for (path, _) in KEYS {
        gateway.push("PUT", path, "x{own=\"1\"} 1\n");
    }
    let prune = |more: &[&str]| {
        let call = Pushwrap::new().args(["prune", "--older-than", "1ms", "--url", &gateway.url()]);
        call.args(more).call().exit(0).stderr("").stdout
    };
    wait_for("the groups to be old enough", || {
        (prune(&["-n"]).matches("would delete {").count() == KEYS.len()).then_some(())
    });
    assert_eq!(gateway.groups().len(), KEYS.len());
    assert_eq!(prune(&["-l", "zone=eu"]).lines().count(), 1);
    assert_eq!(gateway.groups().len(), KEYS.len() - 1);
    assert_eq!(prune(&[]).lines().count(), KEYS.len() - 1);
    assert!(gateway.groups().is_empty());
}

/// Only gateways with a flag take such names, and they want them spelled in a way of their own.
#[test]
fn label_names_beyond_ascii_are_hit_too() {
    let gateway = Pushgateway::start_with(Version::Newest, &["--push.enable-utf8-names"]);
    for path in ["job/a/U__x_2e_y__z/1", "job/a/U___31__e4_/2", "job/a/x_y_z/1"] {
        gateway.push("PUT", path, "m 1\n");
    }
    let expected = ["{job=\"a\", \"1ä\"=\"2\"}", "{job=\"a\", \"x.y_z\"=\"1\"}", "{job=\"a\", x_y_z=\"1\"}"];
    wait_for("the groups to be old enough and to go", || {
        let run = Pushwrap::new().args(["prune", "--older-than", "1ms", "--url", &gateway.url()]).call().exit(0);
        (!run.stdout.is_empty())
            .then(|| assert!(expected.iter().any(|key| run.stdout.contains(key)), "{}", run.stdout));
        gateway.groups().is_empty().then_some(())
    });
}

#[test]
fn young_groups_and_those_without_push_times_stay() {
    let gateway = FakeGateway::start([answer(&[
        ("\"job\":\"young\"", "9.9999e+08", "0"),
        ("\"job\":\"refused lately\"", OLD, "9.9999e+08"),
        ("\"job\":\"future\"", "2e+09", "0"),
        ("\"job\":\"without times\"", "", ""),
        ("\"job\":\"without one\"", "", OLD),
        ("\"job\":\"without the other\"", OLD, ""),
        ("\"job\":\"never\"", "0", "0"),
        ("\"job\":\"odd\"", "NaN", "-Inf"),
        ("\"no job\":\"x\"", OLD, "0"),
        ("", OLD, "0"),
    ])]);
    prune(&gateway.url()).call().exit(0).stdout("");
    assert_eq!(deletes(&gateway), [""; 0]);
}

#[test]
fn old_groups_go_whatever_became_of_their_last_push() {
    let young = ("\"job\":\"young\"", "9.9999e+08", "0");
    for (group, key, path) in [
        ((A, OLD, "0"), "{job=\"a\"}", "/metrics/job/a"),
        ((A, OLD, "9.98e+08"), "{job=\"a\"}", "/metrics/job/a"),
        (("\"l\":\"x\",\"job\":\"c\"", "0", OLD), "{job=\"c\", l=\"x\"}", "/metrics/job/c/l/x"),
    ] {
        let both = answer(&[young, group]);
        let gone = answer(&[young]);
        let gateway = FakeGateway::start([both.clone(), both, Reply::status("202 Accepted", ""), gone]);
        let run = prune(&gateway.url()).call().exit(0).stdout(&format!("deleted {key}, last push 11d ago\n"));
        run.stderr_has("apart from ours: ages are by its clock");
        assert_eq!(deletes(&gateway), [path]);
    }
}

#[test]
fn a_group_that_is_pushed_to_meanwhile_stays() {
    let gateway = FakeGateway::start([answer(&[(A, OLD, "0"), (B, OLD, "0")]), answer(&[(A, "9.99999e+08", "0")])]);
    let run = prune(&gateway.url()).arg("-v").call().exit(0).stdout("");
    run.stderr_has("{job=\"a\"} was pushed to meanwhile: it stays").stderr_has("{job=\"b\"} is gone already");
    assert_eq!(deletes(&gateway), [""; 0]);
}

#[test]
fn ages_are_by_the_gateways_clock() {
    // By our own clock all these are decades old.
    let day_before = ["Date: Fri, 01 Jan 1999 00:00:00 GMT"];
    let gateway = FakeGateway::start([answer_at(&day_before, &[(A, "9.1514e+08", "0")])]);
    prune(&gateway.url()).call().exit(0).stdout("").stderr_has("ages are by its clock");
    let without = FakeGateway::start([answer_at(&[], &[(A, "9.15e+08", "0")])]);
    let run = prune(&without.url()).args(["-n", "-v"]).call().exit(0);
    run.stdout_has("would delete {job=\"a\"}").stderr_has("does not say what time it has: ages are by our clock");
}

#[test]
fn a_gateway_that_refuses_ends_it() {
    let old = || answer(&[(A, OLD, "0"), (B, OLD, "0")]);
    for (reply, part) in [
        (Reply::status("403 Forbidden", ""), "cannot delete the group at"),
        (Reply::status("405 Method Not Allowed", ""), "405"),
        (Reply::Close, "without an answer"),
    ] {
        let gateway = FakeGateway::start([old(), old(), reply]);
        let run = prune(&gateway.url()).args(["--push-timeout", "1"]).call().exit(1).stdout("");
        run.stderr_has(part);
        assert!(deletes(&gateway).iter().all(|path| path == "/metrics/job/a"), "{part}");
    }
    let gateway = FakeGateway::start([old(), Reply::status("500 Internal Server Error", "")]);
    prune(&gateway.url()).args(["--push-timeout", "1"]).call().exit(1).stdout("").stderr_has("cannot read from");
    assert_eq!(deletes(&gateway), [""; 0]);
}

#[test]
fn a_key_that_is_refused_takes_nothing_from_the_others() {
    let both = || answer(&[(A, OLD, "0"), (B, OLD, "0")]);
    let script = [
        both(),
        both(),
        Reply::status("431 Request Header Fields Too Large", ""),
        both(),
        Reply::status("202 Accepted", ""),
        answer(&[(A, OLD, "0")]),
    ];
    // Whether there is a reading between the two DELETEs depends on how long the first took; both are fine.
    let gateway = FakeGateway::start(script);
    let run = prune(&gateway.url()).args(["--push-timeout", "2"]).call().exit(1);
    run.stderr_has("{job=\"a\"} stays: ").stderr_has("431");
    assert_eq!(deletes(&gateway)[0], "/metrics/job/a");
}

#[test]
fn what_was_accepted_and_not_done_is_said() {
    let old = || answer(&[(A, OLD, "0")]);
    let gateway = FakeGateway::start([old(), old(), Reply::status("202 Accepted", ""), old()]);
    let run = prune(&gateway.url()).args(["--push-timeout", "1"]).call().exit(1).within(Duration::from_secs(4));
    run.stdout_has("deleted {job=\"a\"}").stderr_has("accepted the DELETE and still holds {job=\"a\"}");
    // A key that is not UTF-8: the gateway's answer has U+FFFD in its place.
    let real = Pushgateway::start(Version::Newest);
    http::request("PUT", &format!("{}/metrics/job/bad/l/%FF", real.url()), b"x 1\n").unwrap();
    wait_for("the group to be old enough", || {
        let call = Pushwrap::new().args(["prune", "--older-than", "1ms", "--push-timeout", "1", "--url", &real.url()]);
        let run = call.call();
        (run.status.code() == Some(1)).then(|| run.stderr_has("still holds {job=\"bad\", l=\"\u{fffd}\"}"))
    });
}

#[test]
fn progress_is_for_terminals() {
    let gateway = Pushgateway::start(Version::Newest);
    for job in 0..3 {
        gateway.push("PUT", &format!("job/j{job}"), "x 1\n");
    }
    wait_for("the groups to be old enough", || {
        let run = Pushwrap::new().args(["prune", "-n", "--older-than", "1ms", "--url", &gateway.url()]).call();
        (run.stdout.lines().count() == 3).then_some(())
    });
    let (pushwrap, url) = (binary(), gateway.url());
    let arguments = ["env", "TERM=xterm", pushwrap.to_str().unwrap(), "prune", "--older-than", "1ms", "--url", &url];
    let terminal = Terminal::start(&arguments);
    terminal.wait_for("deleted {job=\"j2\"}, last push ");
    terminal.wait_for_times("\r\u{1b}[K", 7);
    let seen = terminal.seen();
    assert!(seen.contains("\r\u{1b}[Kpushwrap: 1 of 3"), "{seen:?}");
    assert!(seen.ends_with("\r\u{1b}[K"), "{seen:?}");
    wait_for("the groups to go", || gateway.groups().is_empty().then_some(()));
}

#[test]
fn delete_takes_exactly_this_jobs_group() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        let paths = ["job/a", "job/a/instance/db1", "job/a/instance/db1/zone/eu", "job@base64/YS9i"];
        for path in paths {
            gateway.push("PUT", path, "x 1\n");
        }
        let delete = |options: &[&str], left: usize| {
            let run = Pushwrap::new().args(["delete", "--url", &gateway.url()]).args(options).call();
            run.exit(0).stdout_has("deleted {job=").stderr("");
            wait_for("the group to go", || (gateway.groups().len() == left).then_some(()));
        };
        delete(&["--job", "a", "--instance", "db1", "-l", "zone=eu"], 3);
        assert!(gateway.group([("job", "a"), ("instance", "db1")]).is_some());
        delete(&["--job", "a", "--instance", "none"], 2);
        assert!(gateway.group([("job", "a")]).is_none());
        delete(&["--job", "a/b", "--instance", "none"], 1);
        // As in the run form: what pushwrap pushed as this job is what it deletes.
        Pushwrap::new().args(["--url", &gateway.url(), "--job", "own"]).run(["true"]).exit(0);
        assert_eq!(gateway.groups().len(), 2);
        delete(&["--job", "own"], 1);
        // What is empty is dropped by both, as an empty variable of a script may be.
        let empty = ["--job", "own", "-l", "zone=", "--instance", "", "-l", "key=Yg=="];
        Pushwrap::new().args(["--url", &gateway.url()]).args(empty).run(["true"]).exit(0);
        assert!(gateway.group([("job", "own"), ("key", "Yg==")]).is_some());
        delete(&empty, 1);
        let env = || Pushwrap::new().args(["--job", "own", "--url", &gateway.url()]).env("PUSHWRAP_LABEL", "zone=");
        env().run(["true"]).exit(0);
        Pushwrap::new()
            .arg("delete")
            .args(["--job", "own", "--url", &gateway.url()])
            .env("PUSHWRAP_LABEL", "zone=")
            .call()
            .exit(0);
        wait_for("the group to go", || (gateway.groups().len() == 1).then_some(()));
        let loud = Pushwrap::new().args(["delete", "-v", "--job", "x", "--instance", "none", "--url", &gateway.url()]);
        let absent = format!("'{}' holds no group {{job=\"x\"}}, and none of job \"x\"", gateway.url());
        loud.call().exit(1).stderr(&format!("pushwrap: {absent}\n"));
        gateway.push("PUT", "job/x", "x 1\n");
        gateway.push("PUT", "job/x/zone/eu", "x 1\n");
        let loud = |instance: &str| {
            let run = Pushwrap::new().args(["delete", "-v", "--job", "x", "--instance", instance]);
            run.args(["--url", &gateway.url()]).call()
        };
        loud("workstation").exit(1).stderr_has(r#"of that job it holds {job="x"}, {job="x", zone="eu"} ("#);
        loud("none").exit(0).stdout(&format!("deleted {{job=\"x\"}} at '{}'\n", gateway.url())).stderr("");
    }
}

#[test]
fn delete_can_be_rehearsed_and_can_fail() {
    let group = || answer(&[("\"job\":\"a b\"", "1e+09", "0")]);
    let gateway = FakeGateway::start([group(), Reply::status("403 Forbidden", "no")]);
    let delete = || Pushwrap::new().args(["delete", "--job", "a b", "--instance", "none", "--url", &gateway.url()]);
    let dry = delete().arg("-n").call().exit(0).stdout("");
    dry.stderr_has("DELETE /metrics/job@base64/YSBi HTTP/1.1").stderr_has("not sent: curl ");
    assert_eq!(gateway.connections(), 0);
    delete().call().exit(1).stderr_has("cannot delete the group at").stderr_has("403 Forbidden: no");
    // Several gateways: each has its own result.
    let fine = FakeGateway::start([group(), Reply::status("202 Accepted", "")]);
    delete().args(["--url", &fine.url()]).call().exit(1);
    assert_eq!(deletes(&fine), ["/metrics/job@base64/YSBi"]);
}

//! Answers whose head is odd: status, text, `Retry-After` and `Location` count all the same, as they do for curl.

use super::harness::{FakeGateway, Pushwrap, Reply};

/// Heads that a parser with a table of headers or with strict rules refuses; `STATUS` and `MORE` are put in.
fn odd(status: &str, more: &str, body: &str) -> Vec<(&'static str, Reply)> {
    let length = body.len();
    let many = "X-Filler: y\r\n".repeat(200);
    let long = format!("X-Long: {}\r\n", "z".repeat(40_000));
    let answer = |reason: &str, headers: &str| {
        let head = format!("HTTP/1.1 {status} {reason}\r\n{headers}{more}Content-Length: {length}\r\n\r\n");
        Reply::Raw([head.as_bytes(), body.as_bytes()].concat())
    };
    vec![
        ("a control character in the reason", answer("No\x01Way\x1b[31m", "")),
        ("a control character in a header", answer("No", "X-Odd: a\x02b\r\n")),
        ("a folded header", answer("No", "X-Fold: a\r\n\tb\r\n")),
        ("a blank in a name", answer("No", "X Odd: a\r\n")),
        ("200 headers", answer("No", &many)),
        ("40 KB of a header", answer("No", &long)),
    ]
}

/// Given an odd head of a refusal, when a run pushes, then status and text are said.
#[test]
fn a_refusal_keeps_its_status_and_text() {
    for (name, reply) in odd("403", "", "ask the operator") {
        let gateway = FakeGateway::start([reply]);
        let run = Pushwrap::new().args(["--url", &gateway.url(), "--job", "k"]).run(["true"]).exit(0);
        run.stderr_has("403 Forbidden: ask the operator").stderr_lacks("not HTTP").stderr_lacks(name);
    }
}

/// Given an odd head with `Retry-After`, when a run pushes, then it waits that long and tries again.
#[test]
fn retry_after_is_kept() {
    for (name, reply) in odd("429", "Retry-After: 1\r\n", "") {
        let gateway = FakeGateway::start([reply, Reply::ok()]);
        let run = Pushwrap::new().args(["--url", &gateway.url(), "--job", "k", "-v", "--require-push"]);
        run.run(["true"]).exit(0).stderr_has("(200, 2 tries)").stderr_lacks(name);
    }
}

/// Given an odd head with `Location` within the origin, when a run pushes, then the push goes there.
#[test]
fn a_location_is_followed() {
    for (name, reply) in odd("307", "Location: /elsewhere\r\n", "") {
        let gateway = FakeGateway::start([reply, Reply::ok()]);
        let run = Pushwrap::new().args(["--url", &gateway.url(), "--job", "k", "--require-push"]);
        run.run(["true"]).exit(0).stderr_lacks(name);
        let requests = gateway.requests();
        assert!(requests.last().is_some_and(|request| request.head().contains("POST /elsewhere ")), "{name}");
    }
}

/// Given a page whose head is odd, when `groups` reads it, then the page counts.
#[test]
fn groups_reads_a_page_with_an_odd_head() {
    let page = r#"{"status":"success","data":[]}"#;
    for (name, reply) in odd("200", "", page) {
        let gateway = FakeGateway::start([reply]);
        Pushwrap::new()
            .args(["groups", "--url", &gateway.url()])
            .call()
            .exit(0)
            .stderr_lacks("not HTTP")
            .stderr_lacks(name);
    }
}

/// Given headers and a target that are long, when a run pushes, then all of them arrive, also through a proxy.
#[test]
fn a_long_head_arrives_whole() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let (user, value, job) = ("u".repeat(20_000), "v".repeat(30_000), "j".repeat(2_000));
    let header = format!("X-Tenant: {value}");
    for proxy in ["", "http://p:q@PROXY"] {
        let (url, proxy) = match proxy {
            "" => (gateway.url(), String::new()),
            _ => ("http://gateway.test:9091".to_owned(), proxy.replace("PROXY", &gateway.address())),
        };
        let call = Pushwrap::new().args([
            "--url",
            &url,
            "--job",
            &job,
            "--user",
            &format!("{user}:secret"),
            "--header",
            &header,
        ]);
        call.env("http_proxy", &proxy).args(["--require-push"]).run(["true"]).exit(0);
    }
    for request in gateway.requests() {
        assert_eq!(request.header("x-tenant"), Some(value.clone()));
        assert!(request.header("authorization").unwrap().len() > 26_000, "base64 of the name and the password");
        assert!(request.line().contains(&job) && request.samples().contains("_exit_code 0\n"));
    }
    assert_eq!(gateway.requests().len(), 2);
}

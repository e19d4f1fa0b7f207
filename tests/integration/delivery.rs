//! Delivery over plain HTTP: what arrives at real gateways, and what a gateway that misbehaves can do to it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use pushwrap::delivery::deliver_all;
use pushwrap::exposition::{Context, OwnedFamilies, Source};
use pushwrap::grouping::GroupingKey;
use pushwrap::http::{Cancel, Deadline, Endpoint, Failure, Fault, Phase};
use pushwrap::sink::{Delivered, Method, Push, deliver};

use super::harness::fake::{CLOSED_PORT, FullBacklog};
use super::harness::{FakeGateway, Pushgateway, Reply, Version, wait_for, within_limit};

pub(crate) fn gateway(url: &str) -> Endpoint {
    Endpoint::at(url.parse().unwrap())
}

/// A push of metrics that stand for a run's own.
pub(crate) fn push(method: Method, job: &str, own: &str) -> Push {
    let (key, own) = (GroupingKey::new(job, []).unwrap(), families(own));
    Push { method, key, own, command: OwnedFamilies::default(), carried_over: Vec::new() }
}

pub(crate) fn families(text: &str) -> OwnedFamilies {
    OwnedFamilies::read(vec![Source::new("test", text.as_bytes().to_vec())], &Context::default()).0
}

/// Metrics of so many MiB.
pub(crate) fn large(mebibytes: usize) -> String {
    let value = "y".repeat((1 << 20) / 16);
    let line = |number| format!("x{{n=\"{number}\",l=\"{value}\"}} 1\n");
    (0..mebibytes * 16).map(line).collect::<Vec<_>>().concat()
}

pub(crate) fn send(gateway: &Endpoint, push: &Push) -> Result<Delivered, Failure> {
    send_within(gateway, push, Duration::from_secs(10))
}

pub(crate) fn send_within(gateway: &Endpoint, push: &Push, budget: Duration) -> Result<Delivered, Failure> {
    deliver(gateway, push, Deadline::after(budget), &Cancel::new())
}

fn sample() -> Push {
    push(Method::Add, "a", "x 1\n")
}

#[test]
fn real_gateways_add_replace_and_delete() {
    for version in Version::ALL {
        let server = Pushgateway::start(version);
        let gateway = gateway(&server.url());
        let job = || server.group([("job", "a")]);

        let done = send(&gateway, &push(Method::Add, "a", "x 1\ny 2\n")).unwrap();
        assert_eq!((done.status, done.tries, done.own_only), (Some(200), 1, None));
        send(&gateway, &push(Method::Add, "a", "x 3\n")).unwrap();
        assert_eq!(job().unwrap().families(), ["x", "y"]);
        send(&gateway, &push(Method::Replace, "a", "x 4\n")).unwrap();
        assert_eq!(job().unwrap().families(), ["x"]);
        assert_eq!(job().unwrap().value("x", []).unwrap(), "4");
        send(&gateway, &push(Method::Add, "a", "")).unwrap();
        assert_eq!(send(&gateway, &push(Method::Delete, "a", "")).unwrap().status, Some(202));
        wait_for("the group to be deleted", || job().is_none().then_some(()));
    }
}

#[test]
fn a_request_has_the_headers_of_the_contract_and_an_exact_length() {
    let fake = FakeGateway::start([Reply::ok()]);
    let key = GroupingKey::new("a b", ["l=v".parse().unwrap()]).unwrap();
    let push = Push { key, ..push(Method::Replace, "a", "x 1\n") };
    send(&gateway(&format!("{}/pgw/", fake.url())), &push).unwrap();
    let request = &fake.wait_for_requests(1)[0];
    let mut lines: Vec<String> = request.head().lines().map(str::to_lowercase).collect();
    lines[1..].sort();
    assert_eq!(request.line(), "PUT /pgw/metrics/job@base64/YSBi/l/v HTTP/1.1");
    assert_eq!(
        lines[1..],
        [
            "connection: close",
            "content-length: 21",
            "content-type: text/plain; version=0.0.4; charset=utf-8",
            &format!("host: {}", fake.address()),
            &format!("user-agent: pushwrap/{}", env!("CARGO_PKG_VERSION")),
        ]
    );
    assert_eq!(request.body(), "# TYPE x untyped\nx 1\n");
}

#[test]
fn any_2xx_is_success_as_soon_as_its_status_line_is_there() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nx".to_vec();
    for reply in [
        Reply::status("202 Accepted", ""),
        Reply::status("204 No Content", ""),
        Reply::status("299 Whatever", "text"),
        Reply::Stall(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        Reply::Raw(b"HTTP/1.0 200 \r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort".to_vec()),
        Reply::Raw(chunked),
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Reply::Trickle(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Duration::from_millis(20)),
    ] {
        let fake = FakeGateway::start([reply.clone()]);
        let done = send_within(&gateway(&fake.url()), &sample(), Duration::from_secs(2));
        assert!(done.is_ok(), "{reply:?}: {done:?}");
    }
}

/// What is tried again succeeds at the second try.
#[test]
fn what_may_pass_is_tried_again() {
    for (reply, tries) in [
        (Reply::status("503 Service Unavailable", "busy"), 2),
        (Reply::status("500 Internal Server Error", "write queue is full"), 2),
        (Reply::status("408 Request Timeout", ""), 2),
        (Reply::with_headers("429 Too Many Requests", &["Retry-After: 1"], ""), 2),
        (Reply::Reset, 2),
        (Reply::Close, 2),
        (Reply::Raw(b"HTTP/1.".to_vec()), 2),
    ] {
        let fake = FakeGateway::start([reply.clone(), Reply::ok()]);
        let started = Instant::now();
        let done = send_within(&gateway(&fake.url()), &sample(), Duration::from_secs(4)).unwrap();
        assert_eq!(done.tries, tries, "{reply:?}");
        if matches!(&reply, Reply::Raw(bytes) if bytes.windows(11).any(|window| window == b"Retry-After")) {
            assert!(started.elapsed() >= Duration::from_secs(1), "{reply:?} {:?}", started.elapsed());
        }
        assert_eq!(fake.wait_for_requests(1).last().unwrap().samples(), "x 1\n");
    }
}

/// For each fault: what it is called, how often it was tried, and that the budget holds.
#[test]
fn every_fault_ends_within_the_budget_with_its_own_message() {
    let budget = Duration::from_millis(1500);
    let full = FullBacklog::start();
    let closed = CLOSED_PORT;
    let cases: Vec<(&str, Reply, &str, bool)> = vec![
        ("answers nothing", Reply::NoAnswer, "connected and sent, but no answer came in time", true),
        ("reads nothing", Reply::Silence, "connected and sent, but no answer came in time", true),
        (
            "trickles a head",
            Reply::Trickle(b"HTTP/1.1 200 OK".to_vec(), Duration::from_millis(200)),
            "no answer came in time",
            true,
        ),
        ("resets", Reply::Reset, "broke the connection off", true),
        ("hangs up", Reply::Close, "in 3 tries: it closed the connection without an answer", false),
        ("half a status line", Reply::Raw(b"HTTP/1.1 2".to_vec()), "broke the connection off before it answered", true),
        (
            "is no HTTP",
            Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            "answers 'SSH-2.0-OpenSSH_9.2', which is not HTTP",
            false,
        ),
        ("binary", Reply::Raw(vec![0, 1, 2, 255, 10]), r"which is not HTTP", false),
        ("status 99999", Reply::Raw(b"HTTP/1.1 99999 x\r\n\r\n".to_vec()), "not HTTP", false),
        (
            "400",
            Reply::status("400 Bad Request", "no\u{1b}[31m way\r\nat all\n"),
            r"400 Bad Request: no\u{1b}[31m way at all",
            false,
        ),
        ("403", Reply::status("403 Forbidden", ""), "403 Forbidden", false),
        ("unknown status", Reply::status("499 ", ""), "': 499", false),
        ("endless error", Reply::Endless(b"HTTP/1.1 404 Not Found\r\n\r\nno".to_vec()), "404 Not Found: no", false),
        (
            "stalled error",
            Reply::Stall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nwho".to_vec()),
            "401 Unauthorized: who",
            false,
        ),
        ("long error", Reply::status("400 Bad Request", &"y".repeat(100_000)), "yyy … yyy", false),
        ("endless head", Reply::Endless(b"HTTP/1.1 200".to_vec()), "not HTTP", false),
        ("503 for ever", Reply::status("503 Service Unavailable", "busy"), "503 Service Unavailable: busy", true),
        (
            "Retry-After beyond",
            Reply::with_headers("503 Service Unavailable", &["Retry-After: 60"], ""),
            "503 Service Unavailable",
            false,
        ),
        (
            "301",
            Reply::with_headers("301 Moved Permanently", &["Location: /metrics/job/a"], ""),
            "301 Moved Permanently to '/metrics/job/a'",
            false,
        ),
        (
            "302 elsewhere",
            Reply::with_headers("302 Found", &["Location: https://login.example/?a=b"], ""),
            "to 'https://login.example/?a=b'",
            false,
        ),
        ("303", Reply::with_headers("303 See Other", &["Location: /"], ""), "303 See Other", false),
        (
            "307 elsewhere",
            Reply::with_headers("307 Temporary Redirect", &["Location: http://127.0.0.2:1/"], ""),
            "307 Temporary Redirect to 'http://127.0.0.2:1/'",
            false,
        ),
        (
            "308 for ever",
            Reply::with_headers("308 Permanent Redirect", &["Location: /again"], ""),
            "308 Permanent Redirect to '/again'",
            false,
        ),
        ("308 nowhere", Reply::status("308 Permanent Redirect", ""), "308 Permanent Redirect", false),
    ];
    for (name, reply, message, whole_budget) in cases {
        let fake = FakeGateway::start([reply]);
        check_fault(name, &fake.url(), message, budget, whole_budget);
    }
    check_fault("full backlog", &full.url(), "no connection in time", budget, true);
    check_fault("closed port", closed, "connection refused", budget, true);
    check_fault("unknown name", "http://no-such-host.invalid:9091", "cannot resolve its name", budget, true);
}

#[track_caller]
fn check_fault(name: &str, url: &str, message: &str, budget: Duration, whole_budget: bool) {
    let (failure, took) = within_limit(budget + Duration::from_millis(300), || {
        let started = Instant::now();
        (send_within(&gateway(url), &sample(), budget).expect_err(name), started.elapsed())
    });
    let said = failure.to_string();
    assert!(said.starts_with(&format!("cannot push to '{url}'")), "{name}: {said}");
    assert!(message.split('|').any(|part| said.contains(part)), "{name}: {said}");
    assert!(!said.contains('\n') && !said.contains('\u{1b}') && said.len() < 3000, "{name}: {said}");
    // Where trying again may help it is tried while there is time; where not, nobody waits.
    if whole_budget {
        assert!(took > budget / 2, "{name} took only {took:?}: {said}");
    } else {
        assert!(!matches!(failure.fault, Fault::Timeout(_)), "{name}: {said}");
    }
}

#[test]
fn a_redirect_within_the_origin_keeps_method_and_body() {
    for (status, location) in [("307 Temporary Redirect", "/new/metrics/job/a?x=1"), ("308 Permanent Redirect", "self")]
    {
        let fake = FakeGateway::start([
            Reply::with_headers(status, &[&format!("Location: {}", location.replace("self", "//HOST/new"))], ""),
            Reply::ok(),
        ]);
        let done = send(&gateway(&fake.url()), &push(Method::Replace, "a", "x 1\n"));
        if location == "self" {
            // HOST is another host.
            assert!(matches!(done.unwrap_err().fault, Fault::Redirect { status: 308, .. }));
            assert_eq!(fake.connections(), 1);
        } else {
            assert_eq!(done.unwrap().tries, 1);
            let requests = fake.wait_for_requests(2);
            assert_eq!(requests[1].line(), "PUT /new/metrics/job/a?x=1 HTTP/1.1");
            assert_eq!(requests[1].samples(), "x 1\n");
        }
    }
}

#[test]
fn a_large_body_to_a_reader_that_stops_ends_in_time() {
    let fake = FakeGateway::start([Reply::Silence]);
    let large = push(Method::Add, "a", &large(16));
    let failure = within_limit(Duration::from_millis(1300), || {
        send_within(&gateway(&fake.url()), &large, Duration::from_secs(1)).unwrap_err()
    });
    assert_eq!(failure.fault, Fault::Timeout(Phase::Send), "{failure}");
}

/// Servers that refuse a large body answer before they have taken it; then some reset the connection and some just stop reading.
#[test]
fn an_answer_that_comes_before_the_body_is_sent_is_heard() {
    let large = push(Method::Add, "a", &large(16));
    for closes in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]).unwrap();
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").unwrap();
            if !closes {
                let _ = wait.recv();
            }
        });
        let started = Instant::now();
        let failure = send(&gateway(&url), &large).unwrap_err();
        assert!(matches!(failure.fault, Fault::Status { status: 413, .. }), "{failure}");
        assert!(failure.to_string().contains("413 Payload Too Large: no"), "{failure}");
        assert!(started.elapsed() < Duration::from_secs(4), "nobody waits for a server that has answered");
        drop(done);
        served.join().unwrap();
    }
}

#[test]
fn a_second_address_gets_its_chance() {
    // localhost is ::1 and 127.0.0.1; nobody listens on the first.
    let fake = FakeGateway::start([Reply::ok()]);
    let url = fake.url().replace("127.0.0.1", "localhost");
    assert_eq!(send(&gateway(&url), &sample()).unwrap().tries, 1);
}

#[test]
fn an_ipv6_address_is_a_gateway_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        // A machine without IPv6 has nothing that could be tested.
        return;
    };
    let url = format!("http://{}", listener.local_addr().unwrap());
    let host = url.trim_start_matches("http://").to_owned();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    });
    assert_eq!(send(&gateway(&url), &sample()).unwrap().status, Some(200));
    let head = served.join().unwrap();
    assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    assert!(head.ends_with("\r\n\r\n# type x untyped\nx 1\n"), "head and body are one packet: {head}");
}

#[test]
fn a_budget_that_is_spent_sends_nothing() {
    let fake = FakeGateway::start([Reply::ok()]);
    let failure = send_within(&gateway(&fake.url()), &sample(), Duration::ZERO).unwrap_err();
    assert!(matches!(failure.fault, Fault::Timeout(_)), "{failure}");
    assert!(fake.requests().is_empty());
}

#[test]
fn a_delivery_can_be_hurried_and_stopped() {
    let fake = FakeGateway::start([Reply::NoAnswer]);
    for (within, limit) in [(Duration::ZERO, 5000), (Duration::from_millis(300), 5000)] {
        let cancel = Cancel::new();
        let held = cancel.clone();
        let before = fake.requests().len();
        let url = fake.url();
        let delivery = std::thread::spawn(move || {
            deliver(&gateway(&url), &sample(), Deadline::after(Duration::from_secs(30)), &held)
        });
        fake.wait_for_requests(before + 1);
        let asked = Instant::now();
        cancel.shorten(within);
        let failure = delivery.join().unwrap().unwrap_err();
        assert_eq!(failure.fault, Fault::Stopped, "{failure}");
        assert!(asked.elapsed() >= within && asked.elapsed() < Duration::from_millis(limit), "{:?}", asked.elapsed());
    }
}

#[test]
fn several_gateways_are_served_at_once_each_with_its_own_result() {
    let (fine, hanging) = (FakeGateway::start([Reply::ok()]), FakeGateway::start([Reply::NoAnswer]));
    let gateways = [gateway(&hanging.url()), gateway(CLOSED_PORT), gateway(&fine.url())];
    let results = within_limit(Duration::from_millis(1300), || {
        deliver_all(&gateways, &sample(), Deadline::after(Duration::from_secs(1)))
    });
    assert!(matches!(results[0].as_ref().unwrap_err().fault, Fault::Timeout(Phase::Answer)), "{results:?}");
    assert!(matches!(results[1].as_ref().unwrap_err().fault, Fault::Connect(_)), "{results:?}");
    assert_eq!(results[2].as_ref().unwrap().status, Some(200));
}

//! The ground that the other tests stand on: the servers start, answer and end, and the misbehaving gateway misbehaves.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::harness::fake::{CLOSED_PORT, FullBacklog};
use super::harness::{FakeGateway, Prometheus, Pushgateway, Reply, Version, http, wait_for};

#[test]
fn gateways_of_both_versions_tell_what_was_pushed() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        gateway.push("PUT", "job/a/shard/1", "# TYPE x counter\nx{l=\"v\"} 1.50\nx 2\n");

        let group = gateway.group([("shard", "1"), ("job", "a")]).unwrap();
        assert_eq!(group.families(), ["x"]);
        assert_eq!(group.kind("x").unwrap(), "COUNTER");
        assert_eq!(group.value("x", [("l", "v")]).unwrap(), "1.5");
        assert!(group.last_push_successful());
        assert!(gateway.metrics().contains("x{instance=\"\",job=\"a\",l=\"v\",shard=\"1\"} 1.5"));

        gateway.wipe();
        assert!(gateway.group([("shard", "1"), ("job", "a")]).is_none());
    }
}

#[test]
fn a_route_prefix_is_part_of_the_url() {
    let gateway = Pushgateway::start_with(Version::Newest, &["--web.route-prefix=/pgw"]);
    gateway.push("POST", "job/a", "x 1\n");
    assert!(gateway.group([("job", "a")]).is_some());
}

#[test]
fn prometheus_scrapes_the_gateway_with_its_labels() {
    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("POST", "job/a", "x 7\n");
    let prometheus = Prometheus::start(&[gateway.address()], true);

    let rows = prometheus.wait_for("x");
    assert_eq!((rows[0].0["job"].as_str(), rows[0].1.as_str()), ("a", "7"));
    gateway.push("POST", "job/a", "x 8\n");
    prometheus.wait_for_scrape();
    assert_eq!(prometheus.query("x")[0].1, "8");
}

#[test]
fn a_server_ends_with_its_owner() {
    let gateway = Pushgateway::start(Version::Newest);
    let process = format!("/proc/{}", gateway.server().pid());
    assert!(Path::new(&process).exists());
    drop(gateway);
    assert!(!Path::new(&process).exists());
}

/// Also the way on which a killed test binary leaves nothing behind: the kernel ends the server with the thread.
#[test]
fn a_server_ends_with_its_thread() {
    let pid = std::thread::spawn(|| {
        let gateway = Pushgateway::start(Version::Newest);
        let pid = gateway.server().pid();
        std::mem::forget(gateway);
        pid
    })
    .join()
    .unwrap();
    let stat = format!("/proc/{pid}/stat");
    // It stays a zombie of this process: its owner is gone, so nobody waits for it.
    wait_for("the server to end", || {
        std::fs::read_to_string(&stat).map_or(Some(()), |stat| stat.contains(") Z ").then_some(()))
    });
}

#[test]
fn the_fake_gateway_answers_and_records() {
    let fake = FakeGateway::start([Reply::with_headers("503 Busy", &["Retry-After: 1"], "later\n"), Reply::ok()]);
    let url = format!("{}/metrics/job/a", fake.url());
    let busy = http::request("POST", &url, b"x 1\n").unwrap();
    assert_eq!((busy.status, busy.body.as_str()), (503, "later\n"));
    assert_eq!(http::request("PUT", &url, b"x 2\n").unwrap().status, 200);

    let requests = fake.wait_for_requests(2);
    assert_eq!(requests[0].line(), "POST /metrics/job/a HTTP/1.1");
    assert_eq!(requests[1].body(), "x 2\n");
    assert_eq!(requests[1].header("Content-Length").unwrap(), "4");
    assert_eq!(fake.connections(), 2);
}

/// What a plain client sees of one reply: the bytes until the end, or the error.
fn talk(reply: Reply) -> Result<String, ErrorKind> {
    let fake = FakeGateway::start([reply]);
    let mut stream = TcpStream::connect(fake.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer.len() < 100_000 {
        match stream.read(&mut chunk).map_err(|error| error.kind())? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn the_fake_gateway_misbehaves_as_asked() {
    assert_eq!(talk(Reply::Silence), Err(ErrorKind::WouldBlock));
    assert_eq!(talk(Reply::NoAnswer), Err(ErrorKind::WouldBlock));
    assert_eq!(talk(Reply::Stall(b"HTTP/1.1 200 OK\r\n".to_vec())), Err(ErrorKind::WouldBlock));
    assert_eq!(talk(Reply::Reset), Err(ErrorKind::ConnectionReset));
    assert_eq!(talk(Reply::Close).as_deref(), Ok(""));
    assert_eq!(talk(Reply::Raw(b"gibberish".to_vec())).as_deref(), Ok("gibberish"));
    assert_eq!(talk(Reply::Trickle(b"abc".to_vec(), Duration::from_millis(1))).as_deref(), Ok("abc"));
    assert!(talk(Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).unwrap().len() >= 100_000);
}

#[test]
fn a_full_backlog_lets_connect_hang_and_a_closed_port_refuses() {
    let full = FullBacklog::start();
    let address = full.url().trim_start_matches("http://").parse().unwrap();
    let error = TcpStream::connect_timeout(&address, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    let closed = CLOSED_PORT.trim_start_matches("http://");
    assert_eq!(TcpStream::connect(closed).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

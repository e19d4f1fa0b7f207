//! What servers really say when they refuse a push, and that each refusal comes with its remedy. Each row is asked of the very
//! server whose texts the table repeats.

use std::time::Duration;

use pushwrap::grouping::GroupingKey;
use pushwrap::http::{Failure, Fault};
use pushwrap::sink::{Delivered, Method, Push};

use super::delivery::{families, gateway, large, push, send, send_within};
use super::harness::http;
use super::harness::nginx::Nginx;
use super::harness::server::{self, Server};
use super::harness::{FakeGateway, Prometheus, Pushgateway, Pushwrap, Reply, Version};

fn add(url: &str, body: &str) -> Result<Delivered, Failure> {
    send(&gateway(url), &push(Method::Add, "a", body))
}

/// What is said of the answer that a real gateway gives to a request that pushwrap itself never makes.
fn explained(url: &str, path: &str, body: &str) -> Failure {
    let answer = http::request("POST", &format!("{url}{path}"), body.as_bytes()).unwrap();
    let status = if answer.status == 404 { "404 Not Found" } else { "400 Bad Request" };
    assert!(status.starts_with(&answer.status.to_string()), "{}", answer.body);
    let relay = FakeGateway::start([Reply::status(status, &answer.body)]);
    add(&relay.url(), "x 1\n").unwrap_err()
}

fn assert_has(failure: &Failure, parts: &[&str]) {
    let said = failure.to_string();
    for part in parts {
        assert!(part.split('|').any(|part| said.contains(part)), "'{part}' is not in: {said}");
    }
    assert_says(failure, &["cannot push to"]);
}

#[track_caller]
fn assert_says(failure: &Failure, parts: &[&str]) {
    let said = failure.to_string();
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
    assert!(said.ends_with(')') && !said.contains('\n'), "a remedy in brackets ends the line: {said}");
}

#[test]
fn refused_metrics_are_explained_by_the_gateways_own_words() {
    for version in Version::ALL {
        let server = Pushgateway::start(version);
        let url = server.url();
        server.push("PUT", "job/other/shard/a%20b", "# TYPE taken counter\ntaken 1\n");
        server.push("PUT", "job/t", "series{tag=\"v1\"} 1\n");
        server.push("PUT", "job/sums", "# TYPE sum summary\nsum_sum 1\nsum_count 1\n");
        let tagged = GroupingKey::new("t", ["tag=v1".parse().unwrap()]).unwrap();
        for (key, body, parts) in [
            (
                None,
                "# TYPE taken gauge\ntaken 1\n",
                &[
                    "with another type: rename the metric",
                    "group {job=\"other\", shard=\"a b\"} holds 'taken'",
                    "/metrics/job/other/shard@base64/YSBi'",
                ][..],
            ),
            (
                Some(&tagged),
                "series 2\n",
                &[
                    "was collected before with the same name",
                    "another group holds 'series{job=\"t\", tag=\"v1\"}' too",
                    "if {job=\"t\"} is out of date, 'curl -X DELETE ",
                    "/metrics/job/t' clears it",
                ],
            ),
            (None, "sum_count 1\n", &["collides with previously collected", "rename one of them"]),
        ] {
            let push = push(Method::Add, "a", body);
            let push = Push { key: key.cloned().unwrap_or(push.key), ..push };
            let failure = send(&gateway(&url), &push).unwrap_err();
            assert_eq!(failure.tries, 1, "{failure}");
            assert_has(&failure, parts);
        }
        for (path, body, parts) in [
            ("/metrics/job/a", "x 1 2 3\n", &["400 Bad Request: text format parsing error in line 1"][..]),
            ("/metrics/job/a", "x 1 1700000000000\n", &["must not have timestamps", "(leave the timestamps out"]),
            (
                "/metrics/job/a",
                "# TYPE go_goroutines counter\ngo_goroutines 1\n",
                &["the gateway itself has a metric of that name|another group holds"],
            ),
            ("/metrics/job/a", "a{x=\"\\d\"} 1\n", &["invalid escape sequence", "'pushwrap check'"]),
            ("/metrics/job/a/1l/v", "x 1\n", &["improper label name", "--label another name"]),
            ("/metrics/job/a/l@base64/!!!", "x 1\n", &["invalid base64 encoding", "changes the path"]),
            ("/metrics/job@base64/=", "x 1\n", &["job name is required", "changes the path"]),
            (
                "/metrics/job/a/quantile/v",
                "# TYPE s summary\ns_sum 1\ns_count 1\n",
                &["explicit \"quantile\" label", "rename the label"],
            ),
            ("/metrics/job/a/l", "x 1\n", &["odd number of components", "changes the path"]),
            ("/metrics/jobs/a", "x 1\n", &["404 Not Found: 404 page not found", "--web.route-prefix"]),
        ] {
            assert_has(&explained(&url, path, body), parts);
        }
    }
}

/// Given an answer that names the pushed series itself, when it is explained, then only a group that holds the metric is blamed,
/// and none where the push is the odd one.
#[test]
fn a_group_is_blamed_only_for_what_it_holds() {
    let refusal = "collected metric \"m\" { label:{name:\"job\" value:\"a\"} label:{name:\"shard\" value:\"1\"} \
                   gauge:{value:1}} is not a COUNTER";
    let said = |held: &[&str]| {
        let groups = ["job=\"a\"", "job=\"a\",shard=\"1\"", "job=\"b\"", "job=\"c\""];
        let times = groups.map(|group| format!("push_time_seconds{{{group}}} 1\n"));
        let series = held.iter().map(|group| format!("m{{{group}}} 1\n"));
        let page: Vec<String> = times.into_iter().chain(series).collect();
        let replies = [Reply::status("400 Bad Request", refusal), Reply::status("200 OK", &page.concat())];
        let gateway = FakeGateway::start(replies);
        let call = Pushwrap::new().args(["push", "--job", "a", "-l", "shard=1", "--instance", "none", "--url"]);
        call.arg(gateway.url()).stdin("m 1\n").call().exit(1)
    };
    let _ = said(&["job=\"b\""]).stderr_has("(it is about <stdin>:1; group {job=\"b\"} holds 'm' with another type");
    let own = said(&["job=\"a\",shard=\"1\""]).stderr_has("no other group holds 'm'");
    let _ = own.stderr_lacks("DELETE");
    let many = said(&["job=\"b\"", "job=\"b\",x=\"1\"", "job=\"c\""]);
    let _ = many.stderr_has("2 groups hold 'm' with another type, {job=\"b\"} for one").stderr_lacks("DELETE");
}

#[test]
fn a_gateway_that_somebody_broke_is_told_from_bad_metrics() {
    for version in Version::ALL {
        let server = Pushgateway::start(version);
        server.push("PUT", "job/t", "x 1\n");
        // An empty instance beside a group without one; the gateway refuses it and is broken from then on.
        let poison = format!("{}/metrics/job/t/instance@base64/=", server.url());
        assert_eq!(super::harness::http::request("PUT", &poison, b"x 1\n").unwrap().status, 400);
        let mut request = push(Method::Add, "mine", "z 1\n");
        request.command = families("y 1\n");
        let failure = send(&gateway(&server.url()), &request).unwrap_err();
        assert_says(&failure, &["400 Bad Request", "breaks the gateway for everybody: delete it"]);
    }
}

/// What nginx says when it protects a gateway.
#[test]
fn limits_of_nginx_are_explained() {
    let slow = FakeGateway::start([Reply::NoAnswer]);
    let nginx = Nginx::start(&format!(
        "location /slow/ {{ proxy_read_timeout 1; proxy_pass {}/; }}\n\
         location /busy/ {{ return 503; }}\nlarge_client_header_buffers 2 8k;",
        slow.url()
    ));
    let at = |path: &str, change: &dyn Fn(&mut Push, &mut pushwrap::http::Endpoint)| {
        let mut request = push(Method::Add, "a", "x 1\n");
        let mut gateway = gateway(&format!("{}{path}", nginx.url()));
        change(&mut request, &mut gateway);
        send_within(&gateway, &request, Duration::from_millis(2500)).unwrap_err()
    };
    let long = "y".repeat(10_000);
    let too_long = at("", &|request, _| request.key = GroupingKey::new(&long, []).unwrap());
    assert_says(&too_long, &["414 URI Too Long", "shorten the job name"]);
    let header = at("", &|_, gateway| gateway.headers = vec![format!("X-Long: {long}").parse().unwrap()]);
    assert_says(&header, &["400 Bad Request: 400 Request Header Or Cookie Too Large", "--header is too long"]);
    assert_says(&at("/slow", &|_, _| ()), &["504 Gateway Time", "does not reach it"]);
    assert_says(&at("/busy", &|_, _| ()), &["503 Service", "does not reach it"]);
}

#[test]
fn what_no_url_can_hold_is_said() {
    let server = Pushgateway::start(Version::Newest);
    let mut gateway = gateway(&server.url());
    let failure = send(&gateway, &push(Method::Add, &"y".repeat(70_000), "")).unwrap_err();
    assert!(failure.to_string().contains("the request cannot be sent") && failure.tries == 1, "{failure}");
    // Go takes a megabyte of headers.
    gateway.headers = vec![format!("X-Long: {}", "y".repeat(1_200_000)).parse().unwrap()];
    let failure = send(&gateway, &push(Method::Add, "a", "")).unwrap_err();
    assert_says(&failure, &["431 Request Header Fields Too Large", "too long for the server"]);
}

/// The command's metrics never take the run's own with them.
#[test]
fn refused_metrics_are_left_out_and_the_run_is_reported() {
    for version in Version::ALL {
        let server = Pushgateway::start(version);
        server.push("PUT", "job/other", "# TYPE taken counter\ntaken 1\n");
        let mut request = push(Method::Add, "a", "own 1\n");
        request.command = families("# TYPE taken gauge\ntaken 1\n");
        let done = send(&gateway(&server.url()), &request).unwrap();
        let said = done.refused("gw").unwrap();
        assert!(said.contains("another group holds 'taken'") && said.contains("rename the metric"), "{said}");
        assert_eq!((done.status, done.tries), (Some(200), 2));
        assert_eq!(server.group([("job", "a")]).unwrap().families(), ["own"]);
    }
}

/// Pushgateway 1.11.0 closes the connection where it means to refuse: even so the run is reported, and what may be the reason said.
#[test]
fn a_gateway_that_hangs_up_instead_of_refusing_still_gets_the_run() {
    let server = Pushgateway::start(Version::Trixie);
    server.push("PUT", "job/other", "# TYPE taken counter\ntaken 1\n");
    let mut request = push(Method::Add, "a", "# TYPE taken gauge\ntaken 1\nown 1\n");
    let failure = send(&gateway(&server.url()), &request).unwrap_err();
    assert_says(&failure, &["cannot push to"]);
    assert!(matches!(failure.fault, Fault::EmptyReply | Fault::Status { status: 400, .. }), "{failure}");
    (request.own, request.command) = (families("own 1\n"), families("# TYPE taken gauge\ntaken 1\n"));
    let done = send(&gateway(&server.url()), &request).unwrap();
    let said = done.refused("gw").unwrap();
    assert!(said.contains("Pushgateway 1.11.0 hangs up when it refuses") || said.contains("another group"), "{said}");
    assert_eq!(server.group([("job", "a")]).unwrap().families(), ["own"]);
}

#[test]
fn salvage_is_for_refusals_that_the_metrics_may_have_caused() {
    let with = |reply: Reply| {
        let fake = FakeGateway::start([reply.clone(), reply.clone(), reply, Reply::ok()]);
        let mut request = push(Method::Add, "a", "own 1\n");
        request.command = families("x 1\n");
        let done = send_within(&gateway(&fake.url()), &request, Duration::from_secs(5));
        (
            done.is_ok_and(|done| done.own_only.is_some()),
            fake.requests().iter().filter(|r| r.samples() == "own 1\n").count(),
        )
    };
    // Pushgateway 1.11.0 closes the connection where it means 400.
    assert_eq!(with(Reply::Close), (true, 1));
    for (status, text, own) in [
        ("400 Bad Request", "text format parsing error in line 1", true),
        ("400 Bad Request", "whatever a gateway of another make says", true),
        ("413 Request Entity Too Large", "", true),
        ("422 Unprocessable Entity", "", true),
        ("400 Bad Request", "job name is required", false),
        ("401 Unauthorized", "", false),
        ("404 Not Found", "", false),
    ] {
        assert_eq!(with(Reply::status(status, text)).1 > 0, own, "{status} {text}");
    }
}

#[test]
fn wrong_ports_and_paths_are_explained() {
    let prefixed = Pushgateway::start_with(Version::Newest, &["--web.route-prefix=/pgw"]);
    assert!(add(&prefixed.url(), "x 1\n").is_ok());
    let bare = prefixed.url().replace("/pgw", "");
    assert_says(&add(&bare, "x 1\n").unwrap_err(), &["404 Not Found", "--web.route-prefix"]);
    let wrong = format!("{bare}/push");
    assert_says(&add(&wrong, "x 1\n").unwrap_err(), &["is '/push' the path of the gateway"]);
    // `//` is what a path with an empty segment would be.
    let failure = add(&format!("{}//x", prefixed.url()), "x 1\n").unwrap_err();
    assert!(matches!(failure.fault, Fault::Redirect { status: 301, .. }), "{failure}");
    assert_says(&failure, &["301 Moved Permanently to '/pgw/x/metrics/job/a'", "is the path of its URL right?"]);

    let prometheus = Prometheus::start(&[], true);
    assert_says(&add(&prometheus.url(), "x 1\n").unwrap_err(), &["404 Not Found", "no Pushgateway"]);

    let ssh = FakeGateway::start([Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]);
    assert_says(&add(&ssh.url(), "x 1\n").unwrap_err(), &["is its port right?"]);
    let closed = send_within(&gateway("http://127.0.0.1:1"), &push(Method::Add, "a", ""), Duration::from_secs(3));
    assert_says(&closed.unwrap_err(), &["connection refused", "and 1 its port? The usual one is 9091"]);
}

#[test]
fn nginx_in_front_is_explained() {
    let server = Pushgateway::start(Version::Newest);
    let upstream = server.url();
    let nginx = Nginx::start(&format!(
        "location /pgw/ {{ proxy_pass {upstream}/; }}\n\
         location /moved/ {{ rewrite ^/moved(/.*) http://127.0.0.1:PORT/pgw$1 permanent; }}\n\
         location /permanent/ {{ return 308 https://elsewhere.example$request_uri; }}\n\
         location /small/ {{ client_max_body_size 20; proxy_pass {upstream}/; }}\n\
         location /down/ {{ proxy_pass http://127.0.0.1:1/; }}\n\
         location /closed/ {{ deny all; }}\n\
         location /reading/ {{ limit_except GET {{ deny all; }} proxy_pass {upstream}/; }}\n\
         location /static/ {{ root DIR; index nothing; }}"
    ));
    let at = |path: &str, body: &str| {
        let url = format!("{}{path}", nginx.url());
        send_within(&gateway(&url), &push(Method::Replace, "a/b", body), Duration::from_secs(3))
    };
    assert_eq!(at("/pgw", "x 1\n").unwrap().status, Some(200));
    assert!(server.group([("job", "a/b")]).is_some());

    let large = large(10);
    for (path, body, parts) in [
        (
            "/moved",
            "x 1\n",
            &["301 Moved Permanently to 'http://127.0.0.1:", "write 'http://127.0.0.1:", "/pgw' as its URL"][..],
        ),
        (
            "/permanent",
            "x 1\n",
            &["308 Permanent Redirect to 'https://elsewhere.example", "write 'https://elsewhere.example/"],
        ),
        ("/small", &large, &["413 Payload Too Large: 413 Request Entity Too Large", "client_max_body_size"]),
        ("/down", "x 1\n", &[" tries: 502 Bad Gateway", "is the gateway running?"]),
        ("/closed", "x 1\n", &["403 Forbidden", "lets nobody push from here"]),
        ("/static", "x 1\n", &["405 Method Not Allowed: 405 Not Allowed", "does not take PUT"]),
    ] {
        assert_says(&at(path, body).unwrap_err(), parts);
    }
}

#[test]
fn a_temporary_redirect_of_nginx_within_the_origin_is_followed() {
    let server = Pushgateway::start(Version::Newest);
    let nginx = Nginx::start(&format!(
        "location /pgw/ {{ proxy_pass {}/; }}\nlocation / {{ return 307 /pgw$request_uri; }}",
        server.url()
    ));
    assert_eq!(add(&nginx.url(), "x 7\n").unwrap().tries, 1);
    assert_eq!(server.group([("job", "a")]).unwrap().value("x", []).unwrap(), "7");
}

#[test]
fn victoria_metrics_takes_pushes_or_says_where() {
    let program = server::program("victoria-metrics");
    let vm = Server::start(&program, |port, dir| {
        vec![format!("-httpListenAddr=127.0.0.1:{port}"), format!("-storageDataPath={}", dir.display())]
    });
    let import = format!("{}/api/v1/import/prometheus", vm.url());
    match add(&import, "x 1\n") {
        Ok(done) => assert_eq!(done.status, Some(200)),
        // Debian bookworm's is too old.
        Err(failure) => assert_says(&failure, &["400 Bad Request", "since 1.84"]),
    }
}

/// Given `VictoriaMetrics`, when its groups are asked for, then no message says how to push, and no DELETE passes for one.
#[test]
fn victoria_metrics_has_no_groups() {
    let calls: [&[&str]; 3] = [&["groups"], &["prune", "--older-than", "1d"], &["delete", "--job", "a"]];
    for name in ["victoria-metrics", "victoria-metrics-newest"] {
        let vm = Server::start(&server::program(name), |port, dir| {
            vec![format!("-httpListenAddr=127.0.0.1:{port}"), format!("-storageDataPath={}", dir.display())]
        });
        for call in calls {
            let at = |url: &str| Pushwrap::new().args(call).args(["--url", url]).call().stdout("");
            let plain = at(&vm.url()).exit(1).stderr_lacks("takes pushes");
            plain.stderr_has("(this is VictoriaMetrics, which has no groups: a Pushgateway has them)\n");
            let url = format!("{}/api/v1/import/prometheus", vm.url());
            at(&url).exit(2).stderr(&format!(
                "pushwrap: invalid value '{url}' for --url: this is VictoriaMetrics, which has no groups: \
                 a Pushgateway has them\n"
            ));
        }
    }
}

/// What the command wrote stands in the gateway's answer, so it must not be taken for the gateway's own text.
#[test]
fn words_of_the_metrics_do_not_pass_for_the_gateways() {
    let server = Pushgateway::start(Version::Newest);
    server.push("PUT", "job/other", "# TYPE push_time_seconds_of_mine counter\npush_time_seconds_of_mine 1\n");
    server.push("PUT", "job/x", "# TYPE x counter\nx 1\n");
    let text = "odd number of components in label string";
    for body in [
        "# TYPE push_time_seconds_of_mine gauge\npush_time_seconds_of_mine 1\n".to_owned(),
        format!("# TYPE x gauge\nx{{l=\"{text}\"}} 1\n"),
    ] {
        let mut request = push(Method::Add, "a", "own 1\n");
        request.command = families(&body);
        assert!(!send(&gateway(&server.url()), &request).unwrap().is_complete(), "{body}");
    }
}

//! Whatever a gateway, a proxy or a setting does: the command's status and output are its own, the whole run ends within the
//! command's time and the budget, the memory stays small, and one line says what to do. Through the binary.

use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::harness::fake::{CLOSED_PORT, FullBacklog};
use super::harness::nginx::Nginx;
use super::harness::pushwrap::is_debug_build;
use super::harness::tls::Authority;
use super::harness::{CHANCES, FakeGateway, Pushgateway, Pushwrap, Reply, Version};

/// `--push-timeout` of every row but those with a large answer.
const BUDGET: Duration = Duration::from_millis(800);
/// What README allows beside the command's time and the budget.
const SLACK: Duration = Duration::from_millis(300);

/// The most that pushwrap may need, its command not counted. A debug build is some sixty megabytes of file to begin with.
fn most_memory_kib() -> u64 {
    if is_debug_build() { 24 * 1024 } else { 16 * 1024 }
}

const SECRET: &str = "hunter2secret";

/// One way to fail.
struct Row {
    name: &'static str,
    url: String,
    options: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// Parts of the message, cause and remedy.
    says: Vec<&'static str>,
    budget: Duration,
    /// The most that the run may take.
    limit: Duration,
}

fn row(name: &'static str, url: impl Into<String>, says: &[&'static str]) -> Row {
    let (url, says, limit) = (url.into(), says.to_vec(), BUDGET + SLACK);
    Row { name, url, options: Vec::new(), environment: Vec::new(), says, budget: BUDGET, limit }
}

impl Row {
    fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// For an answer out of which a debug build on a busy machine makes something in seconds only.
    fn large(mut self) -> Self {
        self.budget *= 10;
        self.limit = self.budget + SLACK;
        self
    }

    /// For an answer that never ends: pushwrap stops at the size limit of a text, long before its budget is used up.
    fn endless(self) -> Self {
        Self { limit: Duration::from_secs(4), ..self.large() }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }
}

/// What a run was.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    took: Duration,
    peak_kib: u64,
}

fn run(row: &Row) -> Outcome {
    let budget = row.budget.as_secs_f64().to_string();
    let mut call =
        Pushwrap::new().args(["--job", "j", "--url", &row.url, "--push-timeout", &budget]).args(&row.options);
    for (name, value) in &row.environment {
        call = call.env(name, value);
    }
    let (mut command, directory) =
        call.args(["--", "sh", "-c", "echo out; echo 'x 1' >$PUSHWRAP_TEXTFILE; exit 3"]).command();
    let file = |name: &str| std::fs::File::create(directory.path().join(name)).unwrap();
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let started = Instant::now();
    let (status, peak_kib) = wait(command.spawn().unwrap());
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    Outcome { status, stdout: read("out"), stderr: read("err"), took: started.elapsed(), peak_kib }
}

/// Waits for the end and looks at the peak meanwhile. Not `ru_maxrss`, whose floor is the size of this test process at the fork.
fn wait(mut child: Child) -> (ExitStatus, u64) {
    let path = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        let peak = page.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        // Before exec it is this process's own.
        if page.starts_with("Name:\tpushwrap") {
            peak_kib = peak.unwrap_or(peak_kib);
        }
        if let Some(status) = child.try_wait().unwrap() {
            return (status, peak_kib);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn check(row: &Row) -> Result<(), String> {
    let mut slow = Vec::new();
    for _ in 0..CHANCES {
        let outcome = run(row);
        let Outcome { status, stdout, stderr, took, peak_kib } = &outcome;
        let fail = |what: &str| Err(format!("{}: {what}; {status} {took:?} {peak_kib} KiB\n{stderr}", row.name));
        if status.code() != Some(3) || stdout != "out\n" {
            return fail("the command's status or output is not its own");
        }
        // Where there was an answer, a busy machine may not have had the time to make something of it.
        let is_out_of_time = stderr.contains("time was up");
        if is_out_of_time && *took <= row.budget / 2 {
            return fail("the time was not up");
        }
        if is_out_of_time || *took > row.limit {
            slow.push(format!("{took:?}: {stderr}"));
            continue;
        }
        if stderr.lines().count() != 1 {
            return fail("not one line");
        }
        if let Some(part) = row.says.iter().find(|part| !part.split('|').any(|part| stderr.contains(part))) {
            return fail(&format!("'{part}' is not said"));
        }
        if stderr.contains(SECRET) || stderr.chars().any(|c| c.is_control() && c != '\n') || stderr.len() > 4096 {
            return fail("a secret, a control character or too much is printed");
        }
        // A run of half a second is looked at a hundred times on a machine that is not busy.
        if *peak_kib > most_memory_kib() || (*peak_kib == 0 && *took > BUDGET / 2) {
            return fail("too much memory, or none seen");
        }
        return Ok(());
    }
    Err(format!("{}: each of {CHANCES} runs took too long, limit {:?}:\n{}", row.name, row.limit, slow.concat()))
}

/// Runs the rows a few at a time and reports all that fail.
fn check_all(rows: Vec<Row>, least: usize) {
    assert!(rows.len() >= least, "{} rows", rows.len());
    let (rows, failed) = (Mutex::new(rows), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(row) = rows.lock().unwrap().pop() else { break };
                    if let Err(complaint) = check(&row) {
                        failed.lock().unwrap().push(complaint);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// A gateway of its own for a row; it lives as long as the test.
fn fake(reply: Reply) -> String {
    let fake = FakeGateway::start([reply]);
    let url = fake.url();
    std::mem::forget(fake);
    url
}

fn raw(answer: &[u8]) -> Reply {
    Reply::Raw(answer.to_vec())
}

fn located(status: &str, location: &str) -> Reply {
    Reply::with_headers(status, &[&format!("Location: {location}")], "")
}

/// What a gateway of its own does, and what is then said.
type Fault = (&'static str, Reply, Vec<&'static str>);

/// Gateways that break off, hang, or are none.
fn broken() -> Vec<Fault> {
    vec![
        ("accepts and is silent", Reply::Silence, vec!["no answer came in time", "--push-timeout"]),
        ("reads and is silent", Reply::NoAnswer, vec!["no answer came in time", "--push-timeout"]),
        ("resets", Reply::Reset, vec!["broke the connection off"]),
        ("hangs up", Reply::Close, vec![" tries: it closed the connection without an answer", "1.11.0"]),
        ("half a status line", raw(b"HTTP/1.1 2"), vec!["broke the connection off before it answered"]),
        ("stalls in the status line", Reply::Stall(b"HTTP/1.1 20".to_vec()), vec!["no answer came in time"]),
        (
            "trickles the status line",
            Reply::Trickle(b"HTTP/1.1 200 OK".to_vec(), Duration::from_millis(90)),
            vec!["no answer came in time"],
        ),
        (
            "speaks SSH",
            raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
            vec!["answers 'SSH-2.0-OpenSSH_9.2', which is not HTTP (is its port right?"],
        ),
        ("speaks binary", raw(&[0, 159, 146, 150, 27, 10]), vec!["which is not HTTP"]),
        ("speaks TLS alert", raw(&[21, 3, 1, 0, 2, 2, 70]), vec!["which is not HTTP"]),
        ("impossible status", raw(b"HTTP/1.1 99999 x\r\n\r\n"), vec!["which is not HTTP"]),
        ("endless head", Reply::Endless(b"HTTP/1.1 200".to_vec()), vec!["which is not HTTP"]),
    ]
}

/// Refusals whose text is a danger of its own.
fn hostile() -> Vec<Fault> {
    vec![
        (
            "escape codes",
            Reply::status("400 Bad Request", "\u{1b}[2J\u{7}\u{9b}gone\u{202e}"),
            vec![r"400 Bad Request: \u{1b}[2J\u{7}\u{9b}gone\u{202e}"],
        ),
        ("a megabyte of text", Reply::status("400 Bad Request", &"y".repeat(1_000_000)), vec!["yyyyyy … yyyyyy"]),
        (
            "endless text",
            Reply::Endless(b"HTTP/1.1 404 Not Found\r\n\r\nno".to_vec()),
            vec!["404 Not Found: no", "--web.route-prefix"],
        ),
        (
            "stalled text",
            Reply::Stall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno".to_vec()),
            vec!["403 Forbidden"],
        ),
        (
            "broken chunks",
            raw(b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            vec!["400 Bad Request"],
        ),
    ]
}

/// Ordinary refusals.
fn refusals() -> Vec<Fault> {
    vec![
        ("401", Reply::status("401 Unauthorized", "Unauthorized"), vec!["401 Unauthorized", "--password-file"]),
        ("403", Reply::status("403 Forbidden", ""), vec!["403 Forbidden (it lets nobody push"]),
        ("404", Reply::status("404 Not Found", "404 page not found"), vec!["no Pushgateway"]),
        ("405", Reply::status("405 Method Not Allowed", ""), vec!["does not take POST there"]),
        ("413", Reply::status("413 Payload Too Large", ""), vec!["client_max_body_size"]),
        ("414", Reply::status("414 URI Too Long", ""), vec!["too long"]),
        (
            "429",
            Reply::with_headers("429 Too Many Requests", &["Retry-After: 60"], ""),
            vec!["429 Too Many Requests (it wants fewer pushes"],
        ),
        ("431", Reply::status("431 Request Header Fields Too Large", ""), vec!["too long"]),
        ("500", Reply::status("500 Internal Server Error", "write queue is full"), vec!["tries: 500 ", "overloaded"]),
        (
            "502",
            Reply::status("502 Bad Gateway", "<html><body><h1>502 Bad Gateway</h1></body></html>"),
            vec!["502 Bad Gateway: 502 Bad Gateway (the server in front"],
        ),
        (
            "503",
            Reply::status("503 Service Unavailable", "busy"),
            vec!["tries: 503 Service Unavailable: busy (the server in front"],
        ),
        ("599", Reply::status("599 ", ""), vec!["tries: 599"]),
        ("unknown status", Reply::status("299x", ""), vec!["not HTTP"]),
    ]
}

/// Answers that lead elsewhere.
fn redirects() -> Vec<Fault> {
    vec![
        (
            "301 to https",
            located("301 Moved Permanently", "https://gw.example/metrics/job/j"),
            vec!["write 'https://gw.example' as its URL"],
        ),
        (
            "302 to a login",
            located("302 Found", "https://login.example/?next=x"),
            vec!["302 Found to 'https://login.example/?next=x' (redirects are not followed"],
        ),
        (
            "307 to elsewhere",
            located("307 Temporary Redirect", "http://127.0.0.2:1/x"),
            vec!["307 Temporary Redirect to 'http://127.0.0.2:1/x'"],
        ),
        ("308 for ever", located("308 Permanent Redirect", "/again"), vec!["308 Permanent Redirect to '/again'"]),
        ("304", Reply::status("304 Not Modified", ""), vec!["304 Not Modified"]),
        ("101", raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), vec!["cannot push"]),
        (
            "refused metrics",
            Reply::status("400 Bad Request", "text format parsing error in line 1"),
            vec!["'pushwrap check'"],
        ),
    ]
}

#[test]
fn gateways_that_fail_fail_alone() {
    let full = FullBacklog::start();
    let mut rows = vec![
        row("closed port", CLOSED_PORT, &["tries: connection refused (is the gateway running, and 1 its port?"]),
        row("full backlog", full.url(), &["no connection in time"]),
        row("unknown name", "http://no-such-host.invalid", &["cannot resolve its name: ", "(is the host name right"]),
        row(
            "unroutable",
            "http://[2001:db8::1]:9091",
            &["unreachable|no connection in time|cannot assign|not permitted|no route"],
        ),
    ];
    let faults = [broken(), hostile(), refusals(), redirects()].into_iter().flatten();
    rows.extend(faults.map(|(name, reply, says)| row(name, fake(reply), &says)));
    let rows = rows.into_iter().map(|row| match row.name {
        "a megabyte of text" => row.large(),
        "endless text" => row.endless(),
        _ => row,
    });
    check_all(rows.collect(), 40);
}

#[test]
fn tls_that_fails_fails_alone() {
    let authority = Authority::new();
    let pair = authority.issue("named", "DNS:gw.example");
    let block = |lines: &str| {
        format!("ssl_certificate {}; ssl_certificate_key {};\n{lines}", pair.cert.display(), pair.key.display())
    };
    let nginx = Nginx::start_tls(&block(""));
    let demanding = Nginx::start_tls(&block(&format!(
        "ssl_verify_client on; ssl_client_certificate {};",
        authority.cert().display()
    )));
    let plain = Pushgateway::start(Version::Newest);
    let ca = authority.cert().display().to_string();
    let rows = vec![
        row("untrusted", nginx.url(), &["signed by nobody that is trusted here (name its CA's certificate"]),
        row("wrong name", nginx.url(), &["its certificate is for 'gw.example' (write one of these"])
            .with(&["--cacert", &ca]),
        row("no client certificate", demanding.url(), &["No required SSL certificate was sent", "--cert and --key"])
            .with(&["-k"]),
        row("https to http", plain.url().replace("http:", "https:"), &["does not speak TLS (write http://"]),
        row(
            "http to https",
            nginx.url().replace("https:", "http:"),
            &["The plain HTTP request was sent to HTTPS port", "https://"],
        ),
        row("https to silence", fake(Reply::Silence).replace("http:", "https:"), &["TLS handshake took too long"]),
        row("https to a reset", fake(Reply::Reset).replace("http:", "https:"), &["in the TLS handshake"]),
    ];
    check_all(rows, 7);
}

#[test]
fn settings_that_are_wrong_fail_the_push_and_never_the_command() {
    let gateway = Pushgateway::start(Version::Newest);
    let url = gateway.url();
    let secure = "https://127.0.0.1:1".to_owned();
    let authority = Authority::new();
    let (one, two) = (authority.issue("one", "DNS:one"), authority.issue("two", "DNS:two"));
    let text_of = |path: &Path| path.display().to_string();
    let text = text_of(&authority.file("text", "nothing\n"));
    let with_user = url.replace("://", &format!("://me:{SECRET}@"));
    let rows = vec![
        row("no password file", &url, &["cannot read password file '/nowhere': no such file or directory"]).with(&[
            "-u",
            "me",
            "--password-file",
            "/nowhere",
        ]),
        row("no token file", &url, &["cannot read token file '/nowhere'"]).with(&["--token-file", "/nowhere"]),
        row("a directory as token", &url, &["cannot read token file '/': is a directory"]).with(&["--token-file", "/"]),
        row("a device as token", &url, &["more than 64 KiB"]).with(&["--token-file", "/dev/zero"]),
        row("no CA", &secure, &["cannot read CA certificate '/nowhere'"]).with(&["--cacert", "/nowhere"]),
        row("a CA that is none", &secure, &["holds no PEM certificate"]).with(&["--cacert", &text]),
        row("a key of another", &secure, &["do not belong together"]).with(&[
            "--cert",
            &text_of(&one.cert),
            "--key",
            &text_of(&two.key),
        ]),
        row("a key that is none", &secure, &["holds no PEM private key"]).with(&[
            "--cert",
            &text_of(&one.cert),
            "--key",
            &text,
        ]),
        row("socks proxy", &url, &["SOCKS proxies are not supported"])
            .env("http_proxy", format!("socks5://me:{SECRET}@p")),
        row("bad proxy port", &url, &["port '99999'"]).env("all_proxy", format!("http://me:{SECRET}@p:99999")),
        row("dead proxy", &url, &["proxy '127.0.0.1:1': connection refused"]).env("http_proxy", "127.0.0.1:1"),
        row("silent proxy", &secure, &["the proxy did not answer in time"]).env("HTTPS_PROXY", fake(Reply::NoAnswer)),
        row("proxy that refuses", &secure, &["the proxy refuses: 407", "USER:PASSWORD@ before the host"])
            .env("HTTPS_PROXY", fake(Reply::status("407 Who", ""))),
        row("proxy that is none", &secure, &["the proxy answers 'hello', which is not HTTP"])
            .env("HTTPS_PROXY", fake(raw(b"hello\n"))),
        row("wrong password", fake(Reply::status("401 Unauthorized", "")), &["the user, password or token is wrong"])
            .with(&["-u", &format!("me:{SECRET}")]),
        row(
            "secret in the URL",
            with_user.replace(":9", ":1").replace("127.0.0.1", "no-such-host.invalid"),
            &["cannot push to 'http://no-such-host.invalid"],
        ),
        row("secret header", fake(Reply::status("403 Forbidden", "")), &["403 Forbidden"])
            .with(&["-H", &format!("X-Key: {SECRET}")]),
    ];
    check_all(rows, 17);
}

/// What a proxy variable is about: the command's own use of them is not touched, and a good one is used.
#[test]
fn the_environments_proxy_is_used_and_exempted_from() {
    let gateway = Pushgateway::start(Version::Newest);
    let proxy = super::harness::tinyproxy::Tinyproxy::start("");
    let run = Pushwrap::new().push_to(&gateway, "j").env("http_proxy", proxy.address());
    run.run(["sh", "-c", "echo $http_proxy"]).exit(0).stdout(&format!("{}\n", proxy.address())).stderr("");
    assert!(gateway.group([("job", "j")]).is_some());
    assert!(proxy.log().contains("/metrics/job/j"), "{}", proxy.log());
    let run = Pushwrap::new().push_to(&gateway, "k").env("http_proxy", "127.0.0.1:1").env("no_proxy", "127.0.0.0/8");
    run.run(["true"]).exit(0).stderr("");
    assert!(gateway.group([("job", "k")]).is_some());
}

/// Everything secret at once: nothing of it may be seen anywhere but in the request.
#[test]
fn no_secret_is_printed_or_handed_to_the_command() {
    let fake = FakeGateway::start([Reply::status("401 Unauthorized", "no")]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, SECRET).unwrap();
    let script = "tr '\\0' '\\n' </proc/self/environ; cat /proc/self/cmdline; ls -l /proc/self/fd; exit 3";
    let with_user = fake.url().replace("://", &format!("://me:{SECRET}@"));
    let ways = [
        ("PUSHWRAP_URL", with_user),
        ("PUSHWRAP_USER", format!("me:{SECRET}")),
        ("PUSHWRAP_HEADER", format!("X-Key: {SECRET}")),
        ("PUSHWRAP_TOKEN_FILE", file.display().to_string()),
    ];
    for (way, value) in ways {
        for volume in [&["-vv"][..], &["--dry-run", "-vv"], &["--summary", "-v"]] {
            let call =
                Pushwrap::new().env("PUSHWRAP_URL", fake.url()).env(way, &value).args(["--job", "j"]).args(volume);
            let sent = fake.requests().len();
            let run =
                call.run(["sh", "-c", script]).exit(3).stdout_has("PATH=").stderr_lacks(SECRET).stderr_lacks("hunter");
            let encoded = "bWU6aHVudGVy";
            run.stderr_lacks(encoded).stdout_lacks(SECRET).stdout_lacks(encoded);
            if volume[0] != "--dry-run" {
                let head = fake.wait_for_requests(sent + 1)[sent].head();
                assert!(head.contains(SECRET) || head.contains(encoded), "{way}: {head}");
            }
        }
    }
}

/// What in a grouping key or a file takes a gateway down for everybody is refused, dropped or harmless (P1 to P4 of those known).
#[test]
fn no_option_can_break_the_gateway() {
    use std::os::unix::ffi::OsStrExt;

    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("PUT", "job/other", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
    gateway.push("PUT", "job/j", "x 1\n");
    let bytes = |text: &'static [u8]| std::ffi::OsStr::from_bytes(text).to_owned();
    let tries: Vec<Vec<std::ffi::OsString>> = vec![
        vec!["--label".into(), bytes(b"l=\xff")],
        vec!["--job".into(), bytes(b"\xff")],
        vec!["--instance".into(), bytes(b"\xff\xfe")],
        vec!["--instance".into(), "".into()],
        vec!["--label".into(), "instance=".into()],
        vec!["--label".into(), "l=".into()],
        vec!["--label".into(), "le=1".into()],
        vec!["--label".into(), "quantile=1".into()],
        vec!["--label".into(), "__name__=x".into()],
        vec!["--info".into(), bytes(b"i=\xff")],
        vec!["--label".into(), "l=\n\0\u{1}".replace('\0', "").into()],
    ];
    for arguments in tries {
        let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).args(&arguments);
        let call = call.textfile(
            b"# HELP a \xff\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_count 1\na_sum 1\nb{l=\"\xff\"} 1\n",
        );
        call.run(["true"]);
        let variables = [("PUSHWRAP_JOB", "--job"), ("PUSHWRAP_LABEL", "--label"), ("PUSHWRAP_INSTANCE", "--instance")];
        if let Some((variable, _)) = variables.iter().find(|(_, option)| arguments[0] == *option) {
            let call = Pushwrap::new().args(["--url", &gateway.url()]).env(variable, &arguments[1]);
            call.run(["true"]).exit(0);
        }
        // 200, or the test fails here.
        gateway.metrics();
        gateway.push("POST", "job/afterwards", "y 1\n");
    }
    let prometheus = super::harness::Prometheus::start(&[gateway.address()], true);
    prometheus.wait_for("y");
    assert!(gateway.group([("job", "j")]).is_some());
}

#[test]
fn the_systems_roots_are_those_of_ssl_cert_file() {
    let authority = Authority::new();
    let pair = authority.issue("server", "DNS:localhost");
    let block = format!(
        "ssl_certificate {}; ssl_certificate_key {};\nlocation / {{ return 200; }}",
        pair.cert.display(),
        pair.key.display()
    );
    let nginx = Nginx::start_tls(&block);
    let call =
        |file: &str| Pushwrap::new().args(["--job", "j", "--url", &nginx.url_by_name()]).env("SSL_CERT_FILE", file);
    call(&authority.cert().display().to_string()).run(["true"]).exit(0).stderr("");
    let run = call("/nowhere").run(["true"]).exit(0);
    run.stderr_has("signed by nobody that is trusted here").stderr_has("SSL_CERT_FILE").stderr_has("/nowhere");
}

/// 200 runs, 50 at a time: every group is there, and none has what is another's.
#[test]
fn many_runs_at_once_mix_nothing_up() {
    let gateway = Pushgateway::start(Version::Newest);
    thread::scope(|scope| {
        for worker in 0..50 {
            let gateway = &gateway;
            scope.spawn(move || {
                for round in 0..4 {
                    let number = worker * 4 + round;
                    let call = Pushwrap::new().push_to(gateway, &format!("j{number}")).args(["--push-timeout", "60"]);
                    let script = format!("echo own {number} >$PUSHWRAP_TEXTFILE; exit {}", number % 100);
                    call.run(["sh", "-c", &script]).exit(number % 100).stderr("");
                }
            });
        }
    });
    let groups = gateway.groups();
    assert_eq!(groups.len(), 200);
    for group in groups {
        let number: i32 = group.labels()[0].1.trim_start_matches('j').parse().unwrap();
        assert_eq!(group.value("own", []).unwrap(), number.to_string());
        assert_eq!(group.value("pushwrap_exit_code", []).unwrap(), (number % 100).to_string());
    }
}

/// A stop signal while the last push hangs: the status of the command, soon.
#[test]
fn a_hanging_gateway_does_not_outlast_patience() {
    let fake = FakeGateway::start([Reply::NoAnswer]);
    let running = Pushwrap::new()
        .args(["--job", "j", "--url", &fake.url(), "--push-timeout", "60"])
        .spawn(["sh", "-c", "exit 3"]);
    fake.wait_for_requests(1);
    let asked = Instant::now();
    running.kill(nix::sys::signal::Signal::SIGTERM);
    running.wait().exit(3).stderr_has("stopped before it was done");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

//! Credentials, TLS and proxies, against the servers that ask for them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use pushwrap::http::{Credentials, Endpoint, Failure, Fault, Identity, Password, ProxySettings, Secret, Tls, TlsFault};
use pushwrap::sink::{Delivered, Method, curl_command, request_text};

use super::delivery::{gateway, push, send, send_within};
use super::harness::nginx::Nginx;
use super::harness::tinyproxy::Tinyproxy;
use super::harness::tls::{Authority, Pair};
use super::harness::{FakeGateway, Pushgateway, Reply, Version, server, within_limit};

/// A password that would be noticed anywhere.
const PASSWORD: &str = "Hunter2:%/@ä";

pub(super) fn offer(gateway: &Endpoint) -> Result<Delivered, Failure> {
    send_within(gateway, &push(Method::Add, "a", "x 1\n"), Duration::from_secs(5))
}

fn basic(user: &str, password: Password) -> Credentials {
    Credentials::Basic { user: user.to_owned(), password }
}

fn given(password: &str) -> Password {
    Password::Value(Secret::from(password))
}

/// The `Authorization` header that a gateway gets.
fn authorization(change: impl FnOnce(&mut Endpoint)) -> Option<String> {
    let fake = FakeGateway::start([Reply::ok()]);
    let mut gateway = gateway(&fake.url());
    change(&mut gateway);
    offer(&gateway).unwrap();
    fake.wait_for_requests(1)[0].header("authorization")
}

#[test]
fn credentials_come_from_options_files_and_the_url() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    assert_eq!(authorization(|_| ()), None);
    let encoded = Some("Basic bWU6cEBzczp4".to_owned());
    assert_eq!(authorization(|g| g.credentials = basic("me", given("p@ss:x"))), encoded);
    assert_eq!(authorization(|g| g.credentials = basic("me", Password::File(file("p", "p@ss:x\r\n")))), encoded);
    assert_eq!(
        authorization(|g| g.url = g.url.to_string().replace("://", "://me:p%40ss%3Ax@").parse().unwrap()),
        encoded
    );
    let token = authorization(|g| g.credentials = Credentials::Token(file("t", "abc.def\n")));
    assert_eq!(token, Some("Bearer abc.def".to_owned()));
    let own = authorization(|g| {
        g.credentials = basic("me", given("x"));
        g.headers = vec!["authorization: Custom y".parse().unwrap()];
    });
    assert_eq!(own, Some("Custom y".to_owned()), "a header of the user's comes first, as with curl");
}

#[test]
fn a_secret_may_come_through_a_pipe_that_never_ends() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("token");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut gateway = gateway("http://127.0.0.1:1");
    gateway.credentials = Credentials::Token(fifo.clone());
    let failure = within_limit(Duration::from_millis(700), || {
        send_within(&gateway, &push(Method::Add, "a", ""), Duration::from_millis(400))
    });
    assert!(matches!(failure.unwrap_err().fault, Fault::Timeout(_)));

    let fake = FakeGateway::start([Reply::ok()]);
    gateway.url = fake.url().parse().unwrap();
    // A child that another test forks holds the reading end for a moment too, and what is written then goes with it.
    let is_taken = (0..3).any(|_| {
        let path = fifo.clone();
        let writer = std::thread::spawn(move || std::fs::write(path, "tok").unwrap());
        let taken = offer(&gateway).is_ok();
        writer.join().unwrap();
        taken
    });
    assert!(is_taken);
    assert_eq!(fake.wait_for_requests(1)[0].header("authorization"), Some("Bearer tok".to_owned()));
}

#[test]
fn files_that_cannot_be_used_fail_the_push_with_their_name() {
    let authority = Authority::new();
    let (one, two) = (authority.issue("one", "DNS:one"), authority.issue("two", "DNS:two"));
    let empty = authority.file("empty", "\n");
    let text = authority.file("text", "no certificate\n");
    let tokens = authority.file("tokens", "one two\n");
    let encrypted = authority
        .file("encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let missing = PathBuf::from("/nowhere/file");
    let cert = |cert: &PathBuf, key: &PathBuf| Tls {
        identity: Some(Identity { cert: cert.clone(), key: Some(key.clone()) }),
        ..Tls::default()
    };
    let ca = |path: &PathBuf| Tls { ca: Some(path.clone()), ..Tls::default() };
    let none = Credentials::None;
    for (credentials, tls, said) in [
        (
            basic("me", Password::File(missing.clone())),
            Tls::default(),
            "cannot read password file '/nowhere/file': no such file",
        ),
        (Credentials::Token(missing.clone()), Tls::default(), "cannot read token file '/nowhere/file': no such file"),
        (Credentials::Token("/".into()), Tls::default(), "cannot read token file '/': is a directory"),
        (Credentials::Token(empty), Tls::default(), "is empty"),
        (Credentials::Token(tokens), Tls::default(), "holds more than one token"),
        (Credentials::Token("/dev/zero".into()), Tls::default(), "more than 64 KiB"),
        (none.clone(), ca(&missing), "cannot read CA certificate '/nowhere/file': no such file"),
        (none.clone(), ca(&text), "holds no PEM certificate"),
        (none.clone(), cert(&one.cert, &two.key), "do not belong together"),
        (none.clone(), cert(&one.cert, &missing), "cannot read key '/nowhere/file'"),
        (none.clone(), cert(&one.cert, &text), "holds no PEM private key"),
        (none.clone(), cert(&one.cert, &encrypted), "is encrypted; decrypt it"),
        (none, cert(&text, &one.key), "holds no PEM certificate"),
    ] {
        let mut gateway = gateway("https://127.0.0.1:1");
        (gateway.credentials, gateway.tls) = (credentials, tls);
        let failure = offer(&gateway).unwrap_err();
        assert!(matches!(failure.fault, Fault::Setup(_)), "{failure}");
        assert!(failure.to_string().contains(said) && failure.tries == 0, "'{said}' is not in: {failure}");
    }
}

#[test]
fn headers_are_checked_and_sent() {
    let fake = FakeGateway::start([Reply::ok()]);
    let mut gateway = gateway(&fake.url());
    gateway.headers = vec!["X-Scope-OrgID:  team ä ".parse().unwrap(), "user-agent: mine".parse().unwrap()];
    offer(&gateway).unwrap();
    let request = &fake.wait_for_requests(1)[0];
    assert_eq!(request.header("x-scope-orgid").unwrap(), "team ä");
    assert_eq!(request.header("user-agent").unwrap(), "mine");
    for bad in ["novalue", "X Y: z", ": z", "X: a\nY: b", "X: a\r", "Content-Length: 5", "connection: keep-alive"] {
        let error = bad.parse::<pushwrap::http::Header>().expect_err(bad).to_string();
        assert!(!error.contains("a\n"), "{error}");
    }
}

/// The gateway's own TLS and passwords (its `--web.config.file`).
#[test]
fn the_gateways_own_tls_and_password_are_served() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.issue("gw", "DNS:localhost,IP:127.0.0.1");
    let hashed = Command::new(server::program("htpasswd")).args(["-nbB", "-C4", "me", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hashed.stdout).unwrap().trim().replacen("me:", "", 1);
    let config = authority.file(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert_file: {}\n  key_file: {}\nbasic_auth_users:\n  me: '{hash}'\n",
            cert.display(),
            key.display()
        ),
    );
    for version in Version::ALL {
        let server = Pushgateway::start_with(version, &[&format!("--web.config.file={}", config.display())]);
        let mut gateway = gateway(&server.url().replace("http:", "https:"));
        gateway.tls.ca = Some(authority.cert());
        let nobody = offer(&gateway).unwrap_err();
        assert!(
            nobody.to_string().contains("401 Unauthorized: Unauthorized (it wants to know who you are"),
            "{nobody}"
        );
        gateway.credentials = basic("me", given("wrong"));
        assert!(offer(&gateway).unwrap_err().to_string().contains("password or token is wrong"));
        gateway.credentials = basic("me", given(PASSWORD));
        assert_eq!(offer(&gateway).unwrap().status, Some(200));
        gateway.url = server.url().parse().unwrap();
        let plain = offer(&gateway).unwrap_err().to_string();
        assert!(
            plain.contains("Client sent an HTTP request to an HTTPS server. (it speaks TLS: write https://"),
            "{plain}"
        );
    }
}

pub(super) fn tls_server(pair: &Pair, more: &str) -> Nginx {
    Nginx::start_tls(&format!(
        "ssl_certificate {}; ssl_certificate_key {};\n{more}\nlocation / {{ return 200; }}",
        pair.cert.display(),
        pair.key.display()
    ))
}

pub(super) fn trusting(url: &str, ca: &std::path::Path) -> Endpoint {
    let mut gateway = gateway(url);
    gateway.tls.ca = Some(ca.to_owned());
    gateway
}

#[track_caller]
pub(super) fn tls_fault(gateway: &Endpoint) -> (TlsFault, String) {
    let failure = offer(gateway).unwrap_err();
    match failure.fault.clone() {
        Fault::Tls(fault) => (fault, failure.to_string()),
        _ => panic!("{failure}"),
    }
}

#[test]
fn certificates_are_judged_as_curl_judges_them() {
    let authority = Authority::new();
    let good = tls_server(&authority.issue("good", "DNS:localhost,IP:127.0.0.1"), "");
    assert_eq!(offer(&trusting(&good.url(), &authority.cert())).unwrap().status, Some(200));
    assert_eq!(offer(&trusting(&good.url_by_name(), &authority.cert())).unwrap().status, Some(200));

    let (fault, said) = tls_fault(&gateway(&good.url()));
    assert_eq!(fault, TlsFault::Untrusted);
    assert!(
        said.contains("signed by nobody that is trusted here (name its CA's certificate, or its own, with --cacert)"),
        "{said}"
    );
    let mut careless = gateway(&good.url());
    careless.tls.insecure = true;
    assert_eq!(offer(&careless).unwrap().status, Some(200));

    let named = tls_server(&authority.issue("named", "DNS:gw.example,DNS:other.example"), "");
    let (fault, said) = tls_fault(&trusting(&named.url_by_name(), &authority.cert()));
    assert!(matches!(fault, TlsFault::WrongName(_)), "{said}");
    assert!(said.contains("its certificate is for 'gw.example', 'other.example'"), "{said}");

    let old = tls_server(&authority.issue_expired("old", "DNS:localhost"), "");
    assert_eq!(tls_fault(&trusting(&old.url_by_name(), &authority.cert())).0, TlsFault::Expired);
    careless.url = old.url_by_name().parse().unwrap();
    assert_eq!(offer(&careless).unwrap().status, Some(200));
}

/// curl takes a server's own certificate as `--cacert`, whatever its basic constraints, and still checks name and dates.
#[test]
fn a_servers_own_certificate_is_trusted_for_itself() {
    let authority = Authority::new();
    let own = authority.self_signed("own", "DNS:localhost");
    let server = tls_server(&own, "");
    assert_eq!(offer(&trusting(&server.url_by_name(), &own.cert)).unwrap().status, Some(200));
    // Another name, another certificate, and one that merely says that it comes from the pinned one.
    assert!(matches!(tls_fault(&trusting(&server.url(), &own.cert)).0, TlsFault::WrongName(_)));
    let twin = authority.self_signed("twin", "DNS:localhost");
    assert_eq!(tls_fault(&trusting(&server.url_by_name(), &twin.cert)).0, TlsFault::Untrusted);

    // Without any further name the common name counts, as with OpenSSL, and no other does.
    let plain = authority.self_signed_by_common_name("localhost");
    let server = tls_server(&plain, "");
    assert_eq!(offer(&trusting(&server.url_by_name(), &plain.cert)).unwrap().status, Some(200));
    assert!(matches!(tls_fault(&trusting(&server.url(), &plain.cert)).0, TlsFault::WrongName(_)));
    let other = authority.self_signed_by_common_name("localhost2");
    let server = tls_server(&other, "");
    assert!(matches!(tls_fault(&trusting(&server.url_by_name(), &other.cert)).0, TlsFault::WrongName(_)));

    // A certificate that a CA signed can be pinned without the CA.
    let leaf = authority.issue("leaf", "DNS:localhost");
    let server = tls_server(&leaf, "");
    assert_eq!(offer(&trusting(&server.url_by_name(), &leaf.cert)).unwrap().status, Some(200));
    let old = authority.issue_expired("old", "DNS:localhost");
    let server = tls_server(&old, "");
    assert_eq!(tls_fault(&trusting(&server.url_by_name(), &old.cert)).0, TlsFault::Expired);
}

#[test]
fn client_certificates_are_shown_to_who_asks() {
    let authority = Authority::new();
    let pair = authority.issue("server", "DNS:localhost");
    let client = authority.issue("client", "DNS:client");
    let elsewhere = Authority::new();
    let foreign = elsewhere.issue("foreign", "DNS:client");
    let mtls = format!("ssl_verify_client on; ssl_client_certificate {};", authority.cert().display());
    let nginx = tls_server(&pair, &mtls);
    let mut gateway = trusting(&nginx.url_by_name(), &authority.cert());
    let nobody = offer(&gateway).unwrap_err().to_string();
    assert!(nobody.contains("No required SSL certificate was sent") && nobody.contains("--cert and --key"), "{nobody}");
    gateway.tls.identity = Some(Identity { cert: client.cert.clone(), key: Some(client.key.clone()) });
    assert_eq!(offer(&gateway).unwrap().status, Some(200));
    // As with curl the key may stand in the certificate's file.
    let both = std::fs::read_to_string(&client.cert).unwrap() + &std::fs::read_to_string(&client.key).unwrap();
    gateway.tls.identity = Some(Identity { cert: authority.file("both", &both), key: None });
    assert_eq!(offer(&gateway).unwrap().status, Some(200));
    gateway.tls.identity = Some(Identity { cert: foreign.cert, key: Some(foreign.key) });
    let refused = offer(&gateway).unwrap_err().to_string();
    assert!(refused.contains("400 Bad Request: 400 The SSL certificate error"), "{refused}");
}

/// Go's servers send an alert instead of an answer.
#[test]
fn a_gateway_that_wants_a_client_certificate_says_so_in_tls_too() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.issue("gw", "DNS:localhost,IP:127.0.0.1");
    let client = authority.issue("client", "DNS:client");
    let config = authority.file(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert_file: {}\n  key_file: {}\n  client_auth_type: RequireAndVerifyClientCert\n  \
             client_ca_file: {}\n",
            cert.display(),
            key.display(),
            authority.cert().display()
        ),
    );
    let elsewhere = Authority::new();
    let foreign = elsewhere.issue("foreign", "DNS:client");
    let server = Pushgateway::start_with(Version::Newest, &[&format!("--web.config.file={}", config.display())]);
    let mut gateway = trusting(&server.url().replace("http:", "https:"), &authority.cert());
    let (fault, said) = tls_fault(&gateway);
    assert_eq!(fault, TlsFault::WantsCertificate, "{said}");
    gateway.tls.identity = Some(Identity { cert: foreign.cert, key: Some(foreign.key) });
    assert_eq!(tls_fault(&gateway).0, TlsFault::RefusedCertificate);
    gateway.tls.identity = Some(Identity { cert: client.cert, key: Some(client.key) });
    assert_eq!(offer(&gateway).unwrap().status, Some(200));
}

#[test]
fn tls_to_a_plain_server_and_old_versions_are_told_apart() {
    let plain = Pushgateway::start(Version::Newest);
    let (fault, said) = tls_fault(&gateway(&plain.url().replace("http:", "https:")));
    assert_eq!(fault, TlsFault::NotTls);
    assert!(said.contains("does not speak TLS (write http:// in its URL)"), "{said}");

    let silent = FakeGateway::start([Reply::Silence]);
    let silent = gateway(&silent.url().replace("http:", "https:"));
    let failure = send_within(&silent, &push(Method::Add, "a", ""), Duration::from_secs(4)).unwrap_err();
    assert!(failure.to_string().contains("TLS handshake took too long (does it speak TLS at all"), "{failure}");
    let closing = FakeGateway::start([Reply::Reset]);
    let closing = gateway(&closing.url().replace("http:", "https:"));
    let failure = send_within(&closing, &push(Method::Add, "a", ""), Duration::from_secs(4)).unwrap_err();
    assert!(failure.to_string().contains("in the TLS handshake") && failure.tries > 1, "{failure}");

    let authority = Authority::new();
    let old = tls_server(&authority.issue("old", "DNS:localhost"), "ssl_protocols TLSv1.1;");
    let failure = offer(&trusting(&old.url_by_name(), &authority.cert())).unwrap_err();
    assert!(failure.to_string().contains("TLS"), "{failure}");
}

#[test]
fn a_large_body_goes_through_tls_and_an_early_refusal_comes_back() {
    let authority = Authority::new();
    let pair = authority.issue("server", "DNS:localhost");
    let small = tls_server(&pair, "client_max_body_size 1k; lingering_close off;");
    let large = tls_server(&pair, "client_max_body_size 100m;");
    let body = push(Method::Add, "a", &super::delivery::large(10));
    assert_eq!(send(&trusting(&large.url_by_name(), &authority.cert()), &body).unwrap().status, Some(200));
    let failure = send(&trusting(&small.url_by_name(), &authority.cert()), &body).unwrap_err();
    assert!(matches!(failure.fault, Fault::Status { status: 413, .. }), "{failure}");
}

fn through(url: &str, variables: &[(&str, &str)]) -> Endpoint {
    let mut gateway = gateway(url);
    gateway.proxy = ProxySettings::from_environment(None, |name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    });
    gateway
}

#[test]
fn http_goes_through_a_proxy_in_absolute_form() {
    let fake = FakeGateway::start([Reply::ok()]);
    // The name is the proxy's to resolve.
    let gateway = through("http://gw.invalid:9091/p", &[("http_proxy", &fake.url().replace("://", "://me:p%40ss@"))]);
    offer(&gateway).unwrap();
    let request = &fake.wait_for_requests(1)[0];
    assert_eq!(request.line(), "POST http://gw.invalid:9091/p/metrics/job/a HTTP/1.1");
    assert_eq!(request.header("host").unwrap(), "gw.invalid:9091");
    assert_eq!(request.header("proxy-authorization").unwrap(), "Basic bWU6cEBzcw==");
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.samples(), "x 1\n");
}

#[test]
fn a_real_proxy_forwards_http_and_tunnels_tls() {
    let proxy = Tinyproxy::start("BasicAuth me secret");
    let with = format!("http://me:secret@{}", proxy.address());
    let without = format!("http://{}", proxy.address());
    let server = Pushgateway::start(Version::Bookworm);
    offer(&through(&server.url(), &[("http_proxy", &with)])).unwrap();
    assert!(server.group([("job", "a")]).is_some());

    let authority = Authority::new();
    let nginx = tls_server(&authority.issue("server", "DNS:localhost"), "");
    let mut gateway = through(&nginx.url_by_name(), &[("https_proxy", &with)]);
    gateway.tls.ca = Some(authority.cert());
    assert_eq!(offer(&gateway).unwrap().status, Some(200));
    assert!(proxy.log().contains("CONNECT localhost"), "{}", proxy.log());

    let refused = offer(&through(&server.url(), &[("http_proxy", &without)])).unwrap_err().to_string();
    assert!(
        refused.contains("407 Proxy Authentication Required") && refused.contains("USER:PASSWORD@ before the host"),
        "{refused}"
    );
    let refused = offer(&through(&nginx.url_by_name(), &[("https_proxy", &without)])).unwrap_err();
    assert_eq!((&refused.fault, refused.tries), (&Fault::Proxy { status: 407 }, 1));
    assert!(!refused.to_string().contains("secret"), "{refused}");
}

#[test]
fn proxies_that_fail_are_told_from_gateways_that_fail() {
    let budget = Duration::from_secs(2);
    let fails = |url: &str, variables: &[(&str, &str)]| {
        send_within(&through(url, variables), &push(Method::Add, "a", ""), budget).unwrap_err().to_string()
    };
    let said = fails("http://gw:1", &[("http_proxy", "127.0.0.1:1")]);
    assert!(said.contains("proxy '127.0.0.1:1': connection refused"), "{said}");
    let said = fails("http://gw:1", &[("http_proxy", "socks5://p")]);
    assert!(said.contains("http_proxy 'socks5://p' is no usable proxy: SOCKS proxies are not supported"), "{said}");
    let proxy = Tinyproxy::start("ConnectPort 443");
    let address = proxy.address();
    let said = fails("https://127.0.0.1:1", &[("https_proxy", &address)]);
    assert!(
        said.contains("the proxy refuses: 403 Forbidden") && said.contains("NO_PROXY=127.0.0.1 goes past it"),
        "{said}"
    );
    let said = fails("http://127.0.0.1:1", &[("http_proxy", &address)]);
    assert!(said.contains("500 ") || said.contains("502 ") || said.contains("503 "), "{said}");
    for reply in
        [Reply::NoAnswer, Reply::Silence, Reply::Reset, Reply::Close, Reply::Raw(b"gibberish\r\n\r\n".to_vec())]
    {
        let fake = FakeGateway::start([reply]);
        let said = within_limit(budget + Duration::from_millis(300), || {
            fails("https://gw:1", &[("https_proxy", &fake.url())])
        });
        assert!(said.contains("the proxy "), "{said}");
    }
}

#[test]
fn a_rehearsal_can_be_replayed_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it's");
    std::fs::write(&file, "tok en".replace(' ', "")).unwrap();
    let server = Pushgateway::start(Version::Newest);
    let mut gateway = gateway(&server.url().replace("://", "://user:hunter2@"));
    gateway.headers = vec!["X-Key: hunter2".parse().unwrap()];
    let request = push(Method::Replace, "a", "x 5\n");
    let text = request_text(&gateway, &request);
    assert!(text.starts_with("PUT /metrics/job/a HTTP/1.1\nHost: 127.0.0.1:"), "{text}");
    assert!(text.contains("\nContent-Length: 21\n") && text.ends_with("\n\n# TYPE x untyped\nx 5\n"), "{text}");
    assert!(text.contains("\nAuthorization: (redacted)\n") && text.contains("\nX-Key: (redacted)\n"), "{text}");

    gateway.url = server.url().parse().unwrap();
    gateway.headers.clear();
    gateway.credentials = Credentials::Token(file);
    let command = curl_command(&gateway, &request);
    for printed in [&text, &command, &format!("{gateway:?}")] {
        assert!(!printed.contains("hunter2") && !printed.contains("token"), "{printed}");
    }
    let mut shell = Command::new("sh");
    let line = format!("{command} <<'END'\n{}END", text.split_once("\n\n").unwrap().1);
    let output = shell.args(["-c", &line]).env("PATH", server::path_with("curl")).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    assert_eq!(server.group([("job", "a")]).unwrap().value("x", []).unwrap(), "5");
}

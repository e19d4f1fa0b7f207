//! TLS as curl has it: which files are read, what is never printed, and what only curl takes.

use std::path::Path;

use pushwrap::http::TlsFault;

use super::delivery_secured::{offer, tls_fault, tls_server, trusting};
use super::harness::Pushwrap;
use super::harness::pushwrap::Run;
use super::harness::tls::{Authority, Pair};

/// curl takes most of these. What pushwrap does not take it says, with what to do.
#[test]
fn what_only_curl_takes_is_told_with_a_remedy() {
    let authority = Authority::new();
    let version_1 = authority.issue_version_1("localhost");
    let server = tls_server(&version_1, "");
    let (fault, said) = tls_fault(&trusting(&server.url_by_name(), &authority.cert()));
    assert_eq!(fault, TlsFault::OldCertificate, "{said}");
    assert!(said.contains("X.509 version 1 (issue one of version 3"), "{said}");

    let p521 = authority.self_signed_by(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"], &[]);
    let server = tls_server(&p521, "");
    let (fault, said) = tls_fault(&trusting(&server.url_by_name(), &p521.cert));
    assert!(matches!(fault, TlsFault::UnsupportedKey | TlsFault::NoCommonCipher), "{said}");
    assert!(!said.contains("TLS failed"), "{said}");

    let rsa = authority.self_signed_by(&["-newkey", "rsa:2048"], &[]);
    let server = tls_server(&rsa, "ssl_protocols TLSv1.2; ssl_ciphers AES128-GCM-SHA256;");
    let (fault, said) = tls_fault(&trusting(&server.url_by_name(), &rsa.cert));
    assert_eq!(fault, TlsFault::NoCommonCipher, "{said}");
    assert!(said.contains("allow TLS 1.3"), "{said}");
}

/// Given a server whose own certificate is pinned with `--cacert` and is for client authentication only, when a run is
/// reported, then nothing is sent and the message says what the certificate lacks.
#[test]
fn a_pinned_certificate_that_is_for_clients_only_is_refused() {
    let authority = Authority::new();
    let client_only = authority.self_signed_by(&["-newkey", "rsa:2048"], &["-addext", "extendedKeyUsage=clientAuth"]);
    let server = tls_server(&client_only, "");
    assert_eq!(tls_fault(&trusting(&server.url_by_name(), &client_only.cert)).0, TlsFault::WrongPurpose);
    let run = Pushwrap::new().args(["--url", &server.url_by_name(), "--job", "k", "--require-push", "--cacert"]);
    let run = run.arg(&client_only.cert).run(["true"]).exit(125);
    run.stderr_has("its certificate is not one for a server (extendedKeyUsage)").stderr_has("serverAuth");
}

/// A key whose line ends were lost is one line, which a message must never print.
#[test]
fn a_file_without_line_ends_is_named_and_never_quoted() {
    let authority = Authority::new();
    let pair = authority.issue("client", "DNS:client");
    let (cert, key) = (std::fs::read_to_string(&pair.cert).unwrap(), std::fs::read_to_string(&pair.key).unwrap());
    let secret = key.lines().nth(1).unwrap();
    for lost in ["", "\\n", " "] {
        let both = authority.file("both.pem", &format!("{cert}{}", key.replace('\n', lost)));
        for option in ["--cert", "--cacert"] {
            let refused = |run: Pushwrap| run.args(["--url", "https://localhost:1", option]).arg(&both);
            let said = |run: Run| {
                run.stderr_lacks(secret).stderr_has("both.pem' is not valid PEM in line").stderr_has("line ends lost?");
            };
            said(refused(Pushwrap::new()).args(["--job", "k", "--summary=json"]).run(["true"]).exit(0));
            said(refused(Pushwrap::new().arg("groups")).call().exit(1));
            said(refused(Pushwrap::new().arg("delete")).args(["--job", "k"]).call().exit(1));
            said(refused(Pushwrap::new().arg("push").stdin("x 1\n")).args(["--job", "k", "-"]).call().exit(1));
        }
    }
}

/// The system's roots may be named by a variable, and that file may be a key as well.
#[test]
fn a_file_of_the_variable_is_never_quoted_either() {
    let authority = Authority::new();
    let pair = authority.issue("server", "DNS:localhost");
    let (cert, key) = (std::fs::read_to_string(&pair.cert).unwrap(), std::fs::read_to_string(&pair.key).unwrap());
    let secret = key.lines().nth(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let both = directory.path().join("both.pem");
    std::fs::write(&both, format!("{cert}{}", key.replace('\n', ""))).unwrap();
    let server = tls_server(&pair, "");
    for (name, value) in [("SSL_CERT_FILE", both.as_path()), ("SSL_CERT_DIR", directory.path())] {
        let run = Pushwrap::new().env(name, value).args(["--url", &server.url_by_name(), "--job", "k"]);
        run.run(["true"]).exit(0).stderr_has(name).stderr_lacks(secret);
    }
}

/// What OpenSSL writes and what Windows editors leave in front of it is read as curl reads it, by option and by variable.
#[test]
fn ca_files_are_read_as_curl_reads_them() {
    let authority = Authority::new();
    let server = tls_server(&authority.issue("server", "DNS:localhost"), "");
    let ca = std::fs::read_to_string(authority.cert()).unwrap();
    let marked = authority.file("marked.pem", &format!("\u{feff}{ca}"));
    for file in [marked, authority.trusted_certificate()] {
        assert_eq!(offer(&trusting(&server.url_by_name(), &file)).unwrap().status, Some(200), "{}", file.display());
        let run = Pushwrap::new().env("SSL_CERT_FILE", &file).args(["--url", &server.url_by_name(), "--job", "k"]);
        run.arg("--require-push").run(["true"]).exit(0);
    }
}

/// Given a server that only curl's library takes, when a command is run or metrics are pushed, then the report names what is
/// wrong with the server and what its owner can do, in the text of no library.
#[test]
fn a_run_tells_what_only_curl_takes_with_a_remedy() {
    let authority = Authority::new();
    let version_1 = authority.issue_version_1("localhost");
    says_of(&version_1, &authority.cert(), "", "X.509 version 1 (issue one of version 3");
    let p521 = authority.self_signed_by(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"], &[]);
    says_of(&p521, &p521.cert, "", "P-521");
    let rsa = authority.self_signed_by(&["-newkey", "rsa:2048"], &[]);
    says_of(&rsa, &rsa.cert, "ssl_protocols TLSv1.2; ssl_ciphers AES128-GCM-SHA256;", "allow TLS 1.3, or an ECDHE");
}

/// A run and a push to a server with this certificate and these directives say so.
#[track_caller]
fn says_of(pair: &Pair, ca: &Path, directives: &str, remedy: &str) {
    let server = tls_server(pair, directives);
    let call = |run: Pushwrap| run.args(["--url", &server.url_by_name(), "--job", "k", "--cacert"]).arg(ca);
    let run = call(Pushwrap::new()).run(["true"]).exit(0);
    let push = call(Pushwrap::new().arg("push").stdin("x 1\n")).arg("-").call().exit(1);
    for said in [run.stderr, push.stderr] {
        assert!(said.contains(remedy), "{said}");
        for library in ["TLS failed", "UnsupportedCertVersion", "HandshakeFailure", "PeerIncompatible", "invalid peer"]
        {
            assert!(!said.contains(library), "{said}");
        }
    }
}

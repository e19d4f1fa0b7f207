//! Certificates for the tests, made by the openssl command as its users make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server;

/// A certificate and its key, PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate authority in a directory of its own.
pub(crate) struct Authority {
    dir: tempfile::TempDir,
}

const REQUEST: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
/// `openssl ca` is the only command of OpenSSL 3.0 that sets both dates.
const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
    default_md = sha256\npolicy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n";

impl Authority {
    /// A new authority, unknown to everybody.
    pub(crate) fn new() -> Self {
        let authority = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let name = ["-x509", "-days", "30", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(["req"].iter().chain(&REQUEST).chain(&name));
        for (file, content) in [("config", CONFIG), ("index", ""), ("serial", "01\n")] {
            fs::write(authority.dir.path().join(file), content).expect("a file of the authority");
        }
        authority
    }

    /// The authority's own certificate.
    pub(crate) fn cert(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for these names (`DNS:gw`, `IP:127.0.0.1`), valid now.
    pub(crate) fn issue(&self, name: &str, names: &str) -> Pair {
        self.issue_between(name, names, "20200101000000Z", "20491231000000Z")
    }

    /// The same, valid for a year long ago.
    pub(crate) fn issue_expired(&self, name: &str, names: &str) -> Pair {
        self.issue_between(name, names, "20200101000000Z", "20210101000000Z")
    }

    fn issue_between(&self, name: &str, names: &str, start: &str, end: &str) -> Pair {
        let pair = self.pair(name);
        let (subject, names) = (format!("/CN={name}"), format!("subjectAltName={names}"));
        let key = format!("{name}.key");
        let request = ["-subj", &subject, "-addext", &names, "-keyout", &key, "-out", "request"];
        self.openssl(["req"].iter().chain(&REQUEST).chain(&request));
        let (cert, dates) = (format!("{name}.pem"), ["-startdate", start, "-enddate", end]);
        let sign = ["ca", "-batch", "-notext", "-config", "config", "-cert", "ca.pem", "-keyfile", "ca.key"];
        self.openssl(sign.iter().chain(&dates).chain(&["-in", "request", "-out", &cert]));
        pair
    }

    /// What `openssl req -x509` makes: self-signed, and a CA by its basic constraints. The name is the common name too.
    pub(crate) fn self_signed(&self, name: &str, names: &str) -> Pair {
        self.self_signed_with(name, &["-addext", &format!("subjectAltName={names}")])
    }

    /// The same without any further name, as it is when nobody asks for more.
    pub(crate) fn self_signed_by_common_name(&self, name: &str) -> Pair {
        self.self_signed_with(name, &[])
    }

    fn self_signed_with(&self, name: &str, more: &[&str]) -> Pair {
        let pair = self.pair(name);
        let subject = format!("/CN={name}");
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let rest = ["-x509", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &cert];
        self.openssl(["req"].iter().chain(&REQUEST).chain(&rest).chain(more));
        pair
    }

    /// A self-signed certificate for `localhost` with a key of this kind.
    pub(crate) fn self_signed_by(&self, request: &[&str], more: &[&str]) -> Pair {
        let pair = self.pair("localhost");
        let subject = ["-nodes", "-x509", "-days", "30", "-subj", "/CN=localhost"];
        let files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "localhost.key", "-out", "localhost.pem"];
        self.openssl(["req"].iter().chain(request).chain(&subject).chain(&files).chain(more));
        pair
    }

    /// What `openssl x509 -req` makes without extensions: X.509 version 1.
    pub(crate) fn issue_version_1(&self, name: &str) -> Pair {
        let pair = self.pair(name);
        let (subject, key, cert) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.pem"));
        self.openssl(["req"].iter().chain(&REQUEST).chain(&["-subj", &subject, "-keyout", &key, "-out", "request"]));
        let sign = ["x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(sign.iter().chain(&["-out", &cert]));
        pair
    }

    /// The authority's certificate as `openssl x509 -trustout` writes it.
    pub(crate) fn trusted_certificate(&self) -> PathBuf {
        self.openssl(&["x509", "-in", "ca.pem", "-trustout", "-addtrust", "serverAuth", "-out", "trusted.pem"]);
        self.dir.path().join("trusted.pem")
    }

    fn pair(&self, name: &str) -> Pair {
        let path = |extension: &str| self.dir.path().join(format!("{name}.{extension}"));
        Pair { cert: path("pem"), key: path("key") }
    }

    /// A further file in the authority's directory.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).expect("a file of the authority");
        path
    }

    fn openssl<'a>(&self, arguments: impl IntoIterator<Item = &'a &'a str>) {
        openssl_in(self.dir.path(), arguments);
    }
}

/// Runs openssl, which must succeed.
pub(crate) fn openssl_in<'a>(dir: &Path, arguments: impl IntoIterator<Item = &'a &'a str>) {
    let mut command = Command::new(server::program("openssl"));
    command.args(arguments.into_iter().copied()).current_dir(dir);
    let output = command.output().expect("openssl can be run");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

//! The subjects, in the order of the page.

mod batch;
mod groups;
mod instructions;
mod metric;
mod minute;
mod ping;
mod push;
mod read;
mod run;
mod samples;
mod state;
mod weight;

use std::path::Path;

use anyhow::Result;

use super::figures::Figures;
use super::harness::pushwrap::binary;
use super::harness::tls::Authority;
use super::harness::{Pushgateway, Version};
use super::measure::Case;
use super::page::Page;

/// A work that is measured.
pub(crate) struct Subject {
    /// The name of its part of the page.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) measure: fn(&Page) -> Result<Figures>,
}

pub(crate) const SUBJECTS: [Subject; 12] = [
    Subject { name: "run", about: "run `true`, report nowhere", measure: run::measure },
    Subject { name: "push", about: "run `true`, push to a real gateway, plain and over TLS", measure: push::measure },
    Subject { name: "ping", about: "run `true`, one request to a small server", measure: ping::measure },
    Subject { name: "samples", about: "a job that writes 10,000 or 1,000,000 samples", measure: samples::measure },
    Subject { name: "read", about: "read and check metrics files: speed and memory", measure: read::measure },
    Subject { name: "batch", about: "1000 jobs, 32 at a time", measure: batch::measure },
    Subject { name: "minute", about: "a minute of `sleep`, and of 200 processes", measure: minute::measure },
    Subject { name: "metric", about: "one `pushwrap metric add`", measure: metric::measure },
    Subject { name: "groups", about: "a gateway with 10,000 groups", measure: groups::measure },
    Subject { name: "state", about: "a run beside the state of 10,000 other groups", measure: state::measure },
    Subject { name: "weight", about: "size, memory, system calls", measure: weight::measure },
    Subject { name: "instructions", about: "instructions of three runs", measure: instructions::measure },
];

/// pushwrap with these arguments.
pub(crate) fn pushwrap<const N: usize>(name: &str, arguments: [&str; N]) -> Case {
    Case::new(name, binary(), arguments)
}

/// `curl` of a script, as a word for a shell.
pub(crate) fn curl() -> String {
    super::peers::find("curl").map_or_else(|| "curl".to_owned(), |path| path.display().to_string())
}

/// A real gateway that speaks TLS, and the authority that it is trusted by.
pub(crate) struct TlsGateway {
    authority: Authority,
    gateway: Pushgateway,
}

impl TlsGateway {
    pub(crate) fn start() -> Self {
        let authority = Authority::new();
        let pair = authority.issue("gateway", "IP:127.0.0.1");
        let (cert, key) = (pair.cert.display(), pair.key.display());
        let config =
            authority.file("web.yml", &format!("tls_server_config:\n  cert_file: '{cert}'\n  key_file: '{key}'\n"));
        let gateway = Pushgateway::start_with(Version::Newest, &[&format!("--web.config.file={}", config.display())]);
        Self { authority, gateway }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.gateway.address())
    }

    /// The file of the authority's certificate.
    pub(crate) fn trust(&self) -> String {
        self.authority.cert().display().to_string()
    }
}

/// A path in an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

//! What kind of server answers at an address, and what time it has: for `doctor`, which asks and changes nothing.

use std::cell::RefCell;
use std::io::Read as _;
use std::time::SystemTime;

use serde_json::Value;

use crate::grouping::GroupingKey;
use crate::http::{BaseUrl, Cancel, Deadline, Endpoint, Failure, Fault};
use crate::sink::delivered::Limits;
use crate::sink::push::{Method, Push};
use crate::sink::pushgateway::{READING, fetch};
use crate::sink::remote_write::RemoteWrite;
use crate::sink::transfer::transfer;

/// The Pushgateway's own status (its README, "Query API").
const PUSHGATEWAY_STATUS: &str = "/api/v1/status";
/// Prometheus's build information, which VictoriaMetrics answers too (`web/api/v1/api.go`, `app/victoria-metrics/main.go`).
const BUILD_INFORMATION: &str = "/api/v1/status/buildinfo";
/// The last part of the path at which VictoriaMetrics and vmagent take pushes.
const VICTORIA_METRICS_IMPORT: &str = "/api/v1/import/prometheus";
/// More is not read of any answer, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;

/// The identity of a server by its own answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The kind of server.
    pub kind: ServerKind,
    /// The server's version, where it gives one.
    pub version: Option<String>,
    /// The server's time of day, where it gives one.
    pub now: Option<SystemTime>,
}

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// A Pushgateway.
    Pushgateway,
    /// A Pushgateway that has not the prefix of the URL: it answers at the root of the same server.
    PushgatewayAtRoot,
    /// Prometheus, which takes no pushes.
    Prometheus,
    /// VictoriaMetrics or vmagent.
    VictoriaMetrics,
    /// Something that shows a web page: a login, a landing page.
    WebPage,
    /// Something else.
    Unknown,
}

/// An answer that was read.
#[derive(Debug, Default)]
struct ServerPage {
    text: String,
    now: Option<SystemTime>,
}

/// Asks the server at `endpoint` what it is. It gets two or three requests at most, and none of them changes anything.
///
/// # Errors
/// Why it could not be asked, with what to do about it.
pub fn identify(endpoint: &Endpoint, deadline: Deadline) -> Result<ServerInfo, Failure> {
    if endpoint.url.prefix().ends_with(VICTORIA_METRICS_IMPORT) {
        let page = page(&at_root(endpoint)?, BUILD_INFORMATION, deadline)?;
        return Ok(info(&page, ServerKind::VictoriaMetrics));
    }
    match page(endpoint, PUSHGATEWAY_STATUS, deadline) {
        Ok(page) if version_in(&page.text, "/data/build_information/version").is_some() => {
            Ok(info(&page, ServerKind::Pushgateway))
        }
        Ok(page) => Ok(info(&page, ServerKind::Unknown)),
        Err(failure) if is_absent(&failure) => other_server(endpoint, deadline).ok_or(failure),
        Err(failure) => Err(failure),
    }
}

/// A server that has no Pushgateway at this path.
fn other_server(endpoint: &Endpoint, deadline: Deadline) -> Option<ServerInfo> {
    if let Ok(page) = page(endpoint, BUILD_INFORMATION, deadline)
        && version_in(&page.text, "/data/version").is_some()
    {
        // VictoriaMetrics tells a version alone, so that Grafana takes it for a Prometheus.
        let is_prometheus = version_in(&page.text, "/data/goVersion").is_some();
        return Some(info(&page, if is_prometheus { ServerKind::Prometheus } else { ServerKind::VictoriaMetrics }));
    }
    if endpoint.url.prefix().is_empty() {
        return None;
    }
    let page = page(&at_root(endpoint).ok()?, PUSHGATEWAY_STATUS, deadline).ok()?;
    version_in(&page.text, "/data/build_information/version")?;
    Some(info(&page, ServerKind::PushgatewayAtRoot))
}

/// The same server without the path of the URL.
fn at_root(endpoint: &Endpoint) -> Result<Endpoint, Failure> {
    let url: Result<BaseUrl, _> = endpoint.url.origin().parse();
    let failure = |error: crate::http::UrlError| Failure {
        fault: Fault::Internal(error.to_string()),
        tries: 0,
        intent: READING,
        gateway: endpoint.url.to_string(),
        remedy: None,
    };
    Ok(Endpoint { url: url.map_err(failure)?, ..endpoint.clone() })
}

/// Sends a report without a sample by remote write, which a receiver takes and stores nothing of.
///
/// # Errors
/// Why the receiver has not taken it, with what to do about it.
pub fn probe_remote_write(endpoint: &Endpoint, key: &GroupingKey, deadline: Deadline) -> Result<(), Failure> {
    let push = Push::empty(Method::Add, key.clone());
    let remote = RemoteWrite { endpoint: endpoint.clone() };
    transfer(&remote, &push, Limits { deadline, cancel: &Cancel::new() }).result.map(drop)
}

fn page(endpoint: &Endpoint, path: &str, deadline: Deadline) -> Result<ServerPage, Failure> {
    let found = RefCell::new(ServerPage::default());
    fetch(endpoint, path, deadline, &|body, now| {
        let mut bytes = Vec::new();
        body.take(ANSWER_MAX).read_to_end(&mut bytes)?;
        *found.borrow_mut() = ServerPage { text: String::from_utf8_lossy(&bytes).into_owned(), now };
        Ok(())
    })?;
    Ok(found.into_inner())
}

fn info(page: &ServerPage, kind: ServerKind) -> ServerInfo {
    let pointers = ["/data/build_information/version", "/data/version"];
    let version = pointers.iter().find_map(|pointer| version_in(&page.text, pointer));
    let is_page = kind == ServerKind::Unknown && page.text.trim_start().starts_with('<');
    ServerInfo { kind: if is_page { ServerKind::WebPage } else { kind }, version, now: page.now }
}

/// The text at this place of a JSON answer.
fn version_in(text: &str, pointer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    answer.pointer(pointer)?.as_str().map(str::to_owned)
}

/// Whether the server is there and has nothing at that path.
fn is_absent(failure: &Failure) -> bool {
    matches!(failure.fault, Fault::Status { status: 404 | 405, .. })
}

#[cfg(test)]
mod tests {
    use super::{ServerKind, ServerPage, info, version_in};

    #[test]
    fn a_version_is_found_in_an_answer_and_nothing_in_a_page() {
        let status = r#"{"status":"success","data":{"build_information":{"version":"1.11.3"}}}"#;
        assert_eq!(version_in(status, "/data/build_information/version").as_deref(), Some("1.11.3"));
        assert_eq!(version_in("<html>", "/data"), None);
        let page = ServerPage { text: "\n<!doctype html>".to_owned(), now: None };
        assert_eq!(info(&page, ServerKind::Unknown).kind, ServerKind::WebPage);
    }
}

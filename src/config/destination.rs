//! The sinks of the report: gateways, a file, a receiver of remote write; and where pushes wait that failed.

use std::path::Path;

use super::connection::Connection;
use super::source::{Resolver, are_given};
use super::usage_error::UsageError;
use crate::cli;
use crate::delivery::SpoolPath;
use crate::http::{BaseUrl, Endpoint, UrlError};
use crate::sink::{FileSink, RemoteWrite, Sink};

/// The gateways that get the metrics.
#[derive(Debug)]
pub enum Destination {
    /// No sink was named: the metrics are printed on standard error.
    Unnamed,
    /// `--url none`: no gateway, and no message.
    Nowhere,
    /// Pushgateways, at least one.
    Gateways(Vec<Endpoint>),
}

/// One `--url`: a gateway, or nowhere.
enum Target {
    Nowhere,
    Endpoint(Box<BaseUrl>),
}

fn target(text: &str) -> Result<Target, UrlError> {
    if text == "none" {
        return Ok(Target::Nowhere);
    }
    text.parse().map(|url| Target::Endpoint(Box::new(url)))
}

pub(super) fn resolve_destination(
    resolver: &mut Resolver,
    urls: &[String],
    connection: &Connection,
) -> Result<Destination, UsageError> {
    let Some(targets) = resolver.many("url", urls, target)? else { return Ok(Destination::Unnamed) };
    let named = targets.len();
    let mut gateways: Vec<Endpoint> = Vec::new();
    for target in targets {
        if let Target::Endpoint(url) = target {
            let gateway = connection.gateway(*url);
            if !gateways.iter().any(|known| known.url.identity() == gateway.url.identity()) {
                gateways.push(gateway);
            }
        } else if named > 1 {
            let contradiction = "--url none stands alone: it means that nothing is reported".to_owned();
            resolver.refuse(are_given(urls), contradiction)?;
        }
    }
    Ok(if gateways.is_empty() { Destination::Nowhere } else { Destination::Gateways(gateways) })
}

/// The sinks besides gateways, and the state directory. Only the run form has these options; their variables mean nothing to `push`.
pub(super) fn resolve_other_sinks(
    resolver: &mut Resolver,
    options: Option<&cli::SinkOptions>,
    connection: &Connection,
) -> Result<(Vec<Sink>, SpoolPath), UsageError> {
    let Some(options) = options else { return Ok((Vec::new(), SpoolPath::None)) };
    let remote_write = resolver.one("remote-write", options.remote_write.as_deref(), BaseUrl::remote_write)?;
    let output = resolver.path("output", options.output.as_deref());
    let sinks = [
        remote_write.map(|url| Sink::RemoteWrite(RemoteWrite { endpoint: connection.gateway(url) })),
        output.map(|path| Sink::File(FileSink::named(path))),
    ];
    Ok((sinks.into_iter().flatten().collect(), state_dir(resolver, options.state_dir.as_deref())))
}

pub(super) fn state_dir(resolver: &Resolver, option: Option<&Path>) -> SpoolPath {
    match resolver.path("state-dir", option) {
        None => SpoolPath::Default,
        Some(path) if path.as_os_str() == "none" => SpoolPath::None,
        Some(path) => SpoolPath::At(path),
    }
}

//! What the options of `flush` mean, which sends what waits in the state directory. Addresses there have no credentials, so these
//! come from the same options as for a run.

use std::time::Duration;

use super::connection::Connection;
use super::destination::{Destination, resolve_destination, state_dir};
use super::source::Resolver;
use super::usage_error::UsageError;
use super::volume::resolve_volume;
use crate::cli;
use crate::console::Volume;
use crate::delivery::{SpoolPath, SpooledPush};
use crate::http::{BaseUrl, Endpoint};
use crate::sink::{RemoteWrite, Sink, SinkKind};

/// The settings of `pushwrap flush`.
#[derive(Debug)]
pub struct FlushConfig {
    /// Where the pushes wait.
    pub state_dir: SpoolPath,
    /// The budget of each push.
    pub push_timeout: Duration,
    /// Whether the pushes are only listed.
    pub dry_run: bool,
    /// Warnings that fail nothing.
    pub warnings: Vec<String>,
    /// The volume of messages on standard error.
    pub volume: Volume,
    connection: Connection,
    destination: Destination,
    remote_write: Option<Endpoint>,
}

impl FlushConfig {
    /// Whether nothing is to be sent, as `--url none` says.
    #[must_use]
    pub fn is_for_nobody(&self) -> bool {
        matches!(self.destination, Destination::Nowhere) && self.remote_write.is_none()
    }

    /// The endpoint for a stored push: the named one with the same address. If no address was named, the stored address itself with
    /// the given credentials. Otherwise none, because the credentials belong to the named addresses.
    #[must_use]
    pub fn sink(&self, waiting: &SpooledPush) -> Option<Sink> {
        let url = &waiting.destination.url;
        let named = |gateway: &&Endpoint| gateway.url.identity() == *url;
        let gateways = if let Destination::Gateways(gateways) = &self.destination { &gateways[..] } else { &[] };
        let nobody = matches!(self.destination, Destination::Unnamed) && self.remote_write.is_none();
        let at = |url: BaseUrl| nobody.then(|| self.connection.gateway(url));
        Some(match waiting.destination.kind {
            SinkKind::Pushgateway => {
                let known = gateways.iter().find(named).cloned();
                Sink::Pushgateway(known.or_else(|| at(url.parse().ok()?))?)
            }
            SinkKind::RemoteWrite => {
                let known = self.remote_write.as_ref().filter(named).cloned();
                let endpoint = known.or_else(|| at(BaseUrl::remote_write(url).ok()?))?;
                Sink::RemoteWrite(RemoteWrite { endpoint })
            }
        })
    }
}

/// Resolves `pushwrap flush`.
///
/// # Errors
/// Bad usage, of a variable too: there is no command to protect.
pub fn resolve_flush(flush: &cli::Flush) -> Result<FlushConfig, UsageError> {
    let cli::Flush { gateway, remote_write, state_dir: directory, dry_run, connection, volume } = flush;
    let mut resolver = Resolver::new(gateway.env_file.as_deref());
    let volume = resolve_volume(&mut resolver, volume)?;
    let connection = Connection::resolve(&mut resolver, connection, volume)?;
    let destination = resolve_destination(&mut resolver, &gateway.url, &connection)?;
    let url = resolver.one("remote-write", remote_write.as_deref(), BaseUrl::remote_write)?;
    Ok(FlushConfig {
        state_dir: state_dir(&resolver, directory.as_deref()),
        push_timeout: connection.push_timeout,
        dry_run: resolver.switch("dry-run", *dry_run)?,
        volume,
        remote_write: url.map(|url| connection.gateway(url)),
        destination,
        connection,
        warnings: resolver.warnings()?,
    })
}

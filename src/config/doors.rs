//! What the options of the other doors mean: a file, a receiver of remote write, the state directory; and `flush`, which sends what
//! waits there. Addresses in the directory have no credentials, so these come from the same options as for a run.

use std::path::Path;
use std::time::Duration;

use super::access::Access;
use super::reporting::{Destination, resolve_destination};
use super::resolver::Resolver;
use super::{Usage, resolve_volume};
use crate::cli;
use crate::console::Volume;
use crate::sink::{BaseUrl, Door, Gateway, OutputTarget, RemoteWrite, Sink, StateDir, Waiting};

/// What a report goes to besides gateways.
pub(super) struct Doors {
    pub(super) output: Option<OutputTarget>,
    pub(super) remote_write: Option<Gateway>,
    pub(super) state_dir: StateDir,
}

impl Doors {
    /// Only the run form has these options; their variables mean nothing to `push`.
    pub(super) fn resolve(
        resolver: &mut Resolver,
        options: Option<&cli::Doors>,
        access: &Access,
    ) -> Result<Self, Usage> {
        let Some(options) = options else {
            return Ok(Self { output: None, remote_write: None, state_dir: StateDir::None });
        };
        let target = |path: std::path::PathBuf| match path.as_os_str().as_encoded_bytes() {
            b"-" => OutputTarget::Stderr,
            _ => OutputTarget::File(path),
        };
        let url = resolver.one("remote-write", options.remote_write.as_deref(), remote_write_url)?;
        Ok(Self {
            output: resolver.path("output", options.output.as_deref()).map(target),
            remote_write: url.map(|url| access.gateway(url)),
            state_dir: state_dir(resolver, options.state_dir.as_deref()),
        })
    }
}

fn remote_write_url(text: &str) -> Result<BaseUrl, String> {
    BaseUrl::remote_write(text).map_err(|error| error.to_string())
}

fn state_dir(resolver: &Resolver, option: Option<&Path>) -> StateDir {
    match resolver.path("state-dir", option) {
        None => StateDir::Default,
        Some(path) if path.as_os_str() == "none" => StateDir::None,
        Some(path) => StateDir::Named(path),
    }
}

/// What `pushwrap flush` needs to know.
#[derive(Debug)]
pub struct FlushConfig {
    /// Where the pushes wait.
    pub state_dir: StateDir,
    /// The budget of each push.
    pub push_timeout: Duration,
    /// Whether it is only said what waits.
    pub dry_run: bool,
    /// What is said once although nothing is wrong.
    pub warnings: Vec<String>,
    /// How much is said on standard error.
    pub volume: Volume,
    access: Access,
    destination: Destination,
    remote_write: Option<Gateway>,
}

impl FlushConfig {
    /// Whether nothing is to be sent, as `--url none` says.
    #[must_use]
    pub fn is_for_nobody(&self) -> bool {
        matches!(self.destination, Destination::Nowhere) && self.remote_write.is_none()
    }

    /// Who gets a push that waits: whoever was named by that address. Where nobody was named the address itself is asked, with
    /// the credentials given; where others were named, nobody, because the credentials are theirs.
    #[must_use]
    pub fn sink(&self, waiting: &Waiting) -> Option<Sink> {
        let url = &waiting.destination.url;
        let named = |gateway: &&Gateway| gateway.url.to_string() == *url;
        let gateways = if let Destination::Gateways(gateways) = &self.destination { &gateways[..] } else { &[] };
        let nobody = matches!(self.destination, Destination::Unnamed) && self.remote_write.is_none();
        let at = |url: BaseUrl| nobody.then(|| self.access.gateway(url));
        Some(match waiting.destination.door {
            Door::Pushgateway => {
                let known = gateways.iter().find(named).cloned();
                Sink::Pushgateway(known.or_else(|| at(url.parse().ok()?))?)
            }
            Door::RemoteWrite => {
                let known = self.remote_write.as_ref().filter(named).cloned();
                let endpoint = known.or_else(|| at(BaseUrl::remote_write(url).ok()?))?;
                Sink::RemoteWrite(RemoteWrite { endpoint, grouping: waiting.grouping.clone() })
            }
        })
    }
}

/// Resolves `pushwrap flush`.
///
/// # Errors
/// Bad usage, of a variable too: there is no command to protect.
pub fn resolve_flush(flush: &cli::Flush) -> Result<FlushConfig, Usage> {
    let cli::Flush { reach, remote_write, state_dir: directory, dry_run, delivery, loudness } = flush;
    let mut resolver = Resolver::new(reach.env_file.as_deref());
    let access = Access::resolve(&mut resolver, delivery)?;
    let destination = resolve_destination(&mut resolver, &reach.url, &access)?;
    let url = resolver.one("remote-write", remote_write.as_deref(), remote_write_url)?;
    Ok(FlushConfig {
        state_dir: state_dir(&resolver, directory.as_deref()),
        push_timeout: access.push_timeout,
        dry_run: resolver.switch("dry-run", *dry_run)?,
        volume: resolve_volume(&mut resolver, loudness)?,
        remote_write: url.map(|url| access.gateway(url)),
        destination,
        access,
        warnings: resolver.warnings()?,
    })
}

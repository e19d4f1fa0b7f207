//! The sinks that get pushes, and what their answers mean: a Pushgateway, a remote-write receiver or a file, each in its own file.
//! Nothing here knows when a push is made or what waits.

pub(crate) mod address;
pub(crate) mod delivered;
pub(crate) mod dry_run;
pub(crate) mod explain;
pub(crate) mod file;
mod held_page;
pub(crate) mod identify;
pub(crate) mod inventory;
pub(crate) mod merge;
pub(crate) mod push;
pub(crate) mod pushgateway;
pub(crate) mod remote_write;
mod transfer;

pub use address::{SinkAddress, SinkKind};
pub use delivered::{Delivered, Limits};
pub use dry_run::{curl_command, print_remote_write_request, print_request, request_text};
pub use file::FileSink;
pub use held_page::HeldPage;
pub use identify::{ServerInfo, ServerKind, identify, probe_remote_write};
pub use inventory::{Clock, Group, Inventory, PushTime, Series, inventory};
pub use push::{Method, Push, PushKind};
pub use pushgateway::deliver;
pub use remote_write::RemoteWrite;

pub(crate) use delivered::DeliveryResult;
use pushgateway::Pushgateway;
use transfer::transfer;

use crate::console::Console;
use crate::grouping::GroupingKey;
use crate::http::{Deadline, Endpoint, Failure, Fault};

/// A sink does not tell what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueUnknown;

/// A sink of reports.
#[derive(Debug, Clone)]
pub enum Sink {
    /// A Pushgateway, or what speaks like one.
    Pushgateway(Endpoint),
    /// A receiver of Prometheus's remote write.
    RemoteWrite(RemoteWrite),
    /// A file, or standard error.
    File(FileSink),
}

impl From<Endpoint> for Sink {
    fn from(gateway: Endpoint) -> Self {
        Self::Pushgateway(gateway)
    }
}

impl Sink {
    /// Its name in messages: an address without credentials, or a path.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Pushgateway(gateway) => gateway.url.to_string(),
            Self::RemoteWrite(remote) => remote.endpoint.url.to_string(),
            Self::File(output) => output.name(),
        }
    }

    /// The address under which the state directory keeps pushes for this sink; `None` for a sink whose pushes are not kept.
    pub(crate) fn address(&self) -> Option<SinkAddress> {
        let (kind, url) = match self {
            Self::Pushgateway(gateway) => (SinkKind::Pushgateway, gateway.url.identity()),
            Self::RemoteWrite(remote) => (SinkKind::RemoteWrite, remote.endpoint.url.identity()),
            Self::File(_) => return None,
        };
        Some(SinkAddress { kind, url })
    }

    /// Whether the sink is reached through the network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// Whether the sink is standard error.
    #[must_use]
    pub fn is_stderr(&self) -> bool {
        matches!(self, Self::File(FileSink::Stderr))
    }

    /// Hands a report over.
    pub(crate) fn deliver(&self, push: &Push, kind: PushKind, limits: Limits<'_>) -> DeliveryResult {
        match self {
            Self::Pushgateway(gateway) => transfer(&Pushgateway(gateway), push, limits),
            Self::RemoteWrite(remote) => transfer(remote, push, limits),
            Self::File(output) => output.deliver(push, kind).into(),
        }
    }

    /// Prints the request and sends nothing.
    pub(crate) fn dry_run(&self, push: &Push, console: Console) {
        match self {
            Self::Pushgateway(gateway) => print_request(gateway, push, console),
            Self::RemoteWrite(remote) => print_remote_write_request(remote, push, console),
            Self::File(FileSink::File(path)) => console.warn(format!("not written: '{}'", path.display())),
            Self::File(FileSink::Stderr) => {}
        }
    }

    /// The value of a group's metric as it is held there; `None` where it is not.
    ///
    /// # Errors
    /// The sink does not tell.
    pub(crate) fn value(&self, key: &GroupingKey, name: &str, deadline: Deadline) -> Result<Option<f64>, ValueUnknown> {
        match self {
            Self::Pushgateway(gateway) => {
                let held = inventory(gateway, &[name.to_owned()], deadline).map_err(|_| ValueUnknown)?;
                Ok(held.group(key).and_then(|group| group.value(name)))
            }
            Self::File(FileSink::File(path)) => Ok(file::value_in(path, key, name)),
            Self::File(_) | Self::RemoteWrite(_) => Err(ValueUnknown),
        }
    }

    /// A delivery that never came to its first try.
    pub(crate) fn given_up(&self, fault: Fault) -> Failure {
        let intent = if self.is_remote() { "push to" } else { "write" };
        Failure { fault, tries: 0, intent, gateway: self.name(), remedy: None }
    }
}

//! Everybody who can get a report, as one type: the courier gives each of them a thread and does not know them apart.

use super::courier::Turn;
use super::deadline::{Cancel, Deadline};
use super::deliver::{Delivered, deliver_watched};
use super::failure::{Failure, Fault};
use super::output::{Output, OutputTarget};
use super::remote_write::RemoteWrite;
use super::{Gateway, Push};

/// What bounds a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// When it has to be over.
    pub deadline: Deadline,
    /// How it is cut short.
    pub cancel: &'a Cancel,
}

/// What came of a delivery.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) result: Result<Delivered, Failure>,
    /// A try was given up unanswered: it may be applied later.
    pub(super) unanswered: bool,
    /// What has to be said besides, one line each.
    pub(super) said: Vec<String>,
}

impl From<Result<Delivered, Failure>> for Handed {
    fn from(result: Result<Delivered, Failure>) -> Self {
        Self { result, unanswered: false, said: Vec::new() }
    }
}

/// Somebody who gets reports.
#[derive(Debug, Clone)]
pub enum Sink {
    /// A Pushgateway, or what speaks like one.
    Pushgateway(Gateway),
    /// A receiver of Prometheus's remote write.
    RemoteWrite(RemoteWrite),
    /// A file, or standard error.
    Output(Output),
}

impl From<Gateway> for Sink {
    fn from(gateway: Gateway) -> Self {
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
            Self::Output(output) => output.name(),
        }
    }

    /// Whether it is reached through the network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Output(_))
    }

    /// Whether it is standard error.
    #[must_use]
    pub fn is_stderr(&self) -> bool {
        matches!(self, Self::Output(Output { target: OutputTarget::Stderr, .. }))
    }

    /// Hands a report over.
    pub(super) fn deliver(&self, push: &Push, turn: Turn, Limits { deadline, cancel }: Limits<'_>) -> Handed {
        let (result, unanswered) = match self {
            Self::Pushgateway(gateway) => deliver_watched(gateway, push, deadline, cancel),
            Self::RemoteWrite(remote) => remote.deliver(push, deadline, cancel),
            Self::Output(output) => (output.deliver(&push.body, turn), false),
        };
        Handed { result, unanswered, said: Vec::new() }
    }

    /// A delivery that never came to its first try.
    pub(super) fn given_up(&self, fault: Fault) -> Failure {
        let intent = if self.is_remote() { "push to" } else { "write" };
        Failure { fault, tries: 0, intent, gateway: self.name(), remedy: None }
    }
}

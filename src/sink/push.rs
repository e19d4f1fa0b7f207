//! One change to one group at a gateway, and where in the life of a run it is made.

use std::sync::Arc;

/// What the gateway is asked to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST: replace the metric families that are sent, keep the others (Pushgateway README, "POST method").
    Add,
    /// PUT: replace the whole group (Pushgateway README, "PUT method").
    Replace,
    /// DELETE: remove the whole group (Pushgateway README, "DELETE method").
    Delete,
}

impl Method {
    /// As it stands in the request line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "POST",
            Self::Replace => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One change to one group. Every method is idempotent at the gateway, so repeating a push is safe.
#[derive(Debug, Clone)]
pub struct Push {
    /// What is asked.
    pub method: Method,
    /// `/metrics/job/…`, percent- or base64-encoded, as `grouping` makes it.
    pub path: String,
    /// The exposition, text format 0.0.4. Not sent with DELETE.
    pub body: Arc<[u8]>,
    /// What is pushed instead when the gateway refuses `body` and the command's metrics may be the reason.
    pub fallback_body: Option<Arc<[u8]>>,
}

/// What a push is in the life of a run; later ones are more important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PushKind {
    /// The heartbeat of a running command. It waits for its kind, and a newer push takes its place.
    Heartbeat,
    /// The run was told to stop: a KILL may follow before the command has ended.
    Stopping,
    /// The run has ended.
    Final,
    /// A push that had waited in the state directory; only in reports.
    Spooled,
}

//! Delivery: from a composed exposition to a gateway that has taken it, or to a sentence that says why not and what to do.
//! The Pushgateway's HTTP door and the other ones; nothing here knows what the metrics mean.

mod conflict;
mod courier;
mod deadline;
mod deliver;
mod doors;
mod explain;
mod failure;
mod groups;
mod http;
mod json;
mod nss;
mod output;
mod proxy;
mod quote;
mod rehearse;
mod remains;
mod remote_write;
mod resolve;
mod retry_after;
mod secret;
mod settings;
mod state;
mod state_counts;
mod state_notes;
mod state_place;
mod state_spool;
mod state_waiting;
mod tls;
mod url;
mod wire;

use std::sync::Arc;

pub use courier::{Courier, Parcel, Report, Turn, deliver_all};
pub use deadline::{Cancel, Deadline};
pub use deliver::{Delivered, deliver};
pub use doors::{Limits, Sink};
pub use failure::{Failure, Fault, Phase, RETRIES, Retry, TlsFault, Trouble};
pub use groups::{Clock, Group, Inventory, PushTime, Series, inventory};
pub use output::{Output, OutputTarget};
pub use proxy::ProxySettings;
pub use rehearse::{curl_command, rehearse, rehearse_remote_write, request_text};
pub use remote_write::RemoteWrite;
pub use secret::Secret;
pub use settings::{Credentials, Header, HeaderError, Identity, Password, Tls};
pub use state::{DEFAULT_STATE_DIR, State, StateDir};
pub use state_counts::RunCounts;
pub use state_spool::{CountsText, Sent, Spool, dropped};
pub use state_waiting::{Destination, Door, Waiting};
pub use url::{BaseUrl, Scheme, UrlError};

/// One gateway and how it is reached. Files (password, token, certificates, key) are paths here and are read at delivery,
/// after the command ran: a missing one fails the push, never the command.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it lives; `--url`.
    pub url: BaseUrl,
    /// Who we are to it; they come before user info in the URL.
    pub credentials: Credentials,
    /// `--header`s, which come before pushwrap's own of the same name.
    pub headers: Vec<Header>,
    /// How its certificate is judged, and our own.
    pub tls: Tls,
    /// The proxies of the environment and of `--proxy`.
    pub proxy: ProxySettings,
}

impl Gateway {
    /// A gateway without credentials, headers, proxies or TLS settings of its own.
    #[must_use]
    pub fn at(url: BaseUrl) -> Self {
        Self {
            url,
            credentials: Credentials::default(),
            headers: Vec::new(),
            tls: Tls::default(),
            proxy: ProxySettings::default(),
        }
    }
}

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
    pub salvage: Option<Arc<[u8]>>,
}

//! How one HTTP exchange is made within one deadline: addresses, connections, proxies, TLS, credentials and what can go wrong.
//! Nothing here knows what a metric is.

pub(crate) mod auth;
pub(crate) mod deadline;
mod dns;
pub(crate) mod error;
pub(crate) mod exchange;
mod nss;
mod pem;
pub(crate) mod proxy;
mod retry_after;
pub(crate) mod secret;
mod socket;
mod tls;
pub(crate) mod url;

pub use auth::{Credentials, Header, HeaderError, Identity, Password, Tls};
pub use deadline::{Cancel, Deadline};
pub use error::{Failure, Fault, Phase, RETRIES, Retry, RetryPattern, TlsFault};
pub use proxy::ProxySettings;
pub use secret::Secret;
pub use url::{BaseUrl, Scheme, UrlError};

/// One gateway and how it is reached. Files (password, token, certificates, key) are paths here and are read at delivery,
/// after the command ran: a missing one fails the push, never the command.
#[derive(Debug, Clone)]
pub struct Endpoint {
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

impl Endpoint {
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

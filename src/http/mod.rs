//! How one HTTP exchange is made within one deadline: addresses, connections, proxies, TLS, credentials and what can go wrong.
//! Nothing here knows what a metric is.

pub(crate) mod auth;
pub(crate) mod client;
pub(crate) mod deadline;
mod dns;
mod endpoint;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod head;
mod nss;
mod pem;
pub(crate) mod proxy;
pub(crate) mod retry;
pub(crate) mod retry_after;
pub(crate) mod secret;
pub(crate) mod socket;
mod tls;
pub(crate) mod url;

pub use auth::{Credentials, Header, HeaderError, Identity, Password, Tls};
pub use deadline::{Cancel, Deadline};
pub use endpoint::Endpoint;
pub use error::{Failure, Fault, Phase, TlsFault};
pub use proxy::ProxySettings;
pub use retry::{Blame, Decision, Retry};
pub use secret::Secret;
pub use url::{BaseUrl, Scheme, UrlError};

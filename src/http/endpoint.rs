//! One server and how it is reached.

use crate::console::{Console, Volume};
use crate::http::auth::{Credentials, Header, Password, Tls, basic, secret_file};
use crate::http::deadline::Timer;
use crate::http::error::Fault;
use crate::http::proxy::ProxySettings;
use crate::http::secret::Secret;
use crate::http::url::BaseUrl;

/// One gateway and how it is reached. Files (password, token, certificates, key) are paths here and are read at delivery,
/// after the command ran: a missing one fails the push, never the command.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The base URL; `--url`.
    pub url: BaseUrl,
    /// The credentials; they come before user info in the URL.
    pub credentials: Credentials,
    /// `--header`s, which come before pushwrap's own of the same name.
    pub headers: Vec<Header>,
    /// How its certificate is judged, and our own.
    pub tls: Tls,
    /// The proxies of the environment and of `--proxy`.
    pub proxy: ProxySettings,
    /// Where each try is reported, with `-vv`.
    pub console: Console,
}

impl Endpoint {
    /// The proxy on the way, without its credentials; none where there is none or its setting is wrong.
    #[must_use]
    pub fn proxy_in_use(&self) -> Option<String> {
        self.proxy.choose(&self.url).ok().flatten().map(|proxy| proxy.address())
    }

    /// A gateway without credentials, headers, proxies or TLS settings of its own.
    #[must_use]
    pub fn at(url: BaseUrl) -> Self {
        Self {
            url,
            credentials: Credentials::default(),
            headers: Vec::new(),
            tls: Tls::default(),
            proxy: ProxySettings::default(),
            console: Console(Volume::Normal),
        }
    }
}

/// The value of the `Authorization` header, when there is one.
pub(crate) fn authorization(gateway: &Endpoint, timer: &Timer) -> Result<Option<Secret>, Fault> {
    match (&gateway.credentials, gateway.url.user_info()) {
        (Credentials::Basic { user, password: Password::Value(password) }, _) => Ok(Some(basic(user, password))),
        (Credentials::Basic { user, password: Password::File(path) }, _) => {
            Ok(Some(basic(user, &secret_file(path, "password", timer)?)))
        }
        (Credentials::Token(path), _) => {
            let token = secret_file(path, "token", timer)?;
            if token.expose().bytes().any(|byte| !byte.is_ascii_graphic()) {
                return Err(Fault::Setup(format!("token file '{}' holds more than one token", path.display())));
            }
            Ok(Some(Secret::from(format!("Bearer {}", token.expose()))))
        }
        (Credentials::None, Some(info)) => Ok(Some(basic(&info.user, &info.password))),
        (Credentials::None, None) => Ok(None),
    }
}

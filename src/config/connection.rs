//! How a gateway is reached: credentials, headers, TLS, proxy. Files are named here and read at delivery:
//! one that is missing fails the push, never the command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source::{Resolver, is_given, values};
use super::usage_error::UsageError;
use crate::cli::ConnectionOptions;
use crate::console::{Console, Volume};
use crate::http::{BaseUrl, Credentials, Endpoint, Header, Identity, Password, ProxySettings, Secret, Tls};

/// What all gateways of a run have in common.
#[derive(Debug)]
pub(super) struct Connection {
    credentials: Credentials,
    headers: Vec<Header>,
    tls: Tls,
    proxy: ProxySettings,
    console: Console,
    /// The budget of each push, or of each request.
    pub(super) push_timeout: Duration,
    /// Whether the time was given: a gateway that cannot be reached is then tried again for all of it.
    pub(super) push_timeout_given: bool,
}

/// `--push-timeout`, where nothing is said.
const DEFAULT_PUSH_TIMEOUT: Duration = Duration::from_secs(10);

impl Connection {
    /// Resolves the options of "how" that concern the connection.
    pub(super) fn resolve(
        resolver: &mut Resolver,
        options: &ConnectionOptions,
        volume: Volume,
    ) -> Result<Self, UsageError> {
        let headers = resolver.many("header", &options.header, str::parse)?.unwrap_or_default();
        let proxy = resolver
            .one("proxy", options.proxy.as_deref(), |text| ProxySettings::check(text).map(|()| text.to_owned()))?;
        let timeout = resolver.one("push-timeout", options.push_timeout.as_deref(), values::positive_duration)?;
        Ok(Self {
            credentials: credentials(resolver, options)?,
            headers,
            tls: tls(resolver, options)?,
            proxy: ProxySettings::from_environment(proxy.as_deref(), |name| std::env::var_os(name)),
            console: Console(volume),
            push_timeout: timeout.unwrap_or(DEFAULT_PUSH_TIMEOUT),
            push_timeout_given: timeout.is_some(),
        })
    }

    /// The gateway at `url`.
    pub(super) fn gateway(&self, url: BaseUrl) -> Endpoint {
        Endpoint {
            url,
            credentials: self.credentials.clone(),
            headers: self.headers.clone(),
            tls: self.tls.clone(),
            proxy: self.proxy.clone(),
            console: self.console,
        }
    }
}

fn credentials(resolver: &mut Resolver, options: &ConnectionOptions) -> Result<Credentials, UsageError> {
    let (by_user, by_token) = resolver.prefer(
        ("user", is_given(options.user.as_ref())),
        ("token-file", is_given(options.token_file.as_ref())),
        "--user and --token-file contradict each other: name one of them",
    )?;
    if by_token {
        let path = resolver.path("token-file", options.token_file.as_deref());
        return Ok(path.map_or(Credentials::None, Credentials::Token));
    }
    let file = resolver.path("password-file", options.password_file.as_deref());
    let user = if by_user { resolver.one("user", options.user.as_deref(), str::parse::<String>)? } else { None };
    let on_command_line = is_given(options.password_file.as_ref());
    match (user, file) {
        (None, None) => Ok(Credentials::None),
        (None, Some(_)) => {
            let alone = "--password-file needs --user, whose password it holds".to_owned();
            resolver.refuse(on_command_line, alone).map(|()| Credentials::None)
        }
        (Some(user), file) => {
            let (name, given) = match user.split_once(':') {
                Some((name, password)) => (name.to_owned(), Some(password.to_owned())),
                None => (user, None),
            };
            if given.is_some() && file.is_some() {
                let twice = "the password is given twice, by --user and by --password-file".to_owned();
                resolver.refuse(on_command_line && is_given(options.user.as_ref()), twice)?;
            }
            let given = Password::Value(Secret::from(given.unwrap_or_default()));
            Ok(Credentials::Basic { user: name, password: file.map_or(given, Password::File) })
        }
    }
}

fn tls(resolver: &mut Resolver, options: &ConnectionOptions) -> Result<Tls, UsageError> {
    let file = |resolver: &Resolver, long, flag: Option<&Path>| -> Option<PathBuf> { resolver.path(long, flag) };
    let cert = file(resolver, "cert", options.cert.as_deref());
    let key = file(resolver, "key", options.key.as_deref());
    if cert.is_none() && key.is_some() {
        resolver
            .refuse(is_given(options.key.as_ref()), "--key needs --cert, to whose certificate it belongs".to_owned())?;
    }
    if let Some(certificate) = cert.as_deref().and_then(before_password) {
        let path = certificate.display();
        let encrypted = format!("--cert takes no password as curl's does: decrypt the key of '{path}' for --key");
        resolver.refuse(is_given(options.cert.as_ref()), encrypted)?;
    }
    Ok(Tls {
        ca: file(resolver, "cacert", options.cacert.as_deref()),
        identity: cert.map(|cert| Identity { cert, key }),
        insecure: resolver.switch("insecure", options.insecure)?,
    })
}

/// The certificate's file, where curl's `FILE:PASSWORD` was written: the whole must not get into a message as a path.
fn before_password(path: &Path) -> Option<&Path> {
    let (file, _) = path.to_str()?.split_once(':')?;
    let file = Path::new(file);
    (file.is_file() && !path.exists()).then_some(file)
}

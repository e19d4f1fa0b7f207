//! Which proxy, if any, stands between us and a gateway: the variables and `NO_PROXY` as curl reads them. The choice is ours because
//! HTTP libraries differ from curl in it, and skip a bad setting silently.

use std::ffi::OsString;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::http::auth::basic;
use crate::http::error::Fault;
use crate::http::secret::Secret;
use crate::http::url::{BaseUrl, Host, Scheme, UrlError, parse_host_port};
use crate::text::redact_url;

/// Where curl expects a proxy that names no port (curl(1), `--proxy`).
const DEFAULT_PORT: u16 = 1080;

/// The proxy settings of `--proxy` and of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    explicit: Option<ProxySetting>,
    http: Option<ProxySetting>,
    https: Option<ProxySetting>,
    no_proxy: Option<String>,
}

/// A proxy's address as written, with what named it. It may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProxySetting {
    name: String,
    value: Secret,
}

/// A proxy that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The credentials for the proxy.
    user: Option<String>,
    pub(crate) authorization: Option<Secret>,
}

impl Proxy {
    /// `host:port`, without credentials.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl ProxySettings {
    /// Whether a value of `--proxy` can be one.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub fn check(value: &str) -> Result<(), UrlError> {
        match value.trim_ascii() {
            "" => Ok(()),
            address => parse(address).map(drop),
        }
    }

    /// The settings of an environment. `explicit` is `--proxy`; an empty one means no proxy whatever the environment says.
    ///
    /// As curl: `http_proxy` in lower case only (a CGI server sets `HTTP_PROXY` from a request header), the others in lower
    /// case first; an empty variable is unset.
    #[must_use]
    pub fn from_environment(explicit: Option<&str>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            variable(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
        };
        let first = |names: &[&str]| {
            let found = names.iter().find_map(|name| text(name).map(|value| (*name, value)));
            found.map(|(name, value)| ProxySetting { name: name.to_owned(), value: Secret::from(value) })
        };
        Self {
            explicit: explicit.map(|value| ProxySetting { name: "--proxy".to_owned(), value: Secret::from(value) }),
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            no_proxy: text("no_proxy").or_else(|| text("NO_PROXY")),
        }
    }

    /// The options that make curl(1) go the same way to `url`; the password is left for curl to ask. A bad setting has none.
    pub(crate) fn curl_options(&self, url: &BaseUrl) -> Vec<(&'static str, String)> {
        match self.choose(url) {
            Ok(Some(proxy)) => {
                let address = ("--proxy", format!("http://{}", proxy.address()));
                std::iter::once(address).chain(proxy.user.map(|user| ("--proxy-user", user))).collect()
            }
            Ok(None) if self.explicit.is_some() => vec![("--noproxy", "*".to_owned())],
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    /// The proxy for `url`, or none.
    pub(crate) fn choose(&self, url: &BaseUrl) -> Result<Option<Proxy>, Fault> {
        if self.no_proxy.as_deref().is_some_and(|list| is_exempt(url, list)) {
            return Ok(None);
        }
        let by_scheme = match url.scheme() {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match self.explicit.as_ref().or(by_scheme.as_ref()) {
            None => Ok(None),
            Some(setting) if setting.value.expose().trim_ascii().is_empty() => Ok(None),
            Some(setting) => parse(setting.value.expose().trim_ascii()).map(Some).map_err(|why| {
                let address = redact_url(setting.value.expose());
                Fault::Setup(format!("{} '{address}' is no usable proxy: {why}", setting.name))
            }),
        }
    }
}

/// `[http://][user[:password]@]host[:port][/]`.
fn parse(text: &str) -> Result<Proxy, UrlError> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("socks") => {
            return Err("SOCKS proxies are not supported, give an http:// one".into());
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("proxies spoken to over TLS are not supported, give an http:// one".into());
        }
        Some(_) => return Err("its scheme is not http".into()),
    };
    let (user_info, address) = rest.rsplit_once('@').map_or((None, rest), |(user, address)| (Some(user), address));
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (host, port) = parse_host_port(&address[..end])?;
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let credentials = user_info.map(|info| {
        let (user, password) = info.split_once(':').unwrap_or((info, ""));
        (decode(user), Secret::from(decode(password)))
    });
    let authorization = credentials.as_ref().map(|(user, password)| basic(user, password));
    let user = credentials.map(|(user, _)| user);
    Ok(Proxy { host, port: port.unwrap_or(DEFAULT_PORT), user, authorization })
}

/// Whether `list` (commas or blanks between its entries) exempts the gateway from proxies. `*` is everything; a name covers
/// itself and what is below it, with or without a leading dot; an address may be a CIDR block; an entry may have a port.
fn is_exempt(url: &BaseUrl, list: &str) -> bool {
    let host = match url.host() {
        Host::V6(address) => IpAddr::V6(*address).to_string(),
        Host::Name(name) => name.trim_end_matches('.').to_ascii_lowercase(),
    };
    let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| entry == "*" || covers(&entry.to_ascii_lowercase(), &host, url.port()))
}

fn covers(entry: &str, host: &str, port: u16) -> bool {
    let (entry, entry_port) = split_port(entry);
    if entry_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return block_holds(entry, address);
    }
    let entry = entry.trim_start_matches('.').trim_end_matches('.');
    !entry.is_empty() && host.strip_suffix(entry).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// `name:port` and `[v6]:port` apart; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(rest) = entry.strip_prefix('[')
        && let Some((address, rest)) = rest.split_once(']')
    {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether `entry` is the address, or a block that holds it.
fn block_holds(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (entry, Some(u32::MAX)),
    };
    let Some(bits) = bits else { return false };
    match (network.parse::<IpAddr>(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
            let shift = 32_u32.saturating_sub(bits);
            let cut = |address: u32| address.checked_shr(shift).unwrap_or(0);
            cut(network.to_bits()) == cut(address.to_bits())
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
            let shift = 128_u32.saturating_sub(bits);
            let cut = |address: u128| address.checked_shr(shift).unwrap_or(0);
            cut(network.to_bits()) == cut(address.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Fault, ProxySettings, parse};

    fn chosen(url: &str, explicit: Option<&str>, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let settings = ProxySettings::from_environment(explicit, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        });
        match settings.choose(&url.parse().unwrap()) {
            Ok(proxy) => Ok(proxy.map(|proxy| proxy.address())),
            Err(Fault::Setup(text)) => Err(text),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_variables_are_read_as_curl_reads_them() {
        let all: &[(&str, &str)] = &[
            ("http_proxy", "lower:1"),
            ("HTTP_PROXY", "upper:2"),
            ("HTTPS_PROXY", "http://secure:3/"),
            ("ALL_PROXY", "all:4"),
        ];
        assert_eq!(chosen("gw:9091", None, all), Ok(Some("lower:1".to_owned())));
        assert_eq!(chosen("https://gw", None, all), Ok(Some("secure:3".to_owned())));
        assert_eq!(chosen("gw", None, &all[1..2]), Ok(None), "HTTP_PROXY may come from a request's header");
        assert_eq!(chosen("gw", None, &all[2..3]), Ok(None), "http never goes through HTTPS_PROXY");
        assert_eq!(chosen("gw", None, &all[3..]), Ok(Some("all:4".to_owned())));
        assert_eq!(chosen("https://gw", None, &all[3..]), Ok(Some("all:4".to_owned())));
        assert_eq!(chosen("gw", None, &[("http_proxy", ""), ("all_proxy", "a")]), Ok(Some("a:1080".to_owned())));
        assert_eq!(chosen("gw", Some("mine:5"), all), Ok(Some("mine:5".to_owned())));
        assert_eq!(chosen("gw", Some(""), all), Ok(None), "an empty --proxy switches proxies off");
    }

    #[test]
    fn no_proxy_exempts_names_suffixes_addresses_blocks_and_ports() {
        for (url, list, exempt) in [
            ("gw.example.com", "example.com", true),
            ("gw.example.com", ".example.com", true),
            ("example.com", ".example.com", true),
            ("GW.Example.com.", "foo, Example.COM.", true),
            ("gw.example.com", "foo bar\texample.com", true),
            ("badexample.com", "example.com", false),
            ("gw", "*", true),
            ("gw", "", false),
            ("gw", ".", false),
            ("gw:9091", "gw:9091", true),
            ("gw:9092", "gw:9091", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.0.0.0/x", false),
            ("10.1.2.3:80", "10.1.2.3:8080", false),
            ("[2001:db8::7]", "2001:db8::/32", true),
            ("[2001:db8::7]", "2001:db8::7", true),
            ("[2001:db8::7]:9091", "[2001:db8::7]:9091", true),
            ("[2001:db9::7]", "2001:db8::/32", false),
            ("gw10", "10.0.0.0/8", false),
        ] {
            let environment = [("http_proxy", "p:1"), ("NO_PROXY", list)];
            assert_eq!(chosen(url, None, &environment) == Ok(None), exempt, "{url} {list}");
            assert_eq!(
                chosen(url, Some("p:1"), &environment) == Ok(None),
                exempt,
                "--proxy obeys NO_PROXY: {url} {list}"
            );
        }
        let both = [("http_proxy", "p:1"), ("no_proxy", "other"), ("NO_PROXY", "*")];
        assert_eq!(chosen("gw", None, &both), Ok(Some("p:1".to_owned())), "lower case wins");
    }

    #[test]
    fn a_bad_proxy_is_said_without_its_password() {
        for (value, said) in [
            ("socks5://u:hunter2@p:1", "SOCKS proxies are not supported"),
            ("socks5h://p:1", "SOCKS"),
            ("https://u:hunter2@p:1", "over TLS"),
            ("ftp://p", "scheme is not http"),
            ("me:hunter2://x@p", "scheme is not http"),
            ("p:99999", "port '99999'"),
            ("http://u:hunter2@p:port", "port 'port'"),
            ("http://", "no host"),
        ] {
            let error = chosen("gw", None, &[("http_proxy", value)]).unwrap_err();
            assert!(error.contains(said) && error.contains("http_proxy") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn credentials_of_a_proxy_are_decoded() {
        let proxy = parse("http://me:p%40ss@proxy:3128").unwrap();
        assert_eq!(proxy.authorization.unwrap().expose(), "Basic bWU6cEBzcw==");
    }
}

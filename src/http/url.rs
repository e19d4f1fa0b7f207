//! The gateway's address as people write it: with or without scheme, path prefix, user info. Parsed by our own code, because
//! HTTP libraries take port 99999 as 80, send `p%40ss` undecoded, and print passwords in their errors.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::http::secret::Secret;

/// How the gateway is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL without one means (RFC 9110, sections 4.2.1 and 4.2.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// User info cut out of a URL, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserInfo {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// Where a gateway lives: everything before `/metrics/job/…`. Its `Display` is the address without user info and without a
/// slash at the end; it never shows a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
    prefix: String,
    user_info: Option<UserInfo>,
    /// What stands behind `?`; may be a token, so that no message shows it.
    query: Option<Secret>,
}

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// A name or an IPv4 address.
    Name(String),
    /// An IPv6 address, which stands in brackets.
    V6(Ipv6Addr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Why a text is no base URL; says what would be right, and never shows user info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

impl From<String> for UrlError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for UrlError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl BaseUrl {
    /// How the gateway is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The port, 80 or 443 where the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn user_info(&self) -> Option<&UserInfo> {
        self.user_info.as_ref()
    }

    /// The path prefix without a slash at the end; empty at the root.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What stands in the request line for `path` below the base, with the query of the URL, which is kept.
    pub(crate) fn target(&self, path: &str) -> String {
        match &self.query {
            Some(query) => format!("{}{path}?{}", self.prefix, query.expose()),
            None => format!("{}{path}", self.prefix),
        }
    }

    /// [`BaseUrl::target`] as messages have it.
    pub(crate) fn redacted_target(&self, path: &str) -> String {
        let query = if self.query.is_some() { "?(redacted)" } else { "" };
        format!("{}{path}{query}", self.prefix)
    }

    /// The URL without secrets, such that different queries are different: what waits for one is not for another. Where there is
    /// a query it is no URL that could be parsed.
    #[must_use]
    pub fn identity(&self) -> String {
        match &self.query {
            Some(query) => format!("{self}?#{:016x}", fnv_1a(query.expose().as_bytes())),
            None => self.to_string(),
        }
    }

    /// `scheme://host[:port]`, the port only where it is not the scheme's own.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority())
    }

    /// The path and query of a redirect's `Location` when it stays at this origin (RFC 6454); relative paths are not resolved.
    pub(crate) fn same_origin_target(&self, location: &str) -> Option<String> {
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.to_owned());
        }
        let (scheme, rest) = match location.strip_prefix("//") {
            Some(rest) => (self.scheme.name(), rest),
            None => location.split_once("://")?,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, port) = parse_host_port(&rest[..end]).ok()?;
        let same = scheme.eq_ignore_ascii_case(self.scheme.name())
            && host.to_string().eq_ignore_ascii_case(&self.host.to_string())
            && port.unwrap_or(self.scheme.default_port()) == self.port;
        let target = &rest[end..];
        same.then(|| if target.starts_with('/') { target.to_owned() } else { format!("/{target}") })
    }

    /// `host[:port]`, as the `Host` header has it.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text, Self::check_base)
    }
}

impl BaseUrl {
    /// The whole address of a receiver of remote write, such as `http://prometheus:9090/api/v1/write`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn remote_write(text: &str) -> Result<Self, UrlError> {
        Self::parse(text, Self::check_endpoint)
    }

    fn parse(text: &str, check: impl Fn(&Self) -> Result<(), UrlError>) -> Result<Self, UrlError> {
        let Parts { scheme, authority, path, query } = split(text.trim_ascii())?;
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(parse_user_info(user_info)?), host_port),
            None => (None, authority),
        };
        let (host, port) = parse_host_port(host_port)?;
        let prefix = path.trim_end_matches('/').to_owned();
        let url = Self { scheme, host, port: port.unwrap_or(scheme.default_port()), prefix, user_info, query };
        url.check_prefix().and_then(|()| check(&url))?;
        Ok(url)
    }

    fn check_endpoint(&self) -> Result<(), UrlError> {
        match self.prefix.as_str() {
            "" => Err(format!("give it whole, as '{}/api/v1/write'", self.origin()).into()),
            prefix if prefix.contains('@') => Err(AT_SIGN.into()),
            _ => Ok(()),
        }
    }

    /// Refuses what cannot be sent in a request line.
    fn check_prefix(&self) -> Result<(), UrlError> {
        if let Some(bad) = self.prefix.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{}".contains(*c)) {
            return Err(format!("its path holds {}, write it percent-encoded", describe(bad)).into());
        }
        Ok(())
    }

    /// Refuses addresses that go on past the base.
    fn check_base(&self) -> Result<(), UrlError> {
        let base = |end: usize| format!("{}{}", self.origin(), &self.prefix[..end]);
        if let Some(at) = grouping_key_in(&format!("{}/", self.prefix)) {
            return Err(format!(
                "it holds the grouping key as well; give '{}' here and the rest as --job and --label",
                base(at)
            )
            .into());
        }
        if let Some(base_path) = self.prefix.strip_suffix("/metrics") {
            return Err(format!("give it without '/metrics', as '{}'", base(base_path.len())).into());
        }
        if self.prefix.ends_with("/api/v1/write") {
            return Err("it is a remote-write address; give it as --remote-write".into());
        }
        Ok(())
    }
}

struct Parts<'a> {
    scheme: Scheme,
    authority: &'a str,
    path: &'a str,
    query: Option<Secret>,
}

/// The message about an '@' that may be a part of a password.
const AT_SIGN: &str =
    "in a user or password '/', '?', '#' and '@' are written %2F, %3F, %23 and %40, in a path '@' is %40";

/// Where the grouping key begins in a path that ends with a slash.
fn grouping_key_in(path: &str) -> Option<usize> {
    path.find("/metrics/job/").or_else(|| path.find("/metrics/job@base64/"))
}

/// Whether a path leads to a group, and has an '@' nowhere but in its grouping key.
fn is_group(path: &str) -> bool {
    grouping_key_in(path).is_some_and(|at| {
        let (base, key) = path.split_at(at);
        !base.contains('@') && !key.replace("@base64/", "").contains('@')
    })
}

/// FNV-1a with 64 bits (draft-eastlake-fnv): the same in every version.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Cuts a URL into scheme, authority, path and query (RFC 3986, appendix B); a fragment is refused.
fn split(text: &str) -> Result<Parts<'_>, UrlError> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => {
            return Err(format!("'{scheme}' is not http or https").into());
        }
        _ => (Scheme::Http, text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // What looks like a path may be the rest of a password, and a path is printed.
    let end = path.find(['?', '#']).unwrap_or(path.len());
    if path[end..].contains('@') || path.contains('@') && !is_group(&path[..end]) {
        return Err(AT_SIGN.into());
    }
    if path.contains('#') {
        return Err("a fragment ('#…') has no place in it".into());
    }
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{}".contains(&byte))) {
        return Err("its query holds what has to be written percent-encoded".into());
    }
    let query = query.filter(|query| !query.is_empty()).map(Secret::from);
    if authority.is_empty() {
        return Err("it names no host, as in 'http://pushgateway:9091'".into());
    }
    Ok(Parts { scheme, authority, path, query })
}

fn parse_user_info(text: &str) -> Result<UserInfo, UrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "its user info is not UTF-8 when decoded".to_owned())
    };
    Ok(UserInfo { user: decode(user)?, password: Secret::from(decode(password)?) })
}

/// Parses `host[:port]` or `[v6][:port]`.
pub(crate) fn parse_host_port(text: &str) -> Result<(Host, Option<u16>), UrlError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("the ']' after its IPv6 address is missing")?;
        let address = address.parse().map_err(|_| format!("'{address}' is no IPv6 address"))?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or("after the ']' only a port may follow")?),
        };
        (Host::V6(address), port)
    } else {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("an IPv6 address stands in brackets, as in '[{text}]:9091'").into());
        }
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        (Host::Name(checked_name(name)?), port)
    };
    let port = match port {
        None => None,
        Some(port) => Some(parse_port(port)?),
    };
    Ok((host, port))
}

/// A host name or IPv4 address. Underscores are no DNS host names but common in Docker's networks.
fn checked_name(name: &str) -> Result<String, UrlError> {
    if name.is_empty() {
        return Err("it names no host, as in 'http://pushgateway:9091'".into());
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._".contains(*c))) {
        Some(bad) if !bad.is_ascii() => {
            Err(format!("its host name holds {}, write it as punycode (xn--…)", describe(bad)).into())
        }
        Some(bad) => Err(format!("its host name holds {}", describe(bad)).into()),
        None => Ok(name.to_owned()),
    }
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    if port.is_empty() {
        return Err("the port after ':' is empty".into());
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok(number),
        _ if port.contains(',') => Err("a comma comes after its port: repeat --url for each gateway".into()),
        _ => Err(format!("port '{}' is not a number from 1 to 65535", port.escape_debug()).into()),
    }
}

fn describe(c: char) -> String {
    match c {
        ' ' => "a blank".to_owned(),
        _ => format!("'{}'", c.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::BaseUrl;

    fn url(text: &str) -> BaseUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_people_write_is_understood() {
        for (written, meant) in [
            ("localhost:9091", "http://localhost:9091"),
            ("http://gw:9091/", "http://gw:9091"),
            (" http://gw:9091/// \n", "http://gw:9091"),
            ("HTTP://GW:9091", "http://GW:9091"),
            ("https://gw", "https://gw"),
            ("https://gw:443/pgw/", "https://gw/pgw"),
            ("http://gw:443", "http://gw:443"),
            ("gw", "http://gw"),
            ("10.0.0.1:80/a/b/", "http://10.0.0.1/a/b"),
            ("[::1]:9091", "http://[::1]:9091"),
            ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
            ("push_gateway.my-net:1/x%20y", "http://push_gateway.my-net:1/x%20y"),
            ("vm:8428/api/v1/import/prometheus", "http://vm:8428/api/v1/import/prometheus"),
        ] {
            assert_eq!(url(written).to_string(), meant, "{written}");
        }
    }

    #[test]
    fn user_info_is_cut_out_and_decoded() {
        let url = url("https://us%3Aer:p%40s%2Fs:x@gw:9091/pgw");
        assert_eq!(url.to_string(), "https://gw:9091/pgw");
        let info = url.user_info().unwrap();
        assert_eq!((info.user.as_str(), info.password.expose()), ("us:er", "p@s/s:x"));
        assert!(!format!("{url:?}").contains("p@s"), "{url:?}");
        assert_eq!(self::url("user@gw").user_info().unwrap().password.expose(), "");
        assert_eq!(self::url("u:p@ss@gw:1").user_info().unwrap().password.expose(), "p@ss");
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_what_would_be() {
        for (written, said) in [
            ("", "names no host"),
            ("http://", "names no host"),
            ("http://:9091", "names no host"),
            ("http:///pgw", "names no host"),
            ("ftp://gw", "'ftp' is not http or https"),
            ("unix:/run/gw.sock", "port after ':' is empty"),
            ("gw:9091,http://gw2:9091", "repeat --url for each gateway"),
            ("gw:99999", "port '99999' is not a number from 1 to 65535"),
            ("gw:0", "port '0'"),
            ("gw:+80", "port '+80'"),
            ("gw:", "port after ':' is empty"),
            ("::1", "'[::1]:9091'"),
            ("[::1", "']'"),
            ("[::1]9091", "only a port"),
            ("[gw]:1", "'gw' is no IPv6 address"),
            ("g w:1", "a blank"),
            ("bücher.example", "punycode"),
            ("http://gw/a b", "a blank"),
            ("http://me:a@b/c@gw", "in a user or password '/'"),
            ("http://gw/a@b", "in a path '@' is %40"),
            ("http://gw/yyy/a@base64/Y@base64/", "in a path '@' is %40"),
            ("http://gw/yyy/a@base64/", "in a path '@' is %40"),
            ("http://gw/a@b/metrics/job/x", "in a path '@' is %40"),
            ("http://gw/p?/metrics/job/@base64/", "in a path '@' is %40"),
            ("http://gw?x=a@b", "in a path '@' is %40"),
            ("gw/metrics/job/a/l@base64/YQ==/m@base64/", "give 'http://gw' here"),
            ("http://gw?x=ä", "query"),
            ("http://gw?x=1 HTTP/1.1", "query"),
            ("http://gw?x=1#top", "fragment"),
            ("http://gw/metrics?x=1", "as 'http://gw'"),
            ("http://gw/#top", "fragment"),
            ("http://gw:9091/metrics", "as 'http://gw:9091'"),
            ("http://gw/p/metrics/", "as 'http://gw/p'"),
            ("gw:9091/metrics/job/nightly/instance/a", "give 'http://gw:9091' here"),
            ("gw:9091/p/metrics/job@base64/YQ==", "give 'http://gw:9091/p' here"),
            ("gw:9091/metrics/job/", "give 'http://gw:9091' here"),
            ("http://prom:9090/api/v1/write", "--remote-write"),
        ] {
            let error = written.parse::<BaseUrl>().expect_err(written).to_string();
            assert!(error.contains(said), "{written}: {error}");
        }
    }

    #[test]
    fn a_remote_write_address_is_given_whole() {
        let url = BaseUrl::remote_write("prom:9090/api/v1/write").unwrap();
        assert_eq!(url.to_string(), "http://prom:9090/api/v1/write");
        let error = |text: &str| BaseUrl::remote_write(text).unwrap_err().to_string();
        assert_eq!(error("http://u:p@prom:9090/"), "give it whole, as 'http://prom:9090/api/v1/write'");
        assert!(error("http://prom/metrics/job@base64/Y@base64/").contains("in a path '@' is %40"));
        let url = BaseUrl::remote_write("http://prom/api/v1/write?x=1").unwrap();
        assert_eq!(
            (url.to_string(), url.target("")),
            ("http://prom/api/v1/write".to_owned(), "/api/v1/write?x=1".to_owned())
        );
    }

    #[test]
    fn a_query_is_kept_and_not_shown() {
        let [first, second] = ["http://vm/p/?extra_label=t%3Da", "http://vm/p?extra_label=t%3Db"].map(url);
        assert_eq!(first.target("/metrics/job/j"), "/p/metrics/job/j?extra_label=t%3Da");
        assert_eq!(first.redacted_target("/metrics/job/j"), "/p/metrics/job/j?(redacted)");
        assert_eq!(first.to_string(), second.to_string());
        assert_ne!(first.identity(), second.identity());
        assert!(first.identity().parse::<BaseUrl>().is_err());
        assert!(!format!("{first:?}").contains("extra"));
        assert_eq!(url("http://vm/p?").target(""), "/p");
    }

    #[test]
    fn only_a_redirect_within_the_origin_has_a_target() {
        let gateway = url("https://gw/pgw");
        for (location, target) in [
            ("/metrics/job/a?x=1#top", Some("/metrics/job/a?x=1")),
            ("https://GW/pgw/x", Some("/pgw/x")),
            ("https://gw:443/x", Some("/x")),
            ("//gw/x", Some("/x")),
            ("https://gw?x", Some("/?x")),
            ("http://gw/pgw/x", None),
            ("https://gw:8443/x", None),
            ("https://gw.evil/x", None),
            ("https://gw@evil/x", None),
            ("//evil/x", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(gateway.same_origin_target(location).as_deref(), target, "{location}");
        }
    }

    #[test]
    fn no_error_shows_user_info() {
        for written in [
            "http://me:hunter2@gw:99999",
            "http://me:hun/ter2@gw:1",
            "http://me:hun@ter2/ter2@gw:1",
            "http://me:hun@gw/metrics/job/ter2@gw",
            "me:hun://ter2@gw",
            "http://me:hunter2#@gw:1",
            "me:hunter2@",
            "http://me:%FFhunter2@gw",
            "ftp://me:hunter2@gw",
            "http://me:hunter2@gw/metrics",
            "http://me:hunter2@gw?x#y",
            "http://me:hunter2@g w",
        ] {
            let error = written.parse::<BaseUrl>().expect_err(written).to_string();
            assert!(!error.contains("hun") && !error.contains("ter2"), "{written}: {error}");
        }
    }
}

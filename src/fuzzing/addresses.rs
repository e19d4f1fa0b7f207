//! Addresses: of gateways and of proxies. No message and no printed address has the password.

use std::ffi::OsString;

use crate::http::url::BaseUrl;
use crate::http::{Fault, ProxySettings, UrlError};
use crate::text::redact_url;

/// A password that is put in front of an address.
const SECRET: &str = "hunter2";

type AddressParser = fn(&str) -> Result<BaseUrl, UrlError>;

/// The address of a gateway or of a receiver of remote write: what is printed of it is parsed as the same address.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsers: [AddressParser; 2] = [|text: &str| text.parse(), BaseUrl::remote_write];
    for parse in parsers {
        if let Ok(url) = parse(text) {
            let printed = url.to_string();
            let again = parse(&printed).unwrap();
            assert_eq!(again.to_string(), printed);
            assert_eq!((again.scheme(), again.host(), again.port()), (url.scheme(), url.host(), url.port()));
            assert_eq!((again.prefix(), again.user_info()), (url.prefix(), None));
            let target = url.target("/metrics/job/x");
            assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
        }
        for secret in with_secret(text) {
            let printed = match parse(&secret) {
                Ok(url) => format!("{url} {url:?} {} {}", url.identity(), url.redacted_target("/x")),
                Err(error) => error.to_string(),
            };
            assert!(!printed.contains(SECRET), "{printed}");
        }
    }
}

/// The address with a user and a password, with and without a scheme.
fn with_secret(address: &str) -> Vec<String> {
    if address.contains(SECRET) {
        return Vec::new();
    }
    let addresses = ["", "http://", "https://"].map(|scheme| format!("{scheme}user:{SECRET}@{address}"));
    for address in &addresses {
        assert!(!redact_url(address).contains(SECRET), "{address}");
    }
    addresses.into()
}

/// Three lines: a proxy, a `NO_PROXY` and the address of a gateway. The proxy that is chosen is chosen again by its printed
/// address; more entries exempt no fewer gateways; capital letters are small ones.
pub fn proxy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (value, list) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let url =
        lines.next().and_then(|url| url.parse().ok()).unwrap_or_else(|| "http://gw.example:9091".parse().unwrap());
    let chosen = |value: &str, list: &str| {
        let variable = |name: &str| match name {
            "http_proxy" | "https_proxy" => Some(OsString::from(value)),
            "NO_PROXY" => Some(OsString::from(list)),
            _ => None,
        };
        ProxySettings::from_environment(None, variable).choose(&url)
    };
    let is_exempt = |list: &str| chosen("p:1", list).unwrap().is_none();

    match chosen(value, "") {
        Ok(Some(proxy)) => {
            let again = chosen(&format!("http://{}/", proxy.address()), "").unwrap().unwrap();
            assert_eq!((again.address(), &again.authorization), (proxy.address(), &None));
        }
        Ok(None) => assert_eq!(value.trim_ascii(), ""),
        Err(error) => assert!(matches!(error, Fault::Setup(_)), "{error:?}"),
    }
    assert_eq!(ProxySettings::check(value).is_ok(), chosen(value, "").is_ok());
    for secret in with_secret(value) {
        let printed = format!("{:?}", chosen(&secret, "").map(|proxy| proxy.map(|proxy| proxy.address())));
        assert!(!printed.contains(SECRET), "{printed}");
    }
    assert!(is_exempt("*"));
    assert_eq!(is_exempt(list), is_exempt(&list.to_ascii_uppercase()));
    for longer in [format!("{list},other.example"), format!("other.example {list}")] {
        assert!(is_exempt(&longer) || !is_exempt(list), "{longer}");
    }
}

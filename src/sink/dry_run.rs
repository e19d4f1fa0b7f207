//! `--dry-run`: the request that would be sent, with its secrets redacted, and a curl command that a person can replay.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::console::{Console, write_metrics};
use crate::exposition::{CONTENT_TYPE, encode};
use crate::http::Endpoint;
use crate::http::auth::{Credentials, Password};
use crate::http::exchange::{TEXT, USER_AGENT};
use crate::sink::push::{Method, Push};
use crate::sink::remote_write::{self, RemoteWrite};
use crate::text::shell_quote;

/// Prints the request on standard error and says how to replay it.
pub fn print_request(gateway: &Endpoint, push: &Push, console: Console) {
    write_metrics(request_text(gateway, push).as_bytes());
    let body = if push.method == Method::Delete { "" } else { "; with that body on standard input" };
    console.warn(format!("not sent{body}: {}", curl_command(gateway, push)));
}

/// Says how to replay a push by remote write. Its body is binary, so the command brings it along.
pub fn print_remote_write_request(remote: &RemoteWrite, push: &Push, console: Console) {
    match remote_write::encode(&push.families().collect::<Vec<_>>(), &push.key) {
        Ok(body) => {
            let body = BASE64_STANDARD.encode(&body);
            let url = format!("{}{}", remote.endpoint.url.origin(), remote.endpoint.url.redacted_target(""));
            let replay = Replay { method: Method::Add, url, kind: remote_write::KIND };
            console.warn(format!("not sent: echo {body} | base64 -d | {}", replay.curl(&remote.endpoint)));
        }
        Err(fault) => console.warn(fault),
    }
}

/// The request as it would be sent, secrets as `(redacted)`: request line, headers, empty line, body.
#[must_use]
pub fn request_text(gateway: &Endpoint, push: &Push) -> String {
    let body = (push.method != Method::Delete).then(|| encode(push.families()));
    let length = body.as_ref().map(|body| body.len().to_string());
    let authorized = gateway.credentials != Credentials::None || gateway.url.user_info().is_some();
    let own = [
        ("User-Agent", Some(USER_AGENT)),
        ("Content-Type", body.as_ref().map(|_| CONTENT_TYPE)),
        ("Content-Length", length.as_deref()),
        ("Connection", Some("close")),
        ("Authorization", authorized.then_some("(redacted)")),
    ];
    let given = |name: &str| gateway.headers.iter().any(|header| header.name().eq_ignore_ascii_case(name));
    let mut lines = vec![
        format!("{} {} HTTP/1.1", push.method.name(), gateway.url.redacted_target(&push.key.path())),
        format!("Host: {}", gateway.url.authority()),
    ];
    let kept = own.iter().filter(|(name, _)| !given(name));
    lines.extend(kept.filter_map(|(name, value)| value.map(|value| format!("{name}: {value}"))));
    lines.extend(gateway.headers.iter().map(|header| format!("{}: (redacted)", header.name())));
    lines.push(String::new());
    lines.push(body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default());
    lines.join("\n")
}

/// A curl command that sends the same request, its body from standard input. Secrets stay in their files or are asked for.
#[must_use]
pub fn curl_command(gateway: &Endpoint, push: &Push) -> String {
    let url = format!("{}{}", gateway.url.origin(), gateway.url.redacted_target(&push.key.path()));
    Replay { method: push.method, url, kind: TEXT }.curl(gateway)
}

/// A request that curl can send.
struct Replay {
    method: Method,
    url: String,
    /// The headers that describe the body.
    kind: &'static [(&'static str, &'static str)],
}

impl Replay {
    fn curl(&self, gateway: &Endpoint) -> String {
        let Self { method, url, kind } = self;
        let mut arguments = vec!["curl".to_owned(), "-sS".to_owned(), "-X".to_owned(), method.name().to_owned()];
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), shell_quote(value)]);
        match &gateway.credentials {
            Credentials::None => {
                if let Some(info) = gateway.url.user_info() {
                    option("-u", &info.user);
                }
            }
            Credentials::Basic { user, password: Password::Value(_) } => option("-u", user),
            Credentials::Basic { user, password: Password::File(path) } => {
                arguments.push("-u".to_owned());
                arguments.push(format!("{}:\"$(cat {})\"", shell_quote(user), shell_quote(&path.to_string_lossy())));
            }
            Credentials::Token(path) => {
                arguments.push("-H".to_owned());
                arguments.push(format!("\"Authorization: Bearer $(cat {})\"", shell_quote(&path.to_string_lossy())));
            }
        }
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), shell_quote(value)]);
        for header in &gateway.headers {
            option("-H", &format!("{}: (redacted)", header.name()));
        }
        if let Some(path) = &gateway.tls.ca {
            option("--cacert", &path.to_string_lossy());
        }
        if let Some(identity) = &gateway.tls.identity {
            option("--cert", &identity.cert.to_string_lossy());
            if let Some(key) = &identity.key {
                option("--key", &key.to_string_lossy());
            }
        }
        for (name, value) in gateway.proxy.curl_options(&gateway.url) {
            option(name, &value);
        }
        if *method != Method::Delete {
            for (name, value) in *kind {
                option("-H", &format!("{name}: {value}"));
            }
            option("--data-binary", "@-");
        }
        if gateway.tls.insecure {
            arguments.push("--insecure".to_owned());
        }
        arguments.push(shell_quote(url));
        arguments.join(" ")
    }
}

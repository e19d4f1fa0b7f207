//! What servers really answer, and what to do about it: the table that turns a refusal into a remedy. Each row quotes a server's
//! own wording, from Pushgateway's source or from the server that says it.

use super::conflict;
use super::context::RefusalContext;
use crate::http::error::{Fault, Phase, TlsFault};
use crate::http::url::BaseUrl;
use crate::sink::push::Method;

/// Where the Pushgateway listens by default (its `--web.listen-address`).
const USUAL_PORT: u16 = 9091;

/// Whether the gateway may have refused the push because of the command's metrics: by the kind of the fault, unless the server's
/// text says otherwise.
pub(crate) fn may_blame_metrics(fault: &Fault) -> bool {
    let says_otherwise = || match fault {
        Fault::Status { status, text, .. } => row(*status, text).is_some_and(|row| !row.is_about_metrics),
        _ => false,
    };
    fault.decision().body_is_to_blame() && !says_otherwise()
}

/// The explanation of one answer.
enum Remedy {
    Say(&'static str),
    Find(fn(&str, &RefusalContext<'_>) -> String),
}

struct RemedyRow {
    status: u16,
    /// A part of the server's text; empty for any.
    says: &'static str,
    /// Whether the command's metrics may be the reason; else it is the address, the grouping key, credentials or another group.
    is_about_metrics: bool,
    remedy: Remedy,
}

const fn metrics(status: u16, says: &'static str, remedy: Remedy) -> RemedyRow {
    RemedyRow { status, says, is_about_metrics: true, remedy }
}

const fn other(status: u16, says: &'static str, remedy: Remedy) -> RemedyRow {
    RemedyRow { status, says, is_about_metrics: false, remedy }
}

const SPEAKS_TLS: Remedy = Remedy::Say("it speaks TLS: write https:// in its URL");
const PATH_CHANGED: Remedy =
    Remedy::Say("something in front of it changes the path: it must pass the path on as it is, undecoded");
const RENAME: Remedy =
    Remedy::Say("a metric's _count, _sum or _bucket has the name of another metric: rename one of them");

/// The first row that fits holds; the gateway's texts about metrics come first, because they repeat what the command
/// wrote. Texts of Pushgateway are those of its handler/push.go and of `client_golang`'s registry.go.
static ROWS: &[RemedyRow] = &[
    metrics(
        400,
        "text format parsing error",
        Remedy::Say("'pushwrap check' judges a metrics file; --dry-run shows all that is sent"),
    ),
    other(400, "collected metric \"push_time_seconds\"", Remedy::Find(conflict::broken_gateway)),
    other(400, "collected metric \"push_failure_time_seconds\"", Remedy::Find(conflict::broken_gateway)),
    metrics(400, "must not have timestamps", Remedy::Say("leave the timestamps out of the metrics")),
    metrics(400, "was collected before with the same name", Remedy::Find(conflict::same_series)),
    metrics(400, "collides with previously collected", RENAME),
    metrics(
        400,
        "but should have",
        Remedy::Say("the gateway itself has a metric of that name and another type: rename the metric"),
    ),
    metrics(
        400,
        "explicit \"quantile\" label",
        Remedy::Say("a summary cannot be pushed with a label named quantile: rename the label"),
    ),
    metrics(400, "is not a ", Remedy::Find(conflict::other_type)),
    other(400, "Client sent an HTTP request to an HTTPS server", SPEAKS_TLS),
    other(400, "The plain HTTP request was sent to HTTPS port", SPEAKS_TLS),
    other(
        400,
        "No required SSL certificate was sent",
        Remedy::Say("it wants a client certificate: name one with --cert and --key"),
    ),
    other(400, "The SSL certificate error", Remedy::Say("it does not accept the certificate that --cert names")),
    other(400, "odd number of components in label string", PATH_CHANGED),
    other(400, "invalid base64 encoding", PATH_CHANGED),
    other(400, "job name is required", PATH_CHANGED),
    other(400, "improper label name", Remedy::Say("it takes no such grouping label: give --label another name")),
    other(400, "unsupported path requested", Remedy::Find(victoria_metrics)),
    other(400, "pushgateway-style labels", PATH_CHANGED),
    other(
        400,
        "Request Header Or Cookie Too Large",
        Remedy::Say("the grouping key or a --header is too long for the server"),
    ),
    metrics(
        400,
        "duplicate label",
        Remedy::Say("a metric has a label that the grouping key has too: leave it out of the metric"),
    ),
    other(401, "", Remedy::Find(unauthorized)),
    other(403, "", Remedy::Find(forbidden)),
    other(404, "", Remedy::Find(not_found)),
    other(405, "", Remedy::Find(wrong_method)),
    other(
        407,
        "",
        Remedy::Say("the proxy wants a user and a password: write USER:PASSWORD@ before the host in its URL"),
    ),
    metrics(
        413,
        "",
        Remedy::Say(
            "the metrics are larger than the server in front of the gateway takes, which in nginx is client_max_body_size",
        ),
    ),
    other(414, "", Remedy::Say("the grouping key is too long for the server: shorten the job name and the labels")),
    other(431, "", Remedy::Say("the grouping key or a --header is too long for the server")),
    other(429, "", Remedy::Say("it wants fewer pushes: raise --push-interval")),
    other(500, "write queue is full", Remedy::Say("the gateway is overloaded")),
    other(502, "", Remedy::Find(bad_gateway)),
    other(503, "", Remedy::Find(bad_gateway)),
    other(504, "", Remedy::Find(bad_gateway)),
];

fn row(status: u16, text: &str) -> Option<&'static RemedyRow> {
    ROWS.iter().find(|row| row.status == status && text.contains(row.says))
}

/// The remedy for a fault, where there is one.
pub(crate) fn remedy(fault: &Fault, context: &RefusalContext<'_>) -> Option<String> {
    match fault {
        Fault::Status { status, text, .. } => match &row(*status, text)?.remedy {
            Remedy::Say(text) => Some((*text).to_owned()),
            Remedy::Find(find) => Some(find(text, context)),
        },
        Fault::Redirect { location, .. } => Some(redirect(location, context)),
        Fault::Proxy { status } => Some(proxy_refusal(*status, context)),
        Fault::Tls(fault) => tls(fault, context),
        Fault::Connect(text) => connect(text, context),
        Fault::Lookup(_) => Some("is the host name right, and DNS to be reached from here?".to_owned()),
        Fault::EmptyReply => Some(
            "Pushgateway 1.11.0 hangs up when it refuses metrics, 1.11.1 says why: \
             see its log, or whether a metric has the type of another group's"
                .to_owned(),
        ),
        Fault::NotHttp(_) => Some(format!("is its port right? The Pushgateway's is usually {USUAL_PORT}")),
        Fault::Timeout(Phase::Handshake) => Some("does it speak TLS at all? Else write http:// in its URL".to_owned()),
        Fault::Timeout(Phase::Answer) => Some("a larger --push-timeout gives a slow gateway more time".to_owned()),
        _ => None,
    }
}

fn connect(text: &str, context: &RefusalContext<'_>) -> Option<String> {
    if context.proxy.is_some() || !text.contains("refused") {
        return None;
    }
    Some(match context.gateway.url.port() {
        USUAL_PORT => "is the gateway running?".to_owned(),
        port => format!("is the gateway running, and {port} its port? The usual one is {USUAL_PORT}"),
    })
}

fn unauthorized(_: &str, context: &RefusalContext<'_>) -> String {
    if context.has_credentials() {
        "the user, password or token is wrong".to_owned()
    } else {
        let said = "it wants to know who you are: --user with --password-file, or --token-file";
        if std::env::var_os("PUSHWRAP_TEXTFILE").is_some() {
            return format!(
                "{said} (this is a run inside a run: credentials are not handed to commands, but files and the env file serve both)"
            );
        }
        said.to_owned()
    }
}

fn forbidden(_: &str, context: &RefusalContext<'_>) -> String {
    match &context.proxy {
        Some(proxy) => format!("the gateway or the proxy '{proxy}' does not let this through"),
        None if context.has_credentials() => "these credentials have no right to push".to_owned(),
        None => "it lets nobody push from here, or not without credentials".to_owned(),
    }
}

fn victoria_metrics(_: &str, context: &RefusalContext<'_>) -> String {
    match context.push.map(|push| push.method) {
        Some(Method::Add | Method::Replace) => {
            "VictoriaMetrics takes pushes since 1.84 only, and at URL/api/v1/import/prometheus"
        }
        Some(Method::Delete) | None => "this is VictoriaMetrics, which has no groups: a Pushgateway has them",
    }
    .to_owned()
}

fn not_found(_: &str, context: &RefusalContext<'_>) -> String {
    let url = &context.gateway.url;
    if url.port() == 9090 {
        format!("9090 is the usual port of Prometheus, which takes no pushes; the Pushgateway's is {USUAL_PORT}")
    } else if url.prefix().is_empty() {
        format!(
            "this is no Pushgateway, or it lives below a path, its --web.route-prefix: write that path at the end of \
             '{url}'"
        )
    } else {
        format!("is '{}' the path of the gateway, its --web.route-prefix?", url.prefix())
    }
}

fn wrong_method(_: &str, context: &RefusalContext<'_>) -> String {
    let method = context.push.map_or("GET", |push| push.method.name());
    match context.push.map(|push| push.method) {
        Some(Method::Replace | Method::Delete) => {
            format!(
                "this server does not take {method}; a proxy may let POST alone through, and Vector takes nothing else"
            )
        }
        _ => format!("this server does not take {method} there: is it a Pushgateway, and is the path right?"),
    }
}

fn bad_gateway(_: &str, context: &RefusalContext<'_>) -> String {
    match &context.proxy {
        Some(proxy) => format!("the proxy '{proxy}' or a server in front of the gateway does not reach it"),
        None => "the server in front of the gateway does not reach it: is the gateway running?".to_owned(),
    }
}

fn redirect(location: &str, context: &RefusalContext<'_>) -> String {
    let url = &context.gateway.url;
    let base = location.split("/metrics/job").next().unwrap_or_default();
    let moved = location.contains("/metrics/job") && base.parse::<BaseUrl>().is_ok_and(|moved| moved != *url);
    if moved && base.contains("://") {
        format!("redirects are not followed: write '{base}' as its URL")
    } else if location.contains("://") {
        "redirects are not followed; it may want credentials, or another URL".to_owned()
    } else {
        "redirects are not followed: is the path of its URL right?".to_owned()
    }
}

fn proxy_refusal(status: u16, context: &RefusalContext<'_>) -> String {
    let proxy = context.proxy.as_deref().unwrap_or_default();
    match status {
        407 => format!("write USER:PASSWORD@ before the host in the URL of proxy '{proxy}'"),
        403 | 405 => format!(
            "proxy '{proxy}' opens no tunnel to port {}; NO_PROXY={} goes past it",
            context.gateway.url.port(),
            context.gateway.url.host()
        ),
        _ => format!("proxy '{proxy}' does not reach the gateway"),
    }
}

fn tls(fault: &TlsFault, context: &RefusalContext<'_>) -> Option<String> {
    let remedy = match fault {
        TlsFault::Untrusted if !context.details.is_empty() => return Some(context.details.join("; ")),
        TlsFault::NotTls => "write http:// in its URL",
        TlsFault::Untrusted => "name its CA's certificate, or its own, with --cacert",
        TlsFault::WrongName(_) => "write one of these names in its URL",
        TlsFault::Expired => "it must be renewed; is the clock of this machine right?",
        TlsFault::WantsCertificate => "name one with --cert and --key",
        TlsFault::RefusedCertificate => {
            "is the certificate of --cert signed by the CA that it trusts, and still valid?"
        }
        TlsFault::WrongPurpose => "it needs serverAuth in its extendedKeyUsage, or none",
        TlsFault::OldCertificate => {
            "issue one of version 3: 'openssl x509 -req' makes version 1 unless -extfile names a subjectAltName"
        }
        TlsFault::UnsupportedKey => "use RSA, P-256, P-384 or Ed25519, signed with SHA-256 or better",
        TlsFault::NoCommonCipher => {
            "at the server, allow TLS 1.3, or an ECDHE cipher suite with GCM or ChaCha20; use a key of RSA, P-256, P-384 or Ed25519"
        }
        TlsFault::OldVersion => "TLS 1.2 or 1.3 is needed",
        TlsFault::Other(_) => return None,
    };
    Some(remedy.to_owned())
}

//! What servers really answer, and what to do about it: the table that turns a refusal into a remedy. Each row quotes a server's
//! own words, from Pushgateway's source or from the server that says it.

use std::any::Any;
use std::time::Duration;

use super::failure::{Fault, Phase, TlsFault};
use super::http::{Route, TEXT_MAX};
use super::url::Scheme;
use super::{Gateway, Method, Push};

/// What a remedy may have to name.
#[derive(Debug)]
pub(super) struct Context<'a> {
    gateway: &'a Gateway,
    proxy: Option<String>,
    push: Option<&'a Push>,
}

impl<'a> Context<'a> {
    pub(super) fn of(gateway: &'a Gateway, route: &Route<'_>, push: &'a Push) -> Self {
        Self { push: Some(push), ..Self::reading(gateway, route) }
    }

    pub(super) fn reading(gateway: &'a Gateway, route: &Route<'_>) -> Self {
        Self { gateway, proxy: route.proxy.as_ref().map(super::proxy::Proxy::shown), push: None }
    }
}

/// Whether the gateway may have refused the push because of the command's metrics. An empty reply counts: Pushgateway 1.11.0
/// hangs up instead of answering 400 (prometheus/pushgateway issue 766).
pub(super) fn may_blame_metrics(fault: &Fault) -> bool {
    match fault {
        Fault::EmptyReply | Fault::Status { status: 413 | 422, .. } => true,
        Fault::Status { status: 400, text, .. } => row(400, text).is_none_or(|row| row.metrics),
        _ => false,
    }
}

struct Row {
    status: u16,
    says: &'static str,
    /// Whether the command's metrics may be the reason.
    metrics: bool,
    remedy: &'static str,
}

static ROWS: &[Row] = &[];

fn row(status: u16, text: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.status == status && text.contains(row.says))
}

/// What to do about a fault, when there is something.
pub(super) fn remedy(fault: &Fault, context: &Context<'_>) -> Option<String> {
    let _ = (context.gateway, &context.proxy, context.push, Scheme::Http, Method::Add, Phase::Send, TlsFault::NotTls);
    match fault {
        Fault::Status { status, text, .. } => row(*status, text).map(|row| row.remedy.to_owned()),
        _ => None,
    }
}

/// A server's text as it may be printed: HTML without its tags, blanks and line ends run together, control characters and what
/// could reorder a terminal's line escaped, 2 KiB at most.
pub(super) fn quote(bytes: &[u8]) -> String {
    let cut = bytes.len() > TEXT_MAX;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_MAX)]);
    let text = if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into_owned() };
    let mut quoted = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        for c in word.chars() {
            if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                quoted.extend(c.escape_default());
            } else {
                quoted.push(c);
            }
        }
    }
    if cut {
        quoted.push('…');
    }
    quoted
}

/// The words of an HTML page, each line once: nginx says everything in the title and again in a heading.
fn without_tags(html: &str) -> String {
    let mut words = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                words.push('\n');
            }
            _ if !inside => words.push(c),
            _ => {}
        }
    }
    let mut lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    lines.join(" ")
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); a date is not kept, the usual pauses do.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

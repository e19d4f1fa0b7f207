//! One try: connect (directly, or through a proxy), agree on TLS, send one request, read what matters of the answer. Every error
//! comes out as a [`Fault`], with how far the try had come.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ClientConnection;
use ureq::http::header::{HeaderMap, HeaderName, HeaderValue};
use ureq::http::{self, Response};

use super::{retry_after, tls};
use crate::exposition::CONTENT_TYPE;
use crate::http::auth::plain;
use crate::http::deadline::{Interruption, Timer};
use crate::http::dns::{LookupError, resolve};
use crate::http::endpoint::{Endpoint, authorization};
use crate::http::error::{Fault, Phase, TlsFault};
use crate::http::proxy::Proxy;
use crate::http::secret::Secret;
use crate::http::socket::{
    Channel, PreparedConnection, Socket, TEXT_TIME, Trace, UnusedResolver, Wire, interruption_of,
};
use crate::http::url::Scheme;
use crate::text::answer_start;

/// How we name ourselves.
pub(crate) const USER_AGENT: &str = concat!("pushwrap/", env!("CARGO_PKG_VERSION"));
/// The headers of a body in that format.
pub(crate) const TEXT: &[(&str, &str)] = &[("content-type", CONTENT_TYPE)];
/// The most of an error's text that is read: the Pushgateway puts its reason last, after every bucket of a histogram.
pub(crate) const TEXT_MAX: usize = 1 << 20;
/// The request line and our headers beside what a setting makes long, in bytes.
const HEAD_ROOM: usize = 1024;
/// The most that is read of a proxy's answer to CONNECT, in bytes.
const TUNNEL_HEAD_MAX: usize = 64 * 1024;
/// The part of a body that is sent at once, in bytes.
const BODY_PART: usize = 64 * 1024;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    /// Path and query, sent byte for byte.
    pub(crate) target: &'a str,
    pub(crate) body: Option<&'a [u8]>,
    /// The headers that describe the body; not sent without one.
    pub(crate) kind: &'static [(&'static str, &'static str)],
    /// What is wanted of a successful answer's body.
    pub(crate) wanted: Wanted<'a>,
}

/// What is wanted of a successful answer's body.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Nothing: the status line says it all.
    Nothing,
    /// At most this much, in memory.
    Text(usize),
    /// All of it, read as it comes in.
    Stream(&'a Take<'a>),
}

/// Reads a body as it comes in, together with the server's own time of day. It is called again when a try broke off, and its
/// errors are those of the body; it keeps its own errors about the contents.
pub(crate) type Take<'t> = dyn Fn(&mut dyn Read, Option<SystemTime>) -> std::io::Result<()> + 't;

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Text(most) => write!(f, "Text({most})"),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    /// The body: of a success as much as was wanted and one byte more, else its first MiB.
    pub(crate) text: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The files and settings that all tries of a delivery share, read once.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    gateway: &'a Endpoint,
    timer: Arc<Timer>,
    pub(crate) proxy: Option<Proxy>,
    authorization: Option<Secret>,
    tls: Option<tls::Prepared>,
    /// A second try asks the same addresses: the first lookup may have taken half of the budget.
    addresses: Mutex<Vec<SocketAddr>>,
}

impl<'a> Route<'a> {
    /// Reads every setting and every file the gateway needs. Only https reads certificates.
    pub(crate) fn prepare(gateway: &'a Endpoint, timer: &Arc<Timer>) -> Result<Self, Fault> {
        let tls = match gateway.url.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(tls::prepare(&gateway.tls, timer)?),
        };
        Ok(Self {
            gateway,
            timer: Arc::clone(timer),
            proxy: gateway.proxy.choose(&gateway.url)?,
            authorization: authorization(gateway, timer)?,
            tls,
            addresses: Mutex::default(),
        })
    }

    pub(crate) fn details(&self) -> Vec<String> {
        self.tls.as_ref().map(|tls| tls.details.clone()).unwrap_or_default()
    }

    /// Waits for the addresses of the gateway or its proxy. No share of the budget bounds this: asking again would not make
    /// the resolver faster.
    pub(crate) fn look_up(&self) -> Result<(), Fault> {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            let (host, port) = match &self.proxy {
                Some(proxy) => (&proxy.host, proxy.port),
                None => (self.gateway.url.host(), self.gateway.url.port()),
            };
            *known = resolve(host, port, &self.timer).map_err(|error| match error {
                LookupError::Failed(text) => Fault::Lookup(text),
                LookupError::Halted(interruption) => stopped_or(interruption, Phase::Lookup),
            })?;
        }
        Ok(())
    }

    /// One try.
    pub(crate) fn ask(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        let wire = self.open(request)?;
        self.timer.limit_step(self.timer.left());
        let trace = wire.trace();
        let asked = self.exchange(wire, request);
        let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        match (asked, trace.status()) {
            (Ok(answer), _) => Ok(answer),
            // Its status line is there: what broke afterwards undoes nothing.
            (Err(_), Some(status)) if matches!(request.wanted, Wanted::Nothing) || !(200..300).contains(&status) => {
                Ok(Answer {
                    status,
                    location: String::new(),
                    content_type: String::new(),
                    retry_after: None,
                    text: Vec::new(),
                })
            }
            (Err(error), _) => Err(fault_of(&error, &trace)),
        }
    }

    fn open(&self, request: &Request<'_>) -> Result<Wire, Fault> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connected = Socket::connect(&addresses, &self.timer);
        let mut socket = connected.map_err(|error| match (interruption_of(&error), &self.proxy) {
            (Some(interruption), _) => stopped_or(interruption, Phase::Connect),
            (None, Some(proxy)) => Fault::Connect(format!("proxy '{}': {}", proxy.address(), plain(&error))),
            (None, None) => Fault::Connect(plain(&error)),
        })?;
        let mut absolute = None;
        let channel = match (&self.tls, &self.proxy) {
            (None, None) => Channel::Plain(socket),
            (None, Some(_)) => {
                absolute = Some(self.gateway.url.origin());
                Channel::Plain(socket)
            }
            (Some(tls), proxy) => {
                if let Some(proxy) = proxy {
                    self.tunnel(proxy, &mut socket)?;
                }
                let client = tls::client(&tls.config, self.gateway.url.host())?;
                handshake(client, socket)?
            }
        };
        Ok(Wire::new(channel, absolute, self.room(request)))
    }

    /// How much of the request is made at once, in bytes: its whole head, and a small body too. What is not needed is not taken,
    /// because ureq writes zeros to all of it.
    fn room(&self, request: &Request<'_>) -> usize {
        let users =
            self.gateway.headers.iter().map(|header| header.name.len() + header.value.expose().len() + ": \r\n".len());
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.authorization.as_ref());
        let secrets = self.authorization.iter().chain(proxy).map(|secret| secret.expose().len());
        let head = users.chain(secrets).sum::<usize>() + self.gateway.url.origin().len() + request.target.len();
        HEAD_ROOM + head + request.body.map_or(0, |body| body.len().min(BODY_PART))
    }

    /// CONNECT (RFC 9110, section 9.3.6). Until TLS begins the gateway says nothing, so nothing of its can be swallowed here.
    fn tunnel(&self, proxy: &Proxy, socket: &mut Socket) -> Result<(), Fault> {
        let target = format!("{}:{}", self.gateway.url.host(), self.gateway.url.port());
        let credentials = proxy.authorization.as_ref();
        let credentials =
            credentials.map(|secret| format!("Proxy-Authorization: {}\r\n", secret.expose())).unwrap_or_default();
        let head = Secret::from(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n{credentials}\r\n"
        ));
        let broken = |error: std::io::Error| broken(&error, Phase::Tunnel);
        socket.write_all(head.expose().as_bytes()).map_err(broken)?;
        let mut trace = Trace::default();
        let mut piece = [0; 512];
        while !ends_head(&trace.received) && trace.received.len() < TUNNEL_HEAD_MAX {
            match socket.read(&mut piece).map_err(broken)? {
                0 => break,
                amount => trace.received.extend_from_slice(&piece[..amount]),
            }
        }
        match trace.status() {
            Some(200..=299) if ends_head(&trace.received) => Ok(()),
            Some(status) => Err(Fault::Proxy { status }),
            None if trace.received.is_empty() => Err(Fault::Reset(Phase::Tunnel)),
            None => Err(Fault::NotHttp(format!("the proxy answers {}, which is not HTTP", beginning(&trace.received)))),
        }
    }

    /// ureq's part: the request's bytes, the answer's head and body.
    fn exchange(&self, wire: Wire, request: &Request<'_>) -> Result<Answer, ureq::Error> {
        let config = ureq::config::Config::builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .accept("")
            .user_agent("")
            .build();
        let agent = ureq::Agent::with_parts(config, PreparedConnection::new(wire), UnusedResolver);
        let uri = format!("{}{}", self.gateway.url.origin(), request.target);
        let mut message = http::Request::builder().method(request.method).uri(uri).body(())?;
        *message.headers_mut() = self.headers(request)?;
        let response = match request.body {
            Some(body) => agent.run(message.map(|()| body)),
            None => agent.run(message),
        }?;
        self.read(response, request)
    }

    fn headers(&self, request: &Request<'_>) -> Result<HeaderMap, http::Error> {
        let mut headers = HeaderMap::new();
        for header in &self.gateway.headers {
            let mut value = HeaderValue::from_bytes(header.value.expose().as_bytes())?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_bytes(header.name.as_bytes())?, value);
        }
        let proxy = self.proxy.as_ref().filter(|_| self.tls.is_none());
        let own = [
            ("user-agent", Some(USER_AGENT)),
            ("connection", Some("close")),
            ("authorization", self.authorization.as_ref().map(Secret::expose)),
            ("proxy-authorization", proxy.and_then(|proxy| proxy.authorization.as_ref()).map(Secret::expose)),
        ];
        let kind = request.body.map(|_| request.kind).unwrap_or_default();
        for (name, value) in kind.iter().map(|(name, value)| (*name, Some(*value))).chain(own) {
            if let Some(value) = value
                && !headers.contains_key(name)
            {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes())?);
            }
        }
        Ok(headers)
    }

    fn read(&self, response: Response<ureq::Body>, request: &Request<'_>) -> Result<Answer, ureq::Error> {
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
        };
        let status = response.status().as_u16();
        let (location, content_type, asked) = (header("location"), header("content-type"), header("retry-after"));
        let success = response.status().is_success();
        let date = httpdate::parse_http_date(&header("date")).ok();
        let wanted = if success { request.wanted } else { Wanted::Text(TEXT_MAX) };
        let mut text = Vec::new();
        if let Wanted::Stream(take) = wanted {
            take(&mut response.into_body().into_reader(), date)?;
        } else if let Wanted::Text(wanted) = wanted {
            if !success {
                self.timer.limit_step(TEXT_TIME.min(self.timer.left_of_step()));
            }
            let most = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(1);
            let read = response.into_body().into_reader().take(most).read_to_end(&mut text);
            if let (Err(error), true) = (read, success) {
                return Err(error.into());
            }
            // A refusal that breaks off has said enough: the status is what counts.
        }
        Ok(Answer { status, location, content_type, retry_after: retry_after::parse(&asked, SystemTime::now()), text })
    }
}

fn ends_head(received: &[u8]) -> bool {
    received.windows(4).any(|window| window == b"\r\n\r\n")
}

fn handshake(mut client: ClientConnection, mut socket: Socket) -> Result<Channel, Fault> {
    while client.is_handshaking() {
        client.complete_io(&mut socket).map_err(|error| broken(&error, Phase::Handshake))?;
    }
    Ok(Channel::Tls(Box::new(client), socket))
}

fn stopped_or(interruption: Interruption, phase: Phase) -> Fault {
    match interruption {
        Interruption::Stopped => Fault::Stopped,
        Interruption::TimedOut => Fault::Timeout(phase),
    }
}

/// An error on a connection that was there.
fn broken(error: &std::io::Error, phase: Phase) -> Fault {
    if let Some(interruption) = interruption_of(error) {
        return stopped_or(interruption, phase);
    }
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Fault::Tls(tls::fault(error));
    }
    Fault::Reset(phase)
}

/// The fault behind an error of ureq's, given the bytes that came back before it.
fn fault_of(error: &ureq::Error, trace: &Trace) -> Fault {
    let phase = if trace.sent { Phase::Answer } else { Phase::Send };
    if let ureq::Error::Io(error) = error
        && (interruption_of(error).is_some()
            || error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>))
    {
        return match broken(error, phase) {
            // What TLS 1.3 servers send when the handshake was complete for us, but not for them.
            Fault::Tls(TlsFault::NoCommonCipher) => Fault::Tls(TlsFault::WantsCertificate),
            other => other,
        };
    }
    match error {
        ureq::Error::Io(_) if trace.cut => Fault::Reset(Phase::Send),
        ureq::Error::Io(error) if trace.received.is_empty() => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Fault::EmptyReply,
            _ => Fault::Reset(phase),
        },
        ureq::Error::Io(_) if trace.received.starts_with(b"HTTP/") => Fault::Reset(Phase::Answer),
        ureq::Error::Http(error) => Fault::Setup(format!("the request cannot be sent: {error}")),
        _ if trace.received.is_empty() => Fault::Internal(error.to_string()),
        _ => Fault::NotHttp(format!("it answers {}, which is not HTTP", beginning(&trace.received))),
    }
}

/// The first line of what came back, short.
fn beginning(received: &[u8]) -> String {
    let line = received.split(|byte| *byte == b'\n').next().unwrap_or_default();
    format!("'{}'", answer_start(&line[..line.len().min(60)]))
}

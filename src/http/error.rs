//! What can go wrong with a delivery, and the one line that says so. What is done about it is decided in `retry`; the remedies
//! are in `explain`.

use std::fmt;
use std::time::Duration;

use crate::text::cut_middle;

/// How far a try had come when time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Another pushwrap sends a push of the same group.
    Queue,
    /// Reading password, token or certificate files.
    Setup,
    /// Name resolution.
    Lookup,
    /// The TCP connection.
    Connect,
    /// The proxy's answer to CONNECT.
    Tunnel,
    /// In the TLS handshake.
    Handshake,
    /// The peer did not take all of the request.
    Send,
    /// The request was sent, no status line came.
    Answer,
    /// Nobody knows: the delivery did not even keep its own deadline (a file system that hangs) and was let go.
    LetGo,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "another pushwrap was still sending a push of this group when time was up",
            Self::Setup => "time was up before the settings were read",
            Self::Lookup => "the lookup of its name took too long",
            Self::Connect => "no connection in time",
            Self::Tunnel => "the proxy did not answer in time",
            Self::Handshake => "connected, but the TLS handshake took too long",
            Self::Send => "connected, but it did not take the request in time",
            Self::Answer => "connected and sent, but no answer came in time",
            Self::LetGo => "time was up, and it did not end",
        })
    }
}

/// What went wrong with a try, or with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A password, token, certificate, key or proxy setting cannot be used. The text says which and why.
    Setup(String),
    /// The name could not be resolved; with the resolver's own text.
    Lookup(String),
    /// No TCP connection.
    Connect(String),
    /// Time was up.
    Timeout(Phase),
    /// The connection broke off after it was made.
    Reset(Phase),
    /// The gateway hung up without a byte of answer to a complete request.
    EmptyReply,
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls(TlsFault),
    /// What came back is not HTTP.
    NotHttp(String),
    /// What came back is not what a Pushgateway answers there.
    NotGateway(String),
    /// An answer that is no success.
    Status {
        /// The status code.
        status: u16,
        /// All that the server said, harmless to print; a message quotes its beginning and its end.
        text: String,
        /// The pause that the server asked for.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    Redirect {
        /// The status code.
        status: u16,
        /// Where to, harmless to print; empty when the server did not say.
        location: String,
    },
    /// The proxy refused the tunnel.
    Proxy {
        /// The proxy's status code.
        status: u16,
    },
    /// The push was refused as a part of a merged push, and a newer push alone was taken.
    Superseded,
    /// A newer run of the group was reported before this push could be sent.
    Overtaken,
    /// The caller stopped the delivery.
    Stopped,
    /// A defect of ours or of a library.
    Internal(String),
}

/// Why TLS failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// The peer does not speak TLS.
    NotTls,
    /// Nobody we trust signed its certificate.
    Untrusted,
    /// Its certificate is for other names; the text lists them.
    WrongName(String),
    /// Its certificate is not valid at this time.
    Expired,
    /// The server wants a client certificate.
    WantsCertificate,
    /// The server does not accept our client certificate.
    RefusedCertificate,
    /// Its certificate has no right to be a server's (RFC 5280, section 4.2.1.12).
    WrongPurpose,
    /// Its certificate is of X.509 version 1, which webpki refuses and OpenSSL takes.
    OldCertificate,
    /// Its certificate or one of its issuers has a key or a signature that the TLS library does not know, such as P-521 or SHA-1.
    UnsupportedKey,
    /// The server shares no cipher suite, key exchange or signature with us: only those with forward secrecy (ECDHE) are offered.
    NoCommonCipher,
    /// The server speaks no TLS newer than 1.1.
    OldVersion,
    /// Anything else, in rustls's wording.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(text) | Self::NotHttp(text) | Self::NotGateway(text) | Self::Connect(text) => f.write_str(text),
            Self::Lookup(text) => write!(f, "cannot resolve its name: {text}"),
            Self::Timeout(phase) => write!(f, "{phase}"),
            Self::Reset(Phase::Send) => f.write_str("it broke the connection off before it had taken the request"),
            Self::Reset(Phase::Handshake) => f.write_str("it broke the connection off in the TLS handshake"),
            Self::Reset(Phase::Tunnel) => f.write_str("the proxy broke the connection off"),
            Self::Reset(_) => f.write_str("it broke the connection off before it answered"),
            Self::EmptyReply => f.write_str("it closed the connection without an answer"),
            Self::Tls(fault) => write!(f, "{fault}"),
            Self::Status { status, text, .. } => {
                f.write_str(&named(*status))?;
                if text.is_empty() { Ok(()) } else { write!(f, ": {}", cut_middle(text)) }
            }
            Self::Redirect { status, location } if location.is_empty() => write!(f, "{}", named(*status)),
            Self::Redirect { status, location } => write!(f, "{} to '{location}'", named(*status)),
            Self::Proxy { status } => write!(f, "the proxy refuses: {}", named(*status)),
            Self::Superseded => {
                f.write_str("it was refused together with a newer push of this group, and a newer one stands")
            }
            Self::Overtaken => f.write_str("a newer run of this group was reported first, and its report stands"),
            Self::Stopped => f.write_str("stopped before it was done"),
            Self::Internal(text) => write!(f, "a defect of pushwrap: {text}"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("it does not speak TLS"),
            Self::Untrusted => f.write_str("its certificate is signed by nobody that is trusted here"),
            Self::WrongName(names) => write!(f, "its certificate is for {names}"),
            Self::Expired => f.write_str("its certificate is expired or not yet valid"),
            Self::WantsCertificate => f.write_str("it wants a client certificate"),
            Self::RefusedCertificate => f.write_str("it does not accept the client certificate"),
            Self::WrongPurpose => f.write_str("its certificate is not one for a server (extendedKeyUsage)"),
            Self::OldCertificate => f.write_str("its certificate is of X.509 version 1"),
            Self::UnsupportedKey => f.write_str(
                "its certificate has a kind of key or signature that is not supported, such as P-521 or SHA-1",
            ),
            Self::NoCommonCipher => {
                f.write_str("it shares no cipher suite or kind of key with pushwrap, which offers only ECDHE with AEAD, and no P-521")
            }
            Self::OldVersion => f.write_str("it speaks no newer TLS than 1.1"),
            Self::Other(text) => write!(f, "TLS failed: {text}"),
        }
    }
}

/// `400 Bad Request`.
pub(crate) fn named(status: u16) -> String {
    let reason = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

/// A delivery that failed for good. Its `Display` is one line: what, where, why, and the remedy when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong with the last try.
    pub fault: Fault,
    /// How often it was tried.
    pub tries: u32,
    pub(crate) intent: &'static str,
    pub(crate) gateway: String,
    pub(crate) remedy: Option<String>,
}

impl Failure {
    /// The gateway's address, without credentials.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The remedy.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} '{}'", self.intent, self.gateway)?;
        if self.tries > 1 {
            write!(f, " in {} tries", self.tries)?;
        }
        write!(f, ": {}", self.fault)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::{Failure, Fault};

    fn status(status: u16) -> Fault {
        Fault::Status { status, text: String::new(), retry_after: None }
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure {
            fault: Fault::Status { status: 400, text: "no".to_owned(), retry_after: None },
            tries: 1,
            intent: "push to",
            gateway: "http://gw:9091".to_owned(),
            remedy: Some("do it".to_owned()),
        };
        assert_eq!(failure.to_string(), "cannot push to 'http://gw:9091': 400 Bad Request: no (do it)");
        let failure = Failure { fault: status(799), tries: 3, remedy: None, ..failure };
        assert_eq!(failure.to_string(), "cannot push to 'http://gw:9091' in 3 tries: 799");
    }
}

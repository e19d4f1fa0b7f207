//! The one table of what is done after a fault: whether the request is made again, whether a stored push is kept, and which part
//! of the request may be the reason. Everything that reacts to a fault asks here.

use crate::http::error::{Fault, Phase};

/// How often the same request is made again for one push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Until the budget is spent.
    Always,
    /// Twice in a row: longer only hides the reason.
    Twice,
    /// Not by this run: it was stopped. The next run may succeed with the same request.
    Later,
    /// Not at all: the answer would be the same.
    Never,
}

/// Which part of the request may be the reason of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Network, server, proxy, credentials or settings: every request would fail.
    Elsewhere,
    /// The body: another one may be taken at the same address.
    Body,
    /// The length of the body: a shorter one may be taken in the same time.
    BodyLength,
    /// Method, path and query: a request for another group may be taken.
    Target,
    /// The body or the target. The server's answer may tell which.
    BodyOrTarget,
}

/// What is done after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// How often the same request is made again for one push.
    pub retry: Retry,
    /// Whether a stored push waits for a later run, which sends it again.
    pub keep: bool,
    /// Which part of the request may be the reason.
    pub blame: Blame,
}

impl Decision {
    /// Whether the fault may pass by itself, so that the same request may succeed later.
    #[must_use]
    pub fn may_pass(self) -> bool {
        self.retry != Retry::Never
    }

    /// Whether another body may be taken at the same address.
    #[must_use]
    pub fn body_is_to_blame(self) -> bool {
        matches!(self.blame, Blame::Body | Blame::BodyOrTarget)
    }

    /// Whether a request for another group may be taken.
    #[must_use]
    pub fn target_is_to_blame(self) -> bool {
        matches!(self.blame, Blame::Target | Blame::BodyOrTarget)
    }
}

impl Fault {
    /// What is done after this fault.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "a row of the table is one reason")]
    pub fn decision(&self) -> Decision {
        let (retry, keep, blame) = match self {
            // Name service, network and server may be up again in a moment.
            Self::Lookup(_) | Self::Connect(_) | Self::Reset(_) => (Retry::Always, true, Blame::Elsewhere),
            // The server was too slow, perhaps only for so long a body.
            Self::Timeout(Phase::Send | Phase::Answer) => (Retry::Always, true, Blame::BodyLength),
            // One try took its share of the time; the next one may be faster.
            Self::Timeout(_) => (Retry::Always, true, Blame::Elsewhere),
            // Pushgateway 1.11.0 panics while it logs a refusal and hangs up (prometheus/pushgateway issue 766).
            Self::EmptyReply => (Retry::Twice, true, Blame::Body),
            // The Pushgateway refuses metrics and grouping keys with the same status.
            Self::Status { status: 400, .. } => (Retry::Never, false, Blame::BodyOrTarget),
            // Too large, or of a content that is not understood (RFC 9110, sections 15.5.14 and 15.5.21).
            Self::Status { status: 413 | 422, .. } => (Retry::Never, false, Blame::Body),
            // URI or header fields too long (RFC 9110, section 15.5.15; RFC 6585, section 5). Kept: a server in front of the
            // gateway has such limits, and they can be raised.
            Self::Status { status: 414 | 431, .. } => (Retry::Never, true, Blame::Target),
            // Request Timeout, Too Many Requests and everything that is an error of the server or of a proxy.
            Self::Status { status: 408 | 429 | 500..=599, .. } | Self::Proxy { status: 408 | 429 | 500..=599 } => {
                (Retry::Always, true, Blame::Elsewhere)
            }
            // The other 4xx answer the same the next time, until somebody changes credentials, address or server.
            Self::Status { .. } | Self::Proxy { .. } => (Retry::Never, true, Blame::Elsewhere),
            // A redirect that is not followed: of the base URL, or of one path that a server in front of the gateway rewrites.
            Self::Redirect { .. } => (Retry::Never, true, Blame::Target),
            // A newer push of the group has been taken: this one would be older than what stands.
            Self::Superseded | Self::Overtaken => (Retry::Never, false, Blame::Elsewhere),
            // The caller stopped the delivery; the server said nothing.
            Self::Stopped => (Retry::Later, true, Blame::Elsewhere),
            // Somebody has to mend settings, certificates, the address or pushwrap.
            Self::Setup(_) | Self::Tls(_) | Self::NotHttp(_) | Self::NotGateway(_) | Self::Internal(_) => {
                (Retry::Never, true, Blame::Elsewhere)
            }
        };
        Decision { retry, keep, blame }
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame, Decision, Retry};
    use crate::http::error::{Fault, Phase, TlsFault};

    fn decided(fault: &Fault) -> (Retry, bool, Blame) {
        let Decision { retry, keep, blame } = fault.decision();
        (retry, keep, blame)
    }

    fn status(status: u16) -> Fault {
        Fault::Status { status, text: String::new(), retry_after: None }
    }

    #[test]
    fn network_and_time_are_tried_again() {
        let text = String::new;
        for fault in [Fault::Lookup(text()), Fault::Connect(text()), Fault::Reset(Phase::Answer)] {
            assert_eq!(decided(&fault), (Retry::Always, true, Blame::Elsewhere), "{fault:?}");
        }
        for phase in [Phase::Setup, Phase::Lookup, Phase::Connect, Phase::Tunnel, Phase::Handshake, Phase::LetGo] {
            assert_eq!(decided(&Fault::Timeout(phase)), (Retry::Always, true, Blame::Elsewhere), "{phase:?}");
        }
        for phase in [Phase::Send, Phase::Answer] {
            assert_eq!(decided(&Fault::Timeout(phase)), (Retry::Always, true, Blame::BodyLength), "{phase:?}");
        }
        assert_eq!(decided(&Fault::EmptyReply), (Retry::Twice, true, Blame::Body));
    }

    #[test]
    fn a_status_decides_by_its_number() {
        for code in [408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(decided(&status(code)), (Retry::Always, true, Blame::Elsewhere), "{code}");
            assert_eq!(decided(&Fault::Proxy { status: code }), (Retry::Always, true, Blame::Elsewhere), "{code}");
        }
        for code in [100, 301, 308, 401, 403, 404, 405, 407, 425, 600] {
            assert_eq!(decided(&status(code)), (Retry::Never, true, Blame::Elsewhere), "{code}");
        }
        assert_eq!(decided(&status(400)), (Retry::Never, false, Blame::BodyOrTarget));
        for code in [413, 422] {
            assert_eq!(decided(&status(code)), (Retry::Never, false, Blame::Body), "{code}");
        }
        for code in [414, 431] {
            assert_eq!(decided(&status(code)), (Retry::Never, true, Blame::Target), "{code}");
        }
        for code in [400, 407, 413, 414, 422] {
            let decision = decided(&Fault::Proxy { status: code });
            assert_eq!(decision, (Retry::Never, true, Blame::Elsewhere), "the proxy has not seen the request: {code}");
        }
    }

    #[test]
    fn what_somebody_has_to_mend_is_kept_and_not_tried_again() {
        let text = String::new;
        for fault in [
            Fault::Setup(text()),
            Fault::Tls(TlsFault::Untrusted),
            Fault::NotHttp(text()),
            Fault::NotGateway(text()),
            Fault::Internal(text()),
        ] {
            assert_eq!(decided(&fault), (Retry::Never, true, Blame::Elsewhere), "{fault:?}");
        }
        assert_eq!(decided(&Fault::Redirect { status: 301, location: text() }), (Retry::Never, true, Blame::Target));
    }

    #[test]
    fn what_was_stopped_is_for_later_and_what_was_overtaken_for_nobody() {
        assert_eq!(decided(&Fault::Stopped), (Retry::Later, true, Blame::Elsewhere));
        for fault in [Fault::Superseded, Fault::Overtaken] {
            assert_eq!(decided(&fault), (Retry::Never, false, Blame::Elsewhere));
        }
    }

    #[test]
    fn a_decision_answers_three_questions() {
        let of = |fault: &Fault| {
            let decision = fault.decision();
            (decision.may_pass(), decision.body_is_to_blame(), decision.target_is_to_blame())
        };
        assert_eq!(of(&status(400)), (false, true, true));
        assert_eq!(of(&status(413)), (false, true, false));
        assert_eq!(of(&status(414)), (false, false, true));
        assert_eq!(of(&Fault::EmptyReply), (true, true, false));
        assert_eq!(of(&Fault::Timeout(Phase::Answer)), (true, false, false));
        assert_eq!(of(&Fault::Stopped), (true, false, false));
        assert_eq!(of(&status(401)), (false, false, false));
    }
}

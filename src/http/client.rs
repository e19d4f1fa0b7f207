//! Requests to one server under one deadline: tries and pauses, by the table of `retry`, and redirects within the origin. Whatever
//! happens below, a panic included, comes back as a value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::http::deadline::{Cancel, Deadline, Timer};
use crate::http::endpoint::Endpoint;
use crate::http::error::{Failure, Fault, Phase, named};
use crate::http::exchange::{Answer, Request, Route, Wanted};
use crate::http::retry::Retry;
use crate::text::{answer_start, answer_text, panic_text, span};

/// A connection may use all of what is left when that is no more than this; else half.
const WHOLE: Duration = Duration::from_millis(500);
/// The first pause between tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a redirect within the origin is followed.
const HOPS: u32 = 3;

/// A fault and what to do about it.
pub(crate) type Explained = (Fault, Option<String>);

/// Makes requests to one server: tries, pauses and redirects.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) timer: Arc<Timer>,
    intent: &'static str,
    /// How often a request was made.
    pub(crate) tries: u32,
    /// Whether a try was given up unanswered: the server may apply that one later.
    pub(crate) unanswered: bool,
}

impl<'a> Client<'a> {
    /// `intent` is the verb of messages: `push to`.
    pub(crate) fn new(endpoint: &'a Endpoint, intent: &'static str, deadline: Deadline, cancel: &Cancel) -> Self {
        let timer = Arc::new(Timer::new(deadline, cancel.clone()));
        Self { endpoint, timer, intent, tries: 0, unanswered: false }
    }

    /// Turns a fault or a panic into a failure.
    pub(crate) fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Explained>) -> Result<T, Failure> {
        // The closure leaves nothing behind that anybody uses after a panic but the count of tries.
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        let (fault, remedy) = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failed)) => failed,
            Err(panic) => (Fault::Internal(panic_text(panic.as_ref())), None),
        };
        let gateway = self.endpoint.url.to_string();
        Err(Failure { fault, tries: self.tries, intent: self.intent, gateway, remedy })
    }

    /// Tries until it works, or until the table or the deadline says no. The fault is the last one that says something.
    pub(crate) fn ask(&mut self, route: &Route<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
        let mut earlier: Option<Fault> = None;
        let mut empty = 0;
        let mut was_reached = false;
        for round in 0.. {
            self.tries += 1;
            let done = self.one_try(route, request);
            self.tell(request, &done);
            let fault = match done {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            self.unanswered |= matches!(fault, Fault::Timeout(Phase::Answer) | Fault::Stopped);
            let (retry, asked) = (fault.decision().retry, pause_asked(&fault));
            empty = if fault == Fault::EmptyReply { empty + 1 } else { 0 };
            let again = match retry {
                Retry::Always => true,
                Retry::Twice => empty <= 2,
                Retry::Later | Retry::Never => false,
            };
            // A last try that had no time says less than the answer before it.
            let says_less = matches!(fault, Fault::Timeout(_) | Fault::Stopped) && earlier.is_some();
            let last = if says_less { earlier.take().unwrap_or(fault) } else { fault };
            was_reached |= !matches!(last, Fault::Lookup(_) | Fault::Connect(_));
            let patience = if was_reached { Some(self.timer.left()) } else { self.timer.patience_left(round) };
            let Some(patience) = patience.filter(|_| again && !self.timer.is_shortened()) else { return Err(last) };
            let left = self.timer.left();
            let pause = pause(round, asked, left).min(patience.max(FIRST_PAUSE));
            if pause >= left || self.timer.sleep(pause).is_err() {
                return Err(last);
            }
            earlier = Some(last);
        }
        Err(earlier.unwrap_or(Fault::Timeout(Phase::Setup)))
    }

    /// Reports the result of one try, and how much of the budget is left.
    fn tell(&self, request: &Request<'_>, done: &Result<Answer, Fault>) {
        self.endpoint.console.debug(|| {
            let came = match done {
                Ok(answer) => named(answer.status),
                Err(fault) => fault.to_string(),
            };
            let Self { endpoint, tries, timer, .. } = self;
            format!("try {tries}, {} '{}': {came} ({} left)", request.method, endpoint.url, span(timer.left()))
        });
    }

    /// One try. Its connection gets half of what is left of the budget, so that a second one has a chance; its request keeps
    /// waiting for its answer, because a busy gateway works on with every copy that it gets. Redirects within the origin belong
    /// to it.
    fn one_try(&self, route: &Route<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
        self.timer.limit_step(self.timer.left());
        route.look_up()?;
        let left = self.timer.left();
        self.timer.limit_step(if left <= WHOLE { left } else { left / 2 });
        let mut target = request.target.to_owned();
        let mut status = 0;
        for _ in 0..=HOPS {
            let answer = route.ask(&Request { target: &target, ..*request })?;
            if answer.is_success() && is_web_page(&answer) && matches!(request.wanted, Wanted::Nothing) {
                return Err(Fault::NotGateway(format!("it answers {} with a web page", named(answer.status))));
            }
            if answer.is_success() {
                return Ok(answer);
            }
            // The method and the body survive 307 and 308 only (RFC 9110, section 15.4).
            let next = match answer.status {
                307 | 308 => self.endpoint.url.same_origin_target(&answer.location),
                _ => None,
            };
            status = answer.status;
            match next {
                Some(next) => target = next,
                None => return Err(refused(&answer)),
            }
        }
        Err(Fault::Redirect { status, location: answer_start(target.as_bytes()) })
    }
}

/// An answer that is no success, as a fault.
fn refused(answer: &Answer) -> Fault {
    match answer.status {
        status @ 300..=399 => Fault::Redirect { status, location: answer_start(answer.location.as_bytes()) },
        status => Fault::Status { status, text: answer_text(&answer.text), retry_after: answer.retry_after },
    }
}

/// Whether somebody's web page came back: a login form, or the front page of another server.
fn is_web_page(answer: &Answer) -> bool {
    answer.content_type.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// How long the server asked to be left alone.
fn pause_asked(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Status { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// How long to wait before the next try: doubling, with jitter, so that a thousand jobs do not come back at the same moment. Near
/// the end of the budget shorter, but what the server asked for is kept.
fn pause(round: u32, asked: Option<Duration>, left: Duration) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << round.min(10)).min(LONGEST_PAUSE);
    let jittered = full.mul_f64(0.5 + fastrand::f64() / 2.0);
    match asked {
        Some(asked) => asked.saturating_add(jittered / 2),
        None => jittered.min((left / 2).max(FIRST_PAUSE)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, LONGEST_PAUSE, pause};

    #[test]
    fn pauses_double_with_jitter_and_fit_what_is_left() {
        let long = Duration::from_mins(10);
        for round in 0..20 {
            let full = Duration::from_millis(100 << round.min(10)).min(LONGEST_PAUSE);
            let pause = pause(round, None, long);
            assert!(pause >= full / 2 && pause <= full, "{round} {pause:?}");
        }
        assert!(pause(9, None, Duration::from_secs(1)) <= Duration::from_millis(500));
        let asked = pause(0, Some(Duration::from_secs(30)), Duration::from_secs(1));
        assert!(asked >= Duration::from_secs(30), "Retry-After is kept even where it cannot be waited for");
    }
}

//! A delivery: tries, pauses, redirects and the fallback body, all under one deadline. Whatever happens below, a panic included, it comes
//! back as a value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::exposition::{Family, encode};
use crate::http::Endpoint;
use crate::http::deadline::{Cancel, Deadline, Timer};
use crate::http::error::{Failure, Fault, Phase, Retry};
use crate::http::exchange::{Answer, Request, Route, TEXT, Take, Wanted};
use crate::sink::explain::conflict;
use crate::sink::explain::held::Held;
use crate::sink::explain::{context, table};
use crate::sink::remote_write::{self, RemoteWrite};
use crate::sink::{Method, Push};
use crate::text::{panic_text, quote};

/// A try may use all of what is left when that is no more than this; else half.
const WHOLE: Duration = Duration::from_millis(500);
/// The first pause between tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long and how much of the gateway's page is read to explain a refusal.
const PAGE_TIME: Duration = Duration::from_secs(1);
const PAGE_MAX: usize = 8 << 20;
/// What reading is called in a message.
pub(crate) const READING: &str = "read from";
/// What is refused where the fallback body is taken.
pub(crate) const OWN_ALONE: &str = "the command's metrics, only the run's own metrics were pushed";
/// How often a redirect within the origin is followed.
const HOPS: u32 = 3;

/// A push that the gateway has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its answer's status, 200 to 299; none where nobody answers, as a file does not.
    pub status: Option<u16>,
    /// How often it was tried, the refused body included.
    pub tries: u32,
    /// What was refused and what the gateway said about it, where not everything was taken.
    pub own_only: Option<String>,
    /// What is worth saying although it worked.
    pub notes: Vec<String>,
}

impl Delivered {
    /// The status in brackets, for the end of a sentence.
    #[must_use]
    pub fn status_in_brackets(&self) -> String {
        self.status.map_or_else(String::new, |status| format!(" ({status})"))
    }

    /// What has to be said where not everything was taken.
    #[must_use]
    pub fn refused(&self, url: &str) -> Option<String> {
        self.own_only.as_ref().map(|refusal| format!("'{url}' refused {refusal}"))
    }
}

/// Pushes to one gateway and comes back when the deadline is there at the latest, or soon after the caller asked through
/// `cancel`.
///
/// # Errors
///
/// Why the gateway has not taken it, with what to do about it.
pub fn deliver(gateway: &Endpoint, push: &Push, deadline: Deadline, cancel: &Cancel) -> Result<Delivered, Failure> {
    deliver_watched(gateway, push, deadline, cancel).0
}

/// Delivers, and tells whether a try was given up unanswered: the gateway may apply that one later.
pub(crate) fn deliver_watched(
    gateway: &Endpoint,
    push: &Push,
    deadline: Deadline,
    cancel: &Cancel,
) -> (Result<Delivered, Failure>, bool) {
    let intent = match push.method {
        Method::Add | Method::Replace => "push to",
        Method::Delete => "delete the group at",
    };
    send(Delivery::new(gateway, intent, deadline, cancel), push)
}

/// The same by remote write, whose target is the whole address.
pub(crate) fn deliver_remote_write(
    remote: &RemoteWrite,
    push: &Push,
    deadline: Deadline,
    cancel: &Cancel,
) -> (Result<Delivered, Failure>, bool) {
    let delivery = Delivery::new(&remote.endpoint, "write to", deadline, cancel);
    send(Delivery { protocol: Protocol::RemoteWrite, ..delivery }, push)
}

fn send(mut delivery: Delivery<'_>, push: &Push) -> (Result<Delivered, Failure>, bool) {
    let gateway = delivery.gateway;
    let done = guarded(&mut delivery, |delivery| {
        let route = Route::prepare(gateway, &delivery.timer).map_err(|fault| (fault, None))?;
        delivery.push(&route, push)
    });
    (done, delivery.unanswered)
}

/// Reads `path` below the gateway's base: `take` gets the answer's body as it comes in, and the server's time of day.
///
/// # Errors
///
/// Why it could not be read.
pub(crate) fn fetch(gateway: &Endpoint, path: &str, deadline: Deadline, take: &Take<'_>) -> Result<(), Failure> {
    let target = gateway.url.target(path);
    let mut delivery = Delivery::new(gateway, READING, deadline, &Cancel::new());
    guarded(&mut delivery, |delivery| {
        let route = Route::prepare(gateway, &delivery.timer).map_err(|fault| (fault, None))?;
        let request = Request { method: "GET", target: &target, body: None, kind: &[], wanted: Wanted::Stream(take) };
        delivery.ask(&route, &request).map(drop).map_err(|fault| {
            let remedy = table::remedy(&fault, &context::RefusalContext::reading(gateway, &route));
            (fault, remedy)
        })
    })
}

/// Turns what went wrong into a failure; a panic too.
fn guarded<T>(
    delivery: &mut Delivery<'_>,
    work: impl FnOnce(&mut Delivery<'_>) -> Result<T, (Fault, Option<String>)>,
) -> Result<T, Failure> {
    // The closure leaves nothing behind that anybody uses after a panic but the count of tries.
    let done = catch_unwind(AssertUnwindSafe(|| work(delivery)));
    let (fault, remedy) = match done {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failed)) => failed,
        Err(panic) => (Fault::Internal(panic_text(panic.as_ref())), None),
    };
    Err(Failure { fault, tries: delivery.tries, intent: delivery.intent, gateway: delivery.shown.clone(), remedy })
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Pushgateway,
    RemoteWrite,
}

struct Delivery<'a> {
    gateway: &'a Endpoint,
    protocol: Protocol,
    timer: Arc<Timer>,
    intent: &'static str,
    shown: String,
    tries: u32,
    unanswered: bool,
}

impl<'a> Delivery<'a> {
    fn new(gateway: &'a Endpoint, intent: &'static str, deadline: Deadline, cancel: &Cancel) -> Self {
        let timer = Arc::new(Timer::new(deadline, cancel.clone()));
        let (protocol, shown) = (Protocol::Pushgateway, gateway.url.to_string());
        Self { gateway, protocol, timer, intent, shown, tries: 0, unanswered: false }
    }

    fn push(&mut self, route: &Route<'_>, push: &Push) -> Result<Delivered, (Fault, Option<String>)> {
        let protocol = self.protocol;
        let (method, kind, target) = match protocol {
            Protocol::Pushgateway => (push.method.name(), TEXT, self.gateway.url.target(&push.key.path())),
            Protocol::RemoteWrite => (Method::Add.name(), remote_write::KIND, self.gateway.url.target("")),
        };
        let with = |delivery: &mut Self, body: Option<&[u8]>| {
            delivery.ask(route, &Request { method, target: &target, body, kind, wanted: Wanted::Nothing })
        };
        let encoded = |families: &[&Family<'_>]| {
            let body = match protocol {
                Protocol::Pushgateway if push.method == Method::Delete => return Ok(None),
                Protocol::Pushgateway => encode(families.iter().copied()),
                Protocol::RemoteWrite => remote_write::encode(families, &push.key).map_err(|fault| (fault, None))?,
            };
            Ok(Some(body))
        };
        let body = encoded(&push.families().collect::<Vec<_>>())?;
        let mut refusal = match with(self, body.as_deref()) {
            Ok(answer) => return Ok(self.delivered(route, &answer, None)),
            Err(fault) => fault,
        };
        let own_only = |delivery: &Self, answer: &Answer, what: &str, refusal: Fault| {
            let (refusal, remedy) = delivery.explained(route, push, refusal);
            let remedy = remedy.map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            Ok(delivery.delivered(route, answer, Some(format!("{what}: {refusal}{remedy}"))))
        };
        drop(body);
        let own_alone = push.own_alone();
        let falls_back = !push.own.is_empty() && !push.command.is_empty() && table::may_blame_metrics(&refusal);
        if falls_back {
            let body = encoded(&own_alone.iter().collect::<Vec<_>>())?;
            match with(self, body.as_deref()) {
                Ok(answer) => {
                    return own_only(self, &answer, OWN_ALONE, refusal);
                }
                // Without the command's metrics the gateway says what is really wrong.
                Err(second @ Fault::Status { .. }) if second.retry() == Retry::Never => refusal = second,
                Err(_) => return Err(self.explained(route, push, refusal)),
            }
        }
        let sent: Vec<&Family<'_>> = if falls_back { own_alone.iter().collect() } else { push.families().collect() };
        if let Some(run_info) = conflict::refused_run_info(&refusal, push) {
            let rest: Vec<&Family<'_>> = sent.into_iter().filter(|family| family.name() != run_info).collect();
            if let Ok(answer) = with(self, encoded(&rest)?.as_deref()) {
                let what = "run_info, whose labels another group has in its grouping key; the rest was pushed";
                return own_only(self, &answer, what, refusal);
            }
        }
        Err(self.explained(route, push, refusal))
    }

    /// The fault with what to do about it.
    fn explained(&self, route: &Route<'_>, push: &Push, fault: Fault) -> (Fault, Option<String>) {
        if self.protocol == Protocol::RemoteWrite && remote_write::differs(&fault) {
            let remedy = remote_write::remedy(&fault);
            return (fault, remedy);
        }
        let held = match &fault {
            Fault::Status { status: 400, text, .. } if conflict::asks_for_groups(text) => self.held(route, text),
            _ => Held::default(),
        };
        let remedy = table::remedy(&fault, &context::RefusalContext::of(self.gateway, route, push, held));
        (fault, remedy)
    }

    /// What the gateway holds, for an explanation: when its page cannot be had quickly, nothing.
    fn held(&self, route: &Route<'_>, text: &str) -> Held {
        self.timer.limit_step(PAGE_TIME.min(self.timer.left() / 2));
        let target = self.gateway.url.target("/metrics");
        let request = Request { method: "GET", target: &target, body: None, kind: &[], wanted: Wanted::Text(PAGE_MAX) };
        match route.ask(&request) {
            // Of a page that is cut off nobody knows what it does not have.
            Ok(page) if page.status == 200 && page.text.len() <= PAGE_MAX => Held::on(&page.text, text),
            _ => Held::default(),
        }
    }

    fn delivered(&self, route: &Route<'_>, answer: &Answer, own_only: Option<String>) -> Delivered {
        Delivered { status: Some(answer.status), tries: self.tries, own_only, notes: route.notes() }
    }

    /// Tries until it works, or until the table or the deadline says no. The fault is the last one that says something.
    fn ask(&mut self, route: &Route<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
        let mut told: Option<Fault> = None;
        let mut empty = 0;
        for round in 0.. {
            self.tries += 1;
            let fault = match self.one_try(route, request) {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            self.unanswered |= matches!(fault, Fault::Timeout(Phase::Answer) | Fault::Stopped);
            let (retry, asked) = (fault.retry(), pause_asked(&fault));
            empty = if fault == Fault::EmptyReply { empty + 1 } else { 0 };
            let again = match retry {
                Retry::Always => true,
                Retry::Twice => empty <= 2,
                Retry::Never => false,
            };
            // A last try that had no time says less than the answer before it.
            let says_less = matches!(fault, Fault::Timeout(_) | Fault::Stopped) && told.is_some();
            let last = if says_less { told.take().unwrap_or(fault) } else { fault };
            if !again || self.timer.is_shortened() {
                return Err(last);
            }
            let left = self.timer.left();
            let pause = pause(round, asked, left);
            if pause >= left || self.timer.sleep(pause).is_err() {
                return Err(last);
            }
            told = Some(last);
        }
        Err(told.unwrap_or(Fault::Timeout(Phase::Setup)))
    }

    /// One try, which gets half of what is left of the budget, so that a second one has a chance. Redirects within the origin
    /// belong to it.
    fn one_try(&self, route: &Route<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
        self.timer.limit_step(self.timer.left());
        route.look_up()?;
        let left = self.timer.left();
        self.timer.limit_step(if left <= WHOLE { left } else { left / 2 });
        let mut target = request.target.to_owned();
        let mut status = 0;
        for _ in 0..=HOPS {
            let answer = route.ask(&Request { target: &target, ..*request })?;
            if answer.is_success() {
                return Ok(answer);
            }
            // The method and the body survive 307 and 308 only (RFC 9110, section 15.4).
            let next = match answer.status {
                307 | 308 => self.gateway.url.same_origin_target(&answer.location),
                _ => None,
            };
            status = answer.status;
            match next {
                Some(next) => target = next,
                None => return Err(refused(&answer)),
            }
        }
        Err(Fault::Redirect { status, location: quote(target.as_bytes()) })
    }
}

/// An answer that is no success, as a fault.
fn refused(answer: &Answer) -> Fault {
    match answer.status {
        status @ 300..=399 => Fault::Redirect { status, location: quote(answer.location.as_bytes()) },
        status => Fault::Status { status, text: quote(&answer.text), retry_after: answer.retry_after },
    }
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

//! A push to a server: the whole; where the server refuses it because of the command's metrics, the whole without the families
//! that it refuses; at last the run's own metrics alone. At most three requests, all under one deadline.

use std::time::Duration;

use crate::exposition::{Family, HeldTypes, TypeConflict, held_types, reconcile_types};
use crate::http::Endpoint;
use crate::http::client::{Client, Explained};
use crate::http::error::Fault;
use crate::http::exchange::{Answer, Request, Route, Wanted};
use crate::http::retry::Blame;
use crate::sink::delivered::{Delivered, DeliveryResult, Limits, OWN_ALONE};
use crate::sink::explain::held::Held;
use crate::sink::explain::{conflict, context, table};
use crate::sink::push::{Method, Push};

/// No more requests are made for one push; each may be tried again.
const MOST_REQUESTS: u32 = 3;
/// How long and how much of the gateway's page is read to explain a refusal.
const PAGE_TIME: Duration = Duration::from_secs(1);
const PAGE_MAX: usize = 8 << 20;
/// Metrics larger than this may be what a server does not take in time.
const LARGE: usize = 64 << 10;
/// How much of the budget then belongs to the run's own metrics, at most.
const LAST_PART: Duration = Duration::from_secs(2);
/// So many families that were left out are named.
const MOST_NAMED: usize = 10;

/// Where in the protocol of a server a push goes.
pub(crate) struct RequestHead {
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) target: String,
    /// The headers that describe the body.
    pub(crate) kind: &'static [(&'static str, &'static str)],
}

/// The remedy for a fault at one kind of server.
pub(crate) enum ReceiverRemedy {
    /// The remedy of the Pushgateway's table.
    AsAtGateway,
    /// This text; the Pushgateway's table does not apply.
    Own(&'static str),
    /// Nothing is known; the Pushgateway's table does not apply.
    Unknown,
}

/// A server that takes pushes.
pub(crate) trait Receiver {
    fn endpoint(&self) -> &Endpoint;
    /// The verb of messages: `push to`.
    fn intent(&self, method: Method) -> &'static str;
    fn head(&self, push: &Push) -> RequestHead;
    /// The body of a request; none for a method without one.
    fn encode(&self, families: &[&Family<'_>], push: &Push) -> Result<Option<Vec<u8>>, Fault>;
    /// Where the types that other groups hold can be read.
    fn page(&self) -> Option<String>;
    /// The remedy for a fault.
    fn remedy(&self, fault: &Fault) -> ReceiverRemedy;
}

/// Pushes, and comes back when the deadline is there at the latest, or soon after the caller asked for it.
pub(crate) fn transfer(receiver: &dyn Receiver, push: &Push, limits: Limits<'_>) -> DeliveryResult {
    let mut client = client(receiver, push, limits);
    let mut unanswered = false;
    let result = client.guarded(|client| {
        let head = receiver.head(push);
        let body = receiver.encode(&push.families().collect::<Vec<_>>(), push).map_err(|fault| (fault, None))?;
        let is_large = body.as_ref().is_some_and(|body| body.len() > LARGE) && push.can_fall_back();
        if !is_large {
            return Transfer { receiver, push, head, client, page: None }.run(body);
        }
        // The last part of the budget is that of the run's own metrics.
        let reserved = LAST_PART.min(limits.deadline.left() / 4);
        let deadline = limits.deadline.earlier(reserved);
        let mut first = self::client(receiver, push, Limits { deadline, ..limits });
        let done = Transfer { receiver, push, head: receiver.head(push), client: &mut first, page: None }.run(body);
        unanswered = first.unanswered;
        client.tries = first.tries;
        match done {
            Err((fault, _)) if fault.decision().blame == Blame::BodyLength => {
                Transfer { receiver, push, head, client, page: None }.run_own_alone(&fault)
            }
            done => done,
        }
    });
    DeliveryResult { result, unanswered: unanswered || client.unanswered, said: Vec::new() }
}

fn client<'a>(receiver: &'a dyn Receiver, push: &Push, limits: Limits<'_>) -> Client<'a> {
    Client::new(receiver.endpoint(), receiver.intent(push.method), limits.deadline, limits.cancel)
}

/// The part of a push that is sent in one request.
struct Selection<'p> {
    push: &'p Push,
    /// The command's families; none where the run's own metrics go alone.
    command: Option<Vec<Family<'p>>>,
    /// The name of the run's own `run_info` where that is refused.
    without: Option<String>,
    retyped: Vec<TypeConflict>,
    left_out: Vec<LeftOut>,
}

/// A family that is not sent.
struct LeftOut {
    name: String,
    why: String,
}

impl Selection<'_> {
    fn samples(&self) -> u64 {
        self.command.iter().flatten().map(|family| family.samples().len() as u64).sum()
    }

    /// The run's own families, which tell what is sent with them.
    fn own(&self) -> Vec<Family<'_>> {
        let own = match &self.command {
            None => self.push.own_alone(),
            Some(_) => self.push.own_with(self.samples(), self.left_out.len() as u64),
        };
        own.into_iter().filter(|family| self.without.as_deref() != Some(family.name())).collect()
    }
}

struct Transfer<'t, 'a> {
    receiver: &'t dyn Receiver,
    push: &'t Push,
    head: RequestHead,
    client: &'t mut Client<'a>,
    /// The gateway's page, once it was asked for.
    page: Option<Vec<u8>>,
}

impl<'t> Transfer<'t, '_> {
    fn run(&mut self, body: Option<Vec<u8>>) -> Result<Delivered, Explained> {
        let endpoint = self.client.endpoint;
        let route = Route::prepare(endpoint, &self.client.timer).map_err(|fault| (fault, None))?;
        let fault = match self.send(&route, body.as_deref()) {
            Ok(answer) => {
                let samples = Some(self.push.command.samples());
                return Ok(Delivered { samples, ..self.delivered(&route, &answer) });
            }
            Err(fault) => fault,
        };
        let Some(mut selection) = self.next(&route, None, &fault) else {
            return Err(self.explained(&route, fault, body.as_deref()));
        };
        let refusal = self.explained(&route, fault, body.as_deref());
        drop(body);
        for number in 2..=MOST_REQUESTS {
            let fault = match self.send_selection(&route, &selection) {
                Ok(answer) => return Ok(self.in_part(&route, &answer, &selection, &refusal)),
                Err(fault) => fault,
            };
            let next = if number < MOST_REQUESTS { self.next(&route, Some(&selection), &fault) } else { None };
            // The last try decides what becomes of the push, and not the refusal before it.
            let Some(next) = next else { return Err(self.explained(&route, fault, None)) };
            selection = next;
        }
        Err(refusal)
    }

    /// The run's own metrics, where the whole was not taken in time.
    fn run_own_alone(&mut self, fault: &Fault) -> Result<Delivered, Explained> {
        let route = Route::prepare(self.client.endpoint, &self.client.timer).map_err(|fault| (fault, None))?;
        let selection = Selection { push: self.push, command: None, without: None, retyped: vec![], left_out: vec![] };
        match self.send_selection(&route, &selection) {
            Ok(answer) => {
                let why = "did not take the command's metrics in time, only the run's own metrics were pushed";
                let own_only = Some(format!("{why}: {fault}"));
                Ok(Delivered { own_only, samples: Some(0), ..self.delivered(&route, &answer) })
            }
            Err(fault) => Err(self.explained(&route, fault, None)),
        }
    }

    fn send_selection(&mut self, route: &Route<'_>, selection: &Selection<'_>) -> Result<Answer, Fault> {
        let own = selection.own();
        let families: Vec<&Family<'_>> = own.iter().chain(selection.command.iter().flatten()).collect();
        let body = self.receiver.encode(&families, self.push)?;
        self.send(route, body.as_deref())
    }

    fn send(&mut self, route: &Route<'_>, body: Option<&[u8]>) -> Result<Answer, Fault> {
        let RequestHead { method, target, kind } = &self.head;
        self.client.ask(route, &Request { method, target, body, kind, wanted: Wanted::Nothing })
    }

    /// What is sent after a request with `sent` (the whole where none) was refused; none where nothing less can be taken.
    fn next(&mut self, route: &Route<'_>, sent: Option<&Selection<'t>>, fault: &Fault) -> Option<Selection<'t>> {
        let is_complete = sent.is_none();
        let without = sent.and_then(|sent| sent.without.clone());
        if let Some(run_info) = conflict::refused_run_info(fault, self.push).filter(|_| without.is_none()) {
            let command = match sent {
                Some(sent) => sent.command.clone(),
                None => Some(self.push.command.families().to_vec()),
            };
            let without = Some(run_info);
            return Some(Selection { push: self.push, command, without, retyped: vec![], left_out: vec![] });
        }
        if self.push.command.is_empty() || !table::may_blame_metrics(fault) {
            return None;
        }
        if is_complete && let Some(selection) = self.reconciled(route, fault) {
            return Some(selection);
        }
        let has_command = sent.is_none_or(|sent| sent.command.is_some());
        (has_command && self.push.can_fall_back()).then(|| Selection {
            push: self.push,
            command: None,
            without,
            retyped: vec![],
            left_out: vec![],
        })
    }

    /// The push with the types that other groups hold, and without the families for which that is not possible.
    fn reconciled(&mut self, route: &Route<'_>, fault: &Fault) -> Option<Selection<'t>> {
        let Fault::Status { status: 400, text, .. } = fault else { return None };
        if !conflict::asks_for_groups(text) {
            return None;
        }
        let (push, endpoint) = (self.push, self.client.endpoint);
        let page = self.page(route);
        let held: HeldTypes = match page {
            Some(page) => held_types(page, push.key.labels()),
            None => HeldTypes::new(),
        };
        let reconciled = reconcile_types(push.command.families().to_vec(), &held);
        let mut left_out: Vec<LeftOut> = Vec::new();
        for conflict in &reconciled.left_out {
            let group = page.map(|page| conflict::holder_of(page, conflict, endpoint, push.key.labels()));
            let why = match group.flatten() {
                Some(remedy) => format!("{conflict} ({remedy})"),
                None => conflict.to_string(),
            };
            left_out.push(LeftOut { name: conflict.family.clone(), why });
        }
        // What the page does not show the answer may name.
        let named = conflict::named_families(text);
        let (families, refused): (Vec<_>, Vec<_>) = reconciled.families.into_iter().partition(|family| {
            let is_named = named.iter().any(|name| name == family.name());
            !is_named || reconciled.retyped.iter().any(|retyped| retyped.family == family.name())
        });
        let unexplained = |family: Family<'_>| LeftOut {
            name: family.name().to_owned(),
            why: format!("the gateway refuses it as a {}", family.kind().name()),
        };
        left_out.extend(refused.into_iter().map(unexplained));
        let is_less = !left_out.is_empty() || !reconciled.retyped.is_empty();
        let is_something = !push.own.is_empty() || !families.is_empty();
        (is_less && is_something).then_some(Selection {
            push,
            command: Some(families),
            without: None,
            retyped: reconciled.retyped,
            left_out,
        })
    }

    /// The gateway's page: when it cannot be had quickly, nothing.
    fn page(&mut self, route: &Route<'_>) -> Option<&[u8]> {
        if self.page.is_none() {
            let target = self.receiver.page()?;
            let timer = &self.client.timer;
            timer.limit_step(PAGE_TIME.min(timer.left() / 2));
            let wanted = Wanted::Text(PAGE_MAX);
            let request = Request { method: "GET", target: &target, body: None, kind: &[], wanted };
            let answer = route.ask(&request).ok();
            // Of a page that is cut off nobody knows what it does not have.
            let page = answer.filter(|page| page.status == 200 && page.text.len() <= PAGE_MAX);
            self.page = Some(page.map(|page| page.text).unwrap_or_default());
        }
        self.page.as_deref().filter(|page| !page.is_empty())
    }

    /// The fault with what to do about it, and with the line of the metrics file that it is about.
    fn explained(&mut self, route: &Route<'_>, fault: Fault, body: Option<&[u8]>) -> Explained {
        match self.receiver.remedy(&fault) {
            ReceiverRemedy::AsAtGateway => {}
            ReceiverRemedy::Own(remedy) => return (fault, Some(remedy.to_owned())),
            ReceiverRemedy::Unknown => return (fault, None),
        }
        let held = match &fault {
            Fault::Status { status: 400, text, .. } if conflict::asks_for_groups(text) => {
                self.page(route).map(|page| Held::on(page, text))
            }
            _ => None,
        };
        let context = context::RefusalContext::of(self.client.endpoint, route, self.push, held.unwrap_or_default());
        let remedy = table::remedy(&fault, &context);
        let origin = conflict::origin_of(&fault, self.push, body);
        let remedy = match (remedy, origin) {
            (Some(remedy), Some(origin)) => Some(format!("{origin}; {remedy}")),
            (remedy, origin) => origin.or(remedy),
        };
        (fault, remedy)
    }

    fn delivered(&self, route: &Route<'_>, answer: &Answer) -> Delivered {
        Delivered {
            status: Some(answer.status),
            tries: self.client.tries,
            details: route.details(),
            ..Delivered::default()
        }
    }

    fn in_part(
        &self,
        route: &Route<'_>,
        answer: &Answer,
        selection: &Selection<'_>,
        (refusal, remedy): &Explained,
    ) -> Delivered {
        let mut delivered = self.delivered(route, answer);
        delivered.samples = Some(selection.samples());
        let remedy = remedy.as_ref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
        delivered.own_only = match (&selection.command, &selection.without) {
            (None, _) => Some(format!("{OWN_ALONE}: {refusal}{remedy}")),
            (_, Some(_)) => Some(format!(
                "refused run_info, whose labels another group has in its grouping key; the rest was pushed: \
                 {refusal}{remedy}"
            )),
            _ => None,
        };
        if delivered.own_only.is_none() {
            let more = selection.left_out.len().saturating_sub(MOST_NAMED);
            let said = selection.left_out.iter().take(MOST_NAMED).map(|LeftOut { name, why }| {
                let origin = self.push.command.origin(name).map(|origin| format!(" ({origin})")).unwrap_or_default();
                format!("'{name}'{origin}, and the rest was pushed: {why}")
            });
            delivered.left_out = said.collect();
            if more > 0 {
                delivered.left_out.push(format!("{more} more families"));
            }
        }
        delivered.details.extend(
            selection
                .retyped
                .iter()
                .map(|conflict| format!("'{}' was pushed as a {}: {conflict}", conflict.family, conflict.held.name())),
        );
        delivered
    }
}

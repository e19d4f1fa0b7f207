//! A Pushgateway, or what speaks like one: a group is changed by POST, PUT or DELETE of its path, with text as the body.

use crate::exposition::{Family, encode};
use crate::http::client::Client;
use crate::http::error::{Failure, Fault};
use crate::http::exchange::{Request, Route, TEXT, Take, Wanted};
use crate::http::{Cancel, Deadline, Endpoint};
use crate::sink::delivered::{Delivered, Limits};
use crate::sink::explain::{context, table};
use crate::sink::push::{Method, Push};
use crate::sink::transfer::{Receiver, ReceiverRemedy, RequestHead, transfer};

/// The verb of messages about reading.
pub(crate) const READING: &str = "read from";

/// A Pushgateway as a receiver of pushes.
pub(crate) struct Pushgateway<'e>(pub(crate) &'e Endpoint);

impl Receiver for Pushgateway<'_> {
    fn endpoint(&self) -> &Endpoint {
        self.0
    }

    fn intent(&self, method: Method) -> &'static str {
        match method {
            Method::Add | Method::Replace => "push to",
            Method::Delete => "delete the group at",
        }
    }

    fn head(&self, push: &Push) -> RequestHead {
        let target = self.0.url.target(&push.key.path());
        RequestHead { method: push.method.name(), target, kind: TEXT }
    }

    fn encode(&self, families: &[&Family<'_>], push: &Push) -> Result<Option<Vec<u8>>, Fault> {
        Ok((push.method != Method::Delete).then(|| encode(families.iter().copied())))
    }

    fn page(&self) -> Option<String> {
        Some(self.0.url.target("/metrics"))
    }

    fn remedy(&self, _: &Fault) -> ReceiverRemedy {
        ReceiverRemedy::AsAtGateway
    }
}

/// Pushes to one gateway and comes back when the deadline is there at the latest, or soon after the caller asked through
/// `cancel`.
///
/// # Errors
///
/// Why the gateway has not taken the push, with the remedy.
pub fn deliver(gateway: &Endpoint, push: &Push, deadline: Deadline, cancel: &Cancel) -> Result<Delivered, Failure> {
    transfer(&Pushgateway(gateway), push, Limits { deadline, cancel }).result
}

/// Reads `path` below the gateway's base: `take` gets the answer's body as it comes in, and the server's time of day.
///
/// # Errors
///
/// Why it could not be read.
pub(crate) fn fetch(gateway: &Endpoint, path: &str, deadline: Deadline, take: &Take<'_>) -> Result<(), Failure> {
    let target = gateway.url.target(path);
    let mut client = Client::new(gateway, READING, deadline, &Cancel::new());
    client.guarded(|client| {
        let route = Route::prepare(gateway, &client.timer).map_err(|fault| (fault, None))?;
        let request = Request { method: "GET", target: &target, body: None, kind: &[], wanted: Wanted::Stream(take) };
        client.ask(&route, &request).map(drop).map_err(|fault| {
            let remedy = table::remedy(&fault, &context::RefusalContext::reading(gateway, &route));
            (fault, remedy)
        })
    })
}

//! The facts that a remedy may name: the endpoint, the push, and what the gateway holds.

use super::held::Held;
use crate::grouping::GroupingKey;
use crate::http::Endpoint;
use crate::http::auth::Credentials;
use crate::http::exchange::Route;
use crate::http::proxy::Proxy;
use crate::http::url::BaseUrl;
use crate::sink::push::Push;

/// The facts that a remedy may name.
#[derive(Debug)]
pub(crate) struct RefusalContext<'a> {
    pub(super) gateway: &'a Endpoint,
    pub(super) proxy: Option<String>,
    pub(super) push: Option<&'a Push>,
    pub(super) held: Held,
    /// Errors of the system's root certificates.
    pub(super) details: Vec<String>,
}

impl<'a> RefusalContext<'a> {
    /// About a push; `held` is what the gateway holds, where it was asked.
    pub(crate) fn of(gateway: &'a Endpoint, route: &Route<'_>, push: &'a Push, held: Held) -> Self {
        Self { push: Some(push), held, ..Self::reading(gateway, route) }
    }

    /// About a page that was asked for.
    pub(crate) fn reading(gateway: &'a Endpoint, route: &Route<'_>) -> Self {
        let proxy = route.proxy.as_ref().map(Proxy::address);
        Self { gateway, proxy, push: None, held: Held::default(), details: route.details() }
    }

    /// The group that was pushed to.
    pub(crate) fn key(&self) -> Option<&GroupingKey> {
        self.push.map(|push| &push.key)
    }

    /// What the gateway holds, where it was asked.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// The gateway's address, without credentials.
    pub(crate) fn url(&self) -> &BaseUrl {
        &self.gateway.url
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.gateway.credentials != Credentials::None
            || self.gateway.url.user_info().is_some()
            || self.gateway.headers.iter().any(|header| header.name().eq_ignore_ascii_case("authorization"))
    }
}

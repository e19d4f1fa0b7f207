//! A gateway's `/metrics` page, read to learn which types its groups hold: for `check`, which pushes nothing.

use std::cell::Cell;
use std::io::Read;

use super::explain::conflict::holder_of;
use super::pushgateway::{READING, fetch};
use crate::exposition::{HeldTypes, TypeConflict, held_types};
use crate::http::Endpoint;
use crate::http::deadline::Deadline;
use crate::http::error::{Failure, Fault};

const PATH: &str = "/metrics";
/// A larger page belongs to a gateway with far too many groups.
const PAGE_MAX: usize = 256 << 20;
/// A metric that every Pushgateway has on its page, however empty it is.
const BUILD: &[u8] = b"pushgateway_build_info";

/// The groups and types on a gateway's `/metrics` page.
#[derive(Debug)]
pub struct HeldPage<'g> {
    gateway: &'g Endpoint,
    page: Vec<u8>,
    /// The types of all its families.
    pub types: HeldTypes,
}

impl<'g> HeldPage<'g> {
    /// Reads the page of `gateway`. All groups count, because `check` has no group of its own.
    ///
    /// # Errors
    /// Why it could not be read, or that no Pushgateway answers there.
    pub fn read(gateway: &'g Endpoint, deadline: Deadline) -> Result<Self, Failure> {
        let found = Cell::new(Vec::new());
        fetch(gateway, PATH, deadline, &|body, _| {
            let mut page = Vec::new();
            body.take(PAGE_MAX as u64 + 1).read_to_end(&mut page)?;
            found.set(page);
            Ok(())
        })?;
        let page = found.take();
        let is_gateway = page.windows(BUILD.len()).any(|part| part == BUILD);
        let wrong = match page.len() {
            0..=PAGE_MAX if is_gateway => None,
            0..=PAGE_MAX => Some(format!("its page '{PATH}' is not that of a Pushgateway")),
            _ => Some(format!("its page '{PATH}' is larger than {} MiB", PAGE_MAX >> 20)),
        };
        if let Some(what) = wrong {
            let gateway = gateway.url.to_string();
            return Err(Failure { fault: Fault::NotGateway(what), tries: 1, intent: READING, gateway, remedy: None });
        }
        // No group has a label without a name, so none is taken for the own one, and the gateway's own metrics count too.
        let types = held_types(&page, &[(String::new(), "nobody".to_owned())]);
        Ok(Self { gateway, page, types })
    }

    /// Which group holds the other type, and what to do about it.
    #[must_use]
    pub fn remedy(&self, conflict: &TypeConflict) -> Option<String> {
        holder_of(&self.page, conflict, self.gateway, &[])
    }
}

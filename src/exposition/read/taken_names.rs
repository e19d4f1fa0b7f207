//! Names that are taken: by the caller's own metrics, by the Pushgateway itself, and by the parts of histograms and
//! summaries. A family that takes such a name makes the gateway refuse everything that comes with it.

use std::collections::HashMap;

use crate::exposition::diagnostic::Problem;
use crate::exposition::model::{Kind, Suffix, gateway_kind, is_gateways_own};

/// The names that are taken so far.
#[derive(Debug)]
pub(super) struct TakenNames<'c> {
    reserved: &'c [String],
    taken: HashMap<String, Kind>,
}

impl<'c> TakenNames<'c> {
    pub(super) fn new(reserved: &'c [String]) -> Self {
        Self { reserved, taken: HashMap::new() }
    }

    /// Whether a family may have this name; for one without a type, the type that it has to get.
    pub(super) fn admit<'n>(&self, name: &'n [u8], kind: Kind) -> Result<Kind, Problem<'n>>
    where
        'c: 'n,
    {
        let text = std::str::from_utf8(name).unwrap_or_default();
        if self.reserved.iter().any(|other| other == text) {
            return Err(Problem::Reserved(name));
        }
        if is_gateways_own(text) {
            return Err(Problem::PushTime(name));
        }
        match gateway_kind(text) {
            Some(Kind::Summary) if kind != Kind::Summary => return Err(Problem::GatewayType(name, Kind::Summary)),
            Some(other) if kind == Kind::Untyped => return Ok(other),
            Some(other) if kind != other => return Err(Problem::GatewayType(name, other)),
            _ => {}
        }
        match self.collision(text, kind) {
            Some(_) => Err(Problem::Collision(name)),
            None => Ok(kind),
        }
    }

    /// Takes a name.
    pub(super) fn take(&mut self, name: &[u8], kind: Kind) {
        self.taken.insert(String::from_utf8_lossy(name).into_owned(), kind);
    }

    /// The name that cannot stand beside this one (`client_golang`, `checkSuffixCollisions`).
    fn collision(&self, name: &str, kind: Kind) -> Option<String> {
        for suffix in Suffix::PARTS {
            if let Some(base) = name.strip_suffix(suffix.as_str())
                && self.kind_of(base).is_some_and(|kind| kind.is_composite() && kind.has_part(suffix))
            {
                return Some(base.to_owned());
            }
            if kind.is_composite() && kind.has_part(suffix) {
                let part = format!("{name}{}", suffix.as_str());
                if self.kind_of(&part).is_some() {
                    return Some(part);
                }
            }
        }
        None
    }

    /// The type of a name that is taken. The caller's own metrics are gauges and counters.
    fn kind_of(&self, name: &str) -> Option<Kind> {
        let reserved = || self.reserved.iter().any(|other| other == name).then_some(Kind::Gauge);
        self.taken.get(name).copied().or_else(|| gateway_kind(name)).or_else(reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, TakenNames};

    #[test]
    fn collisions_are_found_from_both_sides() {
        let reserved = ["own_count".to_owned()];
        let mut names = TakenNames::new(&reserved);
        names.take(b"wait", Kind::Summary);
        names.take(b"late_sum", Kind::Gauge);
        assert!(names.admit(b"wait_count", Kind::Counter).is_err());
        assert!(names.admit(b"wait_bucket", Kind::Counter).is_ok());
        assert!(names.admit(b"late", Kind::Histogram).is_err());
        assert!(names.admit(b"own", Kind::Histogram).is_err());
        assert!(names.admit(b"own_count", Kind::Gauge).is_err());
        assert!(names.admit(b"go_gc_duration_seconds_count", Kind::Untyped).is_err());
        assert_eq!(names.admit(b"process_open_fds", Kind::Untyped), Ok(Kind::Gauge));
        assert!(names.admit(b"process_open_fds", Kind::Counter).is_err());
        assert!(names.admit(b"push_time_seconds", Kind::Gauge).is_err());
    }
}

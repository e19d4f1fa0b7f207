//! Names that are taken: by the caller's own metrics, by the Pushgateway itself, and by the parts of histograms and
//! summaries. A family that takes such a name makes the gateway refuse everything that comes with it.

use std::collections::HashMap;

use super::model::{Kind, Suffix};
use super::problem::Problem;

/// What the Pushgateway exposes about itself, sorted: the union of the `/metrics` pages of 1.5.1, 1.11.0 and 1.11.2. It
/// refuses a push in which one of these has another type ("should have GAUGE").
const GATEWAY: [(&str, Kind); 44] = [
    ("go_gc_duration_seconds", Kind::Summary),
    ("go_gc_gogc_percent", Kind::Gauge),
    ("go_gc_gomemlimit_bytes", Kind::Gauge),
    ("go_goroutines", Kind::Gauge),
    ("go_info", Kind::Gauge),
    ("go_memstats_alloc_bytes", Kind::Gauge),
    ("go_memstats_alloc_bytes_total", Kind::Counter),
    ("go_memstats_buck_hash_sys_bytes", Kind::Gauge),
    ("go_memstats_frees_total", Kind::Counter),
    ("go_memstats_gc_cpu_fraction", Kind::Gauge),
    ("go_memstats_gc_sys_bytes", Kind::Gauge),
    ("go_memstats_heap_alloc_bytes", Kind::Gauge),
    ("go_memstats_heap_idle_bytes", Kind::Gauge),
    ("go_memstats_heap_inuse_bytes", Kind::Gauge),
    ("go_memstats_heap_objects", Kind::Gauge),
    ("go_memstats_heap_released_bytes", Kind::Gauge),
    ("go_memstats_heap_sys_bytes", Kind::Gauge),
    ("go_memstats_last_gc_time_seconds", Kind::Gauge),
    ("go_memstats_lookups_total", Kind::Counter),
    ("go_memstats_mallocs_total", Kind::Counter),
    ("go_memstats_mcache_inuse_bytes", Kind::Gauge),
    ("go_memstats_mcache_sys_bytes", Kind::Gauge),
    ("go_memstats_mspan_inuse_bytes", Kind::Gauge),
    ("go_memstats_mspan_sys_bytes", Kind::Gauge),
    ("go_memstats_next_gc_bytes", Kind::Gauge),
    ("go_memstats_other_sys_bytes", Kind::Gauge),
    ("go_memstats_stack_inuse_bytes", Kind::Gauge),
    ("go_memstats_stack_sys_bytes", Kind::Gauge),
    ("go_memstats_sys_bytes", Kind::Gauge),
    ("go_sched_gomaxprocs_threads", Kind::Gauge),
    ("go_threads", Kind::Gauge),
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_max_fds", Kind::Gauge),
    ("process_network_receive_bytes_total", Kind::Counter),
    ("process_network_transmit_bytes_total", Kind::Counter),
    ("process_open_fds", Kind::Gauge),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
    ("process_virtual_memory_max_bytes", Kind::Gauge),
    ("pushgateway_build_info", Kind::Gauge),
    ("pushgateway_http_push_duration_seconds", Kind::Summary),
    ("pushgateway_http_push_size_bytes", Kind::Summary),
    ("pushgateway_http_requests_total", Kind::Counter),
];

/// Families that the gateway writes into every group, whatever was pushed under these names (its
/// `diskmetricstore.go`, `addPushTimestamp` and `addPushFailedTimestamp`).
pub(super) const PUSH_TIMES: [&str; 2] = ["push_time_seconds", "push_failure_time_seconds"];

/// The beginning of names that are the Pushgateway's own. Some of these metrics are there only after the first request: pushed
/// before that, with whatever type and help text, they are accepted, and then its page is 500 for everybody (measured on a
/// fresh 1.5.1 and 1.11.2 with `pushgateway_http_requests_total`).
const GATEWAY_PREFIX: &str = "pushgateway_";

/// Whether a name is the Pushgateway's own, which nobody may push.
pub(super) fn is_gateways_own(name: &str) -> bool {
    PUSH_TIMES.contains(&name) || name.starts_with(GATEWAY_PREFIX)
}

/// The type of a metric of the Pushgateway's own.
pub(super) fn gateway_kind(name: &str) -> Option<Kind> {
    GATEWAY.binary_search_by_key(&name, |(name, _)| name).ok().and_then(|at| GATEWAY.get(at)).map(|(_, kind)| *kind)
}

/// The names that are taken so far.
#[derive(Debug)]
pub(super) struct Names<'c> {
    reserved: &'c [String],
    taken: HashMap<String, Kind>,
}

impl<'c> Names<'c> {
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
    use super::{GATEWAY, Kind, Names};

    #[test]
    fn the_table_is_sorted() {
        assert!(GATEWAY.is_sorted_by_key(|(name, _)| name));
    }

    #[test]
    fn collisions_are_found_from_both_sides() {
        let reserved = ["own_count".to_owned()];
        let mut names = Names::new(&reserved);
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

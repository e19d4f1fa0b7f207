//! The metrics that a Pushgateway has of its own. Nobody may push them, or only with their type.

use super::kind::Kind;

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
pub(in crate::exposition) const PUSH_TIMES: [&str; 2] = ["push_time_seconds", "push_failure_time_seconds"];

/// The beginning of names that are the Pushgateway's own. Some of these metrics are there only after the first request: pushed
/// before that, with whatever type and help text, they are accepted, and then its page is 500 for everybody (measured on a
/// fresh 1.5.1 and 1.11.2 with `pushgateway_http_requests_total`).
const GATEWAY_PREFIX: &str = "pushgateway_";

/// Whether a name is the Pushgateway's own, which nobody may push.
pub(in crate::exposition) fn is_gateways_own(name: &str) -> bool {
    PUSH_TIMES.contains(&name) || name.starts_with(GATEWAY_PREFIX)
}

/// The type of a metric of the Pushgateway's own.
pub(in crate::exposition) fn gateway_kind(name: &str) -> Option<Kind> {
    GATEWAY.binary_search_by_key(&name, |(name, _)| name).ok().and_then(|at| GATEWAY.get(at)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::GATEWAY;

    #[test]
    fn the_table_is_sorted() {
        assert!(GATEWAY.is_sorted_by_key(|(name, _)| name));
    }
}

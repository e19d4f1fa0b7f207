//! Files of real client libraries (`tests/corpus/real`): what a gateway stores of each when pushwrap pushes it, compared with what it
//! stores of the client's own text form when curl sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Pushgateway, Pushwrap, Version};

/// What the gateway has to hold after a push of a file.
#[derive(Clone, Copy)]
enum Expected {
    /// What it holds of this text form of the same snapshot, taken as it is.
    All(&'static str),
    /// The same but for series whose name contains one of these: the gateway or the client is known to say it in another way.
    AllBut(&'static str, &'static [&'static str]),
    /// The same series as of this text form; the values are those of another moment.
    Series(&'static str),
    /// So many samples: the client has no other form of it, and they were counted in the file.
    Samples(usize),
    /// Nothing of the command's, and a sentence that has this.
    Refused(&'static str),
}

use Expected::{All, AllBut, Refused, Samples, Series};

const FILES: [(&str, Expected); 26] = [
    ("go_otel.prom", All("go_otel.prom")),
    ("go_otel_escaped.prom", All("go_otel_escaped.prom")),
    ("go_otel_nosuffix.om", Samples(22)),
    // It writes no _count, which the gateway stores as 0: pushwrap makes it from the last bucket.
    (
        "go_victoriametrics_process.prom",
        AllBut("go_victoriametrics_process.prom", &["go_sched_latencies_seconds_count"]),
    ),
    ("java_jmx_exporter_gzip.prom", Refused("gzip")),
    ("java_micrometer_boot3.om", Series("java_micrometer_boot3.prom")),
    ("java_micrometer_boot3.prom", All("java_micrometer_boot3.prom")),
    ("java_micrometer_boot3_full.om", Samples(330)),
    // A label `job` of the file's own, which the gateway overwrites, and a histogram without _count.
    (
        "java_micrometer_boot4_full.prom",
        AllBut("java_micrometer_boot4_full.prom", &["extra_gauge_job", "extra_long_task_seconds_count"]),
    ),
    ("java_otel_prometheus.prom", All("java_otel_prometheus.prom")),
    ("java_otel_prometheus_utf8.prom", All("java_otel_prometheus.prom")),
    // Both histograms with 12 and 3 buckets, a counter, a summary with one quantile, a histogram without buckets but +Inf; each
    // has a start timestamp, which is one sample more.
    ("java_prom_client1_composite.om2", Samples(15 + 6 + 2 + 4 + 4)),
    ("java_prom_client1_dotted.prom", All("java_prom_client1_dotted.prom")),
    ("java_prom_client1_protobuf.prom", Refused("protobuf")),
    // Two of them have a start timestamp.
    ("java_prom_client1_types.om2", Samples(36 + 2)),
    // This version of the client writes milliseconds as `_created` in its text form.
    ("java_prom_client1_types_created.om", AllBut("java_prom_client1_types_created.prom", &["_created"])),
    ("java_prom_client1_types_created.prom", All("java_prom_client1_types_created.prom")),
    // An info metric called `target info` the client names without a second `info`.
    ("java_prom_client1_utf8.prom", AllBut("java_prom_client1_dotted.prom", &["target_info"])),
    ("java_simpleclient016_types.om", All("java_simpleclient016_types.prom")),
    ("java_simpleclient016_types.prom", All("java_simpleclient016_types.prom")),
    ("java_spring_batch_failed.om", Samples(101)),
    // Names with a hyphen, which no gateway takes; the one without is kept.
    ("node_otel_prefix.prom", Refused("the name of a metric cannot contain '-'")),
    ("py_locust_csv2openmetrics.om", Samples(4)),
    ("py_otel.om", Series("py_otel.prom")),
    ("py_otel.prom", All("py_otel.prom")),
    ("srv_redis_exporter_live.prom", All("srv_redis_exporter_live.prom")),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/real").join(name)
}

/// Series (without empty labels, which are none) and values of the group on the gateway's page, TYPE lines among them.
fn stored(gateway: &Pushgateway) -> BTreeMap<String, String> {
    let page = gateway.metrics();
    let lines = page.lines().filter(|line| !line.starts_with("push_") && line.contains("job=\"real\""));
    let series: BTreeMap<_, _> = lines.map(series).collect();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let is_held = |name: &str| series.keys().any(|key| key.starts_with(name) && !name.starts_with("push"));
    let types =
        types.filter(|(name, _)| is_held(name)).map(|(name, kind)| (format!("type of {name}"), kind.to_owned()));
    types.collect::<BTreeMap<_, _>>().into_iter().chain(series.clone()).collect()
}

fn series(line: &str) -> (String, String) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let labels = series.replace("instance=\"\",", "").replace("otel_scope_schema_url=\"\",", "");
    (labels, value.to_owned())
}

/// What the gateway holds of a file that it is sent as curl sends it.
fn stored_as_it_is(gateway: &Pushgateway, name: &str) -> BTreeMap<String, String> {
    gateway.wipe();
    gateway.push("PUT", "job/real", &fs::read_to_string(file(name)).unwrap());
    stored(gateway)
}

fn samples(stored: &BTreeMap<String, String>) -> usize {
    stored.keys().filter(|key| !key.starts_with("type of ")).count()
}

#[test]
fn what_a_gateway_stores_of_real_files_is_what_their_clients_say() {
    let listed: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let entries = fs::read_dir(file("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<_> = entries.filter(|name| !name.starts_with("README")).collect();
    assert_eq!(there, listed, "every file has an expected result");

    let gateway = Pushgateway::start(Version::Newest);
    for (name, expected) in FILES {
        gateway.wipe();
        let push = Pushwrap::new().args(["push", "--url", &gateway.url(), "--job", "real", "--instance", "none"]);
        let run = push.arg(file(name)).call();
        let mut found = stored(&gateway);
        if let Refused(said) = expected {
            let _ = run.exit(1).stderr_has(said);
            assert!(samples(&found) <= 1, "{name}: {found:?}");
            continue;
        }
        let _ = run.exit(0);
        match expected {
            All(other) => assert_eq!(found, stored_as_it_is(&gateway, other), "{name}"),
            AllBut(other, parts) => {
                let mut wanted = stored_as_it_is(&gateway, other);
                assert_eq!(samples(&found), samples(&wanted), "{name}");
                wanted.retain(|key, _| !parts.iter().any(|part| key.contains(part)));
                found.retain(|key, _| !parts.iter().any(|part| key.contains(part)));
                assert_eq!(found, wanted, "{name}");
            }
            Series(other) => {
                let wanted = stored_as_it_is(&gateway, other);
                assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{name}");
            }
            Samples(count) => assert_eq!(samples(&found), count, "{name}"),
            Refused(_) => {}
        }
    }
}

/// Given one snapshot of one client in two escaping schemes, when the first is repaired, then it is the second.
#[test]
fn names_in_quotes_become_what_the_client_itself_makes_of_them() {
    for (original, escaped) in [
        ("java_otel_prometheus_utf8.prom", "java_otel_prometheus.prom"),
        ("java_prom_client1_utf8.prom", "java_prom_client1_dotted.prom"),
    ] {
        let fixed = Pushwrap::new().args(["check", "--fix"]).arg(file(original)).call().exit(0);
        // The client leaves the second `info` out.
        let fixed = fixed.stdout.replace("target_info_info", "target_info");
        assert_eq!(fixed, fs::read_to_string(file(escaped)).unwrap(), "{original}");
    }
}

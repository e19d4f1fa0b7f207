//! The alerts that need a control group with a limit, live: real runs in containers with one problem each, which report to every
//! sink, and for each sink a Prometheus with its rules.

use super::engine::ContainerImage;
use super::harness::Watched;
use super::harness::alerts::{dashboard_expressions, needs_limit};

/// Two processes in a row use this much of 64 MiB, which leaves pushwrap and the engine the rest.
const NEARLY_ALL: &str = "/busybox dd if=/dev/zero of=/dev/null bs=61440k count=1 2>/dev/null";
const MEMORY: [&str; 4] = ["--memory", "64m", "--memory-swap", "64m"];

/// Runs a script as a job in a container with these limits: the exit status.
fn run(watched: &Watched, limits: &[&str], job: &str, options: &[&str], script: &str) -> Option<i32> {
    let output = format!("--volume={0}:{0}", watched.output().display());
    let engine = [&["--network=host", "--tmpfs=/tmp", &output], limits].concat();
    let own = watched.options(job);
    let own = own.iter().map(String::as_str).chain(options.iter().copied());
    let command: Vec<&str> =
        ["/pushwrap"].into_iter().chain(own).chain(["--", "/busybox", "sh", "-c", script]).collect();
    let out = ContainerImage::scratch().run(&engine, &command);
    assert!(!String::from_utf8_lossy(&out.stderr).contains("pushwrap: "), "{job}: {out:?}");
    out.status.code()
}

#[test]
fn each_limit_that_a_run_meets_fires_one_alert_and_a_good_run_none() {
    let watched = Watched::start();
    let good = [&["--cpus", "1"], &MEMORY[..]].concat();
    assert_eq!(run(&watched, &good, "good", &[], "/busybox sleep 1"), Some(0));
    // A quota so small that the command meets it on a machine that is busy too.
    let burn = "end=$(($(/busybox date +%s)+3)); while [ $(/busybox date +%s) -lt $end ]; do :; done";
    assert_eq!(run(&watched, &["--cpus", "0.05"], "throttled", &[], burn), Some(0));
    assert_eq!(run(&watched, &MEMORY, "memory", &[], NEARLY_ALL), Some(0));
    assert_eq!(run(&watched, &MEMORY, "memory_no_tree", &["--no-tree"], NEARLY_ALL), Some(0));
    // This makes the kernel kill the inner shell (proc(5), oom_score_adj), and not pushwrap.
    let grow = "echo 1000 >/proc/self/oom_score_adj; x=0123456789abcdef; while :; do x=$x$x; done";
    assert_eq!(run(&watched, &MEMORY, "oom", &[], &format!("/busybox sh -c '{grow}'; exit 0")), Some(0));
    assert_eq!(run(&watched, &MEMORY, "oom_killed", &[], grow), Some(137));

    watched.expect(&[
        "JobFailed oom_killed",
        "JobNearItsMemoryLimit memory",
        "JobNearItsMemoryLimit memory_no_tree",
        "JobOomKills oom",
        "JobThrottled throttled",
    ]);
    for job in ["good", "steady"] {
        watched.never_fired(job);
    }
    let outcome = "ALERTS{job=\"oom_killed\",outcome=\"oom_killed\",alertstate=\"firing\"}";
    assert_eq!(watched.by_gateway().query(outcome).len(), 1);
    let expressions: Vec<String> = dashboard_expressions().into_iter().filter(|each| needs_limit(each)).collect();
    assert_eq!(expressions.len(), 2, "{expressions:?}");
    for expression in expressions {
        assert!(!watched.by_gateway().query(&expression).is_empty(), "nothing for '{expression}'");
    }
}

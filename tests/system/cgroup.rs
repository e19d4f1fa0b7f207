//! What the control groups say, as the engine makes them and, where the machine has another version of them, as files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::engine::{ContainerImage, need_root};
use super::harness::{FakeGateway, InTime as _, Pushgateway, Reply, Version, pushwrap};

/// Runs a script below pushwrap in a container with these limits, and returns the value of a metric of the run.
fn contained(limits: &[&str], script: &str, metric: &str) -> Option<f64> {
    let gateway = Pushgateway::start(Version::Newest);
    let url = gateway.url();
    let options = [&["--network", "host", "--tmpfs", "/tmp"], limits].concat();
    let out = ContainerImage::scratch()
        .run(&options, &["/pushwrap", "--url", &url, "--job", "j", "--", "/busybox", "sh", "-c", script]);
    let group = gateway.group([("job", "j")]).unwrap_or_else(|| panic!("{out:?}"));
    group.value(metric, []).map(|value| value.parse().unwrap())
}

#[test]
fn a_quota_that_holds_is_told_and_what_it_has_cost() {
    let burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    let throttled = contained(&["--cpus", "0.2"], burn, "pushwrap_cpu_throttled_seconds");
    assert!(throttled.is_some_and(|seconds| seconds > 0.1), "{throttled:?}");
}

#[test]
fn a_descendant_that_the_kernel_killed_is_counted() {
    // This makes the kernel kill the shell (proc(5), oom_score_adj), and not pushwrap.
    let script =
        "/busybox sh -c 'echo 1000 >/proc/self/oom_score_adj; x=0123456789abcdef; while :; do x=$x$x; done'; exit 3";
    let limits = ["--memory", "32m", "--memory-swap", "32m"];
    assert_eq!(contained(&limits, script, "pushwrap_oom_kills"), Some(1.0));
    assert_eq!(contained(&limits, "exit 3", "pushwrap_oom_kills"), Some(0.0));
}

/// Runs a script below pushwrap, which finds a v2 hierarchy in the directory and itself in the group `pod/main`.
fn with_v2(directory: &Path, gateway: &FakeGateway, script: &str) {
    need_root("another /proc/self/cgroup");
    let mountinfo = format!("30 23 0:26 / {} rw shared:4 - cgroup2 cgroup2 rw\n", directory.display());
    fs::write(directory.join("mountinfo"), mountinfo).unwrap();
    fs::write(directory.join("cgroup"), "0::/pod/main\n").unwrap();
    let enter =
        "cd \"$0\" && mount --bind cgroup /proc/$$/cgroup && mount --bind mountinfo /proc/$$/mountinfo && exec \"$@\"";
    let mut call = Command::new("unshare");
    call.args(["--mount", "sh", "-c", enter]).arg(directory).arg(pushwrap::binary());
    call.args(["--url", &gateway.url(), "--job", "j", "--", "sh", "-c", script]);
    let out = call.stdin(Stdio::null()).output_in_time();
    assert!(out.status.success(), "{out:?}");
}

fn v2_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("pod/main")).unwrap();
    directory
}

#[test]
fn the_figures_of_a_v2_group_are_those_of_the_run() {
    let directory = v2_directory();
    let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
    write("pod/main/cpu.stat", "usage_usec 1\nthrottled_usec 1000000\n");
    write("pod/main/cpu.max", "50000 100000\n");
    write("pod/main/memory.events", "oom 0\noom_kill 4\n");
    let path = directory.path().display();
    let script = format!(
        "echo throttled_usec 3500000 >{path}/pod/main/cpu.stat; echo oom_kill 6 >{path}/pod/main/memory.events"
    );
    let gateway = FakeGateway::start([Reply::ok()]);
    with_v2(directory.path(), &gateway, &script);
    let body = gateway.requests()[0].body();
    assert!(body.contains("\npushwrap_cpu_throttled_seconds 2.5\n"), "{body}");
    assert!(body.contains("\npushwrap_oom_kills 2\n"), "{body}");
    assert!(body.contains("\npushwrap_outcome{outcome=\"success\"} 1\n"), "a descendant was killed, not the command");
}

#[test]
fn where_the_kernel_kills_the_whole_group_the_first_push_is_made_at_once() {
    for (together, pushes) in [("1\n", 2), ("0\n", 1)] {
        let directory = v2_directory();
        fs::write(directory.path().join("pod/main/memory.oom.group"), together).unwrap();
        let gateway = FakeGateway::start((0..2).map(|_| Reply::ok()));
        with_v2(directory.path(), &gateway, "sleep 1");
        let requests = gateway.requests();
        assert_eq!(requests.len(), pushes, "{together}");
        assert_eq!(requests[0].body().contains("pushwrap_running 1\n"), pushes == 2);
    }
}

//! pushwrap as the first process of a container: alone in a scratch image, and in a Debian one.

use super::engine::ContainerImage;
use super::harness::{Pushgateway, Version, wait_for};

#[test]
fn alone_in_a_scratch_image_it_runs_and_reports() {
    let gateway = Pushgateway::start(Version::Newest);
    let script = "echo out; echo 'x 1' >$PUSHWRAP_TEXTFILE; exit 3";
    let url = gateway.url();
    let command = ["/pushwrap", "--url", &url, "--job", "scratch", "--", "/busybox", "sh", "-c", script];
    let out = ContainerImage::scratch().run(&["--network", "host", "--tmpfs", "/tmp"], &command);

    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "out\n");
    assert_eq!(out.status.code(), Some(3));
    // A container's host name changes with every run, so it is no part of the key.
    let group = gateway.group([("job", "scratch")]).expect("the group of the job");
    assert_eq!(group.value("x", []).unwrap(), "1");
    assert_eq!(group.value("pushwrap_exit_code", []).unwrap(), "3");
}

#[test]
fn told_to_stop_it_passes_the_signal_on_and_reports_it() {
    let gateway = Pushgateway::start(Version::Newest);
    let script = "trap 'exit 7' TERM; echo ready; while :; do /busybox sleep 0.1; done";
    let url = gateway.url();
    let command = ["/pushwrap", "--url", &url, "--job", "stopped", "--", "/busybox", "sh", "-c", script];
    let container = ContainerImage::scratch().start(&["--network", "host", "--tmpfs", "/tmp"], &command);
    wait_for("the command in the container", || container.logs().0.contains("ready").then_some(()));
    container.stop(20);

    assert_eq!(container.wait(), 7);
    let group = gateway.group([("job", "stopped")]).expect("the group of the job");
    assert_eq!(group.value("pushwrap_outcome", [("outcome", "terminated")]).unwrap(), "1");
}

#[test]
fn in_debian_it_runs_what_the_distribution_has() {
    let script = "cat /etc/debian_version; exit 5";
    let out = ContainerImage::bookworm().run(&[], &["/pushwrap", "--url", "none", "--", "sh", "-c", script]);
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("12."));
    assert_eq!(out.status.code(), Some(5));
}

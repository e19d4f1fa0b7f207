//! A host as the pages imagine it: Debian, pushwrap below `/usr/local/bin`, and a Pushgateway that it knows by its name. It is a
//! container without a network, so that the pages' ports and names are free.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::engine::{Container, ContainerImage};
use super::harness::{Group, pushwrap, server, wait_for};

/// Starts the gateway again whenever it has ended, unless `/run/outage` is there.
const GATEWAY: &str =
    "while :; do [ -e /run/outage ] || pushgateway --persistence.file= $GATEWAY_OPTIONS; sleep 0.1; done";

/// A private hierarchy of control groups. Of version 1 every controller is mounted apart, because crun refuses what systemd mounts
/// there (both versions at once) and podman wants to write.
const CGROUPS: &str = "[ -e /sys/fs/cgroup/cgroup.controllers ] || {
mount -t tmpfs none /sys/fs/cgroup
for each in memory cpu cpuset cpuacct pids devices freezer blkio; do
    mkdir /sys/fs/cgroup/$each
    mount -t cgroup -o $each none /sys/fs/cgroup/$each
done
}
";

/// Slurm as far as one machine without accounting needs it. The node claims more than it may have, so that any script fits.
const SLURM: &str = "ClusterName=test
SlurmctldHost=db1
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=db1 CPUs=8 RealMemory=16000
PartitionName=all Nodes=db1 Default=YES
";
const START_SLURM: &str = "install -d -o slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd
install -d -o munge /run/munge
setpriv --reuid=munge --regid=munge --clear-groups munged
slurmctld
slurmd
";

/// The container. Dropping it removes it.
pub(crate) struct Host {
    container: Container,
}

/// A file of this machine that the host finds at a place of its own.
pub(crate) type Mount<'a> = (PathBuf, &'a str);

/// An option of the engine that gives a container this file.
pub(crate) fn mount(file: &Path, place: &str) -> String {
    format!("--volume={}:{place}:ro", fs::canonicalize(file).expect("a file to mount").display())
}

/// The engine's options for a host, apart from its network.
fn options(mounts: &[Mount]) -> Vec<String> {
    let programs = [
        (pushwrap::binary(), "/usr/local/bin/pushwrap"),
        (server::program("pushgateway-1.5.1"), "/usr/local/bin/pushgateway"),
        (server::program("busybox"), "/usr/local/bin/busybox"),
    ];
    let mounts = programs.iter().chain(mounts).map(|(file, place)| mount(file, place));
    let names = ["pushgateway", "pushgateway.example", "pushgateway.monitoring", "db1"]
        .map(|name| format!("--add-host={name}:127.0.0.1"));
    mounts.chain(names).chain(["--hostname=db1".to_owned()]).collect()
}

impl Host {
    /// The smallest Debian, with the gateway at `http://pushgateway:9091`.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same with further files and with options of the gateway.
    #[track_caller]
    pub(crate) fn start_with(mounts: &[Mount], gateway: &[&str]) -> Self {
        Self::start_image(&ContainerImage::bookworm(), &["--network=none"], mounts, gateway)
    }

    /// A Debian with Slurm, a controller and a node that waits for jobs.
    #[track_caller]
    pub(crate) fn start_slurm() -> Self {
        // Slurm does not find its own name where there is nothing but the loopback (AI_ADDRCONFIG, getaddrinfo(3)).
        let host = Self::start_image(&ContainerImage::with_slurm(), &["--network=bridge"], &[], &[]);
        host.write("/etc/slurm/slurm.conf", "644", SLURM);
        host.done(START_SLURM);
        wait_for("the node", || (host.done("sinfo --noheader --format=%t").trim() == "idle").then_some(()));
        host
    }

    /// A Debian with podman.
    #[track_caller]
    pub(crate) fn start_podman(mounts: &[Mount], gateway: &[&str]) -> Self {
        // Its store is in memory, because its layers need a kernel's file system below.
        let opened = "--network=none --cap-add=SYS_ADMIN --security-opt=seccomp=unconfined --security-opt=apparmor=unconfined \
                      --security-opt=systempaths=unconfined --cgroupns=private --tmpfs=/run --tmpfs=/var/lib/containers \
                      --env=PODMAN_IGNORE_CGROUPSV1_WARNING=1";
        let opened: Vec<&str> = opened.split_whitespace().collect();
        let host = Self::start_image(&ContainerImage::with_podman(), &opened, mounts, gateway);
        host.done(CGROUPS);
        host
    }

    #[track_caller]
    fn start_image(image: &ContainerImage, more: &[&str], mounts: &[Mount], gateway: &[&str]) -> Self {
        let mut options = options(mounts);
        options.push(format!("--env=GATEWAY_OPTIONS={}", gateway.join(" ")));
        let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let host = Self { container: image.start(&options, &["sh", "-c", GATEWAY]) };
        host.wait_for_port(if gateway.is_empty() { 9091 } else { 443 });
        host
    }

    /// A Debian with the daemons of a host and systemd as its init; the gateway runs as a unit.
    #[track_caller]
    pub(crate) fn start_systemd(mounts: &[Mount]) -> Self {
        let options = options(mounts);
        let options: Vec<&str> = options.iter().map(String::as_str).chain(["--network=none"]).collect();
        let host = Self { container: ContainerImage::with_daemons().start_systemd(&options) };
        host.done(&format!("systemd-run --unit=gateway --setenv=GATEWAY_OPTIONS= sh -c '{GATEWAY}'"));
        host.wait_for_port(9091);
        host
    }

    #[track_caller]
    fn wait_for_port(&self, port: u16) {
        wait_for("the gateway in the container", || self.listens(port).then_some(()));
    }

    fn listens(&self, port: u16) -> bool {
        self.sh(&format!("bash -c ': <>/dev/tcp/127.0.0.1/{port}' 2>/dev/null")).status.success()
    }

    /// Runs a script by `sh` as root, as somebody would type it.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.container.try_exec(&["sh", "-c", script])
    }

    /// The same, which must succeed: its standard output.
    #[track_caller]
    pub(crate) fn done(&self, script: &str) -> String {
        let out = self.sh(&format!("set -e\n{script}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "{script}\n{}{}", text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }

    /// Writes a file, with the mode of `install`.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, mode: &str, text: &str) {
        // A here-document whose end stands in no page.
        self.done(&format!(
            "install -D -m {mode} /dev/null {path}; cat >{path} <<'END OF THE FILE'\n{text}END OF THE FILE\n"
        ));
    }

    /// Writes a program that succeeds and says so.
    #[track_caller]
    pub(crate) fn write_program(&self, path: &str) {
        self.write(path, "755", "#!/bin/sh\necho \"done: $*\"\n");
    }

    /// What the gateway holds.
    #[track_caller]
    pub(crate) fn groups(&self) -> Vec<Group> {
        Group::all(&self.done("busybox wget -qO- http://pushgateway:9091/api/v1/metrics"))
    }

    /// The one group of a job.
    #[track_caller]
    pub(crate) fn group(&self, job: &str) -> Group {
        self.try_group(job).unwrap_or_else(|| panic!("the gateway has no group of the job '{job}'"))
    }

    /// The same, where it may not be there yet.
    #[track_caller]
    pub(crate) fn try_group(&self, job: &str) -> Option<Group> {
        let is_of_job = |group: &Group| group.labels().contains(&("job".to_owned(), job.to_owned()));
        let mut found: Vec<Group> = self.groups().into_iter().filter(is_of_job).collect();
        assert!(found.len() <= 1, "{} groups of the job '{job}'", found.len());
        found.pop()
    }

    /// Stops the gateway until [`Self::end_outage`].
    #[track_caller]
    pub(crate) fn begin_outage(&self) {
        self.done("touch /run/outage; kill $(pidof pushgateway)");
        wait_for("the gateway to end", || (!self.listens(9091)).then_some(()));
    }

    /// Starts the gateway again, empty.
    #[track_caller]
    pub(crate) fn end_outage(&self) {
        self.done("rm /run/outage");
        self.wait_for_port(9091);
    }
}

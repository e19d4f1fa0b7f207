//! The machine's container engine as tests use it: images made from nothing but files, containers that end with their test.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::harness::{pushwrap, server, wait_for};

/// What a host has that the smallest Debian has not: its init, cron with a clock that can be set, and ssh.
const DAEMONS: [&str; 5] = ["systemd", "systemd-sysv", "cron", "faketime", "openssh-server"];

/// Slurm on one machine: the controller, the node, what users type, and the daemon that signs for them.
const SLURM: [&str; 4] = ["slurmctld", "slurmd", "slurm-client", "munge"];
/// podman, and the init of its pods.
const PODMAN: [&str; 2] = ["podman", "catatonit"];

/// Runs docker, which must succeed: its standard output, trimmed.
#[track_caller]
pub(crate) fn docker<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let out = try_docker(arguments);
    assert!(out.status.success(), "docker: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// Runs docker, whatever comes of it. Fails the test in one sentence where there is no engine.
#[track_caller]
pub(crate) fn try_docker<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    need_engine();
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("docker can be run")
}

#[track_caller]
fn need_engine() {
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let refusal = REFUSAL.get_or_init(|| match Command::new("docker").args(["info", "--format", "x"]).output() {
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    });
    if let Some(refusal) = refusal {
        panic!("no container engine answers: install and start docker ({refusal})");
    }
}

/// Fails the test in one sentence when it does not run as root.
#[track_caller]
pub(crate) fn need_root(what: &str) {
    assert!(
        fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0),
        "{what} needs root: run make test-system as root"
    );
}

/// The path of a system program that tests need, from PATH or where root's programs are.
#[track_caller]
pub(crate) fn need_program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("'{name}' is not on PATH: install {package}"))
}

/// An image in the engine, by its name.
#[derive(Debug, Clone)]
pub(crate) struct ContainerImage(String);

impl ContainerImage {
    /// What `FROM scratch` and a few COPY lines make: nothing but the binary as `/pushwrap`, and a static `/busybox` so
    /// that there is a command to run.
    #[track_caller]
    pub(crate) fn scratch() -> Self {
        static MADE: OnceLock<ContainerImage> = OnceLock::new();
        MADE.get_or_init(|| {
            let files = [("pushwrap", pushwrap::binary()), ("busybox", server::program("busybox"))];
            Self::of_files("pushwrap-test-scratch", &files)
        })
        .clone()
    }

    /// The scratch image's files at the root of Debian bookworm, made by debootstrap and kept below `target/`.
    #[track_caller]
    pub(crate) fn bookworm() -> Self {
        static MADE: OnceLock<ContainerImage> = OnceLock::new();
        MADE.get_or_init(|| {
            let base = debian_root("bookworm", &[]);
            fs::copy(pushwrap::binary(), base.join("pushwrap")).expect("a copy of the binary");
            Self::import("pushwrap-test-bookworm", &base)
        })
        .clone()
    }

    /// A minimal Debian of this release, without an installed pushwrap.
    #[track_caller]
    pub(crate) fn debian(suite: &str) -> Self {
        let base = debian_root(suite, &[]);
        Self::import(&format!("pushwrap-test-plain-{suite}"), &base)
    }

    /// Debian bookworm with the daemons of a host: [`ContainerImage::start_systemd`].
    #[track_caller]
    pub(crate) fn with_daemons() -> Self {
        static MADE: OnceLock<ContainerImage> = OnceLock::new();
        let make = || Self::import("pushwrap-test-daemons", &debian_root("bookworm", &DAEMONS));
        MADE.get_or_init(make).clone()
    }

    /// Debian bookworm with Slurm.
    #[track_caller]
    pub(crate) fn with_slurm() -> Self {
        static MADE: OnceLock<ContainerImage> = OnceLock::new();
        MADE.get_or_init(|| Self::import("pushwrap-test-slurm", &debian_root("bookworm", &SLURM))).clone()
    }

    /// Debian with podman: trixie, because bookworm's plays neither Jobs nor Secrets.
    #[track_caller]
    pub(crate) fn with_podman() -> Self {
        static MADE: OnceLock<ContainerImage> = OnceLock::new();
        MADE.get_or_init(|| Self::import("pushwrap-test-podman", &debian_root("trixie", &PODMAN))).clone()
    }

    /// Starts the image with systemd as PID 1, as far as a container has to be opened for it, and waits until it is up.
    #[track_caller]
    pub(crate) fn start_systemd(&self, options: &[&str]) -> Container {
        let opened = "--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                      --tmpfs /run --tmpfs /run/lock --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --cgroupns host --env container=docker";
        let opened: Vec<&str> = opened.split_whitespace().collect();
        let container = self.start(&[&opened, options].concat(), &["/lib/systemd/systemd"]);
        wait_for("systemd to be up", || {
            let state = container.try_exec(&["systemctl", "is-system-running"]).stdout;
            ["running", "degraded"].contains(&String::from_utf8_lossy(&state).trim()).then_some(())
        });
        container
    }

    /// An image with just these files at its root, executable.
    #[track_caller]
    pub(crate) fn of_files(name: &str, files: &[(&str, PathBuf)]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (file, source) in files {
            let copy = root.path().join(file);
            fs::copy(source, &copy).expect("a copy of a file for the image");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        Self::import(name, root.path())
    }

    #[track_caller]
    fn import(name: &str, root: &Path) -> Self {
        // The one of the last time would stay behind without a name.
        let _ = try_docker(["rmi", "--force", name]);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(root).args(["--numeric-owner", "-c", "."]).stdout(Stdio::piped());
        let mut tar = tar.spawn().expect("tar can be run");
        let stream = tar.stdout.take().expect("a pipe from tar");
        let out = Command::new("docker").args(["import", "-", name]).stdin(stream).output().expect("docker can be run");
        assert!(tar.wait().expect("tar is our child").success(), "tar failed on {}", root.display());
        assert!(out.status.success(), "docker import: {}", String::from_utf8_lossy(&out.stderr));
        Self(name.to_owned())
    }

    /// `docker run` with these options and this command, and waits until it ends: exit status and both streams.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Output {
        try_docker([&["run", "--rm"], options, &[self.0.as_str()], command].concat())
    }

    /// `docker run --detach`.
    #[track_caller]
    pub(crate) fn start(&self, options: &[&str], command: &[&str]) -> Container {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pushwrap-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let container = Container(name.clone());
        docker([&["run", "--detach", "--name", &name], options, &[self.0.as_str()], command].concat());
        container
    }
}

/// A Debian by debootstrap with these packages besides, once for each target directory.
#[track_caller]
fn debian_root(suite: &str, packages: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    need_root("debootstrap");
    let debootstrap = need_program("debootstrap", "debootstrap");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let base = source.join("target/system").join([&[suite], packages].concat().join("-"));
    if base.join(".complete").exists() {
        return base;
    }
    let _ = fs::remove_dir_all(&base);
    fs::create_dir_all(&base).expect("a directory below target/");
    let mirror =
        Command::new(source.join("scripts/servers")).arg("--mirror").output().expect("scripts/servers can be run");
    assert!(mirror.status.success(), "{}", String::from_utf8_lossy(&mirror.stderr));
    let mirror = String::from_utf8_lossy(&mirror.stdout).trim().to_owned();
    let included = (!packages.is_empty()).then(|| format!("--include={}", packages.join(",")));
    let mut call = Command::new(debootstrap);
    let out = call.arg("--variant=minbase").args(included).arg(suite).arg(&base).arg(mirror).output();
    let out = out.expect("debootstrap can be run");
    assert!(out.status.success(), "debootstrap failed: {}", String::from_utf8_lossy(&out.stdout));
    fs::write(base.join(".complete"), "").expect("a mark below target/");
    base
}

/// A container that was started. Dropping it removes it, running or not.
pub(crate) struct Container(String);

impl Container {
    /// Waits until it ends: the exit status that the engine reports.
    #[track_caller]
    pub(crate) fn wait(&self) -> i32 {
        docker(["wait", &self.0]).parse().expect("an exit status from the engine")
    }

    /// Runs a command inside, which must succeed: its standard output, trimmed.
    #[track_caller]
    pub(crate) fn exec(&self, command: &[&str]) -> String {
        docker([&["exec", &self.0], command].concat())
    }

    /// The same, whatever comes of it.
    #[track_caller]
    pub(crate) fn try_exec(&self, command: &[&str]) -> Output {
        try_docker([&["exec", &self.0], command].concat())
    }

    /// `docker stop --time`: TERM, and KILL after that many seconds.
    #[track_caller]
    pub(crate) fn stop(&self, seconds: u32) {
        docker(["stop", "--time", &seconds.to_string(), &self.0]);
    }

    /// Standard output and standard error so far.
    #[track_caller]
    pub(crate) fn logs(&self) -> (String, String) {
        let out = try_docker(["logs", &self.0]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&out.stdout), text(&out.stderr))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", &self.0]).output();
    }
}

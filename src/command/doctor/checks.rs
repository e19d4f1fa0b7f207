//! The checks of `doctor`: the settings, each sink, the state directory and the memory limit.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::{AccessFlags, eaccess};
use serde::{Serialize, Serializer};

use crate::child::{memory_limit_bytes, oom_kills_whole_group};
use crate::config::{Destination, DoctorConfig};
use crate::delivery::timing::UNREACHABLE_FOR;
use crate::delivery::{SpoolPath, waiting_pushes};
use crate::files::{directory_of, reason, reason_at};
use crate::http::{Deadline, Endpoint};
use crate::sink::{FileSink, RemoteWrite, ServerInfo, ServerKind, Sink, identify, probe_remote_write};
use crate::text::span;

/// Clocks further apart than this make ages and alerts wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
/// What node_exporter reads, whatever user it is, needs these on the file's directory, and the second on each one above it.
const READABLE_BY_OTHERS: u32 = 0o005;
const PASSABLE_BY_OTHERS: u32 = 0o001;
/// And this on the file itself.
const FILE_READABLE_BY_OTHERS: u32 = 0o004;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckLevel {
    /// As it should be.
    Good,
    /// Worth checking; runs are reported all the same.
    Warning,
    /// Runs are not reported, or not kept, as configured.
    Problem,
}

impl CheckLevel {
    /// In text and JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Serialize for CheckLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorCheck {
    /// The result, and the remedy.
    pub(super) finding: String,
    pub(super) level: CheckLevel,
    /// The subject of the check.
    pub(super) subject: String,
}

fn check(level: CheckLevel, subject: impl Into<String>, finding: impl Into<String>) -> DoctorCheck {
    DoctorCheck { level, subject: subject.into(), finding: finding.into() }
}

/// All checks, in the order in which they are printed.
pub(super) fn examine(config: &DoctorConfig) -> Vec<DoctorCheck> {
    let reporting = &config.reporting;
    let mut checks = Vec::new();
    checks.extend(reporting.errors.iter().map(|line| check(CheckLevel::Problem, "settings", line)));
    checks.extend(reporting.warnings.iter().map(|warning| check(CheckLevel::Warning, "settings", warning)));
    let is_told = |job: &String| reporting.warnings.iter().any(|warning| warning.contains(&format!("'{job}'")));
    checks.extend(config.launcher_job.as_ref().filter(|job| !is_told(job)).map(|job| {
        let finding = format!("every job that '{job}' runs would share this group: name the job after its work");
        check(CheckLevel::Warning, "--job", finding)
    }));
    let deadline = reporting.deadline(UNREACHABLE_FOR);
    match &reporting.destination {
        Destination::Gateways(gateways) => {
            checks.extend(gateways.iter().flat_map(|gateway| gateway_checks(gateway, deadline)));
        }
        Destination::Nowhere => checks.push(check(CheckLevel::Good, "--url", "none: no gateway is pushed to")),
        Destination::Unnamed if !reporting.has_other_sink() => {
            let finding = "no gateway is named, metrics are only printed: write --url URL or PUSHWRAP_URL";
            checks.push(check(CheckLevel::Problem, "--url", finding));
        }
        Destination::Unnamed => {}
    }
    for sink in &reporting.other_sinks {
        match (sink, &reporting.key) {
            (Sink::RemoteWrite(RemoteWrite { endpoint }), Some(key)) => {
                checks.push(match probe_remote_write(endpoint, key, deadline) {
                    Ok(()) => check(CheckLevel::Good, format!("'{}'", endpoint.url), "it takes remote write"),
                    Err(failure) => check(CheckLevel::Problem, "--remote-write", failure.to_string()),
                });
            }
            (Sink::File(FileSink::File(path)), _) => checks.push(output_check(path)),
            _ => {}
        }
    }
    checks.extend(state_checks(&reporting.state_dir));
    checks.extend(memory_checks());
    checks
}

fn gateway_checks(gateway: &Endpoint, deadline: Deadline) -> Vec<DoctorCheck> {
    let subject = format!("'{}'", gateway.url);
    let mut checks = Vec::new();
    if let Some(proxy) = gateway.proxy_in_use() {
        checks.push(check(CheckLevel::Good, &subject, format!("reached through proxy '{proxy}'")));
    }
    let began = Instant::now();
    match identify(gateway, deadline) {
        Ok(server) => {
            checks.push(server_check(&subject, &server, began.elapsed()));
            checks.extend(clock_check(&subject, &server));
        }
        Err(failure) => checks.push(check(CheckLevel::Problem, subject, failure.to_string())),
    }
    checks
}

fn server_check(subject: &str, server: &ServerInfo, took: Duration) -> DoctorCheck {
    let version = server.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let took = span(took);
    let (level, finding) = match server.kind {
        ServerKind::Pushgateway => (CheckLevel::Good, format!("Pushgateway{version}, which answered in {took}")),
        ServerKind::VictoriaMetrics => {
            (CheckLevel::Good, format!("VictoriaMetrics or vmagent{version}, which answered in {took}"))
        }
        ServerKind::PushgatewayAtRoot => (
            CheckLevel::Problem,
            format!("Pushgateway{version} answers without the path of this URL: take the path away, or start the gateway with --web.route-prefix"),
        ),
        ServerKind::Prometheus => (
            CheckLevel::Problem,
            format!("this is Prometheus{version}, which takes no pushes: name a Pushgateway (port 9091 by default), or use --remote-write"),
        ),
        ServerKind::WebPage => (
            CheckLevel::Problem,
            "it answers with a web page, as a login does: name the gateway itself, or give credentials with --user or --token-file".to_owned(),
        ),
        ServerKind::Unknown => {
            (CheckLevel::Problem, "something answers that is no Pushgateway: check host, port and path".to_owned())
        }
    };
    check(level, subject, finding)
}

/// Whether both clocks agree.
fn clock_check(subject: &str, server: &ServerInfo) -> Option<DoctorCheck> {
    let (now, theirs) = (SystemTime::now(), server.now?);
    let apart = now.duration_since(theirs).or_else(|_| theirs.duration_since(now)).unwrap_or_default();
    (apart > CLOCK_TOLERANCE).then(|| {
        let finding =
            format!("its clock is {} apart from ours: set the wrong one, or ages and alerts are wrong", span(apart));
        check(CheckLevel::Warning, subject, finding)
    })
}

/// Whether the file can be written, and node_exporter, which is another user, can read it.
fn output_check(path: &Path) -> DoctorCheck {
    let subject = format!("--output '{}'", path.display());
    let directory = directory_of(path);
    let usable = eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK);
    if let Err(error) = usable {
        let why = reason_at(directory, &error.into());
        return check(
            CheckLevel::Problem,
            subject,
            format!("directory '{}' cannot be written: {why}", directory.display()),
        );
    }
    let present = fs::metadata(path).ok();
    if present.as_ref().is_some_and(|file| !file.is_file()) {
        return check(CheckLevel::Problem, subject, "it is not a regular file: name a file that ends in .prom");
    }
    if let Some(closed) = closed_directory(directory) {
        let finding =
            format!("node_exporter cannot read it: give others the right with chmod o+rx '{}'", closed.display());
        return check(CheckLevel::Problem, subject, finding);
    }
    // A file that is replaced keeps its mode.
    if present.is_some_and(|file| file.permissions().mode() & FILE_READABLE_BY_OTHERS == 0) {
        let finding =
            format!("node_exporter cannot read it: give others the right with chmod o+r '{}'", path.display());
        return check(CheckLevel::Problem, subject, finding);
    }
    if path.extension().is_none_or(|extension| extension != "prom") {
        return check(CheckLevel::Warning, subject, "node_exporter reads only names that end in .prom");
    }
    check(CheckLevel::Good, subject, "it can be written, and node_exporter can read it")
}

/// The first directory on the way to the file that others cannot pass or list.
fn closed_directory(directory: &Path) -> Option<PathBuf> {
    let directory = fs::canonicalize(directory).ok()?;
    let lacks = |path: &Path, right: u32| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & right != right)
    };
    if lacks(&directory, READABLE_BY_OTHERS) {
        return Some(directory);
    }
    directory.ancestors().skip(1).find(|above| lacks(above, PASSABLE_BY_OTHERS)).map(Path::to_owned)
}

fn state_checks(path: &SpoolPath) -> Vec<DoctorCheck> {
    let subject = "state directory";
    let directory = match path {
        SpoolPath::None => {
            return vec![check(
                CheckLevel::Good,
                subject,
                "none: pushes that fail are not kept and runs are not counted",
            )];
        }
        SpoolPath::Default => Path::new(crate::delivery::DEFAULT_STATE_DIR),
        SpoolPath::At(path) => path,
    };
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(_) if *path == SpoolPath::Default => {
            let finding = "there is none: pushes that fail are not kept and runs are not counted";
            return vec![check(CheckLevel::Good, subject, finding)];
        }
        // A run makes the last directory of the path.
        Err(_) if fs::metadata(directory_of(directory)).is_ok_and(|above| above.is_dir()) => {
            let finding = format!("'{}' is not there yet: the first run makes it", directory.display());
            return vec![check(CheckLevel::Good, subject, finding)];
        }
        Err(error) => {
            let finding = format!("cannot use '{}': {}", directory.display(), reason(&error));
            return vec![check(CheckLevel::Problem, subject, finding)];
        }
    };
    match path.open_existing() {
        Ok(_) => {
            let waiting = waiting_pushes(directory);
            let finding = match waiting {
                0 => format!("'{}' of user {}: nothing waits", directory.display(), metadata.uid()),
                waiting => format!("'{}': {waiting} waiting; 'pushwrap flush' sends what waits", directory.display()),
            };
            vec![check(CheckLevel::Good, subject, finding)]
        }
        // One that nobody named is used by those who can.
        Err(why) if *path == SpoolPath::Default => vec![check(CheckLevel::Warning, subject, why)],
        Err(why) => vec![check(CheckLevel::Problem, subject, why)],
    }
}

fn memory_checks() -> Vec<DoctorCheck> {
    let subject = "memory limit";
    let limit = match memory_limit_bytes() {
        Some(bytes) => format!("{} MiB for the command and pushwrap together", bytes >> 20),
        None => "none".to_owned(),
    };
    let mut checks = vec![check(CheckLevel::Good, subject, limit)];
    if oom_kills_whole_group() {
        let finding = "memory.oom.group is 1: the kernel kills pushwrap with the command, so that such a run is seen as lost; \
                       in Kubernetes the kubelet's singleProcessOOMKill: true changes that";
        checks.push(check(CheckLevel::Warning, subject, finding));
    }
    checks
}

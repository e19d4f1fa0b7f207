//! The machine that the figures come from, and the versions of what was measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::harness::pushwrap::binary;
use super::harness::server;
use super::peers;

/// The load averages of one and five minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" and ")
}

/// A list for the page: machine, date, versions, and what was not there.
pub(crate) fn describe() -> String {
    let mut text = String::new();
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let _ = writeln!(text, "- {today}, {}", hardware());
    let _ = writeln!(text, "- TMPDIR: {}", temporary_directory());
    let _ = writeln!(text, "- {}", versions().join("; "));
    let missing = peers::missing();
    if !missing.is_empty() {
        let _ = writeln!(text, "- not installed: {}", missing.join(", "));
    }
    for path in ["/etc/default/pushwrap", "/var/lib/pushwrap"] {
        if Path::new(path).exists() {
            let _ = writeln!(text, "- `{path}` is there, and every run of pushwrap uses it");
        }
    }
    text
}

fn hardware() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let virtual_machine = if field("/proc/cpuinfo", "flags").is_some_and(|flags| flags.contains("hypervisor")) {
        "a virtual machine with "
    } else {
        ""
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kibibytes = field("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<f64>().ok());
    let memory = kibibytes.map_or_else(String::new, |kibibytes| format!(", {:.0} GiB", kibibytes / f64::from(1 << 20)));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{virtual_machine}{cores} cores of {cpu}{memory}, Linux {}", kernel.trim())
}

/// The value of the first line `NAME : VALUE` of a file of /proc.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn temporary_directory() -> String {
    let directory = std::env::temp_dir();
    let kind = first_line(Command::new("stat").args(["-f", "-c", "%T"]).arg(&directory));
    format!("{} ({})", directory.display(), kind.unwrap_or_else(|| "unknown".to_owned()))
}

fn versions() -> Vec<String> {
    let repository = env!("CARGO_MANIFEST_DIR");
    let commit = first_line(Command::new("git").args(["-C", repository, "describe", "--always", "--dirty"]));
    let own = first_line(Command::new(binary()).arg("--version")).unwrap_or_default();
    let mut versions = vec![format!("{own} (commit {})", commit.unwrap_or_else(|| "unknown".to_owned()))];
    versions.extend(
        first_line(Command::new(server::program("pushgateway-newest")).arg("--version")).map(|line| brief(&line)),
    );
    versions.extend(first_line(Command::new(server::program("promtool")).arg("--version")).map(|line| brief(&line)));
    versions.extend(peers::versions());
    versions
}

/// `pushgateway, version 1.11.2 (branch: …)` without the parenthesis.
fn brief(line: &str) -> String {
    line.split(" (").next().unwrap_or_default().to_owned()
}

/// The first line that a command prints, on standard output or standard error.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}

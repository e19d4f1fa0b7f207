//! How large pushwrap is: its file, its memory, and how often it calls the kernel.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{TlsGateway, curl, pushwrap, text};
use crate::figures::{Figures, Table, Target, mebibytes};
use crate::harness::probe::probe;
use crate::harness::pushwrap::binary;
use crate::harness::{Pushgateway, Version};
use crate::measure::{Case, Usage, command};
use crate::page::Page;
use crate::peers;

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let (gateway, secured) = (Pushgateway::start(Version::Newest), TlsGateway::start());
    let memory = Memory::measure(&gateway, &secured)?;
    let calls = calls(&gateway.url())?;
    let size = fs::metadata(binary())?.len();
    let mut files = Table::new(["file", "size"]);
    let others = ["timeout", "curl", "task-mon", "sentry-cli"].map(|name| (name, peers::find(name)));
    files.row(["**pushwrap**, with all libraries in it".to_owned(), mebibytes(size as f64)]);
    for (name, path) in others.into_iter().filter_map(|(name, path)| Some((name, path?))) {
        files.row([format!("`{name}`"), mebibytes(fs::metadata(path)?.len() as f64)]);
    }
    let in_mebibytes = |bytes: u64| Some((bytes as f64 / f64::from(1 << 20), mebibytes(bytes as f64)));
    let without_tls = memory.quiet.peak_rss_bytes.max(memory.pushed.peak_rss_bytes);
    Ok(Figures {
        targets: vec![
            Target::at_most("peak RSS without TLS: at most 4 MiB", 4.0, in_mebibytes(without_tls)),
            Target::at_most("peak RSS with TLS: at most 5 MiB", 5.0, in_mebibytes(memory.secured.peak_rss_bytes)),
            Target::at_most("RSS when the command is started: at most 1.2 MiB", 1.2, in_mebibytes(memory.at_spawn)),
            Target::at_most("binary: at most 5 MiB", 5.0, in_mebibytes(size)),
        ],
        tables: [Some(files), Some(memory.table), calls].into_iter().flatten().collect(),
        ..Figures::default()
    })
}

/// Peaks of resident memory.
struct Memory {
    table: Table,
    quiet: Usage,
    pushed: Usage,
    secured: Usage,
    at_spawn: u64,
}

impl Memory {
    fn measure(gateway: &Pushgateway, secured: &TlsGateway) -> Result<Self> {
        let (url, tls_url, trust, curl) = (gateway.url(), secured.url(), secured.trust(), curl());
        let tls = ["--cacert", &trust, "--require-push", "--job", "weight", "--instance", "none", "--", "true"];
        let tls = Case::new("", binary(), ["--url", &tls_url].into_iter().chain(tls));
        // Of all commands the one with the least memory of its own: a static program in C.
        let smallest = text(probe());
        let http =
            ["--url", &url, "--require-push", "--job", "weight", "--instance", "none", "--", &smallest, "exit", "0"];
        let quiet = pushwrap("", ["--url", "none", "--", "true"]).usage()?;
        let pushed = pushwrap("", http).usage()?;
        let secured = tls.usage()?;
        // A process begins with the resident set of the one that it was forked from (getrusage(2)).
        let group = gateway.group([("job", "weight")]).context("the group of the push")?;
        let at_spawn = group.number("pushwrap_peak_rss_bytes", []).context("the command's peak RSS")?;
        let ready = format!("{url}/-/ready");
        let secured_ready = format!("{tls_url}/-/ready");
        let others = [
            Some(Case::new("`true`", "true", [""; 0])),
            peers::case("`timeout 9 true`", "timeout", ["9", "true"]),
            Some(Case::new("`curl`", &curl, ["-sSf", &ready])),
            Some(Case::new("`curl`, TLS", &curl, ["-sSf", "--cacert", &trust, &secured_ready])),
        ];
        let mut table = Table::new(["peak RSS of one process", "MiB"]);
        let mut row =
            |name: &str, bytes: u64| table.row([name.to_owned(), format!("{:.2}", bytes as f64 / f64::from(1 << 20))]);
        row("**pushwrap** when it starts the command", at_spawn as u64);
        row("**pushwrap**, no push", quiet.peak_rss_bytes);
        row("**pushwrap**, push", pushed.peak_rss_bytes);
        row("**pushwrap**, push over TLS", secured.peak_rss_bytes);
        for case in others.iter().flatten() {
            row(case.name(), case.usage()?.peak_rss_bytes);
        }
        Ok(Self { table, quiet, pushed, secured, at_spawn: at_spawn as u64 })
    }
}

/// System calls of each program, without those of `true`; nothing where there is no strace.
fn calls(url: &str) -> Result<Option<Table>> {
    let Some(strace) = peers::find("strace") else { return Ok(None) };
    let (own, curl, ready) = (text(&binary()), curl(), format!("{url}/-/ready"));
    let push = vec![own.as_str(), "--url", url, "--job", "j", "--", "true"];
    let cases = [
        ("**pushwrap**, no push", vec![own.as_str(), "--url", "none", "--job", "j", "--", "true"]),
        ("**pushwrap**, push", push),
        ("`timeout 9 true`", vec!["timeout", "9", "true"]),
        ("`curl`, one request", vec![curl.as_str(), "-sSf", &ready]),
    ];
    let mut table = Table::new(["system calls", "number"]);
    for (name, call) in cases {
        table.row([name.to_owned(), traced(&strace, &call)?.to_string()]);
    }
    Ok(Some(table))
}

fn traced(strace: &Path, call: &[&str]) -> Result<usize> {
    let file = tempfile::NamedTempFile::new()?;
    let output = text(file.path());
    command(strace, ["-f", "-o", &output].iter().chain(call)).status()?;
    Ok(own_calls(&fs::read_to_string(file.path())?))
}

/// The calls in a trace: lines of a process id and a call. Those of `true` begin when it has been executed.
fn own_calls(trace: &str) -> usize {
    let mut commands = Vec::new();
    let mut count = 0;
    for (pid, event) in trace.lines().filter_map(|line| line.split_once(' ')) {
        let event = event.trim_start();
        // A call that was interrupted is finished in a line of its own; `+++` and `---` are ends and signals.
        if commands.contains(&pid) || ["<...", "+++", "---"].iter().any(|other| event.starts_with(other)) {
            continue;
        }
        count += 1;
        if event.starts_with("execve(") && event.contains("/true\"") && !event.contains("ENOENT") {
            commands.push(pid);
        }
    }
    count
}

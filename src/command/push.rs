//! `pushwrap push`: metrics files to the gateway, without a command. What people do with curl today, through the same
//! reading and repairing as the metrics of a command.

use std::path::PathBuf;

use crate::config::{Destination, PushConfig, Reporting};
use crate::console::{Console, Volume, write_stderr};
use crate::delivery::deliver_all;
use crate::exposition::{self, Context, Diagnostic, Kind, Reading, count, encode};
use crate::grouping::GroupingKey;
use crate::http::Deadline;
use crate::report;
use crate::sink::{Method, Push, print_request};
use crate::textfile;

/// Pushes the files, or standard input where there are none. 0: everything in them arrived everywhere; else 1.
#[must_use]
pub fn run(config: PushConfig, files: &[PathBuf]) -> u8 {
    let PushConfig { reporting, volume } = config;
    let console = Console(volume);
    for line in reporting.warnings.iter().chain(&reporting.troubles) {
        console.warn(line);
    }
    if !reporting.troubles.is_empty() {
        console.warn("nothing was pushed");
        return 1;
    }
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let found = textfile::gather(files, Some(reporting.push_timeout));
    let grouping = reporting.key.as_ref().map(|key| key.labels().to_vec()).unwrap_or_default();
    let mut reading = exposition::read(&found.sources, &Context { grouping: &grouping, reserved: &[] });
    for problem in found.problems {
        reading.add(problem);
    }
    keep_types(&mut reading);
    textfile::say_findings(&reading.diagnostics, reading.errors(), console);
    // Nothing is left of what was there: a PUT of that would empty the group.
    if reading.samples() == 0 && reading.errors() > 0 {
        console.warn("no sample is left: nothing was pushed");
        return 1;
    }
    let mut reporting = reporting;
    if reporting.on_success == Method::Replace {
        if reading.samples() == 0 {
            console.warn("no sample: nothing was replaced; 'pushwrap delete' empties a group");
            return 1;
        }
        // As in the run form only a success replaces: a PUT would delete what could not be read.
        if reading.errors() > 0 {
            console.warn("not everything could be read: the push replaces only the metrics that it holds (POST)");
            reporting.on_success = Method::Add;
        }
    }
    let is_delivered = deliver(&reporting, &reading, console);
    u8::from(!is_delivered || reading.errors() > 0)
}

/// A file can hold metrics of runs, one that `--output` wrote for example. They keep their types: under another one the
/// gateway would refuse every later run of every job.
fn keep_types(reading: &mut Reading<'_>) {
    let mut wrong = Vec::new();
    for family in std::mem::take(&mut reading.families) {
        match report::kind_of(family.name()) {
            Some(kind) if family.kind() == Kind::Untyped => reading.families.push(family.with_kind(kind)),
            Some(kind) if family.kind() != kind => wrong.push((family.name().to_owned(), kind)),
            _ => reading.families.push(family),
        }
    }
    for (name, kind) in wrong {
        let reason = format!("'{name}' is a {} of every run under pushwrap, and has another type here", kind.name());
        reading.add(Diagnostic::of_file(name, reason).with_help("choose another name"));
    }
}

/// Whether it went where it was to go.
fn deliver(reporting: &Reporting, reading: &Reading<'_>, console: Console) -> bool {
    let body = encode(&reading.families);
    let gateways = match &reporting.destination {
        Destination::Nowhere => return true,
        Destination::Unnamed => {
            if console.0 > Volume::Quiet {
                write_stderr(&body);
            }
            console.warn("these metrics go to a Pushgateway with --url URL or PUSHWRAP_URL");
            return false;
        }
        Destination::Gateways(gateways) => gateways,
    };
    let path = reporting.key.as_ref().map(GroupingKey::path).unwrap_or_default();
    let push = Push { method: reporting.on_success, path, body: body.into(), fallback_body: None };
    if reporting.dry_run {
        for gateway in gateways {
            print_request(gateway, &push, console);
        }
        return true;
    }
    let results = deliver_all(gateways, &push, Deadline::after(reporting.push_timeout));
    let key = reporting.key.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut is_delivered = results.len() == gateways.len();
    for (gateway, result) in gateways.iter().zip(results) {
        match result {
            Ok(delivered) => {
                for note in delivered.notes {
                    console.info(note);
                }
                let samples = count(reading.samples(), "sample");
                console.info(format!("pushed {samples} as {key} to '{}' ({})", gateway.url, delivered.status));
            }
            Err(failure) => {
                console.warn(failure);
                is_delivered = false;
            }
        }
    }
    is_delivered
}

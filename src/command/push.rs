//! `pushwrap push`: metrics files to the gateway, without a command. What people do with curl today, through the same
//! reading and repairing as the metrics of a command.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Destination, PushConfig, Reporting};
use crate::console::{Console, Volume, write_metrics};
use crate::delivery::deliver_all;
use crate::exposition::{Context, Diagnostic, Family, Kind, OwnedFamilies, Reading, encode};
use crate::report;
use crate::sink::{Method, Push, print_request};
use crate::text::plural;
use crate::textfile;

/// How long a gateway that cannot be reached is tried again where no `--push-timeout` was given.
const PATIENCE: Duration = Duration::from_secs(3);

/// Pushes the files, or standard input where there are none. 0: everything in them arrived everywhere; else 1.
#[must_use]
pub fn run(config: PushConfig, files: &[PathBuf]) -> u8 {
    let PushConfig { reporting, volume } = config;
    let console = Console(volume);
    for line in reporting.warnings.iter().chain(&reporting.errors) {
        console.warn(line);
    }
    if !reporting.errors.is_empty() {
        console.warn("nothing was pushed");
        return 1;
    }
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let found = textfile::gather(files, Some(reporting.push_timeout));
    let grouping = reporting.key.as_ref().map(|key| key.labels().to_vec()).unwrap_or_default();
    let context = Context { grouping: &grouping, reserved: &[] };
    let (families, mut findings) = OwnedFamilies::read(found.sources, &context);
    for problem in found.problems {
        findings.add(problem);
    }
    let families = keep_types(families, &mut findings);
    textfile::say_findings(&findings.diagnostics, findings.errors(), console);
    // Nothing is left of what was there: a PUT of that would empty the group.
    if families.samples() == 0 && findings.errors() > 0 {
        console.warn("no sample is left: nothing was pushed");
        return 1;
    }
    let mut reporting = reporting;
    if reporting.on_success == Method::Replace {
        if families.samples() == 0 {
            console.warn("no sample: nothing was replaced; 'pushwrap delete' empties a group");
            return 1;
        }
        // As in the run form only a success replaces: a PUT would delete what could not be read.
        if findings.errors() > 0 {
            console.warn("not everything could be read: the push replaces only the metrics that it holds (POST)");
            reporting.on_success = Method::Add;
        }
    }
    if families.samples() == 0 {
        console.warn("what was read holds no metrics: the push has none");
    }
    let is_delivered = deliver(&reporting, families, console);
    u8::from(!is_delivered || findings.errors() > 0)
}

/// A file can hold metrics of runs, one that `--output` wrote for example. They keep their types: under another one the
/// gateway would refuse every later run of every job.
fn keep_types(families: OwnedFamilies, findings: &mut Reading<'_>) -> OwnedFamilies {
    let is_wrong = |family: &Family<'_>, kind| kind != family.kind() && family.kind() != Kind::Untyped;
    for family in families.families() {
        if let Some(kind) = report::kind_of(family.name()).filter(|kind| is_wrong(family, *kind)) {
            let (name, kind) = (family.name(), kind.name());
            let reason = format!("'{name}' is a {kind} of every run under pushwrap, and has another type here");
            findings.add(Diagnostic::of_file(name, reason).with_help("choose another name"));
        }
    }
    let kept = |family: &Family<'_>| report::kind_of(family.name()).is_none_or(|kind| !is_wrong(family, kind));
    if families.families().iter().all(|family| report::kind_of(family.name()).is_none()) {
        return families;
    }
    OwnedFamilies::of(vec![families], |parts| {
        let families = parts.iter().flat_map(OwnedFamilies::families).filter(|family| kept(family)).cloned();
        families.map(with_own_kind).collect()
    })
}

/// A metric of runs with the type that it has in every push.
fn with_own_kind(family: Family<'_>) -> Family<'_> {
    match report::kind_of(family.name()) {
        Some(kind) => family.with_kind(kind),
        None => family,
    }
}

/// Whether it went where it was to go.
fn deliver(reporting: &Reporting, families: OwnedFamilies, console: Console) -> bool {
    let samples = families.samples();
    let gateways = match &reporting.destination {
        Destination::Nowhere => return true,
        Destination::Unnamed => {
            if console.0 > Volume::Quiet {
                write_metrics(&encode(families.families()));
            }
            console.warn("these metrics go to a Pushgateway with --url URL or PUSHWRAP_URL");
            return false;
        }
        Destination::Gateways(gateways) => gateways,
    };
    let Some(key) = &reporting.key else { return false };
    let push = Push {
        method: reporting.on_success,
        key: key.clone(),
        own: OwnedFamilies::default(),
        command: families,
        carried_over: Vec::new(),
    };
    if reporting.dry_run {
        for gateway in gateways {
            print_request(gateway, &push, console);
        }
        return true;
    }
    let results = deliver_all(gateways, &push, reporting.deadline(PATIENCE));
    let mut is_delivered = results.len() == gateways.len();
    for (gateway, result) in gateways.iter().zip(results) {
        match result {
            Ok(delivered) => {
                if let Some(refused) = delivered.refused(&gateway.url.to_string()) {
                    console.warn(refused);
                    is_delivered = false;
                }
                for detail in &delivered.details {
                    console.info(detail);
                }
                let (samples, status) = (delivered.samples.unwrap_or(samples), delivered.status_in_brackets());
                let samples = plural(samples, "sample");
                console.info(format!("pushed {samples} as {key} to '{}'{status}", gateway.url));
            }
            Err(failure) => {
                console.warn(failure);
                is_delivered = false;
            }
        }
    }
    is_delivered
}

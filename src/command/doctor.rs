//! `pushwrap doctor`: what is configured, from where, and whether a run would be reported. Nothing is run, and nothing is
//! changed at a gateway.

mod checks;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::terminal::print;
use crate::config::{Destination, DoctorConfig, GivenSetting};
use crate::grouping::GroupingKey;
use crate::text::json;
use checks::{CheckLevel, DoctorCheck, examine};

/// Examines the configuration and prints what was found. The exit status: 0 when a run would be reported, else 1.
#[must_use]
pub fn run(config: &DoctorConfig) -> u8 {
    let checks = examine(config);
    let problems = checks.iter().filter(|check| check.level == CheckLevel::Problem).count();
    let text = if config.json { as_json(config, &checks, problems) } else { as_text(config, &checks, problems) };
    u8::from(!print(&text) || problems > 0)
}

fn as_text(config: &DoctorConfig, checks: &[DoctorCheck], problems: usize) -> String {
    let mut text = String::from("settings that are not the default\n");
    for setting in &config.settings {
        line(&mut text, format_args!("  --{} {}  from {}", setting.option, setting.value, setting.source));
    }
    if config.settings.is_empty() {
        text.push_str("  none\n");
    }
    if let Some(key) = &config.reporting.key {
        line(&mut text, format_args!("grouping key\n  {key}\n  {}", key.path()));
        if config.has_placeholder {
            text.push_str(
                "  COMMAND stands for the name of the command: name it with --job, or give the command behind '--'\n",
            );
        }
    }
    text.push_str("checks\n");
    for DoctorCheck { level, subject, finding } in checks {
        line(&mut text, format_args!("  {:7} {subject}: {finding}", level.name()));
    }
    let verdict = match problems {
        0 if matches!(config.reporting.destination, Destination::Nowhere) && !config.reporting.has_other_sink() => {
            "a run would be reported nowhere, as '--url none' says".to_owned()
        }
        0 => "a run would be reported".to_owned(),
        1 => "a run would not be reported as configured: 1 problem".to_owned(),
        problems => format!("a run would not be reported as configured: {problems} problems"),
    };
    text + &verdict + "\n"
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

/// What a program gets; the keys are a contract (docs/doctor.md), and in each object they are in alphabetical order.
#[derive(Serialize)]
struct DoctorJson<'a> {
    checks: &'a [DoctorCheck],
    grouping_key: Option<BTreeMap<&'a str, &'a str>>,
    path: Option<String>,
    settings: &'a [GivenSetting],
    would_report: bool,
}

fn as_json(config: &DoctorConfig, checks: &[DoctorCheck], problems: usize) -> String {
    let key = config.reporting.key.as_ref();
    let report = DoctorJson {
        checks,
        grouping_key: key.map(|key| key.labels().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()),
        path: key.map(GroupingKey::path),
        settings: &config.settings,
        would_report: problems == 0,
    };
    json(&report) + "\n"
}

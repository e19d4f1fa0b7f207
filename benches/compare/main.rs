//! What pushwrap costs, beside what people would use instead: whole processes in turn, compared by their medians.
//!
//!   compare [--write] [SUBJECT...]      measures all subjects, or these; --write puts the figures into docs/benchmarks.md
//!   compare --list                      lists the subjects
//!
//! `make bench` starts it with the binary that users get, and with TMPDIR on a tmpfs: what a disk needs for a directory is not
//! pushwrap's. A program that is not installed is named in the figures and otherwise left out. Exit status 1: a subject could
//! not be measured, or a count of instructions grew by more than two per cent (`ACCEPT=1` takes the new counts).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the harness fails by a panic, as its tests do")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures are rounded anyway")]
#![allow(clippy::cast_sign_loss, reason = "figures are sizes, times and counts")]

#[path = "../../tests/integration/harness/mod.rs"]
mod harness;

mod figures;
mod machine;
mod measure;
mod page;
mod peers;
mod subject;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use figures::Figures;
use page::Page;
use subject::{SUBJECTS, Subject};

fn main() -> Result<ExitCode> {
    // Cargo itself adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for subject in &SUBJECTS {
            println!("{:<13} {}", subject.name, subject.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_written = arguments.iter().any(|argument| argument == "--write");
    let names: Vec<&String> = arguments.iter().filter(|argument| *argument != "--write").collect();
    let mut page = Page::read()?;
    let mut failures = Vec::new();
    for subject in chosen(&names)? {
        println!("\n== {}: {}\n", subject.name, subject.about);
        let load = machine::load();
        match (subject.measure)(&page).with_context(|| format!("subject '{}'", subject.name)) {
            Ok(figures) => failures.extend(enter(&mut page, subject, &figures, &load)?),
            Err(error) => failures.push(format!("{error:#}")),
        }
        if is_written {
            page.write()?;
        }
    }
    if names.is_empty() {
        page.replace("machine", &machine::describe())?;
    }
    if is_written {
        page.write()?;
    }
    for failure in &failures {
        eprintln!("compare: {failure}");
    }
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

/// The subjects with these names, in their own order; all of them where there is no name.
fn chosen(names: &[&String]) -> Result<Vec<&'static Subject>> {
    for name in names {
        let known = SUBJECTS.iter().any(|subject| subject.name == *name);
        ensure!(known, "no subject '{name}': expected one of those that --list prints");
    }
    Ok(SUBJECTS.iter().filter(|subject| names.is_empty() || names.iter().any(|name| *name == subject.name)).collect())
}

/// Prints the figures and enters them into the page; gives what has to fail the bench.
fn enter(page: &mut Page, subject: &Subject, figures: &Figures, load: &str) -> Result<Vec<String>> {
    let text = figures.markdown(load);
    println!("{text}");
    page.replace(subject.name, &text)?;
    for target in &figures.targets {
        println!("{}", target.row().join(" | "));
    }
    page.update_rows("targets", figures.targets.iter().map(figures::Target::row).collect())?;
    Ok(figures.failures.clone())
}

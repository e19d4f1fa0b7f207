//! Instructions of three runs, counted by callgrind: a guard that holds on a busy machine too. The last counts stand in the page.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::text;
use crate::figures::{Figures, Table, Target, grouped};
use crate::harness::pushwrap::binary;
use crate::harness::{FakeGateway, Reply};
use crate::measure::command;
use crate::page::Page;
use crate::peers;

/// By how much a count may grow. Of one binary a push differs by up to 1.3 % on a busy machine, the other two by 0.1 %.
const GROWTH: f64 = 1.02;
const TARGET: &str = "instructions: none of three runs grows by more than 2 %";

pub(crate) fn measure(page: &Page) -> Result<Figures> {
    let Some(valgrind) = peers::find("valgrind") else {
        return Ok(Figures {
            tables: vec![last(page.part("instructions")?)],
            remarks: vec!["Not counted anew: valgrind is not installed.".to_owned()],
            targets: vec![Target::at_most(TARGET, GROWTH, None)],
            ..Figures::default()
        });
    };
    let directory = tempfile::tempdir()?;
    let textfile = directory.path().join("m.prom");
    fs::write(&textfile, "# HELP files_total Files saved.\n# TYPE files_total counter\nfiles_total 1\n")?;
    let server = FakeGateway::start([Reply::ok()]);
    let (own, url) = (text(&binary()), server.url());
    let push = ["--url", &url, "--job", "j", "--instance", "none", "--require-push", "--", "true"];
    let runs = [
        ("no push", ["--url", "none", "--job", "j", "--", "true"].to_vec()),
        ("push to a small server", push.to_vec()),
        ("`metric add`", ["metric", "add", "files"].to_vec()),
    ];
    let is_accepted = std::env::var_os("ACCEPT").is_some_and(|value| value == "1");
    let mut figures = Figures::default();
    let mut table = Table::new(["run", "instructions"]);
    let mut worst: f64 = 0.0;
    for (name, arguments) in runs {
        let output = directory.path().join("callgrind");
        let option = format!("--callgrind-out-file={}.%p", text(&output));
        let mut call = command(&valgrind, ["--tool=callgrind", "-q", &option, &own]);
        let mut child = call.args(arguments).env("PUSHWRAP_TEXTFILE", &textfile).spawn()?;
        let status = child.wait()?;
        ensure!(status.success(), "{name} under callgrind ended with {status}");
        let count = total(&fs::read_to_string(format!("{}.{}", text(&output), child.id()))?)?;
        let before = last_count(page.part("instructions")?, name);
        let growth = before.map_or(1.0, |before| count as f64 / before as f64);
        worst = worst.max(growth);
        let has_grown = growth > GROWTH && !is_accepted;
        if has_grown {
            figures.failures.push(format!(
                "{name} takes {} instructions, {:+.1} %: mend it, or enter the count with ACCEPT=1",
                grouped(count),
                (growth - 1.0) * 100.0
            ));
        }
        println!("{name}: {} instructions, {:+.2} %", grouped(count), (growth - 1.0) * 100.0);
        table.row([name.to_owned(), grouped(if has_grown { before.unwrap_or(count) } else { count })]);
    }
    figures.tables.push(table);
    figures.targets.push(Target::at_most(TARGET, GROWTH, Some((worst, format!("{:+.1} %", (worst - 1.0) * 100.0)))));
    Ok(figures)
}

/// The count of a file that callgrind wrote.
fn total(text: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    line.context("callgrind gives no total")?.trim().parse().context("callgrind's total is a number")
}

/// The rows of the page's table.
fn rows(part: &str) -> impl Iterator<Item = (&str, u64)> {
    part.lines().filter_map(|line| {
        let (name, count) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((name, count.replace(',', "").parse().ok()?))
    })
}

fn last_count(part: &str, name: &str) -> Option<u64> {
    rows(part).find(|(known, _)| *known == name).map(|(_, count)| count)
}

/// The table as it stands in the page.
fn last(part: &str) -> Table {
    let mut table = Table::new(["run", "instructions"]);
    rows(part).for_each(|(name, count)| table.row([name.to_owned(), grouped(count)]));
    table
}

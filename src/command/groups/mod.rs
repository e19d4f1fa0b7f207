//! `pushwrap groups`: what the gateway holds, one row a group: which job, how its last run ended, when, and who is overdue.
//! Groups that somebody else pushed are there too, with what the gateway knows about them.

mod row;

use std::fmt::Write as _;

use super::terminal::{console, paint, print, say_clock};
use crate::config::GroupsConfig;
use crate::exposition::Paint;
use crate::http::Deadline;
use crate::sink::{Inventory, inventory};
use crate::text::json_lines;
use row::GroupRow;

/// The metrics of a run that are looked at, without their prefix.
const METRICS: [&str; 11] = [
    "running",
    "outcome",
    "exit_code",
    "start_timestamp_seconds",
    "end_timestamp_seconds",
    "report_timestamp_seconds",
    "duration_seconds",
    "last_success_timestamp_seconds",
    "last_skipped_timestamp_seconds",
    "max_age_seconds",
    "next_success_deadline_timestamp_seconds",
];
/// Columns are not padded beyond this: one long name must not make every row long.
const WIDEST: usize = 60;

/// Shows the groups of every gateway. The exit status: 0, or 1 when one of them could not be read.
#[must_use]
pub fn run(config: &GroupsConfig) -> u8 {
    let console = console(&config.targets);
    let families: Vec<String> = METRICS.iter().map(|name| format!("{}{name}", config.prefix)).collect();
    let mut status = 0;
    let mut inventories = Vec::new();
    for gateway in &config.targets.gateways {
        let url = gateway.url.to_string();
        match inventory(gateway, &families, Deadline::after(config.targets.push_timeout).with_one_more_try()) {
            Ok(inventory) => {
                say_clock(console, &inventory, &url);
                inventories.push((url, inventory));
            }
            Err(failure) => {
                console.warn(failure);
                status = 1;
            }
        }
    }
    if config.json {
        return if print(as_json(config, &inventories)) { status } else { 1 };
    }
    let several = config.targets.gateways.len() > 1;
    let mut text = String::new();
    for (url, inventory) in &inventories {
        let rows = rows(config, inventory);
        if several {
            let _ = writeln!(text, "{url}");
        }
        text.push_str(&table(&rows, paint(&std::io::stdout())));
        if let Some(filter) = config.filter.to_string_if_any().filter(|_| rows.is_empty()) {
            console.warn(format!("'{url}' holds no group with {filter}"));
        }
    }
    if print(&text) { status } else { 1 }
}

fn as_json(config: &GroupsConfig, inventories: &[(String, Inventory)]) -> String {
    let rows: Vec<_> = inventories.iter().map(|(url, inventory)| (url, rows(config, inventory))).collect();
    let objects: Vec<_> = rows.iter().flat_map(|(url, rows)| rows.iter().map(|row| row.json(url))).collect();
    json_lines(&objects)
}

fn rows<'g>(config: &GroupsConfig, inventory: &'g Inventory) -> Vec<GroupRow<'g>> {
    let meant = inventory.groups.iter().filter(|group| config.filter.meets(&group.key));
    meant.map(|group| GroupRow::of(group, &config.prefix, inventory.now)).collect()
}

const TITLES: [&str; 6] = ["JOB", "LABELS", "OUTCOME", "STARTED", "DURATION", "PUSHED"];
/// The column that is coloured.
const OUTCOME: usize = 2;
const BOLD: &str = "\u{1b}[1m";
const END: &str = "\u{1b}[0m";

/// The rows under their titles, columns aligned.
fn table(rows: &[GroupRow<'_>], paint: Paint) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(GroupRow::cells).collect();
    let width = |column: usize| {
        let widths = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.chain([TITLES.get(column).map_or(0, |title| title.len())]).max().unwrap_or_default().min(WIDEST)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |cells: &[String; 6], colors: [&str; 6]| {
        let mut padding = 0;
        for ((cell, width), color) in cells.iter().zip(widths).zip(colors) {
            let colored = paint == Paint::Ansi && !color.is_empty();
            let (on, off) = if colored { (color, END) } else { ("", "") };
            let _ = write!(text, "{:padding$}{on}{cell}{off}", "");
            padding = width.saturating_sub(cell.chars().count()) + 2;
        }
        text.push('\n');
    };
    line(&TITLES.map(str::to_owned), [BOLD; 6]);
    for (row, cells) in rows.iter().zip(&cells) {
        let mut colors = [""; 6];
        colors[OUTCOME] = row.color();
        line(cells, colors);
    }
    text
}

#[cfg(test)]
mod tests;

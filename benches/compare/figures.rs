//! The result of a subject: tables, what was missing, and the targets that it decides.

use std::fmt::Write as _;
use std::time::Duration;

/// All that a subject has measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) tables: Vec<Table>,
    /// Sentences below the tables: what was left out, and why.
    pub(crate) remarks: Vec<String>,
    pub(crate) targets: Vec<Target>,
    /// What has to fail the bench though it was measured.
    pub(crate) failures: Vec<String>,
}

impl Figures {
    /// The section's text: tables, remarks, date and load.
    pub(crate) fn markdown(&self, load: &str) -> String {
        let mut text: String = self.tables.iter().map(|table| table.markdown() + "\n").collect();
        for remark in &self.remarks {
            let _ = writeln!(text, "{remark}\n");
        }
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M");
        let _ = writeln!(text, "Measured {today} UTC; load average before: {load}.");
        text
    }
}

/// A table with a row of headings.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { headings: headings.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn markdown(&self) -> String {
        let rule = vec!["---".to_owned(); self.headings.len()];
        [&self.headings, &rule].into_iter().chain(&self.rows).map(|cells| markdown_row(cells)).collect()
    }
}

/// One line of a table.
pub(crate) fn markdown_row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// What the project wants to hold, and what was measured.
#[derive(Debug)]
pub(crate) struct Target {
    name: &'static str,
    figure: Option<(f64, String)>,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// Held by a value of at most `limit`; the value is printed as `figure`. `None` where it could not be measured.
    pub(crate) fn at_most(name: &'static str, limit: f64, measured: Option<(f64, String)>) -> Self {
        Self { name, figure: measured, bound: Bound::AtMost(limit) }
    }

    /// The same with a value of at least `limit`.
    pub(crate) fn at_least(name: &'static str, limit: f64, measured: Option<(f64, String)>) -> Self {
        Self { name, figure: measured, bound: Bound::AtLeast(limit) }
    }

    /// Name, figure, and whether it is held.
    pub(crate) fn row(&self) -> Vec<String> {
        let Some((value, text)) = &self.figure else {
            return vec![self.name.to_owned(), "not measured".to_owned(), "?".to_owned()];
        };
        let is_held = match self.bound {
            Bound::AtMost(limit) => *value <= limit,
            Bound::AtLeast(limit) => *value >= limit,
        };
        vec![self.name.to_owned(), text.clone(), if is_held { "held" } else { "**missed**" }.to_owned()]
    }
}

/// A ratio as targets have it: `0.98 ×`.
pub(crate) fn times(ratio: f64) -> (f64, String) {
    (ratio, format!("{ratio:.2} ×"))
}

/// `0.702 ms`, `12.3 ms`, `1.24 s`.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_secs_f64() * 1e3 {
        ms if ms < 10.0 => format!("{ms:.3} ms"),
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1e3),
    }
}

/// Bytes in MiB.
pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.2} MiB", bytes / f64::from(1 << 20))
}

/// A whole number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    digits.chars().enumerate().flat_map(|(at, digit)| comma(at).then_some(',').into_iter().chain([digit])).collect()
}

//! What a soak has done and found, by kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::call::RunResult;

/// A rule of the model that was broken.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    /// The run, or the first one of a series.
    pub(crate) number: u64,
    pub(crate) text: String,
    /// The command line.
    pub(crate) line: String,
    /// What the run was counted under.
    pub(crate) kinds: Vec<String>,
}

/// What the model says, in the order of the table.
pub(crate) const RULES: [(&str, &str); 14] = [
    ("status", "exit status as the contract has it"),
    ("outcome", "outcome and exit code as said agree with the exit status"),
    ("hang", "no hang: command, `--push-timeout` and 5 s for a busy machine"),
    ("streams", "what the command writes arrives, byte for byte; a signal reaches it once"),
    ("panic", "no panic, no message about a defect"),
    ("false", "what is said to be pushed was acknowledged"),
    ("silent", "what was not pushed is said to wait or to be lost"),
    ("lost", "what was acknowledged or kept, or something newer, is there in the end"),
    ("torn", "what a sink holds belongs to one run"),
    ("success", "the last success is not lost with a later failure"),
    ("counter", "no counter falls; each run is counted once, killed ones as lost"),
    ("output", "the file of `--output` is the run's report, as a whole"),
    ("closing", "an ordinary run after everything is reported everywhere"),
    ("leftover", "no file, directory or process is left after that run"),
];

/// The sums of a soak.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    runs: u64,
    killed: u64,
    kinds: BTreeMap<String, (u64, u64)>,
    outcomes: BTreeMap<String, u64>,
    rules: BTreeMap<&'static str, u64>,
    late: Vec<Duration>,
}

impl Figures {
    pub(crate) fn add(&mut self, results: &[RunResult], findings: &[Finding]) {
        for run in results {
            self.runs += 1;
            self.killed += u64::from(run.killed.is_some());
            for kind in &run.plan.kinds {
                self.kinds.entry(kind.clone()).or_default().0 += 1;
            }
            let outcome = if run.killed.is_some() {
                "pushwrap was killed"
            } else if run.summary.is_none() {
                "no summary could be written"
            } else {
                run.outcome()
            };
            *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
            self.late.push(run.late());
        }
        for finding in findings {
            *self.rules.entry(finding.rule).or_default() += 1;
            for kind in &finding.kinds {
                self.kinds.entry(kind.clone()).or_default().1 += 1;
            }
        }
    }

    pub(crate) fn runs(&self) -> u64 {
        self.runs
    }

    pub(crate) fn findings(&self) -> u64 {
        self.rules.values().sum()
    }

    /// The tables of docs/reliability.md.
    pub(crate) fn tables(&mut self) -> String {
        let mut text =
            format!("{} runs, {} of their pushwraps killed, {} findings\n", self.runs, self.killed, self.findings());
        text += "\n| rule | broken |\n|---|---|\n";
        for (rule, meaning) in RULES {
            let _ = writeln!(text, "| {meaning} | {} |", self.rules.get(rule).unwrap_or(&0));
        }
        text += "\n| outcome | runs |\n|---|---|\n";
        for (outcome, count) in &self.outcomes {
            let _ = writeln!(text, "| {outcome} | {count} |");
        }
        text += "\n| what runs were given | runs | findings |\n|---|---|---|\n";
        for (kind, (runs, findings)) in &self.kinds {
            let _ = writeln!(text, "| {kind} | {runs} | {findings} |");
        }
        self.late.sort();
        let at = |part: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a list"
            )]
            let place = (self.late.len() as f64 * part) as usize;
            self.late.get(place.min(self.late.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        let (most, rare, all) = (at(0.99), at(0.999), at(1.0));
        let _ = writeln!(
            text,
            "\nLonger than command, --push-timeout and pauses: 99 of 100 runs at most {most:.2?}, 999 of 1000 {rare:.2?}, all {all:.2?}"
        );
        text
    }
}

//! `pushwrap check`: says what the gateway would refuse in metrics files, what pushwrap repairs and what it drops, in the
//! manner of a compiler; with `--fix` a filter that prints the repaired file. A gateway that is named by `--url` is asked which of
//! the families other groups hold with another type.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::terminal::{console, paint, print};
use crate::cli;
use crate::config::GatewayTargets;
use crate::console::{Console, Volume};
use crate::exposition::{
    self, Context, Diagnostic, Family, Reading, Severity, Source, Verdict, VerdictReason, reconcile_types,
};
use crate::http::Deadline;
use crate::sink::HeldPage;
use crate::text::{json_lines, plural};
use crate::textfile::{self, TextfileContents};

/// Every push has a job, which replaces a label of that name; this one stands for it.
const JOB: &str = "check";

/// The verdict on a file that a gateway takes as it is, for programs.
const TAKEN: &str = "taken";
/// What is said of such a file where a gateway could not be asked.
const NOT_COMPARED: &str = "it was not compared with the types that --url holds, which did not answer";

/// The gateways that judge the files.
struct Judge<'a> {
    context: Context<'a>,
    /// The pages of the gateways that answered.
    pages: Vec<HeldPage<'a>>,
    /// Whether each gateway that was named has answered.
    all_answered: bool,
}

/// Judges the files. 0: the gateway takes each of them as it is (with `--fix`: nothing had to be dropped); else, and where a gateway
/// could not be asked, 1.
#[must_use]
pub fn run(check: &cli::Check, targets: Option<&GatewayTargets>) -> u8 {
    let gather = || textfile::gather(&check.files, None);
    let grouping = [("job".to_owned(), JOB.to_owned())];
    let (pages, all_answered) = targets.map_or((Vec::new(), true), ask);
    let judge = Judge { context: Context { grouping: &grouping, reserved: &[] }, pages, all_answered };
    let is_good = match (check.fix, check.json) {
        (true, _) => fix(&gather(), &judge),
        (_, true) => print_json(&check.files, &judge),
        _ => explain(&gather(), &judge),
    };
    u8::from(!(is_good && all_answered))
}

/// The pages of the gateways, and whether each of them has answered.
fn ask(targets: &GatewayTargets) -> (Vec<HeldPage<'_>>, bool) {
    let console = console(targets);
    let read = |gateway| {
        let deadline = Deadline::after(targets.push_timeout).with_one_more_try();
        HeldPage::read(gateway, deadline).map_err(|failure| console.warn(failure)).ok()
    };
    let pages: Vec<_> = targets.gateways.iter().filter_map(read).collect();
    let all_answered = pages.len() == targets.gateways.len();
    (pages, all_answered)
}

impl Judge<'_> {
    /// What the gateway says to the file, and to its families beside those that it holds.
    fn verdict(&self, source: &Source<'_>, reading: &Reading<'_>) -> Verdict {
        let alone = exposition::judge_file(source, &self.context);
        let Reconciled { retyped, left_out, .. } = self.reconcile(reading.families.clone());
        let conflicts: Vec<_> = retyped.into_iter().chain(left_out).collect();
        if conflicts.is_empty() {
            return alone;
        }
        let (line, first) = match alone {
            Verdict::Taken => (None, None),
            Verdict::Changed(reason) | Verdict::Harmful(reason) | Verdict::Refused(reason) => {
                (reason.line, Some(reason.reason))
            }
        };
        let reason = first.into_iter().chain(conflicts).collect::<Vec<_>>().join("; ");
        Verdict::Refused(VerdictReason { line, reason })
    }

    fn sentence(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Taken if !self.all_answered => format!("a gateway takes it as it is; {NOT_COMPARED}"),
            _ => sentence(verdict),
        }
    }

    /// What a program gets of it.
    fn json(&self, source: &Source<'_>, reading: Reading<'_>) -> CheckJson {
        let verdict = self.verdict(source, &reading);
        let is_compared = self.all_answered || verdict != Verdict::Taken;
        let json = CheckJson::of(source, verdict, reading);
        if is_compared { json } else { CheckJson { reason: Some(NOT_COMPARED.to_owned()), ..json } }
    }

    /// The families as every gateway takes them.
    fn reconcile<'f>(&self, families: Vec<Family<'f>>) -> Reconciled<'f> {
        let mut all = Reconciled { families, retyped: Vec::new(), left_out: Vec::new() };
        for page in &self.pages {
            let one = reconcile_types(all.families, &page.types);
            all.families = one.families;
            all.retyped.extend(one.retyped.iter().map(|conflict| format!("{conflict}, which pushwrap gives it")));
            all.left_out.extend(one.left_out.iter().map(|conflict| {
                let remedy = page.remedy(conflict).map(|remedy| format!(" ({remedy})")).unwrap_or_default();
                format!("{conflict}{remedy}, and pushwrap leaves it out")
            }));
        }
        all
    }
}

/// Families as the gateways take them, and a sentence for each that is changed or left out.
struct Reconciled<'f> {
    families: Vec<Family<'f>>,
    retyped: Vec<String>,
    left_out: Vec<String>,
}

/// The findings on standard error, and one line for each file that sums them up.
fn explain(found: &TextfileContents, judge: &Judge<'_>) -> bool {
    let mut is_good = found.problems.is_empty();
    let mut endings = Vec::new();
    for source in &found.sources {
        let reading = exposition::read(std::slice::from_ref(source), &judge.context);
        let verdict = judge.verdict(source, &reading);
        show(&reading.diagnostics);
        is_good &= verdict == Verdict::Taken;
        endings.push(format!("{}: {}; {}", source.name(), judge.sentence(&verdict), sums(&reading)));
    }
    show(&found.problems);
    endings.extend(found.problems.iter().map(|problem| format!("{}: not read", problem.file)));
    for ending in endings {
        say(&ending);
    }
    is_good
}

/// The repaired files as one on standard output.
fn fix(found: &TextfileContents, judge: &Judge<'_>) -> bool {
    let mut reading = exposition::read(&found.sources, &judge.context);
    for problem in &found.problems {
        reading.add(problem.clone());
    }
    show(&reading.diagnostics);
    if reading.errors() + reading.repairs() + reading.doubts() > 0 {
        say(&sums(&reading));
    }
    let errors = reading.errors();
    let Reconciled { families, retyped, left_out } = judge.reconcile(reading.families);
    for sentence in retyped.iter().chain(&left_out) {
        say(sentence);
    }
    print(exposition::encode(&families)) && errors == 0 && left_out.is_empty()
}

/// What a program gets of a file; the keys are a contract (docs/reference.md).
#[derive(Serialize)]
struct CheckJson {
    file: String,
    verdict: &'static str,
    line: Option<u32>,
    reason: Option<String>,
    samples: u64,
    dropped: u64,
    doubtful: u64,
    repaired: u64,
    findings: Vec<Diagnostic>,
}

impl CheckJson {
    fn of(source: &Source<'_>, verdict: Verdict, reading: Reading<'_>) -> Self {
        let (word, refusal) = match verdict {
            Verdict::Taken => (TAKEN, None),
            Verdict::Changed(refusal) => ("changed", Some(refusal)),
            Verdict::Harmful(refusal) => ("harmful", Some(refusal)),
            Verdict::Refused(refusal) => ("refused", Some(refusal)),
        };
        Self {
            file: source.name().to_owned(),
            verdict: word,
            line: refusal.as_ref().and_then(|refusal| refusal.line),
            reason: refusal.map(|refusal| refusal.reason),
            samples: reading.samples(),
            dropped: reading.errors(),
            doubtful: reading.doubts(),
            repaired: reading.repairs(),
            findings: reading.diagnostics,
        }
    }

    /// A file of which nothing was read.
    fn unread(problem: Diagnostic) -> Self {
        Self {
            file: problem.file.clone(),
            verdict: "unread",
            line: None,
            reason: Some(problem.reason.clone()),
            samples: 0,
            dropped: 0,
            doubtful: 0,
            repaired: 0,
            findings: vec![problem],
        }
    }
}

/// One JSON array on standard output, one line for each file, in the order of the arguments.
fn print_json(files: &[PathBuf], judge: &Judge<'_>) -> bool {
    let mut is_good = true;
    let mut checked = Vec::new();
    for file in files {
        let found = textfile::gather(std::slice::from_ref(file), None);
        for source in &found.sources {
            let json = judge.json(source, exposition::read(std::slice::from_ref(source), &judge.context));
            is_good &= json.verdict == TAKEN;
            checked.push(json);
        }
        is_good &= found.problems.is_empty();
        checked.extend(found.problems.into_iter().map(CheckJson::unread));
    }
    print(json_lines(&checked)) && is_good
}

fn sentence(verdict: &Verdict) -> String {
    let at = |refusal: &VerdictReason| refusal.line.map(|line| format!(" at line {line}")).unwrap_or_default();
    match verdict {
        Verdict::Taken => "the gateway takes it as it is".to_owned(),
        Verdict::Changed(refusal) => {
            format!("the gateway takes it, but not as it is{}: {}", at(refusal), refusal.reason)
        }
        Verdict::Harmful(refusal) => format!("the gateway takes it and suffers: {}", refusal.reason),
        Verdict::Refused(refusal) => format!("the gateway refuses it{}: {}", at(refusal), refusal.reason),
    }
}

fn sums(reading: &Reading<'_>) -> String {
    let unread = reading.diagnostics.iter().filter(|finding| finding.severity == Severity::Unread).count() as u64;
    let dropped = reading.errors().saturating_sub(unread);
    let numbers =
        [(dropped, "dropped"), (reading.repairs(), "repaired"), (reading.doubts(), "doubtful"), (unread, "unread")];
    let found: Vec<_> =
        numbers.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    let rest = if found.is_empty() { String::new() } else { format!(", {}", found.join(", ")) };
    format!("{} kept{rest}", plural(reading.samples(), "sample"))
}

/// Findings in their long form on standard error, with colours on a terminal (<https://no-color.org>).
fn show(findings: &[Diagnostic]) {
    let paint = paint(&io::stderr());
    let mut stderr = io::stderr().lock();
    for finding in findings {
        // A reader who has seen enough is no failure, and a pager may take its time.
        let _ = writeln!(stderr, "{}\n", finding.long(paint));
    }
}

fn say(message: &str) {
    Console(Volume::Normal).warn(message);
}

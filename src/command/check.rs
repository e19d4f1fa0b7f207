//! `pushwrap check`: says what the gateway would refuse in metrics files, what pushwrap repairs and what it drops, in the
//! manner of a compiler; with `--fix` a filter that prints the repaired file.

use std::io::{self, Write as _};
use std::path::PathBuf;

use super::shown::paint;
use crate::cli;
use crate::console::{Console, Volume};
use crate::exposition::{
    self, Context, Diagnostic, Reading, Severity, Source, Verdict, VerdictReason, count, json_string,
};
use crate::textfile::{self, TextfileContents};

/// Every push has a job, which replaces a label of that name; this one stands for it.
const JOB: &str = "check";

/// Judges the files. 0: the gateway takes each of them as it is (with `--fix`: nothing had to be dropped); else 1.
#[must_use]
pub fn run(check: &cli::Check) -> u8 {
    let gather = || textfile::gather(&check.files, None);
    let grouping = [("job".to_owned(), JOB.to_owned())];
    let context = Context { grouping: &grouping, reserved: &[] };
    let is_good = match (check.fix, check.json) {
        (true, _) => fix(&gather(), &context),
        (_, true) => print_json(&check.files, &context),
        _ => explain(&gather(), &context),
    };
    u8::from(!is_good)
}

/// The findings on standard error, and one line for each file that sums them up.
fn explain(found: &TextfileContents, context: &Context<'_>) -> bool {
    let mut is_good = found.problems.is_empty();
    let mut endings = Vec::new();
    for source in &found.sources {
        let reading = exposition::read(std::slice::from_ref(source), context);
        let verdict = exposition::judge_file(source, context);
        show(&reading.diagnostics);
        is_good &= verdict == Verdict::Taken;
        endings.push(format!("{}: {}; {}", source.name(), sentence(&verdict), sums(&reading)));
    }
    show(&found.problems);
    endings.extend(found.problems.iter().map(|problem| format!("{}: not read", problem.file)));
    for ending in endings {
        say(&ending);
    }
    is_good
}

/// The repaired files as one on standard output.
fn fix(found: &TextfileContents, context: &Context<'_>) -> bool {
    let mut reading = exposition::read(&found.sources, context);
    for problem in &found.problems {
        reading.add(problem.clone());
    }
    show(&reading.diagnostics);
    if reading.errors() + reading.repairs() + reading.doubts() > 0 {
        say(&sums(&reading));
    }
    print(&exposition::encode(&reading.families)) && reading.errors() == 0
}

/// One JSON array on standard output, one line for each file, in the order of the arguments.
fn print_json(files: &[PathBuf], context: &Context<'_>) -> bool {
    let mut is_good = true;
    let mut lines = Vec::new();
    for file in files {
        let found = textfile::gather(std::slice::from_ref(file), None);
        for source in &found.sources {
            let verdict = exposition::judge_file(source, context);
            is_good &= verdict == Verdict::Taken;
            lines.push(json(source, &verdict, &exposition::read(std::slice::from_ref(source), context)));
        }
        is_good &= found.problems.is_empty();
        lines.extend(found.problems.iter().map(unread_json));
    }
    print(format!("[\n{}\n]\n", lines.join(",\n")).as_bytes()) && is_good
}

fn json(source: &Source<'_>, verdict: &Verdict, reading: &Reading<'_>) -> String {
    let (word, refusal) = match verdict {
        Verdict::Taken => ("taken", None),
        Verdict::Changed(refusal) => ("changed", Some(refusal)),
        Verdict::Harmful(refusal) => ("harmful", Some(refusal)),
        Verdict::Refused(refusal) => ("refused", Some(refusal)),
    };
    let line = refusal.and_then(|refusal| refusal.line).map_or_else(|| "null".to_owned(), |line| line.to_string());
    let findings: Vec<_> = reading.diagnostics.iter().map(Diagnostic::json).collect();
    format!(
        r#"{{"file":{},"verdict":"{word}","line":{line},"reason":{},"samples":{},"dropped":{},"doubtful":{},"repaired":{},"findings":[{}]}}"#,
        json_string(source.name()),
        refusal.map_or_else(|| "null".to_owned(), |refusal| json_string(&refusal.reason)),
        reading.samples(),
        reading.errors(),
        reading.doubts(),
        reading.repairs(),
        findings.join(","),
    )
}

/// A file of which nothing was read.
fn unread_json(problem: &Diagnostic) -> String {
    format!(
        r#"{{"file":{},"verdict":"unread","line":null,"reason":{},"samples":0,"dropped":0,"doubtful":0,"repaired":0,"findings":[{}]}}"#,
        json_string(&problem.file),
        json_string(&problem.reason),
        problem.json(),
    )
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
    format!("{} kept{rest}", count(reading.samples(), "sample"))
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

/// Writes to standard output; whether it could be written.
fn print(bytes: &[u8]) -> bool {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if let Err(error) = &written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        say(&format!("cannot write to standard output: {error}"));
    }
    written.is_ok()
}

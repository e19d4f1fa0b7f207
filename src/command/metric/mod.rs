//! `pushwrap metric`: what a client library is to a program, this is to a shell script. Each call is one change of one series
//! in the metrics file of the job.

mod file;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::child::{self, Caller, Plan, Program};
use crate::config::{MetricConfig, Task, Timing, UsageError};
use crate::console::say;
use crate::exposition::Change;
use crate::outcome::Exit;
use file::Failure;

/// How many lines that cannot be read are said; the rest is counted.
const FINDINGS: usize = 3;

/// Does what was asked for: 0, or 1 when it failed, or 2 when the file says that it cannot be; a timed command's own end.
#[must_use]
pub fn run(config: MetricConfig, caller: Caller) -> Exit {
    let MetricConfig { textfile, task } = config;
    match task {
        Task::Time { program, timing } => time(textfile.as_deref(), program, timing, caller),
        Task::Change(change) => {
            caller.give_back();
            Exit::Code(record(textfile, &change))
        }
        Task::Names => {
            caller.give_back();
            Exit::Code(print_names(textfile.as_deref()))
        }
    }
}

/// Outside pushwrap there is no file, and a script that is run by hand must not break: one line, and all is well.
fn record(textfile: Option<PathBuf>, change: &Change) -> u8 {
    let Some(textfile) = textfile else {
        say_unset(change.name.as_str());
        return 0;
    };
    write(&textfile, change)
}

fn say_unset(name: &str) {
    say(format!("'{name}' is not written: there is no PUSHWRAP_TEXTFILE outside pushwrap; --textfile names a file"));
}

/// Changes the file; the exit status.
fn write(textfile: &Path, change: &Change) -> u8 {
    match file::update(textfile, change) {
        Ok(problems) => {
            for problem in problems.iter().take(FINDINGS) {
                say(format!("left alone in the metrics file: {problem}"));
            }
            if let Some(more) = problems.len().checked_sub(FINDINGS + 1) {
                say(format!("and {} more; 'pushwrap check' shows all of them", more + 1));
            }
            0
        }
        Err(failure) => {
            say(format!("'{}' is not written: {failure}", change.name.as_str()));
            if matches!(failure, Failure::Misuse(_)) { 2 } else { 1 }
        }
    }
}

/// Runs a command under the rules of the run form, and records how long it took. Whatever is wrong with the metric is said,
/// and the command runs and ends as it would without.
fn time(
    textfile: Option<&Path>,
    program: Vec<OsString>,
    timing: Result<Timing, UsageError>,
    mut caller: Caller,
) -> Exit {
    let measured = match (textfile, timing) {
        (_, Err(usage)) => {
            say(format!("the command is not timed: {usage}"));
            None
        }
        (None, Ok(timing)) => {
            say_unset(timing.name());
            None
        }
        (Some(textfile), Ok(timing)) => Some((textfile, timing)),
    };
    let program = Program { argv: program, ..Program::default() };
    let child = child::spawn(&program, Plan::default(), &mut caller);
    match child.and_then(|child| child.supervise(&mut |_, _| {})) {
        Ok(ended) => {
            if let Some((textfile, timing)) = measured {
                write(textfile, &timing.change(ended.duration));
            }
            ended.end.exit()
        }
        Err(error) => {
            say(&error);
            Exit::Code(error.reason.code())
        }
    }
}

/// For completion: nothing is said, whatever is wrong.
fn print_names(textfile: Option<&Path>) -> u8 {
    let names = textfile.map(file::names).unwrap_or_default();
    let text: String = names.iter().flat_map(|name| [name, "\n"]).collect();
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

//! `pushwrap metric`: what a client library is to a program, this is to a shell script. Each call is one change of one series
//! in the metrics file of the job.

mod file;

use std::ffi::OsString;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::child::{self, Caller, Plan, Program};
use crate::config::{MetricConfig, Task, Timing, UsageError};
use crate::console::{Console, say};
use crate::exposition::Change;
use crate::files::Written;
use crate::outcome::Exit;
use file::{UpdateError, Updated};

/// How many lines that cannot be read are said; the rest is counted.
const FINDINGS: usize = 3;

/// Does what was asked for: 0, or 1 when it failed, or 2 when the file says that it cannot be; a timed command's own end.
#[must_use]
pub fn run(config: MetricConfig, caller: Caller) -> Exit {
    let MetricConfig { textfile, task, volume } = config;
    let file = MetricsFile { path: textfile, console: Console(volume) };
    match task {
        Task::Time { program, timing } => time(&file, program, timing, caller),
        Task::Change(change) => {
            caller.give_back();
            Exit::Code(file.apply(&change))
        }
        Task::Names => {
            caller.give_back();
            Exit::Code(print_names(file.path.as_deref()))
        }
    }
}

/// The metrics file of the job, if there is one.
struct MetricsFile {
    path: Option<PathBuf>,
    console: Console,
}

impl MetricsFile {
    /// Changes the file; the exit status. Outside pushwrap there is no file, and a script that is run by hand must not break: one
    /// line, and all is well.
    fn apply(&self, change: &Change) -> u8 {
        let name = change.name.as_str();
        let Some(path) = &self.path else {
            say_unset(name);
            return 0;
        };
        match file::update(path, change) {
            Ok(updated) => {
                self.report(path, &updated);
                0
            }
            Err(failure) => {
                say(format!("'{name}' is not written: {failure}"));
                if matches!(failure, UpdateError::Misuse(_)) { 2 } else { 1 }
            }
        }
    }

    fn report(&self, path: &Path, Updated { problems, written }: &Updated) {
        if *written == Some(Written::InPlace) {
            self.console.info(format!("'{}' cannot be replaced: it is written in place", path.display()));
        }
        for problem in problems.iter().take(FINDINGS) {
            say(format!("left alone in the metrics file: {problem}"));
        }
        if let Some(more) = problems.len().checked_sub(FINDINGS + 1) {
            say(format!("and {} more; 'pushwrap check' shows all of them", more + 1));
        }
    }
}

fn say_unset(name: &str) {
    say(format!("'{name}' is not written: there is no PUSHWRAP_TEXTFILE outside pushwrap; --textfile names a file"));
}

/// Runs a command under the rules of the run form, and records how long it took. Whatever is wrong with the metric is said,
/// and the command runs and ends as it would without.
fn time(file: &MetricsFile, program: Vec<OsString>, timing: Result<Timing, UsageError>, mut caller: Caller) -> Exit {
    let timing = timing.map_err(|usage| say(format!("the command is not timed: {usage}"))).ok();
    if let Some(timing) = timing.as_ref().filter(|_| file.path.is_none()) {
        say_unset(timing.name());
    }
    let program = Program { argv: program, ..Program::default() };
    let child = child::spawn(&program, Plan::default(), &mut caller);
    match child.and_then(|child| child.supervise(&mut |_, _| {})) {
        Ok(ended) => {
            if let Some(timing) = timing.filter(|_| file.path.is_some()) {
                let change = timing.change(ended.duration);
                // A defect of ours must not cost the command's status.
                let _ = catch_unwind(AssertUnwindSafe(|| file.apply(&change)));
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

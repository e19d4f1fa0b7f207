//! The life of one run: start the command, time it, report how it ended, and end as it ended. The command comes first in
//! everything: it is started before anything large is built, and nothing that reporting does can delay or fail it.

mod report_builder;
mod reporter;
mod summary;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::child::{
    self, Caller, Child, CommandProgress, CommandResult, Event, Plan, Program, SpawnError, TreeUsage, WakeTimes,
};
use crate::config::{Config, SummaryFormat, changes_user};
use crate::console::Console;
use crate::files::leave_directory;
use crate::outcome::{End, Exit, OWN_FAILURE, Outcome, Status};
use crate::report::{RunEnd, Stage};
use crate::textfile::{PrivateFile, Textfile, WriterState};
use report_builder::{Files, RunSnapshot, TextfileFindings};
use reporter::Reporter;
use summary::Account;

/// When the first push of a running command is made, or after one `--push-interval`, whichever is less: most jobs are over by
/// then and need only one.
const FIRST_PUSH: Duration = Duration::from_secs(5);

/// The variable that names the file for the command's metrics.
const TEXTFILE_VARIABLE: &str = "PUSHWRAP_TEXTFILE";

/// Runs the command and reports it. What comes back is how pushwrap has to end.
#[must_use]
pub fn run(config: Config, mut caller: Caller) -> Exit {
    let (console, plan) = (Console(config.volume), plan(&config));
    let command = config.identity.command.clone();
    let (textfile, lack) = textfile(config.textfile.paths);
    let program = Program {
        argv: config.program,
        set: variable(&textfile).into_iter().collect(),
        unset: config.secret_variables,
    };
    let spawned = child::spawn(&program, plan, &mut caller);
    drop(program);
    if spawned.is_ok() {
        leave_directory();
    }
    if let Some(lack) = lack {
        console.warn(lack);
    }
    let files = Files { textfile, max_bytes: config.textfile.max_bytes };
    let mut reporter = Reporter::new(config.reporting, config.identity, files, console);
    if spawned.is_ok() {
        reporter.begin();
    }
    let over = supervise(spawned, &mut reporter, console);
    let outcome = over.ending.end.outcome(&config.codes);
    let facts = RunReport { command: &command, outcome, summary: config.summary };
    // A defect of ours in reporting must not cost the command's status.
    let report = AssertUnwindSafe(|| over.report(&mut reporter, &mut caller, facts));
    let delivered = catch_unwind(report).unwrap_or(false);
    if outcome == Outcome::Success && reporter.requires_push() && !delivered {
        return Exit::Code(OWN_FAILURE);
    }
    over.ending.end.exit()
}

/// How the command is supervised. Where nobody learns of the run, only its end is waited for.
fn plan(config: &Config) -> Plan {
    let is_reported = config.reporting.is_reported();
    let is_measured = is_reported || config.summary.is_some();
    let every = config.reporting.push_interval.filter(|_| is_reported);
    Plan {
        timeout: config.timeout,
        sample_tree: config.sample_tree && is_measured,
        read_cgroups: is_measured,
        wake: every.map(|every| WakeTimes { first: first_push(every), every: Some(every) }),
    }
}

/// When the first push is made. Up to a tenth later than it is due: cron starts many jobs in the same second.
fn first_push(every: Duration) -> Duration {
    FIRST_PUSH.min(every).mul_f64(1.0 + fastrand::f64() / 10.0)
}

/// Supervises the command; returns how it ended, or that it could not be started.
fn supervise(spawned: Result<Child<'_>, SpawnError>, reporter: &mut Reporter, console: Console) -> FinishedRun {
    let mut on_event = |event, progress: &CommandProgress| {
        let stage = match event {
            Event::Due if progress.survived_order => Stage::GoesOn,
            Event::Due => Stage::Running,
            Event::StopOrdered(_) => Stage::StopOrdered,
            Event::CannotSignal => {
                console.warn(
                    "--timeout has passed, but the command runs as another user and cannot be signalled: it goes on",
                );
                return;
            }
        };
        reporter.meanwhile(stage, RunSnapshot::of(progress));
    };
    match spawned.and_then(|child| child.supervise(&mut on_event)) {
        Ok(ended) => FinishedRun::of(&ended),
        Err(error) => {
            console.warn(&error);
            FinishedRun::not_started(&error)
        }
    }
}

/// Where the command's metrics will be. A machine without a writable directory has no private file: the command runs without.
fn textfile(named: Vec<PathBuf>) -> (Textfile, Option<String>) {
    let textfile = Textfile::named(named);
    if textfile.path().is_some() {
        return (textfile, None);
    }
    match PrivateFile::create(temporary_directory()) {
        Ok(private) => (textfile.with_private(private), None),
        Err(error) => (textfile, Some(error)),
    }
}

/// `TMPDIR`, as it is from any directory.
fn temporary_directory() -> Option<OsString> {
    let named = std::env::var_os("TMPDIR")?;
    std::path::absolute(&named).map_or(Some(named), |path| Some(path.into()))
}

/// The variable with the path of the command's metrics file. Absolute: the command may go to another directory first.
fn variable(textfile: &Textfile) -> Option<(OsString, OsString)> {
    let path = textfile.path()?;
    let here = if path.is_absolute() { None } else { std::env::current_dir().ok() };
    Some((TEXTFILE_VARIABLE.into(), here.map_or_else(|| path.to_owned(), |here| here.join(path)).into()))
}

/// A run that is over.
struct FinishedRun {
    ending: RunEnd,
    snapshot: RunSnapshot,
}

/// What a report needs besides the run that has ended.
#[derive(Clone, Copy)]
struct RunReport<'a> {
    command: &'a str,
    outcome: Outcome,
    /// The form of `--summary`, where one is wanted.
    summary: Option<SummaryFormat>,
}

impl FinishedRun {
    /// Reports it and sums it up; whether everything was delivered.
    fn report(
        &self,
        reporter: &mut Reporter,
        caller: &mut Caller,
        RunReport { command, outcome, summary }: RunReport<'_>,
    ) -> bool {
        let Self { ending, snapshot } = self;
        let conclusion = reporter.conclude(caller, Stage::Ended(*ending, outcome), *snapshot, summary);
        let TextfileFindings { samples, errors, .. } = conclusion.findings;
        if changes_user(command) && !conclusion.pushes.is_empty() && samples == 0 && errors == 0 {
            reporter.hint_at_user(command, outcome);
        }
        if let Some(form) = summary {
            Account {
                job: reporter.job(),
                command,
                started: snapshot.started,
                ending,
                outcome,
                tree: snapshot.tree,
                memory_limit_bytes: child::memory_limit_bytes(),
                textfile_samples: conclusion.findings.samples,
                textfile_errors: conclusion.findings.errors,
                pushes: &conclusion.pushes,
            }
            .print(form);
        }
        conclusion.delivered
    }

    fn of(ended: &CommandResult) -> Self {
        let killed = matches!(ended.end, End::Ended { status: Status::Signaled(_), .. });
        let writer = if killed { WriterState::Killed } else { WriterState::Finished };
        Self {
            ending: RunEnd { end: ended.end, at: ended.ended, duration: ended.duration, usage: Some(ended.usage) },
            snapshot: RunSnapshot {
                started: ended.started,
                tree: ended.tree,
                writer,
                told_to_stop: matches!(ended.end, End::Ended { cause, .. } if cause.told_to_stop),
            },
        }
    }

    fn not_started(error: &SpawnError) -> Self {
        let snapshot = RunSnapshot {
            started: error.started,
            tree: TreeUsage::default(),
            writer: WriterState::Finished,
            told_to_stop: false,
        };
        let end = End::NotStarted(error.reason);
        Self { ending: RunEnd { end, at: SystemTime::now(), duration: error.duration, usage: None }, snapshot }
    }
}

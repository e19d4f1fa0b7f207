//! What every report of one run is made of, and how it is composed: the run's own metrics, and what the command wrote.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::child::{CommandProgress, TreeUsage, memory_limit_bytes, spare_memory_bytes};
use crate::delivery::{FinalRun, RunRecord, RunState, SpoolOptions, SpoolPath};
use crate::exposition::{Context, Diagnostic, OwnedFamilies, Reading, encode};
use crate::grouping::GroupingKey;
use crate::http::Deadline;
use crate::outcome::{Outcome, RunCounts};
use crate::report::{RunFacts, RunIdentity, Stage, compose, compose_skipped};
use crate::sink::{Method, Sink, SinkAddress};
use crate::textfile::{ReadOptions, Textfile, TextfileContents, WriterState};

/// A push while the command runs reads this part of `--textfile-max` at most, and takes no more than this of the memory of a
/// control group that has a limit, in bytes.
const HEARTBEAT_PART: u64 = 4;
const HEARTBEAT_MEMORY: u64 = 2 << 20;
/// What stays free of a limited control group's memory for everything but the metrics files: connections and TLS, in bytes.
const MEMORY_RESERVE: u64 = 4 << 20;
/// The state of the run that a report describes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunSnapshot {
    /// Wall clock when the command was started.
    pub(super) started: SystemTime,
    /// Measurements of the whole process tree.
    pub(super) tree: TreeUsage,
    /// Whether the last line of a metrics file may be half a line.
    pub(super) writer: WriterState,
    /// Whether pushwrap was asked to stop.
    pub(super) told_to_stop: bool,
}

impl RunSnapshot {
    pub(super) fn of(progress: &CommandProgress) -> Self {
        Self { started: progress.started, tree: progress.tree, writer: WriterState::Running, told_to_stop: false }
    }
}

/// Builds every report of a run.
pub(super) struct ReportBuilder {
    pub(super) identity: RunIdentity,
    pub(super) reserved: Vec<String>,
    pub(super) key: Option<GroupingKey>,
    pub(super) files: Files,
    pub(super) state_dir: SpoolPath,
    /// `--push-timeout`.
    pub(super) budget: Duration,
    pub(super) run: Arc<RunState>,
}

/// Where the command's metrics are, and how much of them is read.
pub(super) struct Files {
    pub(super) textfile: Textfile,
    pub(super) max_bytes: u64,
}

/// A report before it is addressed.
pub(super) struct Composed {
    pub(super) own: OwnedFamilies,
    pub(super) command: OwnedFamilies,
    pub(super) findings: TextfileFindings,
}

impl Composed {
    pub(super) fn text(&self) -> Vec<u8> {
        encode(self.own.families().iter().chain(self.command.families()))
    }
}

impl ReportBuilder {
    pub(super) fn grouping(&self) -> &[(String, String)] {
        self.key.as_ref().map(GroupingKey::labels).unwrap_or_default()
    }

    pub(super) fn spool(&self) -> Option<SpoolOptions> {
        let (key, run) = (self.key.clone()?, Arc::clone(&self.run));
        let (state_dir, prefix) = (self.state_dir.clone(), self.identity.prefix.clone());
        Some(SpoolOptions { state_dir, key, prefix, budget: self.budget, run })
    }

    /// The metrics files as they are now. While the command runs only what a push beside it can carry: what we take of the
    /// control group's memory then is missing to the command later.
    pub(super) fn read_textfiles(&self, snapshot: RunSnapshot) -> TextfileContents {
        let Files { textfile, max_bytes } = &self.files;
        let (max_bytes, memory_bytes): (u64, fn() -> Option<u64>) = match snapshot.writer {
            WriterState::Running => {
                (max_bytes / HEARTBEAT_PART, || spare_memory_bytes().map(|spare| spare.min(HEARTBEAT_MEMORY)))
            }
            _ => (*max_bytes, || spare_memory_bytes().map(|spare| spare.saturating_sub(MEMORY_RESERVE))),
        };
        let started = Some(snapshot.started);
        textfile.read(ReadOptions { max_bytes, memory_bytes, writer: snapshot.writer, started })
    }

    pub(super) fn parse(&self, snapshot: RunSnapshot, files: TextfileContents) -> Parsed {
        let (written, stale_warning) = (files.oldest_written, files.stale_warning(snapshot.started));
        let (command, found) = self.parse_textfiles(files);
        let facts = CommandFacts { samples: command.samples(), errors: found.errors(), written, was_skipped: false };
        let (samples, errors, findings) = (facts.samples, facts.errors, found.diagnostics);
        let findings = TextfileFindings { samples, errors, findings, state_errors: Vec::new(), stale_warning };
        Parsed { command, findings, facts }
    }

    /// What the command of a run that is over wrote; `heartbeat_sinks` may have got a heartbeat of it. Of a skipped run the
    /// report is the whole only where one of them still holds this run: else another run has reported itself since, which must stay.
    pub(super) fn parse_final(&self, stage: &Stage, snapshot: RunSnapshot, heartbeat_sinks: &[Sink]) -> Parsed {
        match stage {
            Stage::Ended(_, Outcome::Skipped) if !self.is_held(snapshot.started, heartbeat_sinks) => {
                Parsed::of_skipped()
            }
            _ => self.parse(snapshot, self.read_textfiles(snapshot)),
        }
    }

    pub(super) fn own(
        &self,
        stage: &Stage,
        snapshot: RunSnapshot,
        (command, counts): (CommandFacts, Option<RunCounts>),
    ) -> OwnedFamilies {
        if let Stage::Ended(end, _) = stage
            && command.was_skipped
        {
            return compose_skipped(&self.identity, end, counts).into();
        }
        let facts = RunFacts {
            started: snapshot.started,
            reported: SystemTime::now(),
            tree: snapshot.tree,
            memory_limit_bytes: memory_limit_bytes(),
            textfile_samples: command.samples,
            textfile_errors: command.errors,
            textfile_written: command.written,
            counts,
        };
        compose(&self.identity, &facts, stage).into()
    }

    /// The report without counts.
    pub(super) fn compose(&self, stage: &Stage, snapshot: RunSnapshot, parsed: Parsed) -> Composed {
        let Parsed { command, findings, facts } = parsed;
        Composed { own: self.own(stage, snapshot, (facts, None)), command, findings }
    }

    /// Counts a run that has ended, and stores its push for these destinations. None where it has no group or goes on.
    pub(super) fn record(
        &self,
        stage: &Stage,
        snapshot: RunSnapshot,
        (facts, command): (CommandFacts, &OwnedFamilies),
        (method, destinations): (Method, Vec<Option<SinkAddress>>),
    ) -> Option<RunRecord> {
        let (Some(spool), Stage::Ended(_, outcome)) = (self.spool(), stage) else { return None };
        let carried_over = self.identity.carried_over_names();
        let run = FinalRun { outcome: *outcome, method, command, carried_over, destinations };
        Some(spool.record(&run, |counts| self.own(stage, snapshot, (facts, counts))))
    }

    /// Whether a sink holds the metrics of the run with that start time.
    pub(super) fn is_held(&self, started: SystemTime, sinks: &[Sink]) -> bool {
        let Some(key) = &self.key else { return false };
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let deadline = Deadline::after(self.budget / 2);
        let name = self.identity.start_name();
        let is_own = |value: f64| (value - started).abs() < 1e-6;
        let held = |sink: &Sink| sink.value(key, &name, deadline).is_ok_and(|value| value.is_some_and(is_own));
        sinks.iter().any(held)
    }

    /// Whatever is in the files, the run's own metrics go out: a defect of ours in reading them must not take these along.
    pub(super) fn parse_textfiles(&self, files: TextfileContents) -> (OwnedFamilies, Reading<'static>) {
        let context = Context { grouping: self.grouping(), reserved: &self.reserved };
        let TextfileContents { sources, problems, .. } = files;
        let parsed = catch_unwind(AssertUnwindSafe(|| OwnedFamilies::read(sources, &context)));
        let (families, mut findings) = parsed.unwrap_or_else(|_| {
            let mut nothing = Reading::default();
            nothing.add(Diagnostic::of_file("the command's metrics", "pushwrap failed to read them; please report it"));
            (OwnedFamilies::default(), nothing)
        });
        for problem in problems {
            findings.add(problem);
        }
        (families, findings)
    }
}

/// What the command wrote.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) command: OwnedFamilies,
    pub(super) findings: TextfileFindings,
    pub(super) facts: CommandFacts,
}

/// What the run's own metrics tell of the command's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CommandFacts {
    pub(super) samples: u64,
    pub(super) errors: u64,
    pub(super) written: Option<SystemTime>,
    /// The job did not run, and its report is no more than that.
    pub(super) was_skipped: bool,
}

impl Parsed {
    pub(super) fn of_skipped() -> Self {
        Self { facts: CommandFacts { was_skipped: true, ..CommandFacts::default() }, ..Self::default() }
    }

    /// The report of a run of which the state directory has these own metrics, and what has to be said of it.
    pub(super) fn recorded(self, own: OwnedFamilies, state_errors: Vec<String>) -> Composed {
        let Self { command, findings, .. } = self;
        Composed { own, command, findings: TextfileFindings { state_errors, ..findings } }
    }
}

/// The findings in the command's metrics.
#[derive(Default)]
pub(super) struct TextfileFindings {
    pub(super) samples: u64,
    pub(super) errors: u64,
    pub(super) findings: Vec<Diagnostic>,
    /// Errors of the state directory.
    pub(super) state_errors: Vec<String>,
    /// The warning about metrics files that this run did not write.
    pub(super) stale_warning: Option<String>,
}

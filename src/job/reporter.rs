//! The reports of one run: composed from what is known and from what the command wrote, and handed to the sinks.
//! Composing happens on the dispatcher's thread too, because a metrics file can be large and its disk slow.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Caller, Wake};
use crate::config::{Destination, Reporting, SummaryFormat};
use crate::console::{Console, Volume, write_metrics};
use crate::delivery::timing::{BUDGET_AFTER_STOP, IN_FLIGHT_AFTER_STOP, UNREACHABLE_FOR, WAIT_AFTER_SECOND_STOP};
use crate::delivery::{Dispatcher, LazyPush, Report};
use crate::exposition::Diagnostic;
use crate::grouping::GroupingKey;
use crate::http::Deadline;
use crate::outcome::Outcome;
use crate::report::{RunIdentity, Stage};
use crate::sink::{Delivered, Method, Push, PushKind, Sink};
use crate::textfile::{TextfileContents, say_findings, within};

use super::report_builder::{Composed, Files, Parsed, ReportBuilder, RunSnapshot, TextfileFindings};
use super::summary::{PushAccount, PushOutcome};

/// How long is waited for metrics files where they are needed for a summary alone.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(1);

/// Reports one run to its sinks.
pub(super) struct Reporter {
    builder: Arc<ReportBuilder>,
    dispatcher: Option<Dispatcher>,
    reporting: Reporting,
    console: Console,
    stop_reported: bool,
    /// Whether a push was made while the command ran.
    has_pushed_running: bool,
}

impl Reporter {
    pub(super) fn new(reporting: Reporting, identity: RunIdentity, files: Files, console: Console) -> Self {
        for line in reporting.warnings.iter().chain(&reporting.errors) {
            console.warn(line);
        }
        let builder = ReportBuilder {
            reserved: identity.reserved_names(),
            identity,
            key: reporting.key.clone(),
            files,
            state_dir: reporting.state_dir.clone(),
            budget: reporting.push_timeout,
            run: Arc::default(),
        };
        let sends = reporting.errors.is_empty() && !reporting.dry_run;
        let sinks = if sends { reporting.sinks() } else { Vec::new() };
        let dispatcher = (!sinks.is_empty()).then(|| {
            let dispatcher = Dispatcher::new(sinks);
            builder.spool().into_iter().fold(dispatcher, Dispatcher::with_spool)
        });
        Self {
            builder: Arc::new(builder),
            dispatcher,
            reporting,
            console,
            stop_reported: false,
            has_pushed_running: false,
        }
    }

    /// The command has started. Comes back at once.
    pub(super) fn begin(&mut self) {
        if let Some(dispatcher) = &mut self.dispatcher {
            dispatcher.begin();
        }
    }

    /// A report while the command runs. Comes back at once.
    pub(super) fn meanwhile(&mut self, stage: Stage, snapshot: RunSnapshot) {
        let kind = if stage == Stage::StopOrdered { PushKind::Stopping } else { PushKind::Heartbeat };
        if stage == Stage::GoesOn {
            self.stop_reported = false;
        }
        // Report only the first stop signal.
        if kind == PushKind::Stopping && std::mem::replace(&mut self.stop_reported, true) {
            return;
        }
        let deadline = self.reporting.deadline(UNREACHABLE_FOR);
        let push = self.push(stage, snapshot);
        if let (Some(dispatcher), Some(push)) = (&mut self.dispatcher, push) {
            dispatcher.submit(kind, &push, deadline);
            self.has_pushed_running = true;
        }
    }

    /// The report of a run that is over.
    pub(super) fn conclude(
        &mut self,
        caller: &mut Caller,
        stage: Stage,
        snapshot: RunSnapshot,
        summary: Option<SummaryFormat>,
    ) -> Conclusion {
        if !self.reporting.errors.is_empty() {
            self.console.warn("the run is not reported: nothing was pushed");
            let findings = self.findings(&stage, snapshot, summary);
            return Conclusion { findings, pushes: Vec::new(), delivered: false };
        }
        if self.dispatcher.is_some() {
            return self.deliver(caller, stage, snapshot);
        }
        let unnamed = self.reporting.is_unnamed();
        if !unnamed && !self.reporting.dry_run {
            let findings = self.findings(&stage, snapshot, summary);
            return Conclusion { findings, pushes: Vec::new(), delivered: true };
        }
        let parsed = self.parse_in_time(&stage, snapshot, self.reporting.push_timeout);
        let composed = if unnamed && !self.reporting.dry_run {
            self.record_in_time(&stage, snapshot, parsed)
        } else {
            self.builder.compose(&stage, snapshot, parsed)
        };
        if unnamed {
            self.print(&composed);
        } else {
            self.dry_run(&stage, &composed);
        }
        Conclusion { findings: composed.findings, pushes: Vec::new(), delivered: !unnamed }
    }

    /// Says that the metrics file is for our user alone, where that may be why the command's metrics are missing: many commands have none.
    pub(super) fn hint_at_user(&self, command: &str, outcome: Outcome) {
        let hint = format!(
            "no metrics came from '{command}', whose user cannot write the metrics file of this one: pushwrap goes inside, as in \
             'sudo -u USER pushwrap ... -- COMMAND'"
        );
        if outcome == Outcome::Success { self.console.info(hint) } else { self.console.warn(hint) }
    }

    /// Reads metrics files on a thread that is let go when a file system hangs. Then the run's own metrics are the report.
    fn parse_in_time(&self, stage: &Stage, snapshot: RunSnapshot, patience: Duration) -> Parsed {
        if matches!(stage, Stage::Ended(_, Outcome::Skipped)) {
            return Parsed::of_skipped();
        }
        let builder = Arc::clone(&self.builder);
        let contents = within(patience, move || builder.read_textfiles(snapshot)).unwrap_or_else(|| {
            let problem = Diagnostic::of_file("the command's metrics", "the file system did not answer in time");
            TextfileContents { problems: vec![problem], ..TextfileContents::default() }
        });
        self.builder.parse(snapshot, contents)
    }

    /// What a summary tells of the command's metrics, where no sink gets them. Without a summary the files are not read.
    fn findings(&self, stage: &Stage, snapshot: RunSnapshot, summary: Option<SummaryFormat>) -> TextfileFindings {
        if summary.is_none() {
            return TextfileFindings::default();
        }
        let patience = SUMMARY_PATIENCE.min(self.reporting.push_timeout);
        self.parse_in_time(stage, snapshot, patience).findings
    }

    /// Counts the run on a thread that is let go when the disk hangs.
    fn record_in_time(&self, stage: &Stage, snapshot: RunSnapshot, parsed: Parsed) -> Composed {
        let (builder, stage_there) = (Arc::clone(&self.builder), *stage);
        let (facts, command) = (parsed.facts, parsed.command.clone());
        let (sender, receiver) = mpsc::channel();
        let recording = move || {
            let record = builder.record(&stage_there, snapshot, (facts, &command), (Method::Add, Vec::new()));
            drop(sender.send(record));
        };
        let started = thread::Builder::new().name("count".to_owned()).spawn(recording).is_ok();
        let record = if started { receiver.recv_timeout(self.reporting.push_timeout).ok() } else { None };
        match record.flatten() {
            Some(record) => parsed.recorded(record.own, record.said),
            None => self.builder.compose(stage, snapshot, parsed),
        }
    }

    /// Whether a push that failed makes a successful run fail.
    pub(super) fn requires_push(&self) -> bool {
        self.reporting.require_push
    }

    /// The job's name.
    pub(super) fn job(&self) -> &str {
        self.reporting.key.as_ref().map_or("", GroupingKey::job)
    }

    fn method(&self, stage: &Stage) -> Method {
        match stage {
            Stage::Ended(_, Outcome::Success) => self.reporting.on_success,
            _ => Method::Add,
        }
    }

    /// `None` where there is no group to push to, and so no sink.
    fn push(&self, stage: Stage, snapshot: RunSnapshot) -> Option<LazyPush> {
        let (builder, key) = (Arc::clone(&self.builder), self.builder.key.clone()?);
        Some(LazyPush::new(move || {
            let parsed = builder.parse(snapshot, builder.read_textfiles(snapshot));
            let Composed { own, command, .. } = builder.compose(&stage, snapshot, parsed);
            Push { method: Method::Add, key, own, command, carried_over: builder.identity.carried_over_names() }
        }))
    }

    /// The push of a run that has ended. What was found in the command's metrics is left in `shared`.
    fn final_push(&self, stage: Stage, snapshot: RunSnapshot, shared: SharedFindings) -> Option<LazyPush> {
        let (builder, key) = (Arc::clone(&self.builder), self.builder.key.clone()?);
        let method = self.method(&stage);
        let sinks = self.dispatcher.as_ref()?.sinks();
        let destinations = sinks.iter().map(Sink::address).collect();
        let heartbeat_sinks = if self.has_pushed_running { sinks.to_vec() } else { Vec::new() };
        Some(LazyPush::recorded(move || {
            let parsed = builder.parse_final(&stage, snapshot, &heartbeat_sinks);
            let to = (method, destinations);
            let mut record = builder.record(&stage, snapshot, (parsed.facts, &parsed.command), to);
            let Composed { own, command, findings } = match &mut record {
                Some(record) => parsed.recorded(record.own.clone(), std::mem::take(&mut record.said)),
                None => builder.compose(&stage, snapshot, parsed),
            };
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(findings);
            (Push { method, key, own, command, carried_over: builder.identity.carried_over_names() }, record)
        }))
    }

    fn deliver(&mut self, caller: &mut Caller, stage: Stage, snapshot: RunSnapshot) -> Conclusion {
        let shared = SharedFindings::default();
        let method = self.method(&stage);
        let push = self.final_push(stage, snapshot, Arc::clone(&shared));
        let mut conclusion = Conclusion { findings: TextfileFindings::default(), pushes: Vec::new(), delivered: true };
        let (Some(dispatcher), Some(push)) = (&mut self.dispatcher, push) else { return conclusion };
        let began = Instant::now();
        let took = if let Stage::Ended(ending, _) = &stage { ending.duration } else { Duration::ZERO };
        let mut deadline = self.reporting.deadline(UNREACHABLE_FOR.max(took / 10));
        if snapshot.told_to_stop {
            deadline = deadline.min(deadline.earlier(self.reporting.push_timeout.saturating_sub(BUDGET_AFTER_STOP)));
        }
        dispatcher.submit(PushKind::Final, &push, deadline);
        let is_composed = || shared.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let textfile = &self.builder.files.textfile;
        // While the gateway is waited for. What the command left may take a while.
        let reports = await_reports(dispatcher, caller, deadline, &|| {
            if is_composed() {
                textfile.remove_private();
            }
        });
        let sinks: Vec<Sink> = dispatcher.sinks().to_vec();
        conclusion.findings = shared.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        self.say_findings(&conclusion.findings);
        let key = self.reporting.key.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut finals = 0;
        for (report, arrived) in reports {
            let Some(sink) = sinks.get(report.gateway) else { continue };
            let is_final = report.kind == PushKind::Final;
            let done = match (sink, is_final, method) {
                (Sink::Pushgateway(_), true, Method::Delete) => format!("deleted {key} at"),
                _ => format!("pushed {key} to"),
            };
            let result = self.say_result(report, sink, &done);
            if let Some(result) = result.filter(|_| is_final) {
                conclusion.delivered &= result.as_ref().is_ok_and(Delivered::is_complete);
                let delivered = result.as_ref().ok();
                let samples = delivered.and_then(|delivered| delivered.samples);
                let refused = delivered.and_then(|delivered| delivered.refused(&sink.name()));
                let took = arrived.saturating_duration_since(began);
                let outcome = match result {
                    Ok(Delivered { status: Some(status), .. }) => PushOutcome::Pushed(status),
                    Ok(_) => PushOutcome::Written,
                    Err(failure) if sink.is_remote() => PushOutcome::NotPushed(failure),
                    Err(failure) => PushOutcome::NotWritten(failure),
                };
                conclusion.pushes.push(PushAccount { url: sink.name(), outcome, took, samples, refused });
                finals += 1;
            }
        }
        conclusion.delivered &= finals == sinks.len();
        conclusion
    }

    /// Says what became of one report, which `done` names if it was taken; the result is for the summary.
    fn say_result(&self, report: Report, sink: &Sink, done: &str) -> Option<Result<Delivered, String>> {
        let is_final = report.kind == PushKind::Final;
        let said = report.said;
        // An outage is said once, as long as nothing is lost by it and nobody asked for more.
        let is_quiet = report.is_known_outage && !self.reporting.require_push;
        let result = report.result.map(|result| match result {
            Ok(success) if report.kind == PushKind::Spooled => {
                for detail in &success.details {
                    self.console.info(detail);
                }
                Ok(success)
            }
            Ok(success) if sink.is_remote() => {
                if let Some(refused) = success.refused(&sink.name()).filter(|_| is_final) {
                    self.console.warn(refused);
                }
                self.say_success(&success, sink, done);
                Ok(success)
            }
            Ok(success) => {
                if !sink.is_stderr() {
                    self.console.info(format!("wrote '{}'", sink.name()));
                }
                for detail in &success.details {
                    self.console.info(detail);
                }
                Ok(success)
            }
            Err(failure) => {
                // Between the pushes of a running command only the last word counts.
                if is_final && !is_quiet {
                    self.console.warn(&failure);
                } else if report.kind == PushKind::Spooled {
                    self.console.info(format!("a push of another group waits on: {failure}"));
                } else {
                    self.console.info(&failure);
                }
                Err(failure.to_string())
            }
        });
        for line in said {
            if is_quiet {
                self.console.info(line);
            } else {
                self.console.warn(line);
            }
        }
        result
    }

    fn say_success(&self, Delivered { status, tries, details, .. }: &Delivered, sink: &Sink, done: &str) {
        for detail in details {
            self.console.info(detail);
        }
        let tries = (*tries > 1).then(|| format!("{tries} tries"));
        let facts: Vec<String> = status.map(|status| status.to_string()).into_iter().chain(tries).collect();
        self.console.info(format!("{done} '{}' ({})", sink.name(), facts.join(", ")));
    }

    fn say_findings(&self, findings: &TextfileFindings) {
        for problem in &findings.state_errors {
            self.console.warn(problem);
        }
        if let Some(warning) = &findings.stale_warning {
            self.console.warn(warning);
        }
        say_findings(&findings.findings, findings.errors, self.console);
    }

    /// No gateway was named: the metrics themselves, and how to name one.
    fn print(&self, composed: &Composed) {
        if self.console.0 == Volume::Quiet {
            return;
        }
        self.say_findings(&composed.findings);
        write_metrics(&composed.text());
        self.console.warn("these metrics go to a Pushgateway with --url URL or PUSHWRAP_URL");
    }

    /// `--dry-run`: the request that would have been sent.
    fn dry_run(&self, stage: &Stage, composed: &Composed) {
        self.say_findings(&composed.findings);
        if !matches!(self.reporting.destination, Destination::Gateways(_)) && self.reporting.has_other_sink() {
            write_metrics(&composed.text());
        }
        let Some(key) = self.builder.key.clone() else { return };
        let (own, command) = (composed.own.clone(), composed.command.clone());
        let carried_over = self.builder.identity.carried_over_names();
        let push = Push { method: self.method(stage), key, own, command, carried_over };
        for sink in self.reporting.sinks() {
            sink.dry_run(&push, self.console);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        // A push that was let go holds the metrics files and does not end: they go away without it.
        if Arc::strong_count(&self.builder) > 1 {
            self.builder.files.textfile.remove_private_in_time();
        }
    }
}

/// The result of reporting a run that has ended.
pub(super) struct Conclusion {
    pub(super) findings: TextfileFindings,
    /// The result of the final report, for each sink.
    pub(super) pushes: Vec<PushAccount>,
    /// Whether everything went where it was to go.
    pub(super) delivered: bool,
}

/// Where the dispatcher's thread leaves the findings of the last report when it is composed.
type SharedFindings = Arc<Mutex<Option<TextfileFindings>>>;

/// Waits for the final push, while signals can still cut it short. `on_progress` is called when it has come further.
fn await_reports(
    dispatcher: &mut Dispatcher,
    caller: &mut Caller,
    deadline: Deadline,
    on_progress: &dyn Fn(),
) -> Vec<(Report, Instant)> {
    let mut reports = Vec::new();
    let mut until = deadline;
    while dispatcher.busy() {
        let Some(wakeup) = dispatcher.fd() else { break };
        match caller.wait(wakeup, deadline.instant()) {
            Wake::Done => {
                reports.extend(dated(dispatcher.take()));
                on_progress();
            }
            Wake::Deadline => break,
            Wake::Stop { second: false } => dispatcher.shorten(IN_FLIGHT_AFTER_STOP),
            Wake::Stop { second: true } => {
                dispatcher.stop();
                until = Deadline::after(WAIT_AFTER_SECOND_STOP);
                break;
            }
        }
    }
    reports.extend(dated(dispatcher.wait(until)));
    reports
}

/// The reports with the time at which they came.
fn dated(reports: Vec<Report>) -> impl Iterator<Item = (Report, Instant)> {
    let now = Instant::now();
    reports.into_iter().map(move |report| (report, now))
}

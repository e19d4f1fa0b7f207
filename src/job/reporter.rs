//! The reports of one run: composed from what is known and from what the command wrote, and handed to whoever wants them.
//! Composing happens on the courier's thread too, because a metrics file can be large and its disk slow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::child::{Caller, Progress, Wake, memory_limit_bytes};
use crate::config::{Destination, Reporting};
use crate::console::{Console, Volume, write_stderr};
use crate::exposition::{self, Context, Diagnostic, Reading, encode};
use crate::grouping::GroupingKey;
use crate::outcome::Outcome;
use crate::report::{Facts, Identity, Stage, compose, compose_counts};
use crate::sink::{
    CountsText, Courier, Deadline, Delivered, Gateway, Method, Output, OutputTarget, Parcel, Push, RemoteWrite, Report,
    RunCounts, Sink, Spool, StateDir, Turn, rehearse, rehearse_remote_write,
};
use crate::textfile::{Found, Textfile, Writer, say_findings};

use super::summary::{Fate, PushAccount};

/// After an order to stop a KILL follows soon (GitHub Actions: 10 s after the first signal), so the last push gets less.
const HASTE: Duration = Duration::from_secs(5);
/// What the push in flight may still take after an order to stop that came when the command had ended.
const LAST_TRY: Duration = Duration::from_secs(2);
/// How long pushes that were told to stop at once are waited for.
const PARTING: Duration = Duration::from_millis(100);

/// What a report depends on besides the stage of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Wall clock when the command was started.
    pub(super) started: SystemTime,
    /// Sampled peak of the process tree, in bytes.
    pub(super) tree_peak_rss_bytes: Option<u64>,
    /// Whether the last line of a metrics file may be half a line.
    pub(super) writer: Writer,
    /// Whether pushwrap was told to stop.
    pub(super) told_to_stop: bool,
}

impl Moment {
    pub(super) fn of(progress: &Progress) -> Self {
        Self {
            started: progress.started,
            tree_peak_rss_bytes: progress.tree_peak_rss_bytes,
            writer: Writer::Interrupted,
            told_to_stop: false,
        }
    }
}

/// What every report of a run is made of.
struct Materials {
    identity: Identity,
    reserved: Vec<String>,
    grouping: Vec<(String, String)>,
    path: String,
    files: Files,
    state_dir: StateDir,
    /// `--push-timeout`.
    budget: Duration,
}

/// Where the command's metrics are, and how much of them is read.
pub(super) struct Files {
    pub(super) textfile: Textfile,
    pub(super) max_bytes: u64,
}

/// A report before it is addressed.
struct Composed {
    body: Vec<u8>,
    /// The run's own metrics alone, where there are others.
    salvage: Option<Vec<u8>>,
    gist: Gist,
}

impl Materials {
    fn spool(&self) -> Spool {
        let lasting = self.identity.lasting_names();
        let identity = self.identity.clone();
        let counts_text = CountsText::new(move |counts| encode(&compose_counts(&identity, counts)));
        let (state_dir, grouping) = (self.state_dir.clone(), self.grouping.clone());
        Spool { state_dir, grouping, lasting, counts_text, budget: self.budget }
    }

    /// Counts a run that has ended, where there is a state directory.
    fn count(&self, stage: &Stage) -> Counted {
        let Stage::Ended(_, outcome) = stage else { return Counted::default() };
        let directory = match self.state_dir.open() {
            Ok(Some(directory)) => directory.within(self.budget),
            Ok(None) => return Counted::default(),
            Err(trouble) => return Counted { counts: None, trouble: Some(trouble) },
        };
        match directory.count(&self.path, *outcome) {
            Ok((counts, note)) => Counted { counts: Some(counts), trouble: note },
            Err(trouble) => Counted { counts: None, trouble: Some(format!("the run is not counted: {trouble}")) },
        }
    }

    fn compose(&self, stage: &Stage, moment: Moment, counted: Counted) -> Composed {
        let files = self.files.textfile.collect(self.files.max_bytes, moment.writer);
        let reading = self.understand(&files);
        let mut facts = Facts {
            started: moment.started,
            tree_peak_rss_bytes: moment.tree_peak_rss_bytes,
            memory_limit_bytes: memory_limit_bytes(),
            textfile_samples: reading.samples(),
            textfile_errors: reading.errors(),
            counts: counted.counts,
        };
        let own = compose(&self.identity, &facts, stage);
        let body = encode(own.iter().chain(&reading.families));
        let gist = Gist {
            samples: reading.samples(),
            errors: reading.errors(),
            findings: Vec::new(),
            trouble: counted.trouble,
        };
        let salvage = (!reading.families.is_empty()).then(|| {
            facts.textfile_samples = 0;
            facts.textfile_errors += 1;
            encode(&compose(&self.identity, &facts, stage))
        });
        Composed { body, salvage, gist: Gist { findings: reading.diagnostics, ..gist } }
    }

    /// Whatever is in the files, the run's own metrics go out: a defect of ours in reading them must not take these along.
    fn understand<'f>(&self, files: &'f Found) -> Reading<'f> {
        let context = Context { grouping: &self.grouping, reserved: &self.reserved };
        let understood = catch_unwind(AssertUnwindSafe(|| exposition::read(&files.sources, &context)));
        let mut reading = understood.unwrap_or_else(|_| {
            let mut nothing = Reading::default();
            nothing.add(Diagnostic::of_file("the command's metrics", "pushwrap failed to read them; please report it"));
            nothing
        });
        for problem in &files.problems {
            reading.add(problem.clone());
        }
        reading
    }
}

/// What came of counting a run.
#[derive(Default)]
struct Counted {
    counts: Option<RunCounts>,
    trouble: Option<String>,
}

/// Who reports a run.
pub(super) struct Reporter {
    materials: Arc<Materials>,
    courier: Option<Courier>,
    reporting: Reporting,
    console: Console,
    told: bool,
}

impl Reporter {
    pub(super) fn new(mut reporting: Reporting, identity: Identity, files: Files, console: Console) -> Self {
        for line in reporting.warnings.iter().chain(&reporting.troubles) {
            console.warn(line);
        }
        let key = reporting.key.as_ref();
        let materials = Materials {
            reserved: identity.reserved_names(),
            identity,
            grouping: key.map(|key| key.labels().to_vec()).unwrap_or_default(),
            path: key.map(GroupingKey::path).unwrap_or_default(),
            files,
            state_dir: reporting.state_dir.clone(),
            budget: reporting.push_timeout,
        };
        let sends = reporting.troubles.is_empty() && !reporting.dry_run;
        let sinks = if sends { sinks(&mut reporting, &materials) } else { Vec::new() };
        let courier = (!sinks.is_empty()).then(|| Courier::new(sinks).with_spool(materials.spool()));
        Self { materials: Arc::new(materials), courier, reporting, console, told: false }
    }

    /// A report while the command runs. Comes back at once.
    pub(super) fn meanwhile(&mut self, stage: Stage, moment: Moment) {
        let turn = if stage == Stage::ToldToStop { Turn::Interim } else { Turn::Running };
        // Whoever says it twice has been heard the first time.
        if turn == Turn::Interim && std::mem::replace(&mut self.told, true) {
            return;
        }
        let deadline = Deadline::after(self.reporting.push_timeout);
        let parcel = self.parcel(stage, moment, Method::Add, None);
        if let Some(courier) = &mut self.courier {
            courier.submit(turn, &parcel, deadline);
        }
    }

    /// The report of a run that is over.
    pub(super) fn conclude(&mut self, caller: &mut Caller, stage: Stage, moment: Moment) -> Conclusion {
        if !self.reporting.troubles.is_empty() {
            self.console.warn("the run is not reported: nothing was pushed");
            let gist = self.materials.compose(&stage, moment, Counted::default()).gist;
            return Conclusion { gist, pushes: Vec::new(), delivered: false };
        }
        if self.courier.is_some() {
            return self.deliver(caller, stage, moment);
        }
        let unnamed = self.reporting.is_unnamed();
        let counted = if unnamed && !self.reporting.dry_run { self.count(stage) } else { Counted::default() };
        let composed = self.materials.compose(&stage, moment, counted);
        if unnamed {
            self.print(&composed);
        } else if self.reporting.dry_run {
            self.rehearse(&stage, &composed);
        }
        Conclusion { gist: composed.gist, pushes: Vec::new(), delivered: !unnamed }
    }

    /// Counts the run on a thread that is let go when the disk hangs.
    fn count(&self, stage: Stage) -> Counted {
        let materials = Arc::clone(&self.materials);
        let (sender, receiver) = mpsc::channel();
        let counting = move || drop(sender.send(materials.count(&stage)));
        let started = thread::Builder::new().name("count".to_owned()).spawn(counting).is_ok();
        let counted = if started { receiver.recv_timeout(self.reporting.push_timeout).ok() } else { None };
        counted.unwrap_or_default()
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

    fn parcel(&self, stage: Stage, moment: Moment, method: Method, told: Option<Told>) -> Parcel {
        let materials = Arc::clone(&self.materials);
        Parcel::new(move || {
            let counted = if told.is_some() { materials.count(&stage) } else { Counted::default() };
            let Composed { body, salvage, gist } = materials.compose(&stage, moment, counted);
            if let Some(told) = told {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = gist;
            }
            let path = materials.path.clone();
            Push { method, path, body: body.into(), salvage: salvage.map(Into::into) }
        })
    }

    fn deliver(&mut self, caller: &mut Caller, stage: Stage, moment: Moment) -> Conclusion {
        let told = Told::default();
        let method = self.method(&stage);
        let parcel = self.parcel(stage, moment, method, Some(Arc::clone(&told)));
        let mut conclusion = Conclusion { gist: Gist::default(), pushes: Vec::new(), delivered: true };
        let Some(courier) = &mut self.courier else { return conclusion };
        let began = Instant::now();
        let budget =
            if moment.told_to_stop { self.reporting.push_timeout.min(HASTE) } else { self.reporting.push_timeout };
        let deadline = Deadline::after(budget);
        courier.submit(Turn::Final, &parcel, deadline);
        let reports = await_reports(courier, caller, deadline);
        let sinks: Vec<Sink> = courier.sinks().to_vec();
        conclusion.gist = std::mem::take(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
        self.say_findings(&conclusion.gist);
        let key = self.reporting.key.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut finals = 0;
        for (report, arrived) in reports {
            let Some(sink) = sinks.get(report.gateway) else { continue };
            let is_final = report.turn == Turn::Final;
            let done = match (sink, is_final, method) {
                (Sink::Pushgateway(_), true, Method::Delete) => format!("deleted {key} at"),
                _ => format!("pushed {key} to"),
            };
            let result = self.say_result(report, sink, &done);
            if is_final {
                conclusion.delivered &= result.is_ok();
                let took = arrived.saturating_duration_since(began);
                let fate = match result {
                    Ok(status) if sink.is_remote() => Fate::Pushed(status),
                    Ok(_) => Fate::Written,
                    Err(failure) if sink.is_remote() => Fate::NotPushed(failure),
                    Err(failure) => Fate::NotWritten(failure),
                };
                conclusion.pushes.push(PushAccount { url: sink.name(), fate, took });
                finals += 1;
            }
        }
        conclusion.delivered &= finals == sinks.len();
        conclusion
    }

    /// Says what became of one report, which `done` names if it was taken; the result is for the summary.
    fn say_result(&self, report: Report, sink: &Sink, done: &str) -> Result<u16, String> {
        let is_final = report.turn == Turn::Final;
        let said = report.said;
        let result = match report.result {
            Ok(success) if report.turn == Turn::Waiting => {
                for note in &success.notes {
                    self.console.info(note);
                }
                Ok(success.status)
            }
            Ok(success) if sink.is_remote() => {
                if let Some(refused) = success.refused(&sink.name()).filter(|_| is_final) {
                    self.console.warn(refused);
                }
                self.say_success(&success, sink, done);
                Ok(success.status)
            }
            Ok(success) => {
                if !sink.is_stderr() {
                    self.console.info(format!("wrote '{}'", sink.name()));
                }
                Ok(success.status)
            }
            Err(failure) => {
                // Between the pushes of a running command only the last word counts.
                if is_final {
                    self.console.warn(&failure);
                } else {
                    self.console.info(&failure);
                }
                Err(failure.to_string())
            }
        };
        for line in said {
            self.console.warn(line);
        }
        result
    }

    fn say_success(&self, Delivered { status, tries, notes, .. }: &Delivered, sink: &Sink, done: &str) {
        for note in notes {
            self.console.info(note);
        }
        let tried = if *tries > 1 { format!(", {tries} tries") } else { String::new() };
        self.console.info(format!("{done} '{}' ({status}{tried})", sink.name()));
    }

    fn say_findings(&self, gist: &Gist) {
        if let Some(trouble) = &gist.trouble {
            self.console.warn(trouble);
        }
        say_findings(&gist.findings, gist.errors, self.console);
    }

    /// No gateway was named: the metrics themselves, and how to name one.
    fn print(&self, composed: &Composed) {
        if self.console.0 == Volume::Quiet {
            return;
        }
        self.say_findings(&composed.gist);
        write_stderr(&composed.body);
        self.console.warn("these metrics go to a Pushgateway with --url URL or PUSHWRAP_URL");
    }

    /// `--dry-run`: the request that would have been sent.
    fn rehearse(&self, stage: &Stage, composed: &Composed) {
        self.say_findings(&composed.gist);
        let gateways: &[Gateway] = match &self.reporting.destination {
            Destination::Gateways(gateways) => gateways,
            Destination::Unnamed | Destination::Nowhere => &[],
        };
        if gateways.is_empty() && self.reporting.has_other_sink() {
            write_stderr(&composed.body);
        }
        let path = self.materials.path.clone();
        let push = Push { method: self.method(stage), path, body: composed.body.clone().into(), salvage: None };
        for gateway in gateways {
            rehearse(gateway, &push, self.console);
        }
        if let Some(endpoint) = &self.reporting.remote_write {
            let remote = RemoteWrite { endpoint: endpoint.clone(), grouping: self.materials.grouping.clone() };
            rehearse_remote_write(&remote, &push, self.console);
        }
        if let Some(OutputTarget::File(path)) = &self.reporting.output {
            self.console.warn(format!("not written: '{}'", path.display()));
        }
    }
}

/// Everybody who gets the reports.
fn sinks(reporting: &mut Reporting, materials: &Materials) -> Vec<Sink> {
    let gateways = match &mut reporting.destination {
        Destination::Gateways(gateways) => std::mem::take(gateways),
        Destination::Unnamed | Destination::Nowhere => Vec::new(),
    };
    let grouping = || materials.grouping.clone();
    let remote_write = reporting.remote_write.take().map(|endpoint| RemoteWrite { endpoint, grouping: grouping() });
    let lasting = materials.identity.lasting_names();
    let output = reporting.output.take().map(|target| Output { target, grouping: grouping(), lasting });
    let sinks = gateways.into_iter().map(Sink::Pushgateway);
    sinks.chain(remote_write.map(Sink::RemoteWrite)).chain(output.map(Sink::Output)).collect()
}

/// What came of the report of a run that is over.
pub(super) struct Conclusion {
    pub(super) gist: Gist,
    /// What became of the final report, for each who gets it.
    pub(super) pushes: Vec<PushAccount>,
    /// Whether everything went where it was to go.
    pub(super) delivered: bool,
}

/// What was found in the command's metrics.
#[derive(Default)]
pub(super) struct Gist {
    pub(super) samples: u64,
    pub(super) errors: u64,
    findings: Vec<Diagnostic>,
    /// What went wrong in the state directory.
    trouble: Option<String>,
}

/// Where the courier's thread leaves the gist of the last report.
type Told = Arc<Mutex<Gist>>;

/// Waits for the final push, while signals can still cut it short.
fn await_reports(courier: &mut Courier, caller: &mut Caller, deadline: Deadline) -> Vec<(Report, Instant)> {
    let mut reports = Vec::new();
    let mut until = deadline;
    while courier.busy() {
        let Some(bell) = courier.fd() else { break };
        match caller.wait(bell, deadline.instant()) {
            Wake::Done => reports.extend(dated(courier.take())),
            Wake::Deadline => break,
            Wake::Stop { second: false } => courier.hurry(LAST_TRY),
            Wake::Stop { second: true } => {
                courier.stop();
                until = Deadline::after(PARTING);
                break;
            }
        }
    }
    reports.extend(dated(courier.wait(until)));
    reports
}

/// The reports with the time at which they came.
fn dated(reports: Vec<Report>) -> impl Iterator<Item = (Report, Instant)> {
    let now = Instant::now();
    reports.into_iter().map(move |report| (report, now))
}

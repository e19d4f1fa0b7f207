//! What must be true of the groups when every fault is over and what waited was sent, and of the ordinary run that closes a series.

use super::call::RunResult;
use super::entrance::{Content, Exchange, RUN_MARKER};
use super::harness::pushgateway::Group;
use super::judge_run::Claim;
use super::locked;
use super::plan::{Method, Setting, SinkKind, StateKind};
use super::series::{Series, SinkAtWork, is_one_late};

/// How far times of the same moment may be apart that were printed in different ways.
const SAME: f64 = 0.001;

/// What a sink holds of a job.
#[derive(Debug, Default)]
struct Held {
    /// The label `run` of its `run_info`; a receiver of remote write has one for each run.
    run: Option<u64>,
    start: Option<f64>,
    running: Option<f64>,
    exit_code: Option<f64>,
    last_success: Option<f64>,
    /// By when the job has to succeed next.
    next_deadline: Option<f64>,
    /// The command's own metric.
    sample: Option<f64>,
    /// The sum of `runs_total`, and how many of them were lost.
    runs: f64,
    lost: f64,
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < SAME
}

impl Series<'_> {
    fn held(&self, sink: &SinkAtWork, job: usize) -> Option<Held> {
        let job = self.job(job);
        match sink.kind {
            SinkKind::Pushgateway => self.gateway(sink).group([("job", &job)]).as_ref().map(Held::of_group),
            SinkKind::RemoteWrite => self.held_by_receiver(&job),
        }
    }

    fn held_by_receiver(&self, job: &str) -> Option<Held> {
        let rows = |name: &str| self.servers.receiver.query(&format!("last_over_time({name}{{job=\"{job}\"}}[2h])"));
        let value = |name: &str| rows(name).first().and_then(|row| row.1.parse().ok());
        let start = value("pushwrap_start_timestamp_seconds")?;
        let counts = rows("pushwrap_runs_total");
        let number =
            |row: &(std::collections::BTreeMap<String, String>, String)| row.1.parse::<f64>().unwrap_or_default();
        Some(Held {
            run: None,
            start: Some(start),
            running: value("pushwrap_running"),
            exit_code: value("pushwrap_exit_code"),
            last_success: value("pushwrap_last_success_timestamp_seconds"),
            next_deadline: value("pushwrap_next_success_deadline_timestamp_seconds"),
            sample: value("soak_run"),
            runs: counts.iter().map(number).sum(),
            lost: counts.iter().filter(|row| row.0.get("outcome").is_some_and(|name| name == "lost")).map(number).sum(),
        })
    }

    /// Judges what every sink holds of every job.
    pub(crate) fn judge_groups(&self, results: &[RunResult]) {
        for sink in &self.sinks {
            let exchanges = sink.entrance.exchanges();
            for job in 0..self.plan.jobs {
                let runs: Vec<&RunResult> = results.iter().filter(|run| run.plan.job == job).collect();
                self.judge_group((sink, &exchanges), &runs, self.held(sink, job));
            }
        }
    }

    /// Whether the sink has to know of the run, or of a newer one.
    fn must(&self, run: &RunResult, sink: &SinkAtWork, exchanges: &[Exchange]) -> bool {
        let claim = run.claim(&sink.url());
        let is_own = |exchange: &&Exchange| {
            let is_deletion =
                run.deletes() && exchange.method == "DELETE" && run.started <= exchange.at && exchange.at <= run.ended;
            exchange.run == Some(run.number()) && exchange.content == Content::End || is_deletion
        };
        let is_held = |exchange: &Exchange| exchange.is_taken() && exchange.generation == sink.entrance.generation();
        if claim.is_pushed() && exchanges.iter().filter(is_own).any(is_held) {
            return true;
        }
        // What waited may have been sent later to somebody who lied, refused it, or lost it.
        let path_end = format!("/job/{}", self.job(run.plan.job));
        let is_spoilt = exchanges
            .iter()
            .filter(|exchange| exchange.is_lie && exchange.done > run.started)
            .any(|exchange| sink.kind == SinkKind::RemoteWrite || exchange.path.ends_with(&path_end));
        let was_lost = locked(&sink.lost_at).is_some_and(|lost| lost > run.started);
        (claim == Claim::Waits || run.killed.is_some_and(|killed| killed.push)) && !is_spoilt && !was_lost
    }

    fn judge_group(&self, (sink, exchanges): (&SinkAtWork, &[Exchange]), runs: &[&RunResult], held: Option<Held>) {
        let is_must = |run: &&RunResult| !run.is_skipped() && self.must(run, sink, exchanges);
        let musts: Vec<&RunResult> = runs.iter().copied().filter(is_must).collect();
        let is_newest = |run: &RunResult| !musts.iter().any(|must| run.ended < must.started);
        let is_remote = sink.kind == SinkKind::RemoteWrite;
        let held = held.unwrap_or_default();
        let Some(holder) = holder(&held, runs) else {
            let is_deleted = !is_remote && runs.iter().any(|run| run.may_delete() && is_newest(run));
            if let Some(newest) = musts.last().copied().filter(|_| !is_deleted) {
                let text =
                    format!("{} holds no run, and must hold this one or a newer one: {}", sink.url(), newest.stderr);
                self.find("lost", Some(newest), text);
            }
            return;
        };
        // What was given up may be taken late, and a gateway has no order of its own.
        if self.plan.state == StateKind::None && is_late(holder, exchanges) {
            return;
        }
        // Nobody knows of a run that could not use the state directory but who has taken its push, and a receiver cannot be asked.
        let is_unknown = |run: &RunResult| is_remote && run.stderr.contains("cannot use state directory");
        if let Some(newer) = musts.iter().copied().find(|must| holder.ended < must.started && !is_unknown(must)) {
            let text = format!(
                "{} holds run {}, and run {} is newer: {}",
                sink.url(),
                holder.number(),
                newer.number(),
                newer.stderr
            );
            self.find("lost", Some(newer), text);
            return;
        }
        let own = exchanges.iter().filter(|exchange| exchange.run == Some(holder.number())).cloned();
        let (ends, heartbeats): (Vec<Exchange>, Vec<Exchange>) =
            own.partition(|exchange| exchange.content == Content::End);
        // A heartbeat that was given up and taken after the end.
        let must = musts.iter().any(|must| must.number() == holder.number()) && !is_one_late(&heartbeats, &ends);
        self.judge_holder((sink, &held), holder, must);
        self.judge_last_success((sink, &held), &musts);
    }

    /// What a sink holds of one run belongs together.
    fn judge_holder(&self, (sink, held): (&SinkAtWork, &Held), holder: &RunResult, must: bool) {
        if holder.killed.is_some() || holder.summary.is_none() {
            return;
        }
        if held.running == Some(1.0) {
            if must && !holder.deletes() {
                self.find("lost", Some(holder), format!("{} says that it runs: {}", sink.url(), holder.stderr));
            }
            return;
        }
        let is_remote = sink.kind == SinkKind::RemoteWrite;
        if !is_remote && holder.deletes() {
            self.find("torn", Some(holder), format!("{} holds the end of a run that deletes it", sink.url()));
        }
        let code = holder.number_said("exit_code");
        let start = holder.number_said("start_timestamp_seconds");
        if held.exit_code != code || !held.start.zip(start).is_some_and(|(one, other)| same(one, other)) {
            let text = format!("{} holds {held:?}, and the run says {code:?}, started {start:?}", sink.url());
            self.find("torn", Some(holder), text);
        }
        if holder.plan.options.iter().any(|option| option == "--schedule") {
            // The next of every five minutes, and the hour that is the margin.
            let ahead = held.next_deadline.zip(held.start).map(|(deadline, start)| deadline - start - 3600.0);
            if !ahead.is_some_and(|ahead| ahead > 0.0 && ahead <= 300.0) {
                self.find("torn", Some(holder), format!("{} holds no deadline of its schedule: {held:?}", sink.url()));
            }
        }
        let is_complete = holder.claim(&sink.url()) == Claim::Pushed;
        let expected = holder.expected_sample().filter(|_| is_complete);
        if expected.is_some() && held.sample != expected {
            let text = format!("{} holds {:?} of the command's metric: {}", sink.url(), held.sample, holder.stderr);
            self.find("torn", Some(holder), text);
        }
    }

    /// The last success is not older than one that has to be known. Where runs overlap, the last one is whose push came last.
    fn judge_last_success(&self, (sink, held): (&SinkAtWork, &Held), musts: &[&RunResult]) {
        if self.plan.lanes > 1 || self.plan.runs.iter().any(|run| run.method == Method::Delete) {
            return;
        }
        let success = musts.iter().copied().rev().find(|must| must.is_success());
        let Some((success, end)) = success.and_then(|run| Some((run, run.number_said("end_timestamp_seconds")?)))
        else {
            return;
        };
        if !held.last_success.is_some_and(|last| last > end - SAME) {
            let text = format!(
                "{} holds {:?} as the last success, and this one ended at {end}",
                sink.url(),
                held.last_success
            );
            self.find("success", Some(success), text);
        }
    }

    /// The ordinary run after everything is taken everywhere, and counts all runs before it.
    pub(crate) fn judge_closing(&self, results: &[RunResult]) {
        let Some((closing, before)) = results.split_last() else { return };
        if !closing.status.success() || self.sinks.iter().any(|sink| closing.claim(&sink.url()) != Claim::Pushed) {
            let text = format!("{} when everything was well again: {}", closing.status, closing.stderr);
            self.find("closing", Some(closing), text);
            return;
        }
        for sink in &self.sinks {
            let held = self.held(sink, closing.plan.job).unwrap_or_default();
            let is_own = match sink.kind {
                SinkKind::Pushgateway => held.run == Some(closing.number()),
                SinkKind::RemoteWrite => {
                    held.start.zip(closing.number_said("start_timestamp_seconds")).is_some_and(|(a, b)| same(a, b))
                }
            };
            if !is_own || held.exit_code != Some(0.0) || held.running != Some(0.0) {
                self.find("closing", Some(closing), format!("{} holds {held:?}", sink.url()));
            }
            self.judge_counts((sink, &held), closing, before);
        }
    }

    /// Every run that ended is counted, and every run that was killed after it had left its mark; none is counted twice.
    fn judge_counts(&self, (sink, held): (&SinkAtWork, &Held), closing: &RunResult, before: &[RunResult]) {
        if self.plan.state != StateKind::Disk {
            return;
        }
        let runs: Vec<&RunResult> = before.iter().filter(|run| run.plan.job == closing.plan.job).collect();
        let is_certain = |run: &&&RunResult| {
            let is_counted = run.killed.is_none() && run.summary.is_some() && !run.stderr.contains("is not counted:");
            let is_limited = matches!(run.plan.setting, Setting::Limit(_));
            is_counted && !is_limited || run.killed.is_some_and(|killed| killed.mark)
        };
        let number = |count: usize| f64::from(u32::try_from(count).expect("a series is short")) + 1.0;
        let (least, most) = (number(runs.iter().filter(is_certain).count()), number(runs.len()));
        let killed = f64::from(
            u32::try_from(runs.iter().filter(|run| run.killed.is_some()).count()).expect("a series is short"),
        );
        if held.runs < least || held.runs > most || held.lost > killed {
            let text = format!(
                "{} counts {} runs, {} of them lost; at least {least} and at most {most} were counted, {killed} were killed",
                sink.url(),
                held.runs,
                held.lost
            );
            self.find("counter", Some(closing), text);
        }
    }

    /// After the closing run nothing is left: no process, no private directory, nothing unfinished, nothing that waits.
    pub(crate) fn judge_leftovers(&self, results: &[RunResult]) {
        let processes = self.wait_for_processes();
        let closing = results.last();
        if !processes.is_empty() {
            self.find("leftover", closing, format!("processes: {processes:?}"));
        }
        let is_expected = |name: &str| matches!(name, "lock" | "runs" | "room");
        let in_state = self.state.files().into_iter().filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_index = path.components().any(|part| part.as_os_str() == "waiting");
            !is_expected(&name) && !is_index
        });
        // What killed runs of the second job have left is for the next run of that job.
        let in_state: Vec<_> = in_state.filter(|_| self.plan.jobs == 1).collect();
        let beside_output: Vec<_> = self.beside_output().into_iter().filter(|_| self.plan.jobs == 1).collect();
        let private = self.private_directories_after_more_runs();
        for (what, left) in [("TMPDIR", private), ("the state directory", in_state), ("beside --output", beside_output)]
        {
            if !left.is_empty() {
                let flushes = locked(&self.flushes).last().cloned().unwrap_or_default();
                self.find("leftover", closing, format!("in {what}: {left:?}; the last flush said: {flushes}"));
            }
        }
    }
}

/// Whether a push of the run was answered when it had ended.
fn is_late(run: &RunResult, exchanges: &[Exchange]) -> bool {
    exchanges.iter().any(|exchange| exchange.run == Some(run.number()) && exchange.done > run.ended)
}

/// The run whose metrics a sink holds.
fn holder<'r>(held: &Held, runs: &[&'r RunResult]) -> Option<&'r RunResult> {
    if let Some(number) = held.run {
        return runs.iter().find(|run| run.number() == number).copied();
    }
    let start = held.start?;
    let said = |run: &&&RunResult| run.number_said("start_timestamp_seconds").is_some_and(|own| same(own, start));
    // One that says nothing of itself.
    let around = |run: &&&RunResult| {
        let seconds =
            |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        run.summary.is_none() && seconds(run.started_at) - SAME <= start && start <= seconds(run.ended_at)
    };
    runs.iter().find(said).or_else(|| runs.iter().find(around)).copied()
}

impl Held {
    fn of_group(group: &Group) -> Self {
        let samples = |family: &str| group.json()[family]["metrics"].as_array().cloned().unwrap_or_default();
        let number = |family: &str| group.number(family, []);
        let info = samples("pushwrap_run_info");
        let run =
            info.first().and_then(|sample| sample["labels"]["run"].as_str()?.strip_prefix(RUN_MARKER)?.parse().ok());
        let counts = samples("pushwrap_runs_total");
        let count = |sample: &serde_json::Value| sample["value"].as_str().and_then(|text| text.parse::<f64>().ok());
        Self {
            run,
            start: number("pushwrap_start_timestamp_seconds"),
            running: number("pushwrap_running"),
            exit_code: number("pushwrap_exit_code"),
            last_success: number("pushwrap_last_success_timestamp_seconds"),
            next_deadline: number("pushwrap_next_success_deadline_timestamp_seconds"),
            sample: number("soak_run"),
            runs: counts.iter().filter_map(count).sum(),
            lost: counts.iter().filter(|sample| sample["labels"]["outcome"] == "lost").filter_map(count).sum(),
        }
    }
}

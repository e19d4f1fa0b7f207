//! What must be true of each run by itself: how it ended, what it wrote, and that what it says of its pushes is so.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use serde_json::Value;

use super::call::{RunResult, expected_stdout, run_label};
use super::entrance::{Content, Exchange};
use super::plan::{Ending, Method, Metrics, Output, Setting, StateKind};
use super::series::{Series, SinkAtWork, has_all_it_needs, is_defect};

/// How much longer than its command, `--push-timeout` and its pauses a run may take on a machine that is busy with the soak. Longer is
/// a hang. How late runs really are is in the figures.
const MOST_LATE: Duration = Duration::from_secs(5);

/// What a run says of its push to one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing.
    None,
    /// The sink has taken it.
    Pushed,
    /// The same, but for some of the command's metrics.
    PushedPartly,
    /// It waits in the state directory.
    Waits,
    Failed,
}

impl Claim {
    pub(crate) fn is_pushed(self) -> bool {
        matches!(self, Self::Pushed | Self::PushedPartly)
    }
}

/// An end that a run may have, and its outcome.
type End = (i32, &'static str);

impl RunResult {
    /// The ends that command, options and signals allow.
    fn allowed(&self) -> Vec<End> {
        let mut ends: Vec<End> = match self.plan.command.ending {
            Ending::Exit(0) | Ending::Counts => vec![(0, "success")],
            Ending::Exit(status) => vec![(status, "failure")],
            Ending::Skip => vec![(75, "skipped")],
            Ending::Remark => vec![(3, "success")],
            Ending::Signal(signal) => vec![(128 + signal as i32, "signal")],
            Ending::Timeout => vec![(124, "timeout")],
            // The order to stop may come before the command ignores it.
            Ending::Stubborn => vec![(137, "timeout"), (124, "timeout")],
            Ending::NotFound => vec![(127, "not_started")],
            Ending::CannotRun => vec![(126, "not_started")],
        };
        ends.extend(self.command_signal.map(|signal| (128 + signal as i32, "signal")));
        if self.stopped {
            let unhappy: Vec<End> = ends.iter().filter(|end| matches!(end.1, "failure" | "signal")).copied().collect();
            ends.extend(unhappy.into_iter().map(|(status, _)| (status, "terminated")));
        }
        ends
    }

    /// Whether the run died of a signal in the way in which a shell would say so with 128 and its number.
    fn is_end_passed_on(&self) -> bool {
        let exits_with_more = match self.plan.command.ending {
            Ending::Exit(status) => status > 128,
            Ending::Stubborn => true,
            _ => false,
        };
        self.shell_status() <= 128
            || self.plan.setting == Setting::PidOne
            || self.status.signal().is_some()
            || exits_with_more
    }

    pub(crate) fn outcome(&self) -> &str {
        self.said("outcome").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn is_success(&self) -> bool {
        self.outcome() == "success"
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.outcome() == "skipped"
    }

    /// Whether its success deletes the group.
    pub(crate) fn deletes(&self) -> bool {
        self.plan.method == Method::Delete && self.is_success()
    }

    /// The same, also where it was killed and nobody knows how far it came.
    pub(crate) fn may_delete(&self) -> bool {
        self.deletes() || self.killed.is_some() && self.plan.method == Method::Delete
    }

    /// A number of the summary.
    pub(crate) fn number_said(&self, key: &str) -> Option<f64> {
        self.said(key)?.as_f64()
    }

    fn pushes(&self) -> &[Value] {
        self.said("pushes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What it says of the sink at this address or path.
    pub(crate) fn claim(&self, url: &str) -> Claim {
        let is_it = |push: &&Value| push["url"].as_str().is_some_and(|named| named.trim_end_matches('/') == url);
        match self.pushes().iter().find(is_it) {
            None => Claim::None,
            Some(push) if push["status"].is_null() && self.waits(url) => Claim::Waits,
            Some(push) if push["status"].is_null() => Claim::Failed,
            Some(push) if push["error"].is_null() => Claim::Pushed,
            Some(_) => Claim::PushedPartly,
        }
    }

    /// Whether it says that its push for this address waits: after the sentence about the failure, and before the next one.
    fn waits(&self, url: &str) -> bool {
        let mut is_about = false;
        self.stderr.lines().any(|line| {
            if line.starts_with("pushwrap: cannot ") {
                is_about = line.contains(&format!("'{url}'")) || line.contains(&format!("'{url}/'"));
            }
            is_about && line.starts_with("pushwrap: it waits in")
        })
    }

    /// How much longer it took than its command, `--push-timeout` and its pauses.
    pub(crate) fn late(&self) -> Duration {
        let allowed = self.plan.command.duration() + self.plan.push_timeout + self.paused;
        (self.ended - self.started).saturating_sub(allowed)
    }

    /// The number that the command's own metric has at the gateway, where nothing kept it from being there.
    pub(crate) fn expected_sample(&self) -> Option<f64> {
        let writes = !matches!(self.plan.command.metrics, Metrics::None | Metrics::Missing);
        let is_whole = self.command_signal.is_none() && self.plan.command.is_script() && has_all_it_needs(&self.plan);
        let is_timed_out = matches!(self.plan.command.ending, Ending::Timeout | Ending::Stubborn);
        #[expect(clippy::cast_precision_loss, reason = "numbers of runs are small")]
        (writes && is_whole && !is_timed_out && self.plan.command.output != Output::Closed)
            .then_some(self.number() as f64)
    }
}

impl Series<'_> {
    /// Judges each run by itself.
    pub(crate) fn judge_runs(&self, results: &[RunResult]) {
        let exchanges: Vec<Vec<Exchange>> = self.sinks.iter().map(|sink| sink.entrance.exchanges()).collect();
        for run in results {
            self.judge_end(run);
            self.judge_streams(run);
            if is_defect(&run.stderr) {
                self.find("panic", Some(run), run.stderr.clone());
            }
            if run.killed.is_some() {
                continue;
            }
            for (sink, exchanges) in self.sinks.iter().zip(&exchanges) {
                self.judge_claim(run, (sink, exchanges), results);
            }
        }
    }

    fn judge_end(&self, run: &RunResult) {
        // How long the shell counts depends on when the signal comes.
        if run.hung || run.plan.command.ending != Ending::Counts && run.late() > MOST_LATE {
            let text = format!("{:?} longer than the command and --push-timeout: {}", run.late(), run.stderr);
            self.find("hang", Some(run), text);
        }
        if run.killed.is_some() || run.hung {
            return;
        }
        let status = run.shell_status();
        let is_required = status == 125 && run.plan.requires_push && run.is_success();
        let is_allowed = |end: &End| end.0 == status || is_required && matches!(end.1, "success");
        let ends = run.allowed();
        if !ends.iter().any(is_allowed) || !run.is_end_passed_on() {
            self.find("status", Some(run), format!("{} instead of {ends:?}: {}", run.status, run.stderr));
            return;
        }
        let Some(code) = run.said("exit_code").and_then(Value::as_i64) else {
            // Where not even a thread or a descriptor is left, nothing else is promised. A stop signal may come before pushwrap runs.
            let has_begun = !(run.stopped && run.stdout.is_empty());
            if has_begun && !matches!(run.plan.setting, Setting::Limit(_)) {
                self.find("silent", Some(run), format!("it has no summary: {}", run.stderr));
            }
            return;
        };
        if !ends.iter().any(|end| (i64::from(end.0), end.1) == (code, run.outcome())) {
            let text = format!("it says {code} {}, allowed are {ends:?}", run.outcome());
            self.find("outcome", Some(run), text);
        }
        if code != i64::from(status) && !is_required {
            self.find("outcome", Some(run), format!("it says exit code {code}, and has ended with {status}"));
        }
        if run.plan.requires_push && run.is_success() {
            let is_delivered = |push: &Value| push["error"].is_null();
            let count = self.sinks.len() + usize::from(self.plan.has_output);
            let is_delivered = run.pushes().len() == count && run.pushes().iter().all(is_delivered);
            if is_delivered == (status == 125) {
                let text = format!("--require-push: {status}, and the pushes are {:?}", run.pushes());
                self.find("status", Some(run), text);
            }
        }
    }

    fn judge_streams(&self, run: &RunResult) {
        let command = &run.plan.command;
        let is_cut = run.killed.is_some() || run.hung || !command.is_script();
        let is_counting = command.ending == Ending::Counts;
        let is_ended = run.command_signal.is_some() && !is_counting;
        let is_timed_out = matches!(command.ending, Ending::Timeout | Ending::Stubborn);
        if is_cut || is_ended || is_timed_out && run.stdout.is_empty() {
            return;
        }
        let has_signal = run.command_signal.is_some();
        let expected = if is_counting && !has_signal {
            expected_stdout(&run.plan).replace("got 1\n", "got 0\n")
        } else {
            expected_stdout(&run.plan)
        };
        if run.stdout != expected && !(is_timed_out && expected.starts_with(&run.stdout)) {
            let text = format!("standard output is {:?}", run.stdout.chars().take(300).collect::<String>());
            self.find("streams", Some(run), text);
        }
        // Below ten descriptors dash cannot redirect.
        let can_redirect = !matches!(run.plan.setting, Setting::Limit(limit) if limit.starts_with("--nofile"));
        if can_redirect && !is_timed_out && !run.stderr.contains(&format!("err {}\n", run.number())) {
            self.find("streams", Some(run), format!("standard error has not what the command wrote: {}", run.stderr));
        }
    }

    /// What it says of one sink is so.
    fn judge_claim(&self, run: &RunResult, (sink, exchanges): (&SinkAtWork, &[Exchange]), results: &[RunResult]) {
        let claim = run.claim(&sink.url());
        if run.summary.is_none() {
            return;
        }
        if claim == Claim::None {
            self.find("silent", Some(run), format!("it says nothing of {}: {}", sink.url(), run.stderr));
        }
        if claim.is_pushed() && !self.is_acknowledged(run, exchanges, results) {
            let text = format!("it says pushed to {}, and nothing of it was acknowledged: {}", sink.url(), run.stderr);
            self.find("false", Some(run), text);
        }
        let is_explained = ["is not kept", "may be lost", "state directory", ": 400", ": 413", "newer", "refused"];
        let is_kept = self.plan.state != StateKind::None && has_all_it_needs(&run.plan);
        if claim == Claim::Failed && is_kept && !is_explained.iter().any(|text| run.stderr.contains(text)) {
            let text = format!("it is neither pushed to {} nor kept, and does not say so: {}", sink.url(), run.stderr);
            self.find("silent", Some(run), text);
        }
    }

    /// Whether somebody answered that the push was taken: this one, one that is merged with a newer run's, or for a run that has no
    /// metrics of its own to be known by, one of its time.
    fn is_acknowledged(&self, run: &RunResult, exchanges: &[Exchange], results: &[RunResult]) -> bool {
        let end = run.ended + Duration::from_secs(1);
        let path_end = format!("/job/{}", self.job(run.plan.job));
        let in_time = |exchange: &&Exchange| run.started <= exchange.done && exchange.at <= end;
        let is_same_job = |exchange: &&Exchange| match exchange.run {
            Some(number) => results.iter().any(|other| other.number() == number && other.plan.job == run.plan.job),
            None => true,
        };
        let is_deletion_of_job =
            |exchange: &Exchange| exchange.method == "DELETE" && exchange.path.ends_with(&path_end);
        let may_be_merged = self.plan.lanes > 1 && self.plan.state != StateKind::None;
        exchanges.iter().filter(|exchange| exchange.is_acknowledged).any(|exchange| {
            let is_own = exchange.run == Some(run.number()) && exchange.content == Content::End;
            let is_deletion = run.deletes() && is_deletion_of_job(exchange);
            let is_skip = run.is_skipped() && exchange.has_skip;
            let is_end = exchange.content == Content::End || is_deletion_of_job(exchange);
            let is_merged = may_be_merged && is_end && is_same_job(&exchange);
            is_own || (is_deletion || is_skip || is_merged) && in_time(&exchange)
        })
    }

    /// The file of `--output` just after the run.
    pub(crate) fn judge_output(&self, run: &RunResult) {
        let path = self.output(run.plan.job);
        let name = path.to_string_lossy().into_owned();
        let written = run.pushes().iter().find(|push| push["url"].as_str() == Some(&name));
        if run.killed.is_some() || run.summary.is_none() || run.is_skipped() {
            return;
        }
        let Some(written) = written else {
            return self.find("output", Some(run), format!("it says nothing of its file: {}", run.stderr));
        };
        let is_limited = matches!(run.plan.setting, Setting::Limit(_));
        if !written["error"].is_null() {
            if !is_limited {
                self.find("output", Some(run), format!("it could not write its file: {}", run.stderr));
            }
            return;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let status = format!(
            "pushwrap_exit_code{{job=\"{}\"}} {}\n",
            self.job(run.plan.job),
            run.said("exit_code").unwrap_or(&Value::Null)
        );
        let label = format!("run=\"{}\"", run_label(run.number()));
        if !text.contains(&label) || !text.contains(&status) || !text.ends_with('\n') {
            self.find("output", Some(run), format!("its file is not its report: {text}"));
        }
    }
}

//! `pushwrap flush`: sends what waits in the state directory, for a machine whose jobs run seldom or whose gateway is back.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use super::terminal::print;
use crate::config::FlushConfig;
use crate::console::Console;
use crate::delivery::{QueueDir, SpoolDir, SpooledPush, StartTimes, dropped};
use crate::http::{Cancel, Deadline};
use crate::report::compose_counts;
use crate::sink::{Limits, Sink, SinkAddress, SinkKind};
use crate::text::age;

/// Sends what waits for the gateways that are named, or for all where none is, and says what came of it. The exit status: 0, or
/// 1 when some of it still waits or was refused.
#[must_use]
pub fn run(config: &FlushConfig) -> u8 {
    let console = Console(config.volume);
    for warning in &config.warnings {
        console.warn(warning);
    }
    if config.is_for_nobody() {
        return 0;
    }
    let state = match config.state_dir.open_existing() {
        Ok(state) => state,
        Err(_) if config.state_dir.is_missing_default() => {
            console.warn("nothing waits: there is no default state directory; name another directory with --state-dir");
            return 0;
        }
        Err(problem) => {
            console.warn(problem);
            return 1;
        }
    };
    let (down, elsewhere) = (HashSet::new(), BTreeMap::new());
    let start_times = StartTimes::default();
    let mut flush = FlushRun { config, state: &state, console, start_times, down, elsewhere, failed: false };
    flush.all();
    u8::from(flush.failed)
}

struct FlushRun<'c> {
    config: &'c FlushConfig,
    state: &'c SpoolDir,
    console: Console,
    start_times: StartTimes,
    /// Destinations that did not answer: one time-out each is enough.
    down: HashSet<SinkAddress>,
    /// How many pushes wait for addresses that were not named, and the option that names them.
    elsewhere: BTreeMap<(String, &'static str), usize>,
    failed: bool,
}

impl FlushRun<'_> {
    fn all(&mut self) {
        if !self.config.dry_run {
            let compose = |prefix: &str, counts| compose_counts(prefix, counts).into();
            for line in self.state.take_over(compose) {
                self.console.warn(line);
            }
        }
        match self.state.queues() {
            Ok(queues) if queues.is_empty() => {
                self.console.info(format!("nothing waits in '{}'", self.state.path().display()));
            }
            Ok(queues) => queues.iter().for_each(|queue| self.one(queue)),
            Err(problem) => self.report_problem(&problem),
        }
        for ((url, option), number) in &self.elsewhere {
            let wait = if *number == 1 { "1 push waits".to_owned() } else { format!("{number} pushes wait") };
            self.console.warn(format!("{wait} for '{url}': name it with {option} to send what is for it"));
        }
        if let Some(strangers) = self.state.strangers() {
            self.report_problem(&strangers);
        }
    }

    fn one(&mut self, queue: &QueueDir) {
        let (waiting, said) = queue.preview();
        let Some(waiting) = waiting else {
            // Only what is damaged is there.
            if self.config.dry_run {
                return self.warn(&said);
            }
            return self.warn(&queue.discard_damaged());
        };
        match self.config.sink(&waiting) {
            Some(_) if self.config.dry_run => {
                self.warn(&said);
                self.say(&waiting, "waits to be ");
            }
            Some(sink) => self.send(queue, &waiting, &sink),
            None => {
                let option = match waiting.destination.kind {
                    SinkKind::Pushgateway => "--url",
                    SinkKind::RemoteWrite => "--remote-write",
                };
                *self.elsewhere.entry((waiting.destination.url, option)).or_default() += 1;
            }
        }
    }

    fn send(&mut self, queue: &QueueDir, waiting: &SpooledPush, sink: &Sink) {
        let (group, url) = (waiting.group(), &waiting.destination.url);
        if self.down.contains(&waiting.destination) {
            return self.report_problem(&format!("a push of {group} waits on for '{url}'"));
        }
        let (timeout, cancel) = (self.config.push_timeout, Cancel::new());
        let limits = || Limits { deadline: Deadline::after(timeout).with_one_more_try(), cancel: &cancel };
        let Some(drained) = queue.flush(sink, timeout, &self.start_times, limits) else {
            return self.report_problem(&format!("another pushwrap is sending the push of {group}"));
        };
        drained.outdated.iter().for_each(|line| self.console.warn(line));
        self.warn(&drained.said);
        match drained.result {
            None => {}
            Some(Ok(delivered)) => {
                self.say(drained.sent.as_ref().unwrap_or(waiting), "");
                if let Some(refused) = delivered.refused(url) {
                    self.report_problem(&format!("{group}: {refused}"));
                }
            }
            Some(Err(failure)) if drained.outage.is_some() => {
                self.down.insert(waiting.destination.clone());
                self.report_problem(&format!("a push of {group} waits on: {failure}"));
            }
            Some(Err(failure)) => self.report_problem(&dropped(&group, failure)),
        }
    }

    fn say(&mut self, waiting: &SpooledPush, what: &str) {
        let (group, deed, url) = (waiting.group(), waiting.deed(), &waiting.destination.url);
        let since = age(SystemTime::now(), waiting.since());
        self.failed |= !print(format!("{group} {what}{deed} '{url}' (stored {since})\n"));
    }

    fn warn(&mut self, messages: &[String]) {
        for message in messages {
            self.report_problem(message);
        }
    }

    fn report_problem(&mut self, message: &str) {
        self.console.warn(message);
        self.failed = true;
    }
}

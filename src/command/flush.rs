//! `pushwrap flush`: sends what waits in the state directory, for a machine whose jobs run seldom or whose gateway is back.

use std::collections::HashSet;
use std::time::SystemTime;

use super::shown::{age, print};
use crate::config::FlushConfig;
use crate::console::Voice;
use crate::sink::{Cancel, Deadline, Destination, Limits, Sent, State, Waiting};

/// Sends what waits and says what it sent. The exit status: 0, or 1 when something still waits or was refused.
#[must_use]
pub fn run(config: &FlushConfig) -> u8 {
    let voice = Voice(config.volume);
    for warning in &config.warnings {
        voice.trouble(warning);
    }
    let state = match config.state_dir.open_existing() {
        Ok(state) => state,
        Err(trouble) => {
            voice.trouble(trouble);
            return 1;
        }
    };
    let names = state.waiting().unwrap_or_else(|trouble| {
        voice.trouble(trouble);
        Vec::new()
    });
    let mut flush = Flush { config, state: &state, voice, down: HashSet::new(), failed: false };
    for name in &names {
        flush.one(name);
    }
    if names.is_empty() {
        voice.note(format!("nothing waits in '{}'", state.path().display()));
    }
    u8::from(flush.failed)
}

struct Flush<'c> {
    config: &'c FlushConfig,
    state: &'c State,
    voice: Voice,
    /// Destinations that did not answer: one time-out each is enough.
    down: HashSet<Destination>,
    failed: bool,
}

impl Flush<'_> {
    fn one(&mut self, name: &str) {
        match self.state.waiting_push(name) {
            Ok(Some(waiting)) if self.config.dry_run => self.say(&waiting, "waits for"),
            Ok(Some(waiting)) => self.send(name, &waiting),
            Ok(None) => {}
            Err(trouble) => self.trouble(&trouble),
        }
    }

    fn send(&mut self, name: &str, waiting: &Waiting) {
        let Destination { url, .. } = &waiting.destination;
        if self.down.contains(&waiting.destination) {
            return self.trouble(&format!("a push of {} waits on for '{url}'", waiting.group()));
        }
        let Some(sink) = self.config.sink(waiting) else {
            let hint = "name it with --url or --remote-write to send it";
            return self.trouble(&format!("a push of {} waits for '{url}': {hint}", waiting.group()));
        };
        let (timeout, cancel) = (self.config.push_timeout, Cancel::new());
        let limits = Limits { deadline: Deadline::after(timeout), cancel: &cancel };
        match self.state.send_waiting(name, &sink, timeout, limits) {
            Ok(Sent::Gone) => {}
            Ok(Sent::Busy) => self.trouble(&format!("another pushwrap is sending the push of {}", waiting.group())),
            Ok(Sent::Tried { result: Ok(_), .. }) => self.say(waiting, "sent to"),
            Ok(Sent::Tried { result: Err(failure), waits: true }) => {
                self.down.insert(waiting.destination.clone());
                self.trouble(&format!("a push of {} waits on: {failure}", waiting.group()));
            }
            Ok(Sent::Tried { result: Err(failure), waits: false }) => {
                self.trouble(&format!("a push of {} is dropped: {failure}", waiting.group()));
            }
            Err(trouble) => self.trouble(&trouble),
        }
    }

    fn say(&mut self, waiting: &Waiting, what: &str) {
        let (group, url) = (waiting.group(), &waiting.destination.url);
        let since = age(SystemTime::now(), waiting.since);
        self.failed |= !print(&format!("{group} {what} '{url}' (stored {since})\n"));
    }

    fn trouble(&mut self, message: &str) {
        self.voice.trouble(message);
        self.failed = true;
    }
}

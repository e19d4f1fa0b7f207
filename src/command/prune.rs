//! `pushwrap prune`: deletes the groups without a push for a given time, because the gateway never does. Safe before fast:
//! each DELETE rests on a reading made just before it, and hits exactly the group that was read.

use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};

use super::terminal::{console, paint, say_clock, unwritable, write_stdout};
use crate::config::{GatewayTargets, PruneConfig};
use crate::console::{Console, write_stderr};
use crate::exposition::Paint;
use crate::grouping::GroupingKey;
use crate::http::{Cancel, Deadline, Endpoint};
use crate::sink::{Group, Inventory, Push, deliver, inventory};
use crate::text::{age, plural};

/// At most one DELETE in this time: the gateway is everybody's.
const PACE: Duration = Duration::from_millis(20);
/// How long the gateway may take to do what it has accepted; it answers 202 before.
const SETTLING: Duration = Duration::from_millis(200);

/// Prunes every gateway. The exit status: 0, or 1 when something could not be read or deleted.
#[must_use]
pub fn run(config: &PruneConfig) -> u8 {
    let console = console(&config.targets);
    let mut status = 0;
    for gateway in &config.targets.gateways {
        let mut pruning = Pruning { config, gateway, console, deleted: Vec::new(), skipped: false };
        let done = pruning.run();
        if let Err(problem) = &done {
            console.warn(problem);
        }
        if done.is_err() || pruning.skipped {
            status = 1;
        }
    }
    status
}

/// The work at one gateway.
struct Pruning<'c> {
    config: &'c PruneConfig,
    gateway: &'c Endpoint,
    console: Console,
    /// The deleted groups and their ages.
    deleted: Vec<(GroupingKey, SystemTime)>,
    /// Whether a group could not be deleted.
    skipped: bool,
}

impl Pruning<'_> {
    fn run(&mut self) -> Result<()> {
        let plan = self.read()?;
        say_clock(self.console, &plan, &self.gateway.url.to_string());
        let doomed: Vec<&Group> = plan.groups.iter().filter(|group| self.is_doomed(group, plan.now)).collect();
        if self.config.dry_run {
            let lines = doomed.iter().map(|group| format!("would delete {}\n", described(group, plan.now)));
            return printed(&lines.collect::<String>());
        }
        let progress = ProgressLine::of(doomed.len());
        let done = self.delete_all(&doomed, &progress);
        progress.clear();
        let url = &self.gateway.url;
        self.console.info(format!("deleted {} at '{url}'", plural(self.deleted.len() as u64, "group")));
        done.and_then(|()| self.confirm())
    }

    fn read(&self) -> Result<Inventory> {
        let deadline = Deadline::after(self.config.targets.push_timeout).with_one_more_try();
        Ok(inventory(self.gateway, &[], deadline)?)
    }

    /// Whether the group is meant and both its push times are known and old.
    fn is_doomed(&self, group: &Group, now: SystemTime) -> bool {
        let age = group.touched().and_then(|touched| now.duration_since(touched).ok());
        self.config.filter.meets(&group.key) && age.is_some_and(|age| age > self.config.older_than)
    }

    fn delete_all(&mut self, doomed: &[&Group], progress: &ProgressLine) -> Result<()> {
        let mut reading: Option<Inventory> = None;
        for (place, planned) in doomed.iter().enumerate() {
            progress.show(place);
            // A reading may be as old as the next one would be when it is complete: a small gateway is read before each
            // DELETE, a large one not more than half of the time.
            if reading.as_ref().is_none_or(|reading| reading.read_at.elapsed() > reading.took) {
                reading = Some(self.read()?);
            }
            let Some(reading) = &reading else { continue };
            match reading.group(&planned.key) {
                None => self.console.info(format!("{} is gone already", planned.key)),
                Some(group) if self.is_doomed(group, reading.now) => {
                    let described = described(group, reading.now);
                    let touched = group.touched().unwrap_or(SystemTime::UNIX_EPOCH);
                    self.delete(group.key.clone(), touched, progress, &described)?;
                }
                Some(_) => self.console.info(format!("{} was pushed to meanwhile: it stays", planned.key)),
            }
        }
        Ok(())
    }

    fn delete(
        &mut self,
        key: GroupingKey,
        touched: SystemTime,
        progress: &ProgressLine,
        described: &str,
    ) -> Result<()> {
        let push = Push::deletion(key.clone());
        let GatewayTargets { push_timeout, .. } = self.config.targets;
        match deliver(self.gateway, &push, Deadline::after(push_timeout).with_one_more_try(), &Cancel::new()) {
            Ok(_) => {
                progress.clear();
                self.deleted.push((key, touched));
                printed(&format!("deleted {described}\n"))?;
                std::thread::sleep(PACE);
                Ok(())
            }
            // The next group may fare better where the gateway, or a proxy, does not like this key.
            Err(failure) if failure.fault.decision().target_is_to_blame() => {
                progress.clear();
                self.console.warn(format!("{key} stays: {failure}"));
                self.skipped = true;
                Ok(())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Looks whether what was accepted was also done: a key whose name is not what the gateway shows (not UTF-8, or changed by
    /// a proxy) is answered with 202 too.
    fn confirm(&self) -> Result<()> {
        if self.deleted.is_empty() {
            return Ok(());
        }
        let deadline = Deadline::after(self.config.targets.push_timeout);
        loop {
            let after = self.read()?;
            let stays = |(key, touched): &&(GroupingKey, SystemTime)| {
                after.group(key).and_then(Group::touched) == Some(*touched)
            };
            let left: Vec<String> = self.deleted.iter().filter(stays).map(|(key, _)| key.to_string()).collect();
            if left.is_empty() {
                return Ok(());
            }
            if deadline.left() <= SETTLING {
                bail!("'{}' accepted the DELETE and still holds {}", self.gateway.url, left.join(", "));
            }
            std::thread::sleep(SETTLING);
        }
    }
}

fn described(group: &Group, now: SystemTime) -> String {
    let touched = group.touched().map(|touched| format!(", last push {}", age(now, touched)));
    format!("{}{}", group.key, touched.unwrap_or_default())
}

fn printed(text: &str) -> Result<()> {
    write_stdout(text).map_err(|error| anyhow!(unwritable(&error)))
}

/// How far it is, on a terminal.
struct ProgressLine {
    of: Option<usize>,
}

impl ProgressLine {
    fn of(total: usize) -> Self {
        let is_printed = total > 1 && paint(&std::io::stderr()) == Paint::Ansi;
        Self { of: is_printed.then_some(total) }
    }

    fn show(&self, done: usize) {
        if let Some(total) = self.of {
            write_stderr(format!("\r\u{1b}[Kpushwrap: {done} of {total}").as_bytes());
        }
    }

    fn clear(&self) {
        if self.of.is_some() {
            write_stderr(b"\r\x1b[K");
        }
    }
}

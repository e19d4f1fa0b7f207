//! Pushes that failed wait in the state directory, one for each destination and group. Each is written before it is sent, so that a
//! KILL loses nothing, and goes out under a lock of its own, so that an older one never overtakes a newer one.

use std::time::{Duration, SystemTime};

use super::Push;
use super::courier::Turn;
use super::deliver::Delivered;
use super::doors::{Handed, Limits, Sink};
use super::failure::{Failure, Fault};
use super::state::{Lock, State, StateDir};
use super::state_waiting::{Destination, Waiting, destination_name};

/// No more waits in one directory, in bytes.
const ROOM_BYTES: u64 = 64 << 20;
/// What has waited longer says nothing any more.
const LONGEST_WAIT: Duration = Duration::from_hours(30 * 24);
/// A waiting push is not begun with less time than this.
const TOO_LATE: Duration = Duration::from_millis(300);

/// Where the final push of a run waits when it fails.
#[derive(Debug, Clone)]
pub struct Spool {
    /// The directory.
    pub state_dir: StateDir,
    /// The labels of the run's group.
    pub grouping: Vec<(String, String)>,
    /// The families of an older push that a newer one does not take with it.
    pub lasting: Vec<String>,
    /// The budget of a push; locks may cost a part of it.
    pub budget: Duration,
}

/// What became of a push that waited.
#[derive(Debug)]
pub enum Sent {
    /// Another pushwrap was faster.
    Gone,
    /// Another pushwrap sends it just now.
    Busy,
    /// It was sent: what came of it, and whether it still waits.
    Tried {
        /// The gateway's verdict.
        result: Result<Delivered, Failure>,
        /// Whether it waits on: another time it may be taken.
        waits: bool,
    },
}

impl State {
    /// The names of the pushes that wait, those that wait longest first.
    ///
    /// # Errors
    /// Why the directory cannot be read.
    pub fn waiting(&self) -> Result<Vec<String>, String> {
        let files = self.files(".push").map_err(|error| self.trouble(&error))?;
        let mut names: Vec<_> = files
            .into_iter()
            .filter_map(|file| Some((file.modified, file.name.strip_suffix(".push")?.to_owned())))
            .filter(|(_, name)| is_ours(name))
            .collect();
        names.sort();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// The push of this name; `None` when it does not wait any more.
    ///
    /// # Errors
    /// Why it is not there any more although nobody sent it, or why it cannot be read.
    pub fn waiting_push(&self, name: &str) -> Result<Option<Waiting>, String> {
        let file = format!("{name}.push");
        let shown = self.path().join(&file).display().to_string();
        let Some(content) = self.read(&file).map_err(|error| self.trouble(&error))? else { return Ok(None) };
        let drop_it = |why: &str| {
            self.remove(&file).map_err(|error| self.trouble(&error))?;
            Err(format!("'{shown}' {why}: it is removed"))
        };
        match Waiting::from_bytes(&content) {
            Some(waiting) if waiting.name() == name => match SystemTime::now().duration_since(waiting.since) {
                Ok(age) if age > LONGEST_WAIT => drop_it("has waited for a month"),
                _ => Ok(Some(waiting)),
            },
            _ => drop_it("is damaged"),
        }
    }

    /// Sends a push that waits to `sink`, unless another pushwrap sends it for longer than `patience`.
    ///
    /// # Errors
    /// What is wrong in the state directory.
    pub fn send_waiting(
        &self,
        name: &str,
        sink: &Sink,
        patience: Duration,
        limits: Limits<'_>,
    ) -> Result<Sent, String> {
        let lock_name = format!("{name}.send");
        let Ok(lock) = self.lock_within(&lock_name, patience) else { return Ok(Sent::Busy) };
        let sent = self.waiting_push(name).map(|waiting| match waiting {
            None => Sent::Gone,
            Some(waiting) => {
                let Handed { result, .. } = sink.deliver(&waiting.push, Turn::Final, limits);
                let waits = !is_settled(&result) || self.discard(&waiting).is_err();
                Sent::Tried { result, waits }
            }
        });
        self.retire(lock, &lock_name);
        sent
    }

    /// Writes a push, which takes the place of an older one of its group and what lasts of it. Returns what is to be sent, and
    /// what has to be said.
    fn store(&self, mut waiting: Waiting, lasting: &[String]) -> Result<(Waiting, Option<String>), String> {
        let name = waiting.name();
        let _lock = self.lock(&format!("{}.lock", waiting.group_name()))?;
        let mut note = None;
        match self.waiting_push(&name) {
            Ok(Some(older)) => waiting.inherit(&older, lasting),
            Ok(None) => {}
            Err(trouble) => note = Some(trouble),
        }
        let file = format!("{name}.push");
        let room = self.room(&file)?;
        let fits = |content: &Vec<u8>| content.len() as u64 <= room;
        let content = Some(waiting.to_bytes()).filter(fits);
        let light = || waiting.lightened().map(|light| light.to_bytes()).filter(fits);
        let full = || format!("state directory '{}': it holds {} MiB already", self.path().display(), ROOM_BYTES >> 20);
        let content = content.or_else(light).ok_or_else(full)?;
        self.replace(&file, &content).map_err(|error| self.trouble(&error))?;
        Ok((waiting, note))
    }

    /// How many bytes a file may have beside all others.
    fn room(&self, file: &str) -> Result<u64, String> {
        let files = self.files(".push").map_err(|error| self.trouble(&error))?;
        let others: u64 = files.iter().filter(|other| other.name != file).map(|other| other.bytes).sum();
        Ok(ROOM_BYTES.saturating_sub(others))
    }

    /// Removes a push that was sent, unless a newer one has taken its place.
    fn discard(&self, sent: &Waiting) -> Result<(), String> {
        let _lock = self.lock(&format!("{}.lock", sent.group_name()))?;
        let name = sent.name();
        match self.waiting_push(&name)? {
            Some(there) if there.token == sent.token => {
                self.remove(&format!("{name}.push")).map_err(|error| self.trouble(&error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a name is one of those that we give: what somebody else puts here is left alone.
fn is_ours(name: &str) -> bool {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.split_once('-').is_some_and(|(group, destination)| is_hex(group, 32) && is_hex(destination, 16))
}

/// Whether a push need not wait any more: it was taken, or what is in it was refused and will be again.
fn is_settled(result: &Result<Delivered, Failure>) -> bool {
    match result {
        Ok(_) => true,
        Err(failure) => matches!(failure.fault, Fault::Status { status: 400 | 413 | 422, .. }),
    }
}

impl Spool {
    /// A place for a run's push to this sink; `None` where nothing is kept. Why a directory that was named cannot be used is said
    /// when the run is counted.
    pub(super) fn place(&self, sink: &Sink) -> Option<Place<'_>> {
        let destination = sink.destination()?;
        Some(Place { spool: self, state: self.state_dir.open().ok().flatten()?.within(self.budget), destination })
    }

    /// Sends what other groups wait to send to the same sink, as far as time allows. The first failure ends it.
    pub(super) fn send_others(&self, sink: &Sink, own: &Push, limits: Limits<'_>) -> Vec<Errand> {
        let (Some(destination), Ok(Some(state))) = (sink.destination(), self.state_dir.open()) else {
            return Vec::new();
        };
        let ending = format!("-{}", destination_name(&destination));
        let own = Waiting::new(destination, &self.grouping, own.clone()).name();
        let names = state.waiting().unwrap_or_default();
        let mut errands = Vec::new();
        for name in names.iter().filter(|name| name.ends_with(&ending) && **name != own) {
            if limits.deadline.left() < TOO_LATE || limits.cancel.until().is_some() {
                break;
            }
            let errand = run_errand(&state, name, sink, limits);
            let goes_on = errand.as_ref().is_none_or(|errand| !errand.waits);
            errands.extend(errand);
            if !goes_on {
                break;
            }
        }
        errands
    }
}

/// What came of a push of another group that waited.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) result: Result<Delivered, Failure>,
    pub(super) said: Vec<String>,
    waits: bool,
}

/// `None` where there was nothing to do.
fn run_errand(state: &State, name: &str, sink: &Sink, limits: Limits<'_>) -> Option<Errand> {
    let group = state.waiting_push(name).ok().flatten()?.group();
    let Ok(Sent::Tried { mut result, waits }) = state.send_waiting(name, sink, Duration::ZERO, limits) else {
        return None;
    };
    let mut said = Vec::new();
    match &mut result {
        Ok(delivered) => delivered.notes.push(format!("sent {group}, which had waited, to '{}'", sink.name())),
        Err(failure) if !waits => said.push(format!("a push of {group} that had waited is dropped: {failure}")),
        Err(_) => {}
    }
    Some(Errand { result, said, waits })
}

/// Where the final push of a run to one sink is kept until it is taken.
#[derive(Debug)]
pub(super) struct Place<'s> {
    spool: &'s Spool,
    state: State,
    destination: Destination,
}

/// A push that was written, if that was possible, and what has to be said.
#[derive(Debug)]
pub(super) struct Kept {
    stored: Option<Waiting>,
    said: Option<String>,
}

impl Place<'_> {
    /// Writes the push, before it is sent.
    pub(super) fn keep(&self, push: &Push) -> Kept {
        let fresh = Waiting::new(self.destination.clone(), &self.spool.grouping, push.clone());
        match self.state.store(fresh, &self.spool.lasting) {
            Ok((stored, said)) => Kept { stored: Some(stored), said },
            Err(trouble) => Kept { stored: None, said: Some(format!("the push is not kept: {trouble}")) },
        }
    }

    /// What is said of a push that was kept and not taken.
    pub(super) fn sentence(&self, kept: &Kept) -> Option<String> {
        let shown = self.state.path().display();
        kept.stored.as_ref().map(|_| format!("it waits in '{shown}' for the next run or 'pushwrap flush'"))
    }

    /// Sends it, kept or not. The lines have to be said.
    pub(super) fn deliver(&self, sink: &Sink, push: &Push, kept: Kept, limits: Limits<'_>) -> Handed {
        let sentence = self.sentence(&kept);
        let Some(stored) = kept.stored else {
            return Handed { said: kept.said.into_iter().collect(), ..sink.deliver(push, Turn::Final, limits) };
        };
        let handed = self.send(stored, sink, limits);
        let waits = sentence.filter(|_| !is_settled(&handed.result));
        Handed { said: kept.said.into_iter().chain(waits).collect(), ..handed }
    }

    /// Whoever gets the lock late may find that another run has sent it, or has a newer one.
    fn send(&self, stored: Waiting, sink: &Sink, limits: Limits<'_>) -> Handed {
        let lock_name = format!("{}.send", stored.name());
        let lock = self.state.lock_within(&lock_name, self.spool.budget.min(limits.deadline.left()) / 4).ok();
        let newest = match (&lock, self.state.waiting_push(&stored.name())) {
            (Some(_), Ok(None)) => None,
            (Some(_), Ok(Some(there))) if there.token != stored.token => Some(there),
            _ => Some(stored),
        };
        let Some(newest) = newest else {
            retire(&self.state, lock, &lock_name);
            return Ok(sent_by_another()).into();
        };
        let handed = sink.deliver(&newest.push, Turn::Final, limits);
        // Without the lock an older push may still be on its way: then this one waits, and the next run repeats it.
        if lock.is_some() && is_settled(&handed.result) {
            // One that stays is sent once more.
            let _ = self.state.discard(&newest);
        }
        retire(&self.state, lock, &lock_name);
        handed
    }
}

fn retire(state: &State, lock: Option<Lock>, name: &str) {
    if let Some(lock) = lock {
        state.retire(lock, name);
    }
}

fn sent_by_another() -> Delivered {
    Delivered { status: 200, tries: 0, salvaged: None, notes: vec!["another run has sent it".to_owned()] }
}

impl Sink {
    /// Whom a push to this sink waits for; `None` for what needs no waiting.
    pub(super) fn destination(&self) -> Option<Destination> {
        let door = match self {
            Self::Pushgateway(_) => super::Door::Pushgateway,
            Self::RemoteWrite(_) => super::Door::RemoteWrite,
            Self::Output(_) => return None,
        };
        Some(Destination { door, url: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::{LONGEST_WAIT, ROOM_BYTES};
    use crate::sink::state_waiting::{Destination, Door, Waiting};
    use crate::sink::{Method, Push, State, StateDir};

    fn waiting(body: &str, salvage: Option<&str>) -> Waiting {
        let destination = Destination { door: Door::Pushgateway, url: "http://gw".to_owned() };
        let bytes = |text: &str| text.as_bytes().into();
        let path = "/metrics/job/a".to_owned();
        let push = Push { method: Method::Add, path, body: bytes(body), salvage: salvage.map(bytes) };
        Waiting::new(destination, &[("job".to_owned(), "a".to_owned())], push)
    }

    fn state() -> (tempfile::TempDir, State) {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::Named(directory.path().to_owned()).open().unwrap().unwrap();
        (directory, state)
    }

    #[test]
    fn a_directory_holds_no_more_than_its_limit() {
        let (directory, state) = state();
        let other = File::create(directory.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)))).unwrap();
        let large = "x 1\n".repeat(1000);
        other.set_len(ROOM_BYTES - 1000).unwrap();
        let (sent, _) = state.store(waiting(&large, Some("y 1\n")), &[]).unwrap();
        assert_eq!(sent.push.body.len(), large.len(), "what is sent is whole");
        let kept = state.waiting_push(&sent.name()).unwrap().unwrap();
        assert_eq!(&*kept.push.body, b"y 1\n", "what waits is the run's own part");
        other.set_len(ROOM_BYTES).unwrap();
        let full = state.store(waiting(&large, Some("y 1\n")), &[]).unwrap_err();
        assert!(full.contains("64 MiB"), "{full}");
        assert!(state.waiting_push(&sent.name()).unwrap().is_some(), "what waited stays");
    }

    #[test]
    fn what_has_waited_for_a_month_goes() {
        let (_directory, state) = state();
        let mut old = waiting("x 1\n", None);
        old.since = SystemTime::now() - LONGEST_WAIT - Duration::from_mins(1);
        state.store(old.clone(), &[]).unwrap();
        assert!(state.waiting_push(&old.name()).unwrap_err().contains("has waited for a month: it is removed"));
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_newer_push_is_not_discarded_with_an_older_one() {
        let (directory, state) = state();
        let (older, _) = state.store(waiting("x 1\n", None), &[]).unwrap();
        let (newer, _) = state.store(waiting("x 2\n", None), &[]).unwrap();
        state.discard(&older).unwrap();
        assert_eq!(state.waiting().unwrap(), [newer.name()]);
        state.discard(&newer).unwrap();
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new());
        fs::write(directory.path().join("notes.push"), "mine").unwrap();
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new(), "somebody else's file");
    }
}

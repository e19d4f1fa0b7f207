//! Pushes that failed wait in the state directory, one for each destination and group: written, folded into one, found and removed
//! under the lock of their group, and sent under one of their own, so that an older one never overtakes a newer one.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

use crate::delivery::spool::counts::RunCounts;
use crate::delivery::spool::dir::{Lock, SpoolDir, SpoolPath, StateFile, belongs_to};
use crate::delivery::spool::entry::{Destination, Inherited, SinkKind, SpooledPush};
use crate::delivery::spool::notes::{Fate, Note, send_lock};
use crate::delivery::timing::LONGEST_WAIT;
use crate::exposition::Family;
use crate::http::error::{Failure, Fault};
use crate::sink::PushKind;
use crate::sink::delivered::Delivered;
use crate::sink::{DeliveryResult, Limits, Sink};

/// No more waits in one directory, in bytes.
const ROOM_BYTES: u64 = 64 << 20;
/// What is said of that.
pub(crate) const FULL: &str = "no more than 64 MiB wait there";

/// Where the final push of a run waits when it fails.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The directory.
    pub state_dir: SpoolPath,
    /// The families of an older push that a receiver of remote write is told again.
    pub lasting: Vec<String>,
    /// How counts stand in a push.
    pub compose_counts: CountFamilies,
    /// The budget of a push; locks may cost a part of it.
    pub budget: Duration,
}

/// Makes the families of counts as they stand in a push.
#[derive(Clone)]
pub struct CountFamilies(Arc<dyn Fn(RunCounts) -> Vec<Family<'static>> + Send + Sync>);

impl CountFamilies {
    /// Counts become families by `compose`.
    #[must_use]
    pub fn new(compose: impl Fn(RunCounts) -> Vec<Family<'static>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(compose))
    }
}

impl std::fmt::Debug for CountFamilies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CountFamilies").finish_non_exhaustive()
    }
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
        /// Whether the gateway may still apply it, as in [`DeliveryResult`].
        unanswered: bool,
    },
}

/// A push that takes the place of an older one.
#[derive(Debug)]
pub(crate) struct Stored {
    /// What is to be sent: this push, and what it has taken over.
    pub(crate) waiting: SpooledPush,
    /// This push alone.
    pub(crate) own: SpooledPush,
    pub(crate) inherited: Inherited,
    /// What has to be said in any case.
    pub(crate) note: Option<String>,
    pub(crate) written: Written,
}

/// What of a push waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it.
    Whole,
    /// The run's own metrics: there is no room for more.
    OwnMetrics,
    /// Nothing, for this reason; an older one that waits is still as it was.
    Nothing(String),
}

impl Written {
    pub(crate) fn waits(&self) -> bool {
        !matches!(self, Self::Nothing(_))
    }
}

/// Why a push that waits is not sent.
#[derive(Debug)]
pub(crate) enum Unsendable {
    /// It never will be.
    Useless(String),
    /// It cannot be read.
    Unreadable(String),
}

impl SpoolDir {
    /// The names of the pushes that wait and belong to this user, those that wait longest first.
    ///
    /// # Errors
    /// Why the directory cannot be read.
    pub fn waiting(&self) -> Result<Vec<String>, String> {
        let own = |file: &StateFile| file.metadata.uid() == geteuid().as_raw();
        let mut names: Vec<_> = self
            .files(is_push)
            .map_err(|error| self.trouble(&error))?
            .into_iter()
            .filter(own)
            .filter_map(|file| Some((file.metadata.modified().ok()?, file.name.strip_suffix(".push")?.to_owned())))
            .collect();
        names.sort();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// What has to be said of pushes that wait here and belong to others.
    #[must_use]
    pub fn strangers(&self) -> Option<String> {
        let files = self.files(is_push).ok()?;
        let stranger = files.iter().map(|file| file.metadata.uid()).find(|uid| *uid != geteuid().as_raw())?;
        Some(format!("'{}' has a push that {}", self.path().display(), belongs_to(stranger)))
    }

    /// The push of this name; `None` when it does not wait any more. One that never will be sent is removed.
    ///
    /// # Errors
    /// Why it is not there any more although nobody sent it, or why it cannot be read.
    pub fn waiting_push(&self, name: &str) -> Result<Option<SpooledPush>, String> {
        self.look(name).map_err(|found| match found {
            Unsendable::Useless(why) => {
                let cleared = self.lock(&group_lock(name)).and_then(|_lock| match self.look(name) {
                    Err(Unsendable::Useless(_)) => self.remove_push(name),
                    // Another one has taken its place.
                    _ => Ok(()),
                });
                useless(&why, cleared)
            }
            Unsendable::Unreadable(why) => why,
        })
    }

    fn remove_push(&self, name: &str) -> Result<(), String> {
        self.remove(&push_file(name)).map_err(|error| self.trouble(&error))
    }

    /// The push of this name, as [`waiting_push`](Self::waiting_push) finds it; nothing is changed.
    ///
    /// # Errors
    /// Why it will not be sent.
    pub fn peek(&self, name: &str) -> Result<Option<SpooledPush>, String> {
        self.look(name).map_err(|(Unsendable::Useless(why) | Unsendable::Unreadable(why))| why)
    }

    pub(crate) fn look(&self, name: &str) -> Result<Option<SpooledPush>, Unsendable> {
        let file = push_file(name);
        let content = self.read(&file).map_err(|error| Unsendable::Unreadable(self.trouble(&error)))?;
        let Some(content) = content else { return Ok(None) };
        let useless = |why: &str| Unsendable::Useless(format!("'{}' {why}", self.path().join(&file).display()));
        let known = SpooledPush::from_bytes(&content).filter(|waiting| waiting.name() == name);
        let waiting = known.ok_or_else(|| useless("is damaged"))?;
        match SystemTime::now().duration_since(waiting.since) {
            Ok(age) if age > LONGEST_WAIT => Err(useless("has waited for a month")),
            _ => Ok(Some(waiting)),
        }
    }

    /// Clears away what killed runs left.
    pub fn tidy(&self) {
        // The note of what was sent is needed for as long as something waits.
        let waits = |name: &str| self.file(&push_file(name)).exists();
        self.sweep(|name| name.strip_suffix(".send").is_some_and(|name| is_ours(name) && !waits(name)));
    }

    /// Sends a push that waits to `sink`, unless another pushwrap sends it for longer than `patience`. The limits are asked for when
    /// it is sent.
    ///
    /// # Errors
    /// What is wrong in the state directory.
    pub fn send_waiting<'l>(
        &self,
        name: &str,
        sink: &Sink,
        patience: Duration,
        limits: impl FnOnce() -> Limits<'l>,
    ) -> Result<Sent, String> {
        let Ok(lock) = self.lock_within(&send_lock(name), patience) else { return Ok(Sent::Busy) };
        let Some(waiting) = self.waiting_push(name)? else { return Ok(Sent::Gone) };
        if waiting.token <= self.settled(name) {
            // It could not be removed when it, or a newer one, was sent.
            let _ = self.discard(&waiting);
            return Ok(Sent::Gone);
        }
        let DeliveryResult { result, unanswered, .. } = waiting.deliver(sink, limits());
        let waits = !is_settled(&result) || self.settle(&lock, &waiting, &result).is_err();
        Ok(Sent::Tried { result, waits, unanswered })
    }

    /// Notes what became of a push, which need not wait any more, and removes it.
    pub(crate) fn settle(
        &self,
        lock: &Lock,
        sent: &SpooledPush,
        result: &Result<Delivered, Failure>,
    ) -> Result<(), String> {
        self.note(&sent.name(), lock, Note { token: sent.token, ..fate(result) });
        self.discard(sent)
    }

    /// Puts a push into the place of an older one of its group, with what the gateway would have of that one.
    pub(crate) fn store(&self, mut waiting: SpooledPush, spool: &SpoolOptions) -> Stored {
        let name = waiting.name();
        let lock = self.lock(&group_lock(&name));
        let (older, note) = match self.look(&name) {
            Ok(older) => (older, None),
            Err(Unsendable::Useless(why)) if lock.is_ok() => (None, Some(useless(&why, self.remove_push(&name)))),
            Err(Unsendable::Useless(why) | Unsendable::Unreadable(why)) => (None, Some(why)),
        };
        let settled = self.settled(&name);
        let older = older.filter(|older| older.token > settled);
        let before = older.as_ref().map_or(settled, |older| older.token);
        waiting.token = waiting.token.max(before.saturating_add(2));
        let mut own = waiting.clone();
        let inherited = older.map_or(Inherited::Nothing, |older| waiting.inherit(&older, &spool.lasting));
        for push in [&mut own, &mut waiting] {
            spool.recount(self, push);
        }
        let written = lock.and_then(|_lock| self.write(&name, &waiting)).unwrap_or_else(Written::Nothing);
        if !written.waits() {
            // Others may be stored meanwhile: it comes after what it has taken over, and before these.
            waiting.token = before.saturating_add(1);
            own.token = waiting.token;
        }
        Stored { waiting, own, inherited, note, written }
    }

    fn write(&self, name: &str, waiting: &SpooledPush) -> Result<Written, String> {
        let file = push_file(name);
        let room = self.room(&file)?;
        let fits = |content: &Vec<u8>| content.len() as u64 <= room;
        let whole = Some(waiting.to_bytes()).filter(fits).map(|content| (content, Written::Whole));
        let light = || waiting.lightened().map(|light| light.to_bytes()).filter(fits);
        let content = whole.or_else(|| light().map(|content| (content, Written::OwnMetrics)));
        let (content, written) =
            content.ok_or_else(|| format!("state directory '{}': {FULL}", self.path().display()))?;
        self.replace(&file, &content).map_err(|error| self.trouble(&error))?;
        Ok(written)
    }

    /// How many bytes a file may have beside all others.
    fn room(&self, file: &str) -> Result<u64, String> {
        let others = self.files(|name| is_push(name) && name != file).map_err(|error| self.trouble(&error))?;
        Ok(ROOM_BYTES.saturating_sub(others.iter().map(|other| other.metadata.len()).sum()))
    }

    /// Removes a push that was sent, unless a newer one has taken its place.
    pub(crate) fn discard(&self, sent: &SpooledPush) -> Result<(), String> {
        let name = sent.name();
        let is_there = || matches!(self.look(&name), Ok(Some(there)) if there.token <= sent.token);
        if !is_there() {
            return Ok(());
        }
        let _lock = self.lock(&group_lock(&name))?;
        if is_there() { self.remove_push(&name) } else { Ok(()) }
    }
}

impl SpooledPush {
    /// Sends it, and the DELETE that it has taken the place of where the gateway refuses what is in it.
    pub(crate) fn deliver(&self, sink: &Sink, limits: Limits<'_>) -> DeliveryResult {
        let handed = sink.deliver(&self.push, PushKind::Final, limits);
        let refused = is_settled(&handed.result) && handed.result.is_err();
        let Some(deletion) = self.inherited_deletion().filter(|_| refused) else { return handed };
        let deleted = sink.deliver(&deletion, PushKind::Final, limits);
        let unanswered = handed.unanswered || deleted.unanswered;
        let result = if is_settled(&deleted.result) { handed.result } else { deleted.result };
        DeliveryResult { result, unanswered, said: handed.said }
    }
}

/// What has to be noted of a push of which this is the result.
pub(crate) fn fate(result: &Result<Delivered, Failure>) -> Note {
    let (fate, status) = match result {
        Ok(delivered @ Delivered { status, .. }) if delivered.is_whole() => (Fate::Whole, *status),
        Ok(Delivered { status, .. }) => (Fate::Light, *status),
        Err(Failure { fault: Fault::Status { status, .. }, .. }) => (Fate::Refused, Some(*status)),
        Err(_) => (Fate::Refused, None),
    };
    Note { token: 0, fate, status }
}

/// The file of a push that waits.
fn push_file(name: &str) -> String {
    format!("{name}.push")
}

/// What is said of a push that never will be sent.
fn useless(why: &str, removed: Result<(), String>) -> String {
    match removed {
        Ok(()) => format!("{why}: it is removed"),
        Err(trouble) => format!("{why}, and stays: {trouble}"),
    }
}

/// The lock under which the pushes of a group are exchanged and its runs counted.
fn group_lock(name: &str) -> String {
    format!("{}.lock", name.split_once('-').map_or(name, |(group, _)| group))
}

/// Whether a file of this name is a push that waits.
fn is_push(name: &str) -> bool {
    name.strip_suffix(".push").is_some_and(is_ours)
}

/// Whether a name is one of those that we give: what somebody else puts here is left alone.
fn is_ours(name: &str) -> bool {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.split_once('-').is_some_and(|(group, destination)| is_hex(group, 32) && is_hex(destination, 16))
}

/// What is said of a push that waited and is not sent in full.
#[must_use]
pub fn dropped(group: &str, why: impl std::fmt::Display) -> String {
    format!("a push of {group} that had waited is dropped: {why}")
}

/// Whether a push need not wait any more: it was taken, or what is in it was refused and will be again.
pub(crate) fn is_settled(result: &Result<Delivered, Failure>) -> bool {
    match result {
        Ok(_) => true,
        Err(failure) => !failure.fault.keeps(),
    }
}

impl SpoolOptions {
    /// Whether a final push to this sink waits when it fails, where the directory can be used.
    pub(crate) fn keeps(&self, sink: &Sink) -> bool {
        self.state_dir.is_wanted() && sink.destination().is_some()
    }

    /// Puts in the counts as they are now: another run may have been counted later and have been faster, and no counter may fall.
    pub(crate) fn recount(&self, state: &SpoolDir, waiting: &mut SpooledPush) {
        if let Some(counts) = state.counts(&waiting.group_name()) {
            waiting.recount((self.compose_counts.0)(counts));
        }
    }

    /// Leaves the counts out: who sends without the lock may arrive after others with higher ones.
    pub(crate) fn uncount(&self, waiting: &mut SpooledPush) {
        waiting.uncount(&(self.compose_counts.0)(RunCounts::default()));
    }
}

impl Sink {
    /// Whom a push to this sink waits for; `None` for what needs no waiting.
    pub(crate) fn destination(&self) -> Option<Destination> {
        let (door, url) = match self {
            Self::Pushgateway(gateway) => (SinkKind::Pushgateway, gateway.url.identity()),
            Self::RemoteWrite(remote) => (SinkKind::RemoteWrite, remote.endpoint.url.identity()),
            Self::File(_) => return None,
        };
        Some(Destination { door, url })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::{
        CountFamilies, Fate, LONGEST_WAIT, Note, ROOM_BYTES, RunCounts, SpoolOptions, Stored, Written, group_lock,
        send_lock,
    };
    use crate::delivery::spool::entry::{Destination, SinkKind, SpooledPush};
    use crate::delivery::{SpoolDir, SpoolPath};
    use crate::exposition::{Context, Family, OwnedFamilies, Source, encode};
    use crate::grouping::GroupingKey;
    use crate::outcome::Outcome;
    use crate::sink::{Method, Push};

    fn families(text: &str) -> OwnedFamilies {
        OwnedFamilies::read(vec![Source::new("f", text.as_bytes().to_vec())], &Context::default()).0
    }

    fn waiting(own: &str, command: &str) -> SpooledPush {
        let destination = Destination { door: SinkKind::Pushgateway, url: "http://gw".to_owned() };
        let (key, method) = (GroupingKey::new("a", []).unwrap(), Method::Add);
        SpooledPush::new(destination, Push { method, key, own: families(own), command: families(command) })
    }

    fn text(push: &Push) -> String {
        String::from_utf8(encode(push.families())).unwrap()
    }

    fn state() -> (tempfile::TempDir, SpoolDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = SpoolPath::Named(directory.path().to_owned()).open().unwrap().unwrap();
        (directory, state)
    }

    /// Counts as `n` and the number of successes.
    fn spool() -> SpoolOptions {
        let number = |counts: RunCounts| counts.runs(Outcome::Success).to_string();
        let compose = move |counts| vec![Family::counter("n", "").sample(&[], number(counts))];
        let (state_dir, budget) = (SpoolPath::None, Duration::from_secs(1));
        SpoolOptions { state_dir, lasting: Vec::new(), compose_counts: CountFamilies::new(compose), budget }
    }

    #[test]
    fn who_comes_late_with_an_older_count_pushes_the_newer_one() {
        let (_directory, state) = state();
        let path = "/metrics/job/a";
        for _ in 0..2 {
            state.count(path, Outcome::Success).unwrap();
        }
        let late = waiting("# TYPE n counter\nn 1\n", "# TYPE x gauge\nx 1\n");
        let counted = "# TYPE n counter\nn 2\n# TYPE x gauge\nx 1\n";
        assert_eq!(text(&state.store(late.clone(), &spool()).own.push), counted);
        let late = stored(&state, late);
        assert_eq!(text(&late.push), counted);
        state.discard(&late).unwrap();
        let uncounted = stored(&state, waiting("", "# TYPE x gauge\nx 1\n"));
        assert_eq!(text(&uncounted.push), "# TYPE x gauge\nx 1\n", "a run that could not be counted stays uncounted");
        let mut unlocked = waiting("# TYPE n counter\nn 1\n", "# TYPE x gauge\nx 1\n");
        spool().uncount(&mut unlocked);
        assert_eq!(text(&unlocked.push), "# TYPE x gauge\nx 1\n", "it may arrive after others");
    }

    /// What is sent of a push that was stored.
    fn stored(state: &SpoolDir, waiting: SpooledPush) -> SpooledPush {
        let stored = state.store(waiting, &spool());
        assert_eq!((stored.note, stored.written), (None, Written::Whole));
        stored.waiting
    }

    #[test]
    fn a_directory_holds_no_more_than_its_limit() {
        let (directory, state) = state();
        let other = File::create(directory.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)))).unwrap();
        let large = (0..1000).fold(String::new(), |text, number| text + &format!("x{number} 1\n"));
        other.set_len(ROOM_BYTES - 1000).unwrap();
        let Stored { waiting: sent, written, .. } = state.store(waiting("y 1\n", &large), &spool());
        assert_eq!(sent.push.command.samples(), 1000, "what is sent is whole");
        assert_eq!(written, Written::OwnMetrics);
        let kept = state.waiting_push(&sent.name()).unwrap().unwrap();
        assert_eq!(text(&kept.push), "# TYPE y untyped\ny 1\n", "what waits is the run's own part");
        other.set_len(ROOM_BYTES).unwrap();
        let full = state.store(waiting("y 1\n", &large), &spool());
        assert!(matches!(full.written, Written::Nothing(why) if why.contains("64 MiB")));
        assert!(state.waiting_push(&sent.name()).unwrap().is_some(), "what waited stays");
    }

    #[test]
    fn what_has_waited_for_a_month_goes() {
        let (_directory, state) = state();
        let mut old = waiting("x 1\n", "");
        old.since = SystemTime::now() - LONGEST_WAIT - Duration::from_mins(1);
        stored(&state, old.clone());
        assert!(state.peek(&old.name()).unwrap_err().ends_with("has waited for a month"));
        assert!(state.waiting_push(&old.name()).unwrap_err().contains("has waited for a month: it is removed"));
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_damaged_push_is_removed_though_nothing_takes_its_place() {
        let (directory, state) = state();
        let damaged = directory.path().join(format!("{}.push", waiting("x 1\n", "").name()));
        fs::write(&damaged, "nonsense").unwrap();
        let other = directory.path().join(format!("{}-{}.push", "0".repeat(32), "0".repeat(16)));
        File::create(other).unwrap().set_len(ROOM_BYTES).unwrap();
        let Stored { note, written, .. } = state.store(waiting("x 1\n", ""), &spool());
        assert!(!written.waits() && note.unwrap().ends_with("is damaged: it is removed"));
        assert!(!damaged.exists());
    }

    /// A clock that was set back is no reason to take a newer push for an older one.
    #[test]
    fn a_newer_push_has_a_higher_token_than_what_waits_and_what_was_sent() {
        let (_directory, state) = state();
        let mut from_the_future = waiting("x 1\n", "");
        from_the_future.token = u64::MAX - 99;
        let older = stored(&state, from_the_future);
        assert_eq!(stored(&state, waiting("x 2\n", "")).token, older.token + 2);
        let lock = state.lock(&send_lock(&older.name())).unwrap();
        let note = |above, fate| Note { token: older.token + above, fate, status: Some(202) };
        for note in [note(3, Fate::Whole), note(2, Fate::Light), note(4, Fate::Whole), note(5, Fate::Refused)] {
            state.note(&older.name(), &lock, note);
        }
        let noted = [note(3, Fate::Whole), note(2, Fate::Light), note(4, Fate::Whole), note(5, Fate::Refused)];
        assert_eq!(state.notes(&older.name()), noted);
        assert_eq!(stored(&state, waiting("x 3\n", "")).token, older.token + 7);
    }

    /// Who is stored after it has not gone with it.
    #[test]
    fn a_push_that_is_not_kept_stands_for_what_it_has_taken_over() {
        let (_directory, state) = state();
        let older = stored(&state, waiting("x 1\n", ""));
        let late = waiting("x 2\n", "");
        let lock = state.lock(&group_lock(&older.name())).unwrap();
        let unkept = state.clone().within(Duration::ZERO).store(waiting("x 3\n", ""), &spool());
        assert!(!unkept.written.waits() && unkept.waiting.token == older.token + 1);
        drop(lock);
        let late = stored(&state, late);
        state.discard(&unkept.waiting).unwrap();
        assert_eq!(state.waiting().unwrap(), [late.name()]);
    }

    #[test]
    fn a_newer_push_is_not_discarded_with_an_older_one() {
        let (directory, state) = state();
        let older = stored(&state, waiting("x 1\n", ""));
        let newer = stored(&state, waiting("x 2\n", ""));
        state.discard(&older).unwrap();
        assert_eq!(state.waiting().unwrap(), [newer.name()]);
        state.discard(&newer).unwrap();
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new());
        fs::write(directory.path().join("notes.push"), "mine").unwrap();
        assert_eq!(state.waiting().unwrap(), Vec::<String>::new(), "somebody else's file");
    }
}

//! One push that waits in the state directory, as a file: whom it is for, what is asked, and nothing secret. The command's metrics
//! stand before the run's own, because they are written before the run has its number. A check sum tells a file that a disk or a
//! person damaged.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tempfile::NamedTempFile;

use crate::delivery::spool::digest::{Digest, digest};
use crate::delivery::spool::dir::unfinished;
use crate::delivery::spool::process::{Process, boot_id};
use crate::exposition::{Context, OwnedFamilies, Source, encode};
use crate::grouping::GroupingKey;
use crate::sink::{Method, Push, Sink};

/// The first line of the file.
const HEAD: &str = "pushwrap push 2\n";
/// So much is written to the disk at once: a file system that takes this much is one that does not hang.
const PIECE_BYTES: usize = 4 << 20;
/// No clock was right that said less: this was written later. In seconds since 1970.
const LEAST_CLOCK: u64 = 1_767_225_600;

/// What is spoken at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SinkKind {
    /// A Pushgateway, or what speaks like one.
    Pushgateway,
    /// A receiver of remote write.
    RemoteWrite,
}

impl SinkKind {
    const ALL: [Self; 2] = [Self::Pushgateway, Self::RemoteWrite];

    fn name(self) -> &'static str {
        match self {
            Self::Pushgateway => "pushgateway",
            Self::RemoteWrite => "remote-write",
        }
    }

    /// The kind of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Whom a push is for: never with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkAddress {
    /// What is spoken there.
    pub kind: SinkKind,
    /// Its address without user and password.
    pub url: String,
}

impl SinkAddress {
    /// Whom a push to this sink waits for; `None` for what needs no waiting.
    pub(crate) fn of(sink: &Sink) -> Option<Self> {
        let (kind, url) = match sink {
            Sink::Pushgateway(gateway) => (SinkKind::Pushgateway, gateway.url.identity()),
            Sink::RemoteWrite(remote) => (SinkKind::RemoteWrite, remote.endpoint.url.identity()),
            Sink::File(_) => return None,
        };
        Some(Self { kind, url })
    }

    /// `pushgateway http://gateway:9091`
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}", self.kind.name(), self.url)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (kind, url) = text.split_once(' ')?;
        Some(Self { kind: SinkKind::from_name(kind)?, url: url.to_owned() })
    }

    /// The name of its directories.
    pub(crate) fn name(&self) -> String {
        let mut name = digest(&[self.to_text().as_bytes()]);
        name.truncate(16);
        name
    }
}

/// Since when a push waits, by two clocks: that of the wall may be wrong, and that of the boot does not outlive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) wall: SystemTime,
    boot: String,
    uptime: Duration,
}

impl Since {
    pub(crate) fn now() -> Self {
        Self { wall: SystemTime::now(), boot: boot_id().to_owned(), uptime: uptime() }
    }

    /// Since this moment by the wall's clock.
    pub(crate) fn at(wall: SystemTime) -> Self {
        Self { wall, boot: String::new(), uptime: Duration::ZERO }
    }

    /// How long ago that is; none where nothing can be known, because the clock was wrong then.
    pub(crate) fn age(&self) -> Option<Duration> {
        if self.boot == boot_id() {
            return Some(uptime().saturating_sub(self.uptime));
        }
        let is_right = self.wall >= UNIX_EPOCH + Duration::from_secs(LEAST_CLOCK);
        SystemTime::now().duration_since(self.wall).ok().filter(|_| is_right)
    }
}

/// The time since the boot, in which the machine may have slept.
fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// A push that waits.
#[derive(Debug, Clone)]
pub struct SpooledPush {
    /// Whom it is for.
    pub destination: SinkAddress,
    pub(crate) since: Since,
    /// What is to be sent.
    pub push: Push,
    /// Whether it has taken the place of a DELETE: it deletes the group even where what is in it is refused.
    pub(crate) deletes: bool,
    /// The families of it that a receiver of remote write is told again.
    pub(crate) carried_over: Vec<String>,
    /// Who has stored it.
    pub(crate) owner: Process,
}

impl SpooledPush {
    /// A push that waits from now on.
    pub(crate) fn new(destination: SinkAddress, push: Push, carried_over: Vec<String>) -> Self {
        let (since, owner) = (Since::now(), Process::own().clone());
        Self { destination, since, push, deletes: false, carried_over, owner }
    }

    /// Since when it waits, by the wall's clock.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since.wall
    }

    /// The group as in PromQL: `{job="backup", instance="db1"}`.
    #[must_use]
    pub fn group(&self) -> String {
        self.push.key.to_string()
    }

    /// What sending it does to the group, before the address: `pushed to`.
    #[must_use]
    pub fn deed(&self) -> &'static str {
        match self.push.method {
            _ if self.destination.kind == SinkKind::RemoteWrite => "written to",
            Method::Add => "pushed to",
            Method::Replace => "replaced at",
            Method::Delete => "deleted at",
        }
    }

    /// The family of the run's start, and when that was, in seconds since 1970.
    pub(crate) fn start(&self) -> Option<(&str, f64)> {
        let family =
            self.push.own.families().iter().find(|family| family.name().ends_with("start_timestamp_seconds"))?;
        Some((family.name(), family.samples().first()?.number()))
    }

    fn head(&self) -> String {
        let Self { destination, since, push, deletes, carried_over, owner } = self;
        let wall = since.wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut head = format!("{HEAD}since {wall}\nuptime {} {}\n", since.uptime.as_secs(), since.boot);
        let _ = writeln!(head, "owner {}\nkind {}\nurl {}", owner.to_text(), destination.kind.name(), destination.url);
        let _ = writeln!(head, "method {}", push.method.name());
        head.push_str(&label_lines(&push.key));
        for name in carried_over {
            let _ = writeln!(head, "carried_over {name}");
        }
        if *deletes {
            head.push_str("deletes\n");
        }
        head
    }

    /// The push that a file says; `None` for what is damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(33)?)?;
        if sum.strip_suffix(b"\n")? != digest(&[content]).as_bytes() {
            return None;
        }
        let (head, rest) = split_head(content.strip_prefix(HEAD.as_bytes())?)?;
        let (command, rest) = rest.split_at_checked(head.one("command")?.parse().ok()?)?;
        let own = rest.strip_prefix(b"own\n")?;
        let (uptime, boot) = head.one("uptime")?.split_once(' ')?;
        let wall = UNIX_EPOCH.checked_add(Duration::from_secs(head.one("since")?.parse().ok()?))?;
        Some(Self {
            destination: SinkAddress {
                kind: SinkKind::from_name(head.one("kind")?)?,
                url: head.one("url")?.to_owned(),
            },
            since: Since { wall, boot: boot.to_owned(), uptime: Duration::from_secs(uptime.parse().ok()?) },
            push: Push { method: head.method()?, key: head.key()?, own: families(own), command: families(command) },
            deletes: head.0.lines().any(|line| line == "deletes"),
            carried_over: head.all("carried_over").map(str::to_owned).collect(),
            owner: Process::from_text(head.one("owner")?)?,
        })
    }
}

/// The lines of a key's labels.
pub(crate) fn label_lines(key: &GroupingKey) -> String {
    let line =
        |(name, value): &(String, String)| format!("label {name}={}\n", utf8_percent_encode(value, NON_ALPHANUMERIC));
    key.labels().iter().map(line).collect()
}

/// The families of text that we have written.
pub(crate) fn families(text: &[u8]) -> OwnedFamilies {
    OwnedFamilies::read(vec![Source::new("a push that waited", text.to_vec())], &Context::default()).0
}

/// The head up to the first empty line, and what follows.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(FileHead<'_>, &[u8])> {
    let end = memchr::memmem::find(bytes, b"\n\n")?;
    Some((FileHead(std::str::from_utf8(bytes.get(..end)?).ok()?), bytes.get(end + 2..)?))
}

/// Lines of a name, a blank and a value.
pub(crate) struct FileHead<'t>(&'t str);

impl<'t> FileHead<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self(text)
    }

    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'t str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
    }

    pub(crate) fn one(&self, name: &'static str) -> Option<&'t str> {
        self.all(name).next()
    }

    pub(crate) fn method(&self) -> Option<Method> {
        let name = self.one("method")?;
        [Method::Add, Method::Replace, Method::Delete].into_iter().find(|method| method.name() == name)
    }

    pub(crate) fn key(&self) -> Option<GroupingKey> {
        let label = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), percent_decode_str(value).decode_utf8().ok()?.into_owned()))
        };
        GroupingKey::held(self.all("label").map(label).collect::<Option<_>>()?)
    }
}

/// The file of a push while it is written.
#[derive(Debug)]
pub(crate) struct EntryWriter {
    file: NamedTempFile,
    sum: Digest,
    bytes: u64,
}

impl EntryWriter {
    /// Writes everything but the run's own metrics; `progress` is called for each piece that has reached the disk.
    pub(crate) fn begin(directory: &Path, push: &SpooledPush, progress: impl Fn()) -> io::Result<Self> {
        let command = encode(push.push.command.families());
        let mut writer = Self { file: unfinished(directory)?, sum: Digest::new(), bytes: 0 };
        writer.write(format!("{}command {}\n\n", push.head(), command.len()).as_bytes())?;
        for piece in command.chunks(PIECE_BYTES) {
            writer.write(piece)?;
            if command.len() > PIECE_BYTES {
                writer.file.as_file().sync_data()?;
            }
            progress();
        }
        Ok(writer)
    }

    /// Writes a whole push, own metrics and all.
    pub(crate) fn of(directory: &Path, push: &SpooledPush) -> io::Result<Self> {
        let mut writer = Self::begin(directory, push, || ())?;
        writer.finish(&encode(push.push.own.families()))?;
        Ok(writer)
    }

    /// Writes the rest. Then the file is whole on the disk, and has only to get its name.
    pub(crate) fn finish(&mut self, own: &[u8]) -> io::Result<()> {
        self.write(b"own\n")?;
        self.write(own)?;
        let sum = self.sum.text();
        self.write(format!("{sum}\n").as_bytes())?;
        self.file.as_file().sync_all()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.add(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// How large it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it its name.
    pub(crate) fn persist(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map(drop).map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{EntryWriter, Since, SinkAddress, SinkKind, SpooledPush, families};
    use crate::exposition::encode;
    use crate::grouping::GroupingKey;
    use crate::sink::{Method, Push};

    fn spooled(method: Method, own: &str, command: &str) -> SpooledPush {
        let destination = SinkAddress { kind: SinkKind::RemoteWrite, url: "http://gw:9091/x".to_owned() };
        let labels = [("job", "a b"), ("zone", "ä\n=\"")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let key = GroupingKey::held(labels.to_vec()).unwrap();
        let push = Push { method, key, own: families(own.as_bytes()), command: families(command.as_bytes()) };
        SpooledPush::new(destination, push, vec!["last".to_owned()])
    }

    fn bytes(push: &SpooledPush) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let text = |families: &crate::exposition::OwnedFamilies| encode(families.families());
        let mut writer = EntryWriter::begin(directory.path(), push, || ()).unwrap();
        writer.finish(&text(&push.push.own)).unwrap();
        let path = directory.path().join("x");
        writer.persist(&path).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (method, command) in [(Method::Add, "s 1\n"), (Method::Replace, ""), (Method::Delete, "y 2\n")] {
            let one = SpooledPush {
                deletes: command.is_empty(),
                ..spooled(method, "x_start_timestamp_seconds 1.5\n", command)
            };
            let other = SpooledPush::from_bytes(&bytes(&one)).unwrap();
            assert_eq!((&other.destination, &other.owner, other.deletes), (&one.destination, &one.owner, one.deletes));
            assert_eq!(
                (other.push.method, &other.push.key, &other.carried_over),
                (method, &one.push.key, &one.carried_over)
            );
            let text = |push: &SpooledPush| encode(push.push.families());
            assert_eq!(text(&other), text(&one));
            assert_eq!(other.group(), r#"{job="a b", zone="ä\n=\""}"#);
            assert_eq!(other.start(), Some(("x_start_timestamp_seconds", 1.5)));
            assert!(other.since.age().unwrap() < Duration::from_mins(1));
        }
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let bytes = bytes(&spooled(Method::Add, "x 1\n", "y 1\n"));
        for at in 0..bytes.len() {
            assert!(SpooledPush::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(SpooledPush::from_bytes(&flipped).is_none(), "flipped at {at}");
        }
    }

    /// A machine without a battery begins in 1970, and a push that it stored then is not fifty years old when its clock is set.
    #[test]
    fn a_push_that_was_stored_by_a_wrong_clock_has_no_age() {
        assert_eq!(Since::at(UNIX_EPOCH + Duration::from_secs(100)).age(), None);
        let of_this_boot = Since { wall: UNIX_EPOCH, ..Since::now() };
        assert!(of_this_boot.age().unwrap() < Duration::from_mins(1));
        assert!(Since::at(UNIX_EPOCH + Duration::from_secs(1_780_000_000)).age().is_some());
    }
}

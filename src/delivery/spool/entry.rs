//! One push that waits in the state directory, as a file: its destination, method and metrics, and nothing secret. The command's metrics
//! stand before the run's own, because they are written before the run has its number. A check sum tells a file that a disk or a
//! person damaged.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use tempfile::NamedTempFile;

use crate::delivery::state_dir::digest::{Digest, digest};
use crate::delivery::state_dir::dir::unfinished;
use crate::delivery::state_dir::head::{label_lines, split_head};
use crate::delivery::state_dir::process::Process;
use crate::delivery::state_dir::since::Since;
use crate::exposition::{Context, OwnedFamilies, Source, encode};
use crate::sink::address::{SinkAddress, SinkKind};
use crate::sink::{Method, Push};

/// The first line of the file.
const HEAD: &str = "pushwrap push 2\n";
/// So much is written to the disk at once: a file system that takes this much is one that does not hang.
const PIECE_BYTES: usize = 4 << 20;

/// A push in the spool.
#[derive(Debug, Clone)]
pub struct SpooledPush {
    /// The sink that it is for.
    pub destination: SinkAddress,
    pub(crate) since: Since,
    /// The push.
    pub push: Push,
    /// Whether it has taken the place of a DELETE: it deletes the group even where what is in it is refused.
    pub(crate) deletes: bool,
    /// The process that has stored it.
    pub(crate) owner: Process,
}

impl SpooledPush {
    /// A push that waits from now on.
    pub(crate) fn new(destination: SinkAddress, push: Push) -> Self {
        let (since, owner) = (Since::now(), Process::own().clone());
        Self { destination, since, push, deletes: false, owner }
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

    /// The verb of messages about the push, before the address: `pushed to`.
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
        let Self { destination, since, push, deletes, owner } = self;
        let mut head = format!("{HEAD}{}", since.to_lines());
        let _ = writeln!(head, "owner {}\nkind {}\nurl {}", owner.to_text(), destination.kind.name(), destination.url);
        let _ = writeln!(head, "method {}", push.method.name());
        head.push_str(&label_lines(&push.key));
        for name in &push.carried_over {
            let _ = writeln!(head, "carried_over {name}");
        }
        if *deletes {
            head.push_str("deletes\n");
        }
        head
    }

    /// The push in a file; `None` for a damaged file.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(33)?)?;
        if sum.strip_suffix(b"\n")? != digest(&[content]).as_bytes() {
            return None;
        }
        let (head, rest) = split_head(content.strip_prefix(HEAD.as_bytes())?)?;
        let (command, rest) = rest.split_at_checked(head.one("command")?.parse().ok()?)?;
        let own = rest.strip_prefix(b"own\n")?;
        Some(Self {
            destination: SinkAddress {
                kind: SinkKind::from_name(head.one("kind")?)?,
                url: head.one("url")?.to_owned(),
            },
            since: Since::from_head(&head)?,
            push: Push {
                method: head.method()?,
                key: head.key()?,
                own: families(own),
                command: families(command),
                carried_over: head.all("carried_over").map(str::to_owned).collect(),
            },
            deletes: head.has("deletes"),
            owner: Process::from_text(head.one("owner")?)?,
        })
    }
}

/// The families of an exposition that pushwrap has written.
pub(crate) fn families(text: &[u8]) -> OwnedFamilies {
    OwnedFamilies::read(vec![Source::new("a push that waited", text.to_vec())], &Context::default()).0
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

    /// The size of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Renames the file to its final name.
    pub(crate) fn persist(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map(drop).map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{EntryWriter, SinkAddress, SinkKind, SpooledPush, families};
    use crate::exposition::encode;
    use crate::grouping::GroupingKey;
    use crate::sink::{Method, Push};

    fn spooled(method: Method, own: &str, command: &str) -> SpooledPush {
        let destination = SinkAddress { kind: SinkKind::RemoteWrite, url: "http://gw:9091/x".to_owned() };
        let labels = [("job", "a b"), ("zone", "ä\n=\"")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let key = GroupingKey::held(labels.to_vec()).unwrap();
        let push = Push {
            method,
            key,
            own: families(own.as_bytes()),
            command: families(command.as_bytes()),
            carried_over: vec!["last".to_owned()],
        };
        SpooledPush::new(destination, push)
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
                (other.push.method, &other.push.key, &other.push.carried_over),
                (method, &one.push.key, &one.push.carried_over)
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
}

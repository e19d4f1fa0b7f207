//! One push that waits in the state directory, as the text of a file: whom it is for, what is asked, and nothing secret. A check sum
//! tells a file that a disk or a person damaged.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::state::digest;
use super::{Method, Push};
use crate::exposition::{Context, Source, encode, read};

/// The first line of the file.
const HEAD: &str = "pushwrap push 1";

/// What is spoken at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// A Pushgateway, or what speaks like one.
    Pushgateway,
    /// A receiver of remote write.
    RemoteWrite,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Pushgateway => "pushgateway",
            Self::RemoteWrite => "remote-write",
        }
    }
}

/// Whom a push is for: never with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// What is spoken there.
    pub door: Door,
    /// Its address without user and password.
    pub url: String,
}

/// A push that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Whom it is for.
    pub destination: Destination,
    /// The labels of its group, `job` included.
    pub grouping: Vec<(String, String)>,
    /// Since when it waits.
    pub since: SystemTime,
    /// What is to be sent.
    pub push: Push,
    /// Tells it from an older or newer one of the same group.
    pub(super) token: u64,
}

impl Waiting {
    /// A push that waits from now on.
    #[must_use]
    pub(super) fn new(destination: Destination, grouping: &[(String, String)], push: Push) -> Self {
        let grouping = grouping.to_vec();
        Self { destination, grouping, since: SystemTime::now(), push, token: fastrand::u64(..) }
    }

    /// The group as in PromQL: `{job="backup", instance="db1"}`.
    #[must_use]
    pub fn group(&self) -> String {
        let labels: Vec<String> = self.grouping.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{{{}}}", labels.join(", "))
    }

    /// The name of everything that belongs to the group.
    pub(super) fn group_name(&self) -> String {
        digest(&[self.push.path.as_bytes()])
    }

    /// The name of its file, without the ending.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.group_name(), destination_name(&self.destination))
    }

    /// Takes over what the older push says and this one does not, as the gateway would have kept it: the last success above all.
    pub(super) fn inherit(&mut self, older: &Self, lasting: &[String]) {
        if self.push.method != Method::Add || older.push.method == Method::Delete {
            return;
        }
        let sources = [Source::new("the older push", &*older.push.body)];
        let families = read(&sources, &Context::default()).families;
        let lacks = |name: &str| !has_family(&self.push.body, name);
        let kept =
            families.iter().filter(|family| lasting.iter().any(|name| name == family.name()) && lacks(family.name()));
        let kept = encode(kept);
        if !kept.is_empty() {
            for body in std::iter::once(&mut self.push.body).chain(&mut self.push.salvage) {
                *body = [&**body, &kept].concat().into();
            }
        }
    }

    /// The same with the run's own metrics alone, where that is less.
    pub(super) fn lightened(&self) -> Option<Self> {
        let body = self.push.salvage.clone()?;
        Some(Self { push: Push { body, salvage: None, ..self.push.clone() }, ..self.clone() })
    }

    /// The content of its file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { destination, grouping, since, push, token } = self;
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut head = format!("token {token}\nsince {}\n", since.as_secs());
        let _ = writeln!(head, "door {}\nurl {}", destination.door.name(), destination.url);
        let _ = writeln!(head, "method {}\npath {}", push.method.name(), push.path);
        for (name, value) in grouping {
            let _ = writeln!(head, "label {name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        let salvage = push.salvage.as_deref().unwrap_or_default();
        if push.salvage.is_some() {
            let _ = writeln!(head, "salvage {}", salvage.len());
        }
        let _ = writeln!(head, "body {}\n", push.body.len());
        let sum = digest(&[head.as_bytes(), &push.body, salvage]);
        [format!("{HEAD}\nsum {sum}\n").as_bytes(), head.as_bytes(), &push.body, salvage].concat()
    }

    /// The reverse; `None` for what is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(HEAD.as_bytes())?.strip_prefix(b"\nsum ")?;
        let (sum, rest) = rest.split_at_checked(32)?;
        let rest = rest.strip_prefix(b"\n")?;
        if digest(&[rest]).as_bytes() != sum {
            return None;
        }
        let end = rest.windows(2).position(|two| two == b"\n\n")?;
        let head = Head(std::str::from_utf8(rest.get(..end)?).ok()?);
        let content = rest.get(end + 2..)?;
        let (body, salvage) = content.split_at_checked(head.one("body")?.parse().ok()?)?;
        Some(Self {
            destination: Destination { door: head.door()?, url: head.one("url")?.to_owned() },
            grouping: head.labels()?,
            since: UNIX_EPOCH + Duration::from_secs(head.one("since")?.parse().ok()?),
            push: Push {
                method: head.method()?,
                path: head.one("path")?.to_owned(),
                body: body.into(),
                salvage: head.one("salvage").map(|_| salvage.into()),
            },
            token: head.one("token")?.parse().ok()?,
        })
    }
}

/// The name of a destination within file names.
pub(super) fn destination_name(destination: &Destination) -> String {
    let mut name = digest(&[destination.door.name().as_bytes(), b" ", destination.url.as_bytes()]);
    name.truncate(16);
    name
}

/// Whether an exposition of ours has a family: each of them has a TYPE line.
fn has_family(body: &[u8], name: &str) -> bool {
    let head = format!("# TYPE {name} ");
    body.split(|byte| *byte == b'\n').any(|line| line.starts_with(head.as_bytes()))
}

/// Lines of a name, a blank and a value.
struct Head<'t>(&'t str);

impl<'t> Head<'t> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'t str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
    }

    fn one(&self, name: &'static str) -> Option<&'t str> {
        self.all(name).next()
    }

    fn door(&self) -> Option<Door> {
        let name = self.one("door")?;
        [Door::Pushgateway, Door::RemoteWrite].into_iter().find(|door| door.name() == name)
    }

    fn method(&self) -> Option<Method> {
        let name = self.one("method")?;
        [Method::Add, Method::Replace, Method::Delete].into_iter().find(|method| method.name() == name)
    }

    fn labels(&self) -> Option<Vec<(String, String)>> {
        let label = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), percent_decode_str(value).decode_utf8().ok()?.into_owned()))
        };
        self.all("label").map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Destination, Door, Waiting};
    use crate::sink::{Method, Push};

    fn waiting(method: Method, body: &str, salvage: Option<&str>) -> Waiting {
        let destination = Destination { door: Door::RemoteWrite, url: "http://gw:9091/x".to_owned() };
        let grouping = [("job", "a b"), ("zone", "ä\n=\"")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bytes = |text: &str| text.as_bytes().into();
        let push = Push { method, path: "/metrics/job/a".to_owned(), body: bytes(body), salvage: salvage.map(bytes) };
        Waiting::new(destination, &grouping, push)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (method, salvage) in [(Method::Add, Some("s 1\n")), (Method::Replace, Some("")), (Method::Delete, None)] {
            let one = waiting(method, "x 1\n\ny 2\n", salvage);
            let other = Waiting::from_bytes(&one.to_bytes()).unwrap();
            assert_eq!((&other.destination, &other.grouping), (&one.destination, &one.grouping));
            assert_eq!((other.token, other.push.method, &other.push.path), (one.token, method, &one.push.path));
            assert_eq!((&other.push.body, &other.push.salvage), (&one.push.body, &one.push.salvage));
            assert_eq!(one.group(), r#"{job="a b", zone="ä\n=\""}"#);
        }
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let bytes = waiting(Method::Add, "x 1\n", Some("y 1\n")).to_bytes();
        for at in 0..bytes.len() {
            assert!(Waiting::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(Waiting::from_bytes(&flipped).is_none(), "flipped at {at}");
        }
    }

    #[test]
    fn the_last_success_outlives_a_newer_failure_and_nothing_else_does() {
        let older = waiting(Method::Add, "# TYPE last gauge\nlast 5\n# TYPE x gauge\nx 1\n", None);
        let lasting = ["last".to_owned()];
        let mut newer = waiting(Method::Add, "# TYPE y gauge\ny 1\n", Some("# TYPE z gauge\nz 1\n"));
        newer.inherit(&older, &lasting);
        assert_eq!(&*newer.push.body, b"# TYPE y gauge\ny 1\n# TYPE last gauge\nlast 5\n");
        assert_eq!(newer.push.salvage.as_deref().unwrap(), b"# TYPE z gauge\nz 1\n# TYPE last gauge\nlast 5\n");
        let mut success = waiting(Method::Add, "# TYPE last gauge\nlast 6\n", None);
        success.inherit(&older, &lasting);
        assert_eq!(&*success.push.body, b"# TYPE last gauge\nlast 6\n");
        let mut replacing = waiting(Method::Replace, "", None);
        replacing.inherit(&older, &lasting);
        assert_eq!(&*replacing.push.body, b"");
    }
}

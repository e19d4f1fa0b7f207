//! One push that waits in the state directory, as the text of a file: whom it is for, what is asked, and nothing secret. A check sum
//! tells a file that a disk or a person damaged.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::delivery::spool::dir::digest;
use crate::exposition::{Context, Family, Source, encode, read};
use crate::sink::remains::remains;
use crate::sink::{Method, Push};

/// The first line of the file.
const HEAD: &str = "pushwrap push 1";

/// What is spoken at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkKind {
    /// A Pushgateway, or what speaks like one.
    Pushgateway,
    /// A receiver of remote write.
    RemoteWrite,
}

impl SinkKind {
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
    pub door: SinkKind,
    /// Its address without user and password.
    pub url: String,
}

/// What a push has taken over from an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherited {
    /// Nothing that it could be refused for.
    Nothing,
    /// Metrics.
    Metrics,
}

/// What has become of an older DELETE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// There was none.
    None,
    /// It is part of this push.
    Inherited,
}

/// A push that waits.
#[derive(Debug, Clone)]
pub struct SpooledPush {
    /// Whom it is for.
    pub destination: Destination,
    /// The labels of its group, `job` included.
    pub grouping: Vec<(String, String)>,
    /// Since when it waits.
    pub since: SystemTime,
    /// What is to be sent.
    pub push: Push,
    /// Tells it from others of the same group, older ones by a lower number.
    pub(crate) token: u64,
    /// Whether it has taken the place of a DELETE: it deletes the group even where what is in it is refused.
    pub(crate) deletion: Deletion,
}

impl SpooledPush {
    /// A push that waits from now on.
    #[must_use]
    pub(crate) fn new(destination: Destination, grouping: &[(String, String)], push: Push) -> Self {
        let (grouping, since) = (grouping.to_vec(), SystemTime::now());
        let nanos = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let token = u64::try_from(nanos).unwrap_or_default();
        Self { destination, grouping, since, push, token, deletion: Deletion::None }
    }

    /// The group as in PromQL: `{job="backup", instance="db1"}`.
    #[must_use]
    pub fn group(&self) -> String {
        grouping_text(&self.grouping)
    }

    /// What sending it does to the group, before the address: `pushed to`.
    #[must_use]
    pub fn deed(&self) -> &'static str {
        match self.push.method {
            _ if self.destination.door == SinkKind::RemoteWrite => "written to",
            Method::Add => "pushed to",
            Method::Replace => "replaced at",
            Method::Delete => "deleted at",
        }
    }

    /// The name of everything that belongs to the group.
    pub(crate) fn group_name(&self) -> String {
        digest(&[self.push.path.as_bytes()])
    }

    /// The name of its file, without the ending.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.group_name(), destination_name(&self.destination))
    }

    /// Makes one push of the older one and this one: the gateway holds afterwards what it would after both. A receiver of remote
    /// write gives what it is told the time of now, so there only `lasting` families are told again: the last success.
    ///
    /// Whether it has metrics of the older one now, for which it can be refused.
    pub(crate) fn inherit(&mut self, older: &Self, lasting: &[String]) -> Inherited {
        let is_gateway = self.destination.door == SinkKind::Pushgateway;
        if is_gateway && (older.push.method == Method::Delete || older.deletion == Deletion::Inherited) {
            self.deletion = Deletion::Inherited;
        }
        if is_gateway && self.push.method != Method::Add {
            return Inherited::Nothing;
        }
        if is_gateway && older.push.method != Method::Add {
            // A PUT, and what a POST puts over it; a DELETE, and what a POST puts into the void.
            self.push.method = Method::Replace;
        }
        if is_gateway && older.push.method == Method::Delete {
            return Inherited::Nothing;
        }
        let stays = |family: &Family<'_>| is_gateway || lasting.iter().any(|name| name == family.name());
        let (own, before) = (self.push.clone(), &older.push);
        self.push.body = overlaid(&own.body, &before.body, stays);
        if own.fallback_body.is_some() || before.fallback_body.is_some() {
            let [own, before] = [&own, before].map(|push| push.fallback_body.as_ref().unwrap_or(&push.body));
            self.push.fallback_body = Some(overlaid(own, before, stays));
        }
        if self.push.body.len() > own.body.len() { Inherited::Metrics } else { Inherited::Nothing }
    }

    /// The DELETE that it has taken the place of: a gateway that was up would have had it, whatever it says of this push.
    pub(crate) fn inherited_deletion(&self) -> Option<Push> {
        let deletes = self.deletion == Deletion::Inherited && self.push.method != Method::Delete;
        let path = self.push.path.clone();
        deletes.then(|| Push { method: Method::Delete, path, body: Arc::default(), fallback_body: None })
    }

    /// Puts these counts into the place of others.
    pub(crate) fn recount(&mut self, counts: &[u8]) {
        let Some(head) = counts.split_inclusive(|byte| *byte == b'\n').next() else { return };
        let contains = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|window| window == part);
        for body in std::iter::once(&mut self.push.body).chain(&mut self.push.fallback_body) {
            if contains(body, head) && !contains(body, counts) {
                *body = overlaid(counts, body, |_| true);
            }
        }
    }

    /// Takes the families of these counts out.
    pub(crate) fn uncount(&mut self, counts: &[u8]) {
        let sources = [Source::new("the counts", counts)];
        let counts = read(&sources, &Context::default()).families;
        for body in std::iter::once(&mut self.push.body).chain(&mut self.push.fallback_body) {
            let own = [Source::new("the push", &**body)];
            let own = encode(&remains(&own, &counts));
            *body = own.into();
        }
    }

    /// The same with the run's own metrics alone, where that is less.
    pub(crate) fn lightened(&self) -> Option<Self> {
        let body = self.push.fallback_body.clone()?;
        Some(Self { push: Push { body, fallback_body: None, ..self.push.clone() }, ..self.clone() })
    }

    /// The content of its file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { destination, grouping, since, push, token, deletion } = self;
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut head = format!("token {token}\nsince {}\n", since.as_secs());
        let _ = writeln!(head, "door {}\nurl {}", destination.door.name(), destination.url);
        let _ = writeln!(head, "method {}\npath {}", push.method.name(), push.path);
        for (name, value) in grouping {
            let _ = writeln!(head, "label {name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        if *deletion == Deletion::Inherited {
            head.push_str("deletion inherited\n");
        }
        let fallback_body = push.fallback_body.as_deref().unwrap_or_default();
        if push.fallback_body.is_some() {
            let _ = writeln!(head, "fallback_body {}", fallback_body.len());
        }
        let _ = writeln!(head, "body {}\n", push.body.len());
        let sum = digest(&[head.as_bytes(), &push.body, fallback_body]);
        [format!("{HEAD}\nsum {sum}\n").as_bytes(), head.as_bytes(), &push.body, fallback_body].concat()
    }

    /// The reverse; `None` for what is damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(HEAD.as_bytes())?.strip_prefix(b"\nsum ")?;
        let (sum, rest) = rest.split_at_checked(32)?;
        let rest = rest.strip_prefix(b"\n")?;
        if digest(&[rest]).as_bytes() != sum {
            return None;
        }
        let end = rest.windows(2).position(|two| two == b"\n\n")?;
        let head = Head(std::str::from_utf8(rest.get(..end)?).ok()?);
        let content = rest.get(end + 2..)?;
        let (body, fallback_body) = content.split_at_checked(head.one("body")?.parse().ok()?)?;
        Some(Self {
            destination: Destination { door: head.door()?, url: head.one("url")?.to_owned() },
            grouping: head.labels()?,
            since: UNIX_EPOCH + Duration::from_secs(head.one("since")?.parse().ok()?),
            push: Push {
                method: head.method()?,
                path: head.one("path")?.to_owned(),
                body: body.into(),
                fallback_body: head.one("fallback_body").map(|_| fallback_body.into()),
            },
            token: head.one("token")?.parse().ok()?,
            deletion: head.one("deletion").map_or(Deletion::None, |_| Deletion::Inherited),
        })
    }
}

/// Labels as in PromQL.
pub(crate) fn grouping_text(grouping: &[(String, String)]) -> String {
    let labels: Vec<String> = grouping.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", labels.join(", "))
}

/// The name of a destination within file names.
pub(crate) fn destination_name(destination: &Destination) -> String {
    let mut name = digest(&[destination.door.name().as_bytes(), b" ", destination.url.as_bytes()]);
    name.truncate(16);
    name
}

/// The newer exposition, and behind it what stays of the older one.
fn overlaid(newer: &[u8], older: &[u8], stays: impl Fn(&Family<'_>) -> bool) -> Arc<[u8]> {
    let (sources, older) = ([Source::new("the push", newer)], [Source::new("the older push", older)]);
    let new = read(&sources, &Context::default()).families;
    let old = remains(&older, &new);
    [newer, &encode(old.iter().filter(|family| stays(family)))].concat().into()
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

    fn door(&self) -> Option<SinkKind> {
        let name = self.one("door")?;
        [SinkKind::Pushgateway, SinkKind::RemoteWrite].into_iter().find(|door| door.name() == name)
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
    use super::{Destination, SinkKind, SpooledPush};
    use crate::sink::{Method, Push};

    fn waiting(method: Method, body: &str, fallback_body: Option<&str>) -> SpooledPush {
        let destination = Destination { door: SinkKind::RemoteWrite, url: "http://gw:9091/x".to_owned() };
        let grouping = [("job", "a b"), ("zone", "ä\n=\"")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bytes = |text: &str| text.as_bytes().into();
        let push = Push {
            method,
            path: "/metrics/job/a".to_owned(),
            body: bytes(body),
            fallback_body: fallback_body.map(bytes),
        };
        SpooledPush::new(destination, &grouping, push)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (method, fallback_body) in
            [(Method::Add, Some("s 1\n")), (Method::Replace, Some("")), (Method::Delete, None)]
        {
            let one = waiting(method, "x 1\n\ny 2\n", fallback_body);
            let other = SpooledPush::from_bytes(&one.to_bytes()).unwrap();
            assert_eq!((&other.destination, &other.grouping), (&one.destination, &one.grouping));
            assert_eq!((other.token, other.push.method, &other.push.path), (one.token, method, &one.push.path));
            assert_eq!((&other.push.body, &other.push.fallback_body), (&one.push.body, &one.push.fallback_body));
            assert_eq!(one.group(), r#"{job="a b", zone="ä\n=\""}"#);
        }
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let bytes = waiting(Method::Add, "x 1\n", Some("y 1\n")).to_bytes();
        for at in 0..bytes.len() {
            assert!(SpooledPush::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(SpooledPush::from_bytes(&flipped).is_none(), "flipped at {at}");
        }
    }

    /// What would be sent after `older` had waited and `newer` came: method, body, fallback body.
    fn both(mut older: SpooledPush, mut newer: SpooledPush, door: SinkKind) -> (Method, String, Option<String>) {
        older.destination.door = door;
        newer.destination.door = door;
        newer.inherit(&older, &["last".to_owned()]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (newer.push.method, text(&newer.push.body), newer.push.fallback_body.as_deref().map(text))
    }

    const OLD: &str = "# TYPE last gauge\nlast 5\n# TYPE x gauge\nx 1\n# TYPE h_sum gauge\nh_sum 1\n";
    const NEW: &str = "# TYPE x gauge\nx 2\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    const LAST: &str = "# TYPE last gauge\nlast 5\n";

    #[test]
    fn two_pushes_become_the_one_that_does_at_the_gateway_what_both_would_have_done() {
        use Method::{Add, Delete, Replace};
        let overlaid = format!("{NEW}{LAST}");
        for (before, after, method, body) in [
            (Add, Add, Add, overlaid.as_str()),
            (Replace, Add, Replace, &overlaid),
            (Delete, Add, Replace, NEW),
            (Add, Replace, Replace, NEW),
            (Delete, Replace, Replace, NEW),
            (Add, Delete, Delete, NEW),
            (Replace, Delete, Delete, NEW),
        ] {
            let did = both(waiting(before, OLD, None), waiting(after, NEW, None), SinkKind::Pushgateway);
            assert_eq!(did, (method, body.to_owned(), None), "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_own_metrics_of_both_are_what_is_pushed_when_the_others_are_refused() {
        let own = "# TYPE own gauge\nown 1\n";
        let older = || waiting(Method::Add, &format!("{OLD}{own}"), Some(own));
        let did = both(older(), waiting(Method::Add, NEW, None), SinkKind::Pushgateway);
        assert_eq!(did.2.unwrap(), format!("{NEW}{own}"));
        let did = both(older(), waiting(Method::Add, NEW, Some("")), SinkKind::Pushgateway);
        assert_eq!(did.2.unwrap(), own);
        let did = both(waiting(Method::Add, own, None), waiting(Method::Add, NEW, Some("")), SinkKind::Pushgateway);
        assert_eq!(did.2.unwrap(), own);
    }

    #[test]
    fn remote_write_is_told_nothing_old_but_the_last_success() {
        let did = both(waiting(Method::Add, OLD, None), waiting(Method::Add, "", None), SinkKind::RemoteWrite);
        assert_eq!(did, (Method::Add, LAST.to_owned(), None));
    }
}

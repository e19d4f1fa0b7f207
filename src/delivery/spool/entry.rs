//! One push that waits in the state directory, as the text of a file: whom it is for, what is asked, and nothing secret. A check sum
//! tells a file that a disk or a person damaged.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::delivery::spool::dir::digest;
use crate::exposition::{Context, Family, OwnedFamilies, Source, encode};
use crate::grouping::GroupingKey;
use crate::sink::merge::surviving;
use crate::sink::push::without_samples;
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
    pub(crate) fn new(destination: Destination, push: Push) -> Self {
        let since = SystemTime::now();
        let nanos = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let token = u64::try_from(nanos).unwrap_or_default();
        Self { destination, since, push, token, deletion: Deletion::None }
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
            _ if self.destination.door == SinkKind::RemoteWrite => "written to",
            Method::Add => "pushed to",
            Method::Replace => "replaced at",
            Method::Delete => "deleted at",
        }
    }

    /// The name of everything that belongs to the group.
    pub(crate) fn group_name(&self) -> String {
        digest(&[self.push.key.path().as_bytes()])
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
        let (own, before) = (&self.push, &older.push);
        let merged = |newer: &OwnedFamilies, older: &OwnedFamilies| {
            OwnedFamilies::of(vec![newer.clone(), older.clone()], |parts| match parts {
                [newer, older] => {
                    let remaining = surviving(older.families(), own.families()).filter(|family| stays(family));
                    newer.families().iter().chain(remaining).cloned().collect()
                }
                _ => Vec::new(),
            })
        };
        let (own_families, command) = (merged(&own.own, &before.own), merged(&own.command, &before.command));
        let number = |push: &Push| push.families().count();
        let alone = number(&self.push);
        (self.push.own, self.push.command) = (own_families, command);
        if number(&self.push) > alone { Inherited::Metrics } else { Inherited::Nothing }
    }

    /// The DELETE that it has taken the place of: a gateway that was up would have had it, whatever it says of this push.
    pub(crate) fn inherited_deletion(&self) -> Option<Push> {
        let deletes = self.deletion == Deletion::Inherited && self.push.method != Method::Delete;
        deletes.then(|| Push::deletion(self.push.key.clone()))
    }

    /// Puts these counts into the place of others.
    pub(crate) fn recount(&mut self, counts: Vec<Family<'static>>) {
        let is_count = |family: &Family<'_>| counts.iter().any(|count| count.name() == family.name());
        if !self.push.own.families().iter().any(is_count)
            || counts.iter().all(|count| self.push.own.families().contains(count))
        {
            return;
        }
        self.push.own = OwnedFamilies::of(vec![self.push.own.clone()], move |parts| {
            let families = parts.iter().flat_map(OwnedFamilies::families);
            let others: Vec<_> =
                families.filter(|family| counts.iter().all(|count| count.name() != family.name())).cloned().collect();
            counts.into_iter().chain(others).collect()
        });
    }

    /// Takes the families of these counts out.
    pub(crate) fn uncount(&mut self, counts: &[Family<'_>]) {
        self.push.own = OwnedFamilies::of(vec![self.push.own.clone()], |parts| {
            let families = parts.iter().flat_map(OwnedFamilies::families);
            families.filter(|family| counts.iter().all(|count| count.name() != family.name())).cloned().collect()
        });
    }

    /// The same with the run's own metrics alone, where that is less.
    pub(crate) fn lightened(&self) -> Option<Self> {
        if self.push.command.is_empty() {
            return None;
        }
        let own = OwnedFamilies::of(vec![self.push.own.clone()], |parts| {
            parts.iter().flat_map(OwnedFamilies::families).map(without_samples).collect()
        });
        Some(Self { push: Push { own, command: OwnedFamilies::default(), ..self.push.clone() }, ..self.clone() })
    }

    /// The content of its file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { destination, since, push, token, deletion } = self;
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut head = format!("token {token}\nsince {}\n", since.as_secs());
        let _ = writeln!(head, "door {}\nurl {}", destination.door.name(), destination.url);
        let _ = writeln!(head, "method {}\npath {}", push.method.name(), push.key.path());
        for (name, value) in push.key.labels() {
            let _ = writeln!(head, "label {name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        if *deletion == Deletion::Inherited {
            head.push_str("deletion inherited\n");
        }
        let body = encode(push.families());
        let own = if push.command.is_empty() { Vec::new() } else { encode(&push.own_alone()) };
        if !push.command.is_empty() {
            let _ = writeln!(head, "fallback_body {}", own.len());
        }
        let _ = writeln!(head, "body {}\n", body.len());
        let sum = digest(&[head.as_bytes(), &body, &own]);
        [format!("{HEAD}\nsum {sum}\n").as_bytes(), head.as_bytes(), &body, &own].concat()
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
        let (body, own) = content.split_at_checked(head.one("body")?.parse().ok()?)?;
        let (own, command) = families_of(body, head.one("fallback_body").map(|_| own));
        let key = GroupingKey::held(head.labels()?)?;
        Some(Self {
            destination: Destination { door: head.door()?, url: head.one("url")?.to_owned() },
            since: UNIX_EPOCH + Duration::from_secs(head.one("since")?.parse().ok()?),
            push: Push { method: head.method()?, key, own, command },
            token: head.one("token")?.parse().ok()?,
            deletion: head.one("deletion").map_or(Deletion::None, |_| Deletion::Inherited),
        })
    }
}

/// The run's own families and the command's. `own` has the names of the own ones, where there are others.
fn families_of(body: &[u8], own: Option<&[u8]>) -> (OwnedFamilies, OwnedFamilies) {
    let read = |text: &[u8]| OwnedFamilies::read(vec![Source::new("the push", text.to_vec())], &Context::default()).0;
    let all = read(body);
    let Some(own) = own.map(read) else { return (all, OwnedFamilies::default()) };
    let part = |is_own: bool| {
        OwnedFamilies::of(vec![all.clone()], |parts| {
            let families = parts.iter().flat_map(OwnedFamilies::families);
            let known = |family: &&Family<'_>| own.families().iter().any(|other| other.name() == family.name());
            families.filter(|family| known(family) == is_own).cloned().collect()
        })
    };
    (part(true), part(false))
}

/// The name of a destination within file names.
pub(crate) fn destination_name(destination: &Destination) -> String {
    let mut name = digest(&[destination.door.name().as_bytes(), b" ", destination.url.as_bytes()]);
    name.truncate(16);
    name
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
    use super::{Context, Destination, OwnedFamilies, SinkKind, Source, SpooledPush, encode};
    use crate::grouping::GroupingKey;
    use crate::sink::{Method, Push};

    fn families(text: &str) -> OwnedFamilies {
        OwnedFamilies::read(vec![Source::new("f", text.as_bytes().to_vec())], &Context::default()).0
    }

    fn waiting(method: Method, own: &str, command: &str) -> SpooledPush {
        let destination = Destination { door: SinkKind::RemoteWrite, url: "http://gw:9091/x".to_owned() };
        let key = GroupingKey::new("a b", ["zone=ä\n=\"".parse().unwrap()]).unwrap();
        SpooledPush::new(destination, Push { method, key, own: families(own), command: families(command) })
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (method, own, command) in
            [(Method::Add, "s 1\n", "x 1\ny 2\n"), (Method::Replace, "", "x 1\n"), (Method::Delete, "s 1\n", "")]
        {
            let one = waiting(method, own, command);
            let other = SpooledPush::from_bytes(&one.to_bytes()).unwrap();
            assert_eq!((&other.destination, &other.push.key), (&one.destination, &one.push.key));
            assert_eq!((other.token, other.push.method), (one.token, method));
            for (read, written) in
                [(other.push.own, one.push.own.clone()), (other.push.command, one.push.command.clone())]
            {
                assert_eq!(encode(read.families()), encode(written.families()));
            }
            assert_eq!(one.group(), r#"{job="a b", zone="ä\n=\""}"#);
        }
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let bytes = waiting(Method::Add, "y 1\n", "x 1\n").to_bytes();
        for at in 0..bytes.len() {
            assert!(SpooledPush::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(SpooledPush::from_bytes(&flipped).is_none(), "flipped at {at}");
        }
    }

    /// What would be sent after `older` had waited and `newer` came: method, own and command's families.
    fn both(mut older: SpooledPush, mut newer: SpooledPush, door: SinkKind) -> (Method, String, String) {
        older.destination.door = door;
        newer.destination.door = door;
        newer.inherit(&older, &["last".to_owned()]);
        let text = |families: &OwnedFamilies| String::from_utf8(encode(families.families())).unwrap();
        (newer.push.method, text(&newer.push.own), text(&newer.push.command))
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
            let did = both(waiting(before, OLD, ""), waiting(after, NEW, ""), SinkKind::Pushgateway);
            assert_eq!(did, (method, body.to_owned(), String::new()), "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_own_metrics_of_both_stay_apart_from_the_commands() {
        let own = "# TYPE own gauge\nown 1\n";
        let did = both(waiting(Method::Add, own, OLD), waiting(Method::Add, "", NEW), SinkKind::Pushgateway);
        assert_eq!(did, (Method::Add, own.to_owned(), format!("{NEW}{LAST}")));
        let did = both(waiting(Method::Add, own, ""), waiting(Method::Add, "", NEW), SinkKind::Pushgateway);
        assert_eq!(did, (Method::Add, own.to_owned(), NEW.to_owned()));
    }

    #[test]
    fn remote_write_is_told_nothing_old_but_the_last_success() {
        let did = both(waiting(Method::Add, OLD, ""), waiting(Method::Add, "", ""), SinkKind::RemoteWrite);
        assert_eq!(did, (Method::Add, LAST.to_owned(), String::new()));
    }
}

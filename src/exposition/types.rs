//! A Pushgateway wants one type for a name over all its groups: which types its groups hold, and what can be done for the
//! families of a push that have other ones.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::model::{Family, Kind, Suffix, pairs, unescape};
use super::read::{Comment, comment, name_len};

/// The metric that carries exactly the grouping labels of each group (Pushgateway README, "About timestamps").
const GROUPS: &[u8] = b"push_time_seconds";

/// Types by the names of the families.
pub type HeldTypes = HashMap<String, Kind>;

/// A family of a push that other groups of the gateway hold with another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeConflict {
    /// The family of the push.
    pub family: String,
    /// Its type in the push.
    pub pushed: Kind,
    /// The family that is held: the same, or one that collides with it because one is a part of the other.
    pub held_family: String,
    /// The type that is held.
    pub held: Kind,
}

impl fmt::Display for TypeConflict {
    /// `another group holds 'x' as a summary, not as a gauge`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, pushed, held_family, held } = self;
        let [held, pushed] = [held, pushed].map(|kind| with_article(*kind));
        if family == held_family {
            return write!(f, "another group holds '{family}' {held}, not {pushed}");
        }
        write!(f, "another group holds '{held_family}' {held}, which '{family}' {pushed} collides with")
    }
}

fn with_article(kind: Kind) -> String {
    if kind == Kind::Untyped { "without a type".to_owned() } else { format!("as a {}", kind.name()) }
}

/// The families of a push after their types were compared with those of other groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconciledFamilies<'a> {
    /// What the gateway takes, in the same order.
    pub families: Vec<Family<'a>>,
    /// Families that got the type that is held: a repair.
    pub retyped: Vec<TypeConflict>,
    /// Families that are left out, because no other type would be true of them.
    pub left_out: Vec<TypeConflict>,
}

/// Gives families the type that other groups hold where one of the two is untyped and the other a counter or a gauge, and
/// leaves out those whose type cannot be changed.
#[must_use]
pub fn reconcile_types<'a>(families: Vec<Family<'a>>, held: &HeldTypes) -> ReconciledFamilies<'a> {
    let mut reconciled = ReconciledFamilies { families: Vec::new(), retyped: Vec::new(), left_out: Vec::new() };
    for family in families {
        match conflict(&family, held) {
            None => reconciled.families.push(family),
            Some(conflict) if conflict.can_retype() => {
                reconciled.families.push(family.with_kind(conflict.held));
                reconciled.retyped.push(conflict);
            }
            Some(conflict) => reconciled.left_out.push(conflict),
        }
    }
    reconciled
}

impl TypeConflict {
    /// Whether the family may get the type that is held.
    fn can_retype(&self) -> bool {
        let is_scalar = |kind: Kind| matches!(kind, Kind::Counter | Kind::Gauge);
        let is_one_untyped = self.pushed == Kind::Untyped && is_scalar(self.held)
            || self.held == Kind::Untyped && is_scalar(self.pushed);
        self.family == self.held_family && is_one_untyped
    }
}

/// What is held that stands in the way of a family (`client_golang`, `checkMetricConsistency` and `checkSuffixCollisions`).
fn conflict(family: &Family<'_>, held: &HeldTypes) -> Option<TypeConflict> {
    let (name, pushed) = (family.name(), family.kind());
    let conflict = |held_family: &str, held: Kind| TypeConflict {
        family: name.to_owned(),
        pushed,
        held_family: held_family.to_owned(),
        held,
    };
    if let Some(&kind) = held.get(name).filter(|kind| **kind != pushed) {
        return Some(conflict(name, kind));
    }
    Suffix::PARTS.into_iter().find_map(|suffix| {
        let base = name.strip_suffix(suffix.as_str()).and_then(|base| Some((base, *held.get(base)?)));
        if let Some((base, kind)) = base.filter(|(_, kind)| kind.is_composite() && kind.has_part(suffix)) {
            return Some(conflict(base, kind));
        }
        let part = format!("{name}{}", suffix.as_str());
        let is_part = pushed.is_composite() && pushed.has_part(suffix);
        held.get(&part).filter(|_| is_part).map(|&kind| conflict(&part, kind))
    })
}

/// The types on a gateway's `/metrics` page of the families of which another group than `own` has samples. What only the own
/// group holds can be pushed with any type, because the push takes its place.
#[must_use]
pub fn held_types(page: &[u8], own: &[(String, String)]) -> HeldTypes {
    // An empty label is none.
    let own: Vec<_> = own.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    let rivals = rivals(page, &own);
    let mut held = HeldTypes::new();
    let mut current: Option<(&str, Kind)> = None;
    for line in page.split(|&byte| byte == b'\n') {
        if line.first() == Some(&b'#') {
            if let Ok(Comment::Type { name, word }) = comment(line)
                && let (Cow::Borrowed(name), Some(kind)) = (name, Kind::from_word(word))
                && let Ok(name) = std::str::from_utf8(name)
            {
                current = Some((name, kind));
            }
            continue;
        }
        let Some((name, kind)) = current.filter(|(name, _)| !held.contains_key(*name)) else { continue };
        let Some((sample, labels)) = sample(line) else { continue };
        if is_of(sample, name, kind) && !is_own(&labels, &own, &rivals) {
            held.insert(name.to_owned(), kind);
        }
    }
    held
}

/// The groups that have every label of `own` and more: a series that could be the own group's may be theirs.
fn rivals(page: &[u8], own: &[(String, String)]) -> Vec<Vec<(String, String)>> {
    let lines = page.split(|&byte| byte == b'\n').filter(|line| line.starts_with(GROUPS));
    let groups = lines.filter_map(sample).filter(|(name, _)| name.as_bytes() == GROUPS).map(|(_, labels)| labels);
    groups.filter(|group| group.len() > own.len() && contains(group, own)).collect()
}

fn is_own(labels: &[(String, String)], own: &[(String, String)], rivals: &[Vec<(String, String)>]) -> bool {
    contains(labels, own) && !rivals.iter().any(|rival| contains(labels, rival))
}

/// Whether the labels have all of `part`.
fn contains(labels: &[(String, String)], part: &[(String, String)]) -> bool {
    part.iter().all(|label| labels.contains(label))
}

/// The name of a sample and its labels that are not empty.
fn sample(line: &[u8]) -> Option<(&str, Vec<(String, String)>)> {
    let text = std::str::from_utf8(line).ok()?;
    let (name, rest) = text.split_at_checked(name_len(line)).filter(|(name, _)| !name.is_empty())?;
    let labels = pairs(rest).filter(|(_, value)| !value.is_empty());
    Some((name, labels.map(|(name, value)| (name.to_owned(), unescape(value).into_owned())).collect()))
}

/// Whether a sample of this name belongs to the family.
fn is_of(sample: &str, family: &str, kind: Kind) -> bool {
    sample
        .strip_prefix(family)
        .is_some_and(|rest| Suffix::ALL.into_iter().any(|suffix| suffix.as_str() == rest && kind.has_part(suffix)))
}

#[cfg(test)]
mod tests {
    use super::{HeldTypes, held_types, reconcile_types};
    use crate::exposition::{Family, Kind};

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn held(types: &[(&str, Kind)]) -> HeldTypes {
        types.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    /// What becomes of one family: its type afterwards, or what is said.
    fn outcome(name: &'static str, kind: Kind, types: &[(&str, Kind)]) -> Result<Kind, String> {
        let family = Family::new(name, kind).sample(&[], "1");
        let reconciled = reconcile_types(vec![family], &held(types));
        assert_eq!(reconciled.families.len() + reconciled.left_out.len(), 1);
        if let Some(conflict) = reconciled.left_out.first() {
            return Err(conflict.to_string());
        }
        let after = reconciled.families[0].kind();
        assert_eq!(reconciled.retyped.len(), usize::from(after != kind));
        Ok(after)
    }

    #[test]
    fn a_type_is_changed_only_where_one_of_the_two_is_none() {
        use Kind::{Counter, Gauge, Histogram, Summary, Untyped};
        for (pushed, there, after) in [
            (Gauge, Gauge, Ok(Gauge)),
            (Untyped, Gauge, Ok(Gauge)),
            (Untyped, Counter, Ok(Counter)),
            (Gauge, Untyped, Ok(Untyped)),
            (Counter, Untyped, Ok(Untyped)),
            (Counter, Gauge, Err("another group holds 'x' as a gauge, not as a counter")),
            (Untyped, Summary, Err("another group holds 'x' as a summary, not without a type")),
            (Histogram, Untyped, Err("another group holds 'x' without a type, not as a histogram")),
            (Histogram, Summary, Err("another group holds 'x' as a summary, not as a histogram")),
        ] {
            let after = after.map_err(str::to_owned);
            assert_eq!(outcome("x", pushed, &[("x", there), ("y", Summary)]), after, "{pushed:?} {there:?}");
        }
    }

    #[test]
    fn a_part_of_what_is_held_is_left_out() {
        use Kind::{Counter, Gauge, Histogram, Summary};
        let said = "another group holds 'h' as a histogram, which 'h_bucket' as a gauge collides with";
        assert_eq!(outcome("h_bucket", Gauge, &[("h", Histogram)]), Err(said.to_owned()));
        assert_eq!(outcome("h_bucket", Gauge, &[("h", Summary)]), Ok(Gauge));
        let said = "another group holds 'h_count' as a counter, which 'h' as a summary collides with";
        assert_eq!(outcome("h", Summary, &[("h_count", Counter)]), Err(said.to_owned()));
        assert_eq!(outcome("h", Gauge, &[("h_count", Counter)]), Ok(Gauge));
    }

    #[test]
    fn a_page_tells_what_other_groups_hold() {
        let page = b"# HELP a text\n# TYPE a gauge\na{instance=\"\",job=\"me\"} 1\n\
            # TYPE b counter\nb{instance=\"\",job=\"me\",l=\"2\"} 1\nb{instance=\"\",job=\"you\\n\"} 1\n\
            # TYPE c histogram\nc_bucket{instance=\"\",job=\"you\\n\",le=\"+Inf\"} 1\nc_sum{instance=\"\",job=\"you\\n\"} 1\n\
            # TYPE d untyped\nd{instance=\"\",job=\"me\",shard=\"1\"} 1\n\
            # TYPE go_goroutines gauge\ngo_goroutines 11\n\
            # TYPE none summary\n\
            # TYPE push_time_seconds gauge\npush_time_seconds{instance=\"\",job=\"me\"} 1.7e+09\n\
            push_time_seconds{instance=\"\",job=\"me\",shard=\"1\"} 1.7e+09\npush_time_seconds{instance=\"\",job=\"you\\n\"} 1\n";
        let mut types: Vec<_> = held_types(page, &labels(&[("job", "me"), ("instance", "")])).into_iter().collect();
        types.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("b", Kind::Counter),
            ("c", Kind::Histogram),
            ("d", Kind::Untyped),
            ("go_goroutines", Kind::Gauge),
            ("push_time_seconds", Kind::Gauge),
        ];
        assert_eq!(types, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(held_types(page, &labels(&[("job", "you\n")])).get("c"), None);
        assert_eq!(held_types(page, &labels(&[("job", "me"), ("shard", "1")])).get("d"), None);
        assert_eq!(held_types(b"\xff\n# TYPE\n# TYPE x y\n<html>\nx 1", &[]), HeldTypes::new());
    }
}

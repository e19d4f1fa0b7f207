//! A strict parser of the text format, written apart from the rest of the crate from the grammar of expfmt and the gateway's check
//! of consistency.

use std::collections::{BTreeMap, BTreeSet};

struct StrictFamily {
    kind: String,
    /// Label sets without `le` and `quantile` that have: the bucket `+Inf`, a count.
    sets: BTreeMap<Vec<(String, String)>, (bool, bool)>,
}

/// Parses an exposition; panics at the first thing that a gateway could mind. Returns the number of samples.
pub(super) fn strict(out: &[u8], grouping: &[(String, String)], reserved: &[String]) -> usize {
    let text = std::str::from_utf8(out).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut families: BTreeMap<String, StrictFamily> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let (mut current, mut help, mut samples) = (String::new(), None, 0);
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("a help text");
            assert!(is_name(name) && !text.is_empty() && help.is_none());
            let mut characters = text.chars();
            while let Some(character) = characters.next() {
                assert_ne!(character, '\r');
                if character == '\\' {
                    assert!(matches!(characters.next(), Some('\\' | 'n')));
                }
            }
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(is_name(name) && ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind));
            assert!(help.take().is_none_or(|help| help == name), "HELP belongs to the TYPE that follows");
            assert!(!reserved.iter().any(|other| other == name), "{name}");
            assert!(name != "push_time_seconds" && name != "push_failure_time_seconds");
            let family = StrictFamily { kind: kind.to_owned(), sets: BTreeMap::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
            name.clone_into(&mut current);
        } else {
            assert!(help.is_none());
            sample(
                line,
                &current,
                families.get_mut(&current).expect("a type before the samples"),
                &mut series,
                grouping,
            );
            samples += 1;
        }
    }
    for (name, family) in &families {
        let (is_histogram, is_summary) = (family.kind == "histogram", family.kind == "summary");
        assert!(!family.sets.is_empty(), "{name} has no samples");
        for part in ["_sum", "_count", "_bucket"] {
            if is_histogram || is_summary && part != "_bucket" {
                let part = format!("{name}{part}");
                assert!(!families.contains_key(&part) && !reserved.contains(&part), "{name} collides");
            }
        }
        if is_histogram {
            assert!(family.sets.values().all(|(has_inf, has_count)| *has_inf && *has_count), "{name} is half");
        }
    }
    samples
}

type SeriesSet = BTreeSet<(String, Vec<(String, String)>, Option<u64>)>;

fn sample(line: &str, name: &str, family: &mut StrictFamily, seen: &mut SeriesSet, grouping: &[(String, String)]) {
    let full = &line[..line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).expect("a value")];
    assert!(is_name(full));
    let part = full.strip_prefix(name).expect("a sample of this family");
    let is_histogram = family.kind == "histogram";
    match family.kind.as_str() {
        "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&part), "{line}"),
        "summary" => assert!(["", "_sum", "_count"].contains(&part), "{line}"),
        _ => assert_eq!(part, "", "{line}"),
    }
    let (labels, rest) = labels(&line[full.len()..]);
    let value = rest.strip_prefix(' ').expect("one blank before the value");
    let number = number(value);
    let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {line}");
    let special = match (family.kind.as_str(), part) {
        ("histogram", "_bucket") => Some("le"),
        ("summary", "") => Some("quantile"),
        _ => None,
    };
    let bound = special.map(|special| {
        let text = &labels.iter().find(|(name, _)| name == special).expect("le or quantile").1;
        let bound = self::number(text) + 0.0;
        assert!(!bound.is_nan());
        bound
    });
    if is_histogram || family.kind == "summary" {
        let forbidden = if is_histogram { "le" } else { "quantile" };
        assert!(special.is_some() || labels.iter().all(|(name, _)| name != forbidden), "{line}");
        if part == "_bucket" || part == "_count" {
            assert!((0.0..18_446_744_073_709_551_616.0).contains(&number), "{line}");
        }
    }
    let mut set: Vec<_> = labels
        .into_iter()
        .filter(|(name, value)| {
            !value.is_empty() && Some(name.as_str()) != special && !grouping.iter().any(|(other, _)| other == name)
        })
        .collect();
    set.sort();
    let entry = family.sets.entry(set.clone()).or_default();
    entry.0 |= part == "_bucket" && bound == Some(f64::INFINITY);
    entry.1 |= part == "_count";
    assert!(seen.insert((full.to_owned(), set, bound.map(f64::to_bits))), "a series twice: {line}");
}

fn labels(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        assert!(name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit()), "{name}");
        assert!(!name.starts_with("__"));
        let (mut value, mut end) = (String::new(), None);
        let mut characters = after.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => value.push(match characters.next().expect("an escape").1 {
                    'n' => '\n',
                    other @ ('"' | '\\') => other,
                    other => panic!("escape {other}"),
                }),
                other => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
        rest = &after[end.expect("the end of the value") + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix('}').expect("a closing brace")),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit())
}

/// A number as Go reads it.
fn number(text: &str) -> f64 {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    if lower == "nan" || unsigned == "inf" || unsigned == "infinity" {
        return lower.parse().expect("a number");
    }
    assert!(unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.'), "{text}");
    assert!(unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-')), "{text}");
    let number: f64 = lower.parse().expect("a number");
    assert!(number.is_finite(), "{text}");
    number
}

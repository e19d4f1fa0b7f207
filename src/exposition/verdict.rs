//! What a Pushgateway 1.5.1 says to bytes as they are: its parser (prometheus/common 0.39, `expfmt/text_parse.go`) and its
//! consistency check (`diskmetricstore.go`, `client_golang`'s `registry.go`), step by step and apart from our own
//! reading, so that each can be held against the other.

mod stored;

use crate::exposition::map::{HashMap, HashSet};

use super::model::{Kind, PUSH_TIMES, Suffix, gateway_kind, is_gateways_own, number};
use super::read::{Context, Encoding, Lines, Source, name_len};
use crate::text::quote_start;
use stored::{PushedSample, StoredSeries};

/// What a Pushgateway does with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway takes the body.
    Taken,
    /// The gateway takes the body, but stores something else than what stands there. Only [`judge_file`] tells.
    Changed(VerdictReason),
    /// The gateway takes the body, and then its page cannot be scraped any more: everybody's metrics are gone.
    Harmful(VerdictReason),
    /// The gateway answers 400 and stores nothing.
    Refused(VerdictReason),
}

/// Why a body is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictReason {
    /// The line where the gateway stops, counted by LF; `None` where it compares the body as a whole.
    pub line: Option<u32>,
    /// The reason in the gateway's wording.
    pub reason: String,
}

/// Judges a file as it is, in more detail than [`judge`]: whether what the gateway stores is what stands in the file.
#[must_use]
pub fn judge_file(source: &Source<'_>, context: &Context<'_>) -> Verdict {
    if source.encoding != Encoding::Plain {
        // None of these marks can begin a line.
        return Verdict::Refused(VerdictReason { line: Some(1), reason: "invalid metric name".to_owned() });
    }
    let mut parser = Parser::new(&source.bytes);
    match parser.verdict(context) {
        Verdict::Refused(VerdictReason { line: Some(line), reason }) => {
            // The gateway counts by LF; editors and our own findings count a CR alone as well.
            let ends = memchr::memchr_iter(b'\n', &source.bytes);
            let start = ends.take(line.saturating_sub(1) as usize).last().map_or(0, |end| end + 1);
            let before = Lines::new(&source.bytes).take_while(|line| line.at <= start);
            Verdict::Refused(VerdictReason { line: Some(before.last().map_or(1, |line| line.number)), reason })
        }
        Verdict::Taken => parser.change(context).map_or(Verdict::Taken, Verdict::Changed),
        other => other,
    }
}

/// Judges a body that is pushed with the grouping labels of `context`.
#[must_use]
pub fn judge(body: &[u8], context: &Context<'_>) -> Verdict {
    Parser::new(body).verdict(context)
}

/// Why parsing ended before the end.
enum ParseStop {
    /// The input ended inside a line.
    End,
    Error(String),
}

/// A type as expfmt 0.39 knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushedType {
    Known(Kind),
    /// In the list of types but nowhere else: no error, and no value either.
    GaugeHistogram,
}

/// The labels of a sample, values unescaped.
type LabelSet = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Default)]
struct PushedFamily {
    kind: Option<PushedType>,
    has_help: bool,
    has_bad_help: bool,
    metrics: Vec<LabelSet>,
    /// The label sets of histograms and summaries, which collect several samples each.
    series: HashMap<LabelSet, StoredSeries>,
}

impl PushedFamily {
    fn composite(&self) -> Option<Kind> {
        match self.kind {
            Some(PushedType::Known(kind)) if kind.is_composite() => Some(kind),
            _ => None,
        }
    }
}

struct Parser<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u32,
    families: HashMap<&'b [u8], PushedFamily>,
    has_timestamp: bool,
    /// The first thing that is stored otherwise than it stands there.
    changed: Option<VerdictReason>,
}

fn error<T>(reason: impl Into<String>) -> Result<T, ParseStop> {
    Err(ParseStop::Error(reason.into()))
}

impl<'b> Parser<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0, line: 0, families: HashMap::default(), has_timestamp: false, changed: None }
    }

    /// Both stages.
    fn verdict(&mut self, context: &Context<'_>) -> Verdict {
        if let Err(stop) = self.run() {
            let reason = match stop {
                ParseStop::End => "unexpected end of input stream".to_owned(),
                ParseStop::Error(reason) => reason,
            };
            return Verdict::Refused(VerdictReason { line: Some(self.line), reason });
        }
        let whole = |reason| VerdictReason { line: None, reason };
        match self.check(context) {
            Err(reason) => Verdict::Refused(whole(reason)),
            Ok(Some(harm)) => Verdict::Harmful(whole(harm)),
            Ok(None) => Verdict::Taken,
        }
    }

    /// Records what the gateway stores otherwise than it stands there.
    fn note_change(&mut self, reason: impl FnOnce() -> String) {
        if self.changed.is_none() {
            self.changed = Some(VerdictReason { line: Some(self.line), reason: reason() });
        }
    }

    fn run(&mut self) -> Result<(), ParseStop> {
        loop {
            self.line = self.line.saturating_add(1);
            match self.skip_blanks() {
                // The only place where the input may end.
                Err(_) => return Ok(()),
                Ok(b'#') => self.comment()?,
                Ok(b'\n') => {}
                Ok(_) => self.sample()?,
            }
            self.at += 1;
        }
    }

    fn byte(&self) -> Result<u8, ParseStop> {
        self.bytes.get(self.at).copied().ok_or(ParseStop::End)
    }

    /// The first byte from here on that is no blank.
    fn skip_blanks(&mut self) -> Result<u8, ParseStop> {
        while matches!(self.byte()?, b' ' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    /// Up to the next blank or line feed, which must be there.
    fn token(&mut self) -> Result<&'b [u8], ParseStop> {
        let start = self.at;
        while !matches!(self.byte()?, b' ' | b'\t' | b'\n') {
            self.at += 1;
        }
        Ok(self.slice(start))
    }

    /// Up to the next line feed.
    fn rest_of_line(&mut self) -> Result<&'b [u8], ParseStop> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest).ok_or(ParseStop::End)?;
        Ok(self.slice(start))
    }

    fn slice(&self, start: usize) -> &'b [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// A metric name, perhaps empty, after which the input must not end.
    fn metric_name(&mut self) -> Result<&'b [u8], ParseStop> {
        let start = self.at;
        self.at += name_len(self.bytes.get(start..).unwrap_or_default());
        self.byte()?;
        Ok(self.slice(start))
    }

    /// The family that a name belongs to, `setOrCreateCurrentMF`.
    fn family(&mut self, name: &'b [u8]) -> &'b [u8] {
        if self.families.contains_key(name) {
            return name;
        }
        for kind in [Kind::Summary, Kind::Histogram] {
            for suffix in [Suffix::Count, Suffix::Sum, Suffix::Bucket] {
                if let Some(base) = name.strip_suffix(suffix.as_str().as_bytes())
                    && !base.is_empty()
                    && kind.has_part(suffix)
                    && self.families.get(base).is_some_and(|family| family.kind == Some(PushedType::Known(kind)))
                {
                    return base;
                }
            }
        }
        self.families.insert(name, PushedFamily::default());
        name
    }

    /// From `#` to the line feed.
    fn comment(&mut self) -> Result<(), ParseStop> {
        self.at += 1;
        if self.skip_blanks()? == b'\n' {
            return Ok(());
        }
        let keyword = self.token()?;
        if self.byte()? == b'\n' {
            return Ok(());
        }
        if keyword != b"HELP" && keyword != b"TYPE" {
            return self.rest_of_line().map(|_| ());
        }
        self.skip_blanks()?;
        let name = self.metric_name()?;
        match self.byte()? {
            b'\n' => return Ok(()),
            b' ' | b'\t' => {}
            _ => return error("invalid metric name in comment"),
        }
        let (declared, name) = (name, self.family(name));
        if keyword == b"HELP" && declared != name {
            self.note_change(|| {
                format!("it takes the help text of {} for that of {}", quote_start(declared), quote_start(name))
            });
        }
        if self.skip_blanks()? == b'\n' {
            return Ok(());
        }
        if keyword == b"HELP" { self.help(name) } else { self.kind(name) }
    }

    fn help(&mut self, name: &[u8]) -> Result<(), ParseStop> {
        let family = self.families.get(name);
        if family.is_some_and(|family| family.has_help) {
            return error(format!("second HELP line for metric name {}", quote_start(name)));
        }
        let start = self.at;
        loop {
            match self.byte()? {
                b'\n' => break,
                b'\\' => {
                    self.at += 1;
                    let escaped = self.byte()?;
                    if !matches!(escaped, b'\\' | b'n') {
                        return error(format!("invalid escape sequence '\\{}'", char::from(escaped).escape_default()));
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        let is_bad = std::str::from_utf8(self.slice(start)).is_err();
        if let Some(family) = self.families.get_mut(name) {
            family.has_help = true;
            family.has_bad_help = is_bad;
        }
        Ok(())
    }

    fn kind(&mut self, name: &[u8]) -> Result<(), ParseStop> {
        if self.families.get(name).is_some_and(|family| family.kind.is_some()) {
            return error(format!(
                "second TYPE line for metric name {}, or TYPE reported after samples",
                quote_start(name)
            ));
        }
        // The function that reads the word drops backslashes.
        let word: Vec<u8> = self.rest_of_line()?.iter().copied().filter(|&byte| byte != b'\\').collect();
        let kind = match Kind::from_word(&word) {
            Some(kind) => PushedType::Known(kind),
            None if word.eq_ignore_ascii_case(b"gauge_histogram") => PushedType::GaugeHistogram,
            None => return error(format!("unknown metric type {}", quote_start(&word))),
        };
        if let Some(family) = self.families.get_mut(name) {
            family.kind = Some(kind);
        }
        Ok(())
    }

    /// A sample, from its name to the line feed.
    fn sample(&mut self) -> Result<(), ParseStop> {
        let full = self.metric_name()?;
        if full.is_empty() {
            return error("invalid metric name");
        }
        let name = self.family(full);
        let kind =
            self.families.get_mut(name).map(|family| *family.kind.get_or_insert(PushedType::Known(Kind::Untyped)));
        let (mut labels, mut special) = (LabelSet::new(), None);
        if self.skip_blanks()? == b'{' {
            self.at += 1;
            special = self.labels(name, kind, &mut labels)?;
            self.skip_blanks()?;
        }
        let value = self.token()?;
        let Some(number) = std::str::from_utf8(value).ok().and_then(number::parse_strict) else {
            return error(format!("expected float as value, got {}", quote_start(value)));
        };
        self.timestamp()?;
        let Some(family) = self.families.get_mut(name) else { return Ok(()) };
        let Some(kind) = family.composite() else {
            family.metrics.push(labels);
            return Ok(());
        };
        let mut signature = labels.clone();
        signature.sort_unstable();
        let is_new = !family.series.contains_key(&signature);
        let suffix = full.get(name.len()..).unwrap_or_default();
        let change = family.series.entry(signature).or_default().add(kind, &PushedSample { suffix, special, number });
        if is_new {
            family.metrics.push(labels);
        }
        if let Some(change) = change {
            self.note_change(|| format!("{change} ({})", quote_start(full)));
        }
        Ok(())
    }

    /// From behind the opening brace to behind the closing one.
    ///
    /// Returns the bound or the quantile, where there is one.
    fn labels(
        &mut self,
        family: &[u8],
        kind: Option<PushedType>,
        labels: &mut LabelSet,
    ) -> Result<Option<f64>, ParseStop> {
        let (mut found_special, mut names) = (None, HashSet::default());
        let special: &[u8] = match kind {
            Some(PushedType::Known(Kind::Summary)) => b"quantile",
            Some(PushedType::Known(Kind::Histogram)) => b"le",
            _ => b"",
        };
        loop {
            if self.skip_blanks()? == b'}' {
                break;
            }
            let start = self.at;
            if !self.byte()?.is_ascii_digit() {
                while matches!(self.byte()?, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_') {
                    self.at += 1;
                }
            }
            let name = self.slice(start);
            if name.is_empty() {
                return error(format!("invalid label name for metric {}", quote_start(family)));
            }
            let is_special = name == special;
            if name == b"__name__" {
                return error("label name \"__name__\" is reserved");
            }
            let found = self.skip_blanks()?;
            if found != b'=' {
                return error(format!("expected '=' after label name, found '{}'", char::from(found)));
            }
            if !is_special && !names.insert(name) {
                return error(format!("duplicate label names for metric {}", quote_start(family)));
            }
            self.at += 1;
            let value = self.label_value()?;
            if is_special {
                let label = String::from_utf8_lossy(special).into_owned();
                let Some(number) = std::str::from_utf8(&value).ok().and_then(number::parse_strict) else {
                    return error(format!("expected float as value for '{label}' label, got {}", quote_start(&value)));
                };
                if found_special.replace(number).is_some() {
                    self.note_change(|| format!("of two labels '{label}' of a sample it keeps the last"));
                }
            } else {
                labels.push((name.to_vec(), value));
            }
            match self.skip_blanks()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return error("unexpected end of label value"),
            }
        }
        self.at += 1;
        Ok(found_special)
    }

    fn label_value(&mut self) -> Result<Vec<u8>, ParseStop> {
        let found = self.skip_blanks()?;
        if found != b'"' {
            return error(format!("expected '\"' at start of label value, found '{}'", char::from(found)));
        }
        let mut value = Vec::new();
        loop {
            self.at += 1;
            match self.byte()? {
                b'"' => break,
                b'\n' => return error(format!("label value {} contains unescaped new-line", quote_start(&value))),
                b'\\' => {
                    self.at += 1;
                    value.push(match self.byte()? {
                        b'n' => b'\n',
                        plain @ (b'"' | b'\\') => plain,
                        other => return error(format!("invalid escape sequence '\\{}'", char::from(other))),
                    });
                }
                plain => value.push(plain),
            }
        }
        self.at += 1;
        if std::str::from_utf8(&value).is_err() {
            return error(format!("invalid label value {}", quote_start(&value)));
        }
        Ok(value)
    }

    /// What follows the value: a line feed, or blanks and a time stamp.
    fn timestamp(&mut self) -> Result<(), ParseStop> {
        if self.byte()? == b'\n' {
            return Ok(());
        }
        self.skip_blanks()?;
        let stamp = self.token()?;
        if std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse::<i64>().ok()).is_none() {
            return error(format!("expected integer as timestamp, got {}", quote_start(stamp)));
        }
        let rest = self.rest_of_line()?;
        if !rest.is_empty() {
            return error(format!("spurious string after timestamp: {}", quote_start(rest)));
        }
        self.has_timestamp = true;
        Ok(())
    }

    /// The second stage: what the gateway refuses of a body that it can parse, or else what harm the body does.
    fn check(&self, context: &Context<'_>) -> Result<Option<String>, String> {
        if self.has_timestamp {
            return Err("pushed metrics must not have timestamps".to_owned());
        }
        let mut harm = None;
        let pushed = |name: &&[u8]| !PUSH_TIMES.iter().any(|time| time.as_bytes() == *name);
        for (name, family) in self.families.iter().filter(|(name, family)| pushed(name) && !family.metrics.is_empty()) {
            self.check_names(name, family)?;
            let mut seen = HashSet::default();
            for labels in &family.metrics {
                if let Some((label, _)) = labels.iter().find(|(label, _)| label.starts_with(b"__")) {
                    return Err(format!(
                        "{} has a label with an invalid name: {}",
                        quote_start(name),
                        quote_start(label)
                    ));
                }
                if !seen.insert(stored_labels(labels, context)) {
                    return Err(format!(
                        "{} was collected before with the same name and label values",
                        quote_start(name)
                    ));
                }
            }
            if family.has_bad_help {
                harm = Some(format!(
                    "the help text of {} is not UTF-8; no Prometheus reads a page with it",
                    quote_start(name)
                ));
            }
            if std::str::from_utf8(name).is_ok_and(is_gateways_own) {
                harm =
                    Some(format!("{} is the gateway's own: its page breaks when it needs the name", quote_start(name)));
            }
            if family.kind == Some(PushedType::GaugeHistogram) {
                harm = Some(format!("the type of {} cuts the page off there", quote_start(name)));
            }
        }
        Ok(harm)
    }

    /// What is stored otherwise than it stands in a body that the gateway takes.
    fn change(&self, context: &Context<'_>) -> Option<VerdictReason> {
        let whole = |reason| VerdictReason { line: None, reason };
        let mut families: Vec<_> = self.families.iter().collect();
        families.sort_unstable_by_key(|(name, _)| **name);
        let change = families.into_iter().find_map(|(name, family)| self.family_change(name, family, context));
        self.changed.clone().or_else(|| change.map(whole))
    }

    fn family_change(&self, name: &[u8], family: &PushedFamily, context: &Context<'_>) -> Option<String> {
        if family.metrics.is_empty() {
            return self.lost_head(name, family);
        }
        if PUSH_TIMES.iter().any(|time| time.as_bytes() == name) {
            return Some(format!("it writes {} itself", quote_start(name)));
        }
        let replaced = |(label, value): &(Vec<u8>, Vec<u8>)| {
            let own = context.grouping.iter().find(|(own, _)| own.as_bytes() == label.as_slice());
            own.is_some_and(|(_, own)| own.as_bytes() != value.as_slice() && !value.is_empty())
        };
        if let Some((label, _)) = family.metrics.iter().flatten().find(|label| replaced(label)) {
            return Some(format!(
                "it replaces the label {} of {} by that of the group",
                quote_start(label),
                quote_start(name)
            ));
        }
        let kind = family.composite()?;
        let missing = family.series.values().find_map(|series| series.missing(kind))?;
        Some(format!("{missing} ({})", quote_start(name)))
    }

    /// What is lost with the HELP and TYPE lines of a name without samples.
    fn lost_head(&self, name: &[u8], family: &PushedFamily) -> Option<String> {
        let has_samples = |name: &[u8]| self.families.get(name).is_some_and(|family| !family.metrics.is_empty());
        let total = [name, b"_total"].concat();
        if family.kind == Some(PushedType::Known(Kind::Counter)) && has_samples(&total) {
            return Some(format!(
                "it stores {} without a type, which stands at {}",
                quote_start(&total),
                quote_start(name)
            ));
        }
        let is_part = Suffix::PARTS.into_iter().any(|suffix| {
            let base = name.strip_suffix(suffix.as_str().as_bytes());
            base.filter(|base| has_samples(base))
                .and_then(|base| self.families.get(base))
                .is_some_and(|base| base.composite().is_some_and(|kind| kind.has_part(suffix)))
        });
        (is_part && family.has_help).then(|| format!("it drops the help text of {}", quote_start(name)))
    }

    fn check_names(&self, name: &[u8], family: &PushedFamily) -> Result<(), String> {
        let text = std::str::from_utf8(name).unwrap_or_default();
        if let Some(kind) = gateway_kind(text)
            && family.kind != Some(PushedType::Known(kind))
        {
            return Err(format!("gathered metric family {text} should have the type {}", kind.name()));
        }
        for suffix in Suffix::PARTS {
            if let Some(base) = text.strip_suffix(suffix.as_str())
                && self.stored_composite(base).is_some_and(|kind| kind.has_part(suffix))
            {
                return Err(format!("{} collides with {}", quote_start(name), quote_start(base.as_bytes())));
            }
            let part = format!("{text}{}", suffix.as_str());
            if family.composite().is_some_and(|kind| kind.has_part(suffix)) && gateway_kind(&part).is_some() {
                return Err(format!("{} collides with {}", quote_start(name), quote_start(part.as_bytes())));
            }
        }
        Ok(())
    }

    fn stored_composite(&self, name: &str) -> Option<Kind> {
        let pushed = self.families.get(name.as_bytes()).filter(|family| !family.metrics.is_empty());
        pushed.and_then(PushedFamily::composite).or_else(|| gateway_kind(name).filter(|kind| kind.is_composite()))
    }
}

/// The labels as the gateway keeps them (`sanitizeLabels`): without those that the grouping key replaces; an empty
/// `instance` is added where there is none.
fn stored_labels(labels: &LabelSet, context: &Context<'_>) -> LabelSet {
    let is_replaced =
        |name: &[u8]| context.grouping.iter().any(|(other, _)| other.as_bytes() == name) || name == b"job";
    let mut stored: LabelSet = labels
        .iter()
        .filter(|(name, value)| !(is_replaced(name) || name == b"instance" && value.is_empty()))
        .cloned()
        .collect();
    stored.sort_unstable();
    stored
}

//! First step of reading: lines become records, sorted by the name of their samples. Nothing is decided here that a later
//! line can change, because a TYPE line may come after the samples.

use std::borrow::Cow;

use super::comment::{self, Comment};
use super::declarations::{Declarations, MetaLine};
use super::findings::{Findings, Span};
use super::grammar;
use super::label_hash::LabelHasher;
use super::layout::{self, LineLayout};
use super::lines::{Line, LineEnd, Lines};
use super::mend::{self, Dialect, LineFault, RewrittenLine};
use super::records::{NONE, Record, Records, to_u32};
use super::source::{Completeness, Encoding, Source};
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::Position;

/// Reads the sources, one after the other.
pub(super) struct Collector<'a, 'k> {
    hasher: &'k LabelHasher<'k>,
    pub(super) findings: Findings<'a>,
    pub(super) records: Records<'a>,
    pub(super) declarations: Declarations<'a>,
    source: u16,
    dialect: Dialect,
    is_utf8: bool,
    last: u32,
}

impl<'a, 'k> Collector<'a, 'k> {
    pub(super) fn new(sources: &'a [Source<'a>], hasher: &'k LabelHasher<'k>) -> Self {
        let records = Records::new(sources);
        Self {
            hasher,
            findings: Findings::new(sources),
            records,
            declarations: Declarations::default(),
            source: 0,
            dialect: Dialect::Text,
            is_utf8: false,
            last: NONE,
        }
    }

    /// Reads one source.
    pub(super) fn read(&mut self, number: u16, source: &'a Source<'a>) {
        self.source = number;
        self.findings.next_source(number);
        match source.encoding {
            Encoding::Plain => {}
            Encoding::Utf8Mark => self.findings.raise_for_file(&Problem::Utf8Mark),
            Encoding::Utf16 => self.findings.raise_for_file(&Problem::Utf16),
            Encoding::BrokenUtf16 => self.findings.raise_for_file(&Problem::BrokenUtf16),
            Encoding::Gzip => return self.leave_out(number, &Problem::Gzip),
            Encoding::Protobuf => return self.leave_out(number, &Problem::Protobuf),
        }
        if u32::try_from(source.bytes.len()).is_err() {
            return self.leave_out(number, &Problem::TooLarge);
        }
        self.dialect = if source.is_open_metrics() { Dialect::OpenMetrics } else { Dialect::Text };
        let text = std::str::from_utf8(&source.bytes).ok();
        self.is_utf8 = text.is_some();
        self.records.texts.resize(usize::from(number), None);
        self.records.texts.push(text);
        let before = self.records.all.len();
        for line in Lines::new(&source.bytes) {
            self.line(line, source.end);
        }
        if source.end == Completeness::Cut && self.records.all.len() > before {
            self.records.interrupted.push(to_u32(self.records.all.len() - 1));
        }
        self.declarations.end_source(number, &self.records, &mut self.findings);
    }

    /// Reads nothing of a source.
    fn leave_out(&mut self, number: u16, problem: &Problem<'_>) {
        self.records.texts.resize(usize::from(number) + 1, None);
        self.findings.raise_for_file(problem);
    }

    #[inline]
    fn line(&mut self, line: Line<'a>, end: Completeness) {
        let indent = line.text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let text = line.text.get(indent..).unwrap_or_default();
        if line.ending != LineEnd::Lf && !self.ending(line, indent, end) {
            return;
        }
        match text.first() {
            None => {}
            Some(b'#') => self.comment(line, indent),
            Some(_) => self.sample(line, indent),
        }
    }

    /// Says how a line ended otherwise than with LF; whether it is to be read.
    fn ending(&mut self, line: Line<'a>, indent: usize, end: Completeness) -> bool {
        let is_blank = line.text.len() == indent;
        let place = self.place(line, line.text.len(), 1);
        match line.ending {
            LineEnd::CrLf => self.findings.raise(place, &Problem::LineEndCrLf),
            LineEnd::Cr => self.findings.raise(place, &Problem::LineEndCr),
            LineEnd::Missing if is_blank => {}
            LineEnd::Missing if end == Completeness::Complete => self.findings.raise(place, &Problem::NoLineEnd),
            LineEnd::Missing => {
                if line.text.get(indent) != Some(&b'#') {
                    let place = self.place(line, indent, line.text.len() - indent);
                    self.findings.raise(place, &Problem::Unfinished);
                }
                return false;
            }
            LineEnd::Lf => {}
        }
        true
    }

    fn place(&self, line: Line<'a>, at: usize, len: usize) -> Span {
        let position = Position { source: self.source, line: line.number };
        Span { position, at: line.at + at, len }
    }

    fn raise(&mut self, line: Line<'a>, offset: usize, fault: &LineFault<'_>) {
        let place = self.place(line, offset + fault.at, fault.len);
        self.findings.raise(place, &fault.problem);
    }

    fn comment(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        match comment::comment(text) {
            Ok(Comment::Nothing) => {}
            Ok(Comment::Help { name, text: help }) => {
                if matches!(name, Cow::Owned(_)) {
                    self.note_quoted_name(line, indent);
                }
                let place = self.place(line, line.text.len() - help.len(), help.len());
                let line = MetaLine { name, text: help, span: place };
                self.declarations.add_help(line, self.dialect, &mut self.findings);
            }
            Ok(Comment::Type { name, word }) => {
                if matches!(name, Cow::Owned(_)) {
                    self.note_quoted_name(line, indent);
                }
                let place = self.place(line, line.text.len() - word.len(), word.len());
                self.declarations.add_type(MetaLine { name, text: word, span: place }, &mut self.findings);
            }
            Err(fault) => self.raise(line, indent, &fault),
        }
    }

    /// Says that the name on a HELP or TYPE line stood in quotes.
    fn note_quoted_name(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        if let Some(at) = text.iter().position(|byte| *byte == b'"') {
            self.raise(line, indent, &LineFault { at, len: 1, problem: Problem::QuotedName });
        }
    }

    #[inline]
    fn sample(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        let (len, expected) = self.name(text);
        let (name, rest) = text.split_at(len);
        if name.is_empty() {
            return self.nameless(line, indent);
        }
        let is_utf8 = self.is_utf8 || std::str::from_utf8(rest).is_ok();
        let clean = if is_utf8 { layout::recognise(rest, self.hasher) } else { None };
        match clean {
            Some(clean) if !clean.suspicious => {
                let group = self.enter(name, expected);
                self.push(group, (line, indent), (clean, rest.len(), false));
            }
            _ => self.mend(line, indent, name),
        }
    }

    /// The length of the name that begins `text`, and its group where that could be guessed.
    #[inline]
    fn name(&self, text: &[u8]) -> (usize, u32) {
        let groups = &self.records.groups;
        if let Some(last) = groups.get(self.last as usize) {
            if begins_with(text, &last.name) {
                return (last.name.len(), self.last);
            }
            if let Some(follower) = groups.get(last.follower as usize)
                && begins_with(text, &follower.name)
            {
                return (follower.name.len(), last.follower);
            }
        }
        (grammar::name_len(text), NONE)
    }

    /// The group of a sample, which becomes the last one.
    #[inline]
    fn enter(&mut self, name: &'a [u8], expected: u32) -> u32 {
        let group = if expected == NONE { self.records.find_or_add(Cow::Borrowed(name)) } else { expected };
        if group != self.last {
            if let Some(last) = self.records.groups.get_mut(self.last as usize) {
                last.follower = group;
            }
            self.last = group;
        }
        group
    }

    fn push(
        &mut self,
        group: u32,
        (line, indent): (Line<'a>, usize),
        (clean, len, is_owned): (LineLayout, usize, bool),
    ) {
        let record = Record {
            hash: clean.hash,
            at: to_u32(line.at + indent),
            len: to_u32(len),
            value_at: to_u32(clean.value_at),
            special_at: to_u32(clean.special_at),
            line: line.number,
            next: NONE,
            source: self.source,
            is_owned,
            has_ignored: clean.has_ignored,
        };
        self.records.push(group, record);
    }

    /// A line without a name before its braces: a sample whose name stands in quotes within them, or no sample at all.
    fn nameless(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        let no_sample = LineFault { at: 0, len: 1, problem: Problem::NotASample(text) };
        if !is_quoted_sample(text) {
            return self.raise(line, indent, &no_sample);
        }
        match mend::mend_nameless(text, self.dialect, self.hasher) {
            Ok(mended) => self.push_mended(line, indent, (b"", mended)),
            Err(fault) => self.raise(line, indent, &fault),
        }
    }

    /// A sample that is not in the form in which it will be written.
    fn mend(&mut self, line: Line<'a>, indent: usize, name: &'a [u8]) {
        let offset = indent + name.len();
        let rest = line.text.get(offset..).unwrap_or_default();
        let group = self.enter(name, NONE);
        match mend::mend(rest, self.dialect, self.hasher) {
            Ok(mended) => self.push_mended(line, indent, (name, mended)),
            Err(fault) => {
                // What has no clear name says nothing about the metric that its first letters name.
                if !matches!(fault.problem, Problem::BadName(_) | Problem::UnclearName)
                    && let Some(group) = self.records.groups.get_mut(group as usize)
                {
                    group.is_spoiled = true;
                }
                self.raise(line, offset, &fault);
            }
        }
    }

    /// Adds the samples that a line stands for.
    fn push_mended(&mut self, line: Line<'a>, indent: usize, (name, mended): (&'a [u8], RewrittenLine<'a>)) {
        for fault in &mended.repairs {
            self.raise(line, indent + name.len(), fault);
        }
        let rest = line.text.get(indent + name.len()..).unwrap_or_default();
        let name = mended.metric.map_or(Cow::Borrowed(name), |name| Cow::Owned(name.into_bytes()));
        for sample in mended.samples {
            let Some(layout) = layout::recognise(sample.text.as_bytes(), self.hasher) else { continue };
            let name = match sample.suffix {
                "" => name.clone(),
                "_created" => Cow::Owned([name.strip_suffix(b"_total").unwrap_or(&name), b"_created"].concat()),
                suffix => Cow::Owned([&name, suffix.as_bytes()].concat()),
            };
            let is_borrowed = matches!(name, Cow::Borrowed(_)) && rest.starts_with(sample.text.as_bytes());
            let group = self.records.find_or_add(name);
            let len = if is_borrowed { sample.text.len() } else { self.records.owned.len() };
            if !is_borrowed {
                self.records.owned.push(sample.text.into_boxed_str());
            }
            self.push(group, (line, indent), (layout, len, !is_borrowed));
        }
    }
}

/// Whether `text` begins with a brace and a name in quotes, as JSON does not go on.
fn is_quoted_sample(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    let Some(name) = inside.strip_prefix(b"\"") else { return false };
    let end = name.iter().position(|&byte| byte == b'"').unwrap_or(name.len());
    let after = name.get(end..).unwrap_or_default().trim_ascii_start();
    !matches!(after, [b'"', rest @ ..] if rest.trim_ascii_start().first() == Some(&b':'))
}

/// Whether `text` begins with `name` as a whole name.
#[inline]
fn begins_with(text: &[u8], name: &[u8]) -> bool {
    text.starts_with(name) && text.get(name.len()).is_none_or(|&byte| !grammar::is_name_byte(byte))
}

//! First step of reading: lines become records, sorted by the name of their samples. Nothing is decided here that a later
//! line can change, because a TYPE line may come after the samples.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::declare::Declarations;
use super::findings::{Findings, Place};
use super::key::Key;
use super::line::{self, Clean, Comment, Dialect, Fault};
use super::model::{Position, Sample, Suffix};
use super::problem::Problem;
use super::source::{Encoding, End, Ending, Line, Lines, Source};

/// The end of a list of records.
pub(super) const NONE: u32 = u32::MAX;

/// One sample that was read. Small, because there can be many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// The hash of its label set.
    pub(super) hash: u64,
    /// Where the name begins in its file.
    pub(super) at: u32,
    /// The length of what follows the name; for text written anew, its place among [`Collected::owned`].
    pub(super) len: u32,
    /// Where the value begins behind the name.
    pub(super) value_at: u32,
    /// Where the label `le` or `quantile` begins behind the name; 0 where there is none.
    pub(super) special_at: u32,
    pub(super) line: u32,
    /// The next record of the same name, or [`NONE`].
    pub(super) next: u32,
    pub(super) source: u16,
    pub(super) is_owned: bool,
    /// Whether it has labels that the gateway replaces, or empty ones.
    pub(super) has_ignored: bool,
}

/// The samples of one name.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) name: &'a [u8],
    pub(super) first: u32,
    last: u32,
    pub(super) count: u32,
    /// The group whose sample followed the last one of this: most likely it does so again.
    follower: u32,
    /// The source that the last sample came from.
    pub(super) source: u16,
    /// Whether a sample of this name could not be read.
    pub(super) is_spoiled: bool,
}

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Collected<'a> {
    /// The text of each source; nothing where it is not UTF-8 as a whole.
    texts: Vec<Option<&'a str>>,
    sources: &'a [Source<'a>],
    pub(super) groups: Vec<Group<'a>>,
    index: HashMap<&'a [u8], u32>,
    pub(super) records: Vec<Record>,
    /// Texts of the samples that were written anew.
    pub(super) owned: Vec<Box<str>>,
    /// The last records of sources whose writer was killed.
    pub(super) interrupted: Vec<u32>,
}

impl<'a> Collected<'a> {
    /// The group of this name, if it has samples.
    pub(super) fn group(&self, name: &[u8]) -> Option<&Group<'a>> {
        self.group_index(name).and_then(|index| self.groups.get(index as usize))
    }

    /// The place of the group of this name, if it has samples.
    pub(super) fn group_index(&self, name: &[u8]) -> Option<u32> {
        let index = *self.index.get(name)?;
        self.groups.get(index as usize).filter(|group| group.count > 0).map(|_| index)
    }

    /// Whether a sample of this name could not be read.
    pub(super) fn is_spoiled(&self, name: &[u8]) -> bool {
        let group = self.index.get(name).and_then(|&index| self.groups.get(index as usize));
        group.is_some_and(|group| group.is_spoiled)
    }

    /// What follows the name of a record's sample.
    pub(super) fn text(&self, group: &Group<'_>, record: &Record) -> &str {
        if record.is_owned {
            return self.owned.get(record.len as usize).map_or("", |text| text);
        }
        let start = record.at as usize + group.name.len();
        self.slice(record.source, start..start + record.len as usize)
    }

    /// The sample of a record, whose text is taken.
    #[inline]
    pub(super) fn take_sample(&mut self, group: u32, record: &Record, suffix: Suffix) -> Sample<'a> {
        let Some(group) = self.groups.get(group as usize) else { return Sample::default() };
        let line = if record.is_owned {
            let text = self.owned.get_mut(record.len as usize).map(std::mem::take).unwrap_or_default();
            Cow::Owned([std::str::from_utf8(group.name).unwrap_or_default(), &text].concat())
        } else {
            let start = record.at as usize;
            Cow::Borrowed(self.slice(record.source, start..start + group.name.len() + record.len as usize))
        };
        let labels_at = to_u32(group.name.len());
        Sample::from_line(line, (labels_at, labels_at + record.value_at), suffix, record.position())
    }

    /// The first record of a group.
    pub(super) fn first(&self, group: u32) -> u32 {
        self.groups.get(group as usize).map_or(NONE, |group| group.first)
    }

    /// Takes a record that is not the first one out of its group.
    pub(super) fn unlink(&mut self, before: u32, record: &Record) {
        if let Some(before) = self.records.get_mut(before as usize) {
            before.next = record.next;
        }
    }

    /// A piece of a source that was found to be UTF-8.
    #[inline]
    fn slice(&self, source: u16, range: Range<usize>) -> &'a str {
        if let Some(Some(text)) = self.texts.get(usize::from(source)) {
            return text.get(range).unwrap_or_default();
        }
        let bytes = self.sources.get(usize::from(source)).and_then(|source| source.bytes.get(range));
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    fn find_or_add(&mut self, name: &'a [u8]) -> u32 {
        *self.index.entry(name).or_insert_with(|| {
            let group = Group { name, first: NONE, last: NONE, count: 0, follower: NONE, source: 0, is_spoiled: false };
            self.groups.push(group);
            to_u32(self.groups.len() - 1)
        })
    }

    fn push(&mut self, group: u32, record: Record) {
        let index = to_u32(self.records.len());
        let Some(group) = self.groups.get_mut(group as usize) else { return };
        group.source = record.source;
        group.count += 1;
        match self.records.get_mut(group.last as usize) {
            Some(last) => last.next = index,
            None => group.first = index,
        }
        group.last = index;
        self.records.push(record);
    }
}

impl Record {
    /// Where the sample stands.
    pub(super) fn place(&self, group: &Group<'_>) -> Place {
        let len = group.name.len() + if self.is_owned { 0 } else { self.len as usize };
        Place { position: self.position(), at: self.at as usize, len }
    }

    pub(super) fn position(&self) -> Position {
        Position { source: self.source, line: self.line }
    }
}

/// Files of more than 4 GiB are refused, so this never saturates.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Reads the sources, one after the other.
pub(super) struct Collector<'a, 'k> {
    key: &'k Key<'k>,
    pub(super) findings: Findings<'a>,
    pub(super) collected: Collected<'a>,
    pub(super) declarations: Declarations<'a>,
    source: u16,
    dialect: Dialect,
    is_utf8: bool,
    last: u32,
}

impl<'a, 'k> Collector<'a, 'k> {
    pub(super) fn new(sources: &'a [Source<'a>], key: &'k Key<'k>) -> Self {
        let collected = Collected {
            texts: Vec::new(),
            sources,
            groups: Vec::new(),
            index: HashMap::new(),
            records: Vec::new(),
            owned: Vec::new(),
            interrupted: Vec::new(),
        };
        Self {
            key,
            findings: Findings::new(sources),
            collected,
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
        }
        if u32::try_from(source.bytes.len()).is_err() {
            return self.findings.raise_for_file(&Problem::TooLarge);
        }
        self.dialect = if source.is_open_metrics() { Dialect::OpenMetrics } else { Dialect::Text };
        let text = std::str::from_utf8(&source.bytes).ok();
        self.is_utf8 = text.is_some();
        self.collected.texts.resize(usize::from(number), None);
        self.collected.texts.push(text);
        let before = self.collected.records.len();
        for line in Lines::new(&source.bytes) {
            self.line(line, source.end);
        }
        if source.end == End::Cut && self.collected.records.len() > before {
            self.collected.interrupted.push(to_u32(self.collected.records.len() - 1));
        }
        self.declarations.end_source(number, &self.collected, &mut self.findings);
    }

    #[inline]
    fn line(&mut self, line: Line<'a>, end: End) {
        let indent = line.text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let text = line.text.get(indent..).unwrap_or_default();
        if line.ending != Ending::Lf && !self.ending(line, indent, end) {
            return;
        }
        match text.first() {
            None => {}
            Some(b'#') => self.comment(line, indent),
            Some(_) => self.sample(line, indent),
        }
    }

    /// Says how a line ended otherwise than with LF; whether it is to be read.
    fn ending(&mut self, line: Line<'a>, indent: usize, end: End) -> bool {
        let is_blank = line.text.len() == indent;
        let place = self.place(line, line.text.len(), 1);
        match line.ending {
            Ending::CrLf => self.findings.raise(place, &Problem::LineEndCrLf),
            Ending::Cr => self.findings.raise(place, &Problem::LineEndCr),
            Ending::Missing if is_blank => {}
            Ending::Missing if end == End::Whole => self.findings.raise(place, &Problem::NoLineEnd),
            Ending::Missing => {
                if line.text.get(indent) != Some(&b'#') {
                    let place = self.place(line, indent, line.text.len() - indent);
                    self.findings.raise(place, &Problem::Unfinished);
                }
                return false;
            }
            Ending::Lf => {}
        }
        true
    }

    fn place(&self, line: Line<'a>, at: usize, len: usize) -> Place {
        let position = Position { source: self.source, line: line.number };
        Place { position, at: line.at + at, len }
    }

    fn raise(&mut self, line: Line<'a>, offset: usize, fault: &Fault<'_>) {
        let place = self.place(line, offset + fault.at, fault.len);
        self.findings.raise(place, &fault.problem);
    }

    fn comment(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        match line::comment(text) {
            Ok(Comment::Nothing) => {}
            Ok(Comment::Help { name, text: help }) => {
                let place = self.place(line, line.text.len() - help.len(), help.len());
                self.declarations.tell_help((name, help, place), self.dialect, &mut self.findings);
            }
            Ok(Comment::Type { name, word }) => {
                let place = self.place(line, line.text.len() - word.len(), word.len());
                self.declarations.tell_type((name, word, place), &mut self.findings);
            }
            Err(fault) => self.raise(line, indent, &fault),
        }
    }

    #[inline]
    fn sample(&mut self, line: Line<'a>, indent: usize) {
        let text = line.text.get(indent..).unwrap_or_default();
        let (len, expected) = self.name(text);
        let (name, rest) = text.split_at(len);
        if name.is_empty() {
            let fault = Fault { at: 0, len: 1, problem: Problem::NotASample(text) };
            return self.raise(line, indent, &fault);
        }
        let is_utf8 = self.is_utf8 || std::str::from_utf8(rest).is_ok();
        let clean = if is_utf8 { line::clean(rest, self.key) } else { None };
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
        let groups = &self.collected.groups;
        if let Some(last) = groups.get(self.last as usize) {
            if begins_with(text, last.name) {
                return (last.name.len(), self.last);
            }
            if let Some(follower) = groups.get(last.follower as usize)
                && begins_with(text, follower.name)
            {
                return (follower.name.len(), last.follower);
            }
        }
        (line::name_len(text), NONE)
    }

    /// The group of a sample, which becomes the last one.
    #[inline]
    fn enter(&mut self, name: &'a [u8], expected: u32) -> u32 {
        let group = if expected == NONE { self.collected.find_or_add(name) } else { expected };
        if group != self.last {
            if let Some(last) = self.collected.groups.get_mut(self.last as usize) {
                last.follower = group;
            }
            self.last = group;
        }
        group
    }

    fn push(&mut self, group: u32, (line, indent): (Line<'a>, usize), (clean, len, is_owned): (Clean, usize, bool)) {
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
        self.collected.push(group, record);
    }

    /// A sample that is not in the form in which it will be written.
    fn mend(&mut self, line: Line<'a>, indent: usize, name: &'a [u8]) {
        let offset = indent + name.len();
        let rest = line.text.get(offset..).unwrap_or_default();
        let group = self.enter(name, NONE);
        let mended = match line::mend(rest, self.dialect) {
            Ok(mended) => mended,
            Err(fault) => {
                // What has no clear name says nothing about the metric that its first letters name.
                if !matches!(fault.problem, Problem::BadName(_) | Problem::UnclearName)
                    && let Some(group) = self.collected.groups.get_mut(group as usize)
                {
                    group.is_spoiled = true;
                }
                return self.raise(line, offset, &fault);
            }
        };
        for fault in &mended.repairs {
            self.raise(line, offset, fault);
        }
        let Some(clean) = line::clean(mended.text.as_bytes(), self.key) else { return };
        if rest.starts_with(mended.text.as_bytes()) {
            self.push(group, (line, indent), (clean, mended.text.len(), false));
        } else {
            let owned = self.collected.owned.len();
            self.collected.owned.push(mended.text.into_boxed_str());
            self.push(group, (line, indent), (clean, owned, true));
        }
    }
}

/// Whether `text` begins with `name` as a whole name.
#[inline]
fn begins_with(text: &[u8], name: &[u8]) -> bool {
    text.starts_with(name) && text.get(name.len()).is_none_or(|&byte| !line::is_name_byte(byte))
}

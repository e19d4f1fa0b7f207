//! The samples that were read, as small records sorted by the names of the samples.

use crate::exposition::map::HashMap;
use std::borrow::Cow;
use std::ops::Range;

use super::findings::Span;
use super::source::Source;
use crate::exposition::model::{Position, Sample, Suffix};

/// The end of a list of records.
pub(super) const NONE: u32 = u32::MAX;

/// One sample that was read. Small, because there can be many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// The hash of its label set.
    pub(super) hash: u64,
    /// Where the name begins in its file.
    pub(super) at: u32,
    /// The length of what follows the name; for text written anew, its place among [`Records::owned`].
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
pub(super) struct SampleGroup<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u32,
    /// The group whose sample followed the last one of this: most likely it does so again.
    pub(super) follower: u32,
    /// The source that the last sample came from.
    pub(super) source: u16,
    /// Whether a sample of this name could not be read.
    pub(super) is_spoiled: bool,
}

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// The text of each source; nothing where it is not UTF-8 as a whole.
    pub(super) texts: Vec<Option<&'a str>>,
    sources: &'a [Source<'a>],
    pub(super) groups: Vec<SampleGroup<'a>>,
    index: HashMap<Cow<'a, [u8]>, u32>,
    pub(super) all: Vec<Record>,
    /// Texts of the samples that were written anew.
    pub(super) owned: Vec<Box<str>>,
    /// The last records of sources whose writer was killed.
    pub(super) interrupted: Vec<u32>,
}

impl<'a> Records<'a> {
    /// No records of these sources yet.
    pub(super) fn new(sources: &'a [Source<'a>]) -> Self {
        Self {
            texts: Vec::new(),
            sources,
            groups: Vec::new(),
            index: HashMap::default(),
            all: Vec::new(),
            owned: Vec::new(),
            interrupted: Vec::new(),
        }
    }

    /// The group of this name, if it has samples.
    pub(super) fn group(&self, name: &[u8]) -> Option<&SampleGroup<'a>> {
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
    pub(super) fn text(&self, group: &SampleGroup<'_>, record: &Record) -> &str {
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
            Cow::Owned([std::str::from_utf8(&group.name).unwrap_or_default(), &text].concat())
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
        if let Some(before) = self.all.get_mut(before as usize) {
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

    /// The place of the group of this name, which is added where there is none.
    pub(super) fn find_or_add(&mut self, name: Cow<'a, [u8]>) -> u32 {
        if let Some(&index) = self.index.get(name.as_ref()) {
            return index;
        }
        let index = to_u32(self.groups.len());
        self.index.insert(name.clone(), index);
        self.groups.push(SampleGroup {
            name,
            first: NONE,
            last: NONE,
            count: 0,
            follower: NONE,
            source: 0,
            is_spoiled: false,
        });
        index
    }

    /// Puts a record into the place of an equal one that was read before it.
    pub(super) fn replace(&mut self, number: u32, record: &Record) {
        if let Some(replaced) = self.all.get_mut(number as usize) {
            *replaced = Record { next: replaced.next, ..*record };
        }
    }

    /// Adds a record to a group.
    pub(super) fn push(&mut self, group: u32, record: Record) {
        let index = to_u32(self.all.len());
        let Some(group) = self.groups.get_mut(group as usize) else { return };
        group.source = record.source;
        group.count += 1;
        match self.all.get_mut(group.last as usize) {
            Some(last) => last.next = index,
            None => group.first = index,
        }
        group.last = index;
        self.all.push(record);
    }
}

impl Record {
    /// Where the sample stands.
    pub(super) fn place(&self, group: &SampleGroup<'_>) -> Span {
        let len = group.name.len() + if self.is_owned { 0 } else { self.len as usize };
        Span { position: self.position(), at: self.at as usize, len }
    }

    pub(super) fn position(&self) -> Position {
        Position { source: self.source, line: self.line }
    }
}

/// Files of more than 4 GiB are refused, so this never saturates.
pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

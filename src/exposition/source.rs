//! The bytes of one file and its lines, as files from shells and Windows editors really look: UTF-16 and byte order
//! marks, CRLF and CR alone.

use std::borrow::Cow;

use super::Context;
use super::gateway::{Refusal, Verdict, judge};

/// One file that was read.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// The file as messages name it.
    pub(super) name: String,
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) encoding: Encoding,
    pub(super) end: End,
}

/// What the first bytes of a file said about its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Nothing: taken as UTF-8.
    Plain,
    /// A UTF-8 byte order mark, taken off.
    Utf8Mark,
    /// A UTF-16 byte order mark: converted.
    Utf16,
    /// A UTF-16 byte order mark, but not all of the rest is UTF-16: what is not became U+FFFD.
    BrokenUtf16,
}

/// Whether whoever wrote the file had the time to finish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Yes, or nobody knows.
    Whole,
    /// The writer was killed.
    Cut,
}

impl<'a> Source<'a> {
    /// The file called `name` in messages. UTF-16 with a byte order mark is converted here.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let (bytes, encoding) = decode(bytes.into());
        Self { name: name.into(), bytes, encoding, end: End::Whole }
    }

    /// The same file, whose writer was killed: a last line without its line end is perhaps half a line, and is dropped.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    /// The file as messages name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a Pushgateway does with the file as it is.
    #[must_use]
    pub fn judge(&self, context: &Context<'_>) -> Verdict {
        match self.encoding {
            Encoding::Plain => judge(&self.bytes, context),
            // None of these marks can begin a line.
            _ => Verdict::Refused(Refusal { line: Some(1), reason: "invalid metric name".to_owned() }),
        }
    }

    /// Whether the text is OpenMetrics: its last line that is not blank is `# EOF` (OpenMetrics, "EOF").
    pub(super) fn is_open_metrics(&self) -> bool {
        let text = self.bytes.trim_ascii_end();
        text.strip_suffix(b"# EOF").is_some_and(|before| matches!(before.last(), None | Some(b'\n' | b'\r')))
    }
}

fn decode(bytes: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, Encoding) {
    match bytes.as_ref() {
        [0xef, 0xbb, 0xbf, ..] => (without_mark(bytes), Encoding::Utf8Mark),
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        _ => (bytes, Encoding::Plain),
    }
}

fn without_mark(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(3..).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.drain(..3);
            Cow::Owned(bytes)
        }
    }
}

fn decode_utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (Cow<'a, [u8]>, Encoding) {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut encoding = if odd.is_empty() { Encoding::Utf16 } else { Encoding::BrokenUtf16 };
    let mut text = String::with_capacity(pairs.len());
    for unit in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(unit.unwrap_or_else(|_| {
            encoding = Encoding::BrokenUtf16;
            char::REPLACEMENT_CHARACTER
        }));
    }
    (Cow::Owned(text.into_bytes()), encoding)
}

/// One line, without its line end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// The text.
    pub(super) text: &'a [u8],
    /// Where it begins in the file.
    pub(super) at: usize,
    /// Its number, from 1.
    pub(super) number: u32,
    /// How it ended.
    pub(super) ending: Ending,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// LF, as the format wants it.
    Lf,
    /// CR LF, or more than one CR.
    CrLf,
    /// CR alone.
    Cr,
    /// The file ended.
    Missing,
}

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u32,
    /// Whether a CR can be met at all.
    has_cr: bool,
    /// Where the current run of bytes without LF ends; kept so that a file without LF is not searched once a line.
    segment_end: usize,
    /// Where the run of CR begins that ends this segment.
    tail: usize,
    /// Up to here quotes do not keep a CR from ending a line: one was opened that never closes.
    unquoted_to: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let has_cr = memchr::memchr(b'\r', bytes).is_some();
        let mut lines = Self { bytes, at: 0, number: 0, has_cr, segment_end: 0, tail: 0, unquoted_to: 0 };
        lines.find_segment();
        lines
    }

    fn find_segment(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let segment = memchr::memchr(b'\n', rest).and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.segment_end = self.at + segment.len();
        self.tail = self.segment_end - segment.iter().rev().take_while(|&&byte| byte == b'\r').count();
    }

    /// The CR that ends a line within `segment`. Inside the quotes of a label value it is data (expfmt takes it), unless
    /// the quotes never close.
    fn carriage_return(&mut self, segment: &[u8]) -> Option<usize> {
        let first = memchr::memchr(b'\r', segment)?;
        // Only what stands before the CR is looked at: a run of a million CR is a million lines.
        let before = segment.get(..first).unwrap_or_default();
        let is_comment = before.iter().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b'#');
        if is_comment || self.at < self.unquoted_to || self.at + first >= self.tail {
            return Some(first);
        }
        let (mut quoted, mut first_in_quotes, mut at) = (false, None, 0);
        while let Some(&byte) = segment.get(at) {
            match byte {
                b'"' => (quoted, first_in_quotes) = (!quoted, None),
                b'\\' if quoted && segment.get(at + 1) != Some(&b'\r') => at += 1,
                b'\r' if !quoted => return Some(at),
                b'\r' if first_in_quotes.is_none() => first_in_quotes = Some(at),
                _ => {}
            }
            at += 1;
        }
        if first_in_quotes.is_some() {
            self.unquoted_to = self.segment_end;
        }
        first_in_quotes
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        if self.segment_end < self.at {
            self.find_segment();
        }
        let mut text = self.bytes.get(self.at..self.segment_end)?;
        let mut ending = if self.segment_end == self.bytes.len() { Ending::Missing } else { Ending::Lf };
        let mut next = self.segment_end + 1;
        if self.has_cr
            && let Some(end) = self.carriage_return(text)
        {
            if self.at + end >= self.tail {
                ending = if ending == Ending::Lf { Ending::CrLf } else { Ending::Cr };
            } else {
                (ending, next) = (Ending::Cr, self.at + end + 1);
            }
            text = text.get(..end)?;
        }
        self.number = self.number.saturating_add(1);
        let line = Line { text, at: self.at, number: self.number, ending };
        self.at = next;
        Some(line)
    }
}

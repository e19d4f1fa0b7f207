//! The lines of a file, as shells and Windows editors really write them: LF, CR LF and CR alone.

/// One line, without its line end.
#[derive(Debug, Clone, Copy)]
pub(in crate::exposition) struct Line<'a> {
    /// The text.
    pub(in crate::exposition) text: &'a [u8],
    /// Where it begins in the file.
    pub(in crate::exposition) at: usize,
    /// Its number, from 1.
    pub(in crate::exposition) number: u32,
    /// How it ended.
    pub(in crate::exposition) ending: LineEnd,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum LineEnd {
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
pub(in crate::exposition) struct Lines<'a> {
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

/// In fewer bytes than this a byte is found without memchr, which first asks the processor what it can do: on a virtual machine
/// that takes longer than to read a small file.
const SMALL: usize = 16 * 1024;

fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    if bytes.len() < SMALL { bytes.iter().position(|byte| *byte == wanted) } else { memchr::memchr(wanted, bytes) }
}

impl<'a> Lines<'a> {
    pub(in crate::exposition) fn new(bytes: &'a [u8]) -> Self {
        let has_cr = find(b'\r', bytes).is_some();
        let mut lines = Self { bytes, at: 0, number: 0, has_cr, segment_end: 0, tail: 0, unquoted_to: 0 };
        lines.find_segment();
        lines
    }

    fn find_segment(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let segment = find(b'\n', rest).and_then(|end| rest.get(..end)).unwrap_or(rest);
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
        let (mut in_quotes, mut first_in_quotes, mut at) = (false, None, 0);
        while let Some(&byte) = segment.get(at) {
            match byte {
                b'"' => (in_quotes, first_in_quotes) = (!in_quotes, None),
                b'\\' if in_quotes && segment.get(at + 1) != Some(&b'\r') => at += 1,
                b'\r' if !in_quotes => return Some(at),
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
        let mut ending = if self.segment_end == self.bytes.len() { LineEnd::Missing } else { LineEnd::Lf };
        let mut next = self.segment_end + 1;
        if self.has_cr
            && let Some(end) = self.carriage_return(text)
        {
            if self.at + end >= self.tail {
                ending = if ending == LineEnd::Lf { LineEnd::CrLf } else { LineEnd::Cr };
            } else {
                (ending, next) = (LineEnd::Cr, self.at + end + 1);
            }
            text = text.get(..end)?;
        }
        self.number = self.number.saturating_add(1);
        let line = Line { text, at: self.at, number: self.number, ending };
        self.at = next;
        Some(line)
    }
}

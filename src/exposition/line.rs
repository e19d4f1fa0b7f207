//! One line of a sample, in two ways: `clean` recognises what is written exactly as we would write it and copies
//! nothing; `mend` takes everything else whose meaning is certain and writes it anew, or says what is wrong.

use super::key::Key;
use super::model::write_escaped;
use super::number::{Spelling, spelling};
use super::problem::Problem;

/// What an input line may contain beyond the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Text format 0.0.4.
    Text,
    /// OpenMetrics text: an unknown escape means itself.
    OpenMetrics,
}

/// Something wrong at a place of a line; for a line that is kept, something that was repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault<'l> {
    /// Where, in bytes from the start of the text that was parsed.
    pub(super) at: usize,
    /// How much, in bytes.
    pub(super) len: usize,
    pub(super) problem: Problem<'l>,
}

impl<'l> Fault<'l> {
    fn new(at: usize, len: usize, problem: Problem<'l>) -> Self {
        Self { at, len, problem }
    }
}

/// A sample in the form in which it is written, as it was found behind the name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clean {
    /// Where the value begins.
    pub(super) value_at: usize,
    /// Where the last label called `le` or `quantile` begins; 0 where there is none.
    pub(super) special_at: usize,
    /// The hash of the label set, whatever its order.
    pub(super) hash: u64,
    /// Whether it has labels that the gateway replaces, or empty ones.
    pub(super) has_ignored: bool,
    /// Whether a label name may appear twice: only `mend` can tell.
    pub(super) suspicious: bool,
}

const NAME: u8 = 1;
const DIGIT: u8 = 2;
const COLON: u8 = 4;
const VALUE: u8 = 8;

/// What each byte may be part of.
static CLASS: [u8; 256] = {
    let mut class = [0_u8; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte {
            0x30..=0x39 => DIGIT | VALUE,
            0x41..=0x5a | 0x5f | 0x61..=0x7a => NAME | VALUE,
            0x3a => COLON | VALUE,
            0x22 | 0x5c | 0x0a => 0,
            _ => VALUE,
        };
        byte += 1;
    }
    class
};

fn is(byte: u8, classes: u8) -> bool {
    CLASS[byte as usize] & classes != 0
}

/// How many bytes of `text` are in one of `classes`, from `at` on.
#[inline]
fn run(text: &[u8], at: usize, classes: u8) -> usize {
    text.get(at..).unwrap_or_default().iter().take_while(|&&byte| is(byte, classes)).count()
}

/// Whether a byte can be part of the name of a metric.
#[inline]
pub(super) fn is_name_byte(byte: u8) -> bool {
    is(byte, NAME | DIGIT | COLON)
}

/// The length of the metric name that begins `text`; 0 where none does.
#[inline]
pub(super) fn name_len(text: &[u8]) -> usize {
    if text.first().is_some_and(|&first| is(first, NAME | COLON)) { run(text, 0, NAME | DIGIT | COLON) } else { 0 }
}

/// The length of the label name that begins at `at`; 0 where none does.
#[inline]
fn label_name_len(text: &[u8], at: usize) -> usize {
    if text.get(at).is_some_and(|&first| is(first, NAME)) { run(text, at, NAME | DIGIT) } else { 0 }
}

/// Recognises `text` (what follows the name) in exactly the form that the encoder writes. It must be UTF-8.
#[inline]
pub(super) fn clean(text: &[u8], key: &Key<'_>) -> Option<Clean> {
    let mut found = Clean { value_at: 1, special_at: 0, hash: 0, has_ignored: false, suspicious: false };
    let mut names = 0_u64;
    if text.first() == Some(&b'{') {
        let mut at = 1;
        loop {
            let len = label_name_len(text, at);
            let name = text.get(at..at + len)?;
            let quote = at + len + 2;
            if len == 0 || name.starts_with(b"__") || text.get(at + len..quote)? != b"=\"" {
                return None;
            }
            let end = value_end(text, quote)?;
            let pair = text.get(at..end)?;
            if end > quote && !key.is_overwritten(name) {
                found.hash = found.hash.wrapping_add(key.hash(pair));
            } else {
                found.has_ignored = true;
            }
            if name == b"le" || name == b"quantile" {
                found.special_at = at;
            }
            let bit = 1 << name_bit(name);
            found.suspicious |= names & bit != 0;
            names |= bit;
            at = end + 2;
            match text.get(end + 1)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        found.value_at = at + 1;
    }
    let value = text.get(found.value_at..)?;
    let is_canonical = spelling(value).is_some_and(|s| s.canonical().is_none_or(|word| word.as_bytes() == value));
    (text.get(found.value_at - 1) == Some(&b' ') && is_canonical).then_some(found)
}

/// A bit of a set of names: two names with the same bit may be equal, two with different bits are not.
#[inline]
fn name_bit(name: &[u8]) -> u32 {
    let ends = name.iter().take(1).chain(name.iter().rev().take(2));
    ends.fold(name.len() as u64, |bits, &byte| bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(byte)))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_shr(58)
        .try_into()
        .unwrap_or_default()
}

/// Where the quote is that ends the label value that begins at `at`; `None` where it has none or an unknown escape.
#[inline]
fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = find_quote_or_backslash(text, at);
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' if matches!(text.get(at + 1)?, b'\\' | b'"' | b'n') => at += 2,
            _ => return None,
        }
    }
}

/// Where the next `"` or `\` is, from `at` on; the end of the text where there is none. Eight bytes at a time: values are
/// too short for the vector instructions of memchr to pay.
#[inline]
fn find_quote_or_backslash(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is that of the first byte that is zero.
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*bytes);
        let found = zero_bytes(word ^ (ONES * u64::from(b'"'))) | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text.get(at..).unwrap_or_default().iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

/// A line that was written anew.
#[derive(Debug)]
pub(super) struct Mended<'l> {
    /// What follows the name, in the form that the encoder writes.
    pub(super) text: String,
    /// What a gateway would not have taken.
    pub(super) repairs: Vec<Fault<'l>>,
}

/// Reads `text` (what follows the name of a sample) as liberally as its meaning is certain.
pub(super) fn mend(text: &[u8], dialect: Dialect) -> Result<Mended<'_>, Fault<'_>> {
    let mut line = Cursor { text, at: 0, dialect, out: String::with_capacity(text.len()), repairs: Vec::new() };
    let is_tight = line.peek().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'{'));
    line.skip_blanks();
    if line.peek() == Some(b'{') {
        line.at += 1;
        line.labels()?;
        line.skip_blanks();
    }
    line.value(is_tight)?;
    line.tail(is_tight)?;
    Ok(Mended { text: line.out, repairs: line.repairs })
}

struct Cursor<'l> {
    text: &'l [u8],
    at: usize,
    dialect: Dialect,
    out: String,
    repairs: Vec<Fault<'l>>,
}

impl<'l> Cursor<'l> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'l [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    }

    /// The bytes up to the next blank.
    fn token(&self) -> &'l [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or(rest)
    }

    /// A fault at the next `len` bytes.
    fn fault<T>(&self, len: usize, problem: Problem<'l>) -> Result<T, Fault<'l>> {
        Err(Fault::new(self.at, len, problem))
    }

    /// Everything up to the closing brace, which is passed.
    fn labels(&mut self) -> Result<(), Fault<'l>> {
        let mut names = Vec::new();
        loop {
            self.skip_blanks();
            if self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            let name = self.label_name()?;
            names.push((name, self.at - name.len()));
            self.out.push(if names.len() == 1 { '{' } else { ',' });
            self.out.push_str(ascii(name));
            self.label_value()?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return self.fault(1, Problem::LabelSeparator),
            }
        }
        if !names.is_empty() {
            self.out.push('}');
        }
        find_twice(names).map_or(Ok(()), |(name, at)| Err(Fault::new(at, name.len(), Problem::LabelTwice(name))))
    }

    fn label_name(&mut self) -> Result<&'l [u8], Fault<'l>> {
        let name = self.text.get(self.at..self.at + label_name_len(self.text, self.at)).unwrap_or_default();
        if name.is_empty() {
            return match self.peek() {
                Some(b',') => self.fault(1, Problem::LabelComma),
                _ => self.fault(1, Problem::LabelName(self.rest())),
            };
        }
        if name.starts_with(b"__") {
            return self.fault(name.len(), Problem::LabelNameReserved(name));
        }
        self.at += name.len();
        Ok(name)
    }

    /// `="text"` after a label name.
    fn label_value(&mut self) -> Result<(), Fault<'l>> {
        self.skip_blanks();
        if self.peek() != Some(b'=') {
            return self.fault(1, Problem::LabelEquals(self.rest()));
        }
        self.at += 1;
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return self.fault(1, Problem::LabelQuote(self.rest()));
        }
        let opened = self.at;
        self.at += 1;
        self.out.push_str("=\"");
        loop {
            let piece = run(self.text, self.at, NAME | DIGIT | COLON | VALUE);
            match std::str::from_utf8(self.text.get(self.at..self.at + piece).unwrap_or_default()) {
                Ok(piece) => self.out.push_str(piece),
                Err(error) => {
                    self.at += error.valid_up_to();
                    return self.fault(1, Problem::LabelUtf8);
                }
            }
            self.at += piece;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(Fault::new(opened, self.text.len() - opened, Problem::LabelUnclosed)),
            }
        }
        self.at += 1;
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault<'l>> {
        match self.text.get(self.at + 1) {
            Some(b'\\') => self.out.push_str("\\\\"),
            Some(b'"') => self.out.push_str("\\\""),
            Some(b'n') => self.out.push_str("\\n"),
            // OpenMetrics, "Escaping": a backslash before anything else is a backslash.
            Some(_) if self.dialect == Dialect::OpenMetrics => {
                // Once is enough to say, and a line can hold millions of them.
                if !self.repairs.iter().any(|repair| matches!(repair.problem, Problem::LabelBackslash)) {
                    self.repairs.push(Fault::new(self.at, 1, Problem::LabelBackslash));
                }
                write_escaped(&mut self.out, "\\");
                self.at += 1;
                return Ok(());
            }
            Some(_) => {
                let escape = self.rest();
                return self.fault(2, Problem::LabelEscape(escape.get(..2).unwrap_or(escape)));
            }
            None => return self.fault(1, Problem::LabelUnclosed),
        }
        self.at += 2;
        Ok(())
    }

    fn value(&mut self, is_tight: bool) -> Result<(), Fault<'l>> {
        let token = self.token();
        let Some(spelling) = spelling(token) else {
            return match token.first() {
                None => self.fault(1, Problem::ValueMissing),
                Some(&byte) if is_tight && byte != b'=' => self.fault(1, Problem::BadName(token)),
                Some(_) => self.fault(token.len(), Problem::BadValue(token)),
            };
        };
        if spelling == Spelling::SignedNan {
            self.repairs.push(Fault::new(self.at, token.len(), Problem::NumberWord(token)));
        }
        self.out.push(' ');
        self.out.push_str(spelling.canonical().unwrap_or_else(|| ascii(token)));
        self.at += token.len();
        Ok(())
    }

    /// What follows the value: a time stamp, an exemplar, blanks.
    fn tail(&mut self, is_tight: bool) -> Result<(), Fault<'l>> {
        let end = self.at;
        self.skip_blanks();
        let stamp = self.token();
        if spelling(stamp) == Some(Spelling::Decimal) {
            if is_tight {
                return Err(Fault::new(0, 1, Problem::UnclearName));
            }
            self.repairs.push(Fault::new(self.at, stamp.len(), Problem::Timestamp));
            self.at += stamp.len();
            self.skip_blanks();
        }
        let rest = self.rest();
        if is_exemplar(rest) {
            self.repairs.push(Fault::new(self.at, rest.len(), Problem::Exemplar));
        } else if !rest.is_empty() {
            return self.fault(rest.len(), Problem::AfterValue(rest));
        } else if end < self.text.len() && self.repairs.is_empty() {
            self.repairs.push(Fault::new(end, self.text.len() - end, Problem::Blanks));
        }
        Ok(())
    }
}

/// `# {labels} value`, as OpenMetrics writes it after a sample; what is in it is not looked at.
fn is_exemplar(text: &[u8]) -> bool {
    let Some(labels) = text.strip_prefix(b"#") else { return false };
    labels.trim_ascii_start().first() == Some(&b'{') && labels.contains(&b'}')
}

/// The second appearance of a name that appears twice. Sorted, because a hostile line can have a million labels.
fn find_twice(mut names: Vec<(&[u8], usize)>) -> Option<(&[u8], usize)> {
    names.sort_unstable();
    names.windows(2).find_map(|pair| match pair {
        [(first, _), (second, at)] if first == second => Some((*second, *at)),
        _ => None,
    })
}

/// Text that the grammar has shown to be ASCII.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// What a line that begins with `#` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment<'l> {
    /// Nothing that matters.
    Nothing,
    /// The help text of a metric, still escaped.
    Help { name: &'l [u8], text: &'l [u8] },
    /// The type of a metric.
    Type { name: &'l [u8], word: &'l [u8] },
}

/// Reads a comment; `text` begins with `#`.
pub(super) fn comment(text: &[u8]) -> Result<Comment<'_>, Fault<'_>> {
    let mut line = Cursor { text, at: 1, dialect: Dialect::Text, out: String::new(), repairs: Vec::new() };
    line.skip_blanks();
    let keyword = match line.token() {
        b"HELP" => "HELP",
        b"TYPE" => "TYPE",
        _ => return Ok(Comment::Nothing),
    };
    line.at += keyword.len();
    line.skip_blanks();
    if line.rest().is_empty() {
        return Ok(Comment::Nothing);
    }
    let name = line.rest().get(..name_len(line.rest())).unwrap_or_default();
    line.at += name.len();
    if name.is_empty() || !matches!(line.peek(), None | Some(b' ' | b'\t')) {
        line.at -= name.len();
        let token = line.token();
        return line.fault(token.len(), Problem::MetaName(keyword, token));
    }
    line.skip_blanks();
    Ok(match keyword {
        "HELP" => Comment::Help { name, text: line.rest() },
        _ => Comment::Type { name, word: line.rest() },
    })
}

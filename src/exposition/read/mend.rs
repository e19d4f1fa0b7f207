//! A sample line that is not in the form in which it will be written: everything whose meaning is certain is written anew.

use super::grammar::{COLON, DIGIT, NAME, VALUE, label_name_len, run};
use crate::exposition::diagnostic::Problem;
use crate::exposition::model::number::{Spelling, spelling};
use crate::exposition::model::write_escaped;

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
pub(in crate::exposition) struct LineFault<'l> {
    /// Where, in bytes from the start of the text that was parsed.
    pub(in crate::exposition) at: usize,
    /// How much, in bytes.
    pub(in crate::exposition) len: usize,
    pub(in crate::exposition) problem: Problem<'l>,
}

impl<'l> LineFault<'l> {
    fn new(at: usize, len: usize, problem: Problem<'l>) -> Self {
        Self { at, len, problem }
    }
}

/// A line that was written anew.
#[derive(Debug)]
pub(super) struct RewrittenLine<'l> {
    /// What follows the name, in the form that the encoder writes.
    pub(super) text: String,
    /// What a gateway would not have taken.
    pub(super) repairs: Vec<LineFault<'l>>,
}

/// Reads `text` (what follows the name of a sample) as liberally as its meaning is certain.
pub(super) fn mend(text: &[u8], dialect: Dialect) -> Result<RewrittenLine<'_>, LineFault<'_>> {
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
    Ok(RewrittenLine { text: line.out, repairs: line.repairs })
}

/// A place in a line that is read.
pub(super) struct Cursor<'l> {
    pub(super) text: &'l [u8],
    pub(super) at: usize,
    pub(super) dialect: Dialect,
    pub(super) out: String,
    pub(super) repairs: Vec<LineFault<'l>>,
}

impl<'l> Cursor<'l> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'l [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    }

    /// The bytes up to the next blank.
    pub(super) fn token(&self) -> &'l [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or(rest)
    }

    /// A fault at the next `len` bytes.
    pub(super) fn fault<T>(&self, len: usize, problem: Problem<'l>) -> Result<T, LineFault<'l>> {
        Err(LineFault::new(self.at, len, problem))
    }

    /// Everything up to the closing brace, which is passed.
    fn labels(&mut self) -> Result<(), LineFault<'l>> {
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
        find_twice(names).map_or(Ok(()), |(name, at)| Err(LineFault::new(at, name.len(), Problem::LabelTwice(name))))
    }

    fn label_name(&mut self) -> Result<&'l [u8], LineFault<'l>> {
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
    fn label_value(&mut self) -> Result<(), LineFault<'l>> {
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
                _ => return Err(LineFault::new(opened, self.text.len() - opened, Problem::LabelUnclosed)),
            }
        }
        self.at += 1;
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self) -> Result<(), LineFault<'l>> {
        match self.text.get(self.at + 1) {
            Some(b'\\') => self.out.push_str("\\\\"),
            Some(b'"') => self.out.push_str("\\\""),
            Some(b'n') => self.out.push_str("\\n"),
            // OpenMetrics, "Escaping": a backslash before anything else is a backslash.
            Some(_) if self.dialect == Dialect::OpenMetrics => {
                // Once is enough to say, and a line can hold millions of them.
                if !self.repairs.iter().any(|repair| matches!(repair.problem, Problem::LabelBackslash)) {
                    self.repairs.push(LineFault::new(self.at, 1, Problem::LabelBackslash));
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

    fn value(&mut self, is_tight: bool) -> Result<(), LineFault<'l>> {
        let token = self.token();
        let Some(spelling) = spelling(token) else {
            return match token.first() {
                None => self.fault(1, Problem::ValueMissing),
                Some(&byte) if is_tight && byte != b'=' => self.fault(1, Problem::BadName(token)),
                Some(_) => self.fault(token.len(), Problem::BadValue(token)),
            };
        };
        if spelling == Spelling::SignedNan {
            self.repairs.push(LineFault::new(self.at, token.len(), Problem::NumberWord(token)));
        }
        self.out.push(' ');
        self.out.push_str(spelling.canonical().unwrap_or_else(|| ascii(token)));
        self.at += token.len();
        Ok(())
    }

    /// What follows the value: a time stamp, an exemplar, blanks.
    fn tail(&mut self, is_tight: bool) -> Result<(), LineFault<'l>> {
        let end = self.at;
        self.skip_blanks();
        let stamp = self.token();
        if spelling(stamp) == Some(Spelling::Decimal) {
            if is_tight {
                return Err(LineFault::new(0, 1, Problem::UnclearName));
            }
            self.repairs.push(LineFault::new(self.at, stamp.len(), Problem::Timestamp));
            self.at += stamp.len();
            self.skip_blanks();
        }
        let rest = self.rest();
        if is_exemplar(rest) {
            self.repairs.push(LineFault::new(self.at, rest.len(), Problem::Exemplar));
        } else if !rest.is_empty() {
            return self.fault(rest.len(), Problem::AfterValue(rest));
        } else if end < self.text.len() && self.repairs.is_empty() {
            self.repairs.push(LineFault::new(end, self.text.len() - end, Problem::Blanks));
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

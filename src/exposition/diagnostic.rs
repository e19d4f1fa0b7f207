//! What was found in a file, said as a good compiler says it: a short form of one line, a long form with the line and a
//! caret, and JSON for programs. Pure text; whether colours are wanted is the caller's decision.

use std::fmt::{self, Write as _};

/// What became of the thing that a diagnostic is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The meaning is certain, so it was written anew; nothing is lost.
    Repaired,
    /// Passed on as it was written, but probably not what was meant.
    Doubtful,
    /// It is not passed on.
    Dropped,
}

impl Severity {
    /// The word that opens the long form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Doubtful => "doubtful",
            Self::Dropped => "dropped",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Repaired => "\x1b[1;36m",
            Self::Doubtful => "\x1b[1;33m",
            Self::Dropped => "\x1b[1;31m",
        }
    }
}

/// Whether text is for a terminal that shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Ansi,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as messages name it.
    pub file: String,
    /// The line, from 1; 0 where the finding is about the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 where there is no line.
    pub column: u32,
    /// What became of it.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub reason: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line, cut to what fits a terminal, with the place to point at.
    pub excerpt: Option<Excerpt>,
    /// On how many further lines of the same file the same was repaired.
    pub repeats: u64,
}

/// A line of a file as it can be shown on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The text; control characters are replaced, so that a terminal obeys nothing in it.
    pub text: String,
    /// Characters before the caret.
    pub indent: usize,
    /// Characters that are pointed at, at least 1.
    pub width: usize,
}

/// Characters of a line that are shown before and after the start of what is pointed at.
const BEFORE: usize = 60;
const AFTER: usize = 80;

impl Excerpt {
    /// Cuts `line` around the `len` bytes at `at`.
    pub(super) fn new(line: &[u8], at: usize, len: usize) -> Self {
        let (before, rest) = line.split_at(at.min(line.len()));
        // Four bytes hold at least one character, so nothing that will be shown is cut away here.
        let before =
            String::from_utf8_lossy(before.get(before.len().saturating_sub(4 * BEFORE + 4)..).unwrap_or(before));
        let rest = rest.get(..4 * AFTER).unwrap_or(rest);
        let width = String::from_utf8_lossy(rest.get(..len).unwrap_or(rest)).chars().count().clamp(1, AFTER);
        let left = before.chars().count();
        let cut = left.saturating_sub(BEFORE);
        let mut text = String::new();
        if cut > 0 || at > 4 * BEFORE + 4 {
            text.push('…');
        }
        text.extend(before.chars().skip(cut).map(visible));
        let indent = text.chars().count();
        let after = String::from_utf8_lossy(rest);
        text.extend(after.chars().take(AFTER).map(visible));
        if after.chars().nth(AFTER).is_some() {
            text.push('…');
        }
        Self { text, indent, width }
    }
}

/// A character that moves no cursor and changes no direction: controls become their pictures, the rest U+FFFD.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        other => other,
    }
}

/// Text of a file in quotes for a message: control characters replaced, at most 40 characters.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let start = bytes.get(..200).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let mut out = String::from("'");
    out.extend(text.chars().take(40).map(visible));
    if bytes.len() > start.len() || text.chars().nth(40).is_some() {
        out.push('…');
    }
    out.push('\'');
    out
}

impl Diagnostic {
    /// A finding about a file as a whole, which is not read: `reason` says why.
    #[must_use]
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            severity: Severity::Dropped,
            reason: reason.into(),
            help: None,
            excerpt: None,
            repeats: 0,
        }
    }

    /// The same finding with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The long form, several lines, without a last line feed.
    #[must_use]
    pub fn long(&self, paint: Paint) -> String {
        let (bold, frame, end) = match paint {
            Paint::Plain => ("", "", ""),
            Paint::Ansi => ("\x1b[1m", "\x1b[1;34m", "\x1b[0m"),
        };
        let color = if paint == Paint::Ansi { self.severity.color() } else { "" };
        let number = if self.line == 0 { " ".to_owned() } else { self.line.to_string() };
        let margin = " ".repeat(number.len());
        let mut out = format!("{color}{}{end}{bold}: {}{end}", self.severity.name(), self.reason);
        let _ = write!(out, "\n{margin}{frame}-->{end} {}", self.place());
        if let Some(excerpt) = &self.excerpt {
            let caret = format!("{}{}", " ".repeat(excerpt.indent), "^".repeat(excerpt.width));
            let _ = write!(out, "\n{margin} {frame}|{end}");
            let _ = write!(out, "\n{frame}{number} |{end} {}", excerpt.text);
            let _ = write!(out, "\n{margin} {frame}|{end} {color}{caret}{end}");
        }
        if let Some(help) = &self.help {
            let _ = write!(out, "\n{margin} {frame}={end} {bold}help{end}: {help}");
        }
        if self.repeats > 0 {
            let _ =
                write!(out, "\n{margin} {frame}={end} {bold}note{end}: and on {} more", count(self.repeats, "line"));
        }
        out
    }

    /// `file`, `file:line` or `file:line:column`.
    fn place(&self) -> String {
        let file: String = self.file.chars().map(visible).collect();
        match (self.line, self.column) {
            (0, _) => file,
            (line, 0) => format!("{file}:{line}"),
            (line, column) => format!("{file}:{line}:{column}"),
        }
    }

    /// One JSON object: `file`, `line`, `column` (null where there is none), `severity`, `reason`, `help` (or null),
    /// `repeats`.
    #[must_use]
    pub fn json(&self) -> String {
        let number = |n: u32| if n == 0 { "null".to_owned() } else { n.to_string() };
        format!(
            r#"{{"file":{},"line":{},"column":{},"severity":{},"reason":{},"help":{},"repeats":{}}}"#,
            json_string(&self.file),
            number(self.line),
            number(self.column),
            json_string(self.severity.name()),
            json_string(&self.reason),
            self.help.as_deref().map_or_else(|| "null".to_owned(), json_string),
            self.repeats,
        )
    }
}

impl fmt::Display for Diagnostic {
    /// The short form: `file:line:column: reason`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

/// `1 line`, `2 lines`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A JSON string (RFC 8259 section 7).
#[must_use]
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

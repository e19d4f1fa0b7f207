//! Findings in a file, printed as a good compiler prints them: a short form of one line, a long form with the line and a
//! caret, and JSON for programs. Pure text; whether colours are wanted is the caller's decision.

mod excerpt;
mod problem;
mod severity;

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use crate::text::{control_picture, plural};

pub use excerpt::Excerpt;
pub use severity::Severity;

pub(in crate::exposition) use problem::Problem;

/// Whether text is for a terminal that shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Ansi,
}

/// One finding. Serialized, it has no excerpt, and null where line and column are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file as messages name it.
    pub file: String,
    /// The line, from 1; 0 where the finding is about the file as a whole.
    #[serde(serialize_with = "unless_zero")]
    pub line: u32,
    /// The column in characters, from 1; 0 where there is no line.
    #[serde(serialize_with = "unless_zero")]
    pub column: u32,
    /// The severity.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub reason: String,
    /// The remedy.
    pub help: Option<String>,
    /// The line, cut to what fits a terminal, with the place to point at.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
    /// On how many further lines of the same file the same was repaired.
    pub repeats: u64,
}

impl Diagnostic {
    /// A finding about a file as a whole, which is not read: `reason` says why.
    #[must_use]
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            severity: Severity::Unread,
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
                write!(out, "\n{margin} {frame}={end} {bold}note{end}: and on {} more", plural(self.repeats, "line"));
        }
        out
    }

    /// `file`, `file:line` or `file:line:column`.
    fn place(&self) -> String {
        let file: String = self.file.chars().map(control_picture).collect();
        match (self.line, self.column) {
            (0, _) => file,
            (line, 0) => format!("{file}:{line}"),
            (line, column) => format!("{file}:{line}:{column}"),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// The short form: `file:line:column: reason`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn unless_zero<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*number).filter(|number| *number > 0).serialize(serializer)
}

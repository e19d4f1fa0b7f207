//! Lines that begin with `#`: HELP, TYPE, and what says nothing.

use super::grammar::name_len;
use super::mend::{Cursor, Dialect, LineFault};
use crate::exposition::diagnostic::Problem;

/// What a line that begins with `#` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum Comment<'l> {
    /// Nothing that matters.
    Nothing,
    /// The help text of a metric, still escaped.
    Help { name: &'l [u8], text: &'l [u8] },
    /// The type of a metric.
    Type { name: &'l [u8], word: &'l [u8] },
}

/// Reads a comment; `text` begins with `#`.
pub(in crate::exposition) fn comment(text: &[u8]) -> Result<Comment<'_>, LineFault<'_>> {
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

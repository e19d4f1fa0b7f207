//! Lines that begin with `#`: HELP, TYPE, and what says nothing.

use std::borrow::Cow;

use super::escape_name::{NameKind, escape_name};
use super::grammar::name_len;
use super::mend::{Cursor, Dialect, LineFault};
use crate::exposition::diagnostic::Problem;

/// A line that begins with `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::exposition) enum Comment<'l> {
    /// A comment without a meaning.
    Nothing,
    /// The help text of a metric, still escaped.
    Help { name: Cow<'l, [u8]>, text: &'l [u8] },
    /// The type of a metric.
    Type { name: Cow<'l, [u8]>, word: &'l [u8] },
}

/// Reads a comment; `text` begins with `#`.
pub(in crate::exposition) fn comment(text: &[u8]) -> Result<Comment<'_>, LineFault<'_>> {
    let mut line = Cursor::new(text, Dialect::Text);
    line.at = 1;
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
    let name = meta_name(&mut line, keyword)?;
    line.skip_blanks();
    Ok(match keyword {
        "HELP" => Comment::Help { name, text: line.rest() },
        _ => Comment::Type { name, word: line.rest() },
    })
}

/// The name of the metric that a HELP or TYPE line is about; one in quotes is escaped.
fn meta_name<'l>(line: &mut Cursor<'l>, keyword: &'static str) -> Result<Cow<'l, [u8]>, LineFault<'l>> {
    let start = line.at;
    let name = if line.next_byte() == Some(b'"') {
        let text = line.quoted_name()?;
        escape_name(text, NameKind::Metric).map(|name| Cow::Owned(name.into_bytes()))
    } else {
        let name = line.rest().get(..name_len(line.rest())).unwrap_or_default();
        line.at += name.len();
        Some(Cow::Borrowed(name)).filter(|name| !name.is_empty())
    };
    if let Some(name) = name.filter(|_| matches!(line.next_byte(), None | Some(b' ' | b'\t'))) {
        return Ok(name);
    }
    line.at = start;
    let token = line.token();
    line.fault(token.len(), Problem::MetaName(keyword, token))
}

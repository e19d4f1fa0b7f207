//! Text of strangers in messages: in quotes, cut, without anything that a terminal would obey; plurals; JSON strings.

use std::fmt::Write as _;

/// A character that moves no cursor and changes no direction: controls become their pictures, the rest U+FFFD.
pub(super) fn visible(character: char) -> char {
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
pub(in crate::exposition) fn quoted(bytes: &[u8]) -> String {
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

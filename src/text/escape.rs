//! Texts without what acts on a terminal.

use std::borrow::Cow;

/// The characters of a file's text that [`quote_start`] prints.
const START: usize = 40;

/// Whether a terminal could obey the character, print nothing for it or change the direction of the line.
fn acts_on_terminals(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// The text with every character that acts on a terminal escaped as in a string literal.
pub(crate) fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_terminals) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    push_escaped(&mut escaped, text);
    Cow::Owned(escaped)
}

/// Appends the text as [`escape_controls`] has it, piece by piece: an answer may be a megabyte.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for piece in text.split_inclusive(acts_on_terminals) {
        let end = piece.char_indices().next_back().filter(|(_, last)| acts_on_terminals(*last));
        out.push_str(&piece[..end.map_or(piece.len(), |(at, _)| at)]);
        out.extend(end.into_iter().flat_map(|(_, last)| last.escape_default()));
    }
}

/// One character for one, so that a caret below the line keeps its column: a control becomes its picture, any other character
/// that acts on a terminal U+FFFD.
pub(crate) fn control_picture(character: char) -> char {
    match character {
        '\t' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        other if acts_on_terminals(other) => '\u{fffd}',
        other => other,
    }
}

/// The first 40 characters of a file's text in quotation marks, controls as pictures.
pub(crate) fn quote_start(bytes: &[u8]) -> String {
    let start = bytes.get(..5 * START).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let mut out = String::from("'");
    out.extend(text.chars().take(START).map(control_picture));
    if bytes.len() > start.len() || text.chars().nth(START).is_some() {
        out.push('…');
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::escape_controls;

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(escape_controls("ä \u{1b}[31m\u{7}\r"), "ä \\u{1b}[31m\\u{7}\\r");
        assert_eq!(escape_controls("\u{202e}x\u{200b}"), "\\u{202e}x\\u{200b}");
        assert_eq!(escape_controls("plain"), "plain");
    }
}

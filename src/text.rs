//! What others say, as it may be printed: servers in their answers, libraries in their panics.

use std::any::Any;
use std::borrow::Cow;

/// The most of a server's text that is quoted, in bytes.
pub(crate) const TEXT_MAX: usize = 2048;

/// A server's text as it may be printed, 2 KiB at most: its beginning and its end.
pub(crate) fn quote(bytes: &[u8]) -> String {
    shorten(&escape_all(bytes)).into_owned()
}

/// A text of which no more than 2 KiB are printed: its beginning, and its end, where the Pushgateway puts its reason.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX {
        return Cow::Borrowed(text);
    }
    let (beginning, end) = (text.floor_char_boundary(TEXT_MAX / 2), text.ceil_char_boundary(text.len() - TEXT_MAX / 2));
    Cow::Owned(format!("{} … {}", &text[..beginning], &text[end..]))
}

/// A server's whole text as it may be printed: HTML without its tags, blanks and line ends run together, control characters and
/// what could reorder a terminal's line escaped.
pub(crate) fn escape_all(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = if text.trim_start().starts_with('<') { Cow::Owned(without_tags(&text)) } else { text };
    let mut quoted = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !quoted.is_empty() {
            quoted.push(' ');
        }
        // Piece by piece: an answer may be a megabyte.
        for piece in word.split_inclusive(is_escaped) {
            let end = piece.char_indices().next_back().filter(|(_, last)| is_escaped(*last));
            quoted.push_str(&piece[..end.map_or(piece.len(), |(at, _)| at)]);
            quoted.extend(end.into_iter().flat_map(|(_, last)| last.escape_default()));
        }
    }
    quoted
}

fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text of an HTML page, each line once: nginx says everything in the title and again in a heading.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push('\n');
            }
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    lines.join(" ")
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

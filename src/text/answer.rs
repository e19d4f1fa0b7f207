//! A server's answer as text for a message.

use std::borrow::Cow;

use super::escape::push_escaped;

/// The most of a server's text that a message repeats, in bytes.
const TEXT_MAX: usize = 2048;

/// A server's text for a message, 2 KiB at most: its beginning and its end.
pub(crate) fn answer_start(bytes: &[u8]) -> String {
    cut_middle(&answer_text(bytes)).into_owned()
}

/// The text, 2 KiB at most: its beginning, and its end, where the Pushgateway puts its reason.
pub(crate) fn cut_middle(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX {
        return Cow::Borrowed(text);
    }
    let (beginning, end) = (text.floor_char_boundary(TEXT_MAX / 2), text.ceil_char_boundary(text.len() - TEXT_MAX / 2));
    Cow::Owned(format!("{} … {}", &text[..beginning], &text[end..]))
}

/// A server's whole text on one line: HTML without its tags, blanks and line ends as one blank, controls escaped.
pub(crate) fn answer_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = if text.trim_start().starts_with('<') { Cow::Owned(without_tags(&text)) } else { text };
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        push_escaped(&mut line, word);
    }
    line
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

//! The line that a finding points at, cut to what fits a terminal.

use crate::text::control_picture;

/// A line of a file as it can be printed on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The text; control characters are replaced, so that a terminal obeys nothing in it.
    pub text: String,
    /// Characters before the caret.
    pub indent: usize,
    /// Characters that are pointed at, at least 1.
    pub width: usize,
}

/// Characters of a line that are printed before and after the start of what is pointed at.
const BEFORE: usize = 60;
const AFTER: usize = 80;

impl Excerpt {
    /// Cuts `line` around the `len` bytes at `at`.
    pub(in crate::exposition) fn new(line: &[u8], at: usize, len: usize) -> Self {
        let (before, rest) = line.split_at(at.min(line.len()));
        // Four bytes hold at least one character, so nothing that will be printed is cut away here.
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
        text.extend(before.chars().skip(cut).map(control_picture));
        let indent = text.chars().count();
        let after = String::from_utf8_lossy(rest);
        text.extend(after.chars().take(AFTER).map(control_picture));
        if after.chars().nth(AFTER).is_some() {
            text.push('…');
        }
        Self { text, indent, width }
    }
}

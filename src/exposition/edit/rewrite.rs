//! Rewrites single lines of a file and copies all others as they are, whatever their line ends.

use std::collections::BTreeMap;

use crate::exposition::model::Kind;
use crate::exposition::read::{LineEnd, Lines, Source};
use crate::exposition::write::{write_help_line, write_type_line};

/// The edit at a line of a file.
#[derive(Debug, Default)]
struct Edit {
    before: String,
    /// What stands there instead, if it is not to stay.
    instead: Option<String>,
    after: String,
}

/// The edits of a file. Texts are whole lines with their LF.
#[derive(Debug, Default)]
pub(super) struct Edits {
    lines: BTreeMap<u32, Edit>,
    end: String,
}

impl Edits {
    /// Replaces a line. A second text for the same line follows the first.
    pub(super) fn replace(&mut self, line: u32, text: &str) {
        self.lines.entry(line).or_default().instead.get_or_insert_default().push_str(text);
    }

    /// Adds text before a line; without one, at the end of the file, before what is added after one there.
    pub(super) fn add_before(&mut self, line: Option<u32>, text: &str) {
        match line {
            Some(line) => self.lines.entry(line).or_default().before.push_str(text),
            None => self.end.insert_str(0, text),
        }
    }

    /// Adds text after a line; without one, at the end of the file.
    pub(super) fn add_after(&mut self, line: Option<u32>, text: &str) {
        match line {
            Some(line) => self.lines.entry(line).or_default().after.push_str(text),
            None => self.end.push_str(text),
        }
    }

    /// The file with all this done. What is added at the end stands before the `# EOF` of OpenMetrics, which is the last
    /// line wherever it is.
    pub(super) fn apply(&self, source: &Source<'_>) -> Vec<u8> {
        let bytes = source.bytes.as_ref();
        let mut out = Vec::with_capacity(bytes.len() + self.end.len() + 256);
        let eof = if source.is_open_metrics() { bytes.trim_ascii_end().len() - b"# EOF".len() } else { usize::MAX };
        let mut lines = Lines::new(bytes).peekable();
        while let Some(line) = lines.next() {
            if line.at == eof {
                out.extend_from_slice(self.end.as_bytes());
            }
            let next = lines.peek().map_or(bytes.len(), |next| next.at);
            let raw = bytes.get(line.at..next).unwrap_or_default();
            let Some(edit) = self.lines.get(&line.number) else {
                out.extend_from_slice(raw);
                continue;
            };
            out.extend_from_slice(edit.before.as_bytes());
            out.extend_from_slice(edit.instead.as_ref().map_or(raw, |text| text.as_bytes()));
            if edit.instead.is_none() && line.ending == LineEnd::Missing && !edit.after.is_empty() {
                out.push(b'\n');
            }
            out.extend_from_slice(edit.after.as_bytes());
        }
        if eof == usize::MAX && !self.end.is_empty() {
            if !matches!(out.last(), None | Some(b'\n' | b'\r')) {
                out.push(b'\n');
            }
            out.extend_from_slice(self.end.as_bytes());
        }
        out
    }
}

/// The HELP and the TYPE line of a family, those that are wanted.
pub(super) fn head(name: &str, help: Option<&str>, kind: Option<Kind>) -> String {
    let mut out = Vec::new();
    if let Some(help) = help {
        write_help_line(&mut out, name, help);
    }
    if let Some(kind) = kind {
        write_type_line(&mut out, name, kind);
    }
    String::from_utf8_lossy(&out).into_owned()
}

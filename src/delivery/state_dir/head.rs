//! The head of a file in the state directory: lines of a name, a blank and a value, up to the first empty line.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::grouping::GroupingKey;
use crate::sink::Method;

/// The lines of a key's labels.
pub(crate) fn label_lines(key: &GroupingKey) -> String {
    let line =
        |(name, value): &(String, String)| format!("label {name}={}\n", utf8_percent_encode(value, NON_ALPHANUMERIC));
    key.labels().iter().map(line).collect()
}

/// The head up to the first empty line, and what follows.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(FileHead<'_>, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    Some((FileHead(std::str::from_utf8(bytes.get(..end)?).ok()?), bytes.get(end + 2..)?))
}

/// Lines of a name, a blank and a value.
pub(crate) struct FileHead<'t>(&'t str);

impl<'t> FileHead<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self(text)
    }

    /// Whether a line is this name alone.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| line == name)
    }

    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'t str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
    }

    pub(crate) fn one(&self, name: &'static str) -> Option<&'t str> {
        self.all(name).next()
    }

    pub(crate) fn method(&self) -> Option<Method> {
        let name = self.one("method")?;
        [Method::Add, Method::Replace, Method::Delete].into_iter().find(|method| method.name() == name)
    }

    pub(crate) fn key(&self) -> Option<GroupingKey> {
        let label = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), percent_decode_str(value).decode_utf8().ok()?.into_owned()))
        };
        GroupingKey::held(self.all("label").map(label).collect::<Option<_>>()?)
    }
}

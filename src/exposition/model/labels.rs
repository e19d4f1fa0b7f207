//! Label sets as text: written, taken apart, and their values escaped and unescaped.

use std::borrow::Cow;

/// Writes a label set with its braces; nothing where there are no labels.
pub(in crate::exposition) fn write_labels<'l>(out: &mut String, labels: impl Iterator<Item = (&'l str, &'l str)>) {
    let mut before = '{';
    for (name, value) in labels {
        out.push(before);
        before = ',';
        out.push_str(name);
        out.push_str("=\"");
        write_escaped(out, value);
        out.push('"');
    }
    if before == ',' {
        out.push('}');
    }
}

/// Writes label pairs whose values have their escapes already; nothing where there are none.
pub(in crate::exposition) fn write_pairs<'l>(out: &mut String, pairs: impl Iterator<Item = (&'l str, &'l str)>) {
    let mut before = '{';
    for (name, value) in pairs {
        out.push(before);
        before = ',';
        for piece in [name, "=\"", value, "\""] {
            out.push_str(piece);
        }
    }
    if before == ',' {
        out.push('}');
    }
}

/// Writes a label value with its escapes.
pub(in crate::exposition) fn write_escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// The label pairs of the text of a sample, values still escaped.
pub(in crate::exposition) fn pairs(text: &str) -> Pairs<'_> {
    Pairs { rest: text.strip_prefix('{').unwrap_or(text) }
}

/// Iterator of [`pairs`]; `rest` begins with a label name or with what ends the labels.
#[derive(Debug, Clone)]
pub(in crate::exposition) struct Pairs<'t> {
    rest: &'t str,
}

impl<'t> Pairs<'t> {
    /// The text from the next pair on.
    pub(in crate::exposition) fn rest(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = (&'t str, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        // Neither the name of a label nor a value without labels before it contains '='.
        let name = self.rest.get(..self.rest.bytes().position(|byte| byte == b'=')?)?;
        let rest = self.rest.get(name.len() + 2..)?;
        let value = rest.get(..closing_quote(rest)?)?;
        self.rest = rest.get(value.len() + 1..)?.strip_prefix(',').unwrap_or_default();
        Some((name, value))
    }
}

/// Where the quotation mark is that ends a label value.
fn closing_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = text.as_bytes().get(from..)?;
        let at = from + rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text.as_bytes().get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

/// A label value without its escapes.
pub(in crate::exposition) fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(escaped) => escaped,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(plain)
}

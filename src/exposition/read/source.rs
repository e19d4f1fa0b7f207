//! The bytes of one file, as shells and Windows editors really write them: UTF-16 and byte order marks.

use std::borrow::Cow;

/// One file that was read.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// The file as messages name it.
    pub(in crate::exposition) name: String,
    pub(in crate::exposition) bytes: Cow<'a, [u8]>,
    pub(in crate::exposition) encoding: Encoding,
    pub(in crate::exposition) end: Completeness,
}

/// The encoding of a file by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum Encoding {
    /// No mark: taken as UTF-8.
    Plain,
    /// A UTF-8 byte order mark, taken off.
    Utf8Mark,
    /// A UTF-16 byte order mark: converted.
    Utf16,
    /// Compressed data: nothing of it is read.
    Gzip,
    /// Delimited protobuf messages (Prometheus, "Exposition formats", "Protobuf format"): nothing of it is read.
    Protobuf,
    /// A UTF-16 byte order mark, but not all of the rest is UTF-16: what is not became U+FFFD.
    BrokenUtf16,
}

/// Whether the writer of the file had the time to finish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exposition) enum Completeness {
    /// The file is complete, or it is unknown.
    Complete,
    /// The writer was killed.
    Cut,
}

impl<'a> Source<'a> {
    /// The file called `name` in messages. UTF-16 with a byte order mark is converted here.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let (bytes, encoding) = decode(bytes.into());
        Self { name: name.into(), bytes, encoding, end: Completeness::Complete }
    }

    /// The same file, whose writer was killed: a last line without its line end is perhaps half a line, and is dropped.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.end = Completeness::Cut;
        self
    }

    /// The file as messages name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the text is OpenMetrics: its last line that is not blank is `# EOF` (OpenMetrics, "EOF").
    pub(in crate::exposition) fn is_open_metrics(&self) -> bool {
        let text = self.bytes.trim_ascii_end();
        text.strip_suffix(b"# EOF").is_some_and(|before| matches!(before.last(), None | Some(b'\n' | b'\r')))
    }
}

fn decode(bytes: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, Encoding) {
    match bytes.as_ref() {
        [0xef, 0xbb, 0xbf, ..] => (without_mark(bytes), Encoding::Utf8Mark),
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        [0x1f, 0x8b, ..] => (bytes, Encoding::Gzip),
        start if is_protobuf(start) => (bytes, Encoding::Protobuf),
        _ => (bytes, Encoding::Plain),
    }
}

/// Whether delimited messages of `io.prometheus.client.MetricFamily` begin here: a length as a varint, then the field 1 (the
/// name), its length, and a name that is a name.
fn is_protobuf(bytes: &[u8]) -> bool {
    let length = bytes.iter().take(5).take_while(|byte| **byte >= 0x80).count() + 1;
    let [0x0a, name_length, rest @ ..] = bytes.get(length..).unwrap_or_default() else { return false };
    let name = rest.get(..usize::from(*name_length)).unwrap_or_default();
    // In text a line feed and a length that fits what follows, behind one character, would be a coincidence; a name whose end is
    // followed by the number of another field rules it out.
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.'))
        && matches!(rest.get(name.len()), Some(0x12 | 0x18))
}

fn without_mark(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(3..).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.drain(..3);
            Cow::Owned(bytes)
        }
    }
}

fn decode_utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (Cow<'a, [u8]>, Encoding) {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut encoding = if odd.is_empty() { Encoding::Utf16 } else { Encoding::BrokenUtf16 };
    let mut text = String::with_capacity(pairs.len());
    for unit in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(unit.unwrap_or_else(|_| {
            encoding = Encoding::BrokenUtf16;
            char::REPLACEMENT_CHARACTER
        }));
    }
    (Cow::Owned(text.into_bytes()), encoding)
}

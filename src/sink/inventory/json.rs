//! Reads JSON (RFC 8259) as it comes in and keeps only what is asked for: a gateway's answer can be a hundred times larger
//! than what is wanted of it. Pure but for the reader that it is given.

use std::fmt;
use std::io::Read;

/// Deeper than anything a Pushgateway answers; an answer cannot overflow our stack.
const DEEPEST: usize = 64;
/// Longer than any label value that a Pushgateway takes: its URLs end at 1 MiB.
const LONGEST: usize = 4 << 20;
const CHUNK: usize = 64 * 1024;
/// The largest answer that is read, in bytes. A gateway with a hundred thousand groups sends less.
const MOST_BYTES: u64 = 512 << 20;

/// Why reading ended.
#[derive(Debug)]
pub(crate) enum JsonError {
    /// The bytes stopped coming.
    Read(std::io::Error),
    /// The JSON has another structure than was expected.
    Unexpected(&'static str),
}

impl From<std::io::Error> for JsonError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Unexpected(what) => f.write_str(what),
        }
    }
}

/// The type of the next value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Object,
    Array,
    String,
    /// A number, `true`, `false` or `null`.
    Word,
    /// `<`, with which HTML begins.
    Markup,
}

/// A value that comes in.
pub(crate) struct Json<'r> {
    input: &'r mut dyn Read,
    chunk: Vec<u8>,
    at: usize,
    depth: usize,
    left_bytes: u64,
}

impl<'r> Json<'r> {
    pub(crate) fn new(input: &'r mut dyn Read) -> Self {
        Self { input, chunk: Vec::with_capacity(CHUNK), at: 0, depth: 0, left_bytes: MOST_BYTES }
    }

    /// The type of the next value.
    pub(crate) fn next(&mut self) -> Result<Next, JsonError> {
        match self.glance()? {
            b'{' => Ok(Next::Object),
            b'[' => Ok(Next::Array),
            b'"' => Ok(Next::String),
            b'-' | b'0'..=b'9' | b'a'..=b'z' => Ok(Next::Word),
            b'<' => Ok(Next::Markup),
            _ => Err(JsonError::Unexpected("no JSON value")),
        }
    }

    /// An object: `member` reads the value of each name.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.list((b'{', b'}'), |json| {
            let name = json.string()?;
            json.expect(b':')?;
            member(json, &name)
        })
    }

    /// An array: `item` reads each value.
    pub(crate) fn array(&mut self, item: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        self.list((b'[', b']'), item)
    }

    /// A string. Halves of surrogate pairs that stand alone become U+FFFD.
    pub(crate) fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            self.run(&mut bytes)?;
            if bytes.len() > LONGEST {
                return Err(JsonError::Unexpected("an endless JSON string"));
            }
            match self.byte()? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                _ => return Err(JsonError::Unexpected("a control character in a JSON string")),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Any value that is not wanted.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        match self.next()? {
            Next::Object => self.object(|json, _| json.skip()),
            Next::Array => self.array(Self::skip),
            Next::String => self.string().map(drop),
            Next::Markup => Err(JsonError::Unexpected("no JSON value")),
            Next::Word => {
                while self.current()?.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_blanks()?;
        match self.current()? {
            None => Ok(()),
            Some(_) => Err(JsonError::Unexpected("more than one JSON value")),
        }
    }

    fn list(
        &mut self,
        (open, close): (u8, u8),
        mut item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(JsonError::Unexpected("JSON of endless depth"));
        }
        if self.glance()? == close {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                match self.glance()? {
                    b',' => self.at += 1,
                    byte if byte == close => break self.at += 1,
                    _ => return Err(JsonError::Unexpected("no comma between JSON values")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The bytes up to a quotation mark, a backslash or a control character.
    fn run(&mut self, bytes: &mut Vec<u8>) -> Result<(), JsonError> {
        while self.current()?.is_some() {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ');
            let plain = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            bytes.extend_from_slice(plain);
            self.at += plain.len();
            if length.is_some() || bytes.len() > LONGEST {
                break;
            }
        }
        Ok(())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), JsonError> {
        let plain = match self.byte()? {
            escaped @ (b'"' | b'\\' | b'/') => escaped,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let character = self.unicode()?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(JsonError::Unexpected("an unknown escape in a JSON string")),
        };
        bytes.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hexadecimal()?;
        let code = match first {
            0xd800..=0xdbff => {
                (self.byte()? == b'\\' && self.byte()? == b'u')
                    .then_some(())
                    .ok_or(JsonError::Unexpected("half a surrogate pair in a JSON string"))?;
                let second = self.hexadecimal()?;
                0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff)
            }
            _ => first,
        };
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        (0..4).try_fold(0, |code, _| {
            let digit = char::from(self.byte()?).to_digit(16);
            digit.map(|digit| code * 16 + digit).ok_or(JsonError::Unexpected("an unknown escape in a JSON string"))
        })
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.glance()? != wanted {
            return Err(JsonError::Unexpected("another JSON value than expected"));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no blank; it stays.
    fn glance(&mut self) -> Result<u8, JsonError> {
        self.skip_blanks()?;
        self.current()?.ok_or(JsonError::Unexpected("JSON that ends early"))
    }

    fn skip_blanks(&mut self) -> Result<(), JsonError> {
        while self.current()?.is_some_and(is_blank) {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            self.at += rest.iter().take_while(|byte| is_blank(**byte)).count();
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, JsonError> {
        let byte = self.current()?.ok_or(JsonError::Unexpected("JSON that ends early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn current(&mut self) -> Result<Option<u8>, JsonError> {
        if self.at >= self.chunk.len() {
            self.at = 0;
            self.chunk.resize(CHUNK, 0);
            let read = loop {
                match self.input.read(&mut self.chunk) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.chunk.truncate(*read.as_ref().unwrap_or(&0));
            let read = u64::try_from(read?).unwrap_or(u64::MAX);
            let left = self.left_bytes.checked_sub(read);
            self.left_bytes = left.ok_or(JsonError::Unexpected("it is larger than 512 MiB"))?;
        }
        Ok(self.chunk.get(self.at).copied())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{Json, JsonError};

    /// Gives one byte at a time, so that everything stands at the edge of a chunk once.
    struct Drops<'b>(&'b [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let (first, rest) = self.0.split_at(self.0.len().min(1));
            self.0 = rest;
            buffer[..first.len()].copy_from_slice(first);
            Ok(first.len())
        }
    }

    fn string(text: &str) -> Result<String, JsonError> {
        let mut whole = text.as_bytes();
        let read = Json::new(&mut whole).string();
        let dropped = Json::new(&mut Drops(text.as_bytes())).string();
        assert_eq!(read.as_ref().ok(), dropped.as_ref().ok(), "{text}");
        read
    }

    fn skips(text: &str) -> bool {
        let mut input = text.as_bytes();
        let mut json = Json::new(&mut input);
        json.skip().and_then(|()| json.end()).is_ok()
    }

    #[test]
    fn strings_are_unescaped() {
        for (json, plain) in [
            (r#""""#, ""),
            (r#" "a\"\\\/\b\f\n\r\té""#, "a\"\\/\u{8}\u{c}\n\r\té"),
            (r#""\u003c\u00e9\ud83d\ude00\u0000""#, "<é😀\0"),
            (r#""\udc00""#, "\u{fffd}"),
        ] {
            assert_eq!(string(json).unwrap(), plain, "{json}");
        }
        for wrong in ["", "\"", "\"a", r#""\x""#, r#""\u12"#, r#""\u12g4""#, r#""\ud83dx""#, "\"\n\"", "x", "1"] {
            assert!(string(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_object_hands_out_its_members() {
        let mut input = &br#"{"a": 1, "b": ["x", {"y": null}], "c": "z"}"#[..];
        let mut seen = Vec::new();
        let mut json = Json::new(&mut input);
        json.object(|json, name| {
            seen.push(name.to_owned());
            if name == "c" { json.string().map(|value| seen.push(value)) } else { json.skip() }
        })
        .unwrap();
        assert_eq!(seen, ["a", "b", "c", "z"]);
    }

    #[test]
    fn whole_values_are_skipped() {
        for fine in ["1", "-1.5e+09", "true", "null", "[]", "{}", "[1, 2]", r#"{"a":{"b":[{}]}}"#, " [ ] "] {
            assert!(skips(fine), "{fine}");
        }
        for wrong in ["", "[", "{", "[1", "[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "[]]", "<html>", "1 2"] {
            assert!(!skips(wrong), "{wrong}");
        }
        assert!(skips(&format!("{}{}", "[".repeat(64), "]".repeat(64))));
        assert!(!skips(&"[".repeat(1_000_000)), "depth is bounded");
        let endless = format!("\"{}\"", "x".repeat(super::LONGEST + 2));
        assert!(!skips(&endless), "length is bounded");
    }
}

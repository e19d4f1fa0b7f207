//! The head of an answer, however odd: what is needed of it is written anew, so that a control character in a reason phrase, a
//! folded line or a hundred headers hide neither status nor `Retry-After`, `Location` or text. curl takes such heads too.

/// The most that is read of a head, in bytes. curl's own limit is 300 KiB (`MAX_HTTP_RESP_HEADER_SIZE`).
pub(crate) const HEAD_MAX: usize = 300 * 1024;
/// The longest value that is passed on, in bytes.
const VALUE_MAX: usize = 4096;
/// The headers that are passed on: the length of the body, and what the server asks for.
const WANTED: [&str; 7] =
    ["content-length", "transfer-encoding", "content-type", "connection", "location", "retry-after", "date"];

/// The part of an answer's head that has come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResponseHead {
    /// More has to come.
    Incomplete,
    /// Not an HTTP/1 answer, or a longer head than is read: passed on as it is.
    Foreign,
    /// The head as it is passed on, and how many bytes it took, interim answers (RFC 9110, section 15.2) included.
    Complete {
        /// Status line and headers in their strict form.
        strict: Vec<u8>,
        /// Where the body begins in what was received.
        length: usize,
    },
}

impl ResponseHead {
    /// Reads the head at the beginning of `received`.
    pub(crate) fn read(received: &[u8]) -> Self {
        let mut start = 0;
        loop {
            let rest = &received[start..];
            let begins = rest.len().min(b"HTTP/1.".len());
            if rest[..begins] != b"HTTP/1."[..begins] {
                return Self::Foreign;
            }
            let Some(length) = head_length(rest) else {
                return if received.len() > HEAD_MAX { Self::Foreign } else { Self::Incomplete };
            };
            let Some((status, strict)) = strict(&rest[..length]) else { return Self::Foreign };
            start += length;
            if !(100..200).contains(&status) {
                return Self::Complete { strict, length: start };
            }
        }
    }
}

/// The final status, as soon as its line is there: interim answers are left out.
pub(crate) fn final_status(received: &[u8]) -> Option<u16> {
    let mut rest = received;
    loop {
        let line = &rest[..memchr::memchr(b'\n', rest)?];
        let (_, status) = status_line(line)?;
        if !(100..200).contains(&status) {
            return Some(status);
        }
        rest = &rest[head_length(rest)?..];
    }
}

/// The version and the status of a status line without its end (RFC 9112, section 4); `None` where it is none.
fn status_line(line: &[u8]) -> Option<(&str, u16)> {
    let (version, rest) = line.split_at_checked("HTTP/1.1".len())?;
    let minor = version.strip_prefix(b"HTTP/1.")?;
    let (digits, after) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let is_number = minor.iter().chain(digits).all(u8::is_ascii_digit);
    let ends = after.first().is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control());
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((std::str::from_utf8(version).ok()?, status)).filter(|_| is_number && ends)
}

/// How long the head is, its empty line included. A line may end with LF alone (RFC 9112, section 2.2).
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (end, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(&bytes[line_start..end], b"" | b"\r") && line_start > 0 {
            return Some(end + 1);
        }
        line_start = end + 1;
    }
    None
}

/// The status and the head in its strict form; `None` where the first line is no status line.
fn strict(head: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = memchr::memchr(b'\n', head)?;
    let (version, status) = status_line(&head[..end])?;
    let text = String::from_utf8_lossy(&head[end + 1..]);
    let headers = wanted(&unfolded(text.split('\n').map(|line| line.trim_end_matches('\r'))));
    let chunked = headers.iter().any(|(name, _)| *name == "transfer-encoding");
    let mut strict = format!("{version} {status:03} \r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !(chunked && *name == "content-length")) {
        strict.extend([*name, ": ", value.as_str(), "\r\n"]);
    }
    strict.push_str("\r\n");
    Some((status, strict.into_bytes()))
}

/// The header lines, each with the lines that continue it (obs-fold, RFC 9112, section 5.2).
fn unfolded<'h>(lines: impl Iterator<Item = &'h str>) -> Vec<String> {
    let mut unfolded: Vec<String> = Vec::new();
    for line in lines {
        match unfolded.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => unfolded.push(line.to_owned()),
        }
    }
    unfolded
}

/// Of each wanted name the first value: of several equal lengths one is enough.
fn wanted(lines: &[String]) -> Vec<(&'static str, String)> {
    let mut headers: Vec<(&'static str, String)> = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let Some(name) = WANTED.iter().find(|wanted| wanted.eq_ignore_ascii_case(name.trim())) else { continue };
        if headers.iter().all(|(known, _)| known != name) {
            let text = value.trim().chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
            headers.push((name, text.take(VALUE_MAX).collect::<String>().trim().to_owned()));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::{HEAD_MAX, ResponseHead};

    fn read(received: &str) -> (String, usize) {
        match ResponseHead::read(received.as_bytes()) {
            ResponseHead::Complete { strict, length } => (String::from_utf8(strict).unwrap(), length),
            other => panic!("{received:?}: {other:?}"),
        }
    }

    #[test]
    fn an_odd_head_is_passed_on_in_its_strict_form() {
        let many = format!("HTTP/1.1 429 Slow\r\n{}Retry-After: 7\r\n\r\n", "X-A: b\r\n".repeat(200));
        for (odd, strict) in [
            ("HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", "HTTP/1.1 200 \r\ndate: x\r\n\r\n"),
            ("HTTP/1.0 503 No\x01Time\x1b[31m\r\nRetry-After: 3\r\n\r\n", "HTTP/1.0 503 \r\nretry-after: 3\r\n\r\n"),
            ("HTTP/1.1 307 Go\nLocation:\n\thttp://gw/\n\n", "HTTP/1.1 307 \r\nlocation: http://gw/\r\n\r\n"),
            ("HTTP/1.1 400\r\nBad Name: x\r\nRetry-After : 9\r\n\r\n", "HTTP/1.1 400 \r\nretry-after: 9\r\n\r\n"),
            (
                "HTTP/1.1 200 OK\r\nX: \x00\x07\r\nContent-Length: 2\r\n\r\n",
                "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (&many, "HTTP/1.1 429 \r\nretry-after: 7\r\n\r\n"),
        ] {
            assert_eq!(read(&format!("{odd}body")), (strict.to_owned(), odd.len()));
        }
    }

    #[test]
    fn interim_answers_are_left_out() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let (strict, length) = read(&format!("{interim}HTTP/1.1 204 \r\n\r\n"));
        assert_eq!((strict.as_str(), length), ("HTTP/1.1 204 \r\n\r\n", interim.len() + 17));
    }

    #[test]
    fn what_is_no_http_is_left_as_it_is() {
        for foreign in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20000 OK\r\n\r\n",
            "HTTP/1.1 +20 OK\r\n\r\n",
            "HTTP/1.\x1b 200 OK\r\n\r\n",
            "HTTP/1.1 200\u{e9}\r\n\r\n",
            "\n\n",
        ] {
            assert_eq!(ResponseHead::read(foreign.as_bytes()), ResponseHead::Foreign, "{foreign}");
        }
        for part in ["", "HT", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 100 \r\n\r\n"] {
            assert_eq!(ResponseHead::read(part.as_bytes()), ResponseHead::Incomplete, "{part}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(HEAD_MAX / 6 + 1));
        assert_eq!(ResponseHead::read(endless.as_bytes()), ResponseHead::Foreign);
        let interim = "HTTP/1.1 100 \r\n\r\n".repeat(HEAD_MAX / 17 + 1);
        assert_eq!(
            ResponseHead::read(interim.as_bytes()),
            ResponseHead::Foreign,
            "a server that only ever says continue"
        );
    }
}

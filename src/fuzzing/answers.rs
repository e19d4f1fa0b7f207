//! Answers of servers, which may be anybody's: the JSON of a gateway's groups, heads of HTTP, and texts that are printed.

use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::exposition::held_types;
use crate::grouping::GroupingKey;
use crate::http::head::ResponseHead;
use crate::http::socket::Trace;
use crate::http::url::BaseUrl;
use crate::http::{Fault, retry_after};
use crate::sink::explain::held::Held;
use crate::sink::explain::{conflict, table};
use crate::sink::inventory::json::Json;
use crate::sink::inventory::read;
use crate::text::{answer_start, answer_text};

/// The deepest JSON of which every level must be read.
const DEEPEST: usize = 60;

/// The list of a gateway's groups, the last byte says where it comes in two pieces: the pieces change nothing, what another parser
/// takes is taken, strings and grouping keys are those of that parser, and each key has a path that loses no label.
pub fn gateway_json(data: &[u8]) {
    let Some((&piece, data)) = data.split_last() else { return };
    let families = ["x".to_owned()];
    let groups = |input: &mut dyn Read| read(input, &families).map_err(|error| error.to_string());
    let whole = groups(&mut &data[..]);
    let in_pieces = groups(&mut InTwoPieces { first: data.len().min(piece.into()), rest: data });
    assert_eq!(format!("{whole:?}"), format!("{in_pieces:?}"));
    for group in whole.iter().flatten() {
        let path = group.key.path();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:-/@=".contains(&byte);
        assert!(path.starts_with("/metrics/job") && !path.contains("//") && path.bytes().all(is_plain), "{path:?}");
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if depth(&value) < DEEPEST {
        let mut input = data;
        let mut json = Json::new(&mut input);
        assert!(json.skip().and_then(|()| json.end()).is_ok(), "{value}");
    }
    if let Value::String(text) = &value {
        let mut input = data;
        assert_eq!(&Json::new(&mut input).string().unwrap(), text);
    }
    // Written anew, because of two members with one name the other parser keeps the last.
    let text = serde_json::to_vec(&value).unwrap();
    if let (Some(expected), Ok(groups)) = (keys(&value), read(&mut text.as_slice(), &[])) {
        assert_eq!(groups.into_iter().map(|group| group.key).collect::<Vec<_>>(), expected);
    }
}

/// Gives the first bytes in a read of their own.
struct InTwoPieces<'b> {
    first: usize,
    rest: &'b [u8],
}

impl Read for InTwoPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let first = std::mem::take(&mut self.first);
        let most = if first > 0 { first } else { self.rest.len() }.min(buffer.len());
        self.rest.read(&mut buffer[..most])
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The keys of a list of groups each of which has labels.
fn keys(value: &Value) -> Option<Vec<GroupingKey>> {
    let labels = |group: &Value| {
        let pairs = group["labels"].as_object()?.iter();
        pairs.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect::<Option<Vec<_>>>()
    };
    let labels: Vec<_> = value["data"].as_array()?.iter().map(labels).collect::<Option<_>>()?;
    Some(labels.into_iter().filter_map(GroupingKey::held).collect())
}

/// An answer: the same head whatever follows it, and nothing of it before its end; a strict form that stays as it is; one status;
/// and texts on one line that do nothing to a terminal.
pub fn answer(data: &[u8]) {
    head(data);
    pause(data);
    let text = answer_text(data);
    assert!(!text.contains(char::is_control) && text.trim() == text, "{text:?}");
    assert_eq!(answer_text(text.as_bytes()), text);
    assert!(answer_start(data).len() <= 2048 + " … ".len());
    for name in conflict::named_families(&text) {
        assert!(text.contains("collected metric "), "{name}");
    }
    let _ = Held::on(data, &text);
    for name in held_types(data, &[("job".to_owned(), "x".to_owned())]).keys() {
        assert!(memchr::memmem::find(data, name.as_bytes()).is_some(), "{name}");
    }
    for status in [400, 404, 413, 422, 503] {
        let fault = Fault::Status { status, text: text.clone(), retry_after: None };
        assert!(!table::may_blame_metrics(&fault) || fault.decision().body_is_to_blame());
    }
    let url: BaseUrl = "http://gw.example:9091/p".parse().unwrap();
    for location in text.split(' ') {
        let target = url.same_origin_target(location);
        assert!(target.is_none_or(|target| target.starts_with('/') && !target.contains('#')), "{location}");
    }
}

fn head(data: &[u8]) {
    let whole = ResponseHead::read(data);
    if let ResponseHead::Complete { strict, length } = &whole {
        assert_eq!(ResponseHead::read(&data[..*length]), whole);
        for end in [0, length / 2, length - 1] {
            assert_eq!(ResponseHead::read(&data[..end]), ResponseHead::Incomplete, "the first {end} bytes");
        }
        let again = ResponseHead::read(strict);
        assert_eq!(again, ResponseHead::Complete { strict: strict.clone(), length: strict.len() });
        let status = status_of(std::str::from_utf8(strict).unwrap());
        assert_eq!(Trace { received: data.to_vec(), ..Trace::default() }.status(), Some(status));
    }
    if whole == ResponseHead::Incomplete {
        assert_eq!(ResponseHead::read(&data[..data.len() / 2]), whole);
    }
}

/// The status of a strict head: what RFC 9112 allows in sections 3 to 5, and no more.
fn status_of(strict: &str) -> u16 {
    let mut lines = strict.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.").unwrap();
    let (minor, status) = status.split_once(' ').unwrap();
    let digits = status.strip_suffix(' ').unwrap();
    assert!(minor.len() == 1 && digits.len() == 3, "{strict:?}");
    assert!([minor, digits].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit())), "{strict:?}");
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{line:?}");
        assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && value.trim() == value, "{line:?}");
    }
    digits.parse().unwrap()
}

/// `Retry-After`: a date is so far from now as its pause is long.
fn pause(data: &[u8]) {
    let now = UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(pause) = retry_after::parse(text, now) else { return };
    let moment: Option<SystemTime> = if text.contains(':') { now.checked_add(pause) } else { None };
    if let Some(moment) = moment {
        assert_eq!(retry_after::parse(&httpdate::fmt_http_date(moment), now), Some(pause));
    } else {
        assert_eq!(text.trim().parse().ok(), Some(pause.as_secs()));
    }
}

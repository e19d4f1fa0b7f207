//! Metrics files: whatever a command has left, every gateway takes what comes out.

use super::strict::strict;
use crate::exposition::{Context, Paint, Reading, Source, Verdict, encode, encode_with_labels, judge, read};

/// Any bytes in one file or two, the last byte chooses how: what is written is an exposition that every gateway takes, messages
/// do nothing to a terminal, and what was written is read again without a finding.
pub fn repair(data: &[u8]) {
    let Some((&options, data)) = data.split_last() else { return };
    let middle = if options & 4 != 0 { data.len() / 2 } else { data.len() };
    let sources: Vec<_> = [&data[..middle], &data[middle..]]
        .into_iter()
        .map(|part| Source::new("f", part))
        .map(|source| if options & 8 != 0 { source.unfinished() } else { source })
        .collect();
    with_context(options, |context| {
        repaired(&sources, context);
        let _ = judge(data, context);
    });
}

/// `OpenMetrics` text: what holds for [`repair`], and the same families however the text is encoded and its lines end.
pub fn openmetrics(data: &[u8]) {
    let Some((&options, data)) = data.split_last() else { return };
    let bytes = [data, b"\n# EOF\n"].concat();
    with_context(options, |context| {
        repaired(&[Source::new("f", bytes.as_slice())], context);
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        let marked = repaired(&[Source::new("f", format!("\u{feff}{text}").into_bytes())], context);
        for unit in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect();
            assert_same(&repaired(&[Source::new("f", utf16)], context), &marked);
        }
        if !text.contains('\r') {
            let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
            assert_same(&repaired(&[Source::new("f", windows.into_bytes())], context), &marked);
        }
    });
}

fn with_context(options: u8, check: impl FnOnce(&Context<'_>)) {
    let mut grouping = vec![("job".to_owned(), "fuzz".to_owned())];
    if options & 1 != 0 {
        grouping.push(("a".to_owned(), "b".to_owned()));
    }
    let reserved = ["own_total".to_owned(), "x_count".to_owned()];
    check(&Context { grouping: &grouping, reserved: if options & 2 != 0 { &reserved } else { &[] } });
}

/// The exposition that comes of these files.
fn repaired(sources: &[Source<'_>], context: &Context<'_>) -> Vec<u8> {
    let reading = read(sources, context);
    let out = encode(&reading.families);
    let samples = strict(&out, context.grouping, context.reserved);
    assert_eq!(samples as u64, reading.samples());
    strict(&encode_with_labels(&reading.families, context.grouping), &[], &[]);
    assert_eq!(judge(&out, context), Verdict::Taken);
    messages_do_nothing_to_a_terminal(&reading);

    let again = [Source::new("f", out.as_slice())];
    let again = read(&again, context);
    assert_eq!((again.errors(), again.repairs()), (0, 0), "{:?}", again.diagnostics);
    assert_same(&encode(&again.families), &out);
    out
}

fn messages_do_nothing_to_a_terminal(reading: &Reading<'_>) {
    for found in &reading.diagnostics {
        let (short, long) = (found.to_string(), found.long(Paint::Plain));
        let json = serde_json::to_string(found).unwrap();
        assert!(!short.contains(['\n', '\r', '\x1b']) && !json.contains(['\n', '\r', '\x1b']), "{short:?} {json:?}");
        assert!(!long.contains(['\r', '\x1b', '\t']), "{long:?}");
    }
}

fn assert_same(one: &[u8], other: &[u8]) {
    assert_eq!(String::from_utf8_lossy(one), String::from_utf8_lossy(other));
}

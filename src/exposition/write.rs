//! Writes families as text format 0.0.4: the dialect that every receiver of the format takes. The same families give the
//! same bytes, in the order in which they come.

use super::model::{Family, Kind, write_labels};

/// The content type of what [`encode`] writes (Prometheus, "Exposition formats", "Text-based format").
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the families; a family without samples is left out, because HELP and TYPE of nothing say nothing.
pub fn encode<'f, 'a: 'f>(families: impl IntoIterator<Item = &'f Family<'a>>) -> Vec<u8> {
    let families: Vec<_> = families.into_iter().filter(|family| !family.samples().is_empty()).collect();
    let mut out = Vec::with_capacity(families.iter().map(|family| size(family)).sum());
    for family in families {
        encode_head(&mut out, family);
        for sample in family.samples() {
            out.extend_from_slice(sample.line().as_bytes());
            out.push(b'\n');
        }
    }
    out
}

/// Writes the families with `extra` labels on every sample, as the Pushgateway shows them: an extra label replaces one of
/// the same name.
pub fn encode_with_labels<'f, 'a: 'f>(
    families: impl IntoIterator<Item = &'f Family<'a>>,
    extra: &[(String, String)],
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text = String::new();
    for family in families.into_iter().filter(|family| !family.samples().is_empty()) {
        encode_head(&mut out, family);
        for sample in family.samples() {
            text.clear();
            let own: Vec<_> =
                sample.labels().filter(|(name, _)| extra.iter().all(|(other, _)| other != name)).collect();
            let all = own.iter().map(|(name, value)| (*name, value.as_ref()));
            write_labels(&mut text, all.chain(extra.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
            out.extend_from_slice(sample.name().as_bytes());
            out.extend_from_slice(text.as_bytes());
            out.push(b' ');
            out.extend_from_slice(sample.value().as_bytes());
            out.push(b'\n');
        }
    }
    out
}

fn encode_head(out: &mut Vec<u8>, family: &Family<'_>) {
    if let Some(help) = family.help() {
        write_help_line(out, family.name(), help);
    }
    write_type_line(out, family.name(), family.kind());
}

/// Writes a HELP line; `help` is plain text.
pub(in crate::exposition) fn write_help_line(out: &mut Vec<u8>, name: &str, help: &str) {
    out.extend_from_slice(b"# HELP ");
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    encode_help(out, help);
    out.push(b'\n');
}

/// Writes a TYPE line.
pub(in crate::exposition) fn write_type_line(out: &mut Vec<u8>, name: &str, kind: Kind) {
    for piece in ["# TYPE ", name, " ", kind.name(), "\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// HELP knows two escapes; `\"` is none for Pushgateway 1.5.1 (expfmt 0.39), so a quotation mark stays as it is.
fn encode_help(out: &mut Vec<u8>, help: &str) {
    for &byte in help.as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(other),
        }
    }
}

/// An upper bound for everything but escapes in HELP, so that the output is allocated once.
fn size(family: &Family<'_>) -> usize {
    let name = family.name().len();
    let samples: usize = family.samples().iter().map(|sample| sample.line().len() + 1).sum();
    samples + 2 * name + 32 + family.help().map_or(0, |help| help.len() + 16)
}

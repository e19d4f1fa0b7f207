//! A sample line that is written exactly as we would write it: recognised, and nothing copied.

use super::grammar::label_name_len;
use super::label_hash::LabelHasher;
use super::mend::MAX_LABELS;
use crate::exposition::model::number::spelling;

/// A sample in the form in which it is written, as it was found behind the name.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineLayout {
    /// Where the value begins.
    pub(super) value_at: usize,
    /// Where the last label called `le` or `quantile` begins; 0 where there is none.
    pub(super) special_at: usize,
    /// The hash of the label set, whatever its order.
    pub(super) hash: u64,
    /// Whether it has labels that the gateway replaces, or empty ones.
    pub(super) has_ignored: bool,
    /// Whether a label name may appear twice: only `mend` can tell.
    pub(super) suspicious: bool,
}

/// Recognises `text` (what follows the name) in exactly the form that the encoder writes. It must be UTF-8.
#[inline]
pub(super) fn recognise(text: &[u8], hasher: &LabelHasher<'_>) -> Option<LineLayout> {
    let mut found = LineLayout { value_at: 1, special_at: 0, hash: 0, has_ignored: false, suspicious: false };
    let (mut names, mut count) = (0_u64, 0);
    if text.first() == Some(&b'{') {
        let mut at = 1;
        loop {
            let len = label_name_len(text, at);
            let name = text.get(at..at + len)?;
            let start = at + len + 2;
            if len == 0 || name.starts_with(b"__") || text.get(at + len..start)? != b"=\"" {
                return None;
            }
            let end = value_end(text, start)?;
            let pair = text.get(at..end)?;
            count += 1;
            if count > MAX_LABELS {
                return None;
            }
            if end > start && !hasher.is_overwritten(name) {
                found.hash = found.hash.wrapping_add(hasher.hash(pair));
            } else if hasher.clashes(name, text.get(start..end)?) {
                return None;
            } else {
                found.has_ignored = true;
            }
            if name == b"le" || name == b"quantile" {
                found.special_at = at;
            }
            let bit = 1 << name_bit(name);
            found.suspicious |= names & bit != 0;
            names |= bit;
            at = end + 2;
            match text.get(end + 1)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        found.value_at = at + 1;
    }
    let value = text.get(found.value_at..)?;
    let is_canonical = spelling(value).is_some_and(|s| s.canonical().is_none_or(|word| word.as_bytes() == value));
    (text.get(found.value_at - 1) == Some(&b' ') && is_canonical).then_some(found)
}

/// A bit of a set of names: two names with the same bit may be equal, two with different bits are not.
#[inline]
fn name_bit(name: &[u8]) -> u32 {
    let ends = name.iter().take(1).chain(name.iter().rev().take(2));
    ends.fold(name.len() as u64, |bits, &byte| bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(byte)))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_shr(58)
        .try_into()
        .unwrap_or_default()
}

/// Where the quotation mark is that ends the label value that begins at `at`; `None` where it has none or an unknown escape.
#[inline]
fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = find_quote_or_backslash(text, at);
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' if matches!(text.get(at + 1)?, b'\\' | b'"' | b'n') => at += 2,
            _ => return None,
        }
    }
}

/// Where the next `"` or `\` is, from `at` on; the end of the text where there is none. Eight bytes at a time: values are
/// too short for the vector instructions of memchr to pay.
#[inline]
fn find_quote_or_backslash(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is that of the first byte that is zero.
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*bytes);
        let found = zero_bytes(word ^ (ONES * u64::from(b'"'))) | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text.get(at..).unwrap_or_default().iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count()
}

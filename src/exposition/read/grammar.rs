//! What the bytes of a line may be part of, and the names that begin a text.

pub(in crate::exposition) const NAME: u8 = 1;
pub(in crate::exposition) const DIGIT: u8 = 2;
pub(in crate::exposition) const COLON: u8 = 4;
pub(in crate::exposition) const VALUE: u8 = 8;

/// What each byte may be part of.
static CLASS: [u8; 256] = {
    let mut class = [0_u8; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte {
            0x30..=0x39 => DIGIT | VALUE,
            0x41..=0x5a | 0x5f | 0x61..=0x7a => NAME | VALUE,
            0x3a => COLON | VALUE,
            0x22 | 0x5c | 0x0a => 0,
            _ => VALUE,
        };
        byte += 1;
    }
    class
};

fn is(byte: u8, classes: u8) -> bool {
    CLASS[byte as usize] & classes != 0
}

/// How many bytes of `text` are in one of `classes`, from `at` on.
#[inline]
pub(in crate::exposition) fn run(text: &[u8], at: usize, classes: u8) -> usize {
    text.get(at..).unwrap_or_default().iter().take_while(|&&byte| is(byte, classes)).count()
}

/// Whether a byte can be part of the name of a metric.
#[inline]
pub(in crate::exposition) fn is_name_byte(byte: u8) -> bool {
    is(byte, NAME | DIGIT | COLON)
}

/// The length of the metric name that begins `text`; 0 where none does.
#[inline]
pub(in crate::exposition) fn name_len(text: &[u8]) -> usize {
    if text.first().is_some_and(|&first| is(first, NAME | COLON)) { run(text, 0, NAME | DIGIT | COLON) } else { 0 }
}

/// The length of the label name that begins at `at`; 0 where none does.
#[inline]
pub(in crate::exposition) fn label_name_len(text: &[u8], at: usize) -> usize {
    if text.get(at).is_some_and(|&first| is(first, NAME)) { run(text, at, NAME | DIGIT) } else { 0 }
}

//! Texts that pushwrap prints: what could act on a terminal is escaped, secrets of addresses are left out, numbers get units.

mod answer;
mod escape;
mod json;
mod redact;
mod time;

use std::any::Any;
use std::borrow::Cow;

pub(crate) use answer::{answer_start, answer_text, cut_middle};
pub(crate) use escape::{control_picture, escape_controls, quote_start};
pub(crate) use json::{JsonNumber, json, json_lines};
pub(crate) use redact::{redact_url, redact_urls};
pub(crate) use time::{age, one_unit, span};

/// The text, cut off after this many characters: a value can be a whole file.
pub(crate) fn cut_end(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// A name or a value for a cell of a table: in quotation marks where it could be taken for something else.
pub(crate) fn cell(value: &str) -> String {
    let is_plain = |character: char| {
        character.escape_debug().count() == 1 && !character.is_whitespace() && !"\"',={}".contains(character)
    };
    if !value.is_empty() && value.chars().all(is_plain) { value.to_owned() } else { format!("{value:?}") }
}

/// The argument as a shell reads it.
pub(crate) fn shell_quote(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{cell, cut_end};

    #[test]
    fn long_values_are_cut_off() {
        assert_eq!(cut_end(&"ä".repeat(100_000), 200), format!("{}…", "ä".repeat(200)));
        assert_eq!(cut_end("ä", 1), "ä");
    }

    #[test]
    fn words_of_strangers_do_nothing_to_a_terminal() {
        for (value, printed) in [
            ("backup", "backup"),
            ("db1:9100", "db1:9100"),
            ("ä/b", "ä/b"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a,b=\"c\"", "\"a,b=\\\"c\\\"\""),
            ("\u{1b}[31m\n", "\"\\u{1b}[31m\\n\""),
            ("\u{202e}x\u{200b}", "\"\\u{202e}x\\u{200b}\""),
            ("\u{9b}0m", "\"\\u{9b}0m\""),
        ] {
            assert_eq!(cell(value), printed);
        }
    }
}

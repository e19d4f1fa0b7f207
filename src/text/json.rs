//! Values as JSON for programs (RFC 8259). The keys, their order and the form of the numbers are a contract (docs/reference.md).

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A number in decimals, without exponent and without `.0`; null where it is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct JsonNumber(pub(crate) f64);

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // serde_json itself writes 1.0 and 1e-6.
        RawValue::from_string(self.0.to_string()).ok().serialize(serializer)
    }
}

/// The value on one line. Its maps have strings as keys.
pub(crate) fn json(value: &impl Serialize) -> String {
    // Only a map with other keys and a Serialize that refuses its own value are errors (`serde_json::to_string`).
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("{error}"))
}

/// An array with a line for each value.
pub(crate) fn json_lines(values: &[impl Serialize]) -> String {
    if values.is_empty() {
        return "[]\n".to_owned();
    }
    let lines: Vec<String> = values.iter().map(json).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::{JsonNumber, json, json_lines};

    #[test]
    fn numbers_are_written_in_decimals() {
        for (number, written) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (0.000_001, "0.000001"),
            (1e21, "1000000000000000000000"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(json(&JsonNumber(number)), written);
        }
        assert_eq!(json(&JsonNumber(f64::MAX)), f64::MAX.to_string());
    }

    #[test]
    fn an_array_has_a_line_for_each_value() {
        assert_eq!(json_lines(&["a\n", "b\""]), "[\n\"a\\n\",\n\"b\\\"\"\n]\n");
        assert_eq!(json_lines(&[""; 0]), "[]\n");
    }
}

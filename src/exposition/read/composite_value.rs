//! The composite values of OpenMetrics 2.0, `{count:2,sum:0.3,bucket:[0.1:1,+Inf:2]}`: a whole histogram or summary on one line.
//! They become the samples that the text format has for them.

use crate::exposition::model::number::spelling;

/// One sample that a composite value stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CompositePart<'l> {
    /// What follows the name of the metric.
    pub(super) suffix: &'static str,
    /// The label that the sample has beside those of the line.
    pub(super) label: Option<(&'static str, &'l str)>,
    pub(super) value: &'l str,
}

/// A composite value, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CompositeValue<'l> {
    pub(super) parts: Vec<CompositePart<'l>>,
    /// Whether it has native buckets, which the text format does not have.
    pub(super) has_native_buckets: bool,
}

/// Takes a composite value apart; `None` where it is none.
pub(super) fn composite_value(text: &[u8]) -> Option<CompositeValue<'_>> {
    let mut rest = std::str::from_utf8(text).ok()?.strip_prefix('{')?.strip_suffix('}')?;
    let mut value = CompositeValue { parts: Vec::new(), has_native_buckets: false };
    while !rest.is_empty() {
        let (field, after) = rest.split_once(':')?;
        let end = if after.starts_with('[') { after.find(']')? + 1 } else { after.find(',').unwrap_or(after.len()) };
        let (text, after) = after.split_at(end);
        add_field(&mut value, field, text)?;
        rest = if after.is_empty() { after } else { after.strip_prefix(',')? };
    }
    (!value.parts.is_empty()).then_some(value)
}

fn add_field<'l>(value: &mut CompositeValue<'l>, field: &str, text: &'l str) -> Option<()> {
    let (suffix, name) = match field {
        "count" | "gcount" => ("_count", None),
        "sum" | "gsum" => ("_sum", None),
        "bucket" => ("_bucket", Some("le")),
        "quantile" => ("", Some("quantile")),
        "schema" | "zero_threshold" | "zero_count" | "positive_spans" | "positive_buckets" | "negative_spans"
        | "negative_buckets" => {
            value.has_native_buckets = true;
            return Some(());
        }
        _ => return None,
    };
    let is_number = |text: &str| spelling(text.as_bytes()).is_some();
    let Some(name) = name else {
        value.parts.push(CompositePart { suffix, label: None, value: text });
        return is_number(text).then_some(());
    };
    let list = text.strip_prefix('[')?.strip_suffix(']')?;
    for item in list.split(',').filter(|item| !item.is_empty()) {
        let (bound, number) = item.split_once(':')?;
        if !is_number(bound) || !is_number(number) {
            return None;
        }
        value.parts.push(CompositePart { suffix, label: Some((name, bound)), value: number });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::composite_value;

    fn parts(text: &str) -> Option<(Vec<String>, bool)> {
        let value = composite_value(text.as_bytes())?;
        let part = |part: &super::CompositePart<'_>| {
            let label = part.label.map(|(name, value)| format!("{{{name}={value}}}")).unwrap_or_default();
            format!("{}{label} {}", part.suffix, part.value)
        };
        Some((value.parts.iter().map(part).collect(), value.has_native_buckets))
    }

    #[test]
    fn a_composite_value_is_taken_apart() {
        let (found, native) =
            parts("{count:2,sum:0.3,schema:5,positive_spans:[-74:1,3:4],bucket:[0.1:1,+Inf:2]}").unwrap();
        assert_eq!(found, ["_count 2", "_sum 0.3", "_bucket{le=0.1} 1", "_bucket{le=+Inf} 2"]);
        assert!(native);
        let (found, native) = parts("{count:1,sum:1.0,quantile:[0.5:1.0]}").unwrap();
        assert_eq!((found, native), (vec!["_count 1".into(), "_sum 1.0".into(), "{quantile=0.5} 1.0".into()], false));
        assert_eq!(parts("{gcount:1,gsum:2}").unwrap().0, ["_count 1", "_sum 2"]);
    }

    #[test]
    fn what_is_no_composite_value_is_none() {
        for text in
            ["{}", "{", "{count}", "{count:x}", "{count:1,}x", "{bucket:[1]}", "{bucket:[1:2}", "{other:1}", "1"]
        {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}

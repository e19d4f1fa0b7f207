//! Names in quotes (Prometheus 3, "UTF-8 in metric and label names"), escaped with underscores for readers that do not know
//! them, as Prometheus escapes them (prometheus/common, `model.EscapeName`, `UnderscoreEscaping`).

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A metric's, in which a colon is allowed.
    Metric,
    /// A label's.
    Label,
}

/// The name that `text` (between its quotes) means, escaped; `None` where it is empty or no UTF-8.
pub(super) fn escape_name(text: &[u8], kind: NameKind) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut characters = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?.chars();
    while let Some(mut character) = characters.next() {
        if character == '\\' {
            character = characters.next().filter(|escaped| *escaped != 'n').unwrap_or('_');
        }
        let is_allowed = match character {
            'a'..='z' | 'A'..='Z' | '_' => true,
            '0'..='9' => !name.is_empty(),
            ':' => kind == NameKind::Metric,
            _ => false,
        };
        name.push(if is_allowed { character } else { '_' });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::{NameKind, escape_name};

    #[test]
    fn names_are_escaped_as_prometheus_does() {
        for (text, metric, label) in [
            ("plain", "plain", "plain"),
            ("hello.counter_total", "hello_counter_total", "hello_counter_total"),
            ("größe.数", "gr__e__", "gr__e__"),
            ("lab el", "lab_el", "lab_el"),
            ("1st", "_st", "_st"),
            ("a1:b", "a1:b", "a1_b"),
            (r#"a\"b\\c\nd"#, "a_b_c_d", "a_b_c_d"),
        ] {
            assert_eq!(escape_name(text.as_bytes(), NameKind::Metric).as_deref(), Some(metric), "{text}");
            assert_eq!(escape_name(text.as_bytes(), NameKind::Label).as_deref(), Some(label), "{text}");
        }
        assert_eq!(escape_name(b"", NameKind::Metric), None);
        assert_eq!(escape_name(b"\xff", NameKind::Metric), None);
    }
}

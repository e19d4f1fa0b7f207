//! What must never be printed: passwords, tokens, header values. The type has no `Display` and its `Debug` says
//! `(redacted)`, so a secret can only get out where [`Secret::expose`] is written.

use std::fmt;

/// A text that no message, log or `Debug` output shows. Overwritten when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the optimizer from leaving the overwrite out as a dead store.
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows_the_text() {
        let text = format!("{:?} {:?}", Secret::from("hunter2"), Some(vec![Secret::from("hunter2".to_owned())]));
        assert_eq!(text, "(redacted) Some([(redacted)])");
    }
}

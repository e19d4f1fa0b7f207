//! What must never be printed: passwords, tokens, header values. The type has no `Display` and its `Debug` says
//! `(redacted)`, so a secret can only get out where [`Secret::expose`] is written.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// A text that no message, log or `Debug` output shows. Overwritten when dropped.
///
/// secrecy keeps and overwrites the text. Its own type cannot be compared, which settings are, and its `Debug` names its types.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
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

//! What became of what was found.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The meaning is certain, so it was written anew; nothing is lost.
    Repaired,
    /// Passed on as it was written, but probably not what was meant.
    Doubtful,
    /// The line or the metric is not passed on.
    Dropped,
    /// Nothing was read of the file.
    Unread,
}

impl Severity {
    /// The word that opens the long form; also in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Doubtful => "doubtful",
            Self::Dropped => "dropped",
            Self::Unread => "unread",
        }
    }

    /// The ANSI sequence of its colour.
    pub(in crate::exposition) fn color(self) -> &'static str {
        match self {
            Self::Repaired => "\x1b[1;36m",
            Self::Doubtful => "\x1b[1;33m",
            Self::Dropped | Self::Unread => "\x1b[1;31m",
        }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

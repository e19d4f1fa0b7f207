//! What stops pushwrap before it does anything.

use std::fmt;

/// Bad usage of the command line, or of a variable that concerns the command: what was wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

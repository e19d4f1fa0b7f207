//! The result of a delivery.

use crate::http::{Cancel, Deadline, Failure};

/// What is refused where the run's own metrics alone are taken.
pub(crate) const OWN_ALONE: &str = "refused the command's metrics, only the run's own metrics were pushed";

/// The limits of a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// When the delivery has to be over.
    pub deadline: Deadline,
    /// The handle that shortens or stops the delivery.
    pub cancel: &'a Cancel,
}

/// A push that a sink has taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// The status of the sink's answer, 200 to 299; none for a file, which does not answer.
    pub status: Option<u16>,
    /// The number of tries, refused requests included.
    pub tries: u32,
    /// Where nothing of the command's metrics was taken: what the gateway did, and what it said about it.
    pub own_only: Option<String>,
    /// The families that were left out so that the rest was taken: each with its reason.
    pub left_out: Vec<String>,
    /// How many samples of the command were taken; none where a sink takes all or nothing.
    pub samples: Option<u64>,
    /// Messages for `-v` although the delivery worked.
    pub details: Vec<String>,
}

impl Delivered {
    /// The status in brackets, for the end of a sentence.
    #[must_use]
    pub fn status_in_brackets(&self) -> String {
        self.status.map_or_else(String::new, |status| format!(" ({status})"))
    }

    /// Whether everything was taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.own_only.is_none() && self.left_out.is_empty()
    }

    /// The warning where not everything was taken, in one line.
    #[must_use]
    pub fn refused(&self, url: &str) -> Option<String> {
        if let Some(own_only) = &self.own_only {
            return Some(format!("'{url}' {own_only}"));
        }
        (!self.left_out.is_empty()).then(|| format!("'{url}' refused {}", self.left_out.join("; ")))
    }
}

/// The result of a delivery.
#[derive(Debug)]
pub(crate) struct DeliveryResult {
    pub(crate) result: Result<Delivered, Failure>,
    /// A try was given up unanswered: it may be applied later.
    pub(crate) unanswered: bool,
    /// Warnings, one line each.
    pub(crate) said: Vec<String>,
}

impl From<Result<Delivered, Failure>> for DeliveryResult {
    fn from(result: Result<Delivered, Failure>) -> Self {
        Self { result, unanswered: false, said: Vec::new() }
    }
}

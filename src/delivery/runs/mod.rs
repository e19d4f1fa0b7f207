//! How often the job of a group ran and with which outcome, counted in the state directory.

pub(crate) mod counts;
pub(crate) mod mark;

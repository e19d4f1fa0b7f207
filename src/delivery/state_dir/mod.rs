//! The state directory: where it is, its files, its locks, and which processes have written there.

pub(crate) mod digest;
pub(crate) mod dir;
pub(crate) mod head;
pub(crate) mod lock;
pub(crate) mod process;
pub(crate) mod since;

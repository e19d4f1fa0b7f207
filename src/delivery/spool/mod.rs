//! The spool: pushes that wait in the state directory for a gateway that takes them, and the counts of runs.

pub(crate) mod counts;
pub(crate) mod dir;
pub(crate) mod entry;
pub(crate) mod notes;
pub(crate) mod queue;
pub(crate) mod store;
mod waiting;

pub use counts::RunCounts;
pub use dir::{DEFAULT_STATE_DIR, SpoolDir, SpoolPath};
pub use entry::{Destination, SinkKind, SpooledPush};
pub use store::{CountFamilies, Sent, SpoolOptions, dropped};
pub use waiting::waiting_pushes;

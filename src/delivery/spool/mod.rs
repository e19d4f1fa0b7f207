//! The spool: pushes that wait in the state directory for a gateway that takes them, and the counts of runs.

pub(crate) mod counts;
pub(crate) mod digest;
pub(crate) mod dir;
pub(crate) mod drain;
pub(crate) mod entry;
pub(crate) mod flush;
pub(crate) mod lock;
pub(crate) mod mark;
pub(crate) mod merge;
pub(crate) mod old;
pub(crate) mod outage;
pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod room;
pub(crate) mod send;
pub(crate) mod start_times;
pub(crate) mod store;
mod waiting;

pub use dir::{DEFAULT_STATE_DIR, SpoolDir, SpoolPath};
pub(crate) use drain::dropped;
pub use entry::{SinkAddress, SinkKind, SpooledPush};
pub(crate) use queue::QueueDir;
pub(crate) use start_times::StartTimes;
pub use store::{FinalRun, RunRecord, RunState, SpoolOptions};
pub use waiting::waiting_pushes;

//! When a push is made, in which order, and what waits: the threads that deliver and the spool of the state directory.

pub(crate) mod dispatcher;
pub(crate) mod lazy_push;
pub(crate) mod spool;
pub(crate) mod timing;
pub(crate) mod worker;

pub use dispatcher::{Dispatcher, deliver_all};
pub use lazy_push::LazyPush;
pub use spool::{
    DEFAULT_STATE_DIR, FinalRun, RunRecord, RunState, SinkAddress, SinkKind, SpoolDir, SpoolOptions, SpoolPath,
    SpooledPush, waiting_pushes,
};
pub(crate) use spool::{QueueDir, StartTimes, dropped};
pub use worker::Report;

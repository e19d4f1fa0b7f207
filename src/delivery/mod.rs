//! When a push is made, in which order, and what waits: the threads that deliver and the state directory.

pub(crate) mod dispatcher;
pub(crate) mod lazy_push;
pub(crate) mod runs;
pub(crate) mod sending;
pub(crate) mod spool;
pub(crate) mod state_dir;
pub(crate) mod timing;
pub(crate) mod worker;

pub use dispatcher::{Dispatcher, deliver_all};
pub use lazy_push::LazyPush;
pub(crate) use sending::drain::dropped;
pub(crate) use sending::start_times::StartTimes;
pub use spool::entry::SpooledPush;
pub(crate) use spool::queue::QueueDir;
pub use spool::store::{FinalRun, RunRecord, RunState, SpoolOptions};
pub use spool::waiting::waiting_pushes;
pub use state_dir::dir::{DEFAULT_STATE_DIR, SpoolDir, SpoolPath};
pub use worker::Report;

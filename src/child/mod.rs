//! The command's process: started so that it cannot tell that pushwrap is there, supervised by one loop, measured when it
//! is reaped. Signals are blocked and read, never handled, because a handler would cost the command an inherited "ignored".
//!
//! The order of a run: [`take_over`] in the first lines of `main`, [`spawn`] while pushwrap is small and has one thread,
//! [`Child::supervise`] until the command has ended, [`Caller::wait`] while its metrics are pushed, [`leave`].

mod arguments;
mod caller;
mod cgroup;
mod exec;
mod expiry;
mod forward;
mod memory;
mod plan;
mod procfs;
mod program;
mod relay;
mod supervise;
mod sys;
mod tree;
mod usage;
mod witness;

pub use caller::{Caller, Wake, leave, take_over};
pub use cgroup::{memory_limit_bytes, oom_kills_whole_group, spare_memory_bytes};
pub use plan::{Event, Plan, Timeout, WakeTimes};
pub(crate) use procfs::Stat;
pub use program::{Program, SpawnError};
pub use supervise::{Child, spawn};
pub use usage::{CommandProgress, CommandResult, ResourceUsage, TreeUsage};

/// Whether standard output was closed when the process started.
#[must_use]
pub fn is_stdout_missing() -> bool {
    let [_, stdout, _] = sys::closed_at_start();
    stdout
}

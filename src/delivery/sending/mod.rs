//! Sending what waits in the spool: by a run at its end, by its heartbeats, and by `flush`.

pub(crate) mod drain;
pub(crate) mod flush;
pub(crate) mod last_times;
pub(crate) mod outage;
pub(crate) mod send;
pub(crate) mod start_times;

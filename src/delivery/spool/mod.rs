//! The spool: the pushes that wait in the state directory for a gateway that takes them.

pub(crate) mod entry;
pub(crate) mod merge;
pub(crate) mod old;
pub(crate) mod queue;
pub(crate) mod room;
pub(crate) mod send_record;
pub(crate) mod store;
pub(crate) mod waiting;

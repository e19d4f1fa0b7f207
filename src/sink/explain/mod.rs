//! Why a server refused a push, and what to do about it.

pub(crate) mod conflict;
pub(crate) mod context;
pub(crate) mod held;
pub(crate) mod table;

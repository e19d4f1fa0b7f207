//! The subcommands, one file each. Each returns its exit status: 0, or 1 when what it was asked to do failed.

mod terminal;

pub mod check;
pub mod delete;
pub mod doctor;
pub mod flush;
pub mod groups;
pub mod install;
pub mod metric;
pub mod prune;
pub mod push;

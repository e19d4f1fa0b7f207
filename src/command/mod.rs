//! The subcommands, one file each. Each returns its exit status: 0, or 1 when what it was asked to do failed.

pub mod check;
pub mod push;

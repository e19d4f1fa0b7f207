//! The integration tests: the real binary against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;

mod house;
mod process_end;
mod process_inherit;
mod process_signals;
mod process_start;
mod process_timeout;
mod process_usage;
mod servers;
mod terminal;

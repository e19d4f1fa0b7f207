//! The integration tests: the real binary against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;

mod generated;
mod grouping;
mod house;
mod readme;
mod servers;

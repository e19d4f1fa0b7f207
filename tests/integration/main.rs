//! The integration tests: the real binary against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;

mod delivery;
mod delivery_courier;
mod delivery_explained;
mod delivery_secured;
mod house;
mod servers;

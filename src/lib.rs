//! pushwrap runs a command, measures it and pushes its metrics to a Prometheus Pushgateway on exit.
//!
//! The groups of `mod` lines below are the floors of the house: a module may use only those on floors below its own, and
//! siblings do not know each other. `tests/integration/house.rs` proves that this holds; `docs/ARCHITECTURE.md` draws it.

#[cfg(not(target_os = "linux"))]
compile_error!("pushwrap runs on Linux only: what cannot be tested elsewhere is not promised");

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod command;
pub mod job;

pub mod config;

pub mod cli;
pub mod report;

pub mod delivery;

pub mod sink;

pub mod child;
pub mod http;
pub mod textfile;

pub mod console;
pub mod exposition;
pub mod files;
pub mod grouping;
pub mod outcome;
pub mod schedule;

pub mod text;

//! What needs root, a container engine or a daemon of the system.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../integration/harness/mod.rs"]
mod harness;

mod alerts;
mod cgroup;
mod compose;
mod containers;
mod dns;
mod engine;
mod examples;
mod generated;
mod hanging;
mod host;
mod key;
mod kubernetes;
mod memory;
mod metric;
mod output;
mod packages;
mod pages;
mod pages_cron;
mod pages_make;
mod pages_systemd;
mod private;
mod process;
mod process_group;
mod producers;
mod schemas;
mod slurm;

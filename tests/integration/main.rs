//! The integration tests: the real binary against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;

mod alerts;
mod alerts_live;
mod delivery;
mod delivery_dispatcher;
mod delivery_explained;
mod delivery_faults;
mod delivery_heads;
mod delivery_secured;
mod delivery_tls;
mod doctor;
mod examples;
mod exposition_check;
mod exposition_servers;
mod gateway_groups;
mod gateway_prune;
mod generated;
mod grouping;
mod house;
mod install;
mod metric;
mod metric_python;
mod metric_time;
mod output;
mod process_end;
mod process_exec;
mod process_group;
mod process_inherit;
mod process_signals;
mod process_start;
mod process_timeout;
mod process_usage;
mod readme;
mod rehearsal;
mod remote_write;
mod run;
mod servers;
mod skipped;
mod state;
mod state_turns;
mod terminal;
mod textfile;
mod usage;
mod usage_key;

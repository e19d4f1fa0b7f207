//! `pushwrap delete`: deletes exactly this job's group. The gateway keeps it for ever otherwise.

use super::shown::console;
use crate::config::DeleteConfig;
use crate::delivery::deliver_all;
use crate::http::Deadline;
use crate::sink::{Push, print_request};

/// Deletes the group at every gateway. The exit status: 0, or 1 when one of them has not taken it.
#[must_use]
pub fn run(config: &DeleteConfig) -> u8 {
    let DeleteConfig { targets, key, dry_run } = config;
    let console = console(targets);
    let push = Push::deletion(key.clone());
    if *dry_run {
        for gateway in &targets.gateways {
            print_request(gateway, &push, console);
        }
        return 0;
    }
    let results = deliver_all(&targets.gateways, &push, Deadline::after(targets.push_timeout));
    let mut status = 0;
    for (gateway, result) in targets.gateways.iter().zip(results) {
        match result {
            // The gateway answers the same whether it had the group or not.
            Ok(delivered) => {
                console.info(format!("deleted {key} at '{}'{}", gateway.url, delivered.status_in_brackets()));
            }
            Err(failure) => {
                console.warn(failure);
                status = 1;
            }
        }
    }
    status
}

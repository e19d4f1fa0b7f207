//! `pushwrap delete`: deletes exactly this job's group. The gateway keeps it for ever otherwise, and answers the same whether it
//! had the group or not, so it is looked at first.

use super::terminal::{console, print};
use crate::config::DeleteConfig;
use crate::grouping::GroupingKey;
use crate::http::{Cancel, Deadline, Endpoint, Failure};
use crate::sink::{Inventory, Push, deliver, inventory, print_request};

/// How many groups of the job are named where the one that is meant is not there.
const NAMED: usize = 5;

/// Deletes the group at every gateway. The exit status: 0, or 1 when one of them has not taken it or has no such group.
#[must_use]
pub fn run(config: &DeleteConfig) -> u8 {
    let DeleteConfig { targets, key, dry_run } = config;
    let console = console(targets);
    let mut status = 0;
    for gateway in &targets.gateways {
        if *dry_run {
            print_request(gateway, &Push::deletion(key.clone()), console);
            continue;
        }
        match delete(gateway, key, Deadline::after(targets.push_timeout).with_one_more_try()) {
            Ok(Deletion::Done) if print(format!("deleted {key} at '{}'\n", gateway.url)) => {}
            Ok(Deletion::Done) => status = 1,
            Ok(Deletion::NoGroup(others)) => {
                console.warn(format!("'{}' holds no group {key}{}", gateway.url, of_the_job(key.job(), &others)));
                status = 1;
            }
            Err(failure) => {
                console.warn(failure);
                status = 1;
            }
        }
    }
    status
}

/// The result of deleting a group.
enum Deletion {
    /// The gateway has taken the DELETE.
    Done,
    /// The gateway has no such group; these are the job's groups.
    NoGroup(Vec<GroupingKey>),
}

fn delete(gateway: &Endpoint, key: &GroupingKey, deadline: Deadline) -> Result<Deletion, Failure> {
    let held: Inventory = inventory(gateway, &[], deadline)?;
    if held.group(key).is_none() {
        let keys = held.groups.into_iter().map(|group| group.key);
        return Ok(Deletion::NoGroup(keys.filter(|other| other.job() == key.job()).collect()));
    }
    deliver(gateway, &Push::deletion(key.clone()), deadline, &Cancel::new()).map(|_| Deletion::Done)
}

/// The groups of the job that are there: one of them may be meant.
fn of_the_job(job: &str, keys: &[GroupingKey]) -> String {
    if keys.is_empty() {
        return format!(", and none of job {job:?}");
    }
    let named: Vec<String> = keys.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if keys.len() > NAMED { format!(" and {} more", keys.len() - NAMED) } else { String::new() };
    format!("; of that job it holds {}{more} (--instance and --label name a group)", named.join(", "))
}

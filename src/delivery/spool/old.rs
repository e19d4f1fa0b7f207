//! What an older version left in a state directory: `GROUP.runs`, `GROUP.lock`, `GROUP-DEST.push` and `GROUP-DEST.send`, all in one
//! directory. It is read once: the counts go on, and a push waits as one that is older than all others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use crate::delivery::runs::counts::{RunsFile, counts_of};
use crate::delivery::spool::entry::{EntryWriter, SpooledPush, families};
use crate::delivery::state_dir::digest::digest;
use crate::delivery::state_dir::dir::{GroupDir, SpoolDir, is_hex, make_directory, names, read, remove};
use crate::delivery::state_dir::head::split_head;
use crate::delivery::state_dir::process::Process;
use crate::delivery::state_dir::since::Since;
use crate::exposition::OwnedFamilies;
use crate::sink::address::{SinkAddress, SinkKind};
use crate::sink::{Method, Push};

/// Takes over what an older version left of this group for these destinations, and returns messages. The lock of the
/// group is held.
pub(crate) fn adopt(group: &GroupDir, destinations: &[String]) -> Vec<String> {
    let mut said = Vec::new();
    if !group.file("runs").exists() {
        said.extend(adopt_runs(group).err().map(|error| group.state.error(&error)));
    }
    for destination in destinations {
        said.extend(adopt_push(group, destination).err().map(|error| group.state.error(&error)));
    }
    said
}

/// The groups that an older version left: their names, and the destinations for which pushes wait.
pub(crate) fn old_groups(state: &SpoolDir) -> io::Result<BTreeMap<String, Vec<String>>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names(state.path())? {
        let Some((stem, ending)) = name.rsplit_once('.') else { continue };
        match stem.split_once('-') {
            Some((group, destination)) if ending == "push" && is_hex(group, 32) && is_hex(destination, 16) => {
                groups.entry(group.to_owned()).or_default().push(destination.to_owned());
            }
            None if ending == "runs" && is_hex(stem, 32) => drop(groups.entry(stem.to_owned()).or_default()),
            _ => {}
        }
    }
    Ok(groups)
}

fn adopt_runs(group: &GroupDir) -> io::Result<()> {
    let path = |ending: &str| group.state.path().join(format!("{}.{ending}", group.name));
    let Some(content) = read(&path("runs"))? else { return Ok(()) };
    let text = String::from_utf8_lossy(&content);
    let number = |name: &'static str| {
        text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).find_map(|value| value.parse().ok())
    };
    if text.starts_with("pushwrap runs 1\n")
        && let Some(counts) = counts_of(number)
    {
        RunsFile::of(counts).write(group)?;
    }
    remove(&path("runs"))?;
    remove(&path("lock"))
}

fn adopt_push(group: &GroupDir, destination: &str) -> io::Result<()> {
    let path = |ending: &str| group.state.path().join(format!("{}-{destination}.{ending}", group.name));
    let Some(content) = read(&path("push"))? else { return Ok(()) };
    if let Some(push) = parse(&content) {
        let queue = group.queue(destination);
        make_directory(&group.path)?;
        make_directory(&queue.path)?;
        let writer = EntryWriter::of(&queue.path, &push)?;
        // Its room is taken already: a rename changes nothing.
        writer.persist(&queue.path.join("0000000000.push"))?;
    }
    fs::remove_file(path("push"))?;
    remove(&path("send"))
}

/// The push of an old file; `None` for what is damaged.
pub(crate) fn parse(bytes: &[u8]) -> Option<SpooledPush> {
    let (sum, rest) = bytes.strip_prefix(b"pushwrap push 1\nsum ")?.split_at_checked(32)?;
    let rest = rest.strip_prefix(b"\n").filter(|rest| digest(&[rest]).as_bytes() == sum)?;
    let (head, content) = split_head(rest)?;
    let (body, own_only) = content.split_at_checked(head.one("body")?.parse().ok()?)?;
    // The body without the command's metrics; none where the command wrote none.
    let own_only = head.one("salvage").map(|_| families(own_only));
    let body = families(body);
    let is_own = |name: &str| own_only.as_ref().is_none_or(|own| own.families().iter().any(|own| own.name() == name));
    let part = |own: bool| {
        OwnedFamilies::of(vec![body.clone()], |parts| {
            let all = parts.iter().flat_map(OwnedFamilies::families);
            all.filter(|family| is_own(family.name()) == own).cloned().collect()
        })
    };
    let (own, command) = (part(true), part(false));
    // That version carried over these two.
    let lasts = |name: &str| name.ends_with("success") || name.ends_with("last_success_timestamp_seconds");
    let carried_over =
        own.families().iter().map(|family| family.name().to_owned()).filter(|name| lasts(name)).collect();
    let method = head.method()?;
    Some(SpooledPush {
        destination: SinkAddress { kind: SinkKind::from_name(head.one("door")?)?, url: head.one("url")?.to_owned() },
        since: Since::at(UNIX_EPOCH.checked_add(Duration::from_secs(head.one("since")?.parse().ok()?))?),
        deletes: head.one("deletion").is_some() && method != Method::Delete,
        push: Push { method, key: head.key()?, own, command, carried_over },
        owner: Process::from_text("0 0")?,
    })
}

//! Files of the state directory: what is read of one is read again of the file that is written of it.

use std::fs;

use crate::delivery::SpooledPush;
use crate::delivery::runs::counts::RunsFile;
use crate::delivery::spool::entry::EntryWriter;
use crate::delivery::spool::old;
use crate::delivery::state_dir::digest::digest;
use crate::exposition::encode;

/// A waiting push, one of an older version, or counts of runs, as the last byte says. What follows the first line gets the check
/// sum that belongs to it; a file without it is damaged.
pub fn spooled_push(data: &[u8]) {
    let Some((&kind, data)) = data.split_last() else { return };
    // Lines may end in CR LF, and no file of ours has a CR: as a part of a value it is not kept.
    let can_be_written = !data.contains(&b'\r');
    match kind % 4 {
        0 => {
            let content = [b"pushwrap push 2\n".as_slice(), data].concat();
            assert!(SpooledPush::from_bytes(&content).is_none(), "a file without its sum is damaged");
            let sum = digest(&[content.as_slice()]);
            let push = SpooledPush::from_bytes(&[content.as_slice(), sum.as_bytes(), b"\n"].concat());
            push.iter().filter(|_| can_be_written).for_each(is_read_again);
        }
        1 => {
            let sum = digest(&[data]);
            let push = old::parse(&[b"pushwrap push 1\nsum ".as_slice(), sum.as_bytes(), b"\n", data].concat());
            push.iter().filter(|_| can_be_written).for_each(is_read_again);
        }
        2 => {
            let Ok(text) = std::str::from_utf8(data) else { return };
            let runs = RunsFile::from_text(&format!("pushwrap runs 2\n{text}\nend\n"));
            if let Some(runs) = runs.filter(|_| can_be_written) {
                assert_eq!(RunsFile::from_text(&runs.to_text()), Some(runs));
            }
        }
        _ => drop(SpooledPush::from_bytes(data)),
    }
}

fn is_read_again(push: &SpooledPush) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0000000001.push");
    EntryWriter::of(directory.path(), push).unwrap().persist(&path).unwrap();
    let again = SpooledPush::from_bytes(&fs::read(path).unwrap()).expect("a whole file");
    assert_eq!((&again.destination, &again.since, &again.owner), (&push.destination, &push.since, &push.owner));
    assert_eq!((again.deletes, again.push.method), (push.deletes, push.push.method));
    assert_eq!((&again.push.key, &again.push.carried_over), (&push.push.key, &push.push.carried_over));
    for (one, other) in [(&again.push.own, &push.push.own), (&again.push.command, &push.push.command)] {
        let text = |families: &crate::exposition::OwnedFamilies| encode(families.families());
        assert_eq!(String::from_utf8_lossy(&text(one)), String::from_utf8_lossy(&text(other)));
    }
}

//! What the state directory records of a destination, so that a run need not read every group: which groups wait for it, and
//! whether it has been said that it does not take pushes.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::delivery::spool::queue::QueueDir;
use crate::delivery::state_dir::dir::{SpoolDir, is_hex, make_directory, names, remove};

/// The file that says that an outage has been reported.
const REPORTED: &str = "reported";

/// A destination does not take pushes at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// No run has reported the outage yet.
    New,
    /// An earlier run has said so.
    Known,
}

impl SpoolDir {
    fn waiting_for(&self, destination: &str) -> PathBuf {
        self.path().join("waiting").join(destination)
    }

    /// The groups that are known to wait for this destination.
    pub(crate) fn groups_waiting_for(&self, destination: &str) -> Vec<QueueDir> {
        let names = names(&self.waiting_for(destination)).unwrap_or_default().into_iter();
        names.filter(|name| is_hex(name, 32)).map(|name| self.group_named(name).queue(destination)).collect()
    }
}

impl QueueDir {
    /// Records that pushes of this group wait for this destination, which takes none at present.
    pub(crate) fn record_waiting(&self) -> Outage {
        let directory = self.group.state.waiting_for(&self.name);
        let create =
            |name: &str| OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name));
        let made = make_directory(&self.group.state.path().join("waiting")).and_then(|()| make_directory(&directory));
        // What cannot be recorded is found by the next run of the group, and by 'flush'.
        let _ = made.and_then(|()| create(&self.group.name));
        match create(REPORTED) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Outage::Known,
            _ => Outage::New,
        }
    }

    /// The destination has taken a push: the next failure begins another outage.
    pub(crate) fn record_answer(&self) {
        let _ = remove(&self.group.state.waiting_for(&self.name).join(REPORTED));
    }

    /// Records that no push of this group waits any more.
    pub(crate) fn record_empty(&self) {
        let _ = remove(&self.group.state.waiting_for(&self.name).join(&self.group.name));
    }
}

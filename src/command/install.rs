//! `pushwrap install`: copies this binary, so that an init container from a scratch image, which has no cp, can hand it to the
//! container of the job.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::console::say;
use crate::files::{directory_of, reason, reason_at, temporary};

/// The running program, whatever has become of its file (proc(5)).
const OWN_BINARY: &str = "/proc/self/exe";

/// Copies the binary to `path`, or into the directory `path`. The exit status: 0 or 1.
#[must_use]
pub fn run(path: &Path) -> u8 {
    match install(path) {
        Ok(()) => 0,
        Err(error) => {
            say(format!("{error:#}"));
            1
        }
    }
}

fn install(path: &Path) -> Result<()> {
    let target = if path.is_dir() { path.join(own_name()) } else { path.to_owned() };
    replace(path, &target).with_context(|| format!("cannot install to '{}'", target.display()))
}

fn replace(path: &Path, target: &Path) -> Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") && !path.is_dir() {
        bail!("there is no such directory");
    }
    // A link is replaced, not followed. A device or a FIFO is what others may be using.
    if fs::symlink_metadata(target).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
        bail!("it is there and not a regular file");
    }
    write(target).map_err(|error| anyhow!(reason_at(target, &error)))
}

/// Writes beside the target and renames: a pushwrap that runs from there keeps running, and nobody sees half a binary.
fn write(target: &Path) -> io::Result<()> {
    let mut binary = File::open(OWN_BINARY)
        .map_err(|error| io::Error::other(format!("cannot read its own binary '{OWN_BINARY}': {}", reason(&error))))?;
    let mut copy = temporary(directory_of(target), (".pushwrap-".as_ref(), ""))?;
    io::copy(&mut binary, &mut copy)?;
    copy.as_file().set_permissions(Permissions::from_mode(0o755))?;
    copy.as_file().sync_all()?;
    copy.persist(target).map(drop).map_err(|error| error.error)
}

/// The file name of the running binary. The kernel marks one that was replaced meanwhile (proc(5)).
fn own_name() -> OsString {
    let link = std::fs::read_link(OWN_BINARY).ok();
    let name = link.as_ref().and_then(|link| PathBuf::from(link).file_name().map(OsString::from));
    let name = name.unwrap_or_else(|| "pushwrap".into());
    match name.as_bytes().strip_suffix(b" (deleted)") {
        Some(name) => OsString::from_vec(name.to_vec()),
        None => name,
    }
}

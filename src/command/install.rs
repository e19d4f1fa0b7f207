//! `pushwrap install`: copies this binary, so that an init container from a scratch image, which has no cp, can hand it to the
//! container of the job.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::console::say;

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

/// Writes beside the target and renames: a pushwrap that runs from there keeps running, and nobody sees half a binary.
fn install(path: &Path) -> Result<()> {
    let target = if path.is_dir() { path.join(own_name()) } else { path.to_owned() };
    if path.as_os_str().as_bytes().ends_with(b"/") && !path.is_dir() {
        bail!("cannot install to '{}': there is no such directory", path.display());
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = || format!("cannot install to '{}'", target.display());
    let mut binary = File::open(OWN_BINARY).with_context(|| format!("cannot read '{OWN_BINARY}'"))?;
    let create = |path: &Path| File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut copy = tempfile::Builder::new().prefix(".pushwrap-").make_in(directory, create).with_context(failed)?;
    std::io::copy(&mut binary, &mut copy).with_context(failed)?;
    copy.flush().with_context(failed)?;
    copy.as_file().set_permissions(Permissions::from_mode(0o755)).with_context(failed)?;
    copy.as_file().sync_all().with_context(failed)?;
    copy.persist(&target).map_err(|error| error.error).with_context(failed)?;
    Ok(())
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

//! The directory in which pushwrap was started, which a run leaves: relative paths lead where they led.

use std::borrow::Cow;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The directory that was left; empty until then.
static LEFT: OnceLock<PathBuf> = OnceLock::new();

/// Goes to `/`, so that the directory in which pushwrap was started can be unmounted or removed, as without pushwrap. A process whose
/// directory is gone, or that may not pass `/`, stays where it is.
pub fn leave_directory() {
    if let Ok(directory) = env::current_dir()
        && env::set_current_dir("/").is_ok()
    {
        let _ = LEFT.set(directory);
    }
}

/// The path as it was from the directory in which pushwrap was started.
#[must_use]
pub fn from_start(path: &Path) -> Cow<'_, Path> {
    match LEFT.get() {
        Some(directory) if path.is_relative() => directory.join(path).into(),
        _ => path.into(),
    }
}

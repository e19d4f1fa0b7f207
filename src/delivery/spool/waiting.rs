//! How many pushes wait in a state directory, for `doctor`: nothing is locked, read or changed.

use std::fs;
use std::path::Path;

/// How deep pushes lie: group, destination, push.
const DEPTH: usize = 3;

/// Counts the pushes that wait below `directory`.
#[must_use]
pub fn waiting_pushes(directory: &Path) -> usize {
    count(directory, DEPTH)
}

fn count(directory: &Path, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let entries = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && depth > 1 => count(&entry.path(), depth - 1),
        Ok(kind) => {
            usize::from(kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "push"))
        }
        Err(_) => 0,
    });
    entries.sum()
}

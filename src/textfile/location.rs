//! Where the metrics of a command are: in files that the user named, in a private file, or in both.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::contents::TextfileContents;
use super::patience::within;
use super::private::{PrivateFile, REMOVAL_PATIENCE};
use super::reader::{ReadOptions, Reader, has_wildcard, is_pattern};

/// How long is waited before the command is started for the file system to say whether a named path is a directory.
const LOOKUP_PATIENCE: Duration = Duration::from_millis(100);

/// Where the command's metrics are.
#[derive(Debug)]
pub struct Textfile {
    named: Vec<PathBuf>,
    /// The path for the command.
    path: Option<PathBuf>,
    /// Shared with a thread that reads it.
    private: Mutex<Option<Arc<PrivateFile>>>,
}

impl Textfile {
    /// In files, directories (of `*.prom`) and patterns that the user named; see [`Self::with_private`].
    #[must_use]
    pub fn named(paths: Vec<PathBuf>) -> Self {
        let path = if paths.is_empty() { None } else { first_file(&paths) };
        Self { named: paths, path, private: Mutex::default() }
    }

    /// Also in a file of our own, for directories and patterns give the command no path to write to.
    #[must_use]
    pub fn with_private(self, private: PrivateFile) -> Self {
        Self { path: Some(private.path().to_owned()), private: Mutex::new(Some(Arc::new(private))), ..self }
    }

    /// The path for `PUSHWRAP_TEXTFILE`: the private file, or the first named path that is neither a directory nor a pattern.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Removes the private file now instead of with the last use of this: nothing more is read.
    pub fn remove_private(&self) {
        let private = self.private().take();
        drop(private);
    }

    /// The same where a thread that was let go may still read it. Where the file system hangs it is left to later runs.
    pub fn remove_private_in_time(&self) {
        if let Some(private) = self.private().take() {
            let _ = within(REMOVAL_PATIENCE * 2, move || private.remove());
        }
    }

    fn private(&self) -> MutexGuard<'_, Option<Arc<PrivateFile>>> {
        self.private.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files as they are now, opened by their paths: a writer may have renamed another file over them. A named file
    /// that is not there is a problem; a private one was not used.
    #[must_use]
    pub fn read(&self, options: ReadOptions) -> TextfileContents {
        let mut reader = Reader::new(options);
        let private = self.private().clone();
        if let Some(private) = private {
            private.read(&mut reader);
        }
        for path in &self.named {
            reader.named(path);
        }
        reader.finish()
    }
}

/// The first path that is neither a directory nor a pattern. A file system that does not answer is not waited for: then the form
/// of the path decides.
fn first_file(paths: &[PathBuf]) -> Option<PathBuf> {
    let looked = paths.to_vec();
    let found =
        within(LOOKUP_PATIENCE, move || looked.iter().find(|path| !path.is_dir() && !is_pattern(path)).cloned());
    let looks_like_a_file =
        |path: &&PathBuf| !has_wildcard(path) && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
    found.unwrap_or_else(|| paths.iter().find(looks_like_a_file).cloned())
}

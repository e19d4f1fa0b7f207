//! Paths from options: where links lead, what is wrong with one.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

/// An unfinished file older than this was left by a process that was killed.
const ABANDONED: Duration = Duration::from_hours(1);
/// How many links the kernel follows (`path_resolution(7)`).
const MOST_LINKS: usize = 40;
/// A directory in which everybody may make files and only their owners may remove them, as `/tmp` is.
const SHARED: u32 = 0o1002;

/// The file that a symbolic link leads to, whether it is there or not: a rename over the link would replace the link.
///
/// # Errors
/// The link is one that the kernel would not follow either (`protected_symlinks`, proc(5)): a stranger's in a shared directory.
pub fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        let directory = directory_of(&path);
        let (link, around) = (fs::symlink_metadata(&path)?, fs::metadata(directory)?);
        let is_shared = around.permissions().mode() & SHARED == SHARED;
        if is_shared && link.uid() != geteuid().as_raw() && link.uid() != around.uid() {
            let why = format!("'{}' is a symbolic link of user {} in a shared directory", path.display(), link.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        path = directory.join(target);
    }
    Ok(fs::canonicalize(&path).unwrap_or(path))
}

/// The directory that a path lies in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An error of the system in its own wording, as messages have it: in lower case and without its number.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// What is wrong with a path that something is to be made at: the missing directory where one is missing, the file where a
/// directory should be.
#[must_use]
pub fn reason_at(path: &Path, error: &io::Error) -> String {
    let above = || path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let is_missing = |above: &&Path| fs::metadata(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let is_in_the_way = |above: &&Path| fs::metadata(above).is_ok_and(|metadata| !metadata.is_dir());
    let found = match error.kind() {
        io::ErrorKind::NotFound => {
            above().filter(is_missing).last().map(|missing| format!("there is no directory '{}'", missing.display()))
        }
        io::ErrorKind::NotADirectory => {
            above().find(is_in_the_way).map(|file| format!("'{}' is not a directory", file.display()))
        }
        _ => None,
    };
    found.unwrap_or_else(|| reason(error))
}

/// Whether a file has not been touched for long: an unfinished one was then left by a process that was killed.
#[must_use]
pub fn is_abandoned(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > ABANDONED)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use super::{follow_links, reason_at};

    #[test]
    fn a_link_leads_to_its_file_whether_that_is_there_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        symlink("second", root.join("first")).unwrap();
        symlink(root.join("file"), root.join("second")).unwrap();
        assert_eq!(follow_links(&root.join("first")).unwrap(), root.join("file"));
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(follow_links(&root.join("first")).unwrap(), root.join("file"));
        assert_eq!(follow_links(Path::new("nowhere")).unwrap(), PathBuf::from("nowhere"));
        symlink("round", root.join("round")).unwrap();
        assert!(fs::metadata(follow_links(&root.join("round")).unwrap()).is_err());
    }

    #[test]
    fn the_missing_directory_is_named_and_the_file_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let message = |path: &Path| reason_at(path, &fs::write(path, "").unwrap_err());
        let missing = directory.path().join("a");
        assert_eq!(message(&missing.join("b/c")), format!("there is no directory '{}'", missing.display()));
        assert_eq!(message(&file.join("b/c")), format!("'{}' is not a directory", file.display()));
        assert_eq!(reason_at(&file, &io::Error::from_raw_os_error(libc::ENOSPC)), "no space left on device");
    }
}

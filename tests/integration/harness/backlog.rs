//! A state directory that others have used: what lies in it, and pushes that wait there as if other jobs had left them.

use std::fs;
use std::path::{Path, PathBuf};

use super::pushwrap::Pushwrap;

/// The files below a state directory with this ending.
pub(crate) fn files(state: &Path, ending: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(state, &mut files);
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// The pushes that wait in a state directory.
pub(crate) fn waiting(state: &Path) -> Vec<PathBuf> {
    files(state, ".push")
}

/// Pushes of so many other jobs that wait for this gateway.
pub(crate) fn leave_backlog(state: &Path, url: &str, jobs: usize) {
    let call = Pushwrap::new().args(["--url", url, "--job", "other", "--instance", "none", "--state-dir"]).arg(state);
    call.env("PUSHWRAP_PUSH_TIMEOUT", "1").run(["true"]).exit(0);
    let [push] = waiting(state).try_into().unwrap();
    let queue = push.parent().unwrap().file_name().unwrap().to_owned();
    let noted = state.join("waiting").join(&queue);
    for job in 0..jobs {
        let group = digest(format!("/metrics/job/job{job}").as_bytes());
        let directory = state.join(&group).join(&queue);
        fs::create_dir_all(&directory).unwrap();
        let bytes = rewrite(&push, |text| text.replace("label job=other\n", &format!("label job=job{job}\n")));
        fs::write(directory.join("0000000001.push"), bytes).unwrap();
        fs::write(noted.join(group), "").unwrap();
    }
}

/// FNV-1a with 128 bits (draft-eastlake-fnv), which names directories and sums up files in a state directory.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in bytes {
        hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// Changes a push that waits as if it had been stored so.
pub(crate) fn rewrite(push: &Path, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let text = fs::read_to_string(push).unwrap();
    let content = change(text[..text.len() - 33].to_owned());
    let sum = digest(content.as_bytes());
    format!("{content}{sum}\n").into_bytes()
}

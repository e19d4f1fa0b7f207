//! `--output`: the report as a file for node_exporter's textfile collector, or on standard error. A reader finds the old file or
//! the new one, never a part of either, unless the file cannot be replaced; what a gateway would have kept from earlier runs is
//! kept here too.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::console::write_metrics;
use crate::exposition::{Context, Family, Source, encode, encode_with_labels, read};
use crate::files::{
    Durability, NewMode, Ownership, Replacement, TemporaryName, Written, directory_of, follow_links, is_abandoned,
    reason_at,
};
use crate::grouping::GroupingKey;
use crate::http::error::{Failure, Fault};
use crate::sink::delivered::Delivered;
use crate::sink::merge::surviving;
use crate::sink::push::{Push, PushKind};

/// The mode of a new file, whatever the umask: node_exporter is another user.
const MODE: u32 = 0o644;
/// More is not read of the file that is replaced.
const LARGEST_BYTES: u64 = 64 << 20;
/// node_exporter reads what ends in `.prom` (its collector/textfile.go); unfinished files must not.
const UNFINISHED: (&str, &str) = (".pushwrap-", ".tmp");

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSink {
    /// Standard error; final reports only.
    Stderr,
    /// A file.
    File(PathBuf),
}

impl FileSink {
    /// The value of `--output`, where `-` is standard error.
    #[must_use]
    pub fn named(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stderr } else { Self::File(path) }
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stderr => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Writes a report, with the labels of the group on every sample.
    pub(crate) fn deliver(&self, push: &Push, kind: PushKind) -> Result<Delivered, Failure> {
        let written = match self {
            Self::Stderr => {
                if kind == PushKind::Final {
                    write_metrics(&encode_with_labels(push.families(), push.key.labels()));
                }
                Ok(Written::Replaced)
            }
            Self::File(path) => follow_links(path)
                .and_then(|path| content(&path, push, kind).and_then(|content| replace(&path, &content))),
        };
        let done = |written: Written| Delivered { tries: 1, details: self.details(written), ..Delivered::default() };
        written.map(done).map_err(|error| {
            let fault = Fault::Setup(reason_at(Path::new(&self.name()), &error));
            Failure { fault, tries: 1, intent: "write", gateway: self.name(), remedy: None }
        })
    }

    fn details(&self, written: Written) -> Vec<String> {
        let in_place = || format!("'{}' cannot be replaced: it is written in place", self.name());
        (written == Written::InPlace).then(in_place).into_iter().collect()
    }
}

/// The report, and what stays of the old file: while the command runs everything that the report does not replace, as at
/// a gateway after a POST; of a final report what lasts.
fn content(path: &Path, push: &Push, kind: PushKind) -> io::Result<Vec<u8>> {
    let old_sources = [Source::new("the old file", previous(path)?)];
    let old = read(&old_sources, &Context::default()).families;
    let stays = |family: &&Family<'_>| {
        let lasts = kind != PushKind::Final
            || push.tells_of_skip_alone()
            || push.carried_over.iter().any(|name| name == family.name());
        lasts && is_of_group(family, &push.key)
    };
    let mut content = encode_with_labels(push.families(), push.key.labels());
    content.extend(encode(surviving(&old, push.families()).filter(stays)));
    Ok(content)
}

/// The value of a group's only sample of a family in the file.
pub(crate) fn value_in(path: &Path, key: &GroupingKey, name: &str) -> Option<f64> {
    let sources = [Source::new("the old file", previous(path).ok()?)];
    let families = read(&sources, &Context::default()).families;
    let family = families.iter().find(|family| family.name() == name && is_of_group(family, key))?;
    family.samples().first()?.value().parse().ok()
}

fn is_of_group(family: &Family<'_>, key: &GroupingKey) -> bool {
    family.samples().iter().all(|sample| {
        let has = |(name, value): &(String, String)| {
            sample.labels().any(|(other, other_value)| other == name && other_value == value.as_str())
        };
        key.labels().iter().all(has)
    })
}

/// What is in the file that will be replaced; nothing where there is none.
fn previous(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) if file.metadata()?.is_file() => {
            file.take(LARGEST_BYTES).read_to_end(&mut content)?;
        }
        Ok(_) => {}
        // One that cannot be read can still be replaced.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
        Err(error) => return Err(error),
    }
    Ok(content)
}

/// Replaces a file, or makes it: whole or not at all. One that can be written but not replaced is written in place. A full disk
/// of a server says so before the old file is gone.
fn replace(path: &Path, content: &[u8]) -> io::Result<Written> {
    clear_abandoned(directory_of(path));
    let replacement = Replacement {
        temporary: TemporaryName::Random(UNFINISHED.0.as_ref(), UNFINISHED.1),
        mode: NewMode::Exactly(MODE),
        ownership: Ownership::Preferred,
        durability: Durability::Synced,
    };
    replacement.write(path, content)
}

/// Removes what a killed pushwrap left beside the file.
fn clear_abandoned(directory: &Path) {
    let (prefix, suffix) = UNFINISHED;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && name.ends_with(suffix) && entry.metadata().is_ok_and(|file| is_abandoned(&file))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::FileSink;
    use crate::exposition::{Context, OwnedFamilies, Source};
    use crate::grouping::GroupingKey;
    use crate::sink::push::{Method, Push, PushKind};

    fn push(job: &str, body: &str) -> Push {
        let (command, _) = OwnedFamilies::read(vec![Source::new("f", body.as_bytes().to_vec())], &Context::default());
        let key = GroupingKey::new(job, []).unwrap();
        Push { method: Method::Add, key, own: OwnedFamilies::default(), command, carried_over: vec!["last".to_owned()] }
    }

    const FIRST: &str = "# TYPE last gauge\nlast 5\n# TYPE x gauge\nx{l=\"1\"} 1\n# TYPE w histogram\nw_bucket{le=\"+Inf\"} 1\nw_sum 1\nw_count 1\n";

    #[test]
    fn a_final_report_keeps_what_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let output = FileSink::File(directory.path().join("m.prom"));
        let text = || fs::read_to_string(directory.path().join("m.prom")).unwrap();
        output.deliver(&push("a", FIRST), PushKind::Final).unwrap();
        assert!(text().contains("x{l=\"1\",job=\"a\"} 1\n") && text().contains("last{job=\"a\"} 5\n"), "{}", text());
        output.deliver(&push("a", "# TYPE y gauge\ny 1\n"), PushKind::Final).unwrap();
        assert_eq!(text(), "# TYPE y gauge\ny{job=\"a\"} 1\n# TYPE last gauge\nlast{job=\"a\"} 5\n");
        output.deliver(&push("b", "# TYPE y gauge\ny 1\n"), PushKind::Final).unwrap();
        assert_eq!(text(), "# TYPE y gauge\ny{job=\"b\"} 1\n", "another group's last success is not this one's");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_running_report_keeps_everything_that_it_does_not_replace_or_collide_with() {
        let directory = tempfile::tempdir().unwrap();
        let output = FileSink::File(directory.path().join("m.prom"));
        output.deliver(&push("a", FIRST), PushKind::Final).unwrap();
        let text = |body: &str| {
            output.deliver(&push("a", body), PushKind::Heartbeat).unwrap();
            fs::read_to_string(directory.path().join("m.prom")).unwrap()
        };
        let last = "# TYPE last gauge\nlast{job=\"a\"} 5\n";
        let gauges = "# TYPE x gauge\nx{job=\"a\"} 2\n# TYPE w_count gauge\nw_count{job=\"a\"} 3\n";
        assert_eq!(text("# TYPE x gauge\nx 2\n# TYPE w_count gauge\nw_count 3\n"), format!("{gauges}{last}"));
        let summary = "# TYPE w summary\nw_sum{job=\"a\"} 1\nw_count{job=\"a\"} 1\n";
        let x = "# TYPE x gauge\nx{job=\"a\"} 2\n";
        assert_eq!(text("# TYPE w summary\nw_sum 1\nw_count 1\n"), format!("{summary}{x}{last}"));
    }
}

//! Tests with real files of every odd kind.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{DEFAULT_LIMIT, PrivateFile, ReadOptions, Textfile, TextfileContents, WriterState};
use crate::exposition::{Context, read};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn options(max_bytes: u64, writer: WriterState) -> ReadOptions {
    ReadOptions { max_bytes, memory_bytes: || None, writer, started: Some(SystemTime::UNIX_EPOCH) }
}

fn named(paths: &[&Path], max_bytes: u64, writer: WriterState) -> TextfileContents {
    Textfile::named(paths.iter().map(|path| path.to_path_buf()).collect()).read(options(max_bytes, writer))
}

fn collect(paths: &[&Path]) -> TextfileContents {
    named(paths, DEFAULT_LIMIT, WriterState::Finished)
}

/// The samples of what was found, as names and values, and the reasons of what was not.
fn summary(found: &TextfileContents) -> (Vec<String>, Vec<String>) {
    let reading = read(&found.sources, &Context::default());
    let samples = reading
        .families
        .iter()
        .flat_map(|family| family.samples().iter().map(|sample| format!("{} {}", family.name(), sample.value())));
    let problems = found.problems.iter().chain(&reading.diagnostics);
    (samples.collect(), problems.map(|problem| problem.reason.clone()).collect())
}

fn assert_refused(path: &Path, reason: &str) {
    let (samples, problems) = summary(&collect(&[path]));
    assert!(samples.is_empty(), "{samples:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(reason), "{problems:?}");
}

#[test]
fn files_directories_and_patterns_are_read_once() {
    let root = directory();
    let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    write("a.prom", "a 1\n");
    write("b.prom", "b 2\n");
    write(".hidden.prom", "h 3\n");
    write("c.prom.tmp", "c 4\n");
    fs::create_dir(root.path().join("below")).unwrap();
    write("below/d.prom", "d 5\n");
    let found = collect(&[root.path(), &root.path().join("*.prom"), &root.path().join("a.prom")]);
    let (samples, problems) = summary(&found);
    assert_eq!(samples, ["h 3", "a 1", "b 2"]);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(summary(&collect(&[&root.path().join("[cd]*")])).0, ["c 4"]);
    assert_eq!(summary(&collect(&[&root.path().join("be*")])).0, ["d 5"]);
}

#[test]
fn a_name_with_wildcards_that_exists_is_a_name() {
    let root = directory();
    let odd = root.path().join("a[b].prom");
    fs::write(&odd, "a 1\n").unwrap();
    assert_eq!(summary(&collect(&[&odd])).0, ["a 1"]);
    assert_eq!(Textfile::named(vec![root.path().join("*"), odd.clone()]).path(), Some(odd.as_path()));
}

#[test]
fn what_is_not_there_is_one_problem() {
    let root = directory();
    assert_refused(&root.path().join("x.prom"), "there is no such file");
    assert_refused(&root.path().join("*.prom"), "no file has such a name");
    assert_refused(&root.path().join("[.prom"), "no pattern");
    let dangling = root.path().join("dangling.prom");
    std::os::unix::fs::symlink("/nowhere", &dangling).unwrap();
    assert_refused(&dangling, "there is no such file");
    assert_refused(root.path(), "there is no such file");
}

#[test]
fn what_is_no_file_is_never_waited_for() {
    let root = directory();
    let fifo = root.path().join("fifo.prom");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_refused(&fifo, "a FIFO");
    let socket = root.path().join("socket.prom");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_refused(&socket, "a socket");
    assert_refused(Path::new("/dev/zero"), "a device");
    let inner = root.path().join("directory.prom");
    fs::create_dir(&inner).unwrap();
    let (_, problems) = summary(&collect(&[root.path()]));
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("a directory")), "{problems:?}");
}

#[test]
fn a_file_that_may_not_be_read_is_one_problem() {
    let root = directory();
    let path = root.path().join("secret.prom");
    fs::write(&path, "a 1\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        // Root reads everything; the kernel's own write-only file is closed to root too.
        return assert_refused(Path::new("/proc/self/clear_refs"), "cannot read it");
    }
    assert_refused(&path, "cannot read it: permission denied");
}

#[test]
fn a_sparse_terabyte_is_refused_without_reading_it() {
    let root = directory();
    let path = root.path().join("sparse.prom");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_refused(&path, "too large: at most 8 MiB");
}

#[test]
fn the_limit_is_one_for_all_files() {
    let root = directory();
    fs::write(root.path().join("a.prom"), "a 1\n").unwrap();
    fs::write(root.path().join("b.prom"), "b 22\n").unwrap();
    fs::write(root.path().join("c.prom"), "c 3\n").unwrap();
    let found = named(&[root.path()], 8, WriterState::Finished);
    let (samples, problems) = summary(&found);
    assert_eq!(samples, ["a 1", "c 3"]);
    assert_eq!(problems, ["too large: at most 8 bytes are read of all metrics files together"]);
}

#[test]
fn the_kernels_files_have_no_size_but_an_end() {
    let found = collect(&[Path::new("/proc/self/status")]);
    assert_eq!(found.sources.len(), 1);
    let endless = named(&[Path::new("/proc/self/status")], 16, WriterState::Finished);
    assert_eq!(endless.problems.len(), 1, "a file that gives more than its size says is too large");
}

#[test]
fn a_file_without_text_is_no_problem() {
    let root = directory();
    let path = root.path().join("empty.prom");
    File::create(&path).unwrap();
    assert_eq!(summary(&collect(&[&path])), (vec![], vec![]));
}

#[test]
fn the_null_device_is_an_empty_file() {
    let found = collect(&[Path::new("/dev/null")]);
    assert_eq!(summary(&found), (vec![], vec![]));
    assert_eq!(found.sources.len(), 1);
}

#[test]
fn memory_that_is_short_leaves_files_out() {
    let root = directory();
    fs::write(root.path().join("a.prom"), "a 1\n".repeat(100)).unwrap();
    fs::write(root.path().join("b.prom"), "b 1\n").unwrap();
    let textfile = Textfile::named(vec![root.path().to_owned()]);
    let with = |writer| ReadOptions { memory_bytes: || Some(8192), ..options(DEFAULT_LIMIT, writer) };
    let (samples, problems) = summary(&textfile.read(with(WriterState::Finished)));
    assert_eq!(samples, ["b 1"]);
    assert_eq!(problems, ["too large: the memory limit leaves no room for it; nothing is read of it"]);
    // The last report says it.
    assert_eq!(summary(&textfile.read(with(WriterState::Running))), (vec!["b 1".to_owned()], vec![]));
}

#[test]
fn a_file_that_was_written_before_the_run_is_named() {
    let root = directory();
    let write = |name: &str, age: u64| {
        let file = File::create(root.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    let warning = || {
        let started = SystemTime::now();
        let options = ReadOptions { started: Some(started), ..options(DEFAULT_LIMIT, WriterState::Finished) };
        let found = Textfile::named(vec![root.path().to_owned()]).read(options);
        (found.stale_warning(started), started.duration_since(found.oldest_written.unwrap()).unwrap().as_secs())
    };
    write("new.prom", 0);
    assert_eq!(warning(), (None, 0));
    write("old.prom", 86_400);
    let (said, age) = warning();
    assert!(said.unwrap().contains("/old.prom' was last written 1day before this run: its metrics are not this run's"));
    assert_eq!(age, 86_400);
    write("older.prom", 2 * 86_400);
    assert!(warning().0.unwrap().starts_with("2 metrics files were last written before this run, '"));
}

#[test]
fn every_file_of_the_private_directory_is_read_after_the_first() {
    let root = directory();
    let private = PrivateFile::create(Some(root.path().as_os_str().to_owned())).unwrap();
    let below = private.path().parent().unwrap().to_owned();
    let textfile = Textfile::named(Vec::new()).with_private(private);
    let read = || textfile.read(options(DEFAULT_LIMIT, WriterState::Finished));
    assert_eq!(read().oldest_written, None, "nothing was written");
    fs::write(textfile.path().unwrap(), "m 1\n").unwrap();
    for (name, text) in [("b.prom", "b 1\n"), ("a.prom", "a 1\n"), ("c.tmp", "c 1\n")] {
        fs::write(below.join(name), text).unwrap();
    }
    let found = read();
    assert_eq!(summary(&found).0, ["m 1", "a 1", "b 1"]);
    assert_eq!(found.sources[1].name(), "${PUSHWRAP_TEXTFILE%/*}/a.prom");
    fs::remove_dir_all(&below).unwrap();
    let (samples, problems) = summary(&read());
    assert!(samples.is_empty() && problems.len() == 1, "{problems:?}");
    assert!(problems[0].contains("is gone, something has removed it: --textfile names"), "{problems:?}");
    // Another one in its place is not ours.
    fs::create_dir(&below).unwrap();
    fs::write(below.join("metrics.prom"), "evil 1\n").unwrap();
    assert_eq!(summary(&read()).1, problems);
}

#[test]
fn a_killed_writer_leaves_half_a_line() {
    let root = directory();
    let path = root.path().join("a.prom");
    fs::write(&path, "a 1\nb 12").unwrap();
    let found = named(&[&path], DEFAULT_LIMIT, WriterState::Killed);
    let (samples, problems) = summary(&found);
    assert_eq!(samples, ["a 1"]);
    assert_eq!(problems.len(), 1);
}

#[test]
fn the_private_file_is_private_and_goes_away() {
    let root = directory();
    let private = PrivateFile::create(Some(root.path().as_os_str().to_owned())).unwrap();
    let path = private.path().to_owned();
    let directory = path.parent().unwrap().to_owned();
    assert!(path.starts_with(root.path()), "{}", path.display());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700);
    let textfile = Textfile::named(Vec::new()).with_private(private);
    let read = || textfile.read(options(DEFAULT_LIMIT, WriterState::Finished));
    assert_eq!(textfile.path(), Some(path.as_path()));
    assert_eq!(summary(&read()), (vec![], vec![]));
    // As a library writes it: beside the file, then renamed over it.
    let other = directory.join("new");
    File::create(&other).unwrap().write_all(b"a 1\n").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(summary(&read()).0, ["a 1"]);
    fs::remove_file(&path).unwrap();
    assert_eq!(summary(&read()), (vec![], vec![]));
    drop(textfile);
    assert!(!directory.exists());
}

#[test]
fn the_private_file_finds_a_place_or_says_why_not() {
    let places = |places: &[&str]| PrivateFile::create_below(places.iter().map(Path::new), Vec::new());
    let private = places(&["/nowhere", "/dev/null", "/tmp"]).unwrap();
    assert!(private.path().starts_with("/tmp"));
    let reason = places(&["/nowhere", "/dev/null"]).unwrap_err();
    assert_eq!(
        reason,
        "cannot create a file for metrics: '/nowhere': no such file or directory, '/dev/null': not a directory; set \
         TMPDIR to a writable directory"
    );
}

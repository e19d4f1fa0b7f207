//! A file system that hangs: FUSE whose server takes requests and answers none. Mounting it needs root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::engine::need_root;
use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, InTime, Reply};

/// How long the end of the command may be delayed: ten seconds for metrics that hang, and what a busy machine needs.
const DELAY: Duration = Duration::from_secs(40);

/// A mounted file system on which every access waits for ever. Dropping it ends the waits.
struct HangingMount {
    path: PathBuf,
    server: Child,
    _above: tempfile::TempDir,
}

impl HangingMount {
    fn new() -> Self {
        need_root("mounting file systems");
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("hanging");
        fs::create_dir(&path).unwrap();
        // The shell is the server: it holds the descriptor and reads no request from it.
        let script = "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hanging \"$0\" && \
                      echo mounted && exec cat >&2";
        let mut server = Command::new("sh");
        server.args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "FUSE cannot be mounted: load the kernel module fuse");
        Self { path, server, _above: above }
    }

    fn file(&self) -> PathBuf {
        self.path.join("file")
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        // Without its server the kernel fails what waits.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Runs `pushwrap OPTIONS -- sh -c SCRIPT`, which must start its command, end in time and end as the command does.
fn run(options: &[String], variables: &[(&str, &Path)], script: &str) {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("started");
    let mut call = Command::new(binary());
    call.current_dir(directory.path()).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    call.envs(variables.iter().copied()).args(options).args(["--instance", "none", "--"]);
    call.args(["sh", "-c", &format!(": >{}; {script}; exit 7", marker.display())]);
    let began = Instant::now();
    let out = call.output_in_time();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(7), "{options:?} {variables:?}: {said}");
    assert!(marker.exists(), "{options:?} {variables:?}: the command was not started: {said}");
    assert!(began.elapsed() < DELAY, "{options:?} {variables:?} took {:?}: {said}", began.elapsed());
}

#[test]
fn neither_start_nor_end_of_the_command_waits_for_a_file_system_that_hangs() {
    let mount = HangingMount::new();
    let gateway = FakeGateway::start([Reply::ok()]);
    let (file, url) = (mount.file(), gateway.url());
    let file = file.to_str().unwrap();
    let to_gateway = ["--url", &url, "--job", "j", "--push-timeout", "2s"];
    let with = |more: &[&'static str], value: &str| -> Vec<String> {
        to_gateway.iter().chain(more).map(|word| word.replace("FILE", value)).collect()
    };
    let cases: [Vec<String>; 7] = [
        vec!["--url".into(), "none".into(), "--textfile".into(), file.into()],
        vec!["--textfile".into(), file.into()],
        vec!["-n".into(), "--url".into(), url.clone(), "--textfile".into(), file.into()],
        with(&["--textfile", "FILE"], file),
        with(&["--env-file", "FILE"], file),
        with(&["--output", "FILE"], file),
        with(&["--state-dir", "FILE"], mount.path.to_str().unwrap()),
    ];
    let own_file_leads_there = "rm \"$PUSHWRAP_TEXTFILE\"; ln -s \"$HANGING\" \"$PUSHWRAP_TEXTFILE\"";
    let arguments = |options: &[&str]| -> Vec<String> { options.iter().map(|word| (*word).to_owned()).collect() };
    let own_file =
        [arguments(&["--url", "none"]), arguments(&[]), arguments(&["-n", "--url", &url]), arguments(&to_gateway)];
    let named = cases.into_iter().map(|options| (options, "true"));
    let own_file = own_file.into_iter().map(|options| (options, own_file_leads_there));
    let hanging = [("HANGING", Path::new(file))];
    thread::scope(|scope| {
        for (options, script) in named.chain(own_file) {
            scope.spawn(move || run(&options, &hanging, script));
        }
        let wrong = [("PUSHWRAP_PUSH_TIMEOUT", Path::new("nonsense"))];
        let options = arguments(&["--url", &url, "--textfile", file]);
        scope.spawn(move || run(&options, &wrong, "true"));
        let (options, directory) = (arguments(&to_gateway), [("TMPDIR", mount.path.as_path())]);
        scope.spawn(move || run(&options, &directory, "true"));
    });
}

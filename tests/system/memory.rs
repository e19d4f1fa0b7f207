//! Metrics files in a control group that leaves pushwrap eight MiB beside its command: none of them changes how the command ends.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::engine::{need_program, need_root};
use super::harness::pushwrap::binary;

/// What pushwrap may use beside the command, in bytes.
const ROOM: u64 = 8 << 20;

/// A memory control group, removed when this is dropped.
struct Cgroup {
    directory: PathBuf,
    limit: &'static str,
    peak: &'static str,
}

impl Cgroup {
    fn new() -> Self {
        need_root("making control groups");
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit, peak) = if v1.is_dir() {
            (v1, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max", "memory.peak")
        };
        let directory = root.join(format!("pushwrap-test-{}", std::process::id()));
        fs::create_dir(&directory).expect("a writable memory control group");
        Self { directory, limit, peak }
    }

    /// Runs a command in it.
    fn run(&self, command: &[&Path]) -> ExitStatus {
        let script = "echo $$ >\"$0/cgroup.procs\"; exec \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(&self.directory).args(command).env("PUSHWRAP_STATE_DIR", "none");
        shell.status().unwrap()
    }

    fn peak(&self) -> u64 {
        fs::read_to_string(self.directory.join(self.peak)).unwrap().trim().parse().unwrap()
    }

    fn limit(&self, bytes: u64) {
        fs::write(self.directory.join(self.limit), bytes.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

#[test]
fn no_metrics_file_of_any_size_changes_the_commands_end() {
    let python = need_program("python3", "python3");
    let directory = tempfile::tempdir().unwrap();
    let job = directory.path().join("job.py");
    // It grows when the first heartbeat has been made, and ends with a status of its own.
    fs::write(&job, "import time\na = bytearray(40 << 20)\ntime.sleep(5.7)\nb = bytearray(20 << 20)\nexit(7)\n")
        .unwrap();
    let cgroup = Cgroup::new();
    assert_eq!(cgroup.run(&[Path::new(&python), &job]).code(), Some(7));
    cgroup.limit(cgroup.peak() + ROOM);
    // Each line is a family, or a comment, or all are one family: what costs most and least of memory.
    let forms: [fn(usize) -> String; 3] = [
        |number| format!("m{number:x} 1\n"),
        |number| format!("# TYPE m{number:x} gauge\n"),
        |number| format!("http_requests_total{{code=\"{number}\",path=\"/api/v1/x\"}} {number}\n"),
    ];
    for (form, line) in forms.iter().enumerate() {
        for size in [400_000, 8 << 20] {
            let mut text = String::new();
            (0..)
                .take_while(|number| {
                    text.write_str(&line(*number)).unwrap();
                    text.len() < size
                })
                .for_each(drop);
            let file = directory.path().join("m.prom");
            fs::write(&file, text).unwrap();
            let arguments = "-q --url http://127.0.0.1:1 --job j --push-timeout 2s --textfile-max 64MiB --textfile";
            let mut command = vec![binary()];
            command.extend(arguments.split(' ').map(PathBuf::from));
            command.extend([file, "--".into(), PathBuf::from(&python), job.clone()]);
            let command: Vec<&Path> = command.iter().map(PathBuf::as_path).collect();
            assert_eq!(cgroup.run(&command).code(), Some(7), "form {form}, {size} bytes");
        }
    }
}

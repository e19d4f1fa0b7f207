//! The grouping key on a host that no file of a container engine marks: in a root directory with nothing but the binary.

use std::fs;
use std::process::{Command, Stdio};

use super::engine::{need_program, need_root};
use super::harness::pushwrap::binary;

/// Given a permanent host, when a scheduler or a platform that chooses another host in every run starts pushwrap there, then the
/// key has no host, which it has otherwise.
#[test]
fn a_host_that_changes_with_every_run_is_not_in_the_key() {
    need_root("another root directory and host name");
    let root = tempfile::tempdir().unwrap();
    let script =
        "cp --parents $(ldd \"$1\" 2>/dev/null | grep -o '/[^ ]*') \"$2\"; cp \"$1\" \"$2/pushwrap\"; mkdir \"$2/tmp\"";
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(binary())
        .arg(root.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(fs::exists(root.path().join("pushwrap")).unwrap());
    let pushed_to = |variable: &str| {
        let mut call = Command::new(need_program("unshare", "util-linux"));
        call.args(["--uts", "sh", "-ec", "hostname db1; exec env -i \"$@\"", "sh", variable]);
        call.arg(need_program("chroot", "coreutils")).arg(root.path()).args(["/pushwrap", "--job", "j", "-n"]);
        call.args(["--url", "http://127.0.0.1:1", "--", "/pushwrap", "--version"]);
        let out = call.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        said.lines().find(|line| line.starts_with("POST ")).map_or(said.clone(), str::to_owned)
    };
    for variable in ["NOTHING=1", "CI=false"] {
        assert_eq!(pushed_to(variable), "POST /metrics/job/j/instance/db1 HTTP/1.1", "{variable}");
    }
    for variable in [
        "BUILDKITE=true",
        "CODEBUILD_BUILD_ID=p:1",
        "BITBUCKET_BUILD_NUMBER=7",
        "CIRCLECI=true",
        "DRONE=true",
        "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/x",
        "AWS_BATCH_JOB_ID=a",
        "AWS_LAMBDA_FUNCTION_NAME=f",
        "CLOUD_RUN_JOB=j",
        "NOMAD_ALLOC_ID=a",
        "SLURM_JOB_ID=1",
        "PBS_JOBID=1.host",
        "LSB_JOBID=1",
        "SGE_TASK_ID=undefined",
    ] {
        assert_eq!(pushed_to(variable), "POST /metrics/job/j HTTP/1.1", "{variable}");
    }
}

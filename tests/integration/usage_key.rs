//! Where the grouping key comes from what surrounds a run: hosts, namespaces, launchers, and a run inside a run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::harness::{FakeGateway, Pushwrap, Reply};

/// The path that a run with these variables is pushed to.
fn path_with(variables: &[(&str, &str)]) -> String {
    let gateway = FakeGateway::start([Reply::ok()]);
    let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j", "-l", "namespace="]);
    variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run(["true"]).exit(0).stderr("");
    let line = gateway.requests()[0].line();
    line.split(' ').nth(1).unwrap().to_owned()
}

/// Given a scheduler or a platform that chooses another host in every run, when a command is run, then no host is in its key.
/// In a container there is none anyway: the system test of the same name begins with a host that is in the key.
#[test]
fn a_host_that_changes_with_every_run_is_not_in_the_key() {
    for (name, value) in [
        ("BUILDKITE", "true"),
        ("CODEBUILD_BUILD_ID", "p:1"),
        ("BITBUCKET_BUILD_NUMBER", "7"),
        ("CIRCLECI", "true"),
        ("DRONE", "true"),
        ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x"),
        ("AWS_BATCH_JOB_ID", "a"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("CLOUD_RUN_JOB", "j"),
        ("NOMAD_ALLOC_ID", "a"),
        ("SLURM_JOB_ID", "1"),
        ("PBS_JOBID", "1.host"),
        ("LSB_JOBID", "1"),
        ("SGE_TASK_ID", "undefined"),
    ] {
        assert_eq!(path_with(&[(name, value)]), "/metrics/job/j", "{name}");
    }
}

/// Given a pod whose service account is not mounted, when a command is run there, then it is said once that the key has no
/// namespace, and how it gets one; but not where the label was given, be it empty.
#[test]
fn a_namespace_that_nobody_tells_is_said() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let call =
        || Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let run = call().run(["true"]).exit(0);
    assert_eq!(run.stderr.matches("the grouping key has no namespace").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("fieldRef: {fieldPath: metadata.namespace}"), "{}", run.stderr);
    call().env("PUSHWRAP_LABEL", "namespace=batch").run(["true"]).exit(0).stderr("");
    call().args(["-l", "namespace="]).run(["true"]).exit(0).stderr("");
    call().args(["--url", "none"]).run(["true"]).exit(125).stderr_has("--url none stands alone");
    Pushwrap::new().arg("--url=none").env("KUBERNETES_SERVICE_HOST", "10.0.0.1").run(["true"]).exit(0).stderr("");
}

/// Given a command that runs others, when it is run without a name, then it is said that such jobs share a group.
#[test]
fn a_job_named_after_a_launcher_is_said() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let directory = tempfile::tempdir().unwrap();
    for name in ["podman", "chpst", "uv", "poetry", "psql", "make", "gradlew", "dotnet", "npm", "tini"] {
        let path = directory.path().join(name);
        std::os::unix::fs::symlink("/bin/true", &path).unwrap();
        let run = Pushwrap::new().args(["--url", &gateway.url()]).run([&path]).exit(0);
        run.stderr(&format!(
            "pushwrap: the job is named '{name}', as every other job that {name} runs; name it with --job\n"
        ));
    }
}

/// Given a run inside a run, when its job comes from where the outer one's came from, then one sentence asks for a name; and
/// the message for a gateway's 401 adds that credentials are not handed to commands.
#[test]
fn a_run_inside_a_run_is_asked_for_a_name() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let call = || Pushwrap::new().args(["--url", &gateway.url()]).env("PUSHWRAP_TEXTFILE", "/outer/metrics.prom");
    let asks = |source: &str| {
        format!(
            "pushwrap: this is a run inside a run, and its job is that of the outer one, from {source}: name it with --job\n"
        )
    };
    call().env("PUSHWRAP_JOB", "j").run(["true"]).exit(0).stderr(&asks("PUSHWRAP_JOB"));
    let inside = call();
    let file = inside.directory().join("env");
    fs::write(&file, "PUSHWRAP_JOB=j\n").unwrap();
    let source = format!("PUSHWRAP_JOB ({}:1)", file.display());
    inside.arg("--env-file").arg(&file).run(["true"]).exit(0).stderr(&asks(&source));
    call().env("PUSHWRAP_JOB", "j").args(["--job", "step"]).run(["true"]).exit(0).stderr("");
    call().run(["true"]).exit(0).stderr("");
    let outside = Pushwrap::new().args(["--url", &gateway.url()]).env("PUSHWRAP_JOB", "j");
    outside.run(["true"]).exit(0).stderr("");
    let closed = FakeGateway::start([Reply::status("401 Unauthorized", "")]);
    let call = || Pushwrap::new().args(["--url", &closed.url(), "--job", "j"]);
    call().run(["true"]).exit(0).stderr_has("--token-file").stderr_lacks("run inside a run");
    let inside = call().env("PUSHWRAP_TEXTFILE", "/outer/metrics.prom").run(["true"]).exit(0);
    inside.stderr_has("credentials are not handed to commands, but files and the env file serve both");
}

/// Given a command that only a shell can run, when it is run, then the remedy is said beside the error.
#[test]
fn a_command_that_only_a_shell_would_understand_gets_a_hint() {
    let said = |command: &[&str]| Pushwrap::new().args(["--url", "none"]).run(command).exit(127).stderr;
    assert_eq!(
        said(&["tar czf x y"]),
        "pushwrap: cannot run 'tar czf x y': command not found in PATH; take the quotes away, or use sh -c\n"
    );
    let env = "command not found in PATH; variables are set by env: -- env NAME=VALUE COMMAND\n";
    assert_eq!(said(&["FOO=1", "cmd"]), format!("pushwrap: cannot run 'FOO=1': {env}"));
    assert!(said(&["JAVA_TOOL_OPTIONS=-Dx y", "java"]).ends_with(env));
    assert!(said(&["/no/such file"]).ends_with("take the quotes away, or use sh -c\n"));
    assert!(said(&["nosuchcommand"]).ends_with("command not found in PATH\n"));
}

/// Given a command that changes the user, when it wrote no metrics, then it is said where pushwrap goes: with -v, and where the
/// run has failed, because many commands have no metrics.
#[test]
fn a_command_that_changes_the_user_and_wrote_no_metrics_gets_a_hint() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let directory = tempfile::tempdir().unwrap();
    let sudo = directory.path().join("sudo");
    fs::write(&sudo, "#!/bin/sh\nshift 2\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let call = || Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]);
    let through = [sudo.to_str().unwrap(), "-u", "nobody"];
    let arguments = |command: &[&'static str]| [&through, command].concat();
    let hint =
        "no metrics came from 'sudo', whose user cannot write the metrics file of this one: pushwrap goes inside";
    call().run(arguments(&["false"])).exit(1).stderr_has(hint);
    call().arg("-v").run(arguments(&["true"])).exit(0).stderr_has(hint);
    call().run(arguments(&["true"])).exit(0).stderr("");
    call().run(arguments(&["sh", "-c", "echo x 1 >$PUSHWRAP_TEXTFILE; exit 3"])).exit(3).stderr("");
    call().run(["false"]).exit(1).stderr("");
}

//! The batch scripts of examples/slurm as a real Slurm runs them: a container with a controller, one node and a Pushgateway.

use std::fs;
use std::path::Path;

use super::harness::{Group, wait_for};
use super::host::Host;

/// A host with a batch script as it stands and, beside it, the program that it starts.
#[track_caller]
fn host_with(script: &str, program: &str, text: &str) -> Host {
    let host = Host::start_slurm();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/slurm").join(script);
    host.write(&format!("/home/jobs/{script}"), "644", &fs::read_to_string(path).unwrap());
    host.write(&format!("/home/jobs/{program}"), "755", text);
    host
}

#[track_caller]
fn ended(group: &Group, outcome: &str) {
    let ended = group.value("pushwrap_outcome", [("outcome", outcome)]);
    assert_eq!(ended.as_deref(), Some("1"), "{:?}", group.json());
}

/// Submits a job that sleeps, and waits until it has begun: its number.
#[track_caller]
fn begun(host: &Host, arguments: &str) -> String {
    let number = host.done(&format!("cd /home/jobs; sbatch --parsable {arguments}")).trim().to_owned();
    let begun = format!("cat /home/jobs/slurm-{number}.out");
    wait_for("the job to begin", || host.sh(&begun).stdout.starts_with(b"begun").then_some(()));
    number
}

/// Waits until a job has left the queue.
#[track_caller]
fn left_the_queue(host: &Host, number: &str) {
    let is_there = format!("squeue --noheader --jobs {number}");
    wait_for("the end of the job", || host.sh(&is_there).stdout.is_empty().then_some(()));
}

const SLEEPS: &str = "#!/bin/sh\necho begun\nexec sleep 600\n";

#[test]
fn a_batch_script_is_a_job_without_an_instance() {
    let text = "#!/bin/sh\necho \"simulated $*\"\necho 'simulation_steps 12' >>\"$PUSHWRAP_TEXTFILE\"\n";
    let host = host_with("simulation.sbatch", "simulate", text);
    let number = host.done("cd /home/jobs; sbatch --wait --parsable simulation.sbatch").trim().to_owned();
    assert_eq!(host.done(&format!("cat /home/jobs/slurm-{number}.out")), "simulated --input data.txt\n");
    let group = host.group("simulation");
    assert_eq!(group.labels().len(), 1, "neither the node nor the number is a part of the key: {:?}", group.labels());
    ended(&group, "success");
    assert_eq!(group.number("simulation_steps", []), Some(12.0));
    assert_eq!(group.number("pushwrap_run_info", [("slurm_job", number.as_str()), ("host", "db1")]), Some(1.0));
}

#[test]
fn each_task_of_an_array_is_a_group() {
    let host = host_with("array.sbatch", "process", "#!/bin/sh\n[ \"$1\" != chunk-2 ]\n");
    let array = host.sh("cd /home/jobs; sbatch --wait --parsable array.sbatch");
    assert_eq!(array.status.code(), Some(1), "a task has failed: {array:?}");
    let number = String::from_utf8_lossy(&array.stdout).trim().to_owned();
    let groups = host.groups();
    assert_eq!(groups.len(), 4);
    for (task, outcome) in [("0", "success"), ("1", "success"), ("2", "failure"), ("3", "success")] {
        let label = ("task".to_owned(), task.to_owned());
        let group = groups.iter().find(|group| group.labels().contains(&label)).expect("a group of the task");
        assert_eq!(group.labels().len(), 2, "{:?}", group.labels());
        ended(group, outcome);
        assert_eq!(group.number("pushwrap_run_info", [("slurm_job", number.as_str())]), Some(1.0));
    }
}

/// Slurm counts a limit in minutes, and sends the signal of `--signal=B:TERM@60` as soon as the last of them begins.
#[test]
fn a_job_that_nears_its_time_limit_is_terminated_and_reported() {
    let host = host_with("simulation.sbatch", "simulate", SLEEPS);
    let number = begun(&host, "--time=1 simulation.sbatch");
    left_the_queue(&host, &number);
    ended(&host.group("simulation"), "terminated");
}

/// Without that line slurmd sends TERM at the limit itself: the page says so.
#[test]
fn a_job_at_its_time_limit_is_terminated_and_reported() {
    let host = host_with("simulation.sbatch", "simulate", SLEEPS);
    host.done("sed -i '/^#SBATCH --signal/d' /home/jobs/simulation.sbatch");
    let out = host.sh("cd /home/jobs; sbatch --wait --time=1 simulation.sbatch");
    assert!(!out.status.success(), "{out:?}");
    assert!(host.done("cat /home/jobs/slurm-*.out").contains("DUE TO TIME LIMIT"));
    ended(&host.group("simulation"), "terminated");
}

#[test]
fn a_job_that_is_cancelled_is_terminated_and_reported() {
    let host = host_with("simulation.sbatch", "simulate", SLEEPS);
    let number = begun(&host, "simulation.sbatch");
    host.done(&format!("scancel {number}"));
    left_the_queue(&host, &number);
    ended(&host.group("simulation"), "terminated");
}

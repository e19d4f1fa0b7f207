//! Where pushwrap runs, as far as the grouping key depends on it: a permanent host has a name worth a label, a container or a
//! CI machine has one that is new in every run, and the Pushgateway never forgets a group.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::files::{Links, open_regular};

/// The facts about the host that the grouping key depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostInfo {
    /// The host name, when it is text.
    pub(super) name: Option<String>,
    /// Whether nothing but the files below `root` tells that the host name is new in every run.
    seems_permanent: bool,
    /// `/`.
    root: PathBuf,
    /// The Kubernetes namespace, where the service account tells it.
    pub(super) namespace: Option<String>,
    /// Whether it runs in Kubernetes and no service account tells the namespace.
    pub(super) hides_namespace: bool,
}

/// Where Kubernetes mounts the service account of a pod.
const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Files that container engines put into every container (docker, podman).
const CONTAINER_FILES: [&str; 2] = [".dockerenv", "run/.containerenv"];
/// Variables that CI systems set for every step: GitHub, GitLab, Jenkins (its agents too), Buildkite, `CodeBuild`, Azure, Bitbucket,
/// `CircleCI`, Drone, Woodpecker, `TeamCity`.
const CI_VARIABLES: [&str; 14] = [
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "HUDSON_URL",
    "JENKINS_SERVER_COOKIE",
    "BUILDKITE",
    "CODEBUILD_BUILD_ID",
    "TF_BUILD",
    "BITBUCKET_BUILD_NUMBER",
    "CIRCLECI",
    "DRONE",
    "CI_PIPELINE_NUMBER",
    "TEAMCITY_VERSION",
];
/// Variables of platforms that make a machine or a container for each run: Amazon ECS and Fargate, Batch, Lambda, Cloud Run's
/// services and jobs, Nomad.
const PLATFORM_VARIABLES: [&str; 8] = [
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "AWS_BATCH_JOB_ID",
    "AWS_LAMBDA_FUNCTION_NAME",
    "K_SERVICE",
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "NOMAD_ALLOC_ID",
];
/// Variables that schedulers of clusters set, which choose the node: Slurm, PBS, LSF, Grid Engine.
const SCHEDULER_VARIABLES: [&str; 5] = ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "SGE_O_HOST"];
/// Values of `container` that engines with throw-away containers set; lxc and systemd-nspawn have permanent ones.
const CONTAINER_ENGINES: [&str; 4] = ["docker", "podman", "oci", "kube"];
/// Parts of a cgroup path that container runtimes make.
const CONTAINER_CGROUPS: [&str; 5] = ["kubepods", "/docker/", "/docker-", "containerd", "/ecs/"];

impl HostInfo {
    /// Looks at the running system.
    pub(super) fn detect() -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Self::read(Path::new("/"), host, |name| std::env::var_os(name))
    }

    fn read(root: &Path, host: Option<String>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let host = host.filter(|name| !name.is_empty() && name != "(none)");
        let kubernetes = variable("KUBERNETES_SERVICE_HOST").is_some();
        let namespace = small_text(&root.join(NAMESPACE_FILE));
        let mut known = CI_VARIABLES.iter().chain(&PLATFORM_VARIABLES).chain(&SCHEDULER_VARIABLES);
        let passing = known.any(|name| variable(name).is_some_and(|value| !is_off(&value)));
        let engine = variable("container").is_some_and(|value| CONTAINER_ENGINES.iter().any(|engine| value == *engine));
        let generated = host.as_deref().is_some_and(is_container_id);
        let seems_permanent = !(kubernetes || namespace.is_some() || passing || engine || generated);
        let hides_namespace = kubernetes && namespace.is_none();
        Self { name: host, seems_permanent, root: root.to_owned(), hides_namespace, namespace }
    }

    /// Whether the host name stays from run to run. Reads files, so it is asked only where that matters.
    pub(super) fn is_permanent(&self) -> bool {
        let is_marked = || CONTAINER_FILES.iter().any(|file| self.root.join(file).exists());
        let is_contained = || {
            let cgroup = small_text(&self.root.join("proc/self/cgroup")).unwrap_or_default();
            CONTAINER_CGROUPS.iter().any(|part| cgroup.contains(part))
        };
        self.seems_permanent && !is_marked() && !is_contained()
    }
}

fn is_off(value: &OsStr) -> bool {
    value.is_empty() || value == "false" || value == "0"
}

/// Whether a host name is the short id that container engines make up: twelve hexadecimal digits.
fn is_container_id(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn small_text(path: &Path) -> Option<String> {
    use std::io::Read as _;
    // Room for all of it: std begins with pieces of 32 bytes.
    let mut text = String::with_capacity(1024);
    open_regular(path, Links::Follow).ok()?.take(64 * 1024).read_to_string(&mut text).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::{HostInfo, NAMESPACE_FILE};

    fn read(root: &std::path::Path, host: &str, variables: &[(&str, &str)]) -> HostInfo {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        HostInfo::read(root, Some(host.to_owned()), variable)
    }

    #[test]
    fn a_plain_host_is_lasting() {
        let root = tempfile::tempdir().unwrap();
        let host_info = read(root.path(), "db1", &[("CI", "false"), ("container", "lxc")]);
        assert_eq!(
            host_info,
            HostInfo {
                name: Some("db1".into()),
                seems_permanent: true,
                root: root.path().to_owned(),
                namespace: None,
                hides_namespace: false
            }
        );
    }

    #[test]
    fn ci_containers_and_made_up_names_are_not() {
        let root = tempfile::tempdir().unwrap();
        assert!(!read(root.path(), "db1", &[("CI", "true")]).is_permanent());
        assert!(!read(root.path(), "db1", &[("container", "podman")]).is_permanent());
        assert!(!read(root.path(), "db1", &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]).is_permanent());
        assert!(!read(root.path(), "3f2b8c9d0e1a", &[]).is_permanent());
        assert!(read(root.path(), "abcdefghijkl", &[]).is_permanent());
        fs::write(root.path().join(".dockerenv"), "").unwrap();
        assert!(!read(root.path(), "db1", &[]).is_permanent());
    }

    #[test]
    fn platforms_and_schedulers_choose_another_host_in_every_run() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "BUILDKITE",
            "CODEBUILD_BUILD_ID",
            "BITBUCKET_BUILD_NUMBER",
            "CIRCLECI",
            "DRONE",
            "JENKINS_SERVER_COOKIE",
            "ECS_CONTAINER_METADATA_URI_V4",
            "AWS_BATCH_JOB_ID",
            "AWS_LAMBDA_FUNCTION_NAME",
            "K_SERVICE",
            "CLOUD_RUN_JOB",
            "NOMAD_ALLOC_ID",
            "SLURM_JOB_ID",
            "PBS_JOBID",
            "LSB_JOBID",
            "SGE_TASK_ID",
        ] {
            assert!(!read(root.path(), "db1", &[(name, "x1")]).is_permanent(), "{name}");
        }
    }

    #[test]
    fn a_cgroup_path_of_a_container_runtime_gives_it_away() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/cgroup"), "4:memory:/docker/8f2a\n").unwrap();
        assert!(!read(root.path(), "db1", &[]).is_permanent());
    }

    #[test]
    fn the_namespace_comes_from_the_service_account() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(NAMESPACE_FILE).parent().unwrap()).unwrap();
        fs::write(root.path().join(NAMESPACE_FILE), "batch\n").unwrap();
        let host_info = read(root.path(), "job-x7k2p", &[]);
        assert_eq!(host_info.namespace.as_deref(), Some("batch"));
        assert!(!host_info.is_permanent());
    }
}

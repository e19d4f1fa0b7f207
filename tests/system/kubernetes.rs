//! The manifests of the pages and of examples/kubernetes as podman plays them, in a container with a Pushgateway. What podman has
//! not is replaced, and named where it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::harness::pages::block;
use super::harness::tls::Authority;
use super::harness::{Group, server, wait_for};
use super::host::{Host, Mount};
use super::schemas::{indented, kustomized, pod};

/// A job that says what it was started with, and writes a metric.
const WRITES: &str = "#!/bin/sh\necho \"done $*\"\necho 'rows 7' >>\"$PUSHWRAP_TEXTFILE\"\n";

/// An image that knows nothing of pushwrap: a shell, `sleep`, and the job as `/app/report` and `/app/cleanup`.
const PLAIN: &str =
    "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\nCOPY job /app/report\nCOPY job /app/cleanup\n";
/// What the image of a job has to have besides where the manifest starts `pushwrap` by its name.
const WITH_PUSHWRAP: &str = "COPY bin/pushwrap /bin/pushwrap\n";

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Builds the image of pushwrap, and one of this job below both names of the examples.
#[track_caller]
fn build(host: &Host, dockerfile: &str, job: &str) {
    host.done("install -D /usr/local/bin/pushwrap /image/bin/pushwrap; cp /usr/local/bin/busybox /image/busybox");
    host.write("/image/job", "755", job);
    host.write("/image/Dockerfile", "644", &file("packaging/Dockerfile"));
    host.write("/image/Dockerfile.job", "644", dockerfile);
    host.done(
        "cd /image; podman build -q -t registry.example/pushwrap:0.1.0 -t registry.example/pushwrap .
        podman build -q -t registry.example/report -t registry.example/cleanup -f Dockerfile.job .",
    );
}

/// Plays a manifest. It uses the network of the host, so that it finds the gateway by the name that a cluster's DNS has.
#[track_caller]
fn play(host: &Host, manifest: &str) {
    host.write("/manifest.yaml", "644", manifest);
    host.done("podman kube play --network=host /manifest.yaml");
}

/// Waits until a container has ended, which must be with success: its standard output.
#[track_caller]
fn ended(host: &Host, container: &str) -> String {
    let status = host.done(&format!("podman wait {container}"));
    let logs = host.sh(&format!("podman logs {container}"));
    assert_eq!((status.trim(), String::from_utf8_lossy(&logs.stderr).as_ref()), ("0", ""), "{logs:?}");
    String::from_utf8_lossy(&logs.stdout).into_owned()
}

#[track_caller]
fn succeeded(group: &Group) {
    assert_eq!(group.value("pushwrap_outcome", [("outcome", "success")]).as_deref(), Some("1"), "{:?}", group.json());
    assert_eq!(group.number("rows", []), Some(7.0), "{:?}", group.json());
}

/// The job that a `CronJob` makes when its time has come, of the first document of a manifest: podman has no clock.
fn job_of(manifest: &str) -> String {
    let template = manifest.lines().skip_while(|line| *line != "  jobTemplate:").skip(1);
    let specification: String =
        template.map_while(|line| line.strip_prefix("    ")).flat_map(|line| [line, "\n"]).collect();
    format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: timed }}\n{specification}")
}

#[test]
fn the_job_of_the_page_reports() {
    let host = Host::start_podman(&[], &[]);
    build(&host, &[PLAIN, WITH_PUSHWRAP].concat(), WRITES);
    play(&host, &block("docs/kubernetes.md#kubernetes"));
    assert_eq!(ended(&host, "report-pod-report"), "done --month current\n");
    let group = host.group("report");
    succeeded(&group);
    assert_eq!(group.labels().len(), 1, "a pod's name is new in every run: {:?}", group.labels());
}

#[test]
fn a_pod_that_is_deleted_reports_its_end() {
    let host = Host::start_podman(&[], &[]);
    build(&host, &[PLAIN, WITH_PUSHWRAP].concat(), "#!/bin/sh\necho begun\nexec sleep 600\n");
    play(&host, &pod(&block("README.md#recipes 3")));
    wait_for("the job to begin", || (host.done("podman logs report-report") == "begun\n").then_some(()));
    host.done("podman kube down /manifest.yaml");
    let group = host.group("report");
    assert_eq!(
        group.value("pushwrap_outcome", [("outcome", "terminated")]).as_deref(),
        Some("1"),
        "{:?}",
        group.json()
    );
}

/// The block is a part of a pod, which has to have the volume and a container that uses it.
#[test]
fn the_init_container_of_the_page_brings_the_binary() {
    let host = Host::start_podman(&[], &[]);
    build(&host, PLAIN, WRITES);
    let rest = "volumes: [{ name: tools, emptyDir: {} }]
restartPolicy: Never
containers:
  - name: report
    image: registry.example/report
    command: [/tools/pushwrap, \"--url=http://pushgateway:9091\", --, /app/report]
    volumeMounts: [{ name: tools, mountPath: /tools }]
";
    play(&host, &pod(&[&block("docs/kubernetes.md#images-without-pushwrap"), rest].concat()));
    ended(&host, "report-report");
    succeeded(&host.group("report"));
}

#[test]
fn the_component_reports_a_cronjob_that_knows_nothing_of_it() {
    let host = Host::start_podman(&[], &[]);
    build(&host, PLAIN, WRITES);
    let manifest = kustomized("docs/kubernetes.md#in-front-of-cronjobs-that-you-do-not-want-to-edit");
    play(&host, &job_of(&manifest));
    assert_eq!(ended(&host, "timed-pod-cleanup"), "done --older-than 7d\n");
    succeeded(&host.group("cleanup"));
}

/// What podman has not, and what the reader of cronjob.yaml is asked to replace.
fn for_podman(manifest: &str, certificate: &str) -> String {
    let begin = "    -----BEGIN CERTIFICATE-----\n";
    let (before, _) = manifest.split_once(begin).expect("a certificate in the example");
    let replaced = [
        // Namespaces, and $(…) in a value.
        ("valueFrom: { fieldRef: { fieldPath: metadata.namespace } }", "value: batch"),
        ("namespace=$(NAMESPACE)", "namespace=batch"),
        // fsGroup: the group of the files in a volume.
        ("defaultMode: 0440", "defaultMode: 0444"),
        ("password: change-me", "password: secret"),
    ];
    replaced.iter().fold(before.to_owned() + &indented(certificate, 4), |text, (from, to)| {
        assert!(text.contains(from), "the example has no '{from}'");
        text.replace(from, to)
    })
}

/// Given a gateway with TLS and a password, when the time of the `CronJob` has come, then an unknown user with a read-only root file
/// system and no capability reports, with the binary of the init container.
#[test]
fn the_cronjob_of_the_examples_reports_with_its_secret() {
    let authority = Authority::new();
    let pair = authority.issue("gateway", "DNS:pushgateway.monitoring");
    let hash = Command::new(server::program("htpasswd")).args(["-nbB", "jobs", "secret"]).output().unwrap();
    let hash = String::from_utf8_lossy(&hash.stdout).trim().split_once(':').unwrap().1.to_owned();
    let web = serde_json::json!({
        "tls_server_config": { "cert_file": "/gateway.pem", "key_file": "/gateway.key" },
        "basic_auth_users": { "jobs": hash },
    });
    let web = authority.file("web.yml", &web.to_string());
    let mounts: [Mount; 3] = [(pair.cert, "/gateway.pem"), (pair.key, "/gateway.key"), (web, "/web.yml")];
    let host = Host::start_podman(&mounts, &["--web.listen-address=:443", "--web.config.file=/web.yml"]);
    build(&host, PLAIN, WRITES);

    let example = for_podman(&file("examples/kubernetes/cronjob.yaml"), &fs::read_to_string(authority.cert()).unwrap());
    let (cronjob, secret) = example.split_once("---\n").unwrap();
    // podman wants a Secret before whoever uses it.
    play(&host, &format!("{secret}---\n{}", job_of(cronjob)));
    assert_eq!(ended(&host, "timed-pod-report"), "done --month current\n");
    let as_it_ran = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}} {{.HostConfig.Memory}}";
    let as_it_ran = host.done(&format!("podman inspect --format '{as_it_ran}' timed-pod-report"));
    assert_eq!(as_it_ran.trim(), "65534:65534 true [] 268435456");

    host.write("/password", "600", "secret\n");
    host.write("/ca.crt", "644", &fs::read_to_string(authority.cert()).unwrap());
    let settings = "--url https://pushgateway.monitoring --user jobs --password-file /password --cacert /ca.crt";
    let listed = host.done(&format!("pushwrap groups {settings}"));
    let row = listed.lines().find(|line| line.starts_with("report "));
    assert!(row.is_some_and(|row| row.contains("namespace=batch") && row.contains(" success ")), "{listed}");
}

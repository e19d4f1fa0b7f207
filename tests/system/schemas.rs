//! The YAML of the pages, of examples/ and of .github/ against the schemas of the programs that read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::need_program;
use super::harness::pages::block;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path of a validator.
#[track_caller]
fn validator(name: &str) -> PathBuf {
    let out = Command::new(root().join("scripts/validators")).arg(name).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().into()
}

/// Runs a validator, which must find nothing.
#[track_caller]
fn valid(name: &str, arguments: &[&str], files: &[PathBuf]) {
    assert!(!files.is_empty());
    let out = Command::new(validator(name)).args(arguments).args(files).current_dir(root()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{files:?}: {}{}", text(&out.stdout), text(&out.stderr));
}

#[track_caller]
fn follows(schema: &str, files: &[PathBuf]) {
    valid("check-jsonschema", &["--builtin-schema", schema], files);
}

/// Whether a validator sees a mistake: the same file with one must be refused.
#[track_caller]
fn refused(name: &str, arguments: &[&str], text: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory, "wrong.yml", text);
    let out = Command::new(validator(name)).args(arguments).arg(file).output().unwrap();
    assert!(!out.status.success(), "{name} does not see what is wrong with\n{text}");
}

fn written(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Each line further to the right.
pub(crate) fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.lines().flat_map(|line| [&indent, line, "\n"]).collect()
}

/// A workflow whose job has the steps of a block.
fn workflow(steps: &str) -> String {
    format!("on: push\njobs:\n  tests:\n    runs-on: ubuntu-latest\n    steps:\n{}", indented(steps, 6))
}

/// The workflows of this repository and of examples/, and those that are made of the steps of the pages.
fn workflows(directory: &tempfile::TempDir) -> Vec<PathBuf> {
    let steps = ["README.md#recipes 4", "docs/ci.md#ci"].map(|name| workflow(&block(name)));
    let made = steps.iter().enumerate().map(|(number, text)| written(directory, &format!("{number}.yml"), text));
    let kept = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    made.chain(kept).chain([root().join("examples/ci/github.yml")]).collect()
}

#[test]
fn workflows_and_steps_follow_the_schema_of_github() {
    let directory = tempfile::tempdir().unwrap();
    follows("vendor.github-workflows", &workflows(&directory));
    refused("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], &workflow("- rum: make test\n"));
}

/// What no schema sees: expressions, contexts, inputs of actions, and actions whose runtime GitHub removes.
#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    let directory = tempfile::tempdir().unwrap();
    valid("actionlint", &[], &workflows(&directory));
    refused("actionlint", &[], &workflow("- run: echo ${{ githb.ref }}\n"));
}

#[test]
fn the_pipeline_follows_the_schema_of_gitlab() {
    follows("vendor.gitlab-ci", &[root().join("examples/ci/gitlab-ci.yml")]);
}

#[test]
fn the_compose_files_follow_the_schema_of_compose() {
    let files = ["examples/compose/compose.yaml", "examples/compose/secured/compose.yaml", "scripts/demo-compose.yaml"];
    follows("vendor.compose-spec", &files.map(|file| root().join(file)));
}

const STRICT: [&str; 1] = ["--strict"];

/// A pod with these lines of its specification.
pub(crate) fn pod(lines: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{ name: report }}\nspec:\n{}", indented(lines, 2))
}

#[test]
fn the_manifests_follow_the_schema_of_kubernetes() {
    let directory = tempfile::tempdir().unwrap();
    let container = "containers: [{ name: report, image: registry.example/report }]\n";
    let images = block("docs/kubernetes.md#images-without-pushwrap") + container;
    let files = [
        written(&directory, "job.yaml", &block("docs/kubernetes.md#kubernetes")),
        written(&directory, "readme.yaml", &pod(&block("README.md#recipes 3"))),
        written(&directory, "init.yaml", &pod(&images)),
        root().join("examples/kubernetes/cronjob.yaml"),
        root().join("examples/kubernetes/overlay/cleanup.yaml"),
        written(
            &directory,
            "overlay.yaml",
            &kustomized("docs/kubernetes.md#in-front-of-cronjobs-that-you-do-not-want-to-edit"),
        ),
    ];
    valid("kubernetes-validate", &STRICT, &files);
    refused("kubernetes-validate", &STRICT, &pod(&container.replace("image:", "imaje:")));
}

/// What a kustomization makes of the manifests of the example, with the block of a page in the place of its own file.
#[track_caller]
pub(crate) fn kustomized(name: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(root().join("examples/kubernetes")).arg(directory.path()).status();
    assert!(copied.unwrap().success());
    let overlay = directory.path().join("kubernetes/overlay");
    // A page leaves out the two lines that are the same in every such file; kubectl adds them.
    fs::write(overlay.join("kustomization.yaml"), block(name)).unwrap();
    let kubectl = need_program("kubectl", "kubernetes-client");
    let built = Command::new(kubectl).arg("kustomize").arg(overlay).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let manifest = String::from_utf8(built.stdout).unwrap();
    assert!(manifest.contains("- /pushwrap-bin/pushwrap\n") && manifest.contains("- /app/cleanup\n"), "{manifest}");
    manifest
}

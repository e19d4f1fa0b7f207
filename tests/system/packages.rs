//! What `make dist` makes: the packages are installed, used, removed and purged on real systems, and the image runs a job.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::engine::{ContainerImage, docker, need_program, try_docker};
use super::harness::fake::{FakeGateway, Reply};
use super::harness::{pushwrap, server};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes all packages of this binary in a directory. The list of materials needs a tool that is built for minutes.
#[track_caller]
fn make(into: &Path) {
    need_program("rpmbuild", "rpm");
    let mut dist = Command::new(root().join("scripts/dist"));
    let ran = dist.arg(pushwrap::binary()).arg(into).arg("--no-sbom").output().unwrap();
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(text(&ran.stderr), "", "nothing is missing for a package");
}

fn packages() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = root().join("target/system/dist");
        make(&directory);
        directory
    })
}

/// The one package whose name ends so.
#[track_caller]
fn package(end: &str) -> PathBuf {
    let files = fs::read_dir(packages()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "one package '{end}' below {}", packages().display());
    found[0].clone()
}

/// The releases on which the .deb is tried: one by default, all of `TEST_SUITES` by hand.
fn suites() -> Vec<String> {
    let wanted = std::env::var("TEST_SUITES").unwrap_or_else(|_| "bookworm".to_owned());
    wanted.split_whitespace().map(str::to_owned).collect()
}

/// Runs a script as root in a container of this image, with the packages at /dist.
fn run(image: &ContainerImage, script: &str) -> Output {
    let mount = format!("{}:/dist:ro", packages().display());
    image.run(&["--network", "host", "--volume", &mount], &["/bin/sh", "-euc", script])
}

#[test]
fn the_deb_is_installed_used_removed_and_purged() {
    let deb = package(".deb");
    let deb = deb.file_name().unwrap().to_str().unwrap();
    for suite in suites() {
        let gateway = FakeGateway::start((0..4).map(|_| Reply::ok()));
        let script = format!(
            "dpkg -i /dist/{deb}; dpkg --verify pushwrap; stat -c '%a %U' /var/lib/pushwrap; \
             echo PUSHWRAP_URL={} >>/etc/default/pushwrap; pushwrap --job packaged -- true; ls /var/lib/pushwrap; \
             dpkg -r pushwrap; test -e /etc/default/pushwrap; test ! -e /usr/bin/pushwrap; test -d /var/lib/pushwrap; \
             dpkg -P pushwrap; test ! -e /etc/default/pushwrap; test ! -e /var/lib/pushwrap; echo all gone",
            gateway.url()
        );
        let output = run(&ContainerImage::debian(&suite), &script);
        let (said, warned) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{suite}: {said}{warned}");
        assert!(said.contains("700 root") && said.ends_with("all gone\n"), "{suite}: {said}");
        assert!(!warned.contains("pushwrap: "), "{suite}: a good run says nothing: {warned}");
        let pushes = gateway.requests();
        assert!(pushes.iter().any(|push| push.body().contains("pushwrap_success 1")), "{suite}: no push of the run");
    }
}

#[test]
fn an_upgrade_keeps_the_settings_and_what_waits() {
    let deb = package(".deb");
    let deb = deb.file_name().unwrap().to_str().unwrap();
    let script = format!(
        "dpkg -i /dist/{deb} >/dev/null; echo PUSHWRAP_JOB=kept >>/etc/default/pushwrap; echo waits >/var/lib/pushwrap/file; \
         dpkg -i /dist/{deb} </dev/null >/dev/null; tail -n 1 /etc/default/pushwrap; cat /var/lib/pushwrap/file"
    );
    let output = run(&ContainerImage::debian("bookworm"), &script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "PUSHWRAP_JOB=kept\nwaits\n");
}

/// What a package installs, without directories; where the two kinds differ, as in the .deb.
fn files_of(listing: &str) -> BTreeSet<String> {
    let paths = listing.lines().filter(|line| !line.ends_with('/') && !line.ends_with("/var/lib/pushwrap"));
    let paths = paths.map(|path| path.trim_start_matches('.').replace("site-functions", "vendor-completions"));
    paths.filter(|path| !path.ends_with("/doc/pushwrap") && !path.contains("/doc/pushwrap/examples")).collect()
}

#[test]
fn the_rpm_has_the_files_of_the_deb_and_requires_nothing() {
    let rpm = |options: &[&str]| {
        let query = Command::new(need_program("rpm", "rpm")).args(options).arg(package(".rpm")).output().unwrap();
        assert!(query.status.success(), "{}", text(&query.stderr));
        text(&query.stdout)
    };
    let listing = format!("dpkg-deb --fsys-tarfile {} | tar -t", package(".deb").display());
    let deb = Command::new("sh").arg("-c").arg(listing).output().unwrap();
    assert_eq!(files_of(&rpm(&["-qlp"])), files_of(&text(&deb.stdout)));
    assert_eq!(rpm(&["-qcp"]), "/etc/default/pushwrap\n", "an upgrade keeps the settings");
    let required = rpm(&["-qp", "--requires"]);
    assert!(required.lines().all(|line| line.starts_with("rpmlib(") || line == "/bin/sh"), "{required}");
}

#[track_caller]
fn unpack(into: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-xzf"]).arg(package(".tar.gz")).arg("-C").arg(into);
    assert!(tar.status().unwrap().success());
}

#[test]
fn the_tarball_installs_below_any_prefix() {
    let prefix = tempfile::tempdir().unwrap();
    unpack(prefix.path());
    let version = Command::new(prefix.path().join("bin/pushwrap")).arg("--version").output().unwrap();
    assert_eq!(text(&version.stdout), format!("pushwrap {}\n", env!("CARGO_PKG_VERSION")));
    for file in
        ["share/man/man1/pushwrap.1", "share/doc/pushwrap/LICENSE", "share/doc/pushwrap/examples/alerts/gateway.yml"]
    {
        assert!(prefix.path().join(file).exists(), "the tarball has no '{file}'");
    }
}

#[test]
fn the_sums_are_those_of_the_files() {
    let check =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(packages()).output().unwrap();
    assert!(check.status.success(), "{}{}", text(&check.stdout), text(&check.stderr));
    assert_eq!(text(&check.stdout).lines().count(), 3);
}

#[test]
fn the_same_binary_makes_the_same_packages() {
    let again = tempfile::tempdir().unwrap();
    make(again.path());
    let sums = |directory: &Path| fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(again.path()), sums(packages()));
}

#[test]
fn the_image_runs_a_job_as_pid_1_read_only_as_an_unknown_user() {
    let tree = tempfile::tempdir().unwrap();
    unpack(tree.path());
    fs::copy(server::program("busybox"), tree.path().join("bin/busybox")).unwrap();
    let dockerfile = fs::read_to_string(tree.path().join("share/doc/pushwrap/Dockerfile")).unwrap();
    // A job for it to run: the image itself has none.
    fs::write(tree.path().join("job"), format!("{dockerfile}\nCOPY bin/busybox /busybox\n")).unwrap();
    let image = "pushwrap-test-image";
    docker([
        "build",
        "-q",
        "-t",
        image,
        "-f",
        tree.path().join("job").to_str().unwrap(),
        tree.path().to_str().unwrap(),
    ]);

    let gateway = FakeGateway::start((0..2).map(|_| Reply::ok()));
    let options = ["run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL"];
    let job = ["--url", &gateway.url(), "--job", "image", "--", "/busybox", "sh", "-c", "exit 3"];
    let output = try_docker([&options[..], &[image], &job].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "it lacks nothing");
    assert!(gateway.requests().iter().any(|push| push.body().contains("pushwrap_exit_code 3")));

    // As an init container: into a volume that belongs to nobody it knows.
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mount = format!("{}:/tools", tools.path().display());
    let output = try_docker([&options[..], &["--volume", &mount, image, "install", "/tools/"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let version = Command::new(tools.path().join("pushwrap")).arg("--version").output().unwrap();
    assert!(version.status.success());
    docker(["rmi", "--force", image]);
}

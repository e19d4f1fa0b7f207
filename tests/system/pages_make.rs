//! What README says about building and installing is typed in a clone of this repository. The compiler's part is played by a
//! stub that hands out the binary under test; make, the scripts and the servers are real.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::harness::InTime as _;
use super::harness::pages::{block, typed};
use super::harness::pushwrap::binary;
use super::harness::server;

/// What stands for cargo: `build` makes the binary under test appear where cargo would put it, and nothing can be installed.
const CARGO: &str = "#!/bin/sh
case $1 in
build) install -D -s -m 755 \"$BUILT\" \"target/$(rustc -vV | sed -n 's/^host: //p')/release/pushwrap\" ;;
*) exit 1 ;;
esac
";

/// A directory in which a user types what README says.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.path("stubs")).unwrap();
        desk.stub("cargo", CARGO);
        // Nobody has to be root: what is installed goes below DESTDIR.
        desk.stub("sudo", "#!/bin/sh\nexec \"$@\"\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn stub(&self, name: &str, text: &str) {
        let path = self.path("stubs").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Types commands in one shell, which ends with the first that fails.
    fn types(&self, commands: &[String]) -> Output {
        let path = format!("{}:{}", self.path("stubs").display(), std::env::var("PATH").unwrap());
        let store = std::env::var_os("TEST_SERVERS").unwrap_or_else(|| checkout().join("target/servers").into());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &commands.join("\n")]).current_dir(self.directory.path());
        shell
            .env("PATH", path)
            .env("BUILT", binary())
            .env("DESTDIR", self.path("installed"))
            .env("TEST_SERVERS", store);
        // The clone may belong to another user than the checkout.
        shell.envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]);
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "RUSTFLAGS", "CARGO_TARGET_DIR", "TESTED_PUSHWRAP", "CI"] {
            shell.env_remove(name);
        }
        shell.output_in_time()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn commands(name: &str) -> Vec<String> {
    typed(&block(name)).into_iter().map(|(command, _)| command).collect()
}

/// The clone that README begins with. It is one of this checkout, with what is not committed yet.
fn clone() -> Vec<String> {
    let checkout = format!("'{}'", checkout().display());
    let first = commands("README.md#try-it").remove(0).replace("REPOSITORY", &checkout);
    vec![first, format!("git -C {checkout} diff --binary HEAD | git apply --allow-empty")]
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of a table's line that are the same in every run: job, outcome, exit code.
fn steady_cells(line: &str) -> Vec<&str> {
    line.split_whitespace().take(3).collect()
}

#[test]
fn the_demo_prints_the_table_of_readme_and_leaves_its_pages_open() {
    let desk = Desk::new();
    let all = commands("README.md#try-it");
    assert_eq!(all.len(), 2, "README promises two commands");
    let out = desk.types(&[clone(), all[1..].to_vec()].concat());
    let said = text(&out.stdout);
    // Before the servers are stopped: the pages that it names.
    let opened = ["Pushgateway", "Prometheus", "Alerts"].map(|name| {
        let address =
            said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {said}"));
        let page = Command::new(server::program("curl")).args(["--silent", "--location", address.trim()]).output();
        text(&page.unwrap().stdout)
    });
    let kill = said.lines().find_map(|line| line.strip_prefix("Stop them with: "));
    let kill = kill.unwrap_or_else(|| panic!("no command that stops the servers: {out:?}"));
    assert!(Command::new("sh").args(["-c", kill]).status().unwrap().success(), "{kill}");

    assert!(out.status.success(), "{out:?}");
    assert!(said.contains("\nPushgateway  http://127.0.0.1:") && said.contains("\nPrometheus   http://127.0.0.1:"));
    for page in &opened {
        assert!(page.contains("</html>"), "not a page: {page}");
    }
    assert!(opened[2].contains("JobFailed"), "{}", opened[2]);
    let table = block("README.md#try-it 2");
    let printed: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("JOB ")).collect();
    assert_eq!(table.lines().next(), printed.first().copied());
    for (expected, line) in table.lines().zip(&printed) {
        assert_eq!(steady_cells(expected), steady_cells(line));
    }
}

#[test]
fn each_way_to_install_gives_a_binary_that_runs() {
    let desk = Desk::new();
    let out = desk.types(&[clone(), commands("README.md#install")].concat());
    assert!(out.status.success(), "{out:?}");
    let installed = desk.path("installed/usr/local/bin/pushwrap");
    let version = Command::new(&installed).arg("--version").output().unwrap();
    assert_eq!(text(&version.stdout), format!("pushwrap {}\n", env!("CARGO_PKG_VERSION")));
    assert!(desk.path("installed/usr/local/share/man/man1/pushwrap.1").exists());
    let dist = fs::read_dir(desk.path("pushwrap/target/dist")).unwrap().map(|entry| entry.unwrap().file_name());
    let dist: Vec<String> = dist.map(|name| name.to_string_lossy().into_owned()).collect();
    let made = |end: &str| dist.iter().any(|name| name.starts_with("pushwrap") && name.ends_with(end));
    assert!(made(".tar.gz") && dist.contains(&"SHA256SUMS".to_owned()), "{dist:?}");
    let can_pack = Command::new("dpkg-deb").arg("--version").output().is_ok_and(|ran| ran.status.success());
    assert_eq!(made(".deb"), can_pack, "{dist:?}");
    // `make build` says where the binary is.
    let last = text(&out.stdout).lines().find(|line| line.ends_with("/release/pushwrap")).map(str::to_owned);
    assert!(desk.path("pushwrap").join(last.expect("the path of the binary")).is_file());
}

//! The Makefile and `scripts/servers` where people run them: in a path with a blank, in the background, with an older Rust and with
//! servers of their own on PATH. Stubs stand for the toolchain.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::harness::InTime as _;

/// A checkout whose path has a blank, and a directory of stubs.
struct Checkout {
    _directory: tempfile::TempDir,
    root: PathBuf,
    stubs: PathBuf,
}

impl Checkout {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (root, stubs) = (directory.path().join("a b/pushwrap"), directory.path().join("stubs"));
        fs::create_dir_all(root.join("scripts")).unwrap();
        fs::create_dir(&stubs).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["Makefile", "Cargo.toml", "scripts/servers"] {
            fs::copy(source.join(name), root.join(name)).unwrap();
        }
        let checkout = Self { _directory: directory, root, stubs };
        checkout.stub("cc", "echo /dev/null");
        checkout.stub("rustc", "echo 'rustc 1.99.0'; echo 'host: x86_64-unknown-linux-musl'");
        checkout.stub("cargo", "echo \"cargo $*\"");
        checkout
    }

    fn stub(&self, name: &str, script: &str) {
        let path = self.stubs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What this shell script does there, with the stubs before everything else on PATH and no setting of a make around it.
    fn sh(&self, script: &str) -> Output {
        let path = format!("{}:{}", self.stubs.display(), std::env::var("PATH").unwrap());
        let mut call = Command::new("sh");
        call.args(["-c", script]).current_dir(&self.root).env("PATH", path);
        for name in [
            "MAKEFLAGS",
            "MAKELEVEL",
            "MFLAGS",
            "RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_HOME",
            "CFLAGS",
            "TEST_SERVERS",
        ] {
            call.env_remove(name);
        }
        call.output_in_time()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Given a Rust that is too old, when anything is built, then one sentence says which is needed and how to get it.
#[test]
fn an_older_rust_is_told_from_the_one_that_is_needed() {
    let checkout = Checkout::new();
    checkout.stub("rustc", "echo 'rustc 1.84.1 (e71f9a9a9 2025-01-27)'; echo 'host: x86_64-unknown-linux-gnu'");
    for goal in ["build", "lint", "generated"] {
        let out = checkout.sh(&format!("make {goal}"));
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        let said =
            "make: Rust 1.95 or newer is needed, and rustc is 1.84.1: 'rustup update stable', or https://rustup.rs\n";
        assert!(text(&out.stderr).contains(said), "{out:?}");
        assert!(!text(&out.stdout).contains("cargo "), "{out:?}");
    }
}

/// Given another processor than this one, when its compiler or its standard library is missing, then one sentence names it, and
/// when both are here, cargo gets the target and its linker.
#[test]
fn another_processor_needs_its_compiler_and_its_standard_library() {
    let checkout = Checkout::new();
    let rustc = "case $1 in --print) echo \"$PWD/sysroot\" ;; *) echo 'rustc 1.99.0'; echo 'host: x86_64-unknown-linux-musl' ;; esac";
    checkout.stub("rustc", rustc);
    let compiler = "make: 'pdp11-linux-gnu-gcc' is not on PATH: install the cross compiler \
         (Debian: gcc-pdp11-linux-gnu and libc6-dev-pdp11-cross)\n";
    let library = "make: Rust's standard library for pdp11-unknown-linux-gnu is not here: \
         'rustup target add pdp11-unknown-linux-gnu' (Debian: libstd-rust-dev:pdp11)\n";
    let refused = |sentence: &str| {
        let out = checkout.sh("make build ARCH=pdp11");
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        assert!(text(&out.stderr).starts_with(sentence), "{out:?}");
    };
    refused(compiler);
    // The file stands for the static C library.
    checkout.stub("pdp11-linux-gnu-gcc", "echo Makefile");
    refused(library);
    fs::create_dir_all(checkout.root.join("sysroot/lib/rustlib/pdp11-unknown-linux-gnu/lib")).unwrap();
    checkout.stub("cargo", "echo \"$* $CARGO_TARGET_PDP11_UNKNOWN_LINUX_GNU_LINKER\"");
    let out = checkout.sh("make build ARCH=pdp11");
    let call = "build --release --locked --target pdp11-unknown-linux-gnu --bin pushwrap pdp11-linux-gnu-gcc";
    assert_eq!(text(&out.stdout), format!("{call}\ntarget/pdp11-unknown-linux-gnu/release/pushwrap\n"), "{out:?}");
}

/// Given a path with a blank, and flags of the caller's, when the binary is built, then each flag reaches rustc whole.
#[test]
fn flags_reach_rustc_whole_where_the_path_has_a_blank() {
    let checkout = Checkout::new();
    checkout.stub("cargo", "echo \"$CARGO_ENCODED_RUSTFLAGS\"");
    let out = checkout.sh("RUSTFLAGS='-C debuginfo=1' make --silent build");
    assert!(out.status.success(), "{out:?}");
    let stdout = text(&out.stdout);
    let flags: Vec<&str> = stdout.lines().next().unwrap().split('\u{1f}').collect();
    let remap = format!("--remap-path-prefix={}=.", checkout.root.display());
    assert_eq!(flags[..5], ["-C", "debuginfo=1", "-C", "target-feature=+crt-static", &remap], "{flags:?}");
    assert_eq!(flags.len(), 6, "{flags:?}");
    let binary = "target/x86_64-unknown-linux-musl/release/pushwrap";
    assert_eq!(stdout.lines().last(), Some(binary));
    checkout.stub("cargo", "echo \"tested $TESTED_PUSHWRAP\"");
    let out = checkout.sh("make --silent lint");
    assert!(text(&out.stdout).contains(&format!("tested {}/{binary}\n", checkout.root.display())), "{out:?}");
}

/// Given a C library, when the binary is built, then its relocations are short where the startup code of that library can apply them.
#[test]
fn relocations_are_short_where_the_c_library_can_apply_them() {
    let checkout = Checkout::new();
    checkout.stub("rustc", "echo 'rustc 1.95.0 (59807616e 2026-04-14)'; echo 'host: x86_64-unknown-linux-gnu'");
    checkout.stub("cc", "echo Makefile");
    checkout.stub("cargo", "echo \"$CARGO_ENCODED_RUSTFLAGS\"");
    for (version, is_short) in [("2.35", false), ("2.36", true), ("2.41", true)] {
        checkout.stub("getconf", &format!("echo 'glibc {version}'"));
        let out = checkout.sh("make --silent build");
        assert!(out.status.success(), "{out:?}");
        assert_eq!(text(&out.stdout).contains("-z,pack-relative-relocs"), is_short, "{version}: {out:?}");
    }
}

/// Given INT and QUIT ignored, as a shell does for what it starts in the background, when the tests are run, then they find both
/// at their defaults.
#[test]
fn tests_in_the_background_find_the_signals_of_a_terminal_at_their_defaults() {
    let checkout = Checkout::new();
    checkout.stub("cargo", "[ \"$1\" != test ] || sed -n 's/^SigIgn:/ignored/p' /proc/self/status");
    fs::write(checkout.root.join("scripts/servers"), "#!/bin/sh\n").unwrap();
    for goal in ["test", "test-system"] {
        let out = checkout.sh(&format!("trap '' INT QUIT; make --silent {goal}"));
        let stdout = text(&out.stdout);
        let masks: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("ignored\t")).collect();
        let last = u64::from_str_radix(masks.last().expect("a test run"), 16).unwrap();
        let terminal = 1 << (libc::SIGINT - 1) | 1 << (libc::SIGQUIT - 1);
        assert_eq!(last & terminal, 0, "{goal}: {stdout}");
    }
}

/// Given a VictoriaMetrics on PATH, whose builds print no version, when the newest is asked for, then an older one is known by its
/// options, and taken where no other is to be had.
#[test]
fn an_older_victoria_metrics_on_path_is_told_by_its_options() {
    let checkout = Checkout::new();
    // Everything but apt.
    for name in ["sh", "dirname", "grep", "sed", "head", "mkdir", "flock", "basename", "env", "cat"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
        symlink(text(&found.stdout).trim(), checkout.stubs.join(name)).unwrap();
    }
    let stubs = checkout.stubs.display();
    let asked = |name: &str| {
        let out = checkout.sh(&format!("PATH={stubs} TEST_SERVERS=\"$PWD/store\" sh scripts/servers {name}"));
        assert!(out.status.success(), "{out:?}");
        assert_eq!(text(&out.stdout), format!("{stubs}/victoria-metrics\n"));
        text(&out.stderr)
    };
    let said = "servers: no other version of victoria-metrics-newest is to be had: using the one on PATH\n";
    checkout.stub("victoria-metrics", "echo '  -http.connTimeout duration'");
    assert_eq!(asked("victoria-metrics"), "");
    assert_eq!(asked("victoria-metrics-newest"), said);
    checkout.stub("victoria-metrics", "echo '  -http.header.hsts string'");
    assert_eq!(asked("victoria-metrics-newest"), "");
}

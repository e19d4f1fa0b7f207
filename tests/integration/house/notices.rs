//! THIRD-PARTY-NOTICES.md: what a static binary contains besides pushwrap, with the licences. `UPDATE=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::root;

const NAME: &str = "THIRD-PARTY-NOTICES.md";
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

const OPENING: &str = "\
# Third-party notices

pushwrap is under the Apache License 2.0 (LICENSE). The static binary of a release contains what follows, too. This file is made
from Cargo.lock and the sources of the crates by a test, which fails where it is not up to date.

## The C library

The binary is linked statically with the GNU C Library (glibc), Copyright Free Software Foundation, Inc. and others, under the GNU
Lesser General Public License, version 2.1 or later (<https://www.gnu.org/licenses/old-licenses/lgpl-2.1.html>). Its source is that
of the distribution on which the release was built, and <https://www.gnu.org/software/libc/>. The licence asks that everybody can
link the program with another version of the library, and may examine it for that: the whole source of pushwrap is in its
repository, and `make build` links it with the `libc.a` of the machine on which it runs. A build without the static library (`cargo build --release`)
uses that of the system.

The runtime of GCC (libgcc, libgcc_eh) is under the GNU General Public License, version 3, with the GCC Runtime Library Exception,
which lets programs be linked with it under any licence.

The standard library of Rust is under `MIT OR Apache-2.0` (<https://github.com/rust-lang/rust/blob/master/COPYRIGHT>).

## Crates

Those that run at build time only (macros) are not in the binary.

| crate | version | licence | in the binary |
|---|---|---|---|
";

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(arguments).args(["--locked", "--offline"]);
    let ran = cargo.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// What pushwrap depends on by these `edges` (cargo-tree(1)) on Linux: `NAME VERSION`. Unlike cargo-metadata(1) it leaves out
/// what only the features of the tests' own dependencies bring.
fn tree(edges: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for target in TARGETS {
        let output = cargo(&["tree", "--edges", edges, "--target", target, "--prefix", "none", "--format", "{p}"]);
        for line in String::from_utf8(output).unwrap().lines() {
            let mut fields = line.split(' ');
            let (name, version) = (fields.next().unwrap(), fields.next().unwrap());
            found.insert(format!("{name} {}", version.trim_start_matches('v')));
        }
    }
    found.remove(concat!("pushwrap ", env!("CARGO_PKG_VERSION")));
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The licence texts of a crate, but for the Apache License, which stands in LICENSE, and the GPL, which no crate asks for: each
/// that names it may be used under another licence.
fn licences(package: &Value) -> Vec<String> {
    let directory = Path::new(text(&package["manifest_path"])).parent().unwrap();
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_licence = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().to_uppercase();
        path.is_file()
            && ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|word| name.starts_with(word))
    };
    let texts = files.iter().filter(|path| is_licence(path)).map(|path| fs::read_to_string(path).unwrap());
    let plain =
        texts.map(|text| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned());
    plain
        .filter(|text| !["Apache License", "GNU GENERAL"].iter().any(|other| text.trim_start().starts_with(other)))
        .collect()
}

fn notices() -> String {
    let metadata: Value =
        serde_json::from_slice(&cargo(&["metadata", "--format-version", "1", "--filter-platform", TARGETS[0]]))
            .unwrap();
    let linked = tree("normal,no-proc-macro");
    let packages: BTreeMap<String, &Value> = list(&metadata["packages"])
        .iter()
        .map(|package| (format!("{} {}", text(&package["name"]), text(&package["version"])), package))
        .collect();
    let mut made = OPENING.to_owned();
    let mut rows = BTreeSet::new();
    let mut texts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for each in tree("normal") {
        let package = packages[&each];
        let (name, version, licence) = (text(&package["name"]), text(&package["version"]), text(&package["license"]));
        assert!(!licence.is_empty(), "{name} names no licence");
        let is_linked = linked.contains(&each);
        rows.insert(format!("| {name} | {version} | {licence} | {} |\n", if is_linked { "yes" } else { "no" }));
        for licence in if is_linked { licences(package) } else { Vec::new() } {
            texts.entry(licence).or_default().insert(name);
        }
    }
    made.extend(rows);
    made.push_str("\n## Texts\n\nThe Apache License 2.0 is in LICENSE; the others are as the crates have them.\n");
    let mut texts: Vec<(BTreeSet<&str>, String)> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    for (names, text) in texts {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        write!(made, "\n### {names}\n\n~~~text\n{text}\n~~~\n").unwrap();
    }
    made
}

/// Given the crates that Cargo.lock has for Linux, then the notices list exactly these, with their licences.
#[test]
fn the_notices_are_current() {
    let (path, made) = (root().join(NAME), notices());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{NAME} is not what Cargo.lock says now: UPDATE=1 cargo test --test integration -- notices"
    );
}

/// Given a binary, when scripts/dist packs it, then tarball and .deb hold the notices.
#[test]
fn packages_hold_the_notices() {
    let into = tempfile::tempdir().unwrap();
    let dist = into.path().join("dist");
    let ran = Command::new(root().join("scripts/dist")).arg("/bin/true").arg(&dist).arg("--no-sbom").output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut looked_at = 0;
    for path in fs::read_dir(&dist).unwrap().map(|entry| entry.unwrap().path()) {
        let (program, option) = match path.extension().and_then(|end| end.to_str()) {
            Some("gz") => ("tar", "-tzf"),
            Some("deb") => ("dpkg-deb", "--contents"),
            _ => continue,
        };
        let names = Command::new(program).arg(option).arg(&path).output().unwrap();
        let names = String::from_utf8(names.stdout).unwrap();
        assert!(names.contains("/doc/pushwrap/THIRD-PARTY-NOTICES.md"), "{}: {names}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 0, "scripts/dist makes a tarball at least");
}

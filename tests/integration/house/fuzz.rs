//! The fuzz crate has a lock of its own. It is built with the same packages as pushwrap, and with libFuzzer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::root;

/// What only the fuzz crate needs.
const OWN: [&str; 4] = ["arbitrary", "jobserver", "libfuzzer-sys", "pushwrap-fuzz"];

/// The versions of each package of a Cargo.lock.
fn packages(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value =
            |key: &str| package.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches('"').to_owned();
        found.entry(value("name = ")).or_default().insert(value("version = "));
    }
    found
}

#[test]
fn the_fuzz_crate_has_the_packages_of_pushwrap() {
    let lock = |path: &str| packages(&fs::read_to_string(root().join(path)).unwrap());
    let (ours, fuzz) = (lock("Cargo.lock"), lock("fuzz/Cargo.lock"));
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let needed = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let missing: Vec<&str> =
        needed.lines().filter_map(|line| line.split(" = ").next()).filter(|name| !fuzz.contains_key(*name)).collect();
    assert!(needed.lines().count() > 20 && missing.is_empty(), "fuzz/Cargo.lock lacks {missing:?}");
    let is_other = |(name, versions): &(&String, &BTreeSet<String>)| {
        !OWN.contains(&name.as_str()) && ours.get(*name).is_none_or(|ours| !versions.is_subset(ours))
    };
    let others: Vec<_> = fuzz.iter().filter(is_other).collect();
    assert!(others.is_empty(), "copy Cargo.lock to fuzz/ and let 'make fuzz TIME=1' add to it: {others:?}");
}

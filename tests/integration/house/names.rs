//! No type name is defined twice in the crate, and words that the project has given up stay gone.

use std::collections::BTreeMap;
use std::fs;

use super::{root, sources};

/// `cli::Push` is what was typed after `pushwrap push`, `sink::Push` what a sink gets.
const NATURAL_BY_PATH: [&str; 1] = ["Push"];

/// Names that the code once had. None of them is a word that a sentence needs.
const GIVEN_UP: [&str; 23] = [
    "Courier",
    "Parcel",
    "Errand",
    "run_errand",
    "Doors",
    "Gist",
    "Materials",
    "Surroundings",
    "Handover",
    "NoLookup",
    "waiting_push",
    "overlaid",
    "Fate",
    "StateDir",
    "Keeping",
    "Halt",
    "rehearse",
    "undergo",
    "bell",
    "understand",
    "Lane",
    "Voice",
    "Ground",
];

/// The name that a line defines as a type of its own.
fn defined_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => line,
    };
    let rest = ["struct ", "enum ", "trait "].iter().find_map(|keyword| line.trim_start().strip_prefix(keyword))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

#[test]
fn no_type_name_is_defined_twice() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for name in text.lines().filter_map(defined_type) {
            files.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(files.contains_key("GroupingKey") && files.contains_key("Dispatcher"), "the search finds types");
    files.retain(|name, files| files.len() > 1 && !NATURAL_BY_PATH.contains(&name.as_str()));
    assert!(files.is_empty(), "defined more than once: {files:#?}");
}

#[test]
fn words_that_were_given_up_stay_gone() {
    let mut call = std::process::Command::new("grep");
    call.args(["-rnwE", "--include=*.rs", "--include=*.md", "--include=*.1", "--exclude=names.rs"]);
    let call = call.arg(GIVEN_UP.join("|")).args(["src", "tests", "docs", "README.md", "man"]).current_dir(root());
    let output = call.output().expect("grep is needed");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{found}");
}

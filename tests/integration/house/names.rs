//! No type name is defined twice in the crate, and words that the project has given up stay gone.

use std::collections::BTreeMap;
use std::fs;

use super::{root, sources};

/// `cli::Push` is what was typed after `pushwrap push`, `sink::Push` what a sink gets.
const NATURAL_BY_PATH: [&str; 1] = ["Push"];

/// Names that the code once had, of which each had another meaning in its place. Not here: `Running`, `Final` and `Refused`, which
/// still name what they say, the adverb "never", and "Given", with which the sentence of a test begins.
const GIVEN_UP: [&str; 64] = [
    "Turn",
    "Interim",
    "Parcel",
    "Courier",
    "Lane",
    "bell",
    "hurry",
    "Errand",
    "run_errand",
    "Handed",
    "Place",
    "Door",
    "Doors",
    "door",
    "doors",
    "StateDir",
    "Spool",
    "Note",
    "Fate",
    "Light",
    "look",
    "peek",
    "waiting_push",
    "Gist",
    "Told",
    "told",
    "Over",
    "Moment",
    "Materials",
    "understand",
    "Voice",
    "trouble",
    "note",
    "salvage",
    "remains",
    "lasting",
    "lasting_names",
    "overlaid",
    "Watch",
    "Hold",
    "Halt",
    "keeping",
    "Keeping",
    "Reach",
    "Surroundings",
    "Named",
    "Access",
    "quote",
    "quoted",
    "printable",
    "visible",
    "shown",
    "words",
    "rehearse",
    "Handover",
    "NoLookup",
    "Ground",
    "Image",
    "undergo",
    "Trouble",
    "Whole",
    "State",
    "ring",
    "Waiting",
];

/// What may stay: the file, a part of the line, and whose name it is.
const NAMES_OF_OTHERS: [(&str, &str, &str); 12] = [
    ("src/", ".peek()", "the method of std's Peekable"),
    ("tests/integration/harness/fake.rs", ".peek(", "the method of std's TcpStream"),
    ("src/http/tls.rs", "ring::", "the crate"),
    ("src/http/tls.rs", "crypto::{", "the crate"),
    ("src/delivery/spool/old.rs", "head.one(\"door\")", "a file of an older version"),
    ("src/delivery/spool/old.rs", "head.one(\"salvage\")", "a file of an older version"),
    ("src/exposition/diagnostic/mod.rs", "note{end}", "printed as rustc prints it"),
    ("tests/integration/generated.rs", "set -l words", "a variable in fish's completions"),
    ("tests/integration/generated.rs", "$words", "the same"),
    ("tests/integration/generated.rs", "${words[", "the variable of zsh's completions"),
    ("tests/integration/generated.rs", "shift $dashes words", "the same"),
    ("tests/integration/generated.rs", "zsh's `words`", "the same"),
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
    assert!(output.status.success(), "the search finds the names of others: {output:?}");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_ours = |line: &&str| {
        let may_stay = |(file, part, _): &(&str, &str, &str)| line.starts_with(file) && line.contains(part);
        !NAMES_OF_OTHERS.iter().any(may_stay)
    };
    let ours: Vec<&str> = found.lines().filter(is_ours).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
    let is_unused = |(file, part, _): &&(&str, &str, &str)| {
        !found.lines().any(|line| line.starts_with(*file) && line.contains(*part))
    };
    let unused: Vec<_> = NAMES_OF_OTHERS.iter().filter(is_unused).collect();
    assert!(unused.is_empty(), "no line needs the exceptions {unused:?}");
}

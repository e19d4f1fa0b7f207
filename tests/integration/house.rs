//! The house rules that no compiler knows: the floors of `src/lib.rs`, and what every file must say first.

mod circles;
mod fuzz;
mod names;
mod notices;
mod security;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    found.sort();
    found
}

/// The floor of each top module, 1 at the bottom, as the groups of `mod` lines say.
fn floors(lib: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    let mut floor = 0;
    let mut in_group = false;
    for line in lib.lines().rev() {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        if let Some(module) = module {
            floor += usize::from(!in_group);
            floors.insert(module.to_owned(), floor);
        }
        in_group = module.is_some();
    }
    floors
}

/// Code without comments, without string contents that have the form of paths, and with the items of a group written out:
/// `use crate::{outcome::Outcome, job}` names `crate::outcome` and `crate::job`.
fn crate_paths(source: &str) -> Vec<String> {
    let code: String =
        source.lines().map(|line| line.find("//").map_or(line, |at| &line[..at])).collect::<Vec<_>>().join("\n");
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            modules.extend(group_heads(group));
        } else {
            modules.push(identifier(rest));
        }
    }
    modules
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first path segment of each item of a `{…}` group whose brace has been taken off.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![identifier(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.push(identifier(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// Whether `super::super::…` in a file `depth` modules below the crate root leads to the root, where floors would not be
/// seen. Inside its `mod tests { … }`, one `super` only leads back to the file.
fn climbs_out(source: &str, depth: usize) -> bool {
    let (code, tests) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    code.contains(&"super::".repeat(depth)) || tests.contains(&"super::".repeat(depth + 1))
}

/// What is wrong with one file of the top module `own`, at `depth` modules below the crate root.
fn complaints(own: &str, depth: usize, source: &str, floors: &BTreeMap<String, usize>) -> Vec<String> {
    let mut found = Vec::new();
    let floor = floors[own];
    for module in crate_paths(source) {
        match floors.get(&module) {
            None => found.push(format!("names crate::{module}, which is no module of lib.rs")),
            Some(_) if own == "cli" && module != "cli" => {
                found.push(format!("names crate::{module}: cli imports nothing from the crate"));
            }
            Some(other) if module != own && *other >= floor => {
                found.push(format!("is on floor {floor} and names crate::{module}, which is on floor {other}"));
            }
            Some(_) => {}
        }
    }
    if climbs_out(source, depth) {
        found.push("climbs out of its top module with super::".to_owned());
    }
    if source.contains("use super::*") || source.contains("use crate::*") {
        found.push("imports everything, so that nobody sees who depends on whom".to_owned());
    }
    found
}

/// `src/sink/retry.rs` → (`sink`, 2); `src/sink/mod.rs` and `src/outcome.rs` → depth 1.
fn place(path: &Path) -> (String, usize) {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let names: Vec<String> = inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let depth = names.len() - usize::from(names.last().is_some_and(|name| name == "mod"));
    (names[0].clone(), depth)
}

#[test]
fn a_module_uses_only_the_floors_below() {
    let floors = floors(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let mut found = Vec::new();
    for path in sources() {
        let (own, depth) = place(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        assert!(floors.contains_key(&own), "{} belongs to no module of lib.rs", path.display());
        let source = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        found.extend(
            complaints(&own, depth, &source, &floors).into_iter().map(|complaint| format!("{name} {complaint}")),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_floors_test_sees_what_it_should() {
    let floors = floors("pub mod job;\n\npub mod cli;\npub mod report;\n\npub mod child;\npub mod sink;\n");
    let of = |own: &str, source: &str| complaints(own, 1, source, &floors).len();
    assert_eq!((floors["sink"], floors["child"], floors["cli"], floors["job"]), (1, 1, 2, 3));
    assert_eq!(of("job", "use crate::{report::Row, child, cli::{A, B}};"), 0);
    assert_eq!(of("sink", "use crate::child::Child;"), 1, "a sibling");
    assert_eq!(of("sink", "let x = crate::job::run();"), 1, "a floor above");
    assert_eq!(of("report", "use crate::{sink::A,\n    cli};"), 1, "a sibling in a group");
    assert_eq!(of("cli", "use crate::child::Child;"), 1, "cli imports nothing");
    assert_eq!(of("report", "use crate::sink;\n// crate::job is drawn elsewhere\nuse crate::report::x;"), 0);
    assert_eq!(of("report", "#[cfg(test)]\nmod tests { use super::*; }"), 1);
    assert_eq!(of("sink", "use super::job;"), 1, "climbs to the root");
    assert_eq!(of("sink", "#[cfg(test)]\nmod tests { use super::Sink; }"), 0);
    assert_eq!(of("sink", "#[cfg(test)]\nmod tests { use super::super::job; }"), 1);
}

#[test]
fn every_file_says_first_why_it_exists() {
    let silent: Vec<_> =
        sources().into_iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! ")).collect();
    assert!(silent.is_empty(), "these do not open with //!: {silent:?}");
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("a CHANGELOG.md");
    let heading = format!("## {}", env!("CARGO_PKG_VERSION"));
    assert!(changelog.lines().any(|line| line.starts_with(&heading)), "CHANGELOG.md has no heading '{heading}'");
}

//! What docs/security.md says of tests and of `unsafe` is so.

use std::collections::BTreeMap;
use std::fs;

use super::{identifier, root, sources};

fn page() -> String {
    fs::read_to_string(root().join("docs/security.md")).unwrap()
}

/// What stands between backticks in a line.
fn in_marks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether `test`, as cargo prints it, is a `#[test]` in a file of tests/integration, tests/system or src.
fn is_a_test(test: &str) -> bool {
    let Some((modules, name)) = test.rsplit_once("::") else { return false };
    let head = format!("fn {name}() {{");
    let says = |file: String| {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        // Between the two there may be other attributes.
        lines.iter().position(|line| *line == head).is_some_and(|at| {
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| *line == "#[test]")
        })
    };
    // A module of tests stands in a file of its own or within another's.
    let path = modules.replace("::", "/");
    let above = path.strip_suffix("/tests").unwrap_or(&path);
    let inner = above.rsplit_once('/').map_or(above, |(outer, _)| outer);
    ["tests/integration", "tests/system", "src"].iter().any(|room| {
        [path.as_str(), above, inner]
            .iter()
            .any(|module| says(format!("{room}/{module}.rs")) || says(format!("{room}/{module}/mod.rs")))
    })
}

/// How often each item of a source says `unsafe`: a block or a whole function counts for the function, an `extern` block or
/// an attribute for the first item that it declares.
fn unsafe_items(source: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut last = String::new();
    let mut is_ahead = 0;
    for line in source.lines().map(|line| line.find("//").map_or(line, |at| &line[..at])) {
        let declared = ["fn ", "static "].iter().find_map(|word| {
            let at = line.find(word)?;
            let name = identifier(&line[at + word.len()..]);
            (!name.is_empty() && line[..at].chars().all(|c| !"\"'=&".contains(c))).then_some(name)
        });
        match declared {
            Some(name) if is_ahead > 0 => *found.entry(name).or_default() += std::mem::take(&mut is_ahead),
            Some(name) if line.contains("fn ") => last = name,
            _ => {}
        }
        let count = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| *word == "unsafe").count();
        if line.contains("unsafe extern") || line.contains("#[unsafe") {
            is_ahead += count;
        } else if count > 0 {
            *found.entry(last.clone()).or_default() += count;
        }
    }
    found
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let page = page();
    let named: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).flat_map(in_marks).collect();
    let tests: Vec<&str> = named.into_iter().filter(|name| name.contains("::")).collect();
    assert!(tests.len() > 40, "the page names {} tests", tests.len());
    let missing: Vec<_> = tests.into_iter().filter(|test| !is_a_test(test)).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that are not there: {missing:#?}");
}

#[test]
fn every_row_names_a_test() {
    let page = page();
    let (mut bare, mut is_inside) = (Vec::new(), false);
    for line in page.lines() {
        is_inside = line.ends_with("| tests |") || is_inside && line.starts_with('|');
        if is_inside && line.starts_with("| ") && !line.ends_with("| tests |") && !line.contains("::") {
            bare.push(line);
        }
    }
    assert!(bare.is_empty(), "these rows of docs/security.md name no test: {bare:#?}");
}

#[test]
fn every_unsafe_block_has_a_row() {
    let mut there = BTreeMap::new();
    for path in sources() {
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        for (item, count) in unsafe_items(&fs::read_to_string(&path).unwrap()) {
            there.insert((file.clone(), item), count);
        }
    }
    let mut listed = BTreeMap::new();
    for row in page().lines().filter(|line| line.starts_with("| `src/")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let key = (cells[1].trim_matches('`').to_owned(), cells[2].trim_matches('`').to_owned());
        assert!(listed.insert(key, cells[3].parse().unwrap()).is_none(), "two rows: {row}");
    }
    assert!(there.len() > 20, "{there:#?}");
    assert_eq!(listed, there, "docs/security.md (left) and src (right) do not have the same unsafe code");
}

#[test]
fn the_tests_of_the_page_see_what_they_should() {
    assert!(is_a_test("house::security::every_unsafe_block_has_a_row"), "in a file of a room");
    assert!(
        is_a_test("text::escape::tests::control_characters_are_escaped_and_letters_are_not"),
        "in a module of a file"
    );
    assert!(is_a_test("textfile::tests::the_private_file_is_private_and_goes_away"), "in a file of tests");
    assert!(!is_a_test("house::security::page"), "no test");
    assert!(!is_a_test("house::circles::every_unsafe_block_has_a_row"), "in another file");
    let source = "unsafe extern \"C\" {\n    fn c();\n}\n// unsafe\nfn a() {\n    unsafe { c() };\n    if unsafe { c() } {}\n}\n\
                  #[unsafe(no_mangle)]\nstatic B: u8 = 0;\nunsafe fn d() {}\n#![allow(unsafe_code)]\n";
    let found: Vec<(String, usize)> = unsafe_items(source).into_iter().collect();
    let expected = [("B", 1), ("a", 2), ("c", 1), ("d", 1)].map(|(item, count)| (item.to_owned(), count));
    assert_eq!(found, expected);
}

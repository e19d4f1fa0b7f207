//! No two files of the crate import each other in a circle: every import is resolved to the file that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{root, sources};

/// The files of the crate by their module path: `exposition::model` is `src/exposition/model/mod.rs`.
type Modules = BTreeMap<Vec<String>, String>;

/// Which files each file imports from.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The code of a file without comments and without its tests.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    // `://` stands in the text of a URL and begins no comment.
    let comment = |line: &str| line.match_indices("//").map(|(at, _)| at).find(|at| !line[..*at].ends_with(':'));
    code.lines().map(|line| comment(line).map_or(line, |at| &line[..at])).collect::<Vec<_>>().join("\n")
}

/// The module path of a file below `src`.
fn module(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|name| name == "mod") {
        path.pop();
    }
    path
}

/// Every path of a text that begins with one of `roots`, groups written out.
fn paths(code: &str, roots: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = code[..at].chars().next_back();
            // `pub(in crate::config)` says who may see a name, and imports none.
            let is_visibility = code[..at].ends_with("pub(in ");
            if !is_visibility && before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.') {
                walk(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path, which may end in a group; returns what follows it.
fn walk<'t>(text: &'t str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = walk(rest, &mut before.clone(), found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                _ => return rest.trim_start_matches([',', ' ', '\n']).strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let len = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
    if len == 0 {
        found.push(before.clone());
        return text.strip_prefix('*').unwrap_or(text);
    }
    before.push(text[..len].to_owned());
    if let Some(rest) = text[len..].strip_prefix("::") {
        return walk(rest, before, found);
    }
    found.push(before.clone());
    text[len..].trim_start_matches(|c: char| c != ',' && c != '}' && c != ';' && c != '\n')
}

/// The modules that a file declares.
fn children(code: &str) -> Vec<String> {
    let declared = code.lines().filter_map(|line| line.strip_suffix(';')?.split_once("mod "));
    declared.map(|(_, name)| name.to_owned()).filter(|name| !name.contains(char::is_whitespace)).collect()
}

/// The path from the root of the crate that `path` in the module `own` means.
fn absolute(path: &[String], own: &[String]) -> Vec<String> {
    let mut base = own.to_vec();
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        match first.as_str() {
            "crate" => base.clear(),
            "super" => {
                base.pop();
            }
            "self" => {}
            _ => break,
        }
        rest = tail;
    }
    base.extend(rest.iter().cloned());
    base
}

/// Which files the file `file` imports from.
fn imports(file: &str, source: &str, modules: &Modules) -> BTreeSet<String> {
    let (code, own) = (code(source), module(file));
    let mut roots: Vec<String> = ["crate", "super", "self"].map(str::to_owned).to_vec();
    roots.extend(children(&code));
    let mut found = BTreeSet::new();
    for path in paths(&code, &roots) {
        let path = absolute(&path, &own);
        let file_of = (0..=path.len()).rev().find_map(|len| modules.get(&path[..len]));
        found.extend(file_of.filter(|other| *other != file).cloned());
    }
    found
}

/// The files of `src`, and what each imports from.
fn crate_imports() -> Imports {
    let src = root().join("src");
    let name = |path: &Path| path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
    let is_code = |file: &String| !file.ends_with("tests.rs") && file != "lib.rs" && file != "main.rs";
    let files: Vec<String> = sources().iter().map(|path| name(path)).filter(is_code).collect();
    let modules: Modules = files.iter().map(|file| (module(file), file.clone())).collect();
    let of = |file: &String| imports(file, &fs::read_to_string(src.join(file)).unwrap(), &modules);
    files.iter().map(|file| (file.clone(), of(file))).collect()
}

/// Everything that can be reached from a file.
fn reached<'i>(from: &'i str, imports: &'i Imports) -> BTreeSet<&'i str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(file) = open.pop() {
        let next = imports.get(file).into_iter().flatten().map(String::as_str);
        open.extend(next.filter(|file| found.insert(file)));
    }
    found
}

/// The files that can be reached from themselves, those in one circle together.
fn circles(imports: &Imports) -> BTreeSet<Vec<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|file| (file.as_str(), reached(file, imports))).collect();
    let in_circle = reach.iter().filter(|(file, reached)| reached.contains(*file));
    in_circle
        .map(|(file, reached)| reached.iter().copied().filter(|other| reach[other].contains(file)).collect())
        .collect()
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let imports = crate_imports();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 200, "the imports were not found");
    let found: Vec<String> = circles(&imports)
        .iter()
        .map(|circle| {
            let inside = |file: &&str| imports[*file].iter().filter(|other| circle.contains(&other.as_str())).cloned();
            let lines = circle.iter().map(|file| format!("  {file} -> {}", inside(file).collect::<Vec<_>>().join(" ")));
            lines.collect::<Vec<_>>().join("\n")
        })
        .collect();
    assert!(found.is_empty(), "these files import each other in a circle:\n{}", found.join("\n\n"));
}

#[test]
fn the_circles_test_sees_what_it_should() {
    let files = [
        ("a/mod.rs", "mod b;\nmod c;\nuse b::B;\npub use c::C;"),
        ("a/b.rs", "use super::c::{C, D};\nuse crate::e;"),
        ("a/c.rs", "use crate::{e::{F, G}, h};\n// use super::b::B;\n#[cfg(test)]\nmod tests { use super::b; }"),
        ("e.rs", "fn f() { let url = \"http://host\"; crate::h::run(self::x()) }"),
        ("i.rs", "use crate::{e::*, h::{self, *}, a::b};"),
        ("h.rs", ""),
    ];
    let of = |files: &[(&str, &str)]| -> Imports {
        let modules: Modules = files.iter().map(|(file, _)| (module(file), (*file).to_owned())).collect();
        files.iter().map(|(file, source)| ((*file).to_owned(), imports(file, source, &modules))).collect()
    };
    let imports = of(&files);
    let names = |file: &str| imports[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names("a/mod.rs"), ["a/b.rs", "a/c.rs"]);
    assert_eq!(names("a/b.rs"), ["a/c.rs", "e.rs"]);
    assert_eq!(names("a/c.rs"), ["e.rs", "h.rs"]);
    assert_eq!(names("e.rs"), ["h.rs"]);
    assert_eq!(names("i.rs"), ["a/b.rs", "e.rs", "h.rs"]);
    assert!(circles(&imports).is_empty());
    let mut files = files.to_vec();
    files[5].1 = "use crate::a::C;";
    let imports = of(&files);
    let expected = vec!["a/b.rs", "a/c.rs", "a/mod.rs", "e.rs", "h.rs"];
    assert_eq!(circles(&imports), BTreeSet::from([expected]), "the file that re-exports is in the circle");
}

//! README.md and the pages of docs/, and the fenced blocks in them. A test that executes or validates a block names it with
//! [`block`], and `pages::every_block_of_the_pages_is_named_by_a_test` holds that every block has one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of a page.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The page and the heading above as a link names them, and from the second block below a heading on its number:
    /// `README.md#recipes 2`.
    pub(crate) name: String,
    /// What stands behind the fence: `sh`.
    pub(crate) language: String,
    /// The lines between the fences.
    pub(crate) text: String,
    /// Whether it stands between `<!-- NAME -->` and `<!-- end -->`: then the program itself has written it.
    pub(crate) generated: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and every page of docs/ with its text.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("a page").path());
    let mut paths: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|name| name == "md")).collect();
    paths.push(root().join("README.md"));
    paths.sort();
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a page in UTF-8");
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// A heading's anchor as GitHub makes it: lower case, blanks to hyphens, punctuation left out.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|each| each.is_alphanumeric() || " -_".contains(*each));
    kept.map(|each| if each == ' ' { '-' } else { each }).collect()
}

/// The blocks of a text; `page` begins their names.
pub(crate) fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let (mut heading, mut generated, mut is_open) = (String::new(), false, false);
    for line in text.lines() {
        match (line.strip_prefix("```"), is_open) {
            (Some(_), true) => is_open = false,
            (Some(language), false) => {
                is_open = true;
                let section = format!("{page}#{heading}");
                let number = numbers.entry(section.clone()).or_default();
                *number += 1;
                let name = if *number == 1 { section } else { format!("{section} {number}") };
                found.push(Block { name, language: language.to_owned(), text: String::new(), generated });
            }
            (None, true) => {
                let text = &mut found.last_mut().expect("the open block").text;
                text.extend([line, "\n"]);
            }
            (None, false) if line.starts_with('#') => heading = anchor(line),
            (None, false) => {
                if let Some(mark) = line.strip_prefix("<!-- ") {
                    generated = !mark.starts_with("end ");
                }
            }
        }
    }
    found
}

/// The blocks of all pages.
pub(crate) fn blocks() -> Vec<Block> {
    let name = |path: &Path| path.strip_prefix(root()).expect("a page of this repository").display().to_string();
    pages().iter().flat_map(|(path, text)| blocks_of(&name(path), text)).collect()
}

/// The text of the block with this name, as it stands on its page.
#[track_caller]
pub(crate) fn block(name: &str) -> String {
    let found = blocks().into_iter().find(|block| block.name == name);
    found.unwrap_or_else(|| panic!("no page has the block '{name}'")).text
}

/// The commands of a block that was typed at a prompt, each with the output below it. What stands behind `  # ` says what
/// the command is for.
pub(crate) fn typed(block: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) {
            let command = command.split("  # ").next().expect("a first part").trim_end();
            found.push((command.to_owned(), String::new()));
        } else {
            found.last_mut().expect("a command before its output").1.extend([line, "\n"]);
        }
    }
    found
}

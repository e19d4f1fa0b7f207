//! The pages and the program say the same: the tables and texts that come from code are held to it, and every link between
//! pages leads somewhere. `UPDATE=1 cargo test readme` writes the tables and texts anew.

use std::fs;
use std::path::Path;

use pushwrap::{cli, report};

use super::harness::pages::{anchor, pages};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text between `<!-- NAME -->` and `<!-- end -->` in the page is exactly `made`.
#[track_caller]
fn hold(page: &str, name: &str, made: &str) {
    let path = root().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let opening = format!("<!-- {name} -->\n");
    let start = text.find(&opening).unwrap_or_else(|| panic!("{page} has no '{}'", opening.trim())) + opening.len();
    let end = start + text[start..].find("<!-- end -->").unwrap_or_else(|| panic!("{page} has no '<!-- end -->'"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{}{made}{}", &text[..start], &text[end..])).unwrap();
        return;
    }
    assert!(
        &text[start..end] == made,
        "{name} in {page} is not what the program says: run 'UPDATE=1 cargo test readme'"
    );
}

#[test]
fn the_pages_say_what_the_program_says() {
    hold("docs/metrics.md", "metrics", &report::markdown_table());
    let help = cli::command(cli::HelpForm::Full).render_help().to_string();
    hold("docs/reference.md", "help", &format!("```text\n{}\n```\n", help.trim_end()));
}

#[test]
fn readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README has {lines} lines: what is more than an introduction belongs in docs/");
}

#[test]
fn readme_and_reference_have_the_same_exit_statuses() {
    let table = |page: &str| {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let rows = text.lines().skip_while(|line| *line != "| status | meaning |");
        rows.take_while(|line| line.starts_with('|')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(table("README.md").len() > 3, "README has a table of exit statuses");
    assert_eq!(table("README.md"), table("docs/reference.md"));
}

/// The targets of `[text](target)` in a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").map(|(at, _)| text[at + 2..].split(')').next().unwrap_or_default())
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        for link in links(&text).filter(|link| !link.starts_with("http") && !link.contains(char::is_whitespace)) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = heading.is_empty()
                || fs::read_to_string(&target)
                    .is_ok_and(|text| text.lines().any(|line| line.starts_with('#') && anchor(line) == heading));
            if !target.exists() || !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_reached_from_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (path, _) in pages().into_iter().filter(|(path, _)| !path.ends_with("README.md")) {
        let link = format!("](docs/{})", path.file_name().unwrap().to_str().unwrap());
        assert!(readme.contains(&link), "README has no link '{link}'");
    }
}

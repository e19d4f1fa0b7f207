//! The pages and the program say the same: the tables and texts that come from code are held to it, and every link between
//! pages leads somewhere. `UPDATE=1 cargo test readme` writes the tables and texts anew.

use std::fs;
use std::path::Path;

use pushwrap::{cli, report};

use super::harness::pages::{anchor, block, pages};

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

/// `scripts/pictures` makes them; what no page has, or is too heavy to be loaded with a page, does not belong there.
#[test]
fn every_picture_is_on_a_page_and_small() {
    let pages = pages();
    let pictures = fs::read_dir(root().join("docs/pictures")).unwrap().map(|entry| entry.unwrap().path());
    let pictures: Vec<_> = pictures.collect();
    assert!(pictures.len() >= 5, "{pictures:?}");
    for picture in pictures {
        let name = picture.file_name().unwrap().to_str().unwrap();
        assert!(pages.iter().any(|(_, text)| text.contains(&format!("pictures/{name})"))), "no page has {name}");
        let bytes = fs::metadata(&picture).unwrap().len();
        assert!(bytes < 64 << 10, "{name} has {bytes} bytes");
        if picture.extension().is_some_and(|end| end == "svg") {
            let text = fs::read_to_string(&picture).unwrap();
            assert!(text.contains("prefers-color-scheme: dark"), "{name} is not made for a dark screen");
        }
    }
}

/// The picture is of a program that says what this one says.
#[test]
fn the_picture_of_a_summary_has_the_lines_of_the_reference() {
    let picture = fs::read_to_string(root().join("docs/pictures/summary.svg")).unwrap();
    let lines: Vec<&str> = picture.lines().filter_map(|line| Some(line.split_once("\">pushwrap: ")?.1)).collect();
    let heads = |lines: Vec<&str>| -> Vec<String> {
        let heads = lines.into_iter().map(|line| line.split_whitespace().next().unwrap_or_default().to_owned());
        // A run that has used no disk has no line about it.
        heads.filter(|head| head != "disk").collect()
    };
    let reference = block("docs/reference.md#--summary");
    assert_eq!(heads(lines), heads(reference.lines().filter_map(|line| line.strip_prefix("pushwrap: ")).collect()));
}

#[test]
fn every_page_is_reached_from_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (path, _) in pages().into_iter().filter(|(path, _)| !path.ends_with("README.md")) {
        let link = format!("](docs/{})", path.file_name().unwrap().to_str().unwrap());
        assert!(readme.contains(&link), "README has no link '{link}'");
    }
}

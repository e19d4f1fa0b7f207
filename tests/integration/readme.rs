//! README and the program say the same: the tables and texts that come from code are held to it. `UPDATE=1 cargo test readme`
//! writes them anew.

use std::fs;
use std::path::Path;

use pushwrap::{cli, report};

/// The text between `<!-- NAME -->` and `<!-- end -->` in README is exactly `made`.
#[track_caller]
fn hold(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let opening = format!("<!-- {name} -->\n");
    let start = readme.find(&opening).unwrap_or_else(|| panic!("README has no '{}'", opening.trim())) + opening.len();
    let end = start + readme[start..].find("<!-- end -->").expect("README has no '<!-- end -->' after it");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{}{made}{}", &readme[..start], &readme[end..])).unwrap();
        return;
    }
    assert!(
        &readme[start..end] == made,
        "README's {name} is not what the program says: run 'UPDATE=1 cargo test readme'"
    );
}

#[test]
fn readme_says_what_the_program_says() {
    hold("metrics", &report::markdown_table());
    let help = cli::command(cli::Help::Full).render_help().to_string();
    hold("help", &format!("```text\n{}\n```\n", help.trim_end()));
}

//! Completions and man pages as the programs that read them judge them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::engine::need_program;

/// Given fish, when the command behind '--' is completed, then it is completed as without pushwrap; and options have their keywords.
#[test]
fn fish_completes_the_wrapped_command_and_words() {
    let fish = need_program("fish", "fish");
    let offers = |line: &str| {
        let script = format!("source completions/pushwrap.fish; complete -C '{line}'");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(&fish).args(["--no-config", "-c", &script]).current_dir(root).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (line, expected) in [
        ("pushwrap --url none -- tru", "true"),
        ("pushwrap -- cat Cargo.t", "Cargo.toml"),
        ("pushwrap --signal USR", "USR1"),
        ("pushwrap --state-dir no", "none"),
        ("pushwrap --state-dir=", "--state-dir=tests/"),
    ] {
        let offered = offers(line);
        assert!(offered.lines().any(|offer| offer.split('\t').next() == Some(expected)), "{line}: {offered}");
    }
}

/// Given mandoc, when it judges the man pages, then it warns of nothing.
#[test]
fn mandoc_warns_of_nothing() {
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let mandoc = need_program("mandoc", "mandoc");
    let output = Command::new(mandoc).args(["-T", "lint", "-W", "warning"]).args(pages).output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

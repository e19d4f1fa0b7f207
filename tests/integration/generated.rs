//! The man pages and the shell completions: made from the definitions of the command line, committed, and held to them.
//! `make generated` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use pushwrap::cli;
use pushwrap::config::variable;

/// Compares with the committed file, or writes it where `UPDATE` is set.
#[track_caller]
fn hold(path: &str, made: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap_or(&PathBuf::new())).unwrap();
        fs::write(&path, made).unwrap();
    }
    let committed = fs::read(&path).unwrap_or_default();
    assert!(committed == made, "'{}' is not what the command line says now: run 'make generated'", path.display());
}

fn completion(shell: Shell) -> Vec<u8> {
    let mut made = Vec::new();
    generate(shell, &mut cli::command(false), "pushwrap", &mut made);
    made
}

#[test]
fn completions_are_current() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let name = match shell {
            Shell::Bash => "pushwrap.bash".to_owned(),
            other => other.file_name("pushwrap"),
        };
        hold(&format!("completions/{name}"), &completion(shell));
    }
}

#[test]
fn man_pages_are_current() {
    // The definitions as they are: with the long texts that `--help` leaves out.
    let command = cli::Cli::command();
    hold("man/pushwrap.1", &page(&command, true));
    for subcommand in command.get_subcommands() {
        let name = format!("pushwrap-{}", subcommand.get_name());
        let usage = subcommand.clone().render_usage().to_string().replace("Usage: ", "");
        let named = subcommand.clone().display_name(&name).override_usage(usage);
        hold(&format!("man/{name}.1"), &page(&named, false));
    }
}

fn page(command: &Command, whole: bool) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone()).date("").source(format!("pushwrap {version}")).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    synopsis(command).to_writer(&mut page).unwrap();
    if whole {
        sections(DESCRIPTION).to_writer(&mut page).unwrap();
    } else {
        man.render_description_section(&mut page).unwrap();
    }
    man.render_options_section(&mut page).unwrap();
    if whole {
        environment(command).to_writer(&mut page).unwrap();
        sections(&include_str!("man-sections.txt").replace("\r\n", "\n")).to_writer(&mut page).unwrap();
    }
    page
}

/// clap's usage knows the two forms and the place of `--`; its man page would not.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for line in usage.trim_start_matches("Usage: ").lines() {
        roff.text([roman(line.trim())]);
        roff.control("br", []);
    }
    roff
}

const DESCRIPTION: &str = "\
= DESCRIPTION
Runs COMMAND, measures it, collects the metrics that it wrote, and pushes everything to a Prometheus Pushgateway when it ends. \
The command's streams, terminal, signals and exit status are its own.
";

fn environment(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "A variable counts where the option is not given; an empty one is unset. Lists are separated by commas.",
    )]);
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| !["help", "version", "textfile"].contains(long)) else {
            continue;
        };
        roff.control("TP", []);
        roff.text([bold(variable(long))]);
        roff.text([roman("as "), italic(format!("--{long}"))]);
    }
    roff.control("TP", []);
    roff.text([bold("PUSHWRAP_TEXTFILE")]);
    roff.text([roman("is set for the command: the file to which it writes metrics of its own")]);
    roff
}

/// Paragraphs under `= HEADINGS`; a line that begins with a blank stands as it is.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for line in text.lines() {
        match line.strip_prefix("= ") {
            Some(heading) => drop(roff.control("SH", [heading])),
            None if line.is_empty() => drop(roff.control("PP", [])),
            None if line.starts_with(' ') => {
                roff.control("br", []);
                roff.text([roman(line)]);
            }
            None => drop(roff.text([roman(line)])),
        }
    }
    roff
}

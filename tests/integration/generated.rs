//! The man pages and the shell completions: made from the definitions of the command line, committed, and held to them.
//! `make generated` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use pushwrap::cli;
use pushwrap::config::variable;

use super::harness::pushwrap::binary;

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
    generate(shell, &mut without_hidden(cli::command(cli::Help::Full)), "pushwrap", &mut made);
    with_metric_names(shell, &String::from_utf8(made).unwrap()).into_bytes()
}

/// clap's completions offer hidden subcommands too, and clap takes none away again.
fn without_hidden(command: Command) -> Command {
    command.mut_subcommand("metric", |metric| {
        let shown = metric.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
        let about = metric.get_about().cloned().unwrap_or_default();
        Command::new("metric").about(about).subcommands(shown).disable_help_subcommand(true)
    })
}

/// The names of metrics are those in the file: what clap leaves open there, `pushwrap metric names` fills.
fn with_metric_names(shell: Shell, made: &str) -> String {
    const VERBS: [&str; 4] = ["set", "add", "observe", "time"];
    let (open, filled) = match shell {
        Shell::Bash => {
            let names = "$(\"$1\" metric names 2>/dev/null)";
            let filled = format!(
                "            if [[ ${{cur}} != -* && ${{COMP_CWORD}} -eq 3 ]] ; then\n                \
                 COMPREPLY=( $(compgen -W \"{names}\" -- \"${{cur}}\") )\n                return 0\n            fi\n"
            );
            let mut out = String::new();
            let mut count = 0;
            let mut is_verb = false;
            for line in made.split_inclusive('\n') {
                out.push_str(line);
                if is_verb && line.trim_start().starts_with("opts=") {
                    out.push_str(&filled);
                    count += 1;
                }
                let label = line.trim().strip_prefix("pushwrap__subcmd__metric__subcmd__");
                is_verb = label.is_some_and(|label| VERBS.iter().any(|verb| label == format!("{verb})")));
            }
            assert_eq!(count, VERBS.len(), "clap writes bash completions in another way now");
            return out;
        }
        Shell::Zsh => (
            "':name -- Name of the metric:_default'",
            "':name -- Name of the metric:{compadd -- ${(f)\"$(pushwrap metric names 2>/dev/null)\"}}'",
        ),
        _ => {
            let condition =
                "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set add observe time";
            return format!(
                "{made}complete -c pushwrap -n \"{condition}\" -f -a \"(pushwrap metric names 2>/dev/null)\"\n"
            );
        }
    };
    assert_eq!(made.matches(open).count(), VERBS.len(), "clap writes zsh completions in another way now");
    made.replace(open, filled)
}

#[test]
fn bash_completes_the_names_that_are_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, "backup_bytes 1\nbackup_files_total 2\nother 3\n").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = r#"source completions/pushwrap.bash; COMP_WORDS=("$0" metric set backup_); COMP_CWORD=3
                    _pushwrap "$0" backup_ set; echo "${COMPREPLY[@]}""#;
    let mut shell = Process::new("bash");
    shell.args(["-c", script]).arg(binary()).current_dir(root).env("PUSHWRAP_TEXTFILE", &file);
    let out = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "backup_bytes backup_files_total\n", "{out:?}");
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
        let usage = usage(subcommand);
        let named = subcommand.clone().display_name(&name).override_usage(usage);
        hold(&format!("man/{name}.1"), &page(&named, false));
    }
}

/// How a subcommand is called; where it has verbs, a line for each.
fn usage(subcommand: &Command) -> String {
    let verbs = subcommand.get_subcommands().filter(|verb| !verb.is_hide_set());
    let calls: Vec<String> = verbs
        .map(|verb| {
            let name = format!("pushwrap {} {}", subcommand.get_name(), verb.get_name());
            verb.clone().bin_name(name).render_usage().to_string()
        })
        .collect();
    let usage = if calls.is_empty() { subcommand.clone().render_usage().to_string() } else { calls.join("\n") };
    usage.replace("Usage: ", "")
}

/// The options of the verbs of a subcommand, each under its name.
fn verbs(subcommand: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    for verb in subcommand.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let mut options = Vec::new();
        Man::new(verb.clone()).render_options_section(&mut options).unwrap();
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let heading = format!(".SH {}\n{about}\n", verb.get_name().to_uppercase());
        out.extend(String::from_utf8(options).unwrap().replace(".SH OPTIONS\n", &heading).into_bytes());
    }
    out
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
    if !whole {
        page.extend(verbs(command));
    }
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

//! The man pages and the shell completions: made from the definitions of the command line, committed, and held to them.
//! `make generated` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Arg, Command, CommandFactory as _};
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
    generate(shell, &mut completable(&cli::command(cli::Help::Full)), "pushwrap", &mut made);
    let made = with_metric_names(shell, &String::from_utf8(made).unwrap());
    match shell {
        Shell::Bash => with_files(&made),
        Shell::Zsh => with_commands(&made),
        _ => made,
    }
    .into_bytes()
}

/// The command without what clap's completions cannot do. They take the root's positional for something that stands before a
/// subcommand, and offer hidden subcommands too; clap takes nothing away again, so both are made anew.
fn completable(command: &Command) -> Command {
    let options = command.get_arguments().filter(|argument| !argument.is_positional()).cloned();
    let subcommands = command.get_subcommands().map(|subcommand| match subcommand.get_name() {
        "metric" => {
            let shown = subcommand.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().map(with_types);
            let about = subcommand.get_about().cloned().unwrap_or_default();
            Command::new("metric").about(about).subcommands(shown).disable_help_subcommand(true)
        }
        _ => subcommand.clone(),
    });
    let formats = |option: Arg| option.value_parser(["text", "json"]);
    let about = command.get_about().cloned().unwrap_or_default();
    let root = Command::new("pushwrap").about(about).version("").disable_help_subcommand(true);
    root.args(options).subcommands(subcommands).mut_arg("summary", formats)
}

/// The command line itself takes any text for a type, because the command of `time` runs whatever it is.
fn with_types(verb: Command) -> Command {
    match verb.get_name() {
        "observe" => verb.mut_arg("kind", |option| option.value_parser(["histogram", "summary"])),
        "time" => verb.mut_arg("kind", |option| option.value_parser(["gauge", "histogram", "summary"])),
        _ => verb,
    }
}

/// Options only where one is begun: else bash offers files, as it does where nothing fits.
fn with_files(made: &str) -> String {
    let (mut out, mut rest) = (String::new(), made.to_owned());
    for subcommand in ["check", "install", "push"] {
        let label = format!("        pushwrap__subcmd__{subcommand})\n");
        for (clap, ours) in [
            (label.as_str(), label.as_str()),
            ("${cur} == -* || ${COMP_CWORD} -eq 2 ]]", "${cur} == -* ]]"),
            ("esac\n            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )\n", "esac\n"),
        ] {
            let (before, after) = rest.split_once(clap).expect("clap writes bash completions in another way now");
            out.extend([before, ours]);
            rest = after.to_owned();
        }
    }
    out + &rest
}

/// What stands after `--` is a command with arguments of its own.
fn with_commands(made: &str) -> String {
    let start = "\n_pushwrap() {\n";
    let dashes = "    local dashes=${words[(i)--]}
    if (( dashes < CURRENT )); then
        shift $dashes words
        (( CURRENT -= dashes ))
        _normal
        return
    fi
";
    assert_eq!(made.matches(start).count(), 1, "clap writes zsh completions in another way now");
    made.replace(start, &format!("{start}{dashes}"))
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

/// What bash offers for the last of these words.
#[track_caller]
fn offered(words: &[&str], textfile: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = r#"source completions/pushwrap.bash; COMP_WORDS=("$0" "$@"); COMP_CWORD=$#
                    _pushwrap "$0" "${@: -1}" "${COMP_WORDS[$#-1]}"; echo "${COMPREPLY[@]}""#;
    let mut shell = Process::new("bash");
    shell.args(["-c", script]).arg(binary()).args(words).current_dir(root).env("PUSHWRAP_TEXTFILE", textfile);
    let out = shell.output().unwrap();
    assert!(out.stderr.is_empty(), "{out:?}");
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn bash_completes_names_types_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, "backup_bytes 1\nbackup_files_total 2\nother 3\n").unwrap();
    for (words, expected) in [
        (&["metric", "set", "backup_"][..], "backup_bytes backup_files_total"),
        (&["metric", "observe", "x", "1", "--type", ""], "histogram summary"),
        (&["metric", "time", "x", "--type", "g"], "gauge"),
        (&["check", "--f"], "--fix"),
        // Nothing: bash itself then offers files.
        (&["check", ""], ""),
        (&["push", "a"], ""),
        (&["install", ""], ""),
        (&["chec"], "check"),
    ] {
        assert_eq!(offered(words, &file), expected, "{words:?}");
    }
}

/// In zsh's words the first of a line is the subcommand, and what stands after `--` is a command.
#[test]
fn zsh_finds_the_subcommand_in_the_first_word() {
    let made = String::from_utf8(completion(Shell::Zsh)).unwrap();
    assert!(made.contains("        case $line[1] in\n            (push)\n"), "{made}");
    assert!(!made.contains("$line[2]"), "{made}");
    assert!(made.contains("'*::files -- Metrics files; - for standard input:_files'"), "{made}");
    assert!(made.contains(":TYPE:(gauge histogram summary)'"), "{made}");
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
    // The definitions as they are, with the long texts that `--help` leaves out. Of what `-h` leaves out, clap's man pages
    // would leave the short text out.
    let whole = |option: Arg| option.hide_short_help(false);
    let command = cli::Cli::command().mut_args(whole).mut_subcommands(|subcommand| subcommand.mut_args(whole));
    hold("man/pushwrap.1", &page(&command, true));
    for subcommand in command.get_subcommands() {
        let name = format!("pushwrap-{}", subcommand.get_name());
        let usage = usage(subcommand);
        let named = subcommand.clone().display_name(&name).override_usage(usage);
        hold(&format!("man/{name}.1"), &page(&named, false));
    }
}

/// Given the man pages, when they are read, then each tells how it is called and says something about every option.
#[test]
fn man_pages_leave_nothing_empty() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.contains(".SH SYNOPSIS\npushwrap "), "{}", path.display());
        assert!(page.contains(".SH \"EXIT STATUS\"\n"), "{}", path.display());
        let lines: Vec<&str> = page.lines().collect();
        let empty = lines.windows(3).find(|lines| lines[0] == ".TP" && lines[2].is_empty());
        assert!(empty.is_none(), "{}: {empty:?}", path.display());
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
    let name = format!("pushwrap {}", subcommand.get_name());
    let alone = || subcommand.clone().bin_name(name).render_usage().to_string();
    let usage = if calls.is_empty() { alone() } else { calls.join("\n") };
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
        sections(&exit_status(command.get_name())).to_writer(&mut page).unwrap();
    }
    if whole {
        environment(command).to_writer(&mut page).unwrap();
        sections(&include_str!("man-sections.txt").replace("\r\n", "\n")).to_writer(&mut page).unwrap();
    }
    page
}

/// The section of a subcommand, from the reference page's list of them.
fn exit_status(subcommand: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md")).unwrap();
    let opening = format!("| `{subcommand}` | ");
    let row = page.lines().find_map(|line| line.strip_prefix(&opening)?.strip_suffix(" |"));
    let row = row.unwrap_or_else(|| panic!("docs/reference.md has no exit status of '{subcommand}'"));
    let [good, failed] = row.split(" | ").collect::<Vec<_>>()[..] else { panic!("docs/reference.md: {row}") };
    format!("= EXIT STATUS\n0: {good}.\n\n1: {failed}.\n\n2: bad usage.\n").replace('`', "")
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
        "A variable counts where the option is not given; an empty one is unset. Lists are separated by commas, but \
         PUSHWRAP_HEADER holds one header a line. --textfile has none.",
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

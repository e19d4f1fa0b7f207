//! The man pages and the shell completions: made from the definitions of the command line, committed, and held to them.
//! `make generated` writes them anew.

mod man;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::{Generator, Shell, generate};
use pushwrap::cli;

use super::harness::pushwrap::binary;
use man::{PageOf, page, usage};

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
    generate(shell, &mut completable(&cli::command(cli::HelpForm::Full)), "pushwrap", &mut made);
    let made = with_metric_names(shell, &String::from_utf8(made).unwrap());
    let made = with_state_directories(shell, &made);
    match shell {
        Shell::Bash => with_bash_command(&with_files(&made)),
        Shell::Zsh => with_commands(&made),
        _ => with_values(&made) + FISH_COMMAND,
    }
    .into_bytes()
}

/// clap's function finds no command line where the value of an option is being typed: argparse misses it there.
fn with_values(made: &str) -> String {
    let parse = "    argparse -s (__fish_pushwrap_global_optspecs) -- $cmd 2>/dev/null\n";
    assert_eq!(made.matches(parse).count(), 1, "clap writes fish completions in another way now");
    let again = "    or begin\n        set -e cmd[-1]\n        argparse -s (__fish_pushwrap_global_optspecs) -- $cmd 2>/dev/null\n    end\n";
    made.replace(parse, &format!("{parse}{again}"))
}

/// What stands after `--` is a command with arguments of its own.
const FISH_COMMAND: &str = "\
function __fish_pushwrap_command
    set -l words (commandline -opc) (commandline -ct)
    set -l at (contains -i -- -- $words); or return 1
    set -l command $words[(math $at + 1)..-1]
    complete -C (string join ' ' -- (string escape -- $command[1..-2]) $command[-1])
end
complete -c pushwrap -n \"contains -- -- (commandline -opc)\" -x -a \"(__fish_pushwrap_command)\"
";

/// Values of options that are keywords; another text may stand there too.
const WORDS: [(&str, &[&str]); 4] = [
    ("summary", &["text", "json"]),
    ("instance", &["auto", "none"]),
    ("push_interval", &["10s", "1m", "5m", "off"]),
    (
        "signal",
        &["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL", "ALRM", "CONT", "STOP", "ABRT", "WINCH", "PIPE"],
    ),
];

/// An option as completions know it: with its keywords, or without file names where none is meant.
fn with_words(option: Arg) -> Arg {
    let keywords = WORDS.iter().find(|(name, _)| *name == option.get_id().as_str());
    let is_path = option.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>();
    match keywords {
        Some((_, keywords)) => option.value_parser(keywords.to_vec()),
        None if option.get_action().takes_values() && !is_path && !option.is_positional() => {
            let is_file = option.get_value_hint() != ValueHint::Unknown;
            if is_file { option } else { option.value_hint(ValueHint::Other) }
        }
        None => option,
    }
}

/// `--state-dir` is a directory or 'none'.
fn with_state_directories(shell: Shell, made: &str) -> String {
    let (clap, ours) = match shell {
        Shell::Bash => (
            "--state-dir)\n                    COMPREPLY=($(compgen -f \"${cur}\"))",
            "--state-dir)\n                    COMPREPLY=($(compgen -d -W none -- \"${cur}\"))",
        ),
        Shell::Zsh => (":DIR:_files'", ":DIR:{compadd none; _files -/}'"),
        _ => Default::default(),
    };
    if shell == Shell::Fish {
        let directories = "-r -f -a \"none\\t'' (__fish_complete_directories (commandline -ct | string replace -r '^--state-dir=' ''))\"";
        let line = |line: &str| {
            if line.contains("-l state-dir ") { line.replace("-r -F", directories) } else { line.to_owned() }
        };
        return made.split_inclusive('\n').map(line).collect();
    }
    assert!(made.contains(clap), "clap writes completions in another way now");
    made.replace(clap, ours)
}

/// The command without what clap's completions cannot do. They take the root's positional for something that stands before a
/// subcommand, and offer hidden subcommands too; clap takes nothing away again, so both are made anew.
fn completable(command: &Command) -> Command {
    let options = command.get_arguments().filter(|argument| !argument.is_positional()).cloned();
    let subcommands = command.get_subcommands().map(|subcommand| match subcommand.get_name() {
        "metric" => {
            let verbs = subcommand.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().map(with_types);
            let about = subcommand.get_about().cloned().unwrap_or_default();
            Command::new("metric").about(about).subcommands(verbs).disable_help_subcommand(true)
        }
        _ => subcommand.clone(),
    });
    let about = command.get_about().cloned().unwrap_or_default();
    let root = Command::new("pushwrap").about(about).version("").disable_help_subcommand(true);
    root.args(options)
        .subcommands(subcommands)
        .mut_args(with_words)
        .mut_subcommands(|subcommand| subcommand.mut_args(with_words))
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

/// The same for bash: the command's name by bash, its arguments by bash-completion where that is loaded, else file names.
fn with_bash_command(made: &str) -> String {
    let start = "    COMPREPLY=()\n";
    let dashes = "    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] || continue
        if ((COMP_CWORD == i + 1)); then
            COMPREPLY=($(compgen -c -- \"$2\" | sort -u))
        elif declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset $((i + 1))
        elif declare -F _command_offset >/dev/null; then
            _command_offset $((i + 1))
        fi
        return 0
    done
";
    let (before, after) = made.split_once(start).expect("clap writes bash completions in another way now");
    format!("{before}{start}{dashes}{after}")
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

/// What bash offers for the last of these arguments.
#[track_caller]
fn offered(arguments: &[&str], textfile: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = r#"source completions/pushwrap.bash; compopt() { :; }; COMP_WORDS=("$0" "$@"); COMP_CWORD=$#
                    _pushwrap "$0" "${@: -1}" "${COMP_WORDS[$#-1]}"; echo "${COMPREPLY[@]}""#;
    let mut shell = Process::new("bash");
    shell.args(["-c", script]).arg(binary()).args(arguments).current_dir(root).env("PUSHWRAP_TEXTFILE", textfile);
    let out = shell.output().unwrap();
    assert!(out.stderr.is_empty(), "{out:?}");
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn bash_completes_names_types_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.prom");
    fs::write(&file, "backup_bytes 1\nbackup_files_total 2\nother 3\n").unwrap();
    for (arguments, expected) in [
        (&["metric", "set", "backup_"][..], "backup_bytes backup_files_total"),
        (&["metric", "observe", "x", "1", "--type", ""], "histogram summary"),
        (&["metric", "time", "x", "--type", "g"], "gauge"),
        (&["check", "--f"], "--fix"),
        // Nothing: bash itself then offers files.
        (&["check", ""], ""),
        (&["push", "a"], ""),
        (&["install", ""], ""),
        (&["chec"], "check"),
        (&["--signal", "US"], "USR1 USR2"),
        (&["--instance", ""], "auto none"),
        (&["--push-interval", "o"], "off"),
        (&["--job", "Carg"], "Carg"),
        (&["--state-dir", "no"], "none"),
        (&["--state-dir", "completi"], "completions"),
        // A builtin, because a program that stands in two directories of PATH is offered twice.
        (&["--job", "x", "--", "shop"], "shopt"),
        // An argument of the command is no option of pushwrap's.
        (&["--", "git", "--vers"], ""),
    ] {
        assert_eq!(offered(arguments, &file), expected, "{arguments:?}");
    }
}

/// In zsh's `words` the first of a line is the subcommand, and what stands after `--` is a command.
#[test]
fn zsh_finds_the_subcommand_in_the_first_word() {
    let made = String::from_utf8(completion(Shell::Zsh)).unwrap();
    assert!(made.contains("        case $line[1] in\n            (push)\n"), "{made}");
    assert!(!made.contains("$line[2]"), "{made}");
    assert!(made.contains("'*::files -- Metrics files; - for standard input:_files'"), "{made}");
    assert!(made.contains(":TYPE:(gauge histogram summary)'"), "{made}");
    assert!(made.contains(":DIR:{compadd none; _files -/}'") && made.contains(":SIGNAL:(TERM INT"), "{made}");
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
    hold("man/pushwrap.1", &page(&command, PageOf::Program));
    for subcommand in command.get_subcommands() {
        let name = format!("pushwrap-{}", subcommand.get_name());
        let usage = usage(subcommand);
        let named = subcommand.clone().display_name(&name).override_usage(usage);
        hold(&format!("man/{name}.1"), &page(&named, PageOf::Subcommand));
    }
}

/// Given the man pages, when they are read, then examples can be pasted, and what README and docs/ tell is in them: they are not
/// installed.
#[test]
fn man_pages_have_what_is_not_installed() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name)).unwrap();
    let page = read("pushwrap.1");
    for part in [
        ".SH SUBCOMMANDS\n.TP\n\\fBpushwrap push\\fR\n",
        "see pushwrap\\-check(1)\n",
        ".SH METRICS\n",
        ".TP\n\\fBpushwrap_exit_code\\fR\n",
        ".SH JSON\n",
        "textfile_samples",
        ".EX\nPATH=",
        "\n.EE\n",
        ".SH \"SEE ALSO\"\npushwrap\\-push(1), ",
    ] {
        assert!(page.contains(part), "no '{part}' in:\n{page}");
    }
    let groups = read("pushwrap-groups.1");
    assert!(groups.contains(".SH JSON\n") && groups.ends_with(".SH \"SEE ALSO\"\npushwrap(1)\n"), "{groups}");
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

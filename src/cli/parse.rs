//! Parses the command line and words what is wrong with it, each line of it as pushwrap says everything: greppable in the
//! mail that cron sends.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for: text for standard output.
    Asked(String),
    /// Bad usage: text for standard error, and whether it was a subcommand that was misused.
    Wrong {
        /// What is wrong and what would be right, a few lines.
        message: String,
        /// Subcommands exit 2 for bad usage, the run form 125.
        subcommand: bool,
    },
}

/// Parses `arguments`, the program's name included.
///
/// # Errors
/// [`Stop`]: help was asked for, or the usage is bad.
pub fn parse(arguments: &[OsString]) -> Result<Cli, Stop> {
    let ours: Vec<&str> =
        arguments.iter().skip(1).map_while(|word| word.to_str()).take_while(|word| *word != "--").collect();
    let help = if ours.contains(&"-h") { Help::Brief } else { Help::Full };
    // By whatever name or path it was called, the messages call it pushwrap.
    let named = std::iter::once(OsStr::new("pushwrap")).chain(arguments.iter().skip(1).map(OsString::as_os_str));
    let mut command = command(help);
    let parsed =
        command.try_get_matches_from_mut(named).and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Asked(error.render().to_string()),
        _ => {
            let is_subcommand = |word: &&str| command.find_subcommand(word).is_some();
            let subcommand = ours.first().is_some_and(is_subcommand);
            let dashes = if subcommand {
                None
            } else {
                format_apart(&error, &ours).or_else(|| missing_dashes(&error, &command))
            };
            Stop::Wrong { message: dashes.unwrap_or_else(|| worded(&error)), subcommand }
        }
    })
}

/// A form of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Help {
    /// `-h`: one screen.
    Brief,
    /// `--help`: everything, two screens.
    Full,
}

/// The command as clap knows it: one line an option in both forms of help, the rare ones only in `--help`. A later option of
/// the same name counts, as with curl and timeout(1), and what looks like a negative number is a value, which can be wrong.
#[must_use]
pub fn command(help: Help) -> Command {
    let brief = help == Help::Brief;
    let command = Cli::command().args_override_self(true);
    let (usage, after) = (command.get_after_help().cloned(), command.get_after_long_help().cloned());
    let shape = move |argument: Arg| {
        let rare = argument.is_hide_short_help_set();
        let argument = with_numbers(argument).hide_short_help(false).hide(rare && brief).long_help(None::<&str>);
        if brief { argument.help_heading(None::<&str>) } else { argument }
    };
    let after = if brief { usage } else { after }.unwrap_or_default();
    command
        .after_help(after)
        .after_long_help(None::<&str>)
        .mut_args(move |argument| if argument.is_hide_set() { argument } else { shape(argument) })
        .mut_subcommands(move |subcommand| {
            subcommand
                .hide(brief)
                .args_override_self(true)
                .long_about(None::<&str>)
                .mut_args(|argument| with_numbers(argument).hide_short_help(false).long_help(None::<&str>))
        })
}

/// Without it `--timeout -1` would be an unknown option `-1`.
fn with_numbers(argument: Arg) -> Arg {
    let takes_value = argument.get_action().takes_values() && !argument.is_positional();
    argument.allow_negative_numbers(takes_value)
}

/// `--summary json`: its value is optional, so it stands behind `=`.
fn format_apart(error: &clap::Error, words: &[&str]) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_apart = words.windows(2).any(|pair| pair == ["--summary", word]);
    let known = ["text", "json"].contains(&word.as_str());
    (is_apart && known).then(|| format!("a format stands behind '=': --summary={word}"))
}

/// The one mistake that everybody makes: a command without `--` before it. The options that stand there are not repeated: they
/// may hold a password.
fn missing_dashes(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    let unexpected = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    if !unexpected || word.starts_with('-') {
        return None;
    }
    let subcommands: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    Some(format!(
        "'--' is missing before the command: pushwrap [OPTIONS] -- {word} ...\nsubcommands come first: pushwrap {}",
        subcommands.join("|")
    ))
}

/// clap's message without its headings and blank lines.
fn worded(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // What stands behind '--' is the command: to write a misspelled option there is no advice.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("tip: to pass '"));
    let word = |line: &str| match line.strip_prefix("pushwrap <") {
        Some(rest) => format!("   or: pushwrap <{rest}"),
        None => line
            .replace("Usage: ", "usage: ")
            .replace("For more information", "for more information")
            .replace("--verbose...", "--verbose"),
    };
    lines.map(word).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Stop, parse};

    fn wrong(arguments: &[&str]) -> (String, bool) {
        let arguments: Vec<_> = std::iter::once("pushwrap").chain(arguments.iter().copied()).map(Into::into).collect();
        match parse(&arguments) {
            Err(Stop::Wrong { message, subcommand }) => (message, subcommand),
            other => panic!("{other:?}"),
        }
    }

    fn asked(argument: &str) -> String {
        match parse(&["pushwrap".into(), argument.into()]) {
            Err(Stop::Asked(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_without_dashes_is_told_where_they_go() {
        let (message, subcommand) = wrong(&["--url", "http://gw", "backup", "-v"]);
        assert!(
            message.starts_with("'--' is missing before the command: pushwrap [OPTIONS] -- backup ..."),
            "{message}"
        );
        assert!(!subcommand);
    }

    #[test]
    fn a_format_of_the_summary_stands_behind_an_equals_sign() {
        assert_eq!(wrong(&["--summary", "json", "--", "true"]).0, "a format stands behind '=': --summary=json");
        assert!(wrong(&["--summary", "json-job"]).0.starts_with("'--' is missing"));
        assert!(wrong(&["-q", "-v", "--", "true"]).0.contains("'--verbose'"));
    }

    #[test]
    fn subcommands_are_told_apart() {
        assert!(wrong(&["check"]).1);
        assert!(!wrong(&["--nonsense", "--", "check"]).1);
    }

    #[test]
    fn a_misspelled_option_gets_a_tip() {
        let (message, _) = wrong(&["--timout", "3", "--", "true"]);
        assert!(message.starts_with("unexpected argument '--timout' found\ntip: "), "{message}");
        assert!(message.contains("--timeout"), "{message}");
        assert!(!message.contains("as a value"), "{message}");
        assert!(message.contains("\n   or: pushwrap <SUBCOMMAND> ...\n"), "{message}");
    }

    #[test]
    fn the_name_of_the_program_is_pushwrap_whatever_it_was_called_by() {
        let parsed = parse(&["/opt/tools/pw".into(), "groups".into(), "x".into()]);
        let Err(Stop::Wrong { message, .. }) = parsed else { panic!("{parsed:?}") };
        assert!(message.contains("usage: pushwrap groups [OPTIONS]"), "{message}");
    }

    #[test]
    fn the_last_of_two_options_counts() {
        let parsed = parse(&["pushwrap", "--job", "a", "-n", "--job=b", "-n", "--", "true"].map(Into::into)).unwrap();
        assert_eq!(parsed.run.destination.job.as_deref(), Some("b"));
        let parsed = parse(&["pushwrap", "--timeout", "-1", "--", "true"].map(Into::into)).unwrap();
        assert_eq!(parsed.run.command_options.timeout.as_deref(), Some("-1"));
        let parsed = parse(&["pushwrap", "-v", "-l", "a=1", "-v", "-lb=2", "--", "true"].map(Into::into)).unwrap();
        assert_eq!(parsed.run.messages.volume.verbose, 2);
        assert_eq!(parsed.run.destination.label, ["a=1", "b=2"], "what is repeatable adds up");
    }

    #[test]
    fn help_fits_one_screen_and_two() {
        let brief = asked("-h");
        assert!(brief.lines().count() <= 24, "{brief}");
        let full = asked("--help");
        assert!(full.lines().count() <= 2 * 40, "{full}");
        let wide: Vec<&str> = full.lines().chain(brief.lines()).filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:?}");
        assert!(full.contains("--kill-after") && !brief.contains("--kill-after"));
        for subcommand in ["push", "check", "groups", "prune", "delete", "flush", "install", "metric"] {
            let Err(Stop::Asked(help)) = parse(&["pushwrap".into(), subcommand.into(), "--help".into()]) else {
                panic!("{subcommand}")
            };
            assert!(help.lines().count() <= 40 && help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }
}

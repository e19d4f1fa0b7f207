//! Parses the command line and says what is wrong with it, each line of it as pushwrap says everything: greppable in the
//! mail that cron sends.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use super::command_line::{Cli, Run, Sub};
use super::metric::{Metric, Verb};

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// The run form.
    Run(Box<Run>),
    /// A subcommand.
    Subcommand(Sub),
}

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
pub fn parse(arguments: &[OsString]) -> Result<Action, Stop> {
    let asks_for_help = arguments.get(1).is_some_and(|word| word == "help");
    let arguments = rewritten(arguments);
    if let Some(action) = parse_part(&arguments) {
        return Ok(action);
    }
    let own: Vec<&str> =
        arguments.iter().skip(1).map_while(|word| word.to_str()).take_while(|word| *word != "--").collect();
    let help = if own.contains(&"-h") { HelpForm::Brief } else { HelpForm::Full };
    let mut command = command(help);
    if asks_for_help {
        refuse_unknown(&command, &own)?;
    }
    let parsed =
        command.try_get_matches_from_mut(&arguments).and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(Cli { subcommand: Some(subcommand), .. }) => Ok(Action::Subcommand(subcommand)),
        Ok(Cli { run, .. }) => Ok(Action::Run(Box::new(run))),
        Err(error) => Err(stop(&error, &command, &own)),
    }
}

/// The arguments with what people write and clap does not take: `version`; `help [SUBCOMMAND]...`, which change places;
/// `--summary json`, whose value is optional and so stands behind `=`. By whatever name or path it was called, the messages
/// call it pushwrap.
fn rewritten(arguments: &[OsString]) -> Vec<OsString> {
    let mut out: Vec<OsString> = vec!["pushwrap".into()];
    let mut rest = arguments.get(1..).unwrap_or_default();
    match rest {
        [first, arguments @ ..]
            if first == "help" && arguments.iter().all(|word| !word.as_encoded_bytes().starts_with(b"-")) =>
        {
            out.extend(arguments.iter().cloned());
            out.push("--help".into());
            return out;
        }
        [first] if first == "version" => return vec!["pushwrap".into(), "--version".into()],
        _ => {}
    }
    while let Some((word, behind)) = rest.split_first() {
        if word == "--" {
            break;
        }
        let format = behind.first().filter(|next| word == "--summary" && FORMATS.iter().any(|format| *next == format));
        if let Some(format) = format {
            out.push(OsString::from_iter([OsStr::new("--summary="), format]));
            rest = behind.get(1..).unwrap_or_default();
        } else {
            out.push(word.clone());
            rest = behind;
        }
    }
    out.extend(rest.iter().cloned());
    out
}

/// The forms of `--summary`.
const FORMATS: [&str; 2] = ["text", "json"];

/// Parses the two forms that are called most, each without building the rest of the command line, which is most of the work.
/// None where it is another form, where help is asked for, and where something is wrong: then the whole is built, which says so.
fn parse_part(arguments: &[OsString]) -> Option<Action> {
    let first = arguments.get(1)?;
    if first == "metric" {
        let arguments = arguments.get(2..)?;
        let verb = match arguments.first()?.to_str()? {
            "set" => alone(arguments).map(Verb::Set),
            "add" => alone(arguments).map(Verb::Add),
            "observe" => alone(arguments).map(Verb::Observe),
            "time" => alone(arguments).map(Verb::Time),
            _ => None,
        };
        return verb.map(|verb| Action::Subcommand(Sub::Metric(Metric { verb })));
    }
    if !first.as_encoded_bytes().starts_with(b"-") {
        return None;
    }
    alone(arguments).map(|run| Action::Run(Box::new(run)))
}

/// Parses the options of one form, its name first. Help and version are none of them.
fn alone<A: clap::Args>(arguments: &[OsString]) -> Option<A> {
    let form = Command::new("pushwrap").args_override_self(true).disable_help_flag(true).disable_version_flag(true);
    let mut matches = A::augment_args(form).mut_args(taken_as_typed).try_get_matches_from(arguments).ok()?;
    A::from_arg_matches_mut(&mut matches).ok()
}

/// What to tell about an error of clap's.
fn stop(error: &clap::Error, command: &Command, arguments: &[&str]) -> Stop {
    let subcommand = arguments.first().is_some_and(|word| command.find_subcommand(word).is_some());
    let message = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Stop::Asked(error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => missing_verb(command, arguments),
        _ if subcommand => label_without_option(error, arguments),
        _ => misspelled_subcommand(error, command, arguments).or_else(|| missing_dashes(error, command)),
    };
    Stop::Wrong { message: message.unwrap_or_else(|| worded(error)), subcommand }
}

/// A form of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelpForm {
    /// `-h`: one screen.
    Brief,
    /// `--help`: everything, two screens.
    Full,
}

/// The command as clap knows it: one line an option in both forms of help, the rare ones only in `--help`. A later option of
/// the same name counts, as with curl and timeout(1), and what looks like a negative number is a value, which can be wrong.
#[must_use]
pub fn command(help: HelpForm) -> Command {
    let brief = help == HelpForm::Brief;
    let command = Cli::command().args_override_self(true);
    let (usage, after) = (command.get_after_help().cloned(), command.get_after_long_help().cloned());
    let shape = move |argument: Arg| {
        let rare = argument.is_hide_short_help_set();
        let argument = taken_as_typed(argument).hide_short_help(false).hide(rare && brief).long_help(None::<&str>);
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
                .mut_args(|argument| taken_as_typed(argument).hide_short_help(false).long_help(None::<&str>))
                .mut_subcommands(|verb| verb.mut_args(taken_as_typed))
        })
}

/// An option that takes a value as it was typed: `--timeout -1`, where `-1` would be an unknown option; and an empty path, as an
/// unset variable of a shell leaves it, which clap refuses.
fn taken_as_typed(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() || argument.is_positional() {
        return argument;
    }
    let is_path = argument.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>();
    let argument = argument.allow_negative_numbers(true);
    if is_path { argument.value_parser(OsStringValueParser::new().map(PathBuf::from)) } else { argument }
}

/// Refuses `help WORD` where no subcommand has that name.
fn refuse_unknown(command: &Command, arguments: &[&str]) -> Result<(), Stop> {
    let mut command = command;
    for word in arguments.iter().filter(|word| !word.starts_with('-')) {
        command = command.find_subcommand(word).ok_or_else(|| {
            let names: Vec<&str> =
                command.get_subcommands().filter(|known| !is_internal(known)).map(Command::get_name).collect();
            let message = format!("there is no subcommand '{word}': pushwrap help {}", names.join("|"));
            Stop::Wrong { message, subcommand: true }
        })?;
    }
    Ok(())
}

/// Whether a subcommand is there for completions alone.
fn is_internal(command: &Command) -> bool {
    command.get_name() == "names"
}

/// A subcommand that is not called by one of its verbs.
fn missing_verb(command: &Command, arguments: &[&str]) -> Option<String> {
    let (name, subcommand) = arguments.first().and_then(|name| Some((name, command.find_subcommand(name)?)))?;
    let verbs: Vec<&str> =
        subcommand.get_subcommands().filter(|verb| !is_internal(verb)).map(Command::get_name).collect();
    Some(format!("a verb is missing: pushwrap {name} {} ...\nfor more information, try '--help'.", verbs.join("|")))
}

/// `metric add NAME 3 kind=x`: labels are an option.
fn label_without_option(error: &clap::Error, arguments: &[&str]) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_label = arguments.first() == Some(&"metric") && !word.starts_with('-') && word.contains('=');
    is_label.then(|| format!("unexpected argument '{word}' found: a label is written -l {word}"))
}

/// The first word is nearly a subcommand.
fn misspelled_subcommand(error: &clap::Error, command: &Command, arguments: &[&str]) -> Option<String> {
    let unexpected = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    let word = arguments.first().filter(|word| unexpected && !word.starts_with('-'))?;
    let distance = |known: &str| strsim::osa_distance(word, known);
    let nearest = command.get_subcommands().map(Command::get_name).min_by_key(|known| distance(known))?;
    (3 * distance(nearest) <= nearest.len().max(4)).then(|| {
        format!(
            "there is no subcommand '{word}': did you mean 'pushwrap {nearest}'?\n\
             a command stands behind '--': pushwrap [OPTIONS] -- {word} ..."
        )
    })
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
    use super::{Action, Run, Stop, Sub, parse, parse_part};

    fn wrong(arguments: &[&str]) -> (String, bool) {
        let arguments: Vec<_> = std::iter::once("pushwrap").chain(arguments.iter().copied()).map(Into::into).collect();
        match parse(&arguments) {
            Err(Stop::Wrong { message, subcommand }) => (message, subcommand),
            other => panic!("{other:?}"),
        }
    }

    fn asked(arguments: &[&str]) -> String {
        let arguments: Vec<_> = std::iter::once("pushwrap").chain(arguments.iter().copied()).map(Into::into).collect();
        match parse(&arguments) {
            Err(Stop::Asked(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn run_of(arguments: &[&str]) -> Run {
        let arguments: Vec<_> = std::iter::once("pushwrap").chain(arguments.iter().copied()).map(Into::into).collect();
        match parse(&arguments) {
            Ok(Action::Run(run)) => *run,
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
    fn a_format_of_the_summary_may_stand_apart() {
        assert_eq!(run_of(&["--summary", "json", "-n", "--", "true"]).report.summary.as_deref(), Some("json"));
        assert_eq!(run_of(&["--summary", "--", "json"]).command, ["json"]);
        assert_eq!(run_of(&["-n", "--", "echo", "--summary", "json"]).command, ["echo", "--summary", "json"]);
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
        let run = run_of(&["--job", "a", "-n", "--job=b", "-n", "--", "true"]);
        assert_eq!(run.destination.job.as_deref(), Some("b"));
        let run = run_of(&["--timeout", "-1", "--", "true"]);
        assert_eq!(run.command_options.timeout.as_deref(), Some("-1"));
        let run = run_of(&["-v", "-l", "a=1", "-v", "-lb=2", "--", "true"]);
        assert_eq!(run.messages.volume.verbose, 2);
        assert_eq!(run.destination.label, ["a=1", "b=2"], "what is repeatable adds up");
    }

    #[test]
    fn the_forms_that_are_called_most_are_parsed_without_the_rest() {
        let part = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
            parse_part(&arguments)
        };
        assert!(matches!(
            part(&["pushwrap", "-n", "--cacert=", "--timeout", "-1", "--", "push"]),
            Some(Action::Run(_))
        ));
        for verb in ["set", "add", "observe", "time"] {
            let last: &[&str] = if verb == "time" { &["--", "true"] } else { &["-1"] };
            let metric = part(&[&["pushwrap", "metric", verb, "--textfile=", "x"], last].concat());
            let Some(Action::Subcommand(Sub::Metric(metric))) = metric else { panic!("{verb}: {metric:?}") };
            assert!(format!("{:?}", metric.verb).to_lowercase().starts_with(verb), "{metric:?}");
        }
        for whole in [&["pushwrap", "groups"][..], &["pushwrap", "--help"], &["pushwrap", "--timout", "1", "--", "x"]] {
            assert!(part(whole).is_none(), "{whole:?}");
        }
    }

    #[test]
    fn help_and_version_are_words_too() {
        assert_eq!(asked(&["help"]), asked(&["--help"]));
        assert_eq!(asked(&["help", "metric"]), asked(&["metric", "--help"]));
        assert_eq!(asked(&["help", "metric", "set"]), asked(&["metric", "set", "--help"]));
        assert_eq!(asked(&["version"]), asked(&["--version"]));
        let (message, subcommand) = wrong(&["help", "metrik"]);
        assert!(message.starts_with("there is no subcommand 'metrik': pushwrap help push|"), "{message}");
        assert!(subcommand);
    }

    #[test]
    fn a_misspelled_subcommand_gets_a_tip() {
        let (message, subcommand) = wrong(&["chek", "file"]);
        assert_eq!(
            message,
            "there is no subcommand 'chek': did you mean 'pushwrap check'?\n\
             a command stands behind '--': pushwrap [OPTIONS] -- chek ..."
        );
        assert!(!subcommand);
        assert!(wrong(&["sh", "-c", "x"]).0.starts_with("'--' is missing before the command"));
    }

    #[test]
    fn metric_says_which_verbs_it_has_and_how_labels_are_written() {
        let (message, subcommand) = wrong(&["metric"]);
        assert_eq!(
            message,
            "a verb is missing: pushwrap metric set|add|observe|time ...\nfor more information, try '--help'."
        );
        assert!(subcommand);
        let (message, _) = wrong(&["metric", "add", "orders_total", "3", "kind=x"]);
        assert_eq!(message, "unexpected argument 'kind=x' found: a label is written -l kind=x");
    }

    #[test]
    fn help_fits_one_screen_and_two() {
        let brief = asked(&["-h"]);
        assert!(brief.lines().count() <= 24, "{brief}");
        let full = asked(&["--help"]);
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

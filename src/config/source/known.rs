//! The variables that there are. A constant, because building the whole command line to ask it costs a tenth of a
//! millisecond in every run; a test holds it to the command line.

/// The variable of every option that has one, in the order of the alphabet.
const VARIABLES: [&str; 39] = [
    "PUSHWRAP_CACERT",
    "PUSHWRAP_CERT",
    "PUSHWRAP_DELETE_ON_SUCCESS",
    "PUSHWRAP_DRY_RUN",
    "PUSHWRAP_ENV_FILE",
    "PUSHWRAP_HEADER",
    "PUSHWRAP_INFO",
    "PUSHWRAP_INSECURE",
    "PUSHWRAP_INSTANCE",
    "PUSHWRAP_JOB",
    "PUSHWRAP_KEY",
    "PUSHWRAP_KILL_AFTER",
    "PUSHWRAP_LABEL",
    "PUSHWRAP_MAX_AGE",
    "PUSHWRAP_NO_TREE",
    "PUSHWRAP_OLDER_THAN",
    "PUSHWRAP_OUTPUT",
    "PUSHWRAP_PASSWORD_FILE",
    "PUSHWRAP_PREFIX",
    "PUSHWRAP_PROXY",
    "PUSHWRAP_PUSH_INTERVAL",
    "PUSHWRAP_PUSH_TIMEOUT",
    "PUSHWRAP_QUIET",
    "PUSHWRAP_REMOTE_WRITE",
    "PUSHWRAP_REPLACE",
    "PUSHWRAP_REQUIRE_PUSH",
    "PUSHWRAP_SCHEDULE",
    "PUSHWRAP_SCHEDULE_MARGIN",
    "PUSHWRAP_SIGNAL",
    "PUSHWRAP_SKIP_CODES",
    "PUSHWRAP_STATE_DIR",
    "PUSHWRAP_SUCCESS_CODES",
    "PUSHWRAP_SUMMARY",
    "PUSHWRAP_TEXTFILE_MAX",
    "PUSHWRAP_TIMEOUT",
    "PUSHWRAP_TOKEN_FILE",
    "PUSHWRAP_URL",
    "PUSHWRAP_USER",
    "PUSHWRAP_VERBOSE",
];

/// What a run sets for its command, so that a run inside a run finds it.
const OF_THE_COMMAND: &str = "PUSHWRAP_TEXTFILE";
/// Whether some option has this variable.
pub(super) fn is_variable(name: &str) -> bool {
    VARIABLES.binary_search(&name).is_ok()
}

/// Whether a variable of this name may stand in the environment.
pub(super) fn is_known(name: &str) -> bool {
    is_variable(name) || name == OF_THE_COMMAND
}

/// The variable that was probably meant: the one with the fewest letters exchanged, added or left out, a third of them at most;
/// else the one of which this is the beginning.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let behind = |name: &str| name.strip_prefix("PUSHWRAP_").unwrap_or(name).to_ascii_uppercase();
    let written = behind(name);
    let distance = |known: &'static str| (strsim::osa_distance(&written, &behind(known)), known);
    let nearest = VARIABLES.into_iter().map(distance).min().filter(|(distance, _)| 3 * distance <= written.len());
    let longer = || VARIABLES.into_iter().find(|known| known.starts_with(&format!("PUSHWRAP_{written}_")));
    nearest.map(|(_, known)| known).or_else(longer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Command, CommandFactory as _};

    use super::{VARIABLES, meant};
    use crate::cli::Cli;
    use crate::config::variable;

    /// Options without a variable: the command gets `PUSHWRAP_TEXTFILE`, and the others are asked for by who reads the answer.
    const WITHOUT: [&str; 5] = ["help", "version", "textfile", "fix", "json"];

    #[test]
    fn every_option_has_its_variable_in_the_list() {
        let command = Cli::command();
        let subcommands = command.get_subcommands().flat_map(Command::get_arguments);
        let longs = command.get_arguments().chain(subcommands).filter_map(Arg::get_long);
        let expected: BTreeSet<String> = longs.filter(|long| !WITHOUT.contains(long)).map(variable).collect();
        assert_eq!(VARIABLES.map(ToOwned::to_owned).to_vec(), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_misspelled_variable_is_like_the_one_that_was_meant() {
        for (written, expected) in [
            ("PUSHWRAP_ULR", Some("PUSHWRAP_URL")),
            ("PUSHWRAP_URLS", Some("PUSHWRAP_URL")),
            ("PUSHWRAP_LABELS", Some("PUSHWRAP_LABEL")),
            ("PUSHWRAP_HEADERS", Some("PUSHWRAP_HEADER")),
            ("PUSHWRAP_TIME_OUT", Some("PUSHWRAP_TIMEOUT")),
            ("PUSHWRAP_PASSWORD", Some("PUSHWRAP_PASSWORD_FILE")),
            ("PUSHWRAP_IMAGE_VERSION", None),
        ] {
            assert_eq!(meant(written), expected, "{written}");
        }
    }
}

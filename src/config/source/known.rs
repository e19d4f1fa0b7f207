//! The variables that there are. A constant, because building the whole command line to ask it costs a tenth of a
//! millisecond in every run; a test holds it to the command line.

/// The variable of every option that has one, in the order of the alphabet.
const VARIABLES: [&str; 37] = [
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

/// Whether some option has this variable.
pub(super) fn is_variable(name: &str) -> bool {
    VARIABLES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Command, CommandFactory as _};

    use super::VARIABLES;
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
}

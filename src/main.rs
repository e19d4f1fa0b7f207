//! The process boundary: parse, run, exit status. Nothing else.

use std::io::Write as _;

use pushwrap::cli::{self, Cli, Stop, Sub};
use pushwrap::exit::{Exit, OWN_FAILURE};
use pushwrap::{child, command, config, console, job};

/// Exit status of a subcommand for bad usage (POSIX utilities).
const BAD_USAGE: u8 = 2;

fn main() {
    let inherited = child::take_over();
    // What fails where delivery catches it must read like everything else that is said.
    std::panic::set_hook(Box::new(|panic| console::say(format!("internal error, please report it: {panic}"))));
    let arguments: Vec<_> = std::env::args_os().collect();
    let exit = match cli::parse(&arguments) {
        Ok(Cli { subcommand: None, run }) => match config::resolve(run) {
            Ok(config) => job::run(config, inherited),
            Err(usage) => refuse(&usage, OWN_FAILURE),
        },
        Ok(Cli { subcommand: Some(subcommand), .. }) => {
            // `metric time` runs a command by the rules of the run form; `metric` gives them back for all else.
            if !matches!(subcommand, Sub::Metric(_)) {
                inherited.give_back();
            }
            match subcommand {
                Sub::Check(check) => Exit::Code(command::check::run(&check)),
                Sub::Metric(metric) => match config::resolve_metric(metric) {
                    Ok(config) => command::metric::run(config, inherited),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Push(push) => match config::resolve_push(&push) {
                    Ok(config) => Exit::Code(command::push::run(config, &push.files)),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Groups(groups) => match config::resolve_groups(&groups) {
                    Ok(config) => Exit::Code(command::groups::run(&config)),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Prune(prune) => match config::resolve_prune(&prune) {
                    Ok(config) => Exit::Code(command::prune::run(&config)),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Delete(delete) => match config::resolve_delete(&delete) {
                    Ok(config) => Exit::Code(command::delete::run(&config)),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Flush(flush) => match config::resolve_flush(&flush) {
                    Ok(config) => Exit::Code(command::flush::run(&config)),
                    Err(usage) => refuse(&usage, BAD_USAGE),
                },
                Sub::Install(install) => Exit::Code(command::install::run(&install.path)),
            }
        }
        // Who asked for help and does not read it has no use for an error either.
        Err(Stop::Asked(text)) => Exit::Code(u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())),
        Err(Stop::Wrong { message, subcommand }) => refuse(&message, if subcommand { BAD_USAGE } else { OWN_FAILURE }),
    };
    child::leave(exit)
}

fn refuse(message: &dyn std::fmt::Display, status: u8) -> Exit {
    console::say(message);
    Exit::Code(status)
}

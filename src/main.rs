//! The process boundary: parse, run, exit status. Nothing else.

#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

use std::ffi::OsString;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

use pushwrap::child::{self, Caller};
use pushwrap::cli::{self, Action, Stop, Sub};
use pushwrap::config::{self, UsageError};
use pushwrap::outcome::{Exit, OWN_FAILURE};
use pushwrap::{command, console, job};

/// Exit status of a subcommand for bad usage (POSIX utilities).
const BAD_USAGE: u8 = 2;

/// The entry point with glibc, which calls it before std's runtime does anything: that reads /proc/self/maps and sets up handlers to
/// name a stack overflow, a tenth of a millisecond in every run. The rest of its work is done by [`child::take_over`].
#[cfg(all(target_env = "gnu", not(test)))]
mod entry {
    #![allow(unsafe_code, reason = "a symbol that the C library calls has no other form")]

    use std::ffi::{c_char, c_int};

    // SAFETY: the C library calls the one symbol of this name, and with these parameters; std has its arguments from elsewhere.
    #[unsafe(no_mangle)]
    extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
        super::child::leave(super::run())
    }
}

/// The entry point elsewhere: only glibc gives std its arguments without std's runtime.
#[cfg(any(test, not(target_env = "gnu")))]
fn main() {
    child::leave(run());
}

fn run() -> Exit {
    let arguments: Vec<_> = std::env::args_os().collect();
    let caller = child::take_over(&arguments);
    // What fails where delivery catches it must read like everything else that is said.
    panic::set_hook(Box::new(|panic| console::say(format!("internal error, please report it: {panic}"))));
    // A defect of ours: 125 as for any failure of pushwrap's own, not a panic's 101, which reads like the command's.
    catch_unwind(AssertUnwindSafe(|| act(&arguments, caller))).unwrap_or(Exit::Code(OWN_FAILURE))
}

/// Does what the command line asks for.
fn act(arguments: &[OsString], caller: Caller) -> Exit {
    let action = parse(arguments);
    if let Ok(action) = &action {
        caller.blank_secrets(arguments, &cli::secret_values(action));
    }
    match action {
        Ok(Action::Run(run)) => {
            config::resolve(*run).map_or_else(|usage| refuse(&usage, OWN_FAILURE), |config| job::run(config, caller))
        }
        Ok(Action::Subcommand(subcommand)) => {
            perform(subcommand, caller).unwrap_or_else(|usage| refuse(&usage, BAD_USAGE))
        }
        // Who asked for help and does not read it has no use for an error either.
        Err(Stop::Asked(text)) => Exit::Code(u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())),
        Err(Stop::Wrong { message, subcommand }) => refuse(&message, if subcommand { BAD_USAGE } else { OWN_FAILURE }),
    }
}

/// Below this limit on the stack (`ulimit -s`), of which arguments and environment take their part, it may be too small for
/// clap, which needs some 30 KiB.
const SMALL_STACK: u64 = 256 * 1024;

/// Parses the command line; where our stack is small, on that of a thread, which is over before the command is started.
fn parse(arguments: &[OsString]) -> Result<Action, Stop> {
    let small = getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(limit, _)| limit < SMALL_STACK);
    thread::scope(|scope| {
        let lent = small.then(|| thread::Builder::new().spawn_scoped(scope, || cli::parse(arguments)).ok()).flatten();
        let parsed = lent.and_then(|thread| thread.join().ok());
        parsed.unwrap_or_else(|| cli::parse(arguments))
    })
}

fn perform(subcommand: Sub, caller: Caller) -> Result<Exit, UsageError> {
    // `metric time` runs a command by the rules of the run form; `metric` gives the signals back for all else.
    if !matches!(subcommand, Sub::Metric(_)) {
        caller.give_back();
    }
    Ok(Exit::Code(match subcommand {
        Sub::Metric(metric) => return Ok(command::metric::run(config::resolve_metric(metric)?, caller)),
        Sub::Push(push) => command::push::run(config::resolve_push(&push)?, &push.files),
        Sub::Check(check) => command::check::run(&check, config::resolve_check(&check)?.as_ref()),
        Sub::Groups(groups) => command::groups::run(&config::resolve_groups(&groups)?),
        Sub::Prune(prune) => command::prune::run(&config::resolve_prune(&prune)?),
        Sub::Delete(delete) => command::delete::run(&config::resolve_delete(&delete)?),
        Sub::Flush(flush) => command::flush::run(&config::resolve_flush(&flush)?),
        Sub::Doctor(doctor) => command::doctor::run(&config::resolve_doctor(*doctor)?),
        Sub::Install(install) => command::install::run(&install.path),
    }))
}

fn refuse(message: &dyn std::fmt::Display, status: u8) -> Exit {
    console::say(message);
    Exit::Code(status)
}

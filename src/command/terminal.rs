//! How the commands that read a gateway print what they found: colours, warnings about clocks, and standard output that its
//! reader may close.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use crate::child::is_stdout_missing;
use crate::config::GatewayTargets;
use crate::console::{Console, say, shows_colours};
use crate::exposition::Paint;
use crate::files::reason;
use crate::sink::{Clock, Inventory};
use crate::text::span;

/// Clocks further apart than this are worth a word.
const APART: Duration = Duration::from_mins(1);

/// Colours where the stream shows them.
pub(super) fn paint(stream: &impl IsTerminal) -> Paint {
    if shows_colours(stream) { Paint::Ansi } else { Paint::Plain }
}

/// Writes to standard output; false when that is not possible. Why it is not, it says, but for a reader that went away.
pub(super) fn print(bytes: impl AsRef<[u8]>) -> bool {
    let written = write_stdout(bytes);
    if let Err(error) = &written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        say(unwritable(error));
    }
    written.is_ok()
}

/// What is said where standard output cannot be written.
pub(super) fn unwritable(error: &io::Error) -> String {
    format!("cannot write to standard output: {}", reason(error))
}

/// Writes to standard output. Where it was closed, std has put /dev/null there, which takes everything.
///
/// # Errors
/// Those of write(2).
pub(super) fn write_stdout(bytes: impl AsRef<[u8]>) -> io::Result<()> {
    if is_stdout_missing() {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes.as_ref())?;
    stdout.flush()
}

/// The console of a command that reads gateways, once it has said what there is to say beforehand.
pub(super) fn console(targets: &GatewayTargets) -> Console {
    let console = Console(targets.volume);
    for warning in &targets.warnings {
        console.warn(warning);
    }
    console
}

/// Says by whose clock ages are, where that is not the same.
pub(super) fn say_clock(console: Console, inventory: &Inventory, url: &str) {
    match inventory.clock {
        Clock::Endpoint if inventory.apart > APART => {
            let apart = span(inventory.apart);
            console.warn(format!("the clock of '{url}' is {apart} apart from ours: ages are by its clock"));
        }
        Clock::Endpoint => {}
        Clock::Own => console.info(format!("'{url}' does not say what time it has: ages are by our clock")),
    }
}

//! How the commands that read a gateway print what they found: colours, warnings about clocks, and standard output that its
//! reader may close.

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use crate::config::GatewayTargets;
use crate::console::{Console, shows_colours};
use crate::exposition::Paint;
use crate::sink::{Clock, Inventory};
use crate::text::span;

/// Clocks further apart than this are worth a word.
const APART: Duration = Duration::from_mins(1);

/// Colours where the stream shows them.
pub(super) fn paint(stream: &impl IsTerminal) -> Paint {
    if shows_colours(stream) { Paint::Ansi } else { Paint::Plain }
}

/// Writes to standard output; false when nobody takes it.
pub(super) fn print(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
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

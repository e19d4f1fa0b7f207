//! How the commands that read a gateway print what they found: ages, durations and names of strangers for a person at a
//! terminal, and standard output that somebody may close.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, SystemTime};

use crate::config::GatewayTargets;
use crate::console::{Console, shows_colours, span};
use crate::exposition::Paint;
use crate::sink::{Clock, Inventory};

/// Clocks further apart than this are worth a word.
const APART: Duration = Duration::from_mins(1);

/// How long ago that was, in one unit of at most three digits: `3h ago`.
pub(super) fn age(now: SystemTime, then: SystemTime) -> String {
    match now.duration_since(then).unwrap_or_default().as_secs() {
        0 => "now".to_owned(),
        seconds => one_unit(seconds) + " ago",
    }
}

/// Seconds in one unit: `3h`.
pub(super) fn one_unit(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A label value. Where it could be taken for something else it stands in quotes; what would act on the terminal (control
/// characters, changes of direction, invisible characters) is escaped.
pub(super) fn word(value: &str) -> String {
    let is_plain = |character: char| {
        character.escape_debug().count() == 1 && !character.is_whitespace() && !"\"',={}".contains(character)
    };
    if !value.is_empty() && value.chars().all(is_plain) { value.to_owned() } else { format!("{value:?}") }
}

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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{age, word};

    #[test]
    fn ages_have_one_unit() {
        let ago = |seconds: u64| age(UNIX_EPOCH + Duration::from_secs(seconds), UNIX_EPOCH);
        for (seconds, printed) in [
            (0, "now"),
            (119, "119s ago"),
            (120, "2m ago"),
            (7199, "119m ago"),
            (7200, "2h ago"),
            (172_799, "47h ago"),
            (172_800, "2d ago"),
            (86_400_000, "1000d ago"),
        ] {
            assert_eq!(ago(seconds), printed);
        }
        assert_eq!(age(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(9)), "now", "clocks are not exact");
    }

    #[test]
    fn words_of_strangers_do_nothing_to_a_terminal() {
        for (value, printed) in [
            ("backup", "backup"),
            ("db1:9100", "db1:9100"),
            ("ä/b", "ä/b"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a,b=\"c\"", "\"a,b=\\\"c\\\"\""),
            ("\u{1b}[31m\n", "\"\\u{1b}[31m\\n\""),
            ("\u{202e}x\u{200b}", "\"\\u{202e}x\\u{200b}\""),
            ("\u{9b}0m", "\"\\u{9b}0m\""),
        ] {
            assert_eq!(word(value), printed);
        }
    }
}

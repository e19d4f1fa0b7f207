//! What the gateway has of a group, noted in the file of the `.send` lock: who waited for the lock learns there what became of the
//! push of theirs that somebody else has sent meanwhile. A note that is lost costs one more push.

use super::state::{Lock, State};

/// What the gateway has of the pushes of a group. Their tokens rise in the order in which they were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Pushes up to this one must not be sent any more: this one, or a newer state, is at the gateway.
    pub(super) token: u64,
    /// What the gateway answered.
    pub(super) status: u16,
    pub(super) older: Older,
}

/// What became of older pushes that were not sent on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Older {
    /// They were part of this one.
    Along,
    /// They were part of this one, of which only the runs' own metrics were taken.
    Salvaged,
    /// They were refused, and this one was taken without them.
    Dropped,
}

impl Older {
    fn name(self) -> &'static str {
        match self {
            Self::Along => "whole",
            Self::Salvaged => "light",
            Self::Dropped => "alone",
        }
    }
}

impl State {
    /// What is noted of the push of this name.
    pub(super) fn taken(&self, name: &str) -> Option<Taken> {
        let content = self.read(&send_lock(name)).ok()??;
        let mut words = std::str::from_utf8(&content).ok()?.strip_suffix('\n')?.split(' ');
        let (token, status, older) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
        let older = [Older::Along, Older::Salvaged, Older::Dropped].into_iter().find(|known| known.name() == older)?;
        Some(Taken { token, status, older })
    }

    /// Notes what the gateway has of this push now.
    pub(super) fn note_taken(&self, name: &str, lock: &Lock, taken: Taken) {
        if self.taken(name).is_none_or(|before| before.token <= taken.token) {
            let Taken { token, status, older } = taken;
            // Always of one length: a newer note leaves nothing of an older one, and one write is there or not.
            lock.write(format!("{token:020} {status:03} {}\n", older.name()).as_bytes());
        }
    }
}

/// The lock under which the push of this name is sent.
pub(super) fn send_lock(name: &str) -> String {
    format!("{name}.send")
}

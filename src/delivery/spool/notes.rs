//! What became of the pushes of a group, noted in the file of the `.send` lock: who waited for the lock learns there what the gateway
//! said of their push when somebody else sent it. A note that is lost costs one more push.

use crate::delivery::spool::dir::{Lock, SpoolDir};

/// So many notes are kept: equal ones that follow each other are one.
const MOST: usize = 64;

/// What became of the pushes after those of the note before, up to this one. Their tokens rise as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) token: u64,
    pub(crate) fate: Fate,
    /// What the gateway answered, where it did.
    pub(crate) status: Option<u16>,
}

/// What the gateway made of pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It took all of them.
    Whole,
    /// It took the runs' own metrics.
    Light,
    /// It refused them.
    Refused,
}

impl Fate {
    const ALL: [(Self, &str); 3] = [(Self::Whole, "whole"), (Self::Light, "light"), (Self::Refused, "never")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(fate, _)| *fate == self).map_or("", |(_, name)| name)
    }
}

impl Note {
    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (token, status, name) = (words.next()?.parse().ok()?, words.next()?.parse::<u16>().ok()?, words.next()?);
        let status = Some(status).filter(|status| *status > 0);
        let (fate, _) = *Fate::ALL.iter().find(|(_, known)| *known == name)?;
        Some(Self { token, fate, status })
    }

    /// Of one length: newer notes leave nothing of older ones.
    fn to_line(self) -> String {
        format!("{:020} {:03} {}\n", self.token, self.status.unwrap_or_default(), self.fate.name())
    }
}

impl SpoolDir {
    /// What is noted of the pushes of this name, oldest first.
    pub(crate) fn notes(&self, name: &str) -> Vec<Note> {
        let content = self.read(&send_lock(name)).ok().flatten().unwrap_or_default();
        String::from_utf8_lossy(&content).lines().map_while(Note::from_line).collect()
    }

    /// The newest push of this name that need not be sent any more.
    pub(crate) fn settled(&self, name: &str) -> u64 {
        self.notes(name).iter().map(|note| note.token).max().unwrap_or(0)
    }

    /// Notes what became of pushes. A push that was refused with another's may be taken after that.
    pub(crate) fn note(&self, name: &str, lock: &Lock, note: Note) {
        let mut notes = self.notes(name);
        match notes.last_mut() {
            Some(last) if (last.fate, last.status) == (note.fate, note.status) => {
                last.token = last.token.max(note.token);
            }
            _ => notes.push(note),
        }
        let kept = &notes[notes.len().saturating_sub(MOST)..];
        lock.write(kept.iter().map(|note| note.to_line()).collect::<String>().as_bytes());
    }
}

/// The lock under which the push of this name is sent.
pub(crate) fn send_lock(name: &str) -> String {
    format!("{name}.send")
}

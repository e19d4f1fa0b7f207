//! How long ago something was stored, by a clock that may have been wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::delivery::state_dir::head::FileHead;
use crate::delivery::state_dir::process::boot_id;

/// No clock was right that said less: this was written later. In seconds since 1970.
const LEAST_CLOCK: u64 = 1_767_225_600;

/// Since when a push waits, by two clocks: that of the wall may be wrong, and that of the boot does not outlive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) wall: SystemTime,
    boot: String,
    uptime: Duration,
}

impl Since {
    pub(crate) fn now() -> Self {
        Self { wall: SystemTime::now(), boot: boot_id().to_owned(), uptime: uptime() }
    }

    /// Since this moment by the wall's clock.
    pub(crate) fn at(wall: SystemTime) -> Self {
        Self { wall, boot: String::new(), uptime: Duration::ZERO }
    }

    /// The lines of a file's head, `since SECONDS` by the wall's clock and `uptime SECONDS BOOT`.
    pub(crate) fn to_lines(&self) -> String {
        let wall = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        format!("since {wall}\nuptime {} {}\n", self.uptime.as_secs(), self.boot)
    }

    pub(crate) fn from_head(head: &FileHead<'_>) -> Option<Self> {
        let (uptime, boot) = head.one("uptime")?.split_once(' ')?;
        let wall = UNIX_EPOCH.checked_add(Duration::from_secs(head.one("since")?.parse().ok()?))?;
        Some(Self { wall, boot: boot.to_owned(), uptime: Duration::from_secs(uptime.parse().ok()?) })
    }

    /// How long ago that is; none where nothing can be known, because the clock was wrong then.
    pub(crate) fn age(&self) -> Option<Duration> {
        if self.boot == boot_id() {
            return Some(uptime().saturating_sub(self.uptime));
        }
        let is_right = self.wall >= UNIX_EPOCH + Duration::from_secs(LEAST_CLOCK);
        SystemTime::now().duration_since(self.wall).ok().filter(|_| is_right)
    }
}

/// The time since the boot, in which the machine may have slept.
fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Since;

    /// A machine without a battery begins in 1970, and a push that it stored then is not fifty years old when its clock is set.
    #[test]
    fn a_push_that_was_stored_by_a_wrong_clock_has_no_age() {
        assert_eq!(Since::at(UNIX_EPOCH + Duration::from_secs(100)).age(), None);
        let of_this_boot = Since { wall: UNIX_EPOCH, ..Since::now() };
        assert!(of_this_boot.age().unwrap() < Duration::from_mins(1));
        assert!(Since::at(UNIX_EPOCH + Duration::from_secs(1_780_000_000)).age().is_some());
    }
}

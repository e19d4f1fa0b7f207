//! Which process has written a file, and whether it still lives: its pid, its start time and the boot, because pids are used again.

use std::fs;
use std::sync::OnceLock;

use crate::child::Stat;

/// A process, named so that no other process ever has the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    /// In clock ticks since the boot; 0 where /proc says nothing.
    start: u64,
    boot: String,
}

impl Process {
    /// This process.
    pub(crate) fn own() -> &'static Self {
        static OWN: OnceLock<Process> = OnceLock::new();
        OWN.get_or_init(|| {
            let pid = i32::try_from(std::process::id()).unwrap_or_default();
            Self { pid, start: Stat::read(pid).map_or(0, |stat| stat.start), boot: boot_id().to_owned() }
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it is there, as far as can be seen from here. A process of another PID namespace is not.
    pub(crate) fn is_alive(&self) -> bool {
        self.stat().is_some_and(Stat::is_alive)
    }

    /// Whether it is there and not stopped.
    pub(crate) fn is_running(&self) -> bool {
        self.stat().is_some_and(|stat| stat.is_alive() && !stat.is_stopped())
    }

    fn stat(&self) -> Option<Stat> {
        Stat::read(self.pid).filter(|stat| stat.start == self.start && self.boot == boot_id())
    }

    /// Of one length, so that a newer text in the same place leaves nothing of an older one.
    pub(crate) fn to_text(&self) -> String {
        format!("{:010} {:020} {:>36}", self.pid, self.start, self.boot)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let (pid, start) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { pid, start, boot: fields.next().unwrap_or_default().to_owned() })
    }
}

/// What names this boot of the machine; empty where the kernel does not say.
pub(crate) fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_process_is_known_by_more_than_its_pid() {
        let own = Process::own();
        assert_eq!(Process::from_text(&own.to_text()).as_ref(), Some(own));
        assert!(own.is_alive() && own.is_running());
        assert!(!Process { start: own.start + 1, ..own.clone() }.is_alive(), "a reused pid");
        assert!(!Process { boot: "another".to_owned(), ..own.clone() }.is_alive(), "before a reboot");
        assert_eq!(Process::from_text("x"), None);
    }
}

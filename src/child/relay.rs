//! Which signals are forwarded to the command, and which it has got already: decided by their sender (sigaction(2), `si_code`).
//! Losing one is worse than doubling one.

use super::procfs::Stat;
use super::sys::SignalInfo;
use super::tree::Tree;

/// The signals that tell a program to stop. QUIT is none: a JVM prints its threads and goes on.
pub(super) const STOP_ORDERS: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The sender of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel: the terminal, a timer, a limit.
    Kernel,
    /// The command or a descendant of it.
    Command,
    /// Another process, perhaps outside of our PID namespace.
    Other,
}

impl Sender {
    /// Finds the sender of `received` while `command` is the command's pid.
    pub(super) fn of(received: &SignalInfo, command: i32, tree: &Tree) -> Self {
        if received.code > 0 {
            Self::Kernel
        } else if received.sender > 0 && (is_descendant(received.sender, command) || tree.has(received.sender)) {
            Self::Command
        } else {
            Self::Other
        }
    }
}

/// Whether `pid` is the process `ancestor` or descends from it. A sender that is gone by now is nobody's descendant.
fn is_descendant(pid: i32, ancestor: i32) -> bool {
    let mut pid = pid;
    // Bounded because the processes on the way may end and their pids be given away meanwhile.
    for _ in 0..256 {
        if pid == ancestor {
            return true;
        }
        match Stat::read(pid) {
            Some(stat) if stat.parent > 1 => pid = stat.parent,
            _ => return false,
        }
    }
    false
}

/// The treatment of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handling {
    /// Hand it to the command.
    pub(super) forward: bool,
    /// A stop signal (unless the caller had it ignored).
    pub(super) order: bool,
}

/// Judges a signal. `leads_session`: the kernel sends a hang-up of the terminal to the session leader alone, so where that is
/// pushwrap the command would not hear of it.
pub(super) fn handling(signal: i32, sender: Sender, leads_session: bool) -> Handling {
    let order = STOP_ORDERS.contains(&signal) && sender != Sender::Command;
    let forward = match sender {
        _ if matches!(signal, libc::SIGCHLD | libc::SIGPIPE) => false,
        Sender::Command => false,
        Sender::Other => true,
        Sender::Kernel => match signal {
            // The terminal sends these to its whole foreground group, in which the command is as well.
            libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU | libc::SIGWINCH => false,
            libc::SIGHUP | libc::SIGCONT => leads_session,
            // Alarms that the caller set up before it executed pushwrap (alarm(2) survives exec) mean the command; but a
            // file that became too long (`ulimit -f`) is one that we have written to, and CPU time that is used up
            // (`ulimit -t`) is our own: the command has a limit of its own.
            _ => !matches!(signal, libc::SIGXFSZ | libc::SIGXCPU),
        },
    };
    Handling { forward, order }
}

#[cfg(test)]
mod tests {
    use super::{Handling, Sender, Stat, handling, is_descendant};

    fn forwarded(signal: i32, sender: Sender) -> bool {
        handling(signal, sender, false).forward
    }

    #[test]
    fn what_another_process_sends_is_handed_on() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGWINCH, libc::SIGCONT, libc::SIGTSTP, 40] {
            assert!(forwarded(signal, Sender::Other), "{signal}");
        }
        assert!(!forwarded(libc::SIGCHLD, Sender::Other));
        assert!(!forwarded(libc::SIGPIPE, Sender::Other));
    }

    #[test]
    fn what_the_terminal_sends_has_reached_the_command_already() {
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGWINCH] {
            assert!(!forwarded(signal, Sender::Kernel), "{signal}");
        }
        assert!(handling(libc::SIGINT, Sender::Kernel, false).order);
    }

    #[test]
    fn a_hang_up_is_handed_on_by_the_session_leader_only() {
        for signal in [libc::SIGHUP, libc::SIGCONT] {
            assert!(!handling(signal, Sender::Kernel, false).forward);
            assert!(handling(signal, Sender::Kernel, true).forward);
        }
    }

    #[test]
    fn alarms_are_handed_on_and_own_limits_are_not() {
        assert!(forwarded(libc::SIGALRM, Sender::Kernel));
        assert!(!forwarded(libc::SIGXCPU, Sender::Kernel));
        assert!(forwarded(libc::SIGXCPU, Sender::Other));
        assert!(!forwarded(libc::SIGXFSZ, Sender::Kernel));
    }

    #[test]
    fn what_the_command_sends_is_neither_echoed_nor_an_order() {
        let handling = handling(libc::SIGTERM, Sender::Command, true);
        assert_eq!(handling, Handling { forward: false, order: false });
    }

    #[test]
    fn descent_is_found_through_parents() {
        let own = std::process::id().cast_signed();
        let parent = Stat::read(own).unwrap().parent;
        assert!(is_descendant(own, own));
        assert!(is_descendant(own, parent));
        assert!(!is_descendant(parent, own));
        assert!(!is_descendant(0x7fff_fffe, own));
    }
}

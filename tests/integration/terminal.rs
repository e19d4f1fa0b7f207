//! At a terminal: pushwrap under a real interactive bash on a real pseudo-terminal is like no pushwrap at all.

use std::fs;
use std::process::Command;

use nix::unistd::Pid;

use super::harness::probe::{for_shell, probe};
use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, Reply, Terminal, Through, wait_for};

/// Starts the counting command at the prompt.
fn count(terminal: &Terminal, through: Through) {
    terminal.type_in(&format!("{}{} count\n", through.shell_words(), for_shell(probe())));
    terminal.wait_for("\nready ");
}

/// The pid that the counting command has printed, or prints now.
fn command_pid(terminal: &Terminal) -> Pid {
    wait_for("the pid of the counting command", || {
        let seen = terminal.seen();
        // The whole line: a part of the number is somebody else's pid.
        let (number, _) = seen.rsplit_once("\nready ")?.1.split_once(['\r', '\n'])?;
        Some(Pid::from_raw(number.parse().unwrap()))
    })
}

/// Ends the counting command and waits for the prompt; what it has printed in all.
fn counted(terminal: &Terminal) -> Vec<String> {
    let prompts = terminal.seen().matches("ready> ").count();
    let pid = command_pid(terminal);
    Command::new("bash").args(["-c", &format!("kill -64 {pid}")]).status().unwrap();
    terminal.wait_for_times("ready> ", prompts + 1);
    // The terminal shows ^C before what the command prints.
    terminal
        .seen()
        .lines()
        .filter_map(|line| line.split_once("got "))
        .map(|(_, signal)| signal.trim().to_owned())
        .collect()
}

#[test]
fn c23_keys_reach_the_command_once() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        count(&terminal, through);
        terminal.type_in("\x03");
        terminal.wait_for("got 2");
        terminal.type_in("\x1c");
        terminal.wait_for("got 3");
        terminal.resize(30);
        terminal.wait_for("got 28");
        assert_eq!(counted(&terminal), ["2", "3", "28"], "{through:?}");
    }
}

#[test]
fn c23_ctrl_c_ends_both_and_the_shell_knows_that_it_was_a_signal() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        // A script stops after a command that was really killed by INT; after an exit status of 130 it would go on.
        terminal.type_in(&format!("bash -c '{}sleep 60; echo went'\" on\"\n", through.shell_words()));
        wait_for("sleep to run", || terminal_runs(&terminal, "sleep").then_some(()));
        terminal.type_in("\x03");
        terminal.wait_for_times("ready> ", 2);
        terminal.type_in("echo status $?\n");
        terminal.wait_for("status 130");
        assert!(!terminal.seen().contains("went on"), "{through:?}:\n{}", terminal.seen());
    }
}

/// Whether a process of this name is in the foreground group of the terminal.
fn terminal_runs(terminal: &Terminal, name: &str) -> bool {
    let foreground = stat_field(terminal.leader(), 8);
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).any(|pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
            && stat_field(pid, 5) == foreground
    })
}

/// A field of /proc/PID/stat by its number in proc(5), from 3 on; empty when the process is gone.
fn stat_field(pid: i32, number: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ').nth(number - 3).unwrap_or_default().to_owned()
}

#[test]
fn c24_ctrl_z_stops_the_job_and_fg_continues_it_once() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        // It stops by default action and counts what continues it.
        terminal.type_in(&format!(
            "{}bash -c 'trap \"echo continued\" CONT; echo up; read -r line; echo read $line; read -r line; echo read $line'\n",
            through.shell_words()
        ));
        terminal.wait_for("\nup");
        terminal.type_in("\x1a");
        terminal.wait_for("Stopped");
        terminal.wait_for_times("ready> ", 2);
        terminal.type_in("jobs | grep -c Stopped\n");
        terminal.wait_for("\n1");
        terminal.type_in("fg\n");
        terminal.wait_for("\ncontinued");
        terminal.type_in("first\n");
        terminal.wait_for("\nread first");
        terminal.type_in("second\n");
        terminal.wait_for("\nread second");
        terminal.wait_for_times("ready> ", 4);
        assert_eq!(terminal.seen().matches("\ncontinued").count(), 1, "{through:?}:\n{}", terminal.seen());
    }
}

#[test]
fn c24_fg_is_not_doubled() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        terminal.type_in(&format!("{}{} count stoppable\n", through.shell_words(), for_shell(probe())));
        terminal.wait_for("\nready ");
        terminal.type_in("\x1a");
        terminal.wait_for("Stopped");
        terminal.wait_for_times("ready> ", 2);
        terminal.type_in("fg\n");
        terminal.wait_for("got 18");
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(counted(&terminal), ["18"], "{through:?}");
    }
}

#[test]
fn c25_a_background_job_that_reads_is_stopped_and_goes_on_in_the_foreground() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        terminal.type_in(&format!("{}cat &\n", through.shell_words()));
        wait_for("the job to be stopped", || {
            terminal.type_in("jobs\n");
            std::thread::sleep(std::time::Duration::from_millis(50));
            terminal.seen().contains("Stopped").then_some(())
        });
        terminal.type_in("fg\n");
        wait_for("the job to come to the foreground", || terminal_runs(&terminal, "cat").then_some(()));
        terminal.type_in("some text\n");
        // Once the terminal's own echo, once cat's.
        terminal.wait_for_times("some text", 2);
        terminal.type_in("\x04");
        terminal.type_in("echo end $?\n");
        terminal.wait_for("end 0");
    }
}

#[test]
fn c26_the_command_hears_of_the_hang_up_when_pushwrap_leads_the_session() {
    let directory = tempfile::tempdir().unwrap();
    for through in Through::ALL {
        let seen = directory.path().join(format!("{through:?}"));
        let script =
            format!("trap 'echo hup >> {0}; exit' HUP; echo up > {0}; while :; do sleep 0.05; done", seen.display());
        let mut arguments = through.arguments();
        arguments.extend(["bash", "-c", &script].map(std::ffi::OsString::from));
        let mut terminal = Terminal::start(&arguments);
        wait_for("the command", || fs::read_to_string(&seen).ok().filter(|text| text.contains("up")));
        terminal.hang_up();
        wait_for(&format!("HUP to reach the command ({through:?})"), || {
            fs::read_to_string(&seen).ok().filter(|text| text.contains("hup"))
        });
    }
}

#[test]
fn c31_under_nohup_the_job_and_its_push_outlive_the_terminal() {
    let gateway = FakeGateway::start((0..8).map(|_| Reply::ok()));
    let directory = tempfile::tempdir().unwrap();
    let (ready, go) = (directory.path().join("ready"), directory.path().join("go"));
    let mut terminal = Terminal::bash();
    terminal.type_in(&format!(
        "cd {}; nohup {} --url {} --job j -- sh -c 'echo > {}; until [ -e {} ]; do sleep 0.02; done; exit 6'\n",
        directory.path().display(),
        for_shell(binary()),
        gateway.url(),
        ready.display(),
        go.display()
    ));
    wait_for("the job", || ready.exists().then_some(()));
    let shell = terminal.leader();
    terminal.hang_up();
    wait_for("the shell to be gone", || matches!(stat_field(shell, 3).as_str(), "" | "Z").then_some(()));
    fs::write(go, "").unwrap();
    wait_for("the final push", || {
        let body = gateway.requests().last()?.body();
        (body.contains("pushwrap_exit_code 6") && body.contains("{outcome=\"failure\"} 1")).then_some(())
    });
}

#[test]
fn c24_a_stop_signal_that_cannot_be_caught_is_followed_where_a_shell_waits() {
    for through in Through::ALL {
        let terminal = Terminal::bash();
        count(&terminal, through);
        nix::sys::signal::kill(command_pid(&terminal), nix::sys::signal::Signal::SIGSTOP).unwrap();
        terminal.wait_for("Stopped");
        terminal.wait_for_times("ready> ", 2);
        terminal.type_in("fg\n");
        terminal.wait_for("got 18");
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(counted(&terminal), ["18"], "{through:?}");
    }
}

//! How pushwrap ends: as the command ended, when the command has ended, and whatever the command has left behind.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::fake::FullBacklog;
use super::harness::probe::{Sleeper, action, for_shell, given, like_direct, probe};
use super::harness::pushwrap::{NO_STATE, bare, binary};
use super::harness::{FakeGateway, InTime as _, Pushwrap, Reply, Through, wait_for, wait_in_time};

#[test]
fn c14_every_exit_status_is_passed_on() {
    for code in [0, 3, 124, 125, 126, 127, 137, 255] {
        let output = like_direct(&[], &action(&["exit", &code.to_string()]));
        assert_eq!(output.status.code(), Some(code));
    }
    let output = like_direct(&[], &action(&["exit", "300"]));
    assert_eq!(output.status.code(), Some(44), "modulo 256, as exit(3) has it");
}

#[test]
fn c15_death_by_a_signal_is_passed_on_as_such() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE, libc::SIGSEGV, libc::SIGKILL, 40, 64] {
        for through in Through::ALL {
            // No core file (RLIMIT_CORE is 4), so that the statuses are comparable.
            let command = action(&["die", &signal.to_string()]);
            let status = given(&["limit", "4", "0"], through, &command).status_in_time();
            assert_eq!(status.signal(), Some(signal), "{through:?}: {status}");
        }
    }
}

#[test]
fn c15_death_by_a_signal_that_the_caller_ignores_is_passed_on() {
    for signal in [libc::SIGPIPE, libc::SIGTERM, libc::SIGINT] {
        let (number, command) = (signal.to_string(), action(&["die", &signal.to_string()]));
        let output = like_direct(&["ignore", &number, "block", &number], &command);
        assert_eq!(output.status.signal(), Some(signal));
    }
}

#[test]
fn c16_only_the_command_dumps_core() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let script = format!("ulimit -c unlimited; {} --url none -- \"$@\"", for_shell(binary()));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script, "bash"]).args(action(&["die", "3"])).current_dir(&directory);
    // The last command is executed by bash, so this is pushwrap's own status.
    assert_eq!(shell.output_in_time().status.signal(), Some(libc::SIGQUIT));
    if pattern.starts_with(['|', '/']) {
        // The kernel puts cores elsewhere: then only the next test tells.
        return;
    }
    let cores = fs::read_dir(&directory).unwrap().count();
    assert_eq!(cores, 1, "the command's core and none of pushwrap's");
}

#[test]
fn c16_pushwrap_itself_dies_without_a_core() {
    let directory = tempfile::tempdir().unwrap();
    let statuses = Through::ALL.map(|through| {
        let script = format!("ulimit -c unlimited; exec {}\"$@\"", through.shell_words());
        let mut shell = Command::new("bash");
        shell.args(["-c", &script, "bash"]).args(action(&["die", "3"])).current_dir(&directory);
        shell.output_in_time().status
    });
    assert_eq!(statuses.map(|status| status.signal()), [Some(libc::SIGQUIT); 3]);
    // The flag is the one difference: it cannot be passed on without dumping. (Where the kernel hands cores to a program
    // that is not there, nobody dumps.)
    assert_eq!(statuses[0].core_dumped(), statuses[1].core_dumped());
    assert!(!statuses[2].core_dumped());
}

/// With a limit of time pushwrap reaps all children, as PID 1 does, and the one that it cannot reap is found again each time.
#[test]
fn c19_where_the_kernel_refuses_to_reap_pushwrap_ends_all_the_same() {
    let command = ["--timeout", "1h", "--url", "none", "--", "true"].map(OsString::from);
    let mut call = Command::new(probe());
    call.args(["given", "refuse-wait4", "--"]).arg(binary()).args(command).env(NO_STATE.0, NO_STATE.1);
    let status = call.status_in_time();
    assert_eq!(status.code(), Some(125), "{status}");
}

#[test]
fn c30_an_alarm_that_the_caller_has_set_reaches_the_command() {
    let start = Instant::now();
    let output = like_direct(&["alarm", "1"], &["sleep", "60"]);
    assert_eq!(output.status.signal(), Some(libc::SIGALRM));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn c32_under_timeout_both_end_and_the_run_was_terminated() {
    let gateway = FakeGateway::start((0..8).map(|_| Reply::ok()));
    let sleeper = Sleeper::new();
    let output = Command::new("timeout")
        .arg("1")
        .arg(binary())
        .args(["--url", &gateway.url(), "--job", "j", "--"])
        .args(sleeper.arguments())
        .env(NO_STATE.0, NO_STATE.1)
        .output_in_time();
    assert_eq!(output.status.code(), Some(124));
    wait_for("the final push", || {
        let last = gateway.requests().last()?.body();
        (last.contains("pushwrap_running 0") && last.contains("{outcome=\"terminated\"} 1")).then_some(())
    });
    assert!(!sleeper.runs());
}

#[test]
fn c33_a_process_left_behind_holds_nothing_up_and_lives() {
    let pushwrap = || Through::Pushwrap.arguments().into_iter();
    let limited = pushwrap().take(3).chain(["--timeout", "1h", "--"].map(OsString::from));
    let wrappers: [Vec<OsString>; 4] = [vec![], vec!["env".into()], pushwrap().collect(), limited.collect()];
    // Also a process that pushwrap has seen when it looked at the tree.
    for script in ["$0 $1 & exit 0", "$0 $1 & sleep 0.5; exit 0"] {
        for wrapper in &wrappers {
            let sleeper = Sleeper::new();
            let command = [&["sh", "-c", script], &sleeper.arguments()[..]].concat();
            let mut call = given(&[], Through::Nothing, wrapper);
            // Its streams are pipes, as from cron: the one that is left behind holds them, and nobody reads to their end.
            let start = Instant::now();
            let mut call = call.args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            assert!(wait_in_time(&mut call, wrapper).success());
            // The contract says 100 ms; the machine may be busy.
            assert!(start.elapsed() < Duration::from_secs(10), "{wrapper:?} {script}: {:?}", start.elapsed());
            wait_for(&format!("the one left behind by {wrapper:?} {script}"), || sleeper.runs().then_some(()));
        }
    }
}

#[test]
fn c34_the_reader_of_the_output_sees_its_end_before_the_push_is_over() {
    let gateway = FullBacklog::start();
    let mut call = bare();
    call.args(["--url", &gateway.url(), "--push-timeout", "20s", "--", "echo", "generated"]).stdin(Stdio::piped());
    let mut pushwrap = call.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = String::new();
    pushwrap.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "generated\n");
    assert_eq!(pushwrap.try_wait().unwrap(), None, "still pushing to a gateway that does not answer");
    // Nor does it hold the other end of what the command has read from.
    let mut stdin = pushwrap.stdin.take().unwrap();
    wait_for("the pipe to have no reader any more", || {
        let refused = std::io::Write::write_all(&mut stdin, b"x").err()?;
        (refused.kind() == std::io::ErrorKind::BrokenPipe).then_some(())
    });
    assert_eq!(pushwrap.try_wait().unwrap(), None, "still pushing");
    pushwrap.kill().unwrap();
    pushwrap.wait().unwrap();
}

#[test]
fn c34_other_descriptors_are_let_go_of_while_the_command_runs() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (prefix, sleeper) = (Through::Pushwrap.shell_words(), Sleeper::new());
    // The command closes its own end at once and goes on; cat must not wait for pushwrap's.
    let script =
        format!("cat {0} & {prefix}sh -c 'exec 9>&-; exec {sleeper}' 9> {0} & wait %1; kill %2; wait", fifo.display());
    let output = Command::new("bash").args(["-c", &script]).output_in_time();
    assert!(!sleeper.runs(), "{output:?}");
}

#[test]
fn c46_a_writer_whose_reader_has_gone_dies_by_sigpipe() {
    for through in Through::ALL {
        let script = format!("{}yes | head -1; echo ${{PIPESTATUS[0]}}", through.shell_words());
        let output = given(&[], Through::Nothing, &["bash", "-c", &script]).output_in_time();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n141\n", "{through:?}");
    }
}

#[test]
fn c45_a_good_run_says_nothing() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let run = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).run(["echo", "out"]).exit(0);
    run.stdout("out\n").stderr("");
}

#[test]
fn c45_nor_does_one_that_uses_everything() {
    // The first push is put off for longer than there is time, so that it waits in the state directory.
    let busy = Reply::with_headers("503 Service Unavailable", &["Retry-After: 60"], "");
    let gateway = FakeGateway::start([busy, Reply::ok()]);
    let (second, receiver) = (FakeGateway::start([Reply::ok()]), FakeGateway::start([Reply::ok()]));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let to = ["--url", &gateway.url(), "--state-dir", directory.path().to_str().unwrap()].map(ToOwned::to_owned);
    Pushwrap::new().args(&to).args(["--job", "earlier", "--push-timeout", "2s"]).run(["true"]).stderr_has("503");

    let more = [
        "--url",
        &second.url(),
        "--remote-write",
        &format!("{}/api/v1/write", receiver.url()),
        "--output",
        &path("out.prom"),
        "--job",
        "j",
    ];
    let still_more =
        ["--timeout", "1h", "--max-age", "26h", "-l", "zone=eu", "--info", "commit=1", "--push-interval", "1s"];
    let (repaired, go) = ("\u{feff}b 1\r\n# TYPE a counter\r\n a  2 \r\nc{x=\"\"} 1e0", path("go"));
    let run = Pushwrap::new().args(&to).args(more).args(still_more).textfile(repaired);
    let run = run.spawn(["sh", "-c", "until [ -e \"$0\" ]; do sleep 0.05; done; echo out", &go]);
    for sink in [&gateway, &second, &receiver] {
        sink.wait_for_requests(2);
    }
    fs::write(go, "").unwrap();
    run.wait().exit(0).stdout("out\n").stderr("");
    let earlier = gateway.requests().iter().filter(|push| push.line().contains("/job/earlier")).count();
    assert_eq!(earlier, 2, "refused first, sent by this run");
}

#[test]
fn xargs_and_setsid_see_what_they_see_without_pushwrap() {
    for through in Through::ALL {
        let prefix = through.shell_words();
        for (script, status) in [
            (format!("seq 40 | xargs -P 8 -n 1 {prefix}true"), 0),
            (format!("seq 40 | xargs -P 8 -n 1 {prefix}sh -c 'exit 3'"), 123),
            (format!("setsid -w {prefix}sh -c 'exit 5'; exit $?"), 5),
            (format!("setsid -w {prefix}sh -c 'kill -9 $$'; exit $?"), 137),
        ] {
            let output = given(&[], Through::Nothing, &["bash", "-c", &script]).output_in_time();
            assert_eq!(output.status.code(), Some(status), "{script}: {output:?}");
        }
    }
}

//! The process rules where they need root, a container engine, a PID namespace or a daemon of the system; by the number of
//! the conformance list, as in the integration tests.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::engine::{ContainerImage, need_program, need_root};
use super::harness::fake::FullBacklog;
use super::harness::probe::{Sleeper, action, given, probe};
use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, InTime as _, Reply, Through, wait_for, wait_in_time};

/// An image with nothing but pushwrap and the probe, both static, and a script that no shell is there for.
fn image() -> ContainerImage {
    static MADE: OnceLock<ContainerImage> = OnceLock::new();
    MADE.get_or_init(|| {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), "exit 0\n").unwrap();
        let script = ("script", script.path().to_owned());
        ContainerImage::of_files(
            "pushwrap-test-probe",
            &[("pushwrap", binary()), ("probe", probe().to_owned()), script],
        )
    })
    .clone()
}

/// `pushwrap OPTIONS -- probe ACTION` as PID 1 of the image.
fn as_init<'a>(options: &[&'a str], action: &[&'a str]) -> Vec<&'a str> {
    [&["/pushwrap"], options, &["--", "/probe"], action].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A new PID namespace in which pushwrap is PID 1.
struct Namespace {
    unshare: Child,
    init: i32,
    output: tempfile::NamedTempFile,
}

impl Namespace {
    /// The arguments after unshare's own.
    fn call(arguments: &[OsString]) -> Command {
        need_root("a PID namespace");
        let mut call = Command::new(need_program("unshare", "util-linux"));
        call.args(["--pid", "--fork", "--mount-proc"]).args(arguments).stdin(Stdio::null());
        call
    }

    fn arguments(action: &[&str]) -> Vec<OsString> {
        let mut arguments = Through::Pushwrap.arguments();
        arguments.push(probe().into());
        arguments.extend(action.iter().map(OsString::from));
        arguments
    }

    fn start(action: &[&str]) -> Self {
        Self::of(&Self::arguments(action))
    }

    fn of(arguments: &[OsString]) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let unshare = Self::call(arguments).stdout(output.reopen().unwrap()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let init = wait_for("pushwrap as PID 1", || fs::read_to_string(&children).ok()?.trim().parse().ok());
        Self { unshare, init, output }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.output.path()).unwrap()
    }

    fn wait_ready(&self) {
        wait_for("the command to be ready", || self.output().contains("ready").then_some(()));
    }

    /// unshare ends as its child did.
    fn wait(&mut self) -> ExitStatus {
        wait_for("the namespace to end", || self.unshare.try_wait().unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
        let _ = self.unshare.wait();
    }
}

#[test]
fn c17_pid_1_ends_with_the_command_and_waits_for_nobody() {
    // By its status alone: it may have ended before anybody can search for its PID 1.
    let start = Instant::now();
    let status = Namespace::call(&Namespace::arguments(&["leave", "11"])).status_in_time();
    assert_eq!(status.code(), Some(139));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn c17_in_a_container_with_and_without_an_init() {
    for (options, status) in [(&[][..], 139), (&["--init"], 139)] {
        let start = Instant::now();
        let output = image().run(options, &as_init(&["--url", "none"], &["leave", "11"]));
        assert_eq!(output.status.code(), Some(status), "{options:?}: {}", text(&output.stderr));
        assert!(start.elapsed() < Duration::from_secs(50), "{options:?}: the one that sleeps is not waited for");
    }
}

#[test]
fn c18_pid_1_hands_a_signal_from_outside_on() {
    // An INT of the terminal has no sender either, but that one is not handed on.
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut namespace = Namespace::start(&["on-term", "9"]);
        namespace.wait_ready();
        kill(Pid::from_raw(namespace.init), signal).unwrap();
        assert_eq!(namespace.wait().code(), Some(9), "{signal}");
        assert_eq!(namespace.output().matches(&format!("got {}", signal as i32)).count(), 1);
    }
}

#[test]
fn c18_docker_stop_and_docker_kill_reach_the_command() {
    for options in [&[][..], &["--init"]] {
        let container = image().start(options, &as_init(&["--url", "none"], &["on-term", "9"]));
        wait_for("the command", || container.logs().0.contains("ready").then_some(()));
        container.stop(60);
        assert_eq!(container.wait(), 9, "{options:?}");
        assert_eq!(container.logs().0.matches("got 15").count(), 1, "{options:?}");
    }
}

#[test]
fn c19_pid_1_reaps_orphans_and_does_not_mix_them_up() {
    let mut namespace = Namespace::start(&["orphans", "50"]);
    namespace.wait_ready();
    let children = format!("/proc/{0}/task/{0}/children", namespace.init);
    // Only the command and the witness are left, and no zombie beside them.
    wait_for("the orphans to be reaped", || {
        (fs::read_to_string(&children).ok()?.split_whitespace().count() == 2).then_some(())
    });
    kill(Pid::from_raw(namespace.init), Signal::SIGTERM).unwrap();
    assert_eq!(namespace.wait().code(), Some(7));
}

#[test]
fn c19_pid_1_goes_on_reaping_while_it_pushes() {
    let gateway = FullBacklog::start();
    let mut arguments: Vec<OsString> = vec![binary().into(), "--url".into(), gateway.url().into()];
    let script = "echo ready; (sleep 0.5; exit 3) & exit 4";
    arguments.extend(["--push-timeout", "60s", "--", "sh", "-c", script].map(OsString::from));
    let mut namespace = Namespace::of(&arguments);
    namespace.wait_ready();
    let children = format!("/proc/{0}/task/{0}/children", namespace.init);
    wait_for("the orphan to be reaped", || fs::read_to_string(&children).ok()?.trim().is_empty().then_some(()));
    assert_eq!(namespace.unshare.try_wait().unwrap(), None, "still pushing");
    for _ in 0..2 {
        kill(Pid::from_raw(namespace.init), Signal::SIGTERM).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(namespace.wait().code(), Some(4));
}

#[test]
fn c19_without_being_pid_1_orphans_go_where_they_always_go() {
    let mut call = given(&[], Through::Pushwrap, &action(&["orphans", "50"]));
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut pushwrap = call.stdout(output.reopen().unwrap()).spawn().unwrap();
    wait_for("the command", || fs::read_to_string(output.path()).unwrap().contains("ready").then_some(()));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", pushwrap.id())).unwrap();
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let others = children.split_whitespace().filter(|pid| name(pid) != "signal-witness\n");
    assert_eq!(others.count(), 1, "the command alone: {children}");
    kill(Pid::from_raw(pushwrap.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(wait_in_time(&mut pushwrap, &"pushwrap").code(), Some(7));
}

/// How long sampling is watched.
const PERIOD: Duration = Duration::from_secs(10);

/// CPU time that pushwrap has used after [`PERIOD`] over this script, and how often it has waited and gone on: that is once for
/// each sample, and now and then besides.
fn watched(script: &str) -> (Duration, u64) {
    // Only where somebody hears of it is memory measured.
    let mut call = given(&[], Through::Pushwrap, &["sh", "-c", script]);
    let mut pushwrap = call.env("PUSHWRAP_SUMMARY", "text").spawn().unwrap();
    let start = Instant::now();
    wait_for("ten seconds to pass", || (start.elapsed() > PERIOD).then_some(()));
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", pushwrap.id())).unwrap();
    let used = Duration::from_nanos(read("schedstat").split(' ').next().unwrap().parse().unwrap());
    let status = read("status");
    let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    let waits = waits.trim().parse().unwrap();
    kill(Pid::from_raw(pushwrap.id().cast_signed()), Signal::SIGTERM).unwrap();
    wait_in_time(&mut pushwrap, &script);
    (used, waits)
}

#[test]
fn c43_what_else_the_host_runs_costs_nothing() {
    need_root("five thousand processes");
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut crowd = Command::new(probe()).args(["crowd", "5000"]).stdout(output.reopen().unwrap()).spawn().unwrap();
    wait_for("the crowd", || fs::read_to_string(output.path()).unwrap().contains("ready").then_some(()));
    let (used, waits) = watched("while :; do sleep 0.05; done");
    crowd.kill().unwrap();
    crowd.wait().unwrap();
    // A tree that changes with every sample: sooner at first and then every second. A scan of the host would cost more or,
    // because what is dear is done rarely, come too late.
    assert!(used < PERIOD / 500 + Duration::from_millis(5), "{used:?} in {PERIOD:?}");
    assert!((11..=45).contains(&waits), "{waits} samples or so in {PERIOD:?}");
}

#[test]
fn c43_a_large_tree_is_sampled_rarely() {
    need_root("a thousand processes");
    let crowd = format!("{} crowd 1000 >/dev/null & trap \"kill $!; exit\" TERM", probe().display());
    let (used, waits) = watched(&format!("{crowd}; while :; do sleep 0.05; done"));
    // Each sample costs some thirty milliseconds: at a second's pace there would be a dozen of them.
    assert!(waits < 10, "{waits} samples or so in {PERIOD:?}, {used:?}");
}

/// The outcome that the one-line summary names.
fn outcome(output: &Output) -> String {
    let said = text(&output.stderr);
    let outcome = said.split("\"outcome\":\"").nth(1).and_then(|rest| rest.split('"').next());
    outcome.unwrap_or_else(|| panic!("no outcome in: {said}")).to_owned()
}

#[test]
fn c44_a_kill_by_the_kernel_for_want_of_memory_is_told_from_one_by_hand() {
    let summary = ["--url", "none", "--summary=json"];
    let options = ["--memory", "30m", "--memory-swap", "30m"];
    let output = image().run(&options, &as_init(&summary, &["memory", "200", "0"]));
    assert_eq!((output.status.code(), outcome(&output).as_str()), (Some(137), "oom_killed"));
    assert!(text(&output.stderr).contains("\"memory_limit_bytes\":31457280"), "{}", text(&output.stderr));
    let output = image().run(&options, &as_init(&summary, &["die", "9"]));
    assert_eq!((output.status.code(), outcome(&output).as_str()), (Some(137), "signal"));
}

#[test]
fn c47_in_the_barest_container_it_runs_and_says_what_it_does_without() {
    let options = ["--read-only", "--user", "12345", "--ipc", "none", "--network", "none", "--env", "HOME="];
    let output = image().run(&options, &as_init(&[], &["exit", "3"]));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot create a file for metrics"), "{said}");
    assert!(said.contains("pushwrap_exit_code 3"), "it reports where it can: {said}");
    let output = image().run(&options, &as_init(&[], &["environment"]));
    assert!(!text(&output.stdout).contains("PUSHWRAP_TEXTFILE"));
    for (command, status, why) in [
        ("/etc/hosts", 126, "is not executable"),
        // No /bin/sh to run a file without '#!'.
        ("/script", 126, "nor a script that starts with '#!', and '/bin/sh' did not run it"),
        ("/missing", 127, "no such file or directory"),
    ] {
        let output = image().run(&options, &["/pushwrap", "--url", "none", "--", command]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{command}: {said}");
        assert!(said.contains(why), "{command}: {said}");
    }
}

#[test]
fn c47_without_proc_and_devices_it_runs_too() {
    need_root("another root directory");
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = "chmod 755 $0; install -m 755 $1 $0/pushwrap; install -m 755 $2 $0/probe";
    let mut install = Command::new("sh");
    install.args(["-euc", script]).arg(root.path()).args([&binary(), probe()]);
    assert!(install.status().unwrap().success());
    for options in [&[][..], &["--timeout", "60"]] {
        let mut call = Command::new(need_program("chroot", "coreutils"));
        call.arg("--userspec=12345:12345").arg(root.path()).args(as_init(options, &["memory", "1", "400"]));
        let output = call.env_clear().output_in_time();
        let said = text(&output.stderr);
        // Long enough for two samples, where there is nothing to take them from.
        assert_eq!(output.status.code(), Some(0), "{options:?}: {said}");
        assert!(said.contains("cannot create a file for metrics"), "{said}");
        assert!(said.contains("pushwrap_success 1") && !said.contains("tree_peak"), "{said}");
    }
}

/// Runs a script in a private mount namespace with directories of the system covered, so that nothing of it stays.
fn covered(script: &str) -> Output {
    need_root("covering directories of the system");
    let mut call = Command::new(need_program("unshare", "util-linux"));
    call.args(["--mount", "--propagation", "private", "sh", "-euc", script]).stdin(Stdio::null());
    call.output_in_time()
}

#[test]
fn c45_a_job_of_a_real_cron_mails_nothing_in_a_good_run() {
    let cron = need_program("cron", "cron");
    let gateway = FakeGateway::start((0..4).map(|_| Reply::ok()));
    let directory = tempfile::tempdir().unwrap();
    let mail = directory.path().join("mail");
    let sendmail = format!("#!/bin/sh\ncat >> {}\n", mail.display());
    fs::write(directory.path().join("sendmail"), sendmail).unwrap();
    let job = format!("{} --url {} --job cron -- true", binary().display(), gateway.url());
    // The second job shows that a mail would have come.
    let table = format!("MAILTO=root\n* * * * * root {job}\n* * * * * root echo noise\n");
    fs::write(directory.path().join("table"), table).unwrap();
    let d = directory.path().display();
    // cron runs what is in /etc/cron.d and mails by /usr/sbin/sendmail, which may not be there: /usr/sbin is covered by
    // a copy with it.
    let script = format!(
        "mkdir {d}/sbin; cp -a /usr/sbin/. {d}/sbin; install -m 755 {d}/sendmail {d}/sbin/sendmail; \
         mount --bind {d}/sbin /usr/sbin; mount -t tmpfs tmpfs /etc/cron.d; mount -t tmpfs tmpfs /run; \
         mount -t tmpfs tmpfs /var/spool/cron; mkdir /var/spool/cron/crontabs; \
         install -m 644 {d}/table /etc/cron.d/table; \
         {} -f & cron=$!; for i in $(seq 1 900); do [ -s {d}/mail ] && break; sleep 0.1; done; sleep 1; kill $cron",
        cron.display()
    );
    let output = covered(&script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mails = fs::read_to_string(mail).expect("the mail of the job that makes noise");
    assert!(mails.contains("noise"), "{mails}");
    assert!(!mails.contains("pushwrap"), "a good run is silent: {mails}");
    assert!(gateway.requests().iter().any(|push| push.body().contains("pushwrap_success 1")));
}

#[test]
fn a_command_of_another_user_is_passed_on_like_any_other() {
    need_root("su");
    let su = need_program("su", "util-linux");
    for through in Through::ALL {
        let command = [su.to_str().unwrap(), "nobody", "-s", "/bin/sh", "-c", "exit 5"];
        assert_eq!(given(&[], through, &command).status_in_time().code(), Some(5), "{through:?}");
    }
}

#[test]
fn a_command_that_may_not_be_signalled_ends_by_itself() {
    need_root("setpriv and a setuid command");
    // pushwrap as nobody, the command as root by a setuid bit: EPERM for every signal.
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let copy = directory.path().join("probe");
    assert!(Command::new("install").args(["-m", "4755"]).arg(probe()).arg(&copy).status().unwrap().success());
    assert!(Command::new("chmod").arg("755").arg(directory.path()).status().unwrap().success());
    let own = directory.path().join("pushwrap");
    assert!(Command::new("install").args(["-m", "755"]).arg(binary()).arg(&own).status().unwrap().success());
    let mut call = Command::new(need_program("setpriv", "util-linux"));
    call.args(["--reuid", "65534", "--clear-groups"]).arg(&own);
    let limit = ["--url", "none", "--timeout", "0.3", "--kill-after", "0.1", "--summary=json", "--"];
    let limited = call.args(limit).arg(&copy).args(["all-root", "900"]).output_in_time();
    let said = text(&limited.stderr);
    assert_eq!(limited.status.code(), Some(0), "what happened: {said}");
    assert!(said.contains("cannot be signalled") && said.contains("\"outcome\":\"success\""), "{said}");
    let mut call = Command::new(need_program("setpriv", "util-linux"));
    call.args(["--reuid", "65534", "--clear-groups"]).arg(own).args(["--url", "none", "--"]).arg(copy);
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut pushwrap = call.args(["all-root", "700"]).stdout(output.reopen().unwrap()).spawn().unwrap();
    wait_for("the command", || fs::read_to_string(output.path()).unwrap().contains("ready").then_some(()));
    kill(Pid::from_raw(pushwrap.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(wait_in_time(&mut pushwrap, &"pushwrap").code(), Some(0));
}

#[test]
fn done_3_ten_thousand_runs_of_true() {
    let arguments = Through::Pushwrap.arguments();
    for run in 0..10_000 {
        let status = Command::new(&arguments[0]).args(&arguments[1..]).arg("true").status_in_time();
        assert!(status.success(), "run {run}: {status}");
    }
}

#[test]
fn done_3_two_thousand_signals_at_any_moment() {
    let sleeper = Sleeper::new();
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGALRM, 40];
    let mut random = 0x9e37_79b9_u32;
    let mut next = |below: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % below
    };
    for run in 0..2000 {
        let signal = signals[next(7) as usize];
        let moment = Duration::from_micros(u64::from(next(8000)));
        let mut pushwrap = given(&["limit", "4", "0"], Through::Pushwrap, &sleeper.arguments()).spawn().unwrap();
        std::thread::sleep(moment);
        let number = signal.to_string();
        // Real-time signals have no name in nix.
        let sent = Command::new(probe()).args(["queue", &pushwrap.id().to_string(), &number, "1"]).status().unwrap();
        assert!(sent.success());
        let status = wait_for("the run to end", || pushwrap.try_wait().unwrap());
        assert_eq!(status.signal(), Some(signal), "run {run}, after {moment:?}");
    }
    assert!(!sleeper.runs(), "no command is left running alone");
    assert!(zombies().is_empty(), "{:?}", zombies());
}

/// The ended and unreaped children of this process.
fn zombies() -> Vec<i32> {
    let children = format!("/proc/self/task/{}/children", nix::unistd::gettid());
    let list = fs::read_to_string(children).unwrap_or_default();
    let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.filter(|pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")))
        .collect()
}

#[test]
fn the_system_files_that_the_tests_read_are_there() {
    assert!(Path::new("/proc/self/schedstat").exists() && File::open("/proc/thread-self/children").is_ok());
}

#[test]
fn where_no_process_may_be_added_the_message_names_the_limit() {
    need_root("another user");
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = format!(
        "chmod 755 {0}; install -m 755 {1} {0}/pushwrap; install -m 755 {2} {0}/probe; \
         exec setpriv --reuid 65533 --clear-groups {0}/probe given limit 6 1 -- {0}/pushwrap --url none -- true",
        directory.path().display(),
        binary().display(),
        probe().display()
    );
    // 6 is RLIMIT_NPROC, which counts the processes of the user and does not hold for root.
    let output = Command::new("sh").args(["-euc", &script]).output_in_time();
    assert_eq!(output.status.code(), Some(126), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the limit on processes is reached"), "{}", text(&output.stderr));
}

#[test]
fn sudo_as_the_command_and_as_the_caller() {
    need_root("sudo without a password");
    let sudo = need_program("sudo", "sudo");
    let sudo = sudo.to_str().unwrap();
    let own = binary();
    let own = own.to_str().unwrap();
    for (arguments, status) in [
        (vec![own, "--url", "none", "--", sudo, "-n", "sh", "-c", "exit 5"], 5),
        (vec![sudo, "-n", own, "--url", "none", "--", "sh", "-c", "exit 6"], 6),
    ] {
        let output = Command::new(arguments[0]).args(&arguments[1..]).stdin(Stdio::null()).output_in_time();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output.stderr));
    }
    // TERM to pushwrap reaches the command below sudo.
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut call = Command::new(own);
    call.args(["--url", "none", "--", sudo, "-n"]).arg(probe()).args(["on-term", "9"]);
    let mut pushwrap = call.stdin(Stdio::null()).stdout(output.reopen().unwrap()).spawn().unwrap();
    wait_for("the command", || fs::read_to_string(output.path()).unwrap().contains("ready").then_some(()));
    kill(Pid::from_raw(pushwrap.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(wait_in_time(&mut pushwrap, &"pushwrap").code(), Some(9));
    assert_eq!(fs::read_to_string(output.path()).unwrap().matches("got 15").count(), 1);
}

#[test]
fn a_systemd_unit_with_pushwrap_in_front_is_in_order() {
    let analyze = need_program("systemd-analyze", "systemd");
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("backup.service");
    // KillMode=mixed: TERM goes to pushwrap alone, which hands it on once.
    let lines = format!(
        "[Unit]\nDescription=Nightly backup\n\n[Service]\nType=oneshot\nKillMode=mixed\nDynamicUser=yes\n\
         Environment=PUSHWRAP_URL=http://localhost:9091\nExecStart={} -- /bin/true\n",
        binary().display()
    );
    fs::write(&unit, lines).unwrap();
    let output = Command::new(analyze).arg("verify").arg(&unit).output().unwrap();
    let said = text(&output.stderr);
    assert!(!said.contains("backup.service"), "{said}");
}

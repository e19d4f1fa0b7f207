//! Name servers that misbehave, seen through a resolver configuration of the test's own: a mount namespace, so root.

use std::ffi::OsStr;
use std::iter;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::pushwrap::binary;
use super::harness::{FakeGateway, Reply, wait_for, within_limit};

/// What a name server does with a question.
#[derive(Clone, Copy)]
enum Server {
    /// It never answers.
    Silent,
    /// It knows the address of every name, after a pause: 127.0.0.1.
    Answers(Duration),
    /// It refuses with this code (RFC 1035, section 4.1.1: 2 server failure, 3 no such name, 5 refused).
    Fails(u8),
}

/// Starts a name server on port 53 of an address of its own; it lives as long as the test binary. Counts its questions.
fn serve(address: &str, server: Server) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let socket = UdpSocket::bind((address, 53)).expect("port 53 of a loopback address: run this as root");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut question) {
            counter.fetch_add(1, Ordering::SeqCst);
            match server {
                Server::Silent => {}
                Server::Answers(pause) => {
                    thread::sleep(pause);
                    let _ = socket.send_to(&answer(&question[..length], 0), client);
                }
                Server::Fails(code) => {
                    let _ = socket.send_to(&answer(&question[..length], code), client);
                }
            }
        }
    });
    asked
}

/// The answer to a question: 127.0.0.1 for an A record, no record for any other.
fn answer(question: &[u8], code: u8) -> Vec<u8> {
    let name = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap_or_default();
    let asked = &question[12..name + 5];
    let found = code == 0 && asked[asked.len() - 4..asked.len() - 2] == [0, 1];
    let mut answer = [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, u8::from(found), 0, 0, 0, 0], asked].concat();
    if found {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 4, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

/// Runs pushwrap where `resolv.conf` and `nsswitch.conf` are these.
fn run(resolv: &str, nsswitch: &str, arguments: &[&str]) -> (Output, Duration) {
    let program = binary();
    let command_line: Vec<&OsStr> = iter::once(program.as_os_str()).chain(arguments.iter().map(OsStr::new)).collect();
    run_command(resolv, nsswitch, &command_line)
}

/// The same for any command.
fn run_command(resolv: &str, nsswitch: &str, command_line: &[&OsStr]) -> (Output, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        std::fs::write(dir.path().join(name), content).unwrap();
        dir.path().join(name)
    };
    let (resolv, nsswitch) = (write("resolv.conf", resolv), write("nsswitch.conf", nsswitch));
    let script = "mount --bind \"$0\" \"$(readlink -f /etc/resolv.conf)\" && mount --bind \"$1\" /etc/nsswitch.conf && \
                  shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).args([&resolv, &nsswitch]).args(command_line);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output().expect("unshare can be run: install util-linux");
    (output, started.elapsed())
}

fn push(url: &str, budget: &str, resolv: &str) -> (String, Duration) {
    let arguments = ["--job", "j", "--url", url, "--push-timeout", budget, "--", "sh", "-c", "exit 3"];
    let (output, took) = run(resolv, "hosts: files myhostname resolve [!UNAVAIL=return] dns\n", &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    (said, took)
}

#[test]
fn name_servers_that_never_answer_cost_no_more_than_the_budget() {
    serve("127.0.53.1", Server::Silent);
    // unshare and two mounts included.
    let (said, _) = within_limit(Duration::from_millis(1300 + 200), || {
        push("http://gw.example:9091", "1", "nameserver 127.0.53.1\n")
    });
    assert!(said.contains("cannot push to 'http://gw.example:9091': the lookup of its name took too long"), "{said}");
}

/// glibc asks the second server after five seconds: half of the budget must not be the end of it.
#[test]
fn a_dead_name_server_before_a_good_one_is_waited_out() {
    serve("127.0.53.2", Server::Silent);
    serve("127.0.53.3", Server::Answers(Duration::ZERO));
    let fake = FakeGateway::start([Reply::ok()]);
    let url = fake.url().replace("127.0.0.1", "gw.example");
    let (said, took) = push(&url, "8", "nameserver 127.0.53.2\nnameserver 127.0.53.3\n");
    assert!(said.is_empty() && fake.requests().len() == 1, "{took:?} {said}");
}

#[test]
fn failures_of_dns_are_told_in_its_own_words_and_tried_again() {
    for (address, code) in [("127.0.53.4", 2), ("127.0.53.5", 3), ("127.0.53.6", 5)] {
        serve(address, Server::Fails(code));
        let (said, _) = push("http://gw.example", "0.6", &format!("nameserver {address}\n"));
        assert!(said.contains(" tries: cannot resolve its name: "), "{code}: {said}");
        assert!(said.contains("name resolution") || said.contains("not known"), "{code}: {said}");
    }
}

#[test]
fn a_slow_name_server_is_good_enough() {
    serve("127.0.53.7", Server::Answers(Duration::from_millis(700)));
    let fake = FakeGateway::start([Reply::ok()]);
    let (said, _) = push(&fake.url().replace("127.0.0.1", "gw.example"), "4", "nameserver 127.0.53.7\n");
    assert!(said.is_empty() && fake.requests().len() == 1, "{said}");
}

/// The static binary must load nothing of the host's: its libc is another one there.
#[test]
fn the_static_binary_loads_no_name_service_module() {
    let program = std::fs::read(binary()).unwrap();
    let interpreter = program.windows(12).any(|window| window == b"/lib64/ld-li" || window == b"/lib/ld-linu");
    assert!(!interpreter, "'{}' is not static: run 'make build'", binary().display());
    let asked = serve("127.0.53.8", Server::Silent);
    let dir = tempfile::tempdir().unwrap();
    let (looked_up, maps) = (dir.path().join("looked_up"), dir.path().join("maps"));
    // The first push while it runs resolves the name, and the command can still examine pushwrap.
    let script =
        format!("until [ -e {} ]; do sleep 0.1; done; cat /proc/$PPID/maps >{}", looked_up.display(), maps.display());
    let arguments =
        ["--job", "j", "--url", "http://gw.example", "--push-timeout", "1", "--", "sh", "-c", script.as_str()];
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("a question", || (asked.load(Ordering::SeqCst) > 0).then_some(()));
            std::fs::write(&looked_up, "").unwrap();
        });
        run("nameserver 127.0.53.8\n", "hosts: hesiod files dns\n", &arguments);
    });
    let maps = std::fs::read_to_string(&maps).unwrap();
    assert!(Path::new("/etc/nsswitch.conf").exists() && !maps.contains(".so"), "{maps}");
}

/// A user whom nothing else on the machine is: the limit counts all processes of a user.
const USER: &str = "65432";

/// Given a user whose processes are at their limit, and name servers that never answer, when a run is reported, then it costs no
/// more than the budget: a lookup that nothing can bound is not made.
#[test]
fn name_servers_that_never_answer_cost_no_more_where_no_thread_can_be_made() {
    serve("127.0.53.9", Server::Silent);
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("pushwrap");
    std::fs::copy(binary(), &program).unwrap();
    // Two processes are pushwrap and its command, which has a higher limit and leaves some more behind.
    let script = "exec prlimit --nproc=100:100 sh -c 'sleep 8 & sleep 8 & sleep 8 & exit 3' >/dev/null 2>&1";
    let command_line = format!(
        "setpriv --reuid {USER} --clear-groups prlimit --nproc=2:100 {} --job j --url http://gw.example --push-timeout 2s \
         --instance none -- sh -c",
        program.display()
    );
    let command_line: Vec<&OsStr> = command_line.split(' ').chain([script]).map(OsStr::new).collect();
    // unshare, two mounts and three programs included.
    let (output, _) = within_limit(Duration::from_secs(4), || {
        run_command("nameserver 127.0.53.9\n", "hosts: files dns\n", &command_line)
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("no thread can be made for the lookup"), "{said}");
}

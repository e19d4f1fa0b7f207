//! What pushwrap costs a run: its start-to-exit time beside that of the programs people use instead. `make bench` runs it on
//! the static release binary; medians of many runs in turn, so that noise of the machine meets all of them alike.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;

type Case = (String, Command);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let binary = std::env::var_os("TESTED_PUSHWRAP").ok_or("TESTED_PUSHWRAP names no binary: use 'make bench'")?;
    let gateway = Endpoint::start()?;
    let mut cases = cases(Path::new(&binary), &gateway.url);
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, command), times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            command.status()?;
            times.push(start.elapsed());
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<42} {:>9} {:>9}", "run", "median", "p90")?;
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort_unstable();
        let micros = |share: usize| times.get(times.len() * share / 100).map_or(0, Duration::as_micros);
        writeln!(out, "{name:<42} {:>6} µs {:>6} µs", micros(50), micros(90))?;
    }
    Ok(())
}

fn cases(pushwrap: &Path, url: &str) -> Vec<Case> {
    let case = |name: &str, program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        (name.to_owned(), command)
    };
    let target = format!("{url}/metrics/job/bench");
    let script = format!("true; echo x 1 | curl -sS --data-binary @- {target}");
    vec![
        case("true", Path::new("true"), &[]),
        case("env true", Path::new("env"), &["true"]),
        case("timeout 9 true", Path::new("timeout"), &["9", "true"]),
        case("pushwrap --url none -- true", pushwrap, &["--url", "none", "--", "true"]),
        case("pushwrap --url GATEWAY -- true", pushwrap, &["--url", url, "--job", "bench", "--", "true"]),
        case("sh -c 'true; echo x 1 | curl … GATEWAY'", Path::new("sh"), &["-c", &script]),
    ]
}

/// A real Pushgateway, ended with the bench.
struct Endpoint {
    process: Child,
    url: String,
}

impl Endpoint {
    fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers");
        let found = Command::new(servers).arg("pushgateway").stderr(Stdio::inherit()).output()?;
        let program = PathBuf::from(String::from_utf8(found.stdout)?.trim());
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let listen = format!("--web.listen-address={address}");
        let mut command = Command::new(program);
        command.args([&listen, "--persistence.file="]).stdout(Stdio::null()).stderr(Stdio::null());
        let gateway = Self { process: command.spawn()?, url: format!("http://{address}") };
        let patience = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&address).is_err() {
            if Instant::now() > patience {
                return Err(format!("no Pushgateway answers at {address}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(gateway)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

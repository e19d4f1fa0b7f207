//! A real Pushgateway that holds many groups from its start, because it reads them from a file of its own persistence.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::harness::server::{self, Server};
use super::harness::{PATIENCE, http, wait_for};
use super::jobs::ROWS;

/// The file of the gateway's persistence, in its private directory.
const FILE: &str = "groups";
/// How many samples of a run's metrics each of the stored groups has.
const SAMPLES: usize = 5;
/// proc(5): `sysconf(_SC_CLK_TCK)`, which is 100 on every architecture that Rust knows.
const TICKS_PER_SECOND: u64 = 100;
/// A gateway is idle that uses less than this in [`PAUSE`].
const IDLE: Duration = Duration::from_millis(30);
const PAUSE: Duration = Duration::from_secs(1);

/// The contents of a gateway as it persists them.
pub(crate) struct StoredGroups(Vec<u8>);

impl StoredGroups {
    /// Makes so many groups with the first samples of these metrics. The gateway that persists them checks nothing: each check
    /// goes over all groups that are there.
    pub(crate) fn make(groups: usize, metrics: &str) -> Self {
        let server = start(&["--push.disable-consistency-check"], None);
        let (body, url) = (beginning(metrics, SAMPLES), server.url());
        assert!(!body.contains(ROWS), "only a job of the round brings this metric: {body}");
        for number in 0..groups {
            let target = format!("{url}/metrics/job/{}", job(number));
            let answer = http::request("POST", &target, body.as_bytes()).expect("an answer from the gateway");
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        server.signal(Signal::SIGTERM);
        // It is renamed when it is complete.
        let path = server.dir().join(FILE);
        Self(wait_for("the gateway to persist its groups", || fs::read(&path).ok()))
    }
}

/// The first samples of an exposition, with the lines before them.
fn beginning(metrics: &str, samples: usize) -> String {
    let mut found = 0;
    let lines = metrics.split_inclusive('\n').take_while(|line| {
        found += usize::from(!line.starts_with('#'));
        found <= samples
    });
    lines.collect()
}

/// A gateway with groups.
pub(crate) struct LoadedGateway(Server);

impl LoadedGateway {
    /// Starts one that holds these groups, and waits until it does.
    pub(crate) fn start(stored: &StoredGroups) -> Self {
        let gateway = Self(start(&[], Some(stored)));
        let url = format!("{}/-/ready", gateway.0.url());
        wait_for("the gateway to be ready", || http::request("GET", &url, b"").ok().filter(|it| it.status == 200));
        gateway.wait_until_idle();
        gateway
    }

    pub(crate) fn address(&self) -> String {
        self.0.address()
    }

    /// The CPU time that it has used, of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.pid())).unwrap();
        // utime and stime are fields 14 and 15; the name of the program, field 2, may hold blanks (proc(5)).
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// Waits until it has worked off what it has received. Its CPU time tells that without adding to its work.
    pub(crate) fn wait_until_idle(&self) {
        let (start, mut before) = (Instant::now(), self.cpu());
        loop {
            thread::sleep(PAUSE);
            let now = self.cpu();
            if now.saturating_sub(before) < IDLE {
                return;
            }
            assert!(start.elapsed() < 5 * PATIENCE, "the gateway does not become idle");
            before = now;
        }
    }

    /// The jobs whose own metrics it holds.
    pub(crate) fn reported_jobs(&self) -> HashSet<String> {
        let page = http::get(&format!("{}/metrics", self.0.url()));
        let prefix = format!("{ROWS}{{");
        let lines = page.lines().filter(|line| line.starts_with(&prefix));
        lines.map(|line| line.split("job=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
    }
}

/// The name of a job, which is also that of its group.
pub(crate) fn job(number: usize) -> String {
    format!("job{number}")
}

fn start(flags: &[&str], stored: Option<&StoredGroups>) -> Server {
    Server::start(&server::program("pushgateway-newest"), |port, directory: &Path| {
        let file = directory.join(FILE);
        if let Some(StoredGroups(content)) = stored {
            fs::write(&file, content).unwrap();
        }
        let own = [format!("--web.listen-address=127.0.0.1:{port}"), format!("--persistence.file={}", file.display())];
        own.into_iter().chain(flags.iter().map(ToString::to_string)).collect()
    })
}

//! A run of `true` whose result is pushed to a real Pushgateway.

use anyhow::{Result, ensure};

use super::{TlsGateway, curl, pushwrap, text};
use crate::figures::{Figures, Target, times};
use crate::harness::{Pushgateway, Version};
use crate::measure::{Case, in_turn};
use crate::page::Page;
use crate::peers;

const ROUNDS: usize = 200;
const SCRIPT: &str = "`sh -c 'true; echo x 1 | curl … GATEWAY'`";
const PUSHWRAP: &str = "**`pushwrap --url GATEWAY -- true`**";
const PYTHON: &str = "a Python script with `prometheus_client`";

/// What the client library's documentation proposes for a batch job.
const CLIENT: &str = "import subprocess, sys
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway
subprocess.run(['true'], check=True)
registry = CollectorRegistry()
gauge = Gauge('job_last_success_unixtime', 'Last time a batch job successfully finished', registry=registry)
gauge.set_to_current_time()
push_to_gateway(sys.argv[1], job='python', registry=registry)";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let gateway = Pushgateway::start(Version::Newest);
    let state = tempfile::tempdir()?;
    let url = gateway.url();
    let mut cases = cases(&url, None);
    let kept = ["--url", &url, "--job", "kept", "--require-push", "--state-dir", &text(state.path()), "--", "true"];
    cases.push(pushwrap("the same with `--state-dir`", kept));
    let plain = in_turn(cases, ROUNDS)?;
    for job in ["curl", "pushwrap", "kept"] {
        let groups = gateway.groups();
        let has_arrived = groups.iter().any(|group| group.labels().iter().any(|label| label.1 == job));
        ensure!(has_arrived, "the gateway has no group of job '{job}'");
    }
    let secured = TlsGateway::start();
    let tls = in_turn(self::cases(&secured.url(), Some(&secured.trust())), ROUNDS)?;
    let ratio = plain.ratio(PUSHWRAP, SCRIPT).map(times);
    Ok(Figures {
        tables: vec![plain.table("run and push", "`true`"), tls.table("the same over TLS", "`true`")],
        targets: vec![Target::at_most("push: at most 0.36 × the curl script", 0.36, ratio)],
        remarks: plain.failed.into_iter().chain(tls.failed).collect(),
        ..Figures::default()
    })
}

fn cases(url: &str, trust: Option<&str>) -> Vec<Case> {
    let cacert = trust.map_or_else(String::new, |file| format!("--cacert '{file}' "));
    let script = format!("true; echo x 1 | {} -sSf {cacert}--data-binary @- {url}/metrics/job/curl", curl());
    let mut own = vec!["--url", url, "--job", "pushwrap", "--instance", "none", "--require-push"];
    own.extend(trust.into_iter().flat_map(|file| ["--cacert", file]));
    own.extend(["--", "true"]);
    let mut cases = vec![Case::new("`true`", "true", [""; 0]), Case::shell(SCRIPT, &script)];
    cases.push(Case::new(PUSHWRAP, crate::harness::pushwrap::binary(), own));
    let python = peers::python().map(|python| {
        let case = python.case(PYTHON, CLIENT, &[url]).every(8);
        trust.iter().fold(case, |case, file| case.env("SSL_CERT_FILE", file))
    });
    cases.extend(python);
    cases
}

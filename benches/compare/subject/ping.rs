//! Wrappers that tell a service of their own that a job has run, and pushwrap, all at the same small server.

use anyhow::Result;

use super::{curl, pushwrap};
use crate::figures::Figures;
use crate::harness::{FakeGateway, Reply};
use crate::measure::{Case, in_turn};
use crate::page::Page;
use crate::peers;

const ROUNDS: usize = 200;
const CHECK: &str = "1fd9b6ab-3e06-4bf1-9d7b-3a6fbc2b9f8e";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let server = FakeGateway::start([Reply::ok()]);
    let url = server.url();
    let script = format!("true; {} -sSf -m 10 {url}/{CHECK}", curl());
    let mut cases = vec![Case::new("`true`", "true", [""; 0])];
    cases.push(pushwrap(
        "**`pushwrap --url SERVER -- true`**, 1 request",
        ["--url", &url, "--job", "j", "--instance", "none", "--require-push", "--", "true"],
    ));
    cases.push(Case::shell("`sh -c 'true; curl … SERVER'`, 1 request", &script));
    let task_mon = ["--base-url", &url, "--uuid", CHECK, "--", "true"];
    let sentry = ["monitors", "run", "nightly", "--", "true"];
    let dsn = url.replace("http://", "http://key@") + "/1";
    let peers = [
        peers::case("`task-mon -- true`, 1 request", "task-mon", task_mon),
        peers::case("`sentry-cli monitors run … -- true`, 2 requests", "sentry-cli", sentry)
            .map(|case| case.env("SENTRY_DSN", &dsn).every(4)),
        peers::case("`cronalive run … -- true`, 2 requests", "cronalive", ["run", "--id", CHECK, "--", "true"])
            .map(|case| case.env("CRONALIVE_PING_DOMAIN", &url).every(8)),
    ];
    cases.extend(peers.into_iter().flatten());
    let compared = in_turn(cases, ROUNDS)?;
    Ok(Figures {
        tables: vec![compared.table("run and one report", "`true`")],
        remarks: compared.failed,
        ..Figures::default()
    })
}

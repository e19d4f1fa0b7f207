//! What it costs to start a command through pushwrap, where nothing is reported.

use anyhow::Result;

use super::pushwrap;
use crate::figures::{Figures, Target, times};
use crate::measure::{Case, in_turn};
use crate::page::Page;
use crate::peers;

const ROUNDS: usize = 500;
const DIRECT: &str = "`true`";
const TIMEOUT: &str = "`timeout 9 true`";
const PUSHWRAP: &str = "**`pushwrap --url none -- true`**";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let own = ["--url", "none", "--job", "j", "--", "true"];
    let mut cases = vec![Case::new(DIRECT, "true", [""; 0]), Case::new("`env true`", "env", ["true"])];
    let peers = [
        peers::case(TIMEOUT, "timeout", ["9", "true"]),
        peers::case("`tini -s -- true`", "tini", ["-s", "--", "true"]),
        peers::case("`dumb-init true`", "dumb-init", ["true"]),
        peers::case("`time -o FILE true` (GNU)", "time", ["-o", "/dev/null", "true"]),
        peers::case("`cronguard run --quiet true`", "cronguard", ["run", "--quiet", "true"]).map(|case| case.every(20)),
    ];
    cases.extend(peers.into_iter().flatten());
    cases.push(pushwrap(PUSHWRAP, own));
    cases.push(pushwrap("the same without `TMPDIR`", own).env_remove("TMPDIR"));
    let compared = in_turn(cases, ROUNDS)?;
    let ratio = compared.ratio(PUSHWRAP, TIMEOUT).map(times);
    Ok(Figures {
        tables: vec![compared.table("run", DIRECT)],
        targets: vec![Target::at_most("no push: at most 1.0 × `timeout 9 true`", 1.0, ratio)],
        remarks: compared.failed,
        ..Figures::default()
    })
}

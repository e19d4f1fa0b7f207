//! What a run costs where its state directory has the state of 10,000 other groups, beside one where there is none.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{pushwrap, text};
use crate::figures::{Figures, Target};
use crate::harness::backlog::{digest, leave_backlog};
use crate::harness::fake::CLOSED_PORT;
use crate::harness::pushwrap::binary;
use crate::harness::{Pushgateway, Version};
use crate::measure::{Case, command, in_turn};
use crate::page::Page;

const GROUPS: usize = 10_000;
const ROUNDS: usize = 300;
const NONE: &str = "no other group";
const COUNTED: &str = "10,000 groups that have reported";
const WAITING: &str = "10,000 pushes that wait for another gateway";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let gateway = Pushgateway::start(Version::Newest);
    let url = gateway.url();
    let (none, counted, waiting) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    leave_groups(counted.path(), &url)?;
    leave_backlog(waiting.path(), CLOSED_PORT, GROUPS);
    let case = |name: &str, state: &Path| -> Case {
        let arguments = ["--url", &url, "--job", "j", "--instance", "none", "--require-push", "--state-dir"];
        Case::new(name, binary(), arguments.into_iter().chain([text(state).as_str(), "--", "true"]))
    };
    let compared = in_turn(
        vec![
            case(NONE, none.path()),
            case(COUNTED, counted.path()),
            case(WAITING, waiting.path()),
            pushwrap("no state directory", ["--url", &url, "--job", "j", "--instance", "none", "--", "true"]),
        ],
        ROUNDS,
    )?;
    let worst = compared.ratio(COUNTED, NONE).zip(compared.ratio(WAITING, NONE)).map(|(counted, waiting)| {
        (counted.max(waiting), format!("{:+.1} % and {:+.1} %", (counted - 1.0) * 100.0, (waiting - 1.0) * 100.0))
    });
    Ok(Figures {
        tables: vec![compared.table("a run of `true` that pushes; in the state directory are", NONE)],
        targets: vec![Target::at_most("10,000 groups in the state directory: at most 5 % more", 1.05, worst)],
        remarks: compared.failed,
        ..Figures::default()
    })
}

/// Makes copies of what a run of another group has left.
fn leave_groups(state: &Path, url: &str) -> Result<()> {
    let other = ["--url", url, "--job", "other", "--instance", "none", "--require-push", "--state-dir"];
    command(binary(), other.into_iter().chain([text(state).as_str(), "--", "true"])).status()?;
    let mut entries = fs::read_dir(state)?.filter_map(Result::ok).map(|entry| entry.path());
    // A group's directory is named by a digest of 32 digits.
    let group =
        entries.find(|path| path.file_name().is_some_and(|name| name.len() == 32)).context("the run's group")?;
    for job in 0..GROUPS {
        copy_directory(&group, &state.join(digest(format!("/metrics/job/job{job}").as_bytes())))?;
    }
    Ok(())
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (entry, target) = (entry.path(), to.join(entry.file_name()));
        if entry.is_dir() {
            copy_directory(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

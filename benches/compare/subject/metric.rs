//! One `pushwrap metric add` from a shell script, beside any other program that the script could start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{pushwrap, text};
use crate::figures::{Figures, Target, time};
use crate::measure::{Case, in_turn};
use crate::page::Page;

const ROUNDS: usize = 500;
const SIZES: [usize; 2] = [10, 1000];
const DIRECT: &str = "`true`";
const VERSION: &str = "`pushwrap --version`";
const SMALL: &str = "**`metric add`**, file of 10 series";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let directory = tempfile::tempdir()?;
    let [small, large] = SIZES.map(|series| write(directory.path(), series));
    let (small, large) = (small?, large?);
    let cases = vec![
        Case::new(DIRECT, "true", [""; 0]),
        pushwrap(VERSION, ["--version"]),
        add(SMALL, &small),
        add("**`metric add`**, file of 1000 series", &large),
        pushwrap("`metric set`, file of 1000 series", ["metric", "set", "free_bytes", "1e9", "--help-text", "Free."])
            .env("PUSHWRAP_TEXTFILE", text(&large)),
        pushwrap("`metric observe`, file of 1000 series", ["metric", "observe", "upload_seconds", "0.3"])
            .env("PUSHWRAP_TEXTFILE", text(&large)),
    ];
    let compared = in_turn(cases, ROUNDS)?;
    let counted = fs::read_to_string(&small)?;
    ensure!(counted.contains("volume-5\",kind=\"plain\"} 50"), "each call has added one: {counted}");
    let above = |name| Some(compared.median(SMALL)?.saturating_sub(compared.median(name)?).as_secs_f64() * 1e3);
    let target = compared.median(SMALL).zip(above(DIRECT)).zip(above(VERSION)).map(|((all, direct), own)| {
        let figure = format!("{own:.2} ms above `--version`, {direct:.2} ms above `true`, {} in all", time(all));
        (own, figure)
    });
    let io = format!(
        "Reading the file of 1000 series, writing it beside and renaming it takes {}.",
        time(replacing(&large)?)
    );
    Ok(Figures {
        tables: vec![compared.table("one call", DIRECT)],
        targets: vec![Target::at_most("`metric add`: at most 1.0 ms above its own start", 1.0, target)],
        remarks: compared.failed.into_iter().chain([io]).collect(),
        ..Figures::default()
    })
}

fn write(directory: &Path, series: usize) -> Result<PathBuf> {
    let file = directory.join(format!("{series}.prom"));
    let head = "# HELP files_total Files saved.\n# TYPE files_total counter\n".to_owned();
    let line = |volume| format!("files_total{{volume=\"/srv/volume-{volume}\",kind=\"plain\"}} 0\n");
    fs::write(&file, (0..series).map(line).fold(head, |text, line| text + &line))?;
    Ok(file)
}

fn add(name: &str, file: &Path) -> Case {
    let arguments = ["metric", "add", "files", "-l", "volume=/srv/volume-5", "-l", "kind=plain"];
    pushwrap(name, arguments).env("PUSHWRAP_TEXTFILE", text(file))
}

/// What the file system takes of it.
fn replacing(file: &Path) -> Result<Duration> {
    let beside = file.with_extension("new");
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        fs::write(&beside, fs::read(file)?)?;
        fs::rename(&beside, file)?;
        runs.push(start.elapsed());
    }
    runs.sort_unstable();
    Ok(runs[ROUNDS / 2])
}

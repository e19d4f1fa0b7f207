//! Draws what each run is, from the seed and a number alone, so that one run can be repeated.

use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;

use super::entrance::Mode;
use super::plan::{
    Abilities, CommandPlan, Descendant, Ending, Fault, Method, Metrics, Output, RUNS_IN_SERIES, RunPlan, SeriesPlan,
    Setting, SinkKind, StateKind, Target, ms,
};

/// A generator for this number: the same whatever else was drawn before.
fn generator(seed: u64, number: u64) -> Rng {
    Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03))
}

fn pick<T: Clone>(rng: &mut Rng, choices: &[(u32, T)]) -> T {
    let mut at = rng.u32(0..choices.iter().map(|(weight, _)| weight).sum::<u32>());
    let drawn = choices.iter().find(|(weight, _)| {
        let is_it = at < *weight;
        at = at.saturating_sub(*weight);
        is_it
    });
    drawn.expect("the weights are not all 0").1.clone()
}

fn one_of(rng: &mut Rng, of: u32) -> bool {
    rng.u32(0..of) == 0
}

impl SeriesPlan {
    /// The series of this number.
    pub(crate) fn draw(seed: u64, number: u64, abilities: Abilities) -> Self {
        use SinkKind::{Pushgateway, RemoteWrite};
        // The numbers of runs are below those of series.
        let rng = &mut generator(seed, number | 1 << 63);
        let sinks = pick(
            rng,
            &[
                (13, vec![Pushgateway]),
                (3, vec![Pushgateway, Pushgateway]),
                (2, vec![Pushgateway, RemoteWrite]),
                (2, vec![RemoteWrite]),
            ],
        );
        let tmpfs = u32::from(abilities.is_root);
        let state = pick(
            rng,
            &[(5, StateKind::None), (13, StateKind::Disk), (tmpfs, StateKind::Full), (tmpfs, StateKind::ReadOnly)],
        );
        let lanes = pick(rng, &[(12, 1), (4, 2), (2, 4)]);
        let methods = pick(
            rng,
            &[
                (6, vec![Method::Add]),
                (1, vec![Method::Replace]),
                (1, vec![Method::Delete]),
                (1, vec![Method::Add, Method::Replace]),
                (1, vec![Method::Add, Method::Replace, Method::Delete]),
            ],
        );
        let loses_gateway = one_of(rng, 25) && lanes == 1;
        let lost_before = rng.u64(1..RUNS_IN_SERIES - 1);
        let mut series = Self {
            number,
            sinks,
            state,
            has_output: one_of(rng, 4),
            lanes,
            jobs: if one_of(rng, 4) { 2 } else { 1 },
            runs: Vec::new(),
        };
        for place in 0..RUNS_IN_SERIES - 1 {
            let number = number * RUNS_IN_SERIES + place;
            let mut run = RunPlan::draw(generator(seed, number), number, (&series, methods.as_slice(), abilities));
            run.loses_gateway = loses_gateway && place == lost_before;
            if run.loses_gateway {
                run.kinds.push("gateway: killed, with all that it holds".to_owned());
            }
            series.runs.push(run);
        }
        let last = RunPlan::closing(number * RUNS_IN_SERIES + RUNS_IN_SERIES - 1, &series);
        series.runs.push(last);
        series
    }
}

impl RunPlan {
    fn draw(mut rng: Rng, number: u64, (series, methods, abilities): (&SeriesPlan, &[Method], Abilities)) -> Self {
        let rng = &mut rng;
        let mut command = CommandPlan::draw(rng);
        let setting = draw_setting(rng, series, abilities);
        if matches!(setting, Setting::Limit(_)) {
            command.metrics = pick(rng, &[(1, Metrics::None), (1, Metrics::Good)]);
            command.output = Output::Line;
            command.stops = false;
            if command.ending == Ending::Counts {
                command.ending = Ending::Exit(0);
            }
        }
        let fault = draw_fault(rng, &command, setting);
        let method = methods[rng.usize(..methods.len())];
        let modes = series.sinks.iter().map(|_| draw_modes(rng)).collect();
        let requires_push = one_of(rng, 12);
        let mut run = Self {
            number,
            job: rng.usize(..series.jobs),
            method,
            command,
            options: Vec::new(),
            push_timeout: pick(rng, &[(3, ms(400)), (3, ms(800)), (1, ms(1500))]),
            requires_push,
            modes,
            setting,
            fault,
            flushes_before: series.state != StateKind::None && one_of(rng, 20),
            loses_gateway: false,
            kinds: Vec::new(),
        };
        run.draw_options(rng);
        run.kinds.extend(series.kinds());
        run.describe();
        run
    }

    /// An ordinary run, when every fault is over.
    fn closing(number: u64, series: &SeriesPlan) -> Self {
        let command = CommandPlan {
            ending: Ending::Exit(0),
            lasts: Duration::ZERO,
            descendant: Descendant::None,
            output: Output::Line,
            metrics: Metrics::Good,
            stops: false,
        };
        let mut kinds = vec!["closing run of a series".to_owned()];
        kinds.extend(series.kinds());
        Self {
            number,
            job: 0,
            method: Method::Add,
            command,
            options: vec!["--push-interval".to_owned(), "off".to_owned()],
            push_timeout: Duration::from_secs(10),
            requires_push: true,
            modes: series.sinks.iter().map(|_| vec![Mode::Pass]).collect(),
            setting: Setting::Plain,
            fault: None,
            flushes_before: false,
            loses_gateway: false,
            kinds,
        }
    }

    fn draw_options(&mut self, rng: &mut Rng) {
        let mut add = |option: &str, value: &str| self.options.extend([option, value].map(str::to_owned));
        match self.command.ending {
            Ending::Timeout => add("--timeout", "0.25"),
            Ending::Stubborn => {
                add("--timeout", "0.25");
                add("--kill-after", "0.2");
            }
            Ending::Skip => add("--skip-codes", "75"),
            Ending::Remark => add("--success-codes", "0,3"),
            _ => {}
        }
        match rng.u32(..10) {
            0..5 => add("--push-interval", "off"),
            5..8 => add("--push-interval", "0.1"),
            _ => {}
        }
        let expectation = match rng.u32(..8) {
            0 => Some(["--schedule", "*/5 * * * *"]),
            1 => Some(["--max-age", "26h"]),
            _ => None,
        };
        if let Some([option, value]) = expectation {
            add(option, value);
            self.kinds.push(format!("option: {option}"));
        }
        let flag = match self.method {
            Method::Add => None,
            Method::Replace => Some("--replace"),
            Method::Delete => Some("--delete-on-success"),
        };
        let more = self.requires_push.then_some("--require-push");
        let no_tree = one_of(rng, 10).then_some("--no-tree");
        for flag in [flag, more, no_tree].into_iter().flatten() {
            self.options.push(flag.to_owned());
            self.kinds.push(format!("option: {flag}"));
        }
        if self.options.iter().any(|option| option == "0.1") {
            self.kinds.push("option: --push-interval 0.1".to_owned());
        }
    }
}

impl CommandPlan {
    fn draw(rng: &mut Rng) -> Self {
        let status = pick(rng, &[1, 2, 3, 75, 124, 125, 126, 127, 137, 255].map(|status| (1, status)));
        let signal = pick(
            rng,
            &[
                Signal::SIGHUP,
                Signal::SIGINT,
                Signal::SIGQUIT,
                Signal::SIGABRT,
                Signal::SIGKILL,
                Signal::SIGUSR1,
                Signal::SIGSEGV,
                Signal::SIGPIPE,
                Signal::SIGTERM,
            ]
            .map(|signal| (1, signal)),
        );
        let ending = pick(
            rng,
            &[
                (20, Ending::Exit(0)),
                (7, Ending::Exit(status)),
                (2, Ending::Skip),
                (1, Ending::Remark),
                (3, Ending::Signal(signal)),
                (2, Ending::Timeout),
                (1, Ending::Stubborn),
                (2, Ending::Counts),
                (1, Ending::NotFound),
                (1, Ending::CannotRun),
            ],
        );
        let descendant = pick(rng, &[(16, Descendant::None), (1, Descendant::Child), (1, Descendant::Daemon)]);
        let output = pick(rng, &[(16, Output::Line), (1, Output::Much), (1, Output::Closed)]);
        let metrics = pick(
            rng,
            &[
                (6, Metrics::None),
                (20, Metrics::Good),
                (3, Metrics::Several),
                (4, Metrics::Bad),
                (1, Metrics::Large),
                (2, Metrics::Conflict),
                (2, Metrics::OwnFile),
                (1, Metrics::Missing),
            ],
        );
        let lasts = pick(rng, &[0, 0, 0, 10, 50, 200, 500].map(|time| (1, ms(time))));
        let stops = one_of(rng, 25);
        if ending == Ending::Counts {
            // What the shell runs meanwhile would get the signal too.
            let (descendant, output, metrics) = (Descendant::None, Output::Line, Metrics::Good);
            return Self { ending, lasts: Duration::ZERO, descendant, output, metrics, stops: false };
        }
        Self { ending, lasts, descendant, output, metrics, stops }
    }
}

fn draw_setting(rng: &mut Rng, series: &SeriesPlan, abilities: Abilities) -> Setting {
    let limit = pick(
        rng,
        &["--nofile=8", "--nofile=5", "--fsize=0", "--fsize=4096", "--as=67108864", "--stack=131072"]
            .map(|limit| (1, limit)),
    );
    let locked_for = ms(rng.u64(100..1500));
    let has_locks = series.state == StateKind::Disk && series.lanes == 1;
    let has_faulty_disk = matches!(series.state, StateKind::Full | StateKind::ReadOnly) && series.lanes == 1;
    pick(
        rng,
        &[
            (28, Setting::Plain),
            (2, Setting::Limit(limit)),
            (1, Setting::NoTemporaryDirectory),
            (u32::from(abilities.is_root), Setting::FullTemporaryDirectory),
            (if has_faulty_disk { 14 } else { 0 }, Setting::NoDisk),
            (u32::from(has_locks), Setting::Locked(locked_for)),
            (if abilities.has_pid_namespaces { 2 } else { 0 }, Setting::PidOne),
        ],
    )
}

fn draw_fault(rng: &mut Rng, command: &CommandPlan, setting: Setting) -> Option<Fault> {
    let at = |rng: &mut Rng| {
        let after = pick(rng, &[(2, ms(20)), (2, ms(300)), (1, ms(800))]);
        (command.duration() + after).mul_f64(rng.f64())
    };
    if command.ending == Ending::Counts {
        // A signal within the first tenth of a second may come twice (docs/PROCESS.md, "The witness"). So it is sent when the
        // witness is there.
        let to = if setting != Setting::Plain || rng.bool() { Target::Pushwrap } else { Target::Group };
        return Some(Fault::Signal { to, signal: Signal::SIGTERM, times: 1, at: ms(50) });
    }
    if !matches!(setting, Setting::Plain | Setting::PidOne) || rng.u32(..3) > 0 {
        return None;
    }
    let to = pick(rng, &[(4, Target::Pushwrap), (2, Target::Command), (1, Target::Both), (3, Target::Group)]);
    // unshare is in the group, and does not survive every signal.
    let to = if setting == Setting::PidOne && to == Target::Group { Target::Pushwrap } else { to };
    let at = at(rng);
    if one_of(rng, 5) {
        return Some(Fault::Pause { to, at, lasts: pick(rng, &[(2, ms(100)), (1, ms(600))]) });
    }
    let signal = pick(rng, &[(4, Signal::SIGKILL), (3, Signal::SIGTERM), (1, Signal::SIGINT), (1, Signal::SIGHUP)]);
    let times = if signal == Signal::SIGTERM && one_of(rng, 3) { 3 } else { 1 };
    Some(Fault::Signal { to, signal, times, at })
}

/// What becomes of the connections, one after the other and again from the first.
fn draw_modes(rng: &mut Rng) -> Vec<Mode> {
    let fault = pick(rng, &Mode::FAULTS.map(|mode| (1, mode)));
    match rng.u32(..20) {
        0..9 => vec![Mode::Pass],
        9 => vec![Mode::SlowAnswer],
        10 => vec![Mode::StalledBody],
        11..13 => vec![Mode::Closed],
        13..16 => vec![fault],
        16..18 => vec![fault, Mode::Pass],
        18 => vec![Mode::Pass, fault],
        _ => Mode::FAULTS.to_vec(),
    }
}

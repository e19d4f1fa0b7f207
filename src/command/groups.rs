//! `pushwrap groups`: what the gateway holds, one row a group: which job, how its last run ended, when, and who is overdue.
//! Groups that somebody else pushed are there too, with what the gateway knows about them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::shown::{age, paint, print, say_clock, voice, word};
use crate::config::GroupsConfig;
use crate::console::span;
use crate::exposition::{Paint, json_string};
use crate::sink::{Deadline, Group, Inventory, PushTime, inventory};

/// The metrics of a run that are looked at, without their prefix.
const METRICS: [&str; 7] = [
    "running",
    "outcome",
    "exit_code",
    "start_timestamp_seconds",
    "duration_seconds",
    "last_success_timestamp_seconds",
    "max_age_seconds",
];
/// A command that runs is heard of at least this often, as in the alert rule that README shows.
const HEARTBEAT: Duration = Duration::from_mins(5);
/// Columns are not padded beyond this: one long name must not make every row long.
const WIDEST: usize = 60;

/// Shows the groups of every gateway. The exit status: 0, or 1 when one of them could not be read.
#[must_use]
pub fn run(config: &GroupsConfig) -> u8 {
    let voice = voice(&config.reach);
    let families: Vec<String> = METRICS.iter().map(|name| format!("{}{name}", config.prefix)).collect();
    let mut status = 0;
    let mut inventories = Vec::new();
    for gateway in &config.reach.gateways {
        let url = gateway.url.to_string();
        match inventory(gateway, &families, Deadline::after(config.reach.push_timeout)) {
            Ok(inventory) => {
                say_clock(voice, &inventory, &url);
                inventories.push((url, inventory));
            }
            Err(failure) => {
                voice.trouble(failure);
                status = 1;
            }
        }
    }
    let several = config.reach.gateways.len() > 1;
    let mut text = String::new();
    for (url, inventory) in &inventories {
        let rows = rows(config, inventory);
        if config.json {
            text.extend(rows.iter().map(|row| row.json(url) + ",\n"));
        } else {
            if several {
                let _ = writeln!(text, "{url}");
            }
            text.push_str(&table(&rows, paint(&std::io::stdout())));
        }
    }
    if config.json {
        let objects = text.trim_end_matches(",\n");
        text = if objects.is_empty() { "[]\n".to_owned() } else { format!("[\n{objects}\n]\n") };
    }
    if print(&text) { status } else { 1 }
}

fn rows<'g>(config: &GroupsConfig, inventory: &'g Inventory) -> Vec<Row<'g>> {
    let meant = inventory.groups.iter().filter(|group| config.filter.meets(&group.key));
    meant.map(|group| Row::of(group, &config.prefix, inventory.now)).collect()
}

/// What a run was when it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Somebody else's group.
    Foreign,
    /// The command runs.
    Running,
    /// It ran, and has not been heard of since.
    Lost,
    /// It has ended; the outcome, or none where it does not say.
    Ended(Option<String>),
}

/// What is known of one group. Numbers are as the gateway has them.
#[derive(Debug)]
struct Row<'g> {
    group: &'g Group,
    now: SystemTime,
    state: State,
    started: Option<f64>,
    duration: Option<f64>,
    exit_code: Option<f64>,
    last_success: Option<f64>,
    max_age: Option<f64>,
}

impl<'g> Row<'g> {
    fn of(group: &'g Group, prefix: &str, now: SystemTime) -> Self {
        let value = |name: &str| group.value(&format!("{prefix}{name}")).filter(|value| value.is_finite());
        let state = match value("running") {
            None => State::Foreign,
            Some(running) if running > 0.5 => heartbeat(group, now),
            Some(_) => State::Ended(outcome(group, &format!("{prefix}outcome"))),
        };
        // What the gateway has of the end belongs to the run before.
        let has_ended = !matches!(state, State::Running | State::Lost);
        Self {
            group,
            now,
            started: value("start_timestamp_seconds"),
            duration: value("duration_seconds").filter(|_| has_ended),
            exit_code: value("exit_code").filter(|_| has_ended),
            last_success: value("last_success_timestamp_seconds"),
            max_age: value("max_age_seconds"),
            state,
        }
    }

    /// As the alert rule has it: the last success is older than it may become.
    fn is_overdue(&self) -> bool {
        let age = time(self.last_success).and_then(|success| self.now.duration_since(success).ok());
        age.zip(seconds(self.max_age)).is_some_and(|(age, max_age)| age > max_age)
    }

    /// How it ended or whether it runs, in one word; none for somebody else's group.
    fn state(&self) -> Option<&str> {
        match &self.state {
            State::Foreign => None,
            State::Running => Some("running"),
            State::Lost => Some("lost"),
            State::Ended(outcome) => Some(outcome.as_deref().unwrap_or("unknown")),
        }
    }

    fn outcome(&self) -> String {
        let overdue = if self.is_overdue() { ", overdue" } else { "" };
        self.state().map_or_else(|| "-".to_owned(), |state| word(state) + overdue)
    }

    fn color(&self) -> &'static str {
        match &self.state {
            _ if self.is_overdue() => RED,
            State::Foreign => "",
            State::Running => CYAN,
            State::Ended(Some(outcome)) if outcome == "success" => GREEN,
            State::Ended(Some(outcome)) if outcome == "skipped" => YELLOW,
            State::Lost | State::Ended(_) => RED,
        }
    }

    fn labels(&self) -> String {
        let labels = self.group.key.labels().iter().skip(1);
        let shown: Vec<String> = labels.map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
        if shown.is_empty() { "-".to_owned() } else { shown.join(",") }
    }

    fn duration(&self) -> String {
        let since = time(self.started).and_then(|started| self.now.duration_since(started).ok());
        let duration = if self.state == State::Running { since.map(whole) } else { seconds(self.duration) };
        duration.map_or_else(|| "-".to_owned(), span)
    }

    fn pushed(&self) -> String {
        let ago = |time: PushTime| match time {
            PushTime::Unknown => "-".to_owned(),
            PushTime::Never => "never".to_owned(),
            PushTime::At(at) => age(self.now, at),
        };
        let pushed = ago(self.group.pushed);
        // The last push was not taken, so the row shows the one before.
        if self.group.refused > self.group.pushed && matches!(self.group.refused, PushTime::At(_)) {
            return format!("{pushed}, refused {}", ago(self.group.refused));
        }
        pushed
    }

    fn cells(&self) -> [String; 6] {
        let started = time(self.started).map_or_else(|| "-".to_owned(), |started| age(self.now, started));
        [word(self.group.key.job()), self.labels(), self.outcome(), started, self.duration(), self.pushed()]
    }

    /// One object on one line; the keys are a contract (README).
    fn json(&self, url: &str) -> String {
        let labels: Vec<String> =
            self.group.key.labels().iter().skip(1).map(|(name, value)| pair(name, value)).collect();
        let number = |number: Option<f64>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
        let push_time = |time| match time {
            PushTime::Unknown => None,
            PushTime::Never => Some(0.0),
            PushTime::At(at) => at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64()),
        };
        let fields = [
            ("gateway", json_string(url)),
            ("job", json_string(self.group.key.job())),
            ("labels", format!("{{{}}}", labels.join(","))),
            ("state", self.state().map_or_else(|| "null".to_owned(), json_string)),
            ("overdue", self.is_overdue().to_string()),
            ("exit_code", number(self.exit_code)),
            ("start_timestamp_seconds", number(self.started)),
            ("duration_seconds", number(self.duration)),
            ("last_success_timestamp_seconds", number(self.last_success)),
            ("max_age_seconds", number(self.max_age)),
            ("push_time_seconds", number(push_time(self.group.pushed))),
            ("push_failure_time_seconds", number(push_time(self.group.refused))),
        ];
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn heartbeat(group: &Group, now: SystemTime) -> State {
    let silent = match group.pushed {
        PushTime::At(pushed) => now.duration_since(pushed).unwrap_or_default(),
        PushTime::Unknown | PushTime::Never => Duration::MAX,
    };
    if silent > HEARTBEAT { State::Lost } else { State::Running }
}

/// The state of the state set that is 1.
fn outcome(group: &Group, family: &str) -> Option<String> {
    let happened = group.series.iter().find(|series| series.family == family && series.value > 0.5)?;
    happened.labels.iter().find(|(name, _)| name == "outcome").map(|(_, outcome)| outcome.clone())
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn seconds(value: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(value?).ok()
}

fn time(value: Option<f64>) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(seconds(value)?)
}

fn pair(name: &str, value: &str) -> String {
    format!("{}:{}", json_string(name), json_string(value))
}

const TITLES: [&str; 6] = ["JOB", "LABELS", "OUTCOME", "STARTED", "DURATION", "PUSHED"];
/// The column that is coloured.
const OUTCOME: usize = 2;
const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const CYAN: &str = "\u{1b}[36m";
const END: &str = "\u{1b}[0m";

/// The rows under their titles, columns aligned.
fn table(rows: &[Row<'_>], paint: Paint) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| {
        let widths = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.chain([TITLES.get(column).map_or(0, |title| title.len())]).max().unwrap_or_default().min(WIDEST)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |cells: &[String; 6], colors: [&str; 6]| {
        let mut padding = 0;
        for ((cell, width), color) in cells.iter().zip(widths).zip(colors) {
            let colored = paint == Paint::Ansi && !color.is_empty();
            let (on, off) = if colored { (color, END) } else { ("", "") };
            let _ = write!(text, "{:padding$}{on}{cell}{off}", "");
            padding = width.saturating_sub(cell.chars().count()) + 2;
        }
        text.push('\n');
    };
    line(&TITLES.map(str::to_owned), [BOLD; 6]);
    for (row, cells) in rows.iter().zip(&cells) {
        let mut colors = [""; 6];
        colors[OUTCOME] = row.color();
        line(cells, colors);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::{METRICS, Row, State, table};
    use crate::exposition::Paint;
    use crate::grouping::GroupingKey;
    use crate::report;
    use crate::sink::{Group, PushTime, Series};

    const NOW: u64 = 1_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn group(labels: &[(&str, &str)], values: &[(&str, f64)]) -> Group {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let series = values.iter().map(|(name, value)| match name.split_once('=') {
            Some((name, outcome)) => Series {
                family: format!("pushwrap_{name}"),
                labels: vec![("outcome".to_owned(), outcome.to_owned())],
                value: *value,
            },
            None => Series { family: format!("pushwrap_{name}"), labels: Vec::new(), value: *value },
        });
        let (pushed, refused) = (PushTime::At(at(NOW - 60)), PushTime::Never);
        Group { key: GroupingKey::held(labels).unwrap(), pushed, refused, series: series.collect() }
    }

    fn row(group: &Group) -> Row<'_> {
        Row::of(group, "pushwrap_", at(NOW))
    }

    const JOB: &[(&str, &str)] = &[("job", "a")];

    #[test]
    fn the_metrics_that_are_looked_at_are_those_that_runs_have() {
        for name in METRICS {
            assert!(report::METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }

    #[test]
    fn rows_are_aligned_under_their_titles() {
        let ended = group(
            &[("job", "backup"), ("instance", "db1")],
            &[("running", 0.0), ("outcome=success", 1.0), ("outcome=failure", 0.0), ("duration_seconds", 63.5)],
        );
        let foreign = group(&[("job", "\u{1b}[2J"), ("a", ""), ("b", "x y")], &[]);
        let text = table(&[row(&ended), row(&foreign)], Paint::Plain);
        assert_eq!(
            text,
            "JOB          LABELS        OUTCOME  STARTED  DURATION  PUSHED\n\
             backup       instance=db1  success  -        1m 3s     60s ago\n\
             \"\\u{1b}[2J\"  a=\"\",b=\"x y\"  -        -        -         60s ago\n"
        );
        let coloured = table(&[row(&ended)], Paint::Ansi);
        assert!(coloured.contains("  \u{1b}[32msuccess\u{1b}[0m  -"), "{coloured}");
    }

    #[test]
    fn one_long_name_does_not_make_every_row_long() {
        let (long, short) = (group(&[("job", &"x".repeat(1000))], &[]), group(JOB, &[]));
        let text = table(&[row(&long), row(&short)], Paint::Plain);
        assert!(text.lines().last().unwrap().len() < 120, "{text}");
    }

    #[test]
    fn what_runs_is_not_described_by_the_run_before() {
        let values = [
            ("running", 1.0),
            ("outcome=failure", 1.0),
            ("duration_seconds", 5.0),
            ("exit_code", 3.0),
            ("start_timestamp_seconds", 999_000.0),
        ];
        let mut running = group(JOB, &values);
        assert_eq!(row(&running).cells()[2..5], ["running", "16m ago", "16m 40s"]);
        assert_eq!(row(&running).exit_code, None);
        running.pushed = PushTime::At(at(NOW - 301));
        assert_eq!(row(&running).state, State::Lost);
        assert_eq!(row(&running).cells()[2..], ["lost", "16m ago", "-", "5m ago"]);
    }

    #[test]
    fn overdue_is_a_last_success_older_than_it_may_become() {
        let with = |success: f64, max_age: f64| {
            let values = [
                ("running", 0.0),
                ("outcome=success", 1.0),
                ("last_success_timestamp_seconds", success),
                ("max_age_seconds", max_age),
            ];
            row(&group(JOB, &values)).outcome()
        };
        assert_eq!(with(999_000.0, 999.0), "success, overdue");
        assert_eq!(with(999_000.0, 1001.0), "success");
        assert_eq!(with(2_000_000.0, 1.0), "success");
        assert_eq!(with(f64::NAN, f64::INFINITY), "success");
    }

    #[test]
    fn a_refused_push_is_told() {
        let mut refused = group(JOB, &[]);
        refused.refused = PushTime::At(at(NOW - 10));
        assert_eq!(row(&refused).pushed(), "60s ago, refused 10s ago");
        refused.pushed = PushTime::Never;
        assert_eq!(row(&refused).pushed(), "never, refused 10s ago");
        refused.pushed = PushTime::At(at(NOW - 5));
        assert_eq!(row(&refused).pushed(), "5s ago");
        refused.pushed = PushTime::Unknown;
        refused.refused = PushTime::Unknown;
        assert_eq!(row(&refused).pushed(), "-");
    }

    #[test]
    fn a_program_gets_objects() {
        let odd = group(&[("job", "a\"b"), ("l", "\u{7}")], &[("running", 0.0), ("exit_code", f64::NAN)]);
        let value: serde_json::Value = serde_json::from_str(&row(&odd).json("http://gw")).unwrap();
        assert_eq!(value["job"], "a\"b");
        assert_eq!(value["labels"], serde_json::json!({"l": "\u{7}"}));
        assert_eq!((&value["state"], &value["exit_code"]), (&"unknown".into(), &serde_json::Value::Null));
        assert_eq!(value["push_time_seconds"], 999_940.0);
        assert_eq!(value["push_failure_time_seconds"], 0);
        let foreign: serde_json::Value = serde_json::from_str(&row(&group(JOB, &[])).json("http://gw")).unwrap();
        assert_eq!(foreign["state"], serde_json::Value::Null);
    }
}

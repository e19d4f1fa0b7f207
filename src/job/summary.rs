//! `--summary`: what a person, or a program, wants to know of a run that is over, on standard error.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::child::{ResourceUsage, TreeUsage};
use crate::config::SummaryFormat;
use crate::console::{shows_colours, write_stderr};
use crate::exposition::Paint;
use crate::outcome::{Cause, End, Expiry, NotStarted, Outcome, Status};
use crate::report::RunEnd;
use crate::text::{JsonNumber, escape_controls, json, plural, span};

/// All that a summary is made of.
pub(super) struct Account<'a> {
    pub(super) job: &'a str,
    pub(super) command: &'a str,
    pub(super) started: SystemTime,
    pub(super) ending: &'a RunEnd,
    pub(super) outcome: Outcome,
    pub(super) tree: TreeUsage,
    pub(super) memory_limit_bytes: Option<u64>,
    pub(super) textfile_samples: u64,
    pub(super) textfile_errors: u64,
    pub(super) pushes: &'a [PushAccount],
}

/// The result of the final report at one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PushAccount {
    /// An address without credentials, or the path of a file.
    pub(super) url: String,
    pub(super) outcome: PushOutcome,
    /// From the end of the command to the answer.
    pub(super) took: Duration,
    /// The samples of the command in the report; none where they were not counted.
    pub(super) samples: Option<u64>,
    /// The metrics that the sink has not taken, and why.
    pub(super) refused: Option<String>,
}

/// The result of a report at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushOutcome {
    /// Taken, with this status.
    Pushed(u16),
    /// Why it was not taken.
    NotPushed(String),
    /// In the file.
    Written,
    /// Why it is not.
    NotWritten(String),
}

/// What a program gets of it; the keys are a contract (docs/reference.md).
#[derive(Serialize)]
struct AccountJson<'a> {
    job: &'a str,
    command: &'a str,
    outcome: &'static str,
    exit_code: u8,
    start_timestamp_seconds: JsonNumber,
    end_timestamp_seconds: JsonNumber,
    duration_seconds: JsonNumber,
    cpu_user_seconds: Option<JsonNumber>,
    cpu_system_seconds: Option<JsonNumber>,
    peak_rss_bytes: Option<u64>,
    tree_peak_rss_bytes: Option<u64>,
    disk_read_bytes: Option<u64>,
    disk_written_bytes: Option<u64>,
    major_page_faults: Option<u64>,
    cpu_throttled_seconds: Option<JsonNumber>,
    oom_kills: Option<u64>,
    memory_limit_bytes: Option<u64>,
    textfile_samples: u64,
    textfile_errors: u64,
    pushes: Vec<PushJson<'a>>,
}

/// A sink in it.
#[derive(Serialize)]
struct PushJson<'a> {
    url: &'a str,
    status: Option<u16>,
    seconds: JsonNumber,
    error: Option<&'a str>,
    textfile_samples: Option<u64>,
}

impl Account<'_> {
    pub(super) fn print(&self, form: SummaryFormat) {
        match form {
            SummaryFormat::Text => {
                let paint = if shows_colours(&std::io::stderr()) { Paint::Ansi } else { Paint::Plain };
                let text = self.text(paint);
                let lines: String = text.lines().fold(String::new(), |all, line| all + "pushwrap: " + line + "\n");
                write_stderr(lines.as_bytes());
            }
            SummaryFormat::Json => write_stderr((json(&self.json()) + "\n").as_bytes()),
        }
    }

    /// A line a fact, their names aligned.
    fn text(&self, paint: Paint) -> String {
        let (on, off) = match (paint, self.outcome) {
            (Paint::Plain, _) => ("", ""),
            (Paint::Ansi, Outcome::Success) => ("\u{1b}[32m", "\u{1b}[0m"),
            (Paint::Ansi, Outcome::Skipped) => ("\u{1b}[33m", "\u{1b}[0m"),
            (Paint::Ansi, _) => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        let mut lines = vec![
            ("job", escape_controls(self.job).into_owned()),
            ("outcome", format!("{on}{}{off}, {}", self.outcome.name(), reason(self.ending.end))),
            ("duration", span(self.ending.duration)),
        ];
        if let Some(usage) = self.ending.usage {
            lines.extend(self.usage_lines(usage));
        }
        if self.textfile_samples + self.textfile_errors > 0 {
            let errors = self.textfile_errors;
            let errors = if errors > 0 { format!(", {}", plural(errors, "error")) } else { String::new() };
            lines.push(("metrics", plural(self.textfile_samples, "sample") + &errors));
        }
        for PushAccount { url, outcome, took, samples, .. } in self.pushes {
            let took = span(*took);
            let all = self.textfile_samples;
            let part = samples.filter(|samples| *samples != all);
            let part = part.map(|samples| format!(", {samples} of {}", plural(all, "sample"))).unwrap_or_default();
            lines.push(match outcome {
                PushOutcome::Pushed(status) => ("pushed", format!("to {url} in {took} ({status}){part}")),
                PushOutcome::NotPushed(_) => ("not pushed", format!("to {url} after {took}")),
                PushOutcome::Written => ("written", format!("to {url} in {took}")),
                PushOutcome::NotWritten(_) => ("not written", format!("to {url} after {took}")),
            });
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        lines.iter().fold(String::new(), |mut text, (name, fact)| {
            let _ = writeln!(text, "{name:width$}  {fact}");
            text
        })
    }

    /// The resource usage. Disk, throttling and kills only where there is something to tell.
    fn usage_lines(&self, usage: ResourceUsage) -> Vec<(&'static str, String)> {
        let throttled = self.tree.cpu_throttled.filter(|throttled| !throttled.is_zero());
        let throttled = throttled.map_or_else(String::new, |time| format!(", throttled for {}", span(time)));
        let tree = self.tree.peak_rss_bytes.map_or_else(String::new, |tree| format!(", whole tree {}", size(tree)));
        let limit = self.memory_limit_bytes.map_or_else(String::new, |limit| format!(" of {}", size(limit)));
        let kills = self.tree.oom_kills.filter(|kills| *kills > 0);
        let kills = kills.map_or_else(String::new, |kills| format!(", {}", plural(kills, "OOM kill")));
        let mut lines = vec![
            ("cpu", format!("{} user, {} system{throttled}", span(usage.cpu_user), span(usage.cpu_system))),
            ("memory", format!("peak {}{tree}{limit}{kills}", size(usage.peak_rss_bytes))),
        ];
        if usage.disk_read_bytes + usage.disk_written_bytes > 0 {
            let (read, written) = (size(usage.disk_read_bytes), size(usage.disk_written_bytes));
            lines.push(("disk", format!("read {read}, written {written}")));
        }
        lines
    }

    fn json(&self) -> AccountJson<'_> {
        let ending = self.ending;
        let usage = ending.usage;
        let wall = |time: SystemTime| seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        AccountJson {
            job: self.job,
            command: self.command,
            outcome: self.outcome.name(),
            exit_code: ending.end.code(),
            start_timestamp_seconds: wall(self.started),
            end_timestamp_seconds: wall(ending.at),
            duration_seconds: seconds(ending.duration),
            cpu_user_seconds: usage.map(|usage| seconds(usage.cpu_user)),
            cpu_system_seconds: usage.map(|usage| seconds(usage.cpu_system)),
            peak_rss_bytes: usage.map(|usage| usage.peak_rss_bytes),
            tree_peak_rss_bytes: self.tree.peak_rss_bytes,
            disk_read_bytes: usage.map(|usage| usage.disk_read_bytes),
            disk_written_bytes: usage.map(|usage| usage.disk_written_bytes),
            major_page_faults: usage.map(|usage| usage.major_page_faults),
            cpu_throttled_seconds: self.tree.cpu_throttled.map(seconds),
            oom_kills: self.tree.oom_kills,
            memory_limit_bytes: self.memory_limit_bytes,
            textfile_samples: self.textfile_samples,
            textfile_errors: self.textfile_errors,
            pushes: self.pushes.iter().map(PushAccount::json).collect(),
        }
    }
}

impl PushAccount {
    fn json(&self) -> PushJson<'_> {
        let (status, error) = match &self.outcome {
            PushOutcome::Pushed(status) => (Some(*status), self.refused.as_deref()),
            PushOutcome::Written => (None, None),
            PushOutcome::NotPushed(error) | PushOutcome::NotWritten(error) => (None, Some(error.as_str())),
        };
        PushJson { url: &self.url, status, seconds: seconds(self.took), error, textfile_samples: self.samples }
    }
}

fn seconds(duration: Duration) -> JsonNumber {
    JsonNumber(duration.as_secs_f64())
}

/// Why the run ended, in brief.
fn reason(end: End) -> String {
    match end {
        End::NotStarted(NotStarted::NotFound) => "not found".to_owned(),
        End::NotStarted(NotStarted::CannotRun) => "cannot be run".to_owned(),
        End::Ended { cause: Cause { timeout: Some(Expiry::Killed), .. }, .. } => "killed after --timeout".to_owned(),
        End::Ended { cause: Cause { timeout: Some(Expiry::Signaled), .. }, .. } => "ended by --timeout".to_owned(),
        End::Ended { status: Status::Exited(code), .. } => format!("exit status {code}"),
        End::Ended { status: Status::Signaled(number), .. } => {
            let name = nix::sys::signal::Signal::try_from(number);
            name.map_or_else(|_| format!("signal {number}"), |name| format!("signal {name}"))
        }
    }
}

/// Bytes in binary units with three digits.
fn size(bytes: u64) -> String {
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let (mut whole, mut unit) = (bytes, "B");
    let mut rest = 0;
    while whole >= 1024
        && let Some(next) = units.next()
    {
        (rest, whole, unit) = (whole % 1024, whole / 1024, next);
    }
    if whole < 10 && unit != "B" { format!("{whole}.{} {unit}", rest * 10 / 1024) } else { format!("{whole} {unit}") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Account, Paint, PushAccount, PushOutcome, json, size};
    use crate::child::{ResourceUsage, TreeUsage};
    use crate::outcome::{Cause, End, Outcome, Status};
    use crate::report::RunEnd;

    fn pushes() -> [PushAccount; 4] {
        let took = Duration::from_millis(12);
        [
            PushAccount {
                url: "http://gw".into(),
                outcome: PushOutcome::Pushed(200),
                took,
                samples: Some(2),
                refused: None,
            },
            PushAccount {
                url: "http://b".into(),
                outcome: PushOutcome::NotPushed("cannot push: \"no\"".into()),
                took,
                samples: None,
                refused: None,
            },
            PushAccount { url: "/x.prom".into(), outcome: PushOutcome::Written, took, samples: None, refused: None },
            PushAccount {
                url: "/y.prom".into(),
                outcome: PushOutcome::NotWritten("no".into()),
                took,
                samples: None,
                refused: None,
            },
        ]
    }

    fn account<'a>(ending: &'a RunEnd, pushes: &'a [PushAccount]) -> Account<'a> {
        Account {
            job: "backup",
            command: "backup.sh",
            started: UNIX_EPOCH,
            ending,
            outcome: Outcome::Failure,
            tree: TreeUsage {
                peak_rss_bytes: Some(3 << 20),
                cpu_throttled: Some(Duration::from_millis(1500)),
                oom_kills: Some(2),
            },
            memory_limit_bytes: None,
            textfile_samples: 2,
            textfile_errors: 0,
            pushes,
        }
    }

    fn ending() -> RunEnd {
        RunEnd {
            end: End::Ended { status: Status::Exited(3), cause: Cause::default() },
            at: UNIX_EPOCH + Duration::from_millis(1500),
            duration: Duration::from_millis(1500),
            usage: Some(ResourceUsage {
                cpu_user: Duration::from_millis(20),
                peak_rss_bytes: 123 << 20,
                disk_read_bytes: 4096,
                ..ResourceUsage::default()
            }),
        }
    }

    #[test]
    fn a_person_gets_aligned_lines() {
        let expected = "job          backup\n\
                        outcome      failure, exit status 3\n\
                        duration     1.50s\n\
                        cpu          20.0ms user, 0.0ms system, throttled for 1.50s\n\
                        memory       peak 123 MiB, whole tree 3.0 MiB, 2 OOM kills\n\
                        disk         read 4.0 KiB, written 0 B\n\
                        metrics      2 samples\n\
                        pushed       to http://gw in 12.0ms (200)\n\
                        not pushed   to http://b after 12.0ms\n\
                        written      to /x.prom in 12.0ms\n\
                        not written  to /y.prom after 12.0ms\n";
        assert_eq!(account(&ending(), &pushes()).text(Paint::Plain), expected);
        assert!(account(&ending(), &pushes()).text(Paint::Ansi).contains("\u{1b}[31mfailure\u{1b}[0m"));
    }

    #[test]
    fn a_program_gets_one_line_of_json() {
        let json = json(&account(&ending(), &pushes()).json());
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["exit_code"], 3);
        assert_eq!(value["duration_seconds"], 1.5);
        let null = serde_json::Value::Null;
        assert_eq!(value["memory_limit_bytes"], null);
        assert_eq!((&value["disk_read_bytes"], &value["cpu_throttled_seconds"]), (&4096.into(), &1.5.into()));
        assert_eq!((&value["disk_written_bytes"], &value["major_page_faults"]), (&0.into(), &0.into()));
        assert_eq!(value["oom_kills"], 2);
        assert_eq!(value["pushes"][0]["status"], 200);
        assert_eq!(value["pushes"][1]["error"], "cannot push: \"no\"");
        assert_eq!((&value["pushes"][2]["status"], &value["pushes"][2]["error"]), (&null, &null));
    }

    /// Programs may read the line with less than a whole JSON parser, so order and numbers stay as they are.
    #[test]
    fn the_line_of_json_stays_as_it_is() {
        let mut pushes = pushes();
        pushes[0].refused = Some("x".into());
        pushes[2].took = Duration::from_secs(2);
        let expected = concat!(
            r#"{"job":"backup","command":"backup.sh","outcome":"failure","exit_code":3,"start_timestamp_seconds":0,"#,
            r#""end_timestamp_seconds":1.5,"duration_seconds":1.5,"cpu_user_seconds":0.02,"cpu_system_seconds":0,"#,
            r#""peak_rss_bytes":128974848,"tree_peak_rss_bytes":3145728,"disk_read_bytes":4096,"disk_written_bytes":0,"#,
            r#""major_page_faults":0,"cpu_throttled_seconds":1.5,"oom_kills":2,"memory_limit_bytes":null,"#,
            r#""textfile_samples":2,"textfile_errors":0,"pushes":["#,
            r#"{"url":"http://gw","status":200,"seconds":0.012,"error":"x","textfile_samples":2},"#,
            r#"{"url":"http://b","status":null,"seconds":0.012,"error":"cannot push: \"no\"","textfile_samples":null},"#,
            r#"{"url":"/x.prom","status":null,"seconds":2,"error":null,"textfile_samples":null},"#,
            r#"{"url":"/y.prom","status":null,"seconds":0.012,"error":"no","textfile_samples":null}]}"#,
        );
        assert_eq!(json(&account(&ending(), &pushes).json()), expected);
        let not_started = RunEnd { usage: None, ..ending() };
        let line = json(&account(&not_started, &[]).json());
        let unknown = concat!(
            r#""cpu_user_seconds":null,"cpu_system_seconds":null,"peak_rss_bytes":null,"tree_peak_rss_bytes":3145728,"#,
            r#""disk_read_bytes":null,"disk_written_bytes":null,"major_page_faults":null,"#,
        );
        assert!(line.contains(unknown) && line.ends_with(r#""pushes":[]}"#), "{line}");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(900), "900 B");
        assert_eq!(size(3 * 1024 * 1024 / 2), "1.5 MiB");
        assert_eq!(size(u64::MAX), "15 EiB");
    }
}

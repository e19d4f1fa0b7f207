//! `--summary`: what a person, or a program, wants to know of a run that is over, on standard error.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::child::{ResourceUsage, TreeUsage};
use crate::config::SummaryFormat;
use crate::console::{shows_colours, write_stderr};
use crate::exposition::Paint;
use crate::outcome::{Cause, End, Expiry, NotStarted, Outcome, Status};
use crate::report::RunEnd;
use crate::text::{escape_controls, json_string, plural, span};

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

impl Account<'_> {
    pub(super) fn print(&self, form: SummaryFormat) {
        match form {
            SummaryFormat::Text => {
                let paint = if shows_colours(&std::io::stderr()) { Paint::Ansi } else { Paint::Plain };
                let text = self.text(paint);
                let lines: String = text.lines().fold(String::new(), |all, line| all + "pushwrap: " + line + "\n");
                write_stderr(lines.as_bytes());
            }
            SummaryFormat::Json => write_stderr(format!("{}\n", self.json()).as_bytes()),
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

    /// One object on one line; the keys are a contract (docs/reference.md).
    fn json(&self) -> String {
        let ending = self.ending;
        let usage = ending.usage;
        let number = |value: Option<u64>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let seconds =
            |value: Option<Duration>| value.map_or_else(|| "null".to_owned(), |value| value.as_secs_f64().to_string());
        let wall = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut json = format!(
            "{{\"job\":{},\"command\":{},\"outcome\":\"{}\",\"exit_code\":{}",
            json_string(self.job),
            json_string(self.command),
            self.outcome.name(),
            ending.end.code()
        );
        let fields = [
            ("start_timestamp_seconds", wall(self.started).to_string()),
            ("end_timestamp_seconds", wall(ending.at).to_string()),
            ("duration_seconds", ending.duration.as_secs_f64().to_string()),
            ("cpu_user_seconds", seconds(usage.map(|usage| usage.cpu_user))),
            ("cpu_system_seconds", seconds(usage.map(|usage| usage.cpu_system))),
            ("peak_rss_bytes", number(usage.map(|usage| usage.peak_rss_bytes))),
            ("tree_peak_rss_bytes", number(self.tree.peak_rss_bytes)),
            ("disk_read_bytes", number(usage.map(|usage| usage.disk_read_bytes))),
            ("disk_written_bytes", number(usage.map(|usage| usage.disk_written_bytes))),
            ("major_page_faults", number(usage.map(|usage| usage.major_page_faults))),
            ("cpu_throttled_seconds", seconds(self.tree.cpu_throttled)),
            ("oom_kills", number(self.tree.oom_kills)),
            ("memory_limit_bytes", number(self.memory_limit_bytes)),
            ("textfile_samples", self.textfile_samples.to_string()),
            ("textfile_errors", self.textfile_errors.to_string()),
        ];
        for (name, value) in fields {
            let _ = write!(json, ",\"{name}\":{value}");
        }
        let pushes: Vec<String> = self.pushes.iter().map(PushAccount::json).collect();
        let _ = write!(json, ",\"pushes\":[{}]}}", pushes.join(","));
        json
    }
}

impl PushAccount {
    fn json(&self) -> String {
        let null = || "null".to_owned();
        let (status, error) = match &self.outcome {
            PushOutcome::Pushed(status) => (status.to_string(), self.refused.as_deref().map_or_else(null, json_string)),
            PushOutcome::Written => (null(), null()),
            PushOutcome::NotPushed(error) | PushOutcome::NotWritten(error) => (null(), json_string(error)),
        };
        let url = json_string(&self.url);
        let seconds = self.took.as_secs_f64();
        let samples = self.samples.map_or_else(null, |samples| samples.to_string());
        format!(
            "{{\"url\":{url},\"status\":{status},\"seconds\":{seconds},\"error\":{error},\"textfile_samples\":{samples}}}"
        )
    }
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

    use super::{Account, Paint, PushAccount, PushOutcome, size};
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
        let json = account(&ending(), &pushes()).json();
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

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(900), "900 B");
        assert_eq!(size(3 * 1024 * 1024 / 2), "1.5 MiB");
        assert_eq!(size(u64::MAX), "15 EiB");
    }
}

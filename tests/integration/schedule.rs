//! `--schedule`: by when the job must have succeeded next, at a real gateway; and what a wrong schedule costs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::harness::{Pushgateway, Pushwrap, Version, wait_for};

const DEADLINE: &str = "pushwrap_next_success_deadline_timestamp_seconds";
const JOB: [(&str, &str); 1] = [("job", "j")];

fn to(gateway: &Pushgateway) -> Pushwrap {
    Pushwrap::new().args(["--url", &gateway.url(), "--job", "j", "--instance", "none"]).env("TZ", "UTC")
}

/// The deadline that the group holds, and the start of its run, in seconds.
fn deadline(gateway: &Pushgateway) -> Option<(f64, f64)> {
    let group = gateway.group(JOB)?;
    Some((group.number(DEADLINE, [])?, group.number("pushwrap_start_timestamp_seconds", [])?))
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 0.5
}

#[test]
fn the_deadline_is_the_next_scheduled_time_and_the_margin() {
    for version in Version::ALL {
        let gateway = Pushgateway::start(version);
        to(&gateway).args(["--schedule", "*/5 * * * *"]).run(["true"]).exit(0).stderr("");
        let (by, started) = deadline(&gateway).unwrap();
        assert!(close(by, (started / 300.0).floor() * 300.0 + 300.0 + 3600.0), "{by} after {started}");

        // A failing run sets its deadline too, and the zone counts: midnight in Kathmandu is 18:15 in Greenwich.
        let call = to(&gateway).args(["--schedule", "@daily", "--schedule-margin", "90"]).env("CRON_TZ", "NPT-5:45");
        call.run(["false"]).exit(1).stderr("");
        let (by, started) = deadline(&gateway).unwrap();
        let local = started + 20_700.0;
        assert!(close(by, (local / 86_400.0).floor() * 86_400.0 + 86_400.0 - 20_700.0 + 90.0), "{by} after {started}");
    }
}

#[test]
fn a_push_while_the_command_runs_carries_it() {
    let gateway = Pushgateway::start(Version::Newest);
    let running = to(&gateway).args(["--schedule", "@hourly", "--push-interval", "0.2s"]).spawn(["sleep", "60"]);
    wait_for("the first push", || deadline(&gateway));
    let (by, started) = deadline(&gateway).unwrap();
    assert!(by > started + 3600.0, "{by} after {started}");
    assert_eq!(gateway.group(JOB).unwrap().number("pushwrap_running", []), Some(1.0));
    running.kill(nix::sys::signal::Signal::SIGTERM);
    running.wait();
}

#[test]
fn a_wrong_schedule_on_the_command_line_is_bad_usage() {
    for (options, message) in [
        (&["--schedule", "61 * * * *"][..], "invalid value '61 * * * *' for --schedule: '61' is no minute (0 to 59)"),
        (&["--schedule", "0 0 31 2 *"], "that date never comes"),
        (&["--schedule", "@reboot"], "@reboot has no time"),
        (&["--schedule", "@daily", "--schedule-margin", "x"], "for --schedule-margin: expected a duration"),
        (&["--schedule", "@daily", "--max-age", "26h"], "--schedule and --max-age exclude each other"),
    ] {
        Pushwrap::new().args(options).run(["echo", "started"]).exit(125).stdout("").stderr_has(message);
    }
}

/// Given a schedule in a variable that somebody broke, when the job runs, then that is said and all else is reported.
#[test]
fn a_wrong_schedule_in_a_variable_costs_its_metric_alone() {
    let gateway = Pushgateway::start(Version::Newest);
    let said = |variables: &[(&str, &str)], message: &str| {
        gateway.wipe();
        let call = variables.iter().fold(to(&gateway), |call, (name, value)| call.env(name, value));
        call.arg("--require-push").run(["true"]).exit(0).stderr(&format!("pushwrap: {message}\n"));
        let group = gateway.group(JOB).unwrap();
        assert_eq!(group.number("pushwrap_success", []), Some(1.0));
        assert_eq!((group.number(DEADLINE, []), group.number("pushwrap_max_age_seconds", [])), (None, None));
    };
    let cron = ("PUSHWRAP_SCHEDULE", "17 3 * * 1-5");
    said(
        &[("PUSHWRAP_SCHEDULE", "0 0 L * *")],
        "invalid value '0 0 L * *' for PUSHWRAP_SCHEDULE: 'L' is no day of the month (1 to 31); its metric is left out",
    );
    said(
        &[cron, ("PUSHWRAP_SCHEDULE_MARGIN", "soon")],
        "invalid value 'soon' for PUSHWRAP_SCHEDULE_MARGIN: expected a duration such as 90s, 1h 5m, or a number of seconds; \
         its metric is left out",
    );
    said(
        &[cron, ("PUSHWRAP_MAX_AGE", "26h")],
        "--schedule and --max-age exclude each other; their metrics are left out",
    );
    said(
        &[cron, ("CRON_TZ", "Europe/Bonn")],
        "invalid value 'Europe/Bonn' for CRON_TZ: there is no such time zone; \
         pushwrap_next_success_deadline_timestamp_seconds is left out",
    );
}

/// Given an age in a variable, when the command line has a schedule, then the schedule counts; and the other way round.
#[test]
fn the_command_line_comes_before_variables() {
    let gateway = Pushgateway::start(Version::Newest);
    to(&gateway).env("PUSHWRAP_MAX_AGE", "26h").args(["--schedule", "@daily"]).run(["true"]).exit(0).stderr("");
    let (by, _) = deadline(&gateway).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(by > now.as_secs_f64() && by < (now + Duration::from_hours(26)).as_secs_f64());
    assert_eq!(gateway.group(JOB).unwrap().number("pushwrap_max_age_seconds", []), None);
    gateway.wipe();
    to(&gateway).env("PUSHWRAP_SCHEDULE", "@daily").args(["--max-age", "26h"]).run(["true"]).exit(0).stderr("");
    let group = gateway.group(JOB).unwrap();
    assert_eq!((group.number(DEADLINE, []), group.number("pushwrap_max_age_seconds", [])), (None, Some(93_600.0)));
}

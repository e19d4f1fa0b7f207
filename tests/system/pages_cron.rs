//! The crontab lines of the pages under Debian's own cron, whose clock stands just before their time.

use super::harness::pages::block;
use super::harness::wait_for;
use super::host::Host;

/// A Monday.
const DAY: &str = "2026-11-30";

/// A host whose mail arrives in `/mail`. Its own cron is stopped.
fn host() -> Host {
    let host = Host::start_systemd(&[]);
    host.done("systemctl stop cron");
    host.write("/usr/sbin/sendmail", "755", "#!/bin/sh\ncat >>/mail\n");
    for program in ["backup", "sync-files"] {
        host.write_program(&format!("/usr/local/bin/{program}"));
    }
    host
}

/// Runs cron from this time of day on until `done`, and then the mail that has come.
#[track_caller]
fn cron_from(host: &Host, time: &str, what: &str, done: impl Fn(&Host) -> bool) -> String {
    host.done(&format!("rm -f /mail; systemd-run --unit=cron-at-night faketime '{DAY} {time}' cron -f"));
    wait_for(what, || done(host).then_some(()));
    host.done("systemctl stop cron-at-night");
    host.done("cat /mail 2>/dev/null || :")
}

/// Whether this many runs of a job have ended well.
fn succeeded(host: &Host, job: &str) -> bool {
    host.try_group(job).is_some_and(|group| group.number("pushwrap_success", []) == Some(1.0))
}

#[test]
fn the_crontab_of_readme_and_of_its_page_runs_and_sends_no_mail() {
    for name in ["README.md#recipes", "docs/cron.md#cron"] {
        let host = host();
        host.write("/tmp/table", "644", &block(name));
        host.done("crontab /tmp/table");
        let mail = cron_from(&host, "03:16:50", "the job of 03:17", |host| succeeded(host, "backup"));
        assert_eq!(mail, "", "{name}");
        assert_eq!(host.group("backup").number("pushwrap_max_age_seconds", []), Some(26.0 * 3600.0));
        host.done("gzip -t /var/backups/etc.tar.gz");
    }
}

/// Given a lock that another run holds, when cron starts the job, then it is skipped; and when the lock is free, it runs.
#[test]
fn the_crontab_with_a_lock_skips_and_runs() {
    let host = host();
    // The lines that set variables are those of the page's first block.
    let first = block("docs/cron.md#cron");
    let variables: String = first.split_inclusive('\n').take(2).collect();
    host.write("/tmp/table", "644", &(variables + &block("docs/cron.md#a-job-that-must-not-run-twice-at-once")));
    host.done("crontab /tmp/table; systemd-run --unit=holder flock /tmp/sync.lock sleep infinity");
    let is_skipped = |host: &Host| {
        let group = host.try_group("sync");
        group.is_some_and(|group| group.number("pushwrap_last_skipped_timestamp_seconds", []).is_some())
    };
    assert_eq!(cron_from(&host, "04:04:50", "a skipped run", is_skipped), "");
    assert_eq!(host.group("sync").number("pushwrap_success", []), None, "neither a success nor a failure");
    host.done("systemctl stop holder");
    // What the program prints is cron's to mail.
    assert!(cron_from(&host, "04:09:50", "a run", |host| succeeded(host, "sync")).contains("done: "));
}

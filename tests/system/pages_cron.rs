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
    // cron mails as the user of the job.
    host.done(&format!(
        "install -m 666 /dev/null /mail; systemd-run --unit=cron-at-night faketime '{DAY} {time}' cron -f"
    ));
    wait_for(what, || done(host).then_some(()));
    host.done("systemctl stop cron-at-night");
    host.done("cat /mail")
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

/// Given the whole file of the examples below `/etc/cron.d`, when the time of each of its lines comes, then its job reports, what
/// was kept during an outage is sent, and no good run sends a mail.
#[test]
fn each_line_of_the_file_for_cron_d_runs_and_reports() {
    let host = host();
    host.write("/etc/default/pushwrap", "644", "PUSHWRAP_URL=http://pushgateway:9091\n");
    host.done("install -d -m 700 /var/lib/pushwrap");
    host.write("/usr/local/bin/sync-files", "755", "#!/bin/sh\nid -un >/tmp/synced\n");
    host.write("/usr/local/bin/report", "755", "#!/bin/sh\necho \"$*\" >/tmp/reported\n");
    host.write("/etc/cron.d/pushwrap", "644", include_str!("../../examples/cron/pushwrap"));

    // Of a directory that was just changed, fuse-overlayfs gives the new time only to who asks again, and tar takes that for a change.
    host.done("until tar -cf - -C / etc >/dev/null; do sleep 0.1; done");

    host.begin_outage();
    let has_mail = |host: &Host| host.sh("grep -q 'it waits in .*pushwrap flush' /mail").status.success();
    cron_from(&host, "03:16:50", "the mail of the job of 03:17 about the outage", has_mail);
    host.done("gzip -t /var/backups/etc.tar.gz");
    // No second mail, whatever runs meanwhile.
    let is_over = |host: &Host| host.sh("[ -e /tmp/synced ] && ! pidof pushwrap").status.success();
    let mail = cron_from(&host, "03:19:50", "a flush and a job of every five minutes during the outage", is_over);
    assert_eq!(mail, "");
    assert_eq!(host.done("find /var/lib/pushwrap -name '*.push'").lines().count(), 1, "it still waits");
    host.end_outage();
    let mail = cron_from(&host, "03:29:50", "the flush of 03:30 and the job of every five minutes", |host| {
        succeeded(host, "etc-backup") && succeeded(host, "sync")
    });
    assert_eq!(mail, "");
    assert_eq!(host.group("etc-backup").number("pushwrap_max_age_seconds", []), Some(26.0 * 3600.0));
    assert_eq!(host.done("cat /tmp/synced"), "www-data\n");

    let mail = cron_from(&host, "03:59:50", "the job of four o'clock on weekdays", |host| succeeded(host, "report"));
    assert_eq!(mail, "");
    host.done("grep -Ex -e '--day [0-9]{4}-[0-9]{2}-[0-9]{2}' /tmp/reported");
    assert!(host.group("report").number("pushwrap_next_success_deadline_timestamp_seconds", []).is_some());

    host.done("systemd-run --unit=holder flock /tmp/sync.lock sleep infinity");
    let is_skipped = |host: &Host| host.group("sync").number("pushwrap_last_skipped_timestamp_seconds", []).is_some();
    assert_eq!(cron_from(&host, "05:04:50", "a run that finds the lock taken", is_skipped), "");
}

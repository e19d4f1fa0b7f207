//! The units of the pages and of examples/ under a real systemd, and what else a host with an init and ssh can be asked.

use super::harness::pages::block;
use super::host::Host;

/// A host with the programs that the units name.
fn host() -> Host {
    let host = Host::start_systemd(&[]);
    host.write_program("/usr/local/bin/backup");
    host
}

#[track_caller]
fn verified(host: &Host, unit: &str) {
    let out = host.sh(&format!("systemd-analyze verify {unit} 2>&1"));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let name = unit.rsplit('/').next().unwrap();
    assert!(!said.lines().any(|line| line.contains(name)), "{said}");
}

#[track_caller]
fn success_of(host: &Host, job: &str) {
    assert_eq!(host.group(job).number("pushwrap_success", []), Some(1.0), "{job}");
}

#[test]
fn the_units_of_readme_and_of_its_page_run() {
    for name in ["README.md#recipes 2", "docs/systemd.md#systemd"] {
        let host = host();
        host.write("/etc/systemd/system/backup.service", "644", &block(name));
        host.done("systemctl daemon-reload; systemctl start backup.service");
        success_of(&host, "backup");
        verified(&host, "/etc/systemd/system/backup.service");
        // The status of the unit is that of the command.
        host.write("/usr/local/bin/backup", "755", "#!/bin/sh\nexit 7\n");
        assert!(!host.sh("systemctl start backup.service").status.success());
        assert_eq!(host.done("systemctl show -P ExecMainStatus backup.service"), "7\n");
        assert_eq!(host.group("backup").number("pushwrap_exit_code", []), Some(7.0));
    }
}

#[test]
fn the_units_of_the_examples_run() {
    let host = host();
    // The package's place, which these units name.
    host.done("ln -s /usr/local/bin/pushwrap /usr/bin/pushwrap");
    host.write("/etc/default/pushwrap", "644", "PUSHWRAP_URL=http://pushgateway:9091\n");
    let units = [
        ("backup.service", include_str!("../../examples/systemd/backup.service")),
        ("backup.timer", include_str!("../../examples/systemd/backup.timer")),
        ("pushwrap@.service", include_str!("../../examples/systemd/pushwrap@.service")),
        ("pushwrap-prune.service", include_str!("../../examples/systemd/pushwrap-prune.service")),
        ("pushwrap-prune.timer", include_str!("../../examples/systemd/pushwrap-prune.timer")),
    ];
    for (name, text) in units {
        host.write(&format!("/etc/systemd/system/{name}"), "644", text);
    }
    host.write_program("/etc/pushwrap/jobs/cleanup");
    host.write("/etc/pushwrap/jobs/cleanup.env", "644", "PUSHWRAP_MAX_AGE=26h\n");
    host.done("systemctl daemon-reload; systemctl start backup.service pushwrap@cleanup pushwrap-prune");
    success_of(&host, "backup");
    success_of(&host, "cleanup");
    assert_eq!(host.group("cleanup").number("pushwrap_max_age_seconds", []), Some(93600.0));
    assert_eq!(host.group("backup").value("pushwrap_runs_total", [("outcome", "success")]).as_deref(), Some("1"));
    host.done("systemctl enable --now backup.timer pushwrap-prune.timer");
    for (name, _) in units {
        verified(&host, &format!("/etc/systemd/system/{}", name.replace("@.", "@cleanup.")));
    }
}

/// Given a host that is reached by ssh, when pushwrap is called through it, then it runs there and measures the job.
#[test]
fn a_call_through_ssh_runs_on_the_other_host() {
    let host = Host::start_systemd(&[]);
    host.write_program("/usr/local/bin/dump");
    host.write("/etc/default/pushwrap", "644", "PUSHWRAP_URL=http://pushgateway:9091\n");
    host.done(
        "usermod --shell /bin/sh --home /var/backups backup; install -d -m 700 /root/.ssh
         ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/id_ed25519
         install -D -m 644 /root/.ssh/id_ed25519.pub /var/backups/.ssh/authorized_keys
         systemctl start ssh
         ssh-keyscan db1 2>/dev/null >/root/.ssh/known_hosts",
    );
    assert_eq!(host.done(&block("docs/cron.md#through-ssh")), "done: \n");
    let group = host.group("dump");
    assert_eq!(group.number("pushwrap_success", []), Some(1.0));
}

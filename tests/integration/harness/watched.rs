//! Runs that report to every sink at once, and for each sink a real Prometheus with the alerts for it, or a vmalert.

use std::path::{Path, PathBuf};

use super::alerts::{Judge, ever_fired, firing, rules_in_short, wait_for_exactly};
use super::prometheus::Prometheus;
use super::pushgateway::{Pushgateway, Version};
use super::pushwrap::{Pushwrap, Running};
use super::server::{self, Server};
use super::vmalert::Vmalert;
use super::wait_for;

/// A script that succeeds as soon as the file that it is given is gone.
pub(crate) const WHILE_THERE: &str = "while [ -e \"$0\" ]; do sleep 0.1; done";

/// The sinks, and who judges what they hold. Dropping it ends them all.
pub(crate) struct Watched {
    pub(crate) gateway: Pushgateway,
    exporter: Server,
    directory: tempfile::TempDir,
    by_gateway: Prometheus,
    by_output: Prometheus,
    by_remote_write: Prometheus,
    by_vmalert: Vmalert,
    /// A good run that does not end, and reports every second: a sink to which nothing is written has an alert of its own.
    steady: Option<Running>,
}

impl Watched {
    /// Starts everything; the job `steady` runs.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["output", "state"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let output = directory.path().join("output");
        let exporter = Server::start(&server::program("node_exporter"), |port, _| {
            vec![
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--collector.disable-defaults".to_owned(),
                "--collector.textfile".to_owned(),
                format!("--collector.textfile.directory={}", output.display()),
            ]
        });
        let gateway = Pushgateway::start(Version::Newest);
        let by_gateway = Judge::alerts("gateway.yml").with_recording_rules().of_gateway(&gateway).start();
        let by_output = Judge::alerts("output.yml").scraping("node", &exporter.address(), false).start();
        let by_remote_write = Judge::alerts("remote-write.yml").flag("--web.enable-remote-write-receiver").start();
        let by_vmalert = Vmalert::start(&rules_in_short("remote-write.yml"));
        let steady = None;
        let mut watched =
            Self { gateway, exporter, directory, by_gateway, by_output, by_remote_write, by_vmalert, steady };
        let file = watched.while_steady();
        std::fs::write(&file, "").expect("a file");
        let command = ["sh", "-c", WHILE_THERE, text(&file)];
        watched.steady = Some(watched.spawn_known("steady", &[], &command));
        watched
    }

    /// The file without which `steady` ends.
    fn while_steady(&self) -> PathBuf {
        self.directory.path().join("steady")
    }

    /// Ends the job `steady`, which succeeds.
    #[track_caller]
    pub(crate) fn end_steady(&mut self) {
        std::fs::remove_file(self.while_steady()).expect("steady runs");
        self.steady.take().expect("steady runs").wait().exit(0);
    }

    /// The directory that node_exporter reads.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("output")
    }

    /// A state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The Prometheus that scrapes the gateway; it has the recording rules too.
    pub(crate) fn by_gateway(&self) -> &Prometheus {
        &self.by_gateway
    }

    /// The Prometheus that scrapes node_exporter.
    pub(crate) fn by_output(&self) -> &Prometheus {
        &self.by_output
    }

    /// The Prometheus of each sink.
    pub(crate) fn each_prometheus(&self) -> [&Prometheus; 3] {
        [&self.by_gateway, &self.by_output, &self.by_remote_write]
    }

    /// The options with which a job reports to every sink.
    pub(crate) fn options(&self, job: &str) -> Vec<String> {
        let output = self.output().join(format!("{job}.prom"));
        let remote_write = format!("{}/api/v1/write", self.by_remote_write.url());
        let stores = [&self.gateway.url(), &self.by_vmalert.push_url()];
        let sinks =
            ["--url", stores[0], "--url", stores[1], "--output", text(&output), "--remote-write", &remote_write];
        sinks.iter().chain(&["--job", job, "--instance", "none"]).map(ToString::to_string).collect()
    }

    /// A run of a job with further options.
    pub(crate) fn call(&self, job: &str, options: &[&str]) -> Pushwrap {
        Pushwrap::new().args(self.options(job)).args(options)
    }

    /// The same with a state directory, so that runs are counted.
    pub(crate) fn counted(&self, job: &str, options: &[&str]) -> Pushwrap {
        self.call(job, options).arg("--state-dir").arg(self.state())
    }

    /// A run of which every sink knows that it has begun, and which reports every second.
    #[track_caller]
    pub(crate) fn spawn_known(&self, job: &str, options: &[&str], command: &[&str]) -> Running {
        let running = self.call(job, options).args(["--push-interval", "1"]).spawn(command);
        wait_for(&format!("the first report of '{job}'"), || {
            let value = self.gateway.group([("job", job)])?.value("pushwrap_running", [])?;
            (value == "1" && self.output().join(format!("{job}.prom")).exists()).then_some(())
        });
        self.by_remote_write.wait_for(&format!("pushwrap_running{{job=\"{job}\"}} == 1"));
        running
    }

    /// Waits until for each sink just these alerts fire, in the order of the alphabet.
    #[track_caller]
    pub(crate) fn expect(&self, alerts: &[&str]) {
        self.expect_of_sinks(alerts, alerts, alerts);
    }

    /// The same, where the sinks differ.
    #[track_caller]
    pub(crate) fn expect_of_sinks(&self, gateway: &[&str], output: &[&str], remote_write: &[&str]) {
        wait_for_exactly(|| firing(&self.by_gateway), gateway);
        wait_for_exactly(|| firing(&self.by_output), output);
        wait_for_exactly(|| firing(&self.by_remote_write), remote_write);
        wait_for_exactly(|| self.by_vmalert.firing(), remote_write);
    }

    /// No alert has ever fired for this job, at no Prometheus.
    #[track_caller]
    pub(crate) fn never_fired(&self, job: &str) {
        for prometheus in self.each_prometheus() {
            let fired = ever_fired(prometheus);
            assert!(!fired.iter().any(|alert| alert.split(' ').nth(1) == Some(job)), "{job}: {fired:?}");
        }
    }

    /// Ends the gateway.
    pub(crate) fn end_gateway(&self) {
        self.gateway.server().signal(nix::sys::signal::Signal::SIGKILL);
    }

    /// Ends node_exporter.
    pub(crate) fn end_exporter(&self) {
        self.exporter.signal(nix::sys::signal::Signal::SIGKILL);
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

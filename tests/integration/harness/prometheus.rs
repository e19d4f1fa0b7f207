//! A real Prometheus for one test, which scrapes every second.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{http, server, server::Server, wait_for};

/// A running Prometheus. Its data lives in a temporary directory and ends with the test.
pub(crate) struct Prometheus {
    server: Server,
}

/// One row of an instant query's answer: the labels (`__name__` included) and the value as Prometheus writes it.
pub(crate) type Row = (BTreeMap<String, String>, String);

impl Prometheus {
    /// Starts one that scrapes `targets` (`host:port`) every second as job `test`; `honor_labels` as a Pushgateway needs it.
    #[track_caller]
    pub(crate) fn start(targets: &[String], honor_labels: bool) -> Self {
        Self::start_with(targets, honor_labels, &[])
    }

    /// The same with further flags, for example `--web.enable-remote-write-receiver`.
    #[track_caller]
    pub(crate) fn start_with(targets: &[String], honor_labels: bool, flags: &[&str]) -> Self {
        let server = Server::start(&server::program("prometheus"), |port, dir: &Path| {
            let config = dir.join("prometheus.yml");
            fs::write(&config, configuration(targets, honor_labels)).expect("a configuration file");
            let fixed = [
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", dir.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            fixed.into_iter().chain(flags.iter().map(ToString::to_string)).collect()
        });
        Self::of(server)
    }

    /// One that was started with a configuration of its own.
    #[track_caller]
    pub(crate) fn of(server: Server) -> Self {
        let prometheus = Self { server };
        wait_for("Prometheus to be ready", || {
            let answer = http::request("GET", &format!("{}/-/ready", prometheus.url()), b"").ok()?;
            (answer.status == 200).then_some(())
        });
        prometheus
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The process itself.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// An instant query that must give a vector.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<Row> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let body = http::get(&format!("{}/api/v1/query?query={encoded}", self.url()));
        let answer: Value = serde_json::from_str(&body).expect("JSON from Prometheus");
        let rows = answer["data"]["result"].as_array().expect("a vector from Prometheus");
        rows.iter().map(row).collect()
    }

    /// Asks again and again until the answer is not empty.
    #[track_caller]
    pub(crate) fn wait_for(&self, expression: &str) -> Vec<Row> {
        wait_for(&format!("Prometheus to answer '{expression}'"), || {
            let rows = self.query(expression);
            (!rows.is_empty()).then_some(rows)
        })
    }

    /// Waits until every target has been scraped and found up at least once more from now on.
    #[track_caller]
    pub(crate) fn wait_for_scrape(&self) {
        let now = self.query("vector(time())")[0].1.clone();
        // timestamp() of a plain selector is that of the sample; around anything else it would be the time of the query.
        self.wait_for(&format!("min(timestamp(up)) > {now} and min(up) == 1"));
    }
}

fn configuration(targets: &[String], honor_labels: bool) -> String {
    // JSON is YAML: no quoting rules of a second language.
    serde_json::json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s" },
        "scrape_configs": [{
            "job_name": "test",
            "honor_labels": honor_labels,
            "static_configs": [{ "targets": targets }],
        }],
    })
    .to_string()
}

fn row(row: &Value) -> Row {
    let labels = row["metric"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    (labels, row["value"][1].as_str().unwrap_or_default().to_owned())
}

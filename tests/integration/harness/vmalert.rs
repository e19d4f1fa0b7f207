//! A `VictoriaMetrics` that takes pushes, and a vmalert that judges rules by what it holds, every second.

use std::fs;

use serde_json::Value;

use super::http;
use super::server::{self, Server};

/// The two. Dropping it ends them.
pub(crate) struct Vmalert {
    alerts: Server,
    store: Server,
}

impl Vmalert {
    /// Starts them with these rules.
    #[track_caller]
    pub(crate) fn start(rules: &str) -> Self {
        let store = Server::start(&server::program("victoria-metrics-newest"), |port, directory| {
            vec![
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={}", directory.join("data").display()),
                "-search.latencyOffset=0s".to_owned(),
                "-search.disableCache".to_owned(),
            ]
        });
        let alerts = Server::start(&server::program("vmalert"), |port, directory| {
            fs::write(directory.join("rules.yml"), rules).expect("a file of rules");
            vec![
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-datasource.url={}", store.url()),
                format!("-rule={}", directory.join("rules.yml").display()),
                "-rule.evalDelay=0s".to_owned(),
                "-evaluationInterval=1s".to_owned(),
                "-notifier.blackhole".to_owned(),
            ]
        });
        Self { alerts, store }
    }

    /// Where a job pushes to, as to a gateway.
    pub(crate) fn push_url(&self) -> String {
        format!("{}/api/v1/import/prometheus", self.store.url())
    }

    /// What fires, as `ALERT JOB`.
    pub(crate) fn firing(&self) -> Vec<String> {
        let answer = http::get(&format!("{}/api/v1/alerts", self.alerts.url()));
        let answer: Value = serde_json::from_str(&answer).expect("JSON from vmalert");
        let alerts = answer["data"]["alerts"].as_array().expect("the alerts").iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<String> =
            firing.map(|alert| format!("{} {}", text(&alert["name"]), text(&alert["labels"]["job"]))).collect();
        found.sort();
        found
    }
}

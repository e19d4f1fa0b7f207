//! The rules of examples/alerts in a real Prometheus that judges them every second, with times that a test can wait for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::prometheus::Prometheus;
use super::pushgateway::Pushgateway;
use super::server::{self, Server};
use super::try_wait_for;

/// What stands in the files, and what a test waits for instead. The longer number goes first where one begins another.
const TIMES: [(&str, &str); 9] = [
    ("offset 1d", "offset 5s"),
    ("offset 1h", "offset 20s"),
    ("[65m:1m]", "[22s:1s]"),
    ("[1d])", "[5s])"),
    ("for: 5m", "for: 1s"),
    ("> 21600", "> 3"),
    ("> 600", "> 2"),
    ("> 300", "> 5"),
    ("> 60", "> 1"),
];

fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    fs::read_to_string(path).expect("an example")
}

/// The same with [`TIMES`] that a test can wait for.
fn in_short(text: String) -> String {
    TIMES.iter().fold(text, |text, (time, instead)| text.replace(time, instead))
}

/// The rules of a file, with times that a test can wait for.
pub(crate) fn rules_in_short(file: &str) -> String {
    in_short(shipped(file))
}

fn shipped(file: &str) -> String {
    example(&format!("alerts/{file}"))
}

/// The names that the recording rules give.
pub(crate) fn recorded_names() -> Vec<String> {
    let rules = shipped("recording-rules.yml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&example("grafana/pushwrap.json")).expect("JSON")
}

/// An expression whose variables stand for everything.
fn of_everything(expression: &Value) -> String {
    expression.as_str().expect("an expression").replace("$job", ".*").replace("$instance", ".*")
}

/// Every expression of the dashboard, its variables standing for everything: without the zero that a panel has in place of
/// nothing, so that the answer to each is empty where nothing is found, and with times that a test can wait for.
pub(crate) fn dashboard_expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.map(|target| in_short(of_everything(&target["expr"]).replace(" or vector(0)", ""))).collect()
}

/// The series and the label that each of the dashboard's variables asks for.
pub(crate) fn dashboard_variables() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let queries = variables.iter().filter(|variable| variable["type"] == "query");
    let asked = |text: String| {
        let inside = text.strip_prefix("label_values(")?.strip_suffix(')')?;
        inside.rsplit_once(", ").map(|(series, label)| (series.to_owned(), label.to_owned()))
    };
    queries.map(|variable| asked(of_everything(&variable["query"]["query"])).expect("label_values")).collect()
}

/// Whether an expression asks for what only a control group with a limit has.
pub(crate) fn needs_limit(expression: &str) -> bool {
    ["pushwrap_memory_limit_bytes", "pushwrap_cpu_throttled_seconds"].iter().any(|name| expression.contains(name))
}

/// A Prometheus with rules, and what it scrapes beside the gateway or instead of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judge {
    rules: Vec<String>,
    scrape: Vec<Value>,
    flags: Vec<String>,
}

impl Judge {
    /// One that knows the alerts of a file.
    pub(crate) fn alerts(file: &str) -> Self {
        Self { rules: vec![rules_in_short(file)], ..Self::default() }
    }

    /// And the recording rules, as they are.
    pub(crate) fn with_recording_rules(mut self) -> Self {
        self.rules.push(shipped("recording-rules.yml"));
        self
    }

    /// And scrapes this address as a job.
    pub(crate) fn scraping(mut self, job: &str, address: &str, honor_labels: bool) -> Self {
        let targets = json!([{ "targets": [address] }]);
        self.scrape.push(json!({ "job_name": job, "honor_labels": honor_labels, "static_configs": targets }));
        self
    }

    /// And scrapes a gateway.
    pub(crate) fn of_gateway(self, gateway: &Pushgateway) -> Self {
        self.scraping("pushgateway", &gateway.address(), true)
    }

    /// And has this flag.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn start(&self) -> Prometheus {
        let files: Vec<String> = (0..self.rules.len()).map(|number| format!("rules{number}.yml")).collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": files,
            "scrape_configs": self.scrape,
        });
        Prometheus::of(Server::start(&server::program("prometheus"), |port, directory| {
            for (file, rules) in files.iter().zip(&self.rules) {
                fs::write(directory.join(file), rules).expect("a file of rules");
            }
            fs::write(directory.join("prometheus.yml"), config.to_string()).expect("a configuration");
            let fixed = [
                format!("--config.file={}", directory.join("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", directory.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            fixed.into_iter().chain(self.flags.iter().cloned()).collect()
        }))
    }
}

/// What fires, as `ALERT JOB`. An alert that fires for two series of one job is there twice.
pub(crate) fn firing(prometheus: &Prometheus) -> Vec<String> {
    named(prometheus, "ALERTS{alertstate=\"firing\"}")
}

/// What has fired since Prometheus runs, in the same form.
pub(crate) fn ever_fired(prometheus: &Prometheus) -> Vec<String> {
    named(prometheus, "count_over_time(ALERTS{alertstate=\"firing\"}[1d])")
}

fn named(prometheus: &Prometheus, query: &str) -> Vec<String> {
    let job = |labels: &BTreeMap<String, String>| {
        labels.get("exported_job").or_else(|| labels.get("job")).cloned().unwrap_or_default()
    };
    let rows = prometheus.query(query).into_iter();
    let mut found: Vec<String> = rows.map(|(labels, _)| format!("{} {}", labels["alertname"], job(&labels))).collect();
    found.sort();
    found
}

/// Waits until these alerts fire, and no others; they are in the order of the alphabet.
#[track_caller]
pub(crate) fn wait_for_exactly(firing: impl Fn() -> Vec<String>, expected: &[&str]) {
    assert!(expected.is_sorted(), "{expected:?}");
    if try_wait_for(|| (firing() == expected).then_some(())).is_none() {
        assert_eq!(firing(), expected, "what fires is not what was waited for");
    }
}

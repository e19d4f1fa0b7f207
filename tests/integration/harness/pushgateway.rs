//! A real Pushgateway for one test, and what it holds as its own API tells it.

use std::path::Path;

use serde_json::Value;

use super::{http, server, server::Server, wait_for};

/// Which of the real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 1.5.1, as Debian bookworm has it.
    Bookworm,
    /// 1.11.0, as Debian trixie has it: it hangs up where it means 400. A mirror without it gives another one.
    Trixie,
    /// The newest that the mirror has.
    Newest,
}

impl Version {
    /// The oldest and the newest, for tests that must hold for any gateway a user may have.
    pub(crate) const ALL: [Self; 2] = [Self::Bookworm, Self::Newest];
}

/// A running Pushgateway. It keeps nothing on disk and ends with the test.
pub(crate) struct Pushgateway {
    server: Server,
    prefix: String,
}

impl Pushgateway {
    /// Starts one on a free port and waits until it says that it is ready.
    #[track_caller]
    pub(crate) fn start(version: Version) -> Self {
        Self::start_with(version, &[])
    }

    /// The same with further flags. A `--web.route-prefix=/p` is respected by [`Self::url`].
    #[track_caller]
    pub(crate) fn start_with(version: Version, flags: &[&str]) -> Self {
        let program = server::program(match version {
            Version::Bookworm => "pushgateway-1.5.1",
            Version::Trixie => "pushgateway-1.11.0",
            Version::Newest => "pushgateway-newest",
        });
        let prefix = flags.iter().find_map(|flag| flag.strip_prefix("--web.route-prefix=")).unwrap_or_default();
        let gateway = Self {
            server: Server::start(&program, |port, _: &Path| {
                let listen = format!("--web.listen-address=127.0.0.1:{port}");
                // Debian's build keeps its state in /var/lib by default: parallel servers would share one file.
                let fixed = [listen, "--persistence.file=".to_owned(), "--web.enable-admin-api".to_owned()];
                fixed.into_iter().chain(flags.iter().map(ToString::to_string)).collect()
            }),
            prefix: prefix.trim_end_matches('/').to_owned(),
        };
        wait_for("the gateway to be ready", || {
            // With TLS or a password in front it cannot be asked like this; listening is all that can be known.
            let answer = http::request("GET", &format!("{}/-/ready", gateway.url()), b"").ok()?;
            matches!(answer.status, 200 | 400 | 401).then_some(())
        });
        gateway
    }

    /// `http://127.0.0.1:PORT`, with the route prefix where there is one.
    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.server.url(), self.prefix)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// The process itself: its pid, its log, signals to it.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The exposition that Prometheus scrapes. The test fails when it is anything but 200.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        http::get(&format!("{}/metrics", self.url()))
    }

    /// `GET /api/v1/metrics`, the `data` of it: one object for each group.
    #[track_caller]
    pub(crate) fn metrics_json(&self) -> Vec<Value> {
        data(&http::get(&format!("{}/api/v1/metrics", self.url())))
    }

    /// Every group, in the gateway's order.
    #[track_caller]
    pub(crate) fn groups(&self) -> Vec<Group> {
        self.metrics_json().into_iter().map(Group).collect()
    }

    /// The group with exactly these grouping labels.
    #[track_caller]
    pub(crate) fn group<const N: usize>(&self, labels: [(&str, &str); N]) -> Option<Group> {
        let mut wanted: Vec<(String, String)> = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        wanted.sort();
        self.groups().into_iter().find(|group| group.labels() == wanted)
    }

    /// Pushes as curl would: PUT or POST of `body` to `/metrics/PATH`, which must be accepted.
    #[track_caller]
    pub(crate) fn push(&self, method: &str, path: &str, body: &str) {
        let url = format!("{}/metrics/{path}", self.url());
        let answer = http::request(method, &url, body.as_bytes()).expect("an answer from the gateway");
        assert!(matches!(answer.status, 200 | 202), "{method} {url}: {} {}", answer.status, answer.body);
    }

    /// Empties the gateway and waits until it is empty.
    #[track_caller]
    pub(crate) fn wipe(&self) {
        let url = format!("{}/api/v1/admin/wipe", self.url());
        let answer = http::request("PUT", &url, b"").expect("an answer from the gateway");
        assert_eq!(answer.status, 202, "{}", answer.body);
        wait_for("the gateway to be empty", || self.metrics_json().is_empty().then_some(()));
    }
}

/// The `data` of an answer to `GET /api/v1/metrics`.
fn data(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).expect("JSON from the gateway");
    answer["data"].as_array().cloned().unwrap_or_default()
}

/// What the gateway holds under one grouping key.
#[derive(Debug, Clone)]
pub(crate) struct Group(Value);

impl Group {
    /// The groups in an answer to `GET /api/v1/metrics`, for a gateway that only a container reaches.
    pub(crate) fn all(answer: &str) -> Vec<Self> {
        data(answer).into_iter().map(Self).collect()
    }

    /// The grouping labels, sorted by name, `job` included.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let labels = self.0["labels"].as_object().into_iter().flatten();
        let mut labels: Vec<_> = labels.map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
        labels.sort();
        labels
    }

    /// The names of the metric families, sorted, without the push times that the gateway adds.
    pub(crate) fn families(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let own = ["labels", "last_push_successful", "push_time_seconds", "push_failure_time_seconds"];
        names.retain(|name| !own.contains(&name.as_str()));
        names.sort();
        names
    }

    /// The type of a family as the gateway names it (`GAUGE`).
    pub(crate) fn kind(&self, family: &str) -> Option<String> {
        Some(self.0[family]["type"].as_str()?.to_owned())
    }

    /// The HELP of a family.
    pub(crate) fn help(&self, family: &str) -> Option<String> {
        Some(self.0[family]["help"].as_str()?.to_owned())
    }

    /// The value of the one sample of a family whose labels include all of `labels`, as the gateway writes it.
    #[track_caller]
    pub(crate) fn value<const N: usize>(&self, family: &str, labels: [(&str, &str); N]) -> Option<String> {
        let samples = self.0[family]["metrics"].as_array()?.iter();
        let matching: Vec<&Value> =
            samples.filter(|sample| labels.iter().all(|(n, v)| sample["labels"][n].as_str() == Some(v))).collect();
        assert!(matching.len() <= 1, "{} samples of {family} match {labels:?}", matching.len());
        Some(matching.first()?["value"].as_str()?.to_owned())
    }

    /// The same as a number.
    #[track_caller]
    pub(crate) fn number<const N: usize>(&self, family: &str, labels: [(&str, &str); N]) -> Option<f64> {
        Some(self.value(family, labels)?.parse().expect("a number from the gateway"))
    }

    /// Whether the last push to the group was accepted.
    pub(crate) fn last_push_successful(&self) -> bool {
        self.0["last_push_successful"].as_bool() == Some(true)
    }

    /// The gateway's own JSON, for what has no method here.
    pub(crate) fn json(&self) -> &Value {
        &self.0
    }
}

//! What comes out of reading and encoding, held against real servers: gateways old and new take it, a real Prometheus
//! scrapes it, promtool agrees. And the other way round: what we say of a file is what a gateway says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pushwrap::exposition::{Context, Family, Severity, Source, Verdict, encode, judge, read};

use crate::harness::{Prometheus, Pushgateway, Version, http, server, wait_for};

/// A body and what to call it.
struct Case {
    name: String,
    body: Vec<u8>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Every file of the corpus and every fuzz case.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for set in ["good", "bad", "quirk"] {
        let mut paths: Vec<_> = fs::read_dir(corpus().join(set)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "prom"));
        paths.sort();
        cases.extend(paths.iter().map(|path| Case {
            name: format!("{set}/{}", path.file_stem().unwrap().to_string_lossy()),
            body: fs::read(path).unwrap(),
        }));
    }
    for line in fs::read_to_string(corpus().join("fuzz.jsonl")).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let body = BASE64_STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
        cases.push(Case { name: format!("fuzz {}", case["id"]), body });
    }
    assert!(cases.len() > 1700, "the corpus is not whole: {} cases", cases.len());
    cases
}

fn grouping() -> [(String, String); 1] {
    [("job".to_owned(), "corpus".to_owned())]
}

/// What pushwrap makes of a body.
fn repaired(body: &[u8]) -> Vec<u8> {
    let (sources, grouping) = ([Source::new("f.prom", body)], grouping());
    let reading = read(&sources, &Context { grouping: &grouping, reserved: &[] });
    encode(&reading.families)
}

fn put(gateway: &Pushgateway, job: &str, body: &[u8]) -> http::Answer {
    http::request("PUT", &format!("{}/metrics/job/{job}", gateway.url()), body).unwrap()
}

#[test]
fn the_verdict_is_that_of_a_live_gateway() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let grouping = grouping();
    let mut wrong = Vec::new();
    for case in cases() {
        let verdict = judge(&case.body, &Context { grouping: &grouping, reserved: &[] });
        let answer = put(&gateway, "corpus", &case.body);
        let is_same = match &verdict {
            Verdict::Refused(refusal) => {
                let line = refusal.line.map(|line| format!("in line {line}: "));
                answer.status == 400 && line.is_none_or(|line| answer.body.contains(&line))
            }
            Verdict::Taken | Verdict::Changed(_) | Verdict::Harmful(_) => answer.status == 200,
        };
        if !is_same {
            wrong.push(format!("{}: {} {}, but we say {verdict:?}", case.name, answer.status, answer.body.trim()));
        }
        if matches!(verdict, Verdict::Harmful(_)) {
            gateway.wipe();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_repaired_body_is_taken() {
    for gateway in Version::ALL.map(Pushgateway::start) {
        for case in cases() {
            let body = repaired(&case.body);
            let answer = put(&gateway, "corpus", &body);
            let text = String::from_utf8_lossy(&body);
            assert_eq!(answer.status, 200, "{} at {}: {}\n{text}", case.name, gateway.url(), answer.body);
        }
    }
}

/// A gateway wants one type for a name, and checks everything that it holds at each push: so the cases go in a few large
/// pushes, with different names.
#[test]
fn prometheus_stays_up_with_every_repaired_body() {
    let gateways = Version::ALL.map(Pushgateway::start);
    let targets: Vec<_> = gateways.iter().map(Pushgateway::address).collect();
    let prometheus = Prometheus::start(&targets, true);
    for chunk in cases().chunks(300) {
        let renamed = chunk.iter().enumerate().map(|(number, case)| with_prefix(&repaired(&case.body), number));
        let text: String = renamed.collect();
        assert!(promtool_takes(text.as_bytes()), "promtool refuses one of the cases from {} on", chunk[0].name);
        for gateway in &gateways {
            let answer = put(gateway, "corpus", text.as_bytes());
            assert_eq!(answer.status, 200, "the cases from {} on: {}", chunk[0].name, answer.body);
        }
        prometheus.wait_for_scrape();
        for gateway in &gateways {
            assert!(promtool_takes(gateway.metrics().as_bytes()), "promtool refuses the page of {}", gateway.url());
        }
    }
}

#[test]
fn what_takes_the_page_down_is_called_harmful_and_is_repaired() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let prometheus = Prometheus::start(&[gateway.address()], true);
    for file in ["help_invalid_utf8", "type_gauge_histogram"] {
        let body = fs::read(corpus().join("quirk").join(file).with_extension("prom")).unwrap();
        assert!(matches!(judge(&body, &Context::default()), Verdict::Harmful(_)), "{file}");
        assert_eq!(put(&gateway, "corpus", &body).status, 200, "{file}");
        prometheus.wait_for("up == 0");
        assert_eq!(put(&gateway, "corpus", &repaired(&body)).status, 200, "{file}");
        prometheus.wait_for("up == 1");
    }
}

/// The exposition with another name for each family.
fn with_prefix(text: &[u8], number: usize) -> String {
    let text = std::str::from_utf8(text).unwrap();
    let lines = text.lines().map(|line| {
        let (head, name) = ["# HELP ", "# TYPE "]
            .iter()
            .find_map(|head| Some((*head, line.strip_prefix(head)?)))
            .unwrap_or(("", line));
        format!("{head}case{number}:{name}\n")
    });
    lines.collect()
}

/// Whether `promtool check metrics` can parse it; its style remarks (exit status 3) do not count.
fn promtool_takes(text: &[u8]) -> bool {
    let mut command = Command::new(server::program("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let out = child.wait_with_output().unwrap();
    matches!(out.status.code(), Some(0 | 3)) && !String::from_utf8_lossy(&out.stderr).contains("error while linting")
}

#[test]
fn a_histogram_whose_labels_differ_in_what_is_replaced_is_taken() {
    let text =
        "# TYPE h histogram\nh_bucket{job=\"a\",le=\"1\"} 1\nh_bucket{job=\"b\",x=\"\",le=\"+Inf\"} 2\nh_count 2\n";
    for gateway in Version::ALL.map(Pushgateway::start) {
        assert_eq!(put(&gateway, "corpus", text.as_bytes()).status, 400, "this is what has to be repaired");
        let body = repaired(text.as_bytes());
        assert_eq!(put(&gateway, "corpus", &body).status, 200, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn what_a_real_go_program_writes_arrives() {
    let prometheus = Prometheus::start(&[], false);
    let text = http::get(&format!("{}/metrics", prometheus.url()));
    arrives(text.as_bytes(), "go", &[]);
}

/// A body is read without a loss, and both gateways then hold as many samples as there were in it.
fn arrives(body: &[u8], job: &str, known_losses: &[&str]) {
    let grouping = [("job".to_owned(), job.to_owned())];
    let sources = [Source::new("producer.prom", body)];
    let reading = read(&sources, &Context { grouping: &grouping, reserved: &[] });
    let losses = reading.diagnostics.iter().filter(|found| found.severity == Severity::Dropped);
    let losses: Vec<_> = losses.map(|found| found.reason.clone()).collect();
    assert_eq!(losses, known_losses);
    let lines = String::from_utf8_lossy(body).lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert_eq!(reading.samples(), lines as u64, "as many samples as lines");
    for gateway in Version::ALL.map(Pushgateway::start) {
        let answer = put(&gateway, job, &encode(&reading.families));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let group = wait_for("the group", || gateway.group([("job", job)]));
        let names: Vec<_> = reading.families.iter().map(Family::name).collect();
        for name in names {
            assert!(group.kind(name).is_some(), "{name} is not at {}", gateway.url());
        }
    }
}

/// Recorded from real programs (`tests/corpus/producers/README` says which); the live ones need more than every machine has.
#[test]
fn what_real_producers_wrote_arrives() {
    let mut seen = 0;
    for entry in fs::read_dir(corpus().join("producers")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "prom") {
            arrives(&fs::read(&path).unwrap(), &path.file_stem().unwrap().to_string_lossy(), &[]);
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} files of producers");
}

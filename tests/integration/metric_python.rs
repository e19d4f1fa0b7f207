//! The oracle of `pushwrap metric` is the client library that most people use: for the same calls the file is what Python's
//! `prometheus_client` writes.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use pushwrap::exposition::{Change, Source, Step};
use serde_json::{Value, json};

use super::harness::{Pushwrap, server};

/// Makes the calls of each line of standard input with the library, and prints what it then writes as one JSON line: the
/// text, and whether each call was refused.
const ORACLE: &str = r"
import json, sys
import prometheus_client as p
p.disable_created_metrics()
for line in sys.stdin:
    registry, metrics, refused = p.CollectorRegistry(), {}, []
    for call in json.loads(line):
        name, labels, help = call['name'], call['labels'], call['help']
        verb = {'Gauge': 'set', 'Counter': 'inc'}.get(call['kind'], 'observe')
        try:
            # What is refused leaves no trace in a file, while the library would show the metric with 0.
            getattr(getattr(p, call['kind'])('scratch', '', registry=None), verb)(float(call['value']))
            if name not in metrics:
                more = {'buckets': call['buckets']} if call.get('buckets') else {}
                metrics[name] = getattr(p, call['kind'])(name, help, sorted(labels), registry=registry, **more)
            metric = metrics[name]
            if labels:
                metric = metric.labels(**labels)
            getattr(metric, verb)(float(call['value']))
            refused.append(False)
        except ValueError:
            refused.append(True)
    text = p.generate_latest(registry).decode()
    print(json.dumps({'text': text, 'refused': refused}))
";

fn oracle(sequences: &[Vec<Call>]) -> Vec<(String, Vec<bool>)> {
    let mut child = Command::new(server::program("python-prometheus"))
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = sequences
        .iter()
        .map(|calls| json!(calls.iter().map(Call::json).collect::<Vec<_>>()).to_string() + "\n")
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success());
    let answer = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        let refused = answer["refused"].as_array().unwrap().iter().map(|refused| refused.as_bool().unwrap());
        (answer["text"].as_str().unwrap().to_owned(), refused.collect())
    };
    String::from_utf8(out.stdout).unwrap().lines().map(answer).collect()
}

/// One call, of a metric that keeps its type, labels and buckets throughout its sequence, as Python's must.
#[derive(Debug, Clone)]
struct Call {
    metric: Metric,
    label_values: Vec<String>,
    value: f64,
}

#[derive(Debug, Clone)]
struct Metric {
    name: String,
    kind: &'static str,
    help: String,
    label_names: Vec<String>,
    buckets: Option<Vec<f64>>,
}

impl Call {
    fn labels(&self) -> Vec<(String, String)> {
        self.metric.label_names.iter().cloned().zip(self.label_values.iter().cloned()).collect()
    }

    fn json(&self) -> Value {
        let labels: serde_json::Map<String, Value> =
            self.labels().into_iter().map(|(name, value)| (name, value.into())).collect();
        let Metric { name, kind, help, buckets, .. } = &self.metric;
        json!({"name": name, "kind": kind, "help": help, "labels": labels, "buckets": buckets, "value": format!("{:e}", self.value)})
    }

    fn buckets(&self) -> Option<String> {
        let text = |bounds: &Vec<f64>| bounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.metric.buckets.as_ref().map(text)
    }

    /// The call as the library of the program takes it; `None` where its value is refused.
    fn change(&self) -> Option<Change> {
        let value = format!("{:e}", self.value);
        let step = match self.metric.kind {
            "Gauge" => Step::Set(value.parse().unwrap()),
            "Counter" => Step::Add(value.parse().ok()?),
            "Histogram" => {
                Step::Histogram(value.parse().unwrap(), self.buckets().map(|buckets| buckets.parse().unwrap()))
            }
            _ => Step::Summary(value.parse().unwrap()),
        };
        let help = Some(self.metric.help.clone());
        Some(Change { name: self.metric.name.parse().unwrap(), labels: self.labels(), help, step })
    }

    /// The call as a shell makes it.
    fn arguments(&self) -> Vec<String> {
        let verb = match self.metric.kind {
            "Gauge" => "set",
            "Counter" => "add",
            _ => "observe",
        };
        let mut arguments = vec![verb.to_owned(), self.metric.name.clone(), format!("{:e}", self.value)];
        arguments.extend(["--help-text".to_owned(), self.metric.help.clone()]);
        arguments
            .extend(self.labels().into_iter().flat_map(|(name, value)| ["-l".to_owned(), format!("{name}={value}")]));
        arguments.extend(self.buckets().into_iter().flat_map(|buckets| ["--buckets".to_owned(), buckets]));
        if self.metric.kind == "Summary" {
            arguments.extend(["--type".to_owned(), "summary".to_owned()]);
        }
        arguments
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0..2000_u32).prop_map(|number| f64::from(number) / 100.0),
        2 => -5.0..5.0_f64,
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, 0.005, 10.0, 1e-9, 1e15, 123_456_789.0, 1e300, f64::INFINITY]),
        1 => any::<f64>().prop_filter("not NaN", |number| !number.is_nan()),
    ]
}

fn buckets() -> impl Strategy<Value = Option<Vec<f64>>> {
    let bounds = prop::collection::btree_set(-20_000..2_000_000_i64, 1..6);
    let bounds = bounds.prop_map(|bounds| {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let bounds = bounds.into_iter().map(|bound| bound as f64 / 1000.0).collect();
        Some(bounds)
    });
    prop_oneof![1 => Just(None), 2 => bounds, 1 => Just(Some(vec![0.00001, 1.0, 1_000_000.0, 1e22]))]
}

fn metric(number: usize) -> impl Strategy<Value = Metric> {
    let kind = prop::sample::select(vec!["Gauge", "Counter", "Histogram", "Summary"]);
    let help = prop::sample::select(vec!["Plain.", "Quotes \" and \\ and\nlines.", "Ümläut 日本"]);
    let names = prop::sample::select(vec![vec![], vec!["a"], vec!["b", "a"], vec!["le_", "quantile_", "z9"]]);
    let stem = prop::sample::select(vec!["backup", "x:y", "_u", "seconds"]);
    (kind, help, names, stem, buckets()).prop_map(move |(kind, help, names, stem, buckets)| {
        let total = if kind == "Counter" && help == "Plain." { "_total" } else { "" };
        Metric {
            name: format!("{stem}_{number}{total}"),
            kind,
            help: help.to_owned(),
            label_names: names.into_iter().map(ToOwned::to_owned).collect(),
            buckets: buckets.filter(|_| kind == "Histogram"),
        }
    })
}

fn sequence(length: usize) -> impl Strategy<Value = Vec<Call>> {
    let values = prop::collection::vec(prop::sample::select(vec!["1", "x y", "\"q\"", "\\n\n", "ä"]), 3);
    let call = (any::<prop::sample::Index>(), values, number());
    ((metric(0), metric(1), metric(2)), prop::collection::vec(call, 1..length)).prop_map(|(metrics, calls)| {
        let metrics = [metrics.0, metrics.1, metrics.2];
        let call = |(which, values, value): (prop::sample::Index, Vec<&str>, f64)| {
            let metric = metrics[which.index(3)].clone();
            let values = values.into_iter().take(metric.label_names.len()).map(ToOwned::to_owned);
            Call { label_values: values.collect(), metric, value }
        };
        calls.into_iter().map(call).collect()
    })
}

fn sequences(count: usize, length: usize) -> Vec<Vec<Call>> {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let strategy = sequence(length);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// HELP and TYPE lines as they are; series with their labels sorted, and their values as numbers: all in the order of the file.
fn canonical(text: &str) -> Vec<String> {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let value = if value == 0.0 { 0.0 } else { value };
        let Some((name, labels)) = series.split_once('{') else { return format!("{series} {value:e}") };
        // No label value of these tests has this in it.
        let mut labels: Vec<&str> =
            labels.trim_end_matches('}').split("\",").map(|label| label.trim_end_matches('"')).collect();
        labels.sort_unstable();
        format!("{name} {labels:?} {value:e}")
    };
    text.lines().map(|line| if line.starts_with('#') { line.to_owned() } else { sample(line) }).collect()
}

#[test]
fn random_calls_give_what_the_python_client_writes() {
    let sequences = sequences(150, 40);
    let answers = oracle(&sequences);
    for (calls, (expected, refused)) in sequences.iter().zip(answers) {
        let mut bytes = Vec::new();
        for (call, was_refused) in calls.iter().zip(refused) {
            let change = call.change();
            assert_eq!(change.is_none(), was_refused, "{call:?}");
            if let Some(change) = change {
                bytes = change
                    .apply(&Source::new("m.prom", bytes))
                    .unwrap_or_else(|refusal| panic!("{refusal:?} {call:?}"))
                    .bytes;
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(canonical(&text), canonical(&expected), "{calls:#?}\n{text}\n{expected}");
    }
}

#[test]
fn random_calls_of_the_program_give_what_the_python_client_writes() {
    let sequences = sequences(12, 25);
    let answers = oracle(&sequences);
    let directory = tempfile::tempdir().unwrap();
    for (number, (calls, (expected, refused))) in sequences.iter().zip(answers).enumerate() {
        let file = directory.path().join(format!("{number}.prom"));
        for (call, was_refused) in calls.iter().zip(refused) {
            let run = Pushwrap::new().env("PUSHWRAP_TEXTFILE", &file).arg("metric").args(call.arguments()).call();
            run.exit(if was_refused { 2 } else { 0 });
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(canonical(&text), canonical(&expected), "{calls:#?}");
    }
}

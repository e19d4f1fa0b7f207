//! Tests of the whole way: bytes in, bytes out; and of the verdicts, held against those of real gateways.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Context, Reading, Severity, Source, Verdict, encode, judge, read};

/// The grouping key of the corpus.
fn grouping() -> Vec<(String, String)> {
    vec![("job".to_owned(), "corpus".to_owned())]
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn fix(bytes: &[u8]) -> Vec<u8> {
    with_reading(bytes, |reading| encode(&reading.families))
}

fn with_reading<T>(bytes: &[u8], look: impl FnOnce(&Reading<'_>) -> T) -> T {
    let sources = [Source::new("f.prom", bytes)];
    let grouping = grouping();
    look(&read(&sources, &Context { grouping: &grouping, reserved: &[] }))
}

fn verdict(bytes: &[u8]) -> Verdict {
    let grouping = grouping();
    judge(bytes, &Context { grouping: &grouping, reserved: &[] })
}

fn files(set: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(corpus().join(set))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "prom"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A row of `verdicts.tsv`: set, file, HTTP status, line.
fn verdicts() -> Vec<(String, String, u16, Option<u32>)> {
    let table = fs::read_to_string(corpus().join("verdicts.tsv")).unwrap();
    let rows = table.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.map(|row| (row[0].into(), row[1].into(), row[3].parse().unwrap(), row[5].parse().ok())).collect()
}

fn fuzz() -> Vec<(u64, u16, String, Vec<u8>)> {
    use base64::Engine as _;
    let text = fs::read_to_string(corpus().join("fuzz.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let body = base64::engine::general_purpose::STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
            let status = u16::try_from(case["http"].as_u64().unwrap()).unwrap();
            (case["id"].as_u64().unwrap(), status, case["msg"].as_str().unwrap().to_owned(), body)
        })
        .collect()
}

#[test]
fn the_verdict_is_that_of_the_gateway_for_every_file() {
    let mut wrong = Vec::new();
    for (set, file, status, line) in verdicts() {
        let bytes = fs::read(corpus().join(&set).join(&file)).unwrap();
        let found = match verdict(&bytes) {
            Verdict::Refused(refusal) => (400, refusal.line),
            Verdict::Taken | Verdict::Harmful(_) => (200, None),
        };
        if found != (status, line) {
            wrong.push(format!("{set}/{file}: {status} {line:?}, but we say {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_verdict_is_that_of_the_gateway_for_every_fuzz_case() {
    let mut wrong = Vec::new();
    for (id, status, message, body) in fuzz() {
        let line = message.strip_prefix("text format parsing error in line ").and_then(|rest| rest.split_once(':'));
        let line = line.and_then(|(line, _)| line.parse().ok());
        let found = match verdict(&body) {
            Verdict::Refused(refusal) => (400, refusal.line),
            Verdict::Taken | Verdict::Harmful(_) => (200, None),
        };
        if found != (status, line) {
            wrong.push(format!("{id}: {status} {message}, but we say {found:?}\n{}", String::from_utf8_lossy(&body)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_written_is_taken_and_stays_as_it_is() {
    let cases = fuzz().into_iter().map(|(id, _, _, body)| (format!("fuzz {id}"), body));
    let corpus = ["good", "bad", "quirk"].into_iter().flat_map(files);
    for (name, bytes) in corpus.chain(cases) {
        let fixed = fix(&bytes);
        assert_eq!(verdict(&fixed), Verdict::Taken, "{name}\n{}", String::from_utf8_lossy(&fixed));
        let again = fix(&fixed);
        assert_eq!(String::from_utf8_lossy(&fixed), String::from_utf8_lossy(&again), "{name}");
        with_reading(&fixed, |reading| {
            let errors: Vec<_> =
                reading.diagnostics.iter().filter(|found| found.severity != Severity::Doubtful).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        });
    }
}

#[test]
fn what_the_gateway_refuses_is_said() {
    let cases = fuzz().into_iter().map(|(id, _, _, body)| (format!("fuzz {id}"), body));
    for (name, bytes) in ["bad", "quirk"].into_iter().flat_map(files).chain(cases) {
        if verdict(&bytes) != Verdict::Taken {
            with_reading(&bytes, |reading| {
                assert!(!reading.diagnostics.is_empty(), "{name}\n{}", String::from_utf8_lossy(&bytes));
            });
        }
    }
}

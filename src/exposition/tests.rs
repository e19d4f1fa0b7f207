//! Tests of the whole way: bytes in, bytes out; and of the verdicts, held against those of real gateways.

use std::fs;
use std::path::{Path, PathBuf};

use super::{
    Context, Family, Kind, Reading, Sample, Severity, Source, Suffix, Verdict, encode, encode_with_labels, judge,
    judge_file, read,
};

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

fn with_reading<T>(bytes: &[u8], check: impl FnOnce(&Reading<'_>) -> T) -> T {
    let sources = [Source::new("f.prom", bytes)];
    let grouping = grouping();
    check(&read(&sources, &Context { grouping: &grouping, reserved: &[] }))
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
            Verdict::Taken | Verdict::Changed(_) | Verdict::Harmful(_) => (200, None),
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
            Verdict::Taken | Verdict::Changed(_) | Verdict::Harmful(_) => (200, None),
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

/// The name, the labels and the bits of the value.
type SeriesValue = (String, Vec<(String, String)>, u64);

/// Whether the gateway's page (`NAME.stored`) and our output say the same, labels in any order and values as numbers.
fn series(text: &str, gateway_labels: bool) -> Vec<SeriesValue> {
    let sources = [Source::new("stored", text.as_bytes())];
    let reading = read(&sources, &Context::default());
    let mut series = Vec::new();
    for sample in reading.families.iter().flat_map(Family::samples) {
        let is_own =
            |name: &str, value: &str| gateway_labels && (name == "job" || name == "instance" && value.is_empty());
        let labels = sample.labels().filter(|(name, value)| !is_own(name, value));
        // The page has bounds and quantiles in Go's shortest form.
        let labels = labels.map(|(name, value)| match (name, value.parse::<f64>()) {
            ("le" | "quantile", Ok(number)) => (name.to_owned(), number.to_string()),
            _ => (name.to_owned(), value.into_owned()),
        });
        let mut labels: Vec<_> = labels.collect();
        labels.sort();
        series.push((sample.name().to_owned(), labels, sample.number().to_bits()));
    }
    series.sort();
    series
}

#[test]
fn good_files_keep_what_the_gateway_shows_of_them() {
    for (name, bytes) in files("good") {
        let stored = fs::read_to_string(corpus().join("good").join(&name).with_extension("stored")).unwrap();
        let fixed = String::from_utf8(fix(&bytes)).unwrap();
        let mut page = series(&stored, true);
        let mut ours = series(&fixed, true);
        // The gateway replaces the label, where we keep it under another name.
        for (_, labels, _) in &mut ours {
            labels.retain(|(name, _)| name != "exported_job");
        }
        // -1e-500 and -0 are 0 to the gateway's page.
        for (_, _, bits) in page.iter_mut().chain(&mut ours) {
            *bits = (f64::from_bits(*bits) + 0.0).to_bits();
        }
        assert_eq!(ours, page, "{name}");
        with_reading(&bytes, |reading| assert_eq!(reading.errors(), 0, "{name}: {:?}", reading.diagnostics));
    }
}

#[test]
fn one_bad_line_takes_nothing_else_with_it() {
    for (name, bytes) in files("bad") {
        let text = [b"before{a=\"1\"} 1\n".as_slice(), &bytes, b"\nafter{a=\"2\"} 2\n"].concat();
        with_reading(&text, |reading| {
            let names: Vec<_> = reading.families.iter().map(Family::name).collect();
            // What ends in half a label value can be closed by what follows, but not on another line.
            assert!(names.contains(&"before") && names.contains(&"after"), "{name}: {names:?}");
            for found in &reading.diagnostics {
                assert!(found.line == 0 || found.column > 0, "{name}: {found}");
            }
        });
    }
}

/// What comes out of `text`, and the short forms of the findings that are not silent.
fn outcome(text: &str) -> (String, Vec<String>) {
    with_reading(text.as_bytes(), |reading| {
        let said = reading.diagnostics.iter().filter(|found| found.severity != Severity::Repaired);
        (String::from_utf8(encode(&reading.families)).unwrap(), said.map(ToString::to_string).collect())
    })
}

/// What comes out of `text`, and the short forms of all findings.
fn repaired(text: &str) -> (String, Vec<String>) {
    with_reading(text.as_bytes(), |reading| {
        let said = reading.diagnostics.iter().map(ToString::to_string);
        (String::from_utf8(encode(&reading.families)).unwrap(), said.collect())
    })
}

#[track_caller]
fn assert_repaired(text: &str, expected: &str, said: &[&str]) {
    let (out, findings) = repaired(text);
    assert_eq!(out, expected);
    assert_eq!(findings, said);
}

#[track_caller]
fn assert_becomes(text: &str, expected: &str, said: &[&str]) {
    let (out, findings) = outcome(text);
    assert_eq!(out, expected);
    assert_eq!(findings, said);
}

#[test]
fn line_ends_of_every_kind_end_lines() {
    let expected = "# HELP x Help.\n# TYPE x gauge\nx 1\n# TYPE y untyped\ny 2\n";
    for end in ["\n", "\r\n", "\r", "\r\r\n"] {
        let text = ["# HELP x Help.", "# TYPE x gauge", "x 1", "", "y 2", ""].join(end);
        assert_becomes(&text, expected, &[]);
        assert_becomes(text.trim_end(), expected, &[]);
    }
    assert_becomes("x{a=\"b\rc\"} 1\ny 2\n", "# TYPE x untyped\nx{a=\"b\rc\"} 1\n# TYPE y untyped\ny 2\n", &[]);
}

#[test]
fn utf_16_with_a_mark_is_converted() {
    let text = "x{a=\"größe\"} 1\r\n";
    for bytes in [0xfeff_u16.to_le_bytes(), 0xfeff_u16.to_be_bytes()] {
        let little = bytes == [0xff, 0xfe];
        let units = text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() });
        let file: Vec<u8> = bytes.into_iter().chain(units).collect();
        assert_eq!(fix(&file), "# TYPE x untyped\nx{a=\"größe\"} 1\n".as_bytes());
        with_reading(&file, |reading| assert_eq!((reading.errors(), reading.repairs()), (0, 2)));
        with_reading(&file[..file.len() - 1], |reading| assert_eq!(reading.errors(), 1));
    }
    assert_eq!(fix(b"\xef\xbb\xbfx 1\n"), b"# TYPE x untyped\nx 1\n");
}

#[test]
fn types_count_wherever_they_stand() {
    assert_becomes(
        "x_bucket{le=\"+Inf\"} 2\ny 1\nx_sum 3\nx_count 2\n# TYPE x histogram\n# HELP y Y.\n# HELP y Z.\n",
        "# TYPE x histogram\nx_bucket{le=\"+Inf\"} 2\nx_sum 3\nx_count 2\n# HELP y Y.\n# TYPE y untyped\ny 1\n",
        &[],
    );
    assert_becomes(
        "# TYPE x gauge\n# TYPE x counter\nx 1\n",
        "# TYPE x gauge\nx 1\n",
        &["f.prom:2:10: a second type for the same metric: it is a gauge since line 1"],
    );
    // A histogram without samples takes no name away.
    assert_becomes(
        "# TYPE x histogram\n# TYPE x_count counter\nx_count 5\n",
        "# TYPE x_count counter\nx_count 5\n",
        &[],
    );
}

#[test]
fn openmetrics_becomes_text() {
    assert_becomes(
        "# HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\n# UNIT jobs seconds\njobs_total{a=\"\\d\"} 5 1.5 # {t=\"1\"} 1 1\n\
         jobs_created{a=\"\\d\"} 1.7e9\n# TYPE build info\nbuild_info{v=\"1\"} 1\n# TYPE mode stateset\nmode{mode=\"a\"} 1\n\
         mode{mode=\"b\"} 0\n# TYPE what unknown\nwhat 1\n# TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 4\ngh_gcount 4\n\
         gh_gsum 2\n# EOF\n",
        "# HELP jobs_total Jobs \"done\".\n# TYPE jobs_total counter\njobs_total{a=\"\\\\d\"} 5\n\
         # HELP jobs_created Jobs \"done\".\n# TYPE jobs_created gauge\njobs_created{a=\"\\\\d\"} 1.7e9\n\
         # TYPE build_info gauge\nbuild_info{v=\"1\"} 1\n# TYPE mode gauge\nmode{mode=\"a\"} 1\nmode{mode=\"b\"} 0\n\
         # TYPE what untyped\nwhat 1\n# TYPE gh_bucket gauge\ngh_bucket{le=\"+Inf\"} 4\n# TYPE gh_gcount gauge\n\
         gh_gcount 4\n# TYPE gh_gsum gauge\ngh_gsum 2\n",
        &[],
    );
}

#[test]
fn renames_come_before_types_are_compared() {
    // Go's OpenMetrics has a gauge and a counter whose names differ in the suffix alone.
    assert_becomes(
        "# TYPE m gauge\nm 1\n# TYPE m counter\nm_total 2\n# EOF\n",
        "# TYPE m gauge\nm 1\n# TYPE m_total counter\nm_total 2\n",
        &[],
    );
    let files = ["# TYPE x_total counter\nx_total{a=\"1\"} 1\n", "# TYPE x counter\nx_total{a=\"2\"} 2\n# EOF\n"];
    let sources = files.map(|file| Source::new("f", file.as_bytes()));
    let reading = read(&sources, &Context::default());
    assert_eq!(reading.errors(), 0, "{:?}", reading.diagnostics);
    let out = "# TYPE x_total counter\nx_total{a=\"1\"} 1\nx_total{a=\"2\"} 2\n";
    assert_eq!(String::from_utf8(encode(&reading.families)).unwrap(), out);
}

#[test]
fn of_several_files_the_first_stays() {
    let files =
        [("a", "# TYPE x gauge\nx{a=\"1\"} 1\n"), ("b", "# TYPE x counter\nx{a=\"1\",job=\"corpus\"} 2\nx 3\n")];
    let sources = files.map(|(name, file)| Source::new(name, file.as_bytes()));
    let grouping = grouping();
    let reading = read(&sources, &Context { grouping: &grouping, reserved: &[] });
    let said: Vec<_> = reading.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "b:1:10: a second type for the same metric: it is a gauge since line 1 of 'a'",
            "b:2:1: the same series as in line 2 of 'a', which stays: tell the programs apart by a label",
        ]
    );
    assert_eq!(encode(&reading.families), b"# TYPE x gauge\nx{a=\"1\"} 1\nx 3\n");
}

#[test]
fn two_files_with_the_same_series_are_one_finding() {
    let lines: Vec<_> = (0..82).map(|number| format!("x{{n=\"{number}\"}} 1\n")).collect();
    let file = lines.concat();
    let sources = [Source::new("a", file.as_bytes()), Source::new("b", file.as_bytes())];
    let reading = read(&sources, &Context::default());
    let said: Vec<_> = reading.diagnostics.iter().map(ToString::to_string).collect();
    let expected = "b:1:1: 82 series that 'a' has too; those of 'a' stay: tell the programs apart by a label";
    assert_eq!((said.as_slice(), reading.errors(), reading.samples()), ([expected.to_owned()].as_slice(), 1, 82));
}

#[test]
fn of_one_series_in_a_file_the_last_stays() {
    let again = |line: u32| format!("f.prom:1:1: the same series again in line {line}; the last one stays");
    assert_repaired("p 1\np 2\np 3\n", "# TYPE p untyped\np 3\n", &[&again(2)]);
    assert_repaired(
        "p{a=\"\",b=\"1\"} 1\nq 1\np{b=\"1\",job=\"corpus\"} 2\n",
        "# TYPE p untyped\np{b=\"1\",job=\"corpus\"} 2\n# TYPE q untyped\nq 1\n",
        &[&again(3)],
    );
    let histogram = |number: u32| {
        format!("h_bucket{{le=\"1\"}} {number}\nh_bucket{{le=\"+Inf\"}} {number}\nh_sum {number}\nh_count {number}\n")
    };
    let head = "# TYPE h histogram\n";
    let (reading, said) = repaired(&format!("{head}{}{}", histogram(1), histogram(2)));
    assert_eq!((reading, said.len()), (format!("{head}{}", histogram(2)), 1), "{said:?}");
}

#[test]
fn labels_of_the_grouping_key_are_kept_under_another_name() {
    let grouping = [("job".to_owned(), "j".to_owned()), ("namespace".to_owned(), "b\"c".to_owned())];
    for (text, fixed) in [
        ("x{namespace=\"a\"} 1\n", "x{exported_namespace=\"a\"} 1\n"),
        ("x{namespace=\"b\\\"c\"} 1\n", "x{namespace=\"b\\\"c\"} 1\n"),
        ("x{namespace=\"\"} 1\n", "x{namespace=\"\"} 1\n"),
        ("x{job=\"a\",exported_job=\"b\"} 1\n", "x{exported_exported_job=\"a\",exported_job=\"b\"} 1\n"),
    ] {
        let sources = [Source::new("f", text.as_bytes())];
        let reading = read(&sources, &Context { grouping: &grouping, reserved: &[] });
        let written = String::from_utf8(encode(&reading.families)).unwrap();
        assert_eq!(written, format!("# TYPE x untyped\n{fixed}"));
        assert_eq!((reading.errors(), reading.repairs()), (0, u64::from(text != fixed)));
    }
}

#[test]
fn names_in_quotes_are_escaped() {
    let said = "f.prom:1:3: a name in quotes, which old gateways do not know; it is escaped with '_'";
    let text = "# TYPE \"a.b_total\" counter\n# HELP \"a.b_total\" text\n{\"a.b_total\",\"l.m\"=\"x\"} 1\na_b_total{l_m=\"y\"} 2\n";
    let fixed = "# HELP a_b_total text\n# TYPE a_b_total counter\na_b_total{l_m=\"x\"} 1\na_b_total{l_m=\"y\"} 2\n";
    assert_repaired(
        text,
        fixed,
        &["f.prom:1:8: a name in quotes, which old gateways do not know; it is escaped with '_'"],
    );
    let (fixed, found) = repaired("{\"a.b\"} 1\nx{\"c.d\"} 1\n{\"y\": 1}\n{\"u.v\",\"w\"} 1\n");
    assert_eq!(fixed, "# TYPE a_b untyped\na_b 1\n");
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with(&said.replace("1:3", "1:2")), "{found:?}");
}

#[test]
fn open_metrics_2_becomes_text() {
    let text = "# TYPE h histogram\nh{m=\"x\"} {count:2,sum:0.2,schema:5,positive_buckets:[1],bucket:[0.1:1,+Inf:2]} st@5.5 # {t=\"a\"} 1\n\
        # TYPE s summary\ns {count:1,sum:1.0,quantile:[0.5:1.0]}\n\
        # TYPE c counter\nc_total 5 st@3\n# EOF\n";
    let (fixed, found) = repaired(text);
    let expected = "# TYPE h histogram\nh_count{m=\"x\"} 2\nh_sum{m=\"x\"} 0.2\nh_bucket{m=\"x\",le=\"0.1\"} 1\nh_bucket{m=\"x\",le=\"+Inf\"} 2\n\
        # TYPE h_created gauge\nh_created{m=\"x\"} 5.5\n\
        # TYPE s summary\ns_count 1\ns_sum 1.0\ns{quantile=\"0.5\"} 1.0\n\
        # TYPE c_total counter\nc_total 5\n# TYPE c_created gauge\nc_created 3\n";
    assert_eq!(fixed, expected);
    assert!(found.iter().all(|found| !found.contains("not a number")), "{found:?}");
    let native = found.iter().filter(|found| found.contains("native buckets")).count();
    assert_eq!(native, 1);
}

#[test]
fn what_is_no_text_is_one_sentence() {
    for (bytes, said) in [
        (b"\x1f\x8b\x08\x00x 1\nx y\n".as_slice(), "f.prom: the file is compressed with gzip"),
        (b"\xd3\x01\x0a\x03x_y\x18\x04\x22\xff\n", "f.prom: the file is in the protobuf format, not in text"),
    ] {
        with_reading(bytes, |reading| {
            let found: Vec<_> = reading.diagnostics.iter().map(ToString::to_string).collect();
            assert_eq!((found.as_slice(), reading.samples()), ([said.to_owned()].as_slice(), 0));
        });
    }
    assert_repaired(
        "q\nx\x0213\n",
        "",
        &["f.prom:1:2: the value is missing", "f.prom:2:2: the name of a metric cannot contain the byte 0x02"],
    );
}

#[test]
fn a_sample_has_128_labels_at_most() {
    let sample = |count: usize| {
        let labels: Vec<_> = (0..count).map(|number| format!("l{number}=\"\"")).collect();
        format!("x{{{}}} 1\n", labels.join(","))
    };
    assert_eq!(repaired(&sample(128)).1, [""; 0]);
    let (fixed, found) = repaired(&sample(129));
    assert_eq!((fixed.as_str(), found.len()), ("", 1));
    assert!(found[0].contains("more than 128 labels"), "{found:?}");
}

#[test]
fn parts_of_gauge_histograms_and_created_times_have_their_types() {
    assert_repaired(
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_gcount 3\nh_gsum 7\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 7\n",
        &["f.prom:3:1: '_gcount' and '_gsum' of a histogram are written as '_count' and '_sum'"],
    );
    let (fixed, _) = repaired("# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 3\ng_created 3\n# EOF\n");
    assert!(fixed.contains("# TYPE g_created gauge\n"), "{fixed}");
    let (fixed, found) =
        repaired("# TYPE h histogram\n# TYPE h gaugehistogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n");
    assert!(fixed.starts_with("# TYPE h histogram\n"), "{fixed}");
    assert_eq!(found, ["f.prom:2:10: a second type for the same metric: it is a histogram since line 1"]);
    let (_, found) = repaired("# TYPE h histogram\n# HELP h_count text\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n");
    assert_eq!(found, ["f.prom:2:16: a help text of its own for a part of the histogram 'h'"]);
}

#[test]
fn as_it_is_means_that_what_is_stored_is_what_stands_there() {
    let judged = |text: &str| {
        let grouping = grouping();
        judge_file(&Source::new("f", text.as_bytes()), &Context { grouping: &grouping, reserved: &[] })
    };
    let histogram = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let h = |text: &str| format!("# TYPE h histogram\n{text}");
    let s = |text: &str| format!("# TYPE s summary\n{text}s_sum 1\ns_count 1\n");
    for text in [h(histogram), s(""), s("s{quantile=\"0.5\"} 1\n"), "x{a=\"\"} -1\n# TYPE y gauge\n".to_owned()] {
        assert_eq!(judged(&text), Verdict::Taken, "{text}");
    }
    for text in [
        s("s 1\n"),
        s("s{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 2\n"),
        s("s{quantile=\"0.5\",quantile=\"0.9\"} 1\n"),
        s("s{quantile=\"NaN\"} 1\n"),
        s("s_count 2\n"),
        "# TYPE s summary\ns_sum 1\n".to_owned(),
        h("h_bucket{le=\"+Inf\"} 1\nh_sum 1\n"),
        h("h_bucket{le=\"+Inf\"} 1\nh_count 1\n"),
        h("h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n"),
        h(&histogram.replace("h_count 2", "h_count -2")),
        h(&histogram.replace("h_count 2", "h_count 2.5")),
        h(&histogram.replace("h_sum 3", "h_sum{le=\"1\"} 3")),
        h(&format!("h_bucket{{le=\"NaN\"}} 1\n{histogram}")),
        h(&format!("h_bucket 1\n{histogram}")),
        h(&format!("h 1\n{histogram}")),
        h(&format!("# HELP h_count text\n{histogram}")),
        "x{job=\"other\"} 1\n".to_owned(),
        "push_time_seconds 1\n".to_owned(),
        "# TYPE x counter\nx_total 1\n".to_owned(),
    ] {
        assert!(matches!(judged(&text), Verdict::Changed(_)), "{text}{:?}", judged(&text));
    }
}

#[test]
fn a_refusal_names_the_line_that_an_editor_shows() {
    let found = judge_file(&Source::new("f", b"x 1\ry 1\rz q\r\n".as_slice()), &Context::default());
    assert!(matches!(&found, Verdict::Refused(reason) if reason.line == Some(1)), "{found:?}");
    let found = judge_file(&Source::new("f", b"# a\r# b\rx 1\ny q\n".as_slice()), &Context::default());
    assert!(matches!(&found, Verdict::Refused(reason) if reason.line == Some(4)), "{found:?}");
}

#[test]
fn a_histogram_is_whole_or_not_there() {
    let bucket = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n";
    assert_becomes(
        &format!("{bucket}h_sum 1\nh_count 2\n"),
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 2\nh_bucket{le=\"+Inf\"} 2\n",
        &[],
    );
    assert_becomes(
        &format!("{bucket}h_bucket{{le=\"+Inf\"}} 2\n"),
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\n",
        &[],
    );
    assert_becomes(
        bucket,
        "",
        &["f.prom:2:1: the histogram has neither a '+Inf' bucket nor a '_count': it is dropped"],
    );
    assert_becomes(
        &format!("{bucket}h_bucket{{le=\"2\"}} x\nh_sum 1\nh_count 2\ny 1\n"),
        "# TYPE y untyped\ny 1\n",
        &[
            "f.prom:2:1: the rest of 'h' is dropped too: without the bad line it would lie",
            "f.prom:3:18: 'x' is not a number",
        ],
    );
    // Only the label set that is wrong goes.
    assert_becomes(
        "# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} -1\nh_count{a=\"1\"} 1\nh_bucket{a=\"2\",le=\"+Inf\"} 3\nh_count{a=\"2\"} 3\n",
        "# TYPE h histogram\nh_bucket{a=\"2\",le=\"+Inf\"} 3\nh_count{a=\"2\"} 3\n",
        &["f.prom:2:1: '-1' is no count: what it belongs to is dropped"],
    );
}

#[test]
fn a_writer_that_was_killed_leaves_no_half() {
    let text = "x 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count";
    let sources = [Source::new("f", text.as_bytes()).unfinished()];
    let reading = read(&sources, &Context::default());
    assert_eq!(encode(&reading.families), b"# TYPE x untyped\nx 1\n");
    assert_eq!(reading.errors(), 2, "{:?}", reading.diagnostics);
    let whole = [Source::new("f", text.as_bytes())];
    assert_eq!(read(&whole, &Context::default()).errors(), 2, "the same line, but not because it has no end");
}

#[test]
fn names_that_others_write_are_left_to_them() {
    let reserved = ["pushwrap_success".to_owned()];
    let text =
        "pushwrap_success 1\npush_time_seconds 2\nprocess_open_fds 3\n# TYPE go_goroutines counter\ngo_goroutines 4\n";
    let sources = [Source::new("f", text.as_bytes())];
    let reading = read(&sources, &Context { grouping: &[], reserved: &reserved });
    assert_eq!(encode(&reading.families), b"# TYPE process_open_fds gauge\nprocess_open_fds 3\n");
    assert_eq!(reading.errors(), 3, "{:?}", reading.diagnostics);
}

#[test]
fn what_is_found_is_bounded_and_counted() {
    let text = "}\n".repeat(50_000) + "x 1\n";
    with_reading(text.as_bytes(), |reading| {
        assert_eq!((reading.errors(), reading.samples()), (50_000, 1));
        assert_eq!(reading.diagnostics.len(), 1000);
    });
    with_reading(b"x 1 \r\n", |reading| assert_eq!(reading.repairs(), 2));
    with_reading("# a\r\n".repeat(50_000).as_bytes(), |reading| {
        assert_eq!((reading.diagnostics.len(), reading.diagnostics[0].repeats), (1, 49_999));
    });
}

/// What this thread has computed so far, whatever else the machine does (proc(5), `schedstat`).
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn hostile_files_take_linear_time() {
    let megabyte = 1 << 20;
    let many = |piece: &dyn Fn(u32) -> String| (0..100_000).map(piece).collect::<Vec<_>>().concat();
    let hostile = [
        "\r".repeat(megabyte) + "x",
        "a\"\r".repeat(megabyte / 3),
        "\\\"\r".repeat(megabyte / 3),
        format!("x{{{}}} 1\n", many(&|number| format!("a{number}=\"\","))),
        "x{a=\"1\",a=\"2\"} 1\n".repeat(megabyte / 18),
        many(&|number| format!("a{number} 1\n")),
        format!("x{{a=\"{}\"}} 1\n", "\\\\".repeat(megabyte / 2)),
        "#".repeat(megabyte),
        "x 1\n".repeat(megabyte / 4),
    ];
    for text in hostile {
        let before = cpu_seconds();
        fix(text.as_bytes());
        let took = cpu_seconds() - before;
        // A step that is quadratic over a megabyte takes minutes.
        assert!(took < 10.0, "{:?}…: {took} s", &text[..20]);
    }
}

mod properties {
    use proptest::prelude::*;

    use super::{
        Family, Kind, Sample, Suffix, Verdict, encode, encode_with_labels, fix, series, verdict, with_reading,
    };

    fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
        let value =
            prop_oneof!["[a-z\"\\\\\n\r\t {}=,#]{1,6}", any::<String>().prop_filter("not empty", |v| !v.is_empty())];
        proptest::collection::btree_map("[a-d]", value, 0..4).prop_map(|labels| labels.into_iter().collect())
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![any::<f64>().prop_map(|number| number.to_string()), "-?[0-9]{1,4}(\\.[0-9]{0,3})?(e[+-]?[0-9])?"]
    }

    fn family(name: &'static str) -> impl Strategy<Value = Family<'static>> {
        let kind = prop_oneof![Just(Kind::Counter), Just(Kind::Gauge), Just(Kind::Untyped)];
        // A CR in a help text ends the line, so ours has none.
        let samples = proptest::collection::btree_map(labels(), value(), 1..5);
        (kind, "[^\r]{0,12}", samples).prop_map(move |(kind, help, samples)| {
            samples.iter().fold(
                Family::new(name, kind).with_help(help.trim_start().to_owned()),
                |family, (labels, value)| {
                    let labels: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                    family.sample(&labels, value.clone())
                },
            )
        })
    }

    fn histogram(name: &'static str) -> impl Strategy<Value = Family<'static>> {
        (labels(), proptest::collection::vec(0_u64..9, 1..4)).prop_map(move |(labels, counts)| {
            let labels: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let total = counts.iter().sum::<u64>().to_string();
            let with = |bound: &str| -> Vec<(String, String)> {
                let own = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                own.chain([("le".to_owned(), bound.to_owned())]).collect()
            };
            let mut family = Family::new(name, Kind::Histogram);
            let mut sum = 0;
            for (bound, count) in counts.iter().enumerate() {
                sum += count;
                let labels = with(&bound.to_string());
                let labels: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                family = family.part(Suffix::Bucket, &labels, sum.to_string());
            }
            let inf = with("+Inf");
            let inf: Vec<_> = inf.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            family.part(Suffix::Bucket, &inf, &*total).part(Suffix::Sum, &labels, "1.5").part(
                Suffix::Count,
                &labels,
                &*total,
            )
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_as_it_was(a in family("a"), b in family("b_total"), h in histogram("h")) {
            let families = [a, b, h];
            let text = encode(&families);
            prop_assert_eq!(verdict(&text), Verdict::Taken, "{}", String::from_utf8_lossy(&text));
            with_reading(&text, |reading| {
                prop_assert_eq!(reading.errors(), 0, "{:?}", reading.diagnostics);
                prop_assert_eq!(reading.families.len(), families.len());
                for (ours, family) in reading.families.iter().zip(&families) {
                    prop_assert_eq!(ours.name(), family.name());
                    prop_assert_eq!(ours.kind(), family.kind());
                    prop_assert_eq!(ours.help(), family.help());
                    let parts = |family: &Family<'_>| -> Vec<_> {
                        let own = |sample: &Sample<'_>| {
                            let labels = sample.labels().map(|(name, value)| (name.to_owned(), value.into_owned()));
                            (sample.suffix(), labels.collect::<Vec<_>>(), sample.value().to_owned())
                        };
                        family.samples().iter().map(own).collect()
                    };
                    prop_assert_eq!(parts(ours), parts(family));
                }
                Ok(())
            })?;
        }

        #[test]
        fn grouping_labels_replace_those_of_the_same_name(a in family("a")) {
            let extra = [("a".to_owned(), "\"\n\\".to_owned()), ("z".to_owned(), "1".to_owned())];
            let text = String::from_utf8(encode_with_labels([&a], &extra)).unwrap();
            for (_, labels, _) in series(&text, false) {
                prop_assert!(labels.contains(&extra[0]) && labels.contains(&extra[1]), "{}", text);
                prop_assert_eq!(labels.iter().filter(|(name, _)| name == "a").count(), 1);
            }
        }

        #[test]
        fn any_bytes_are_fixed_once(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let fixed = fix(&bytes);
            prop_assert_eq!(verdict(&fixed), Verdict::Taken);
            prop_assert_eq!(fix(&fixed), fixed);
        }

        #[test]
        fn any_lines_are_fixed_once(lines in proptest::collection::vec(line(), 0..12)) {
            let text = lines.concat();
            let fixed = fix(text.as_bytes());
            prop_assert_eq!(verdict(&fixed), Verdict::Taken, "{}", text);
            prop_assert_eq!(String::from_utf8(fix(&fixed)), String::from_utf8(fixed));
        }
    }

    /// A line of pieces that fit together often enough to matter.
    fn line() -> impl Strategy<Value = String> {
        let name = "(x|h|x_total|h_bucket|h_sum|h_count|s|s_sum|s_count|go_goroutines)";
        let sample = format!(
            "{name}(\\{{(a=\"[12]?\",?)?(,?(le|quantile|job|a)=\"(1|1\\.0|\\+Inf|NaN|b)\")?\\}})? ?(1|2|-1|NaN|-nan|1e9|0.5|z)( 5)?( |\r)?\n"
        );
        let comment = format!(
            "# ?(TYPE {name} (counter|gauge|histogram|summary|untyped|info|unknown|gaugehistogram|x) ?|HELP {name} [a\\\\n\"]{{0,4}}|EOF)\n"
        );
        prop_oneof![3 => proptest::string::string_regex(&sample).unwrap(), 2 => proptest::string::string_regex(&comment).unwrap()]
    }
}

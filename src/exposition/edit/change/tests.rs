//! Tests of changes: the file before, a call, the file after, byte for byte.

use proptest::prelude::*;

use super::{Change, Unchanged};
use crate::exposition::{Context, Kind, Source, Step, encode, read};

fn change(name: &str, labels: &[(&str, &str)], step: Step) -> Change {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Change { name: name.parse().unwrap(), labels, help: None, step }
}

fn set(name: &str, value: &str) -> Change {
    change(name, &[], Step::Set(value.parse().unwrap()))
}

fn add(name: &str, value: &str) -> Change {
    change(name, &[], Step::Add(value.parse().unwrap()))
}

fn observe(name: &str, value: &str, buckets: Option<&str>) -> Change {
    let buckets = buckets.map(|buckets| buckets.parse().unwrap());
    change(name, &[], Step::Histogram(value.parse().unwrap(), buckets))
}

fn summary(name: &str, value: &str) -> Change {
    change(name, &[], Step::Summary(value.parse().unwrap()))
}

/// The file after the change, and how much was found in it that cannot be read.
fn applied(file: impl AsRef<[u8]>, change: &Change) -> Result<(String, usize), Unchanged> {
    let changed = change.apply(&Source::new("m.prom", file.as_ref()))?;
    Ok((String::from_utf8_lossy(&changed.bytes).into_owned(), changed.problems.len()))
}

#[track_caller]
fn assert_becomes(file: &str, change: &Change, expected: &str) {
    let (after, problems) = applied(file, change).unwrap();
    assert_eq!(after, expected);
    assert_eq!(problems, 0);
}

#[track_caller]
fn misuse(file: &str, change: &Change) -> String {
    match applied(file, change) {
        Err(Unchanged::Misuse(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_metric_stands_at_the_end() {
    assert_becomes("", &set("x", "5"), "# TYPE x gauge\nx 5\n");
    assert_becomes("# a comment\ny 1\n", &add("x", "2"), "# a comment\ny 1\n# TYPE x_total counter\nx_total 2\n");
    assert_becomes("y 1", &set("x", "5"), "y 1\n# TYPE x gauge\nx 5\n");
    assert_becomes("y 1\r\n", &set("x", "5"), "y 1\r\n# TYPE x gauge\nx 5\n");
    assert_becomes("y 1\n# EOF\n", &set("x", "5"), "y 1\n# TYPE x gauge\nx 5\n# EOF\n");
    let help = Change { help: Some("a \\ b\nc".to_owned()), ..set("x", "5") };
    assert_becomes("", &help, "# HELP x a \\\\ b\\nc\n# TYPE x gauge\nx 5\n");
}

#[test]
fn a_series_is_found_whatever_the_order_of_its_labels() {
    let file = "# TYPE x gauge\nx{a=\"1\",b=\"\\\"\"} 1\nx{a=\"1\"} 2\nx 3\nx{b=\"1\"} 4\n";
    let labelled = |labels: &[(&str, &str)]| change("x", labels, Step::Set("9".parse().unwrap()));
    let after = |old: &str, new: &str| file.replace(old, new);
    assert_becomes(file, &labelled(&[("b", "\""), ("a", "1")]), &after("b=\"\\\"\"} 1", "b=\"\\\"\"} 9"));
    assert_becomes(file, &labelled(&[("a", "1")]), &after("\"1\"} 2", "\"1\"} 9"));
    assert_becomes(file, &labelled(&[]), &after("x 3", "x 9"));
    assert_becomes(file, &labelled(&[("c", "")]), &after("x 3", "x 9"));
    assert_becomes(file, &labelled(&[("c", "\n")]), &format!("{file}x{{c=\"\\n\"}} 9\n"));
}

#[test]
fn a_new_series_follows_the_others_of_its_metric() {
    let labelled = change("x", &[("a", "1")], Step::Set("9".parse().unwrap()));
    assert_becomes(
        "# TYPE x gauge\nx 1\n# TYPE y gauge\ny 1\n",
        &labelled,
        "# TYPE x gauge\nx 1\nx{a=\"1\"} 9\n# TYPE y gauge\ny 1\n",
    );
    // Client libraries write the head of a metric that has no series yet.
    assert_becomes(
        "# HELP x Text.\n# TYPE x gauge\n# TYPE y gauge\ny 1\n",
        &labelled,
        "# HELP x Text.\n# TYPE x gauge\nx{a=\"1\"} 9\n# TYPE y gauge\ny 1\n",
    );
}

#[test]
fn counters_add_up_under_the_name_that_is_there() {
    assert_becomes("# TYPE x_total counter\nx_total 1.5\n", &add("x", "1"), "# TYPE x_total counter\nx_total 2.5\n");
    assert_becomes("# TYPE x_total counter\nx_total 1\n", &add("x_total", "1"), "# TYPE x_total counter\nx_total 2\n");
    assert_becomes("# TYPE x counter\nx 1\n", &add("x", "1"), "# TYPE x counter\nx 2\n");
    let open_metrics = "# TYPE x counter\nx_total 1\n# EOF\n";
    assert_becomes(open_metrics, &add("x", "1"), "# TYPE x counter\nx_total 2\n# EOF\n");
    assert_becomes(
        "# TYPE x_total counter\nx_total 1 1700000000000\n",
        &add("x", "1"),
        "# TYPE x_total counter\nx_total 2\n",
    );
}

#[test]
fn a_metric_without_a_type_takes_the_new_one() {
    assert_becomes("y 1\nx 1\n", &set("x", "5"), "y 1\n# TYPE x gauge\nx 5\n");
    assert_becomes("x 1\n", &add("x", "5"), "# TYPE x counter\nx 6\n");
    assert_becomes("# TYPE x untyped\nx 1\n", &add("x", "5"), "# TYPE x counter\nx 6\n");
    assert_becomes("# HELP x Text.\nx 1\n", &set("x", "5"), "# TYPE x gauge\n# HELP x Text.\nx 5\n");
}

#[test]
fn the_last_help_text_stays() {
    let help = |text: &str| Change { help: Some(text.to_owned()), ..set("x", "1") };
    assert_becomes("# HELP x Old.\n# TYPE x gauge\nx 1\n", &help("New."), "# HELP x New.\n# TYPE x gauge\nx 1\n");
    assert_becomes("# TYPE x gauge\nx 1\n", &help("New."), "# HELP x New.\n# TYPE x gauge\nx 1\n");
    assert_becomes("# HELP x Old.\n# TYPE x gauge\nx 1\n", &help(""), "# HELP x Old.\n# TYPE x gauge\nx 1\n");
}

#[test]
fn histograms_count_into_every_bucket_above() {
    let first = "# TYPE x histogram\nx_bucket{le=\"0.1\"} 0\nx_bucket{le=\"1.0\"} 1\nx_bucket{le=\"+Inf\"} 1\nx_count 1\n\
                 x_sum 1\n";
    assert_becomes("", &observe("x", "1", Some("0.1,1")), first);
    let second = first.replace("+Inf\"} 1", "+Inf\"} 2").replace("count 1", "count 2").replace("sum 1", "sum 6");
    assert_becomes(first, &observe("x", "5", None), &second);
    assert_becomes(first, &observe("x", "5", Some("0.1,1,+Inf")), &second);
    assert!(misuse(first, &observe("x", "5", Some("0.1,2"))).contains("0.1,1.0,+Inf"));
    // Another series of it gets the same buckets, as they are written.
    let go = first.replace("1.0", "1");
    let labelled = change("x", &[("a", "b")], Step::Histogram("0".parse().unwrap(), None));
    let added = "x_bucket{a=\"b\",le=\"0.1\"} 1\nx_bucket{a=\"b\",le=\"1\"} 1\nx_bucket{a=\"b\",le=\"+Inf\"} 1\n\
                 x_count{a=\"b\"} 1\nx_sum{a=\"b\"} 0\n";
    assert_becomes(&go, &labelled, &format!("{go}{added}"));
    // What a reader would add is written.
    assert_becomes(
        "# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 0\nx_count 3\n",
        &observe("x", "7", None),
        "# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 7\nx_count 4\nx_bucket{le=\"+Inf\"} 4\n",
    );
    let negative = "# TYPE x histogram\nx_bucket{le=\"-1.0\"} 1\nx_bucket{le=\"+Inf\"} 1\nx_count 1\n";
    assert_becomes("", &observe("x", "-2", Some("-1")), negative);
}

#[test]
fn summaries_count_and_add_up_and_keep_their_quantiles() {
    assert_becomes("", &summary("x", "-2.5"), "# TYPE x summary\nx_count 1\nx_sum -2.5\n");
    assert_becomes(
        "# TYPE x summary\nx{quantile=\"0.5\"} 2\nx_sum 2\nx_count 1\n",
        &summary("x", "1"),
        "# TYPE x summary\nx{quantile=\"0.5\"} 2\nx_sum 3\nx_count 2\n",
    );
}

#[test]
fn another_type_is_refused() {
    let counter = "# TYPE x counter\nx 1\n";
    assert_eq!(misuse(counter, &set("x", "1")), "it is a counter in the file, not a gauge");
    assert!(misuse("# TYPE x counter\n", &set("x", "1")).contains("counter"));
    assert!(misuse("# TYPE x gauge\nx 1\n", &add("x", "1")).contains("gauge"));
    assert!(misuse("x 1\n", &observe("x", "1", None)).contains("plain number"));
    let summary = "# TYPE x summary\nx_sum 1\nx_count 1\n";
    assert!(misuse(summary, &observe("x", "1", None)).ends_with("--type summary observes it"));
    assert!(misuse(summary, &set("x_sum", "1")).contains("part of the summary 'x'"));
    assert!(misuse("x_count 1\n", &observe("x", "1", None)).ends_with("choose another name"));
    assert!(misuse("", &set("push_time_seconds", "1")).contains("Pushgateway"));
    assert!(misuse("", &set("process_cpu_seconds_total", "1")).contains("Pushgateway"));
}

#[test]
fn what_cannot_be_read_stays_and_is_told() {
    let file = b"\xff\xfe\x00junk\n{} 1\nx 1\ny abc\n# TYPE z nonsense\nx 2\nlast \xe4".as_slice();
    let file = [b"#".as_slice(), file].concat();
    let (after, problems) = applied(&file, &set("x", "5")).unwrap();
    // Of a series that stands twice the last counts.
    let expected = String::from_utf8_lossy(&file).replacen("x 2", "# TYPE x gauge\nx 5", 1);
    assert_eq!(after, expected);
    assert!(problems >= 4, "{problems}");
    let (after, _) = applied(&file, &set("y", "5")).unwrap();
    assert_eq!(after, format!("{}\n# TYPE y gauge\ny 5\n", String::from_utf8_lossy(&file)));
}

#[test]
fn a_histogram_with_a_bad_line_is_left_alone() {
    let file = "# TYPE x histogram\nx_bucket{le=\"1\"} abc\nx_bucket{le=\"+Inf\"} 1\nx_count 1\nx_sum 1\n";
    let unchanged = applied(file, &observe("x", "1", None)).unwrap_err();
    assert_eq!(unchanged, Unchanged::Unreadable("m.prom:2:18: 'abc' is not a number".to_owned()));
}

#[test]
fn utf_16_becomes_utf_8_where_nothing_is_lost() {
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let file = utf_16("\u{feff}x 1\r\n");
    assert_eq!(applied(&file, &set("y", "5")).unwrap().0, "x 1\r\n# TYPE y gauge\ny 5\n");
    assert!(matches!(applied([&file, b"x".as_slice()].concat(), &set("y", "5")), Err(Unchanged::Unreadable(_))));
}

/// Lines as files have them, good and bad.
fn line() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "x 1",
        "x{a=\"1\"} 2",
        "y 3",
        "x_count 4",
        "x_sum 1",
        "x_bucket{le=\"1\"} 1",
        "x_bucket{le=\"+Inf\"} 4",
        "x_total 7",
        "# TYPE x gauge",
        "# TYPE x counter",
        "# TYPE x histogram",
        "# TYPE x summary",
        "# HELP x Text.",
        "# TYPE x_total counter",
        "# TYPE x untyped",
        "# EOF",
        "junk line",
        "x",
        "",
        "  x 5 ",
        "x{",
        "# TYPE x info",
        "x{quantile=\"0.5\"} 1",
        "x_total{a=\"1\"} -nan",
    ]);
    (pieces, prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\r", ""]))
        .prop_map(|(text, end)| format!("{text}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is in the file: a change is refused, or made so that a reader finds it and loses nothing else.
    #[test]
    fn any_file_can_be_changed_or_is_left_alone(
        lines in prop::collection::vec(line(), 0..12),
        which in 0..6_usize,
    ) {
        let file = lines.concat();
        let change = [
            set("x", "5"), add("x", "5"), observe("x", "5", None), summary("x", "5"), set("y", "5"), add("z", "5"),
        ][which].clone();
        if let Ok((after, _)) = applied(&file, &change) {
            let (before, again) = ([Source::new("m", file.as_bytes())], [Source::new("m", after.as_bytes())]);
            let (before, again) = (read(&before, &Context::default()), read(&again, &Context::default()));
            prop_assert!(again.errors() <= before.errors());
            let total = format!("{}_total", change.name.as_str());
            let is_own = |family: &&super::Family<'_>| {
                family.name() == change.name.as_str() || (change.step.kind() == Kind::Counter && family.name() == total)
            };
            let others = |families: &[super::Family<'_>]| encode(families.iter().filter(|family| !is_own(family)));
            prop_assert_eq!(others(&before.families), others(&again.families), "{}\n=>\n{}", file, after);
            let mut own = again.families.iter().filter(is_own).map(super::Family::kind);
            prop_assert!(own.any(|kind| kind == change.step.kind()), "{}", after);
        }
    }
}

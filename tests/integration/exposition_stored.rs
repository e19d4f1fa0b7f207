//! What a real gateway stores of metrics files that people have, and what `check` says about them.

use super::harness::{Pushgateway, Pushwrap, Run, Version};

/// `pushwrap check -` with `text` on standard input.
fn check(text: &str) -> Run {
    Pushwrap::new().args(["check", "-"]).stdin(text).call()
}

/// Given labels of the command's own that are in the grouping key too, when they are pushed, then they are kept under another name,
/// as Prometheus keeps them.
#[test]
fn labels_that_the_group_has_too_are_kept_as_exported() {
    let gateway = Pushgateway::start(Version::Newest);
    let push = Pushwrap::new().args(["push", "--url", &gateway.url(), "--job", "j", "--instance", "host"]);
    let text = "n{namespace=\"a\"} 1\nn{job=\"other\"} 2\nn{instance=\"db\"} 3\nn{namespace=\"batch\"} 4\n";
    push.args(["-l", "namespace=batch", "-"]).stdin(text).call().exit(0).stdout("").stderr("");
    let group = gateway.group([("job", "j"), ("instance", "host"), ("namespace", "batch")]).unwrap();
    for (label, value) in
        [(("exported_namespace", "a"), "1"), (("exported_job", "other"), "2"), (("exported_instance", "db"), "3")]
    {
        assert_eq!(group.value("n", [label]).as_deref(), Some(value), "{label:?}");
    }
    assert!(gateway.metrics().contains("n{instance=\"host\",job=\"j\",namespace=\"batch\"} 4\n"));
}

/// Given a script that appends its progress, when it is run, then its last word is pushed, and that is no error.
#[test]
fn of_lines_that_a_script_appends_the_last_is_stored() {
    let gateway = Pushgateway::start(Version::Newest);
    let script = "for i in 1 2 3; do echo \"progress $i\" >> \"$PUSHWRAP_TEXTFILE\"; done";
    let run = Pushwrap::new().push_to(&gateway, "j").run(["sh", "-c", script]).exit(0).stderr("");
    let _ = run.pushed(&gateway, "j", "progress 3\npushwrap_textfile_samples 1\npushwrap_textfile_errors 0\n");
}

/// Given names in quotes, as client libraries write them today, when they are pushed, then they are escaped as Prometheus escapes
/// them for a reader that does not know them.
#[test]
fn names_in_quotes_are_stored_with_underscores() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let text = "# HELP \"http.requests\" Requests\n# TYPE \"http.requests\" counter\n\
                {\"http.requests\",\"http.method\"=\"GET\"} 7\n{\"größe\"} 2\n";
    let run = Pushwrap::new().push_to(&gateway, "j").textfile(text).run(["true"]).exit(0).stderr("");
    let _ = run.pushed(&gateway, "j", "http_requests{http_method=\"GET\"} 7\npushwrap_textfile_errors 0\n");
    let group = gateway.group([("job", "j")]).unwrap();
    assert_eq!(group.help("http_requests").as_deref(), Some("Requests"));
    assert_eq!(group.value("gr__e", []).as_deref(), Some("2"), "{:?}", group.families());
}

/// Given files of which the gateway stores something else, when they are checked, then that is said with the reason, and the exit
/// status is 1; and where what is stored stands there, it is 0.
#[test]
fn as_it_is_means_stored_as_it_stands() {
    let histogram = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let h = |text: &str| format!("# TYPE h histogram\n{text}");
    let s = |text: &str| format!("# TYPE s summary\n{text}s_sum 1\ns_count 1\n");
    for text in [h(histogram), s("s{quantile=\"0.5\"} 1\n")] {
        check(&text).exit(0).stderr_has("the gateway takes it as it is");
    }
    for (what, text) in [
        ("a bare sample of a summary", s("s 1\n")),
        ("a doubled quantile", s("s{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 2\n")),
        ("a negative count", h(&histogram.replace("h_count 2", "h_count -2"))),
        ("a bucket that is no number", h(&format!("h_bucket{{le=\"NaN\"}} 1\n{histogram}"))),
        ("a sum that has 'le'", h(&histogram.replace("h_sum 3", "h_sum{le=\"1\"} 3"))),
        ("a bucket without 'le'", h(&format!("h_bucket 1\n{histogram}"))),
        ("a bare sample of a histogram", h(&format!("h 1\n{histogram}"))),
        ("a label of the grouping key", "x{job=\"other\"} 1\n".to_owned()),
    ] {
        let run = check(&text).exit(1);
        assert!(!run.stderr.contains("the gateway takes it as it is"), "{what}: {}", run.stderr);
        run.stderr_has("the gateway takes it, but not as it is");
    }
}

/// Given a help text for a part of a histogram, when it is checked, then it is a finding: the gateway shows the whole's.
#[test]
fn a_help_text_of_a_part_is_a_finding() {
    let rest = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    for text in [format!("# HELP h_count text\n{rest}"), format!("{rest}# HELP h_count text\n")] {
        check(&text).exit(1).stderr_has("dropped: a help text of its own for a part of the histogram 'h'\n");
    }
}

/// Given two types under one name, when it is pushed, then the first holds, and the second is reported with its line.
#[test]
fn a_histogram_stays_one_under_a_second_type() {
    let gateway = Pushgateway::start(Version::Newest);
    let text = "# TYPE h histogram\n# TYPE h gaugehistogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n";
    let run = Pushwrap::new().push_to(&gateway, "j").textfile(text).run(["true"]).exit(0);
    run.stderr_has(":2:10: a second type for the same metric: it is a histogram since line 1\n");
    assert_eq!(gateway.group([("job", "j")]).unwrap().kind("h").as_deref(), Some("HISTOGRAM"));
}

/// Given line ends of old Macs, when a file is checked, then the findings and the last sentence count the same lines.
#[test]
fn line_ends_of_cr_alone_count_the_same_everywhere() {
    let run = check("# a\r# b\rx 1\ny q\n").exit(1);
    run.stderr_has("--> <stdin>:4:3\n").stderr_has("the gateway refuses it at line 4: ");
}

/// Given a name that begins with a digit, when it is checked, then the remedy is for that, wherever the name stands.
#[test]
fn a_name_that_begins_with_a_digit_gets_its_own_remedy() {
    for (text, place) in [("1h_sum 1\n", "1:1"), ("# TYPE 1h_sum gauge\n", "1:8"), ("# HELP 1h_sum text\n", "1:8")] {
        let run = check(text).exit(1);
        run.stderr_has("the name of a metric cannot begin with '1'\n")
            .stderr_has(&format!("--> <stdin>:{place}\n"))
            .stderr_has("= help: put a letter or '_' before the digit\n");
    }
}

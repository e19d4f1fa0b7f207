//! `pushwrap check` and `pushwrap push`: the real binary, its messages and exit statuses; a gateway where one is needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{FakeGateway, Pushgateway, Pushwrap, Reply, Version};

fn corpus(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(file)
}

/// `pushwrap check ARGUMENTS -` with `text` on standard input.
fn check(text: &str, arguments: &[&str]) -> crate::harness::Run {
    Pushwrap::new().arg("check").args(arguments).arg("-").stdin(text).call()
}

#[test]
fn a_file_that_the_gateway_takes_is_said_to_be_good() {
    let path = corpus("good/counter.prom");
    let run = Pushwrap::new().arg("check").arg(&path).call().exit(0).stdout("");
    run.stderr(&format!("pushwrap: {}: the gateway takes it as it is; 2 samples kept\n", path.display()));
}

#[test]
fn a_gateway_that_is_named_tells_which_families_other_groups_hold_with_another_type() {
    let gateway = Pushgateway::start(Version::Newest);
    gateway.push(
        "PUT",
        "job/other",
        "# TYPE x gauge\nx 1\n# TYPE y summary\ny_sum 1\ny_count 1\n# TYPE z gauge\nz 1\n",
    );
    let url = gateway.url();
    let text = "x 2\n# TYPE y histogram\ny_bucket{le=\"+Inf\"} 1\ny_sum 1\ny_count 1\n# TYPE z gauge\nz 1\n";
    let said = check(text, &["--url", &url]).exit(1).stdout("").stderr_has("the gateway refuses it: ");
    let said = said.stderr_has("another group holds 'x' as a gauge, not without a type, which pushwrap gives it");
    let said = said.stderr_has("another group holds 'y' as a summary, not as a histogram (group {job=\"other\"}: ");
    said.stderr_has("/metrics/job/other").stderr_lacks("'z'");
    let fixed = check(text, &["--url", &url, "--fix"]).exit(1).stdout("# TYPE x gauge\nx 2\n# TYPE z gauge\nz 1\n");
    fixed.stderr_has("another group holds 'y'");
    let json = check(text, &["--url", &url, "--json"]).exit(1);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["verdict"], "refused");
    assert!(json[0]["reason"].as_str().unwrap().contains("another group holds 'y' as a summary"), "{json}");
    // What the gateway is said to refuse it does refuse, and what it is said to take it takes.
    let _ = check("# TYPE z gauge\nz 2\n", &["--url", &url]).exit(0);
    // Without the flag there is no network, and an empty flag was not given.
    for arguments in [&[][..], &["--url", ""]] {
        let call = Pushwrap::new().env("PUSHWRAP_URL", &url).arg("check").args(arguments).arg("-").stdin(text).call();
        let _ = call.exit(0).stderr_lacks("another group");
    }
}

#[test]
fn a_gateway_that_check_cannot_ask_is_said_after_one_more_try() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = check("x 2\n", &["--url", &format!("http://{closed}")]).exit(1);
    run.stderr_has("2 tries")
        .stderr_has(
            "takes it as it is; it was not compared with the types that --url holds, which did not answer; 1 sample kept",
        )
        .within(std::time::Duration::from_secs(8));
    // A program gets it as well.
    let json = check("x 2\n", &["--url", &format!("http://{closed}"), "--json"]).exit(1);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["verdict"], "taken");
    assert!(json[0]["reason"].as_str().unwrap().starts_with("it was not compared"), "{json}");
    let other = FakeGateway::start([Reply::status("200 OK", "")]);
    let _ = check("x 2\n", &["--url", &other.url()]).exit(1).stderr_has("is not that of a Pushgateway");
}

#[test]
fn a_bad_line_is_shown_with_a_caret_a_reason_and_help() {
    let text = "# TYPE backup_seconds gauge\nbackup_seconds 0,25\nbackup_files 3\n";
    check(text, &[]).exit(1).stdout("").stderr(
        "dropped: '0,25' is not a number\n \
         --> <stdin>:2:16\n  \
           |\n\
         2 | backup_seconds 0,25\n  \
           |                ^^^^\n  \
           = help: write a point, not a comma (LC_ALL=C helps)\n\
         \n\
         pushwrap: <stdin>: the gateway refuses it at line 2: expected float as value, got '0,25'; \
         1 sample kept, 1 dropped\n",
    );
}

#[test]
fn check_agrees_with_the_recorded_verdicts() {
    for (set, file, status) in [
        ("good", "histogram_labels.prom", 0),
        ("bad", "trailing_space.prom", 1),
        ("bad", "duplicate_series.prom", 1),
        ("bad", "bom_sample.prom", 1),
        ("quirk", "help_invalid_utf8.prom", 1),
        ("quirk", "type_gauge_histogram.prom", 1),
    ] {
        let _ = Pushwrap::new().arg("check").arg(corpus(&format!("{set}/{file}"))).call().exit(status);
    }
}

#[test]
fn fix_is_a_filter() {
    let crlf = "# TYPE x gauge\r\nx 1 \r\n";
    check(crlf, &["--fix"]).exit(0).stdout("# TYPE x gauge\nx 1\n").stderr_has("1 sample kept, 3 repaired");
    check("x 1\n}\n", &["--fix"]).exit(1).stdout("# TYPE x untyped\nx 1\n").stderr_has("<stdin>:2:1");
    check("# TYPE x gauge\nx 1\n", &["--fix"]).exit(0).stdout("# TYPE x gauge\nx 1\n").stderr("");
    check("", &["--fix"]).exit(0).stdout("").stderr("");
}

#[test]
fn json_is_for_programs() {
    let run = check("x 1\ny 0,5\n", &["--json"]).exit(1).stderr("");
    let files: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let file = &files[0];
    assert_eq!((&file["file"], &file["verdict"], &file["line"]), (&"<stdin>".into(), &"refused".into(), &2.into()));
    assert_eq!((&file["samples"], &file["dropped"]), (&1.into(), &1.into()));
    let finding = &file["findings"][0];
    assert_eq!((&finding["line"], &finding["column"], &finding["severity"]), (&2.into(), &3.into(), &"dropped".into()));
    run.stdout(concat!(
        "[\n",
        r#"{"file":"<stdin>","verdict":"refused","line":2,"reason":"expected float as value, got '0,5'","samples":1,"#,
        r#""dropped":1,"doubtful":0,"repaired":0,"findings":[{"file":"<stdin>","line":2,"column":3,"#,
        r#""severity":"dropped","reason":"'0,5' is not a number","help":"write a point, not a comma (LC_ALL=C helps)","#,
        r#""repeats":0}]}"#,
        "\n]\n",
    ));
    check("x 1\n", &["--json"]).exit(0).stdout_has("\"verdict\":\"taken\"").stderr("");
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let run = Pushwrap::new().args(["check", "/nonexistent/x.prom", "/dev/zero"]).call().exit(1).stdout("");
    run.stderr_has("unread: there is no such file\n --> /nonexistent/x.prom\n")
        .stderr_has("pushwrap: /nonexistent/x.prom: not read\n")
        .stderr_has("this is a device")
        .stderr_lacks("dropped");
    let run = Pushwrap::new().args(["check", "--fix", "/nonexistent/x.prom"]).call().exit(1).stdout("");
    run.stderr_has("pushwrap: 0 samples kept, 1 unread\n").stderr_lacks("dropped");
    let run = Pushwrap::new().args(["check", "--json", "/nonexistent/x.prom"]).call().exit(1);
    run.stdout(concat!(
        "[\n",
        r#"{"file":"/nonexistent/x.prom","verdict":"unread","line":null,"reason":"there is no such file","samples":0,"#,
        r#""dropped":0,"doubtful":0,"repaired":0,"findings":[{"file":"/nonexistent/x.prom","line":null,"column":null,"#,
        r#""severity":"unread","reason":"there is no such file","help":null,"repeats":0}]}"#,
        "\n]\n",
    ));
    let _ = Pushwrap::new().arg("check").call().exit(2);
    let _ = Pushwrap::new().args(["check", "--fix", "--json", "-"]).call().exit(2);
}

/// Given nothing to read, when it is pushed, then one sentence says so.
#[test]
fn a_push_of_nothing_is_said() {
    let fake = FakeGateway::start([Reply::ok()]);
    let call = Pushwrap::new().args(["push", "--url", &fake.url(), "--job", "j"]).stdin("\n");
    call.call().exit(0).stdout("").stderr("pushwrap: what was read holds no metrics: the push has none\n");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn a_terminal_is_sent_nothing_from_the_file() {
    let run = check("\u{1b}[31mx\u{7}\n", &[]).exit(1);
    assert!(!run.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", run.stderr);
}

#[test]
fn push_sends_files_and_standard_input() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let _ = Pushwrap::new()
        .args(["push", "--url", &gateway.url(), "--job", "files", "--instance", "none"])
        .args([corpus("good/counter.prom"), corpus("bad/crlf_all.prom")])
        .call()
        .exit(0)
        .stdout("")
        .stderr("")
        .pushed(&gateway, "files", "parcels_total{belt=\"a\"} 1027\nbread_loaves 12\n");
    let _ = Pushwrap::new()
        .args(["push", "--url", &gateway.url(), "--job", "stdin", "--instance", "none"])
        .stdin("x 1\ny oops\nz 3\n")
        .call()
        .exit(1)
        .stderr("pushwrap: <stdin>:2:3: 'oops' is not a number\n")
        .pushed(&gateway, "stdin", "x 1\nz 3\n");
}

/// Given FIFOs, as a shell makes them of `<(COMMAND)`, when they are named, then what comes through them is read to its end; one
/// that nobody writes to fails the push when its time is up.
#[test]
fn fifos_that_are_named_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = |text: &'static str| {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::write(fifo, text).unwrap())
    };
    let push = || Pushwrap::new().args(["push", "--job", "fifo", "--url"]);
    let gateway = FakeGateway::start([Reply::ok()]);
    let writing = writer("x 1\n");
    let _ = push().arg(gateway.url()).arg(&fifo).call().exit(0).stderr("");
    writing.join().unwrap();
    assert!(gateway.requests().last().unwrap().body().ends_with("x 1\n"));
    let writing = writer("y oops\n");
    let run = Pushwrap::new().arg("check").arg(&fifo).call().exit(1);
    writing.join().unwrap();
    run.stderr_has("'oops' is not a number").stderr_has(fifo.to_str().unwrap());
    let lonely = push().args([&gateway.url(), "--push-timeout", "0.2"]).arg(&fifo).call().exit(1);
    lonely.stderr_has("cannot read it: it is a FIFO that nobody writes to").stderr_has("nothing was pushed");
    assert_eq!(gateway.connections(), 1);
}

#[test]
fn more_than_64_mib_are_refused_without_naming_an_option_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large");
    fs::File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    let run = Pushwrap::new().args(["push", "--job", "j", "--url", "none"]).arg(&large).call().exit(1);
    run.stderr_has("too large: at most 64 MiB are read\n").stderr_lacks("--textfile-max");
}

#[test]
fn push_does_not_empty_a_group_for_a_file_that_is_not_there() {
    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("PUT", "job/kept", "x 1\n");
    let push = |file: &str| {
        let url = gateway.url();
        Pushwrap::new().args(["push", "--replace", "--url", &url, "--job", "kept", "--instance", "none", file]).call()
    };
    let run = push("/nonexistent").exit(1).stderr_has("/nonexistent: there is no such file");
    run.stderr_has("no sample is left: nothing was pushed").pushed(&gateway, "kept", "x 1\n");
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.prom");
    fs::write(&empty, "").unwrap();
    let run = push(empty.to_str().unwrap()).exit(1).pushed(&gateway, "kept", "x 1\n");
    run.stderr("pushwrap: no sample: nothing was replaced; 'pushwrap delete' empties a group\n");
    let run = push("-").exit(1).pushed(&gateway, "kept", "x 1\n");
    run.stderr_has("no sample: nothing was replaced");
}

/// Given a directory without metrics files, when it is named, then it is a mistake as a pattern that nothing fits is.
#[test]
fn a_directory_without_metrics_files_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.prom.tmp"), "x 1\n").unwrap();
    let said = format!("{}: the directory holds no *.prom file", directory.path().display());
    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("PUT", "job/kept", "x 1\n");
    for options in [&[][..], &["--replace"]] {
        let push = Pushwrap::new().arg("push").args(options).args(["--instance", "none", "--job", "kept"]);
        let run = push.args(["--url", &gateway.url()]).arg(directory.path()).call().exit(1).stdout("");
        run.stderr(&format!("pushwrap: {said}\npushwrap: no sample is left: nothing was pushed\n"))
            .pushed(&gateway, "kept", "x 1\n");
    }
    let run = Pushwrap::new().arg("check").arg(directory.path()).call().exit(1).stdout("");
    run.stderr_has("the directory holds no *.prom file");
}

/// Given files of which not all can be read, when they are to replace a group, then what could not be read stays there.
#[test]
fn only_what_was_read_as_a_whole_replaces() {
    let gateway = Pushgateway::start(Version::Bookworm);
    gateway.push("PUT", "job/kept", "old 1\nx 1\n");
    let push = |files: &[&str]| {
        let push = Pushwrap::new().args(["push", "--replace", "--url", &gateway.url(), "--job", "kept"]);
        push.args(["--instance", "none"]).args(files).stdin("x 2\nold oops\n").call()
    };
    let posted = "pushwrap: not everything could be read: the push replaces only the metrics that it holds (POST)\n";
    let run = push(&["-"]).exit(1).pushed(&gateway, "kept", "x 2\nold 1\n");
    run.stderr(&format!("pushwrap: <stdin>:2:5: 'oops' is not a number\n{posted}"));
    let good = corpus("bad/crlf_all.prom");
    let run = push(&[good.to_str().unwrap(), "/nonexistent"]).exit(1).stderr_has(posted);
    run.pushed(&gateway, "kept", "bread_loaves 12\nx 2\nold 1\n");
    let run = push(&[good.to_str().unwrap()]).exit(0).stderr("");
    run.pushed(&gateway, "kept", "bread_loaves 12\n");
    assert!(gateway.group([("job", "kept")]).unwrap().value("x", []).is_none(), "a whole file replaces");
}

#[test]
fn json_has_the_files_in_the_order_of_the_arguments() {
    let (a, b) = (corpus("good/counter.prom"), corpus("bad/crlf_all.prom"));
    let check = Pushwrap::new().args(["check", "--json"]).arg(&a).arg("/nonexistent").arg(&b).call().exit(1);
    let files: serde_json::Value = serde_json::from_str(&check.stdout).unwrap();
    let names: Vec<&str> = files.as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(names, [a.to_str().unwrap(), "/nonexistent", b.to_str().unwrap()]);
}

#[test]
fn push_without_a_gateway_prints_what_it_would_send() {
    let _ = Pushwrap::new()
        .args(["push", "--job", "x", "-"])
        .stdin("x 1\n")
        .call()
        .exit(1)
        .stderr_has("# TYPE x untyped\nx 1\n")
        .stderr_has("--url URL");
    let _ = Pushwrap::new().args(["push", "--job", "x", "--url", "none", "-"]).stdin("x 1\n").call().exit(0).stderr("");
    let _ = Pushwrap::new().args(["push", "--url", "none", "-"]).stdin("x 1\n").call().exit(2).stderr_has("--job");
}

#[test]
fn the_run_form_reads_named_files() {
    let gateway = Pushgateway::start(Version::Bookworm);
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("a.prom", "a 1\ndup{k=\"1\"} 1\n");
    write("b.prom", "b 2\ndup{k=\"1\"} 2\n");
    write("c.txt", "c 3\n");
    let run = Pushwrap::new()
        .push_to(&gateway, "named")
        .args(["--textfile".as_ref(), directory.path().as_os_str()])
        .args(["--textfile".as_ref(), directory.path().join("*.txt").as_os_str()])
        .args(["--textfile", "/nonexistent.prom"])
        .run(["true"])
        .exit(0);
    let a = directory.path().join("a.prom");
    let run = run.stderr_has(&format!("b.prom:2:1: the same series as in line 2 of '{}', which stays", a.display()));
    let _ = run.stderr_has("/nonexistent.prom: there is no such file").pushed(
        &gateway,
        "named",
        "a 1\nb 2\nc 3\ndup{k=\"1\"} 1\npushwrap_textfile_samples 4\npushwrap_textfile_errors 2\n",
    );
}

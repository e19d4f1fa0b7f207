//! Bad input: on the command line it stops the run before it begins and says what would be right; elsewhere it fails the push
//! and never the command.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use super::harness::fake::Request;
use super::harness::pushwrap::{NO_STATE, binary};
use super::harness::{FakeGateway, InTime as _, Pushwrap, Reply};

/// Given a wrong option, when a command that would leave a trace is run, then it is not, and one message tells why.
#[track_caller]
fn refused(options: &[&str], parts: &[&str]) -> String {
    let call = Pushwrap::new().args(options);
    let trace = call.directory().join("trace");
    let run = call.run(["touch", trace.to_str().unwrap()]).exit(125).stdout("");
    assert!(!trace.exists(), "{options:?}: the command was started");
    assert!(run.stderr.lines().all(|line| line.starts_with("pushwrap: ")), "{options:?}:\n{}", run.stderr);
    for part in parts {
        assert!(run.stderr.contains(part), "{options:?}: no '{part}' in:\n{}", run.stderr);
    }
    run.stderr
}

#[test]
fn wrong_values_name_the_option_quote_the_value_and_say_what_is_right() {
    for (option, value, right) in [
        ("--timeout", "soon", "expected a duration such as 90s"),
        ("--timeout", "-1", "'-1'"),
        ("--kill-after", "1x", "expected a duration"),
        ("--push-timeout", "0", "longer than 0"),
        ("--push-timeout", "x", "expected a duration"),
        ("--push-interval", "0.05", "0.1s or more"),
        ("--max-age", "never", "expected a duration"),
        ("--signal", "FOO", "expected a signal such as TERM"),
        ("--signal", "0", "expected a signal"),
        ("--success-codes", "0,256", "from 0 to 255"),
        ("--skip-codes", "a", "from 0 to 255"),
        ("--label", "a", "expected NAME=VALUE"),
        ("--label", "a-b=1", "is no label name"),
        ("--label", "__a=1", "reserved"),
        ("--info", "host=x", "sets the label 'host' itself"),
        ("--info", "x", "expected NAME=VALUE"),
        ("--prefix", "1x", "beginning of a metric name"),
        ("--prefix", "pushgateway_http_", "the Pushgateway's own"),
        ("--textfile-max", "much", "expected a size"),
        ("--url", "ftp://gw", "http"),
        ("--url", "http://gw:99999", "port"),
        ("--url", "http://", "host"),
        ("--proxy", "http://proxy:x", "port 'x' is not a number"),
        ("--proxy", "socks5://proxy", "SOCKS proxies are not supported"),
    ] {
        refused(&[&format!("{option}={value}")], &[option, &format!("'{value}'"), right]);
    }
}

#[test]
fn what_may_be_a_token_in_a_url_is_not_quoted() {
    let said = refused(&["--url=http://gw/?token=s3cret#top"], &["--url", "'http://gw/?…'", "a fragment"]);
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_grouping_key_that_cannot_be_is_refused() {
    refused(&["--label", "job=x"], &["'job' cannot be a grouping label"]);
    refused(&["--label", "le=1"], &["'le' cannot be a grouping label"]);
    refused(&["--label", "quantile=1"], &["'quantile' cannot be a grouping label"]);
    refused(&["-l", "a=1", "-l", "a=2"], &["'a' is given twice"]);
    refused(&["-l", "mode=x"], &["'mode' cannot be a grouping label"]);
    refused(&["-l", "instance=a", "--instance", "b"], &["'instance' is given twice"]);
}

#[test]
fn contradictions_are_refused() {
    refused(&["--replace", "--delete-on-success"], &["--replace and --delete-on-success contradict each other"]);
    refused(&["--url", "none", "--url", "http://gw"], &["--url none stands alone"]);
    refused(&["--success-codes", "0,3", "--skip-codes", "3"], &["exit code 3"]);
    refused(&["-q", "-v"], &["--quiet", "--verbose"]);
    refused(&["-u", "me", "--token-file", "t"], &["--user and --token-file contradict each other"]);
    refused(&["--password-file", "p"], &["--password-file needs --user"]);
    refused(&["-u", "me:x", "--password-file", "p"], &["password is given twice"]);
    refused(&["--key", "k"], &["--key needs --cert"]);
    refused(&["--cert", "/etc/passwd:s3cret"], &["--cert takes no password", "'/etc/passwd'"]);
    refused(&["--info", "a=1", "--info", "a=2"], &["'a'", "twice"]);
}

#[test]
fn misspelled_options_get_a_tip() {
    refused(&["--timout", "3"], &["unexpected argument '--timout'", "'--timeout'"]);
    refused(&["--timeout", "-1"], &["invalid value '-1' for --timeout: expected a duration"]);
    let run = Pushwrap::new().args(["prune", "--url", "http://gw", "--older-than", "-1"]).call().exit(2);
    run.stderr("pushwrap: invalid value '-1' for --older-than: expected a duration such as 90d or 12h\n");
}

#[test]
fn a_wrong_address_is_quoted_once() {
    let run = Pushwrap::new().args(["--url", "http://gw:x"]).run(["true"]).exit(125);
    run.stderr("pushwrap: invalid value 'http://gw:x' for --url: port 'x' is not a number from 1 to 65535\n");
}

#[test]
fn a_password_in_a_wrong_url_is_not_printed() {
    for url in ["http://me:s3cret@gw:99999", "http://me:s3/cret@gw", "http://me:s3@gw/cret@gw", "me:s3://cret@gw"] {
        for option in ["--url", "--remote-write"] {
            let run = Pushwrap::new().args([option, url]).run(["true"]).exit(125);
            run.stderr_has(option).stderr_lacks("s3").stderr_lacks("cret");
        }
        // Where it does not belong.
        Pushwrap::new().args([url, "--", "true"]).call().exit(125).stderr_lacks("cret");
        Pushwrap::new().args(["groups", url]).call().exit(2).stderr_lacks("cret");
        Pushwrap::new().args(["push", "--job", "j", url]).call().exit(1).stderr_lacks("cret");
    }
}

#[test]
fn a_comma_in_a_password_does_not_make_a_piece_of_it_printable() {
    for url in ["http://me:s3,cret@gw", "http://me:53,cret@gw", "http://me:5,3:cret@gw"] {
        let run = Pushwrap::new().env("PUSHWRAP_URL", url).run(["true"]).exit(0);
        run.stderr_has("PUSHWRAP_URL").stderr_lacks("me:").stderr_lacks("cret");
    }
}

#[test]
fn without_dashes_the_message_says_where_they_go() {
    let run = Pushwrap::new().args(["--url", "none", "true"]).call().exit(125).stdout("");
    run.stderr_has("pushwrap: '--' is missing before the command: pushwrap [OPTIONS] -- true");
    let run = Pushwrap::new().args(["-u", "me:s3cret", "--url", "http://me:s3cret@gw", "true"]).call().exit(125);
    run.stderr_has("'--' is missing").stderr_lacks("s3cret");
}

/// Given what people type to find out more, when it is called, then help and version are printed, and a mistake in the name of a
/// subcommand is reported with the one that was meant.
#[test]
fn help_and_version_are_words_and_a_misspelled_subcommand_gets_a_tip() {
    let help = Pushwrap::new().arg("help").call().exit(0).stderr("").stdout_has("--kill-after");
    Pushwrap::new().arg("--help").call().exit(0).stdout(&help.stdout);
    Pushwrap::new().args(["help", "metric"]).call().exit(0).stderr("").stdout_has("pushwrap metric");
    Pushwrap::new().arg("version").call().exit(0).stderr("").stdout_has("pushwrap ");
    Pushwrap::new().args(["help", "metrik"]).call().exit(2).stdout("").stderr_has("there is no subcommand 'metrik'");
    Pushwrap::new().args(["chek", "x"]).call().exit(125).stdout("").stderr(
        "pushwrap: there is no subcommand 'chek': did you mean 'pushwrap check'?\n\
         pushwrap: a command stands behind '--': pushwrap [OPTIONS] -- chek ...\n",
    );
    let run = Pushwrap::new().arg("metric").call().exit(2).stdout("");
    run.stderr("pushwrap: a verb is missing: pushwrap metric set|add|observe|time ...\npushwrap: for more information, try '--help'.\n");
    let run = Pushwrap::new().args(["metric", "add", "orders_total", "3", "kind=x"]).call().exit(2);
    run.stderr("pushwrap: unexpected argument 'kind=x' found: a label is written -l kind=x\n");
}

/// Given a summary's format as people write it, when a command is run, then it counts.
#[test]
fn a_format_of_the_summary_may_stand_apart() {
    let run = Pushwrap::new().args(["--url", "none", "--summary", "json"]).run(["true"]).exit(0);
    assert!(run.stderr.starts_with('{'), "{}", run.stderr);
}

/// Given `metric` alone, when it is called, then one sentence says which verbs there are.
#[test]
fn metric_without_a_verb_is_one_sentence() {
    let run = Pushwrap::new().arg("metric").call().exit(2).stdout("");
    run.stderr(
        "pushwrap: a verb is missing: pushwrap metric set|add|observe|time ...\npushwrap: for more information, try '--help'.\n",
    );
}

/// Given a gateway that is busy at first, when it is pushed to, then -vv tells each try, and -v what came of them all.
#[test]
fn each_try_is_told_to_who_asks_twice() {
    let said = |volume: &str| {
        let gateway = FakeGateway::start([Reply::status("503 Service Unavailable", "busy"), Reply::ok()]);
        let run = Pushwrap::new().args([volume, "--url", &gateway.url(), "--job", "j", "--instance", "none"]);
        run.run(["true"]).exit(0).stderr.replace(&gateway.url(), "URL")
    };
    let last = "pushwrap: pushed {job=\"j\"} to 'URL' (200, 2 tries)\n";
    assert_eq!(said("-v"), last);
    let all = said("-vv");
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(lines[0].starts_with("pushwrap: try 1, POST 'URL': 503 Service Unavailable: busy ("), "{all}");
    assert!(lines[1].starts_with("pushwrap: try 2, POST 'URL': 200") && lines[1].ends_with(" left)"), "{all}");
    assert!(all.ends_with(last), "{all}");
}

#[test]
fn without_a_command_the_usage_is_shown() {
    Pushwrap::new().call().exit(125).stderr_has("pushwrap: no command given: pushwrap [OPTIONS] -- COMMAND [ARG]...");
    Pushwrap::new().arg("--").call().exit(125).stderr_has("no command given");
}

#[test]
fn wrong_usage_of_a_subcommand_is_2() {
    Pushwrap::new().args(["check"]).call().exit(2).stdout("").stderr_has("<FILE>");
    Pushwrap::new().args(["push", "--url", "http://gw"]).call().exit(2).stderr_has("--job is required");
}

#[test]
fn a_wrong_variable_about_reporting_fails_the_push_and_not_the_command() {
    for (variable, value) in [
        ("PUSHWRAP_PUSH_TIMEOUT", "soon"),
        ("PUSHWRAP_LABEL", "a=1,b"),
        ("PUSHWRAP_LABEL", "le=1"),
        ("PUSHWRAP_SUCCESS_CODES", "zero"),
        ("PUSHWRAP_SKIP_CODES", "0"),
        ("PUSHWRAP_LABEL", "outcome=x"),
        ("PUSHWRAP_PREFIX", "pushgateway_http_push_"),
        ("PUSHWRAP_REPLACE", "perhaps"),
        ("PUSHWRAP_MAX_AGE", "x"),
        ("PUSHWRAP_ENV_FILE", "/nonexistent/env"),
    ] {
        let gateway = FakeGateway::start([Reply::ok()]);
        let call = || Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).env(variable, value);
        let run = call().run(["sh", "-c", "echo out; exit 3"]).exit(3).stdout("out\n");
        assert!(run.stderr.starts_with("pushwrap: "), "{variable}: {}", run.stderr);
        assert!(run.stderr.contains("nothing was pushed"), "{variable}: {}", run.stderr);
        call().arg("--require-push").run(["true"]).exit(125);
        assert!(gateway.requests().is_empty(), "{variable}: something was pushed");
    }
}

/// Given variables that contradict themselves, when a command is run, then that is said once.
#[test]
fn a_contradiction_is_said_once() {
    let said = |variables: &[(&str, &str)], message: &str| {
        let call = variables.iter().fold(Pushwrap::new(), |call, (name, value)| call.env(name, value));
        let rest = "pushwrap: the run is not reported: nothing was pushed\n";
        call.run(["true"]).exit(0).stderr(&format!("pushwrap: {message}\n{rest}"));
    };
    said(&[("PUSHWRAP_URL", "none,none")], "--url none stands alone: it means that nothing is reported");
    let twice = [("PUSHWRAP_URL", "http://gw"), ("PUSHWRAP_LABEL", "instance=a"), ("PUSHWRAP_INSTANCE", "b")];
    said(&twice, "the label 'instance' is given twice, by --instance and by --label");
}

#[test]
fn a_wrong_variable_about_the_command_stops_it() {
    for variable in ["PUSHWRAP_TIMEOUT", "PUSHWRAP_SIGNAL", "PUSHWRAP_KILL_AFTER"] {
        let run = Pushwrap::new().env(variable, "x").run(["echo", "started"]).exit(125).stdout("");
        run.stderr_has(&format!("pushwrap: invalid value 'x' for {variable}: expected"));
    }
}

#[test]
fn flag_environment_and_env_file_in_this_order() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let call = || Pushwrap::new().args(["--instance", "none", "--url", &gateway.url()]);
    let file = |call: &Pushwrap, text: &str| {
        let path = call.directory().join("env");
        fs::write(&path, text).unwrap();
        path
    };
    let path_of = |call: Pushwrap| {
        call.run(["true"]).exit(0);
        let line = gateway.requests().last().unwrap().line();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let from_file = call();
    let named = file(&from_file, "# comment\n; another\nPUSHWRAP_JOB=\"from file\"\nPUSHWRAP_LABEL=a=1,b=2\n");
    assert_eq!(path_of(from_file.arg("--env-file").arg(named)), "/metrics/job@base64/ZnJvbSBmaWxl/a/1/b/2");
    let from_environment = call();
    let named = file(&from_environment, "PUSHWRAP_JOB=file\n");
    let from_environment = from_environment.env("PUSHWRAP_ENV_FILE", named).env("PUSHWRAP_JOB", "environment");
    assert_eq!(path_of(from_environment), "/metrics/job/environment");
    assert_eq!(path_of(call().env("PUSHWRAP_JOB", "environment").args(["--job", "flag"])), "/metrics/job/flag");
    assert_eq!(path_of(call().env("PUSHWRAP_JOB", "")), "/metrics/job/true");
    let without = || Pushwrap::new().args(["--job", "j", "--url", &gateway.url()]);
    assert_eq!(
        path_of(without().env("PUSHWRAP_LABEL", "instance=x").args(["--instance", "y"])),
        "/metrics/job/j/instance/y"
    );
    assert_eq!(
        path_of(without().env("PUSHWRAP_INSTANCE", "y").args(["-l", "instance=x"])),
        "/metrics/job/j/instance/x"
    );
}

/// Given an env file with lines that are no settings, when a command is run, then each is named, none is printed, and it runs.
#[test]
fn a_line_of_the_env_file_that_is_no_setting_is_said() {
    let with = |text: &[u8]| {
        let call = Pushwrap::new().args(["--url", "none"]);
        let path = call.directory().join("env");
        fs::write(&path, text).unwrap();
        (call.arg("--env-file").arg(&path).run(["true"]).exit(0), path.display().to_string())
    };
    let (run, path) = with(b"export PUSHWRAP_JOB=secret\n\nsecret\nPUSHWRAP_JOB=a\0b\nsecret 1\nsecret 2=\n");
    run.stderr(&format!(
        "pushwrap: {path}:1: expected KEY=VALUE without 'export'; it is left out\n\
         pushwrap: {path}:3: expected KEY=VALUE; it is left out\n\
         pushwrap: {path}:4: the line holds a NUL byte; it is left out\n\
         pushwrap: {path}: 2 more lines are left out\n"
    ));
    let (run, path) = with(b"\xff\xfeP\0U\0");
    run.stderr_has(&format!("cannot read env file '{path}': it is UTF-16, save it as UTF-8\n"));
    let (run, path) = with(b"PUSHWRAP_TEXTFILE=x\n");
    run.stderr(&format!(
        "pushwrap: no option has the variable PUSHWRAP_TEXTFILE ({path}:1): did you mean PUSHWRAP_TEXTFILE_MAX?\n"
    ));
    let run = Pushwrap::new().args(["--url", "none", "--env-file", "/nonexistent"]).run(["true"]).exit(0);
    run.stderr_has("cannot read env file '/nonexistent': no such file or directory\n");
}

/// Given options whose variables a fork's CI does not have, when the tests are run, then empty values are as good as none.
#[test]
fn an_empty_value_was_not_given() {
    let run = Pushwrap::new().args(["--url", "", "--job", "", "-l", ""]).run(["sh", "-c", "exit 3"]).exit(3);
    run.stderr_has("pushwrap_exit_code 3")
        .stderr_has("these metrics go to a Pushgateway with --url")
        .stderr_lacks("invalid");
    let gateway = FakeGateway::start([Reply::ok()]);
    let empty = [
        "--url",
        "--job",
        "--label",
        "--instance",
        "--env-file",
        "--info",
        "--max-age",
        "--schedule",
        "--schedule-margin",
        "--user",
        "--password-file",
        "--token-file",
        "--header",
        "--cacert",
        "--cert",
        "--key",
        "--proxy",
        "--push-timeout",
        "--push-interval",
        "--prefix",
        "--summary",
        "--output",
        "--remote-write",
        "--timeout",
        "--signal",
        "--kill-after",
        "--success-codes",
        "--skip-codes",
        "--textfile",
        "--textfile-max",
        "--state-dir",
    ];
    let options = empty.iter().map(|option| format!("{option}="));
    let call = Pushwrap::new().args(options).env("PUSHWRAP_URL", gateway.url()).env("PUSHWRAP_INSTANCE", "none");
    call.run(["true"]).exit(0).stderr_lacks("invalid").stderr_lacks("cannot");
    let paths: Vec<String> = gateway.requests().iter().map(Request::line).collect();
    assert_eq!(paths, ["POST /metrics/job/true HTTP/1.1"]);
    Pushwrap::new().args(["groups", "--url", ""]).call().exit(2).stderr_has("no gateway is named");
    Pushwrap::new()
        .args(["prune", "--url", "http://gw", "--older-than", ""])
        .call()
        .exit(2)
        .stderr_has("--older-than is required");
    Pushwrap::new().args(["delete", "--url", "http://gw", "--job", ""]).call().exit(2).stderr_has("--job is required");
}

/// Given settings with line ends behind them, as `echo` and editors leave them in a Secret, when a command is run, then they
/// count without.
#[test]
fn line_ends_behind_a_setting_are_none_of_it() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let url = format!("{}\r\n", gateway.url());
    let call =
        Pushwrap::new().env("PUSHWRAP_URL", url).env("PUSHWRAP_USER", "me:s3cret\n").env("PUSHWRAP_JOB", "j\n\n");
    call.env("PUSHWRAP_INSTANCE", "none\n").env("PUSHWRAP_TIMEOUT", "9\n").run(["true"]).exit(0).stderr("");
    let requests = gateway.requests();
    assert_eq!(requests[0].line(), "POST /metrics/job/j HTTP/1.1");
    assert_eq!(requests[0].header("authorization").as_deref(), Some("Basic bWU6czNjcmV0"));
}

/// Given labels that cannot be below the command line, when a command is run, then it is said where they stand.
#[test]
fn a_label_that_cannot_be_is_named_with_its_source() {
    for (value, reason) in [
        ("le=1", "invalid value 'le=1' for {}: 'le' cannot be a grouping label: histograms use it for their buckets"),
        (
            "quantile=1",
            "invalid value 'quantile=1' for {}: 'quantile' cannot be a grouping label: summaries use it for their quantiles",
        ),
        ("job=x", "invalid value 'job=x' for {}: 'job' cannot be a grouping label: the job is named by --job"),
        (
            "mode=x",
            "invalid value 'mode=x' for {}: 'mode' cannot be a grouping label: the run's own metrics have a label of that name",
        ),
        ("a=1,a=2", "invalid grouping key: the label 'a' is given twice, by {}"),
    ] {
        let said = |source: &str| {
            format!(
                "pushwrap: {}\npushwrap: the run is not reported: nothing was pushed\n",
                reason.replace("{}", source)
            )
        };
        let call = || Pushwrap::new().args(["--url", "http://gw", "--job", "j"]);
        call().env("PUSHWRAP_LABEL", value).run(["sh", "-c", "exit 3"]).exit(3).stderr(&said("PUSHWRAP_LABEL"));
        let from_file = call();
        let path = from_file.directory().join("env");
        fs::write(&path, format!("# labels\nPUSHWRAP_LABEL={value}\n")).unwrap();
        let source = format!("PUSHWRAP_LABEL ({}:2)", path.display());
        from_file.arg("--env-file").arg(&path).run(["true"]).exit(0).stderr(&said(&source));
    }
    let call = Pushwrap::new().args(["--url", "http://gw", "--job", "j"]).env("PUSHWRAP_INFO", "a=1,a=2");
    call.run(["true"]).exit(0).stderr_has("pushwrap: the label 'a' is given twice, by PUSHWRAP_INFO\n");
}

#[test]
fn a_misspelled_variable_in_the_env_file_is_said() {
    let call = Pushwrap::new().args(["--url", "none"]);
    let path = call.directory().join("env");
    fs::write(&path, "PUSHWRAP_URLS=x\nOTHER=y\n").unwrap();
    let hint = "did you mean PUSHWRAP_URL?";
    let expected = format!("pushwrap: no option has the variable PUSHWRAP_URLS ({}:1): {hint}\n", path.display());
    call.arg("--env-file").arg(&path).run(["true"]).exit(0).stderr(&expected);
}

/// Given misspelled variables in the environment, when a command is run, then each is named with the one that was meant, the
/// command finds them as they were, and what a run gives its own command is none of them.
#[test]
fn a_misspelled_variable_in_the_environment_is_said() {
    let call = Pushwrap::new()
        .args(["--url", "none"])
        .env("PUSHWRAP_ULR", "x")
        .env("PUSHWRAP_ZZZZZ", "")
        .env("PUSHWRAP_TEXTFILE", "/x");
    call.run(["sh", "-c", "echo $PUSHWRAP_ULR"]).exit(0).stdout("x\n").stderr(
        "pushwrap: no option has the variable PUSHWRAP_ULR: did you mean PUSHWRAP_URL?\n\
         pushwrap: no option has the variable PUSHWRAP_ZZZZZ\n",
    );
}

/// Given an env file that everybody can write, when a command is run, then the file does not count: it could send our
/// credentials anywhere. One that another user can write is said where root runs pushwrap.
#[test]
fn an_env_file_that_others_can_write_is_said() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let with = |mode: u32, owner: Option<u32>| {
        let call = Pushwrap::new().args(["--job", "j"]);
        let path = call.directory().join("env");
        fs::write(&path, format!("PUSHWRAP_URL={}\n", gateway.url())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, owner, owner).unwrap();
        (call.arg("--env-file").arg(&path).run(["sh", "-c", "exit 3"]).exit(3), path.display().to_string())
    };
    let (run, path) = with(0o646, None);
    run.stderr(&format!(
        "pushwrap: cannot read env file '{path}': everybody can write it, take that away with chmod o-w\n\
         pushwrap: the run is not reported: nothing was pushed\n"
    ));
    assert!(gateway.requests().is_empty());
    with(0o644, None).0.stderr("");
    if nix::unistd::geteuid().is_root() {
        let (run, path) = with(0o600, Some(1234));
        run.stderr(&format!("pushwrap: user 1234 can change env file '{path}'\n"));
    }
}

/// A shell's `<(…)` is a descriptor, and a run lets go of all that are the command's.
#[test]
fn a_file_that_is_a_descriptor_is_said_to_be_one() {
    let script = "exec \"$0\" --url http://127.0.0.1:1 --job j -u me --password-file <(echo pw) -- sh -c 'exit 3'";
    let out = Command::new("bash").args(["-c", script]).arg(binary()).env(NO_STATE.0, NO_STATE.1).output_in_time();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot read password file '/dev/fd/") && said.contains("name a file"), "{said}");
}

/// One that is for root alone must not take the reports of everybody else away.
#[test]
fn a_default_env_file_can_be_done_without() {
    let gateway = FakeGateway::start([Reply::ok(), Reply::ok()]);
    for none in ["none", "/dev/null"] {
        let call = Pushwrap::new().args(["--env-file", none, "--url", &gateway.url(), "--job", "j"]);
        call.run(["true"]).exit(0).stderr("");
    }
    assert_eq!(gateway.requests().len(), 2);
}

/// Given a state directory below one that is not there, when a command is run, then nothing is made and it is said what is
/// missing: a mistake in a path.
#[test]
fn a_state_directory_is_made_in_one_that_is_there() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let with = |path: &std::path::Path| {
        let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).arg("--state-dir").arg(path);
        call.run(["sh", "-c", "exit 3"]).exit(3)
    };
    let above = tempfile::tempdir().unwrap();
    let typo = above.path().join("typo");
    with(&typo.join("state")).stderr_has(&format!("there is no directory '{}'", typo.display()));
    assert!(!typo.exists());
    let state = above.path().join("state");
    with(&state).stderr("");
    assert!(state.is_dir());
}

/// Given a state directory that everybody can write, then each run says so.
#[test]
fn a_state_directory_that_others_can_write_is_said() {
    let gateway = FakeGateway::start([Reply::ok()]);
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let call = Pushwrap::new().args(["--url", &gateway.url(), "--job", "j"]).arg("--state-dir").arg(state.path());
    let directory = state.path().display();
    let expected = format!("everybody can write state directory '{directory}', take that away with chmod o-w");
    call.run(["sh", "-c", "exit 3"]).exit(3).stderr(&format!("pushwrap: {expected}\n"));
}

/// Given a URL with a query, when a command is run, then each request has it, and no message and no command does.
#[test]
fn a_query_of_the_url_is_kept_and_not_shown() {
    let gateway = FakeGateway::start([Reply::status("400 Bad Request", "no"), Reply::ok(), Reply::ok()]);
    let [first, second] = ["a", "b"].map(|team| format!("{}/p?extra_label=s3cret%3D{team}", gateway.url()));
    let call = || Pushwrap::new().args(["--job", "j", "--instance", "none"]);
    call().args(["--url", &first]).run(["true"]).exit(0).stderr_has("/p'").stderr_lacks("s3cret");
    let run = call().args(["-v", "--url", &first, "--url", &second]).env("PUSHWRAP_URL", &first);
    run.run(["sh", "-c", "echo $PUSHWRAP_URL"]).exit(0).stdout("\n").stderr_lacks("s3cret");
    let mut lines: Vec<String> = gateway.requests().iter().map(Request::line).collect();
    lines.sort();
    let [line, other] = ["a", "b"].map(|team| format!("POST /p/metrics/job/j?extra_label=s3cret%3D{team} HTTP/1.1"));
    assert_eq!(lines, [line.clone(), line, other]);
    let run = call().args(["-n", "--url", &first]).run(["true"]).exit(0).stderr_lacks("s3cret");
    run.stderr_has("POST /p/metrics/job/j?(redacted) HTTP/1.1\n");
}

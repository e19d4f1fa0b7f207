//! The examples and the code blocks of the pages are right as they stand: command lines are parsed, configurations are loaded by
//! the program they are for.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pushwrap::cli;
use serde_json::Value;

use super::harness::pushgateway::Version;
use super::harness::{Pushgateway, Pushwrap, pages, server};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory of the repository.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("target") => {}
            true => found.append(&mut files_below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Pages and examples with their text.
fn texts() -> Vec<(PathBuf, String)> {
    let mut paths = files_below(&root().join("examples"));
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(pages.filter(|path| path.is_file()));
    paths.push(root().join("README.md"));
    paths.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect()
}

/// The fenced blocks of a page in one of these languages.
fn blocks(text: &str, languages: &[&str]) -> Vec<String> {
    let blocks = pages::blocks_of("", text).into_iter();
    blocks.filter(|block| languages.contains(&block.language.as_str())).map(|block| block.text).collect()
}

/// Splits a simple command as a shell would, expansions left as they are; it ends where the shell's own syntax begins.
fn arguments(line: &str) -> Vec<String> {
    let (mut arguments, mut word, mut mark) = (Vec::new(), None::<String>, None);
    for each in line.chars() {
        match (mark, each) {
            (Some(open), _) if open == each => mark = None,
            (None, '\'' | '"') => {
                mark = Some(each);
                word.get_or_insert_default();
            }
            (None, ' ') => arguments.extend(word.take()),
            (None, ';' | '|' | '>' | '&' | '\n' | '#') if each != '#' || word.is_none() => break,
            _ => word.get_or_insert_default().push(each),
        }
    }
    arguments.extend(word);
    arguments
}

/// The calls of pushwrap in a text, with lines that a backslash goes on joined.
fn calls(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let starts = ["pushwrap ", "exec pushwrap ", "$ pushwrap ", "- run: pushwrap ", "/usr/bin/pushwrap "];
    let call = |line: &str| {
        let line =
            line.trim().trim_start_matches("ExecStart=").trim_start_matches("steps { sh '").trim_start_matches("- ");
        let crontab = line
            .split_once(" pushwrap ")
            .filter(|(time, _)| time.starts_with(|c: char| c.is_ascii_digit() || c == '*'));
        if let Some((_, rest)) = crontab {
            return Some(rest.to_owned());
        }
        starts.iter().find_map(|start| line.strip_prefix(start)).map(str::to_owned)
    };
    joined.lines().filter_map(call).collect()
}

#[test]
fn every_call_of_pushwrap_in_pages_and_examples_is_good_usage() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in texts() {
        let page = path.extension().is_some_and(|name| name == "md");
        let texts = if page { blocks(&text, &["sh", "console", "yaml", "crontab", "ini"]) } else { vec![text] };
        for call in texts.iter().flat_map(|text| calls(text)) {
            let arguments: Vec<OsString> =
                [vec!["pushwrap".to_owned()], arguments(&call)].concat().into_iter().map(Into::into).collect();
            seen += 1;
            if let Err(cli::Stop::Wrong { message, .. }) = cli::parse(&arguments) {
                wrong.push(format!("{}: pushwrap {call}\n{message}", path.display()));
            }
        }
    }
    assert!(seen > 30, "only {seen} calls were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_shell_blocks_of_the_pages_are_shell() {
    for (path, text) in texts().into_iter().filter(|(path, _)| path.extension().is_some_and(|name| name == "md")) {
        for block in blocks(&text, &["sh"]) {
            let checked = Command::new("sh").args(["-n", "-c", &block]).output().unwrap();
            assert!(
                checked.status.success(),
                "{}: {block}{}",
                path.display(),
                String::from_utf8_lossy(&checked.stderr)
            );
        }
    }
    for script in files_below(&root().join("examples")) {
        let Ok(text) = fs::read_to_string(&script) else { continue };
        if let Some(shell) = text.lines().next().and_then(|line| line.strip_prefix("#!")) {
            assert!(Command::new(shell).arg("-n").arg(&script).status().unwrap().success(), "{}", script.display());
        }
    }
}

#[test]
fn prometheus_takes_the_configuration_of_the_compose_files() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["compose/prometheus.yml", "alerts/gateway.yml", "alerts/recording-rules.yml"] {
        let name = Path::new(file).file_name().unwrap();
        fs::copy(root().join("examples").join(file), directory.path().join(name)).unwrap();
    }
    let checked = Command::new(server::program("promtool"))
        .args(["check", "config", "prometheus.yml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn nginx_takes_the_configuration_of_the_secured_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new(server::program("openssl"))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "tls.key", "-out", "tls.crt"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(directory.path().join("htpasswd"), "").unwrap();
    let text = fs::read_to_string(root().join("examples/compose/secured/nginx.conf")).unwrap();
    // The name that only the containers' network has.
    let text = text.replace("pushgateway:9091", "127.0.0.1:9091");
    let text = text.replace(
        "http {",
        "pid nginx.pid;\nerror_log stderr;\nhttp {\naccess_log off; client_body_temp_path b; proxy_temp_path p; \
                             fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;",
    );
    fs::write(directory.path().join("nginx.conf"), text).unwrap();
    let checked = Command::new(server::program("nginx"))
        .args(["-t", "-p"])
        .arg(directory.path())
        .args(["-c", "nginx.conf"])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_recorded_metrics_of_the_spring_boot_job_arrive_whole() {
    let gateway = Pushgateway::start(Version::Newest);
    let recorded = root().join("examples/spring-boot/recorded.prom");
    let copy = format!("cp '{}' \"$PUSHWRAP_TEXTFILE\"", recorded.display());
    Pushwrap::new().push_to(&gateway, "hello").run(["sh", "-c", &copy]).exit(0).stderr("");
    let group = gateway.group([("job", "hello")]).expect("the job's group");
    assert_eq!(group.number("hello_counter_total", []), Some(5.0));
    assert_eq!(group.number("pushwrap_textfile_errors", []), Some(0.0));
    let samples = fs::read_to_string(&recorded).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(group.value("pushwrap_textfile_samples", []), Some(samples.to_string()));
}

#[test]
fn the_dashboard_asks_the_data_source_that_is_chosen() {
    let text = fs::read_to_string(root().join("examples/grafana/pushwrap.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        variables.iter().map(|each| each["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["datasource", "job", "instance"]
    );
}

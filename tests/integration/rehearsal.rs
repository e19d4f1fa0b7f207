//! `--dry-run`: what is printed can be replayed as it stands, and nothing is sent.

use std::process::Command;

use super::harness::{FakeGateway, Pushwrap, Reply, Run, server};

fn dry_run(options: &[&str]) -> Run {
    let call = Pushwrap::new().args(["-n", "--job", "j", "--instance", "none"]).args(options);
    call.run(["true"]).exit(0).stdout("")
}

/// The command after `not sent: `.
#[track_caller]
fn command(run: &Run) -> &str {
    let lines = run.stderr.lines();
    let command = lines.filter_map(|line| line.strip_prefix("pushwrap: not sent: ")).next_back();
    command.unwrap_or_else(|| panic!("no command in:\n{}", run.stderr))
}

/// Given a receiver of remote write, when a run is dry, then the command that is printed sends what a run would send.
#[test]
fn remote_write_can_be_replayed() {
    let receiver = FakeGateway::start([Reply::status("204 No Content", "")]);
    let run = dry_run(&["--remote-write", &format!("{}/api/v1/write", receiver.url())]);
    assert_eq!(receiver.connections(), 0);
    let path = server::path_with("curl");
    let output = Command::new("sh").args(["-c", command(&run)]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let request = receiver.requests().pop().unwrap();
    assert_eq!(request.line(), "POST /api/v1/write HTTP/1.1");
    assert_eq!(request.header("content-encoding").as_deref(), Some("snappy"));
    assert_eq!(request.header("content-type").as_deref(), Some("application/x-protobuf"));
    let head = request.raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let message = snap::raw::Decoder::new().decompress_vec(&request.raw[head..]).unwrap();
    assert!(String::from_utf8_lossy(&message).contains("pushwrap_exit_code"));
}

#[test]
fn a_proxy_is_part_of_the_command() {
    let run = dry_run(&["--url", "http://gw", "--proxy", "http://me:s3cret@proxy:3128"]);
    run.stderr_has(" --proxy http://proxy:3128 --proxy-user me ").stderr_lacks("s3cret");
    dry_run(&["--url", "http://gw", "--proxy", ""]).stderr_has(" --noproxy '*' ");
    let call = Pushwrap::new().args(["-n", "--url", "http://gw"]).env("http_proxy", "proxy:1");
    call.run(["true"]).exit(0).stderr_has(" --proxy http://proxy:1 ");
}

#[test]
fn a_delete_has_no_body() {
    let run = dry_run(&["--url", "http://gw", "--delete-on-success"]);
    assert_eq!(command(&run), "curl -sS -X DELETE http://gw/metrics/job/j");
    run.stderr_lacks("body").stderr_has("DELETE /metrics/job/j HTTP/1.1");
    let gateway = FakeGateway::start([Reply::status("202 Accepted", "")]);
    let call = Pushwrap::new().args(["-v", "--job", "j", "--instance", "none", "--delete-on-success", "--url"]);
    let deleted = format!("pushwrap: deleted {{job=\"j\"}} at '{}' (202)\n", gateway.url());
    call.arg(gateway.url()).run(["true"]).exit(0).stderr(&deleted);
}

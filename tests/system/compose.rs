//! Both compose files come up, a job reports to them as their first lines say, and Prometheus knows it. The images are made here
//! of Debian's programs, because none can be fetched; Grafana has no such package and is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::engine::{docker, need_program};
use super::harness::{http, pushwrap, server, wait_for};

/// The ports of the files are fixed, so that only one is up at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Services of a compose file. Dropping them takes them down, with their volumes.
struct Project {
    directory: tempfile::TempDir,
    file: &'static str,
}

/// What an official image does by itself, for an image of the same program.
const SERVICES: [(&str, &str, &[&str]); 3] = [
    ("pushgateway", "pushgateway-1.5.1", &["/program"]),
    (
        "prometheus",
        "prometheus",
        &["/program", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
    ),
    (
        "nginx",
        "nginx",
        &["/program", "-c", "/etc/nginx/nginx.conf", "-e", "/dev/stderr", "-g", "daemon off; user root;"],
    ),
];

/// Copies a program and the libraries that it needs. It may be a script that starts the program with libraries of its own.
const COLLECT: &str = r#"program=$1 libraries=
case $(head -c 2 "$1") in '#!')
    program=$(sed -n "s/.*exec '\([^']*\)'.*/\1/p" "$1")
    libraries=$(sed -n "s/.*LD_LIBRARY_PATH='\([^']*\)'.*/\1/p" "$1") ;;
esac
cp "$program" program
LD_LIBRARY_PATH=$libraries ldd "$program" 2>/dev/null | grep -o '/[^ )]*' | while read -r library; do
    cp --parents -L "$library" .
done
mkdir -p data prometheus var/log/nginx var/lib/nginx run etc tmp
chmod 1777 tmp
echo root:x:0:0::/: >etc/passwd
echo root:x:0: >etc/group
printf 'FROM scratch\nCOPY . /\nENV LD_LIBRARY_PATH=%s\nENTRYPOINT %s\n' "$libraries" "$2" >Dockerfile
"#;

/// An image whose entry point is this program.
#[track_caller]
fn image(name: &str, program: &str, entry: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(server::program(program)).unwrap();
    let mut collect = Command::new("sh");
    collect.args(["-euc", COLLECT, "sh"]).arg(&path).arg(json!(entry).to_string()).current_dir(directory.path());
    let collected = collect.output().unwrap();
    assert!(collected.status.success(), "{collected:?}");
    let image = format!("pushwrap-test-{name}");
    docker(["build", "-q", "-t", &image, directory.path().to_str().unwrap()]);
    image
}

impl Project {
    /// Copies the examples and brings a compose file of theirs up, after `prepare` has been called with its directory.
    #[track_caller]
    fn up(file: &'static str, prepare: impl FnOnce(&Path)) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap(), file };
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        assert!(Command::new("cp").arg("-r").arg(examples).arg(project.directory.path()).status().unwrap().success());
        prepare(project.file().parent().unwrap());
        let text = fs::read_to_string(project.file()).unwrap();
        let services = SERVICES.iter().filter(|(name, ..)| text.contains(&format!("\n  {name}:\n")));
        let images = services.map(|(name, program, entry)| {
            // Like the official images: an entry point, and a command of its own that the file may replace.
            ((*name).to_owned(), json!({ "image": image(name, program, entry) }))
        });
        let images: serde_json::Map<String, Value> = images.collect();
        let names: Vec<String> = images.keys().cloned().collect();
        // JSON is YAML.
        fs::write(project.images(), json!({ "version": "3.8", "services": images }).to_string()).unwrap();
        let out = project.compose(
            &[&["up", "-d", "--no-build"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat(),
        );
        assert!(out.status.success(), "{file}: {out:?}");
        project
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("examples").join(self.file)
    }

    /// The second file, which replaces the images.
    fn images(&self) -> PathBuf {
        self.directory.path().join("images.yaml")
    }

    fn compose(&self, arguments: &[&str]) -> Output {
        let mut compose = Command::new(need_program("docker-compose", "docker-compose"));
        compose.args(["-p", "pushwrap-test", "-f"]).arg(self.file()).arg("-f").arg(self.images());
        compose.args(arguments).output().unwrap()
    }

    /// Runs the command of the file's first comment that begins so, in the directory of the file.
    #[track_caller]
    fn command(&self, begin: &str) -> Output {
        run_in(self.file().parent().unwrap(), &command_of_comment(&self.file(), begin))
    }
}

/// A command that the first comment of a file shows its user.
#[track_caller]
fn command_of_comment(file: &Path, begin: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let comment: String = text.lines().map_while(|line| line.strip_prefix('#')).collect::<Vec<_>>().join("\n");
    let comment = comment.replace("\\\n", " ");
    let found = comment.lines().map(str::trim).find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("{} has no command '{begin}'", file.display())).to_owned()
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes"]);
    }
}

/// Runs a command by a shell that finds pushwrap and the tests' programs.
fn run_in(directory: &Path, command: &str) -> Output {
    let programs = ["openssl", "htpasswd"].map(|name| server::program(name).parent().unwrap().display().to_string());
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(pushwrap::binary(), own.path().join("pushwrap")).unwrap();
    let path = format!("{}:{}:{}", own.path().display(), std::env::var("PATH").unwrap(), programs.join(":"));
    let mut shell = Command::new("sh");
    shell.args(["-ec", command]).current_dir(directory).env("PATH", path).env("PUSHWRAP_STATE_DIR", "none");
    shell.output().unwrap()
}

/// The answer of the Prometheus at its fixed port.
fn ask(path: &str) -> Option<Value> {
    let answer = http::request("GET", &format!("http://127.0.0.1:9090{path}"), b"").ok()?;
    serde_json::from_str(&answer.body).ok()
}

/// Waits until Prometheus knows that the job succeeded, and has loaded the rules.
#[track_caller]
fn prometheus_knows(job: &str) {
    let query = format!("/api/v1/query?query=pushwrap_success%7Bjob%3D%22{job}%22%7D");
    let value = wait_for("the job in Prometheus", || {
        Some(ask(&query)?["data"]["result"].get(0)?["value"][1].as_str()?.to_owned())
    });
    assert_eq!(value, "1");
    let rules = ask("/api/v1/rules").unwrap();
    let names: Vec<&str> =
        rules["data"]["groups"].as_array().unwrap().iter().filter_map(|group| group["name"].as_str()).collect();
    assert_eq!(names, ["pushwrap", "pushwrap-recording"]);
}

#[test]
fn the_plain_compose_file_comes_up_and_knows_a_job() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::up("compose/compose.yaml", |_| ());
    wait_for("the gateway", || {
        http::request("GET", "http://127.0.0.1:9091/-/ready", b"").ok().filter(|answer| answer.status == 200)
    });
    let run = project.command("pushwrap ");
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    prometheus_knows("hello");
}

#[test]
fn the_secured_compose_file_comes_up_and_knows_a_job() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::up("compose/secured/compose.yaml", |directory| {
        fs::write(directory.join("password"), "secret\n").unwrap();
        for begin in ["openssl ", "htpasswd "] {
            let made = run_in(directory, &command_of_comment(&directory.join("compose.yaml"), begin));
            assert!(made.status.success(), "{made:?}");
        }
    });
    let ready = "pushwrap groups --url https://localhost:9443 --user jobs --password-file password --cacert tls.crt";
    let directory = project.file().parent().unwrap().to_owned();
    wait_for("the gateway behind nginx", || run_in(&directory, ready).status.success().then_some(()));
    let run = project.command("pushwrap ");
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    prometheus_knows("hello");
    // Without the password nobody is let in, and nginx is the only way.
    let stranger = run_in(&directory, "pushwrap groups --url https://localhost:9443 --cacert tls.crt");
    assert!(!stranger.status.success() && String::from_utf8_lossy(&stranger.stderr).contains("401"), "{stranger:?}");
    assert!(http::request("GET", "http://127.0.0.1:9091/-/ready", b"").is_err(), "the gateway itself is not published");
}

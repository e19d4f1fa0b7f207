//! The examples as the programs that they are for take them: systemd's units, compose files, Kustomize components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::engine::need_program;
use super::harness::pushwrap;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_takes_the_units() {
    let analyze = need_program("systemd-analyze", "systemd");
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(examples().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        // Programs that this machine has, in place of those of the examples.
        let unit = fs::read_to_string(&path).unwrap().replace("/usr/local/bin/backup", "/bin/true");
        let unit = unit.replace("/usr/bin/pushwrap", pushwrap::binary().to_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().replace("@.", "@cleanup.");
        fs::write(directory.path().join(name), unit).unwrap();
    }
    let units: Vec<PathBuf> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(units.len() >= 5, "{units:?}");
    let verified = Command::new(analyze).arg("verify").args(&units).output().unwrap();
    let said = text(&verified);
    let ours =
        said.lines().filter(|line| units.iter().any(|unit| line.contains(unit.file_name().unwrap().to_str().unwrap())));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new(), "{said}");
}

#[test]
fn docker_compose_takes_the_compose_files() {
    let compose = need_program("docker-compose", "docker-compose");
    for file in ["compose/compose.yaml", "compose/secured/compose.yaml"] {
        let checked =
            Command::new(&compose).arg("-f").arg(examples().join(file)).args(["config", "-q"]).output().unwrap();
        assert!(checked.status.success(), "{file}: {}", text(&checked));
        for mount in fs::read_to_string(examples().join(file))
            .unwrap()
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- ."))
        {
            let source =
                examples().join(file).with_file_name("").join(format!(".{}", mount.split(':').next().unwrap()));
            let made_by_hand = ["htpasswd", "tls.crt", "tls.key"].iter().any(|name| source.ends_with(name));
            assert!(made_by_hand || source.exists(), "{file} mounts '{}', which is not there", source.display());
        }
    }
}

#[test]
fn kustomize_puts_pushwrap_in_front_of_a_command() {
    let kubectl = need_program("kubectl", "kubernetes-client");
    let built = Command::new(kubectl).arg("kustomize").arg(examples().join("kubernetes/overlay")).output().unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let manifest = String::from_utf8(built.stdout).unwrap();
    let command = manifest.split("- command:\n").nth(1).unwrap_or(&manifest);
    let arguments: Vec<&str> = command.lines().map_while(|line| line.trim().strip_prefix("- ")).collect();
    let expected = [
        "/pushwrap-bin/pushwrap",
        "--url=http://pushgateway.monitoring:9091",
        "--",
        "/app/cleanup",
        "--older-than",
        "7d",
    ];
    assert_eq!(arguments, expected, "{manifest}");
    assert!(manifest.contains("- install\n"), "an init container brings the binary: {manifest}");
}

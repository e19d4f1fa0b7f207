//! Commands that run other commands: a job that is named after one of them shares its group with every other such job.

/// Shells, interpreters, launchers and build tools: many different jobs have this file name.
const LAUNCHERS: [&str; 91] = [
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "mksh",
    "fish",
    "csh",
    "tcsh",
    "busybox",
    "env",
    "python",
    "perl",
    "ruby",
    "node",
    "nodejs",
    "php",
    "java",
    "Rscript",
    "lua",
    "tclsh",
    "pwsh",
    "deno",
    "bun",
    "npx",
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "timeout",
    "time",
    "stdbuf",
    "xargs",
    "chroot",
    "flock",
    "chrt",
    "taskset",
    "docker",
    "podman",
    "unshare",
    "nsenter",
    "setarch",
    "numactl",
    "tini",
    "dumb-init",
    "softlimit",
    "envdir",
    "strace",
    "script",
    "parallel",
    "chronic",
    "faketime",
    "fakeroot",
    "systemd-inhibit",
    "systemd-cat",
    "systemd-run",
    "xvfb-run",
    "uv",
    "uvx",
    "poetry",
    "pipenv",
    "conda",
    "bundle",
    "julia",
    "psql",
    "mysql",
    "ansible-playbook",
    "make",
    "npm",
    "mvn",
    "mvnw",
    "gradle",
    "gradlew",
    "cargo",
    "go",
    "dotnet",
    "kubectl",
    "ssh",
    "catatonit",
    "linux32",
    "linux64",
    "prlimit",
    "cgexec",
    "firejail",
    "bwrap",
    "direnv",
    "rake",
    "yarn",
    "pnpm",
    "ts-node",
];

/// Commands that run another one as another user, who cannot write the metrics file of the run.
const USER_CHANGERS: [&str; 11] =
    ["sudo", "su", "doas", "runuser", "setpriv", "chpst", "setuidgid", "gosu", "su-exec", "pkexec", "s6-setuidgid"];

/// Whether a command of this file name runs another one, with or without a version behind it (`python3.11`).
pub(super) fn is_launcher(name: &str) -> bool {
    let base = name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    let is_known = |name: &str| LAUNCHERS.contains(&name) || changes_user(name);
    is_known(name) || (!base.is_empty() && base != name && is_known(base))
}

/// Whether a command of this file name runs another one as another user.
#[must_use]
pub fn changes_user(name: &str) -> bool {
    USER_CHANGERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::is_launcher;

    #[test]
    fn launchers_are_known_with_and_without_a_version() {
        for name in
            ["sh", "python3.11", "sudo", "podman", "uv", "gradlew", "psql", "tini", "npm", "systemd-cat", "make"]
        {
            assert!(is_launcher(name), "{name}");
        }
        for name in ["backup", "sha256sum", "3", "pg_dump", "rsync"] {
            assert!(!is_launcher(name), "{name}");
        }
    }
}

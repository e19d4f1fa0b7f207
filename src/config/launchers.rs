//! Commands that run other commands: a job that is named after one of them shares its group with every other such job.

/// Launchers and interpreters: many different jobs have this file name, and would share one group.
const LAUNCHERS: [&str; 46] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "busybox", "env", "python", "perl",
    "ruby", "node", "nodejs", "php", "java", "Rscript", "lua", "tclsh", "pwsh", "deno", "bun", "npx", "sudo", "su",
    "doas", "nice", "ionice", "nohup", "setsid", "timeout", "time", "stdbuf", "xargs", "chroot", "flock", "chrt",
    "taskset", "gosu", "su-exec", "setpriv", "runuser", "docker",
];

/// Whether a command of this file name runs another one, with or without a version behind it (`python3.11`).
pub(super) fn is_launcher(name: &str) -> bool {
    let base = name.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    LAUNCHERS.contains(&name) || (!base.is_empty() && base != name && LAUNCHERS.contains(&base))
}

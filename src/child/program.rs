//! From what was typed to what execve(2) takes, and from its error to a sentence: the search of PATH as execvp of glibc
//! does it, the environment entry for entry, the cause when a program cannot be run.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::exec::{EnvEntry, ExecImage, ExecRefusal, STARTS_ITSELF};
use super::sys;
use crate::files::from_start;
use crate::outcome::NotStarted;
use crate::text::escape_controls;

/// The command and what pushwrap changes in its environment.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The command as it was typed, and its arguments. The command itself sees the first as `argv[0]`.
    pub argv: Vec<OsString>,
    /// Variables that pushwrap sets. All else stays as it is: order, duplicates, entries without `=`.
    pub set: Vec<(OsString, OsString)>,
    /// Variables that the command must not see, because they hold secrets.
    pub unset: Vec<OsString>,
}

/// A variable that every run sets for its command.
const OUTER_RUN: &[u8] = b"PUSHWRAP_TEXTFILE";

/// The search path of glibc where PATH is not set (`confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

impl Program {
    /// What execve(2) takes, or why it can take nothing: a NUL byte ends every string there.
    pub(super) fn image(&self) -> Result<ExecImage, ExecRefusal> {
        let environment = sys::environment();
        let name = self.name().as_bytes();
        let path = environment.iter().find_map(|entry| value_of(entry, b"PATH"));
        let einval = |_| ExecRefusal { errno: libc::EINVAL, file: 0 };
        Ok(ExecImage {
            files: files(name, path.unwrap_or(DEFAULT_PATH)).map_err(|errno| ExecRefusal { errno, file: 0 })?,
            argv: self.argv.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>().map_err(einval)?,
            env: self.environment(&environment).map_err(einval)?,
            own_name: self.name_in_own_script(&environment),
        })
    }

    /// The name by which a script could have started this pushwrap, with itself as the command: where the kernel says so
    /// (`AT_EXECFN`, getauxval(3), is the script then), or where this is a run inside a run, as it is from the second time on
    /// where env stands between the two.
    fn name_in_own_script(&self, environment: &[&'static CStr]) -> Option<Vec<u8>> {
        let is_interpreter = sys::executed_file().is_some_and(|file| file.to_bytes() == self.name().as_bytes());
        let is_inside = environment.iter().any(|entry| value_of(entry, OUTER_RUN).is_some());
        let own = std::env::args_os().next().filter(|_| is_interpreter || is_inside)?;
        Path::new(&own).file_name().map(|name| name.as_bytes().to_vec())
    }

    /// The command as it was typed.
    pub(super) fn name(&self) -> &OsStr {
        self.argv.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    fn environment(&self, inherited: &[&'static CStr]) -> Result<Vec<EnvEntry>, std::ffi::NulError> {
        let replaced = |entry: &CStr| {
            let names = self.unset.iter().chain(self.set.iter().map(|(name, _)| name));
            names.into_iter().any(|name| value_of(entry, name.as_bytes()).is_some())
        };
        let own = std::process::id().to_string();
        // It names the process of LISTEN_PID by its pidfd (sd_listen_fds(3)). The command's is not known before it runs; without
        // the variable LISTEN_PID alone decides.
        let is_own = inherited.iter().any(|entry| value_of(entry, b"LISTEN_PID") == Some(own.as_bytes()));
        let is_stale = |entry: &CStr| is_own && value_of(entry, b"LISTEN_PIDFDID").is_some();
        let entry = |entry: &&'static CStr| {
            for name in [b"LISTEN_PID".as_slice(), b"WATCHDOG_PID"] {
                if value_of(entry, name) == Some(own.as_bytes()) {
                    return EnvEntry::own_pid(name);
                }
            }
            EnvEntry::Inherited(entry)
        };
        let mut env: Vec<EnvEntry> =
            inherited.iter().filter(|entry| !replaced(entry) && !is_stale(entry)).map(entry).collect();
        for (name, value) in &self.set {
            let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
            env.push(EnvEntry::Own(CString::new(bytes)?));
        }
        Ok(env)
    }
}

/// The value of an environment entry, if it is one of the variable `name`.
fn value_of<'a>(entry: &'a CStr, name: &[u8]) -> Option<&'a [u8]> {
    entry.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

/// The files that a name stands for: itself when it has a slash, else one in each directory of PATH. An empty element of
/// PATH is the current directory. What is too long for a path is left out, and a name that is too long for a file is an
/// error by itself, as in glibc's posix/execvpe.c.
fn files(name: &[u8], path: &[u8]) -> Result<Vec<CString>, i32> {
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let file = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| libc::EINVAL);
    if name.contains(&b'/') {
        return Ok(vec![file(name.to_vec())?]);
    }
    if name.len() > 255 {
        return Err(libc::ENAMETOOLONG);
    }
    path.split(|byte| *byte == b':')
        .filter(|directory| directory.len() < 4096)
        .map(|directory| file(if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }))
        .collect()
}

/// The command could not be started. The run is reported all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnError {
    /// Whether it was not found (127) or could not be run (126).
    pub reason: NotStarted,
    /// The error number of execve(2) or clone(2); ELOOP for a script that starts pushwrap for itself again.
    pub errno: i32,
    /// One sentence that names the command and the cause, and the remedy where there is one.
    pub message: String,
    /// The wall clock just before it was tried.
    pub started: SystemTime,
    /// How long it was tried, by the monotonic clock.
    pub duration: Duration,
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpawnError {}

/// Why the command could not be started.
#[derive(Debug)]
pub(super) enum StartFailure {
    /// There is no new process for it.
    NoProcess(io::Error),
    /// execve(2) refused it.
    Refused {
        /// Its error.
        refusal: ExecRefusal,
        /// The file that the error belongs to, where it came to one.
        file: Option<CString>,
    },
}

impl StartFailure {
    /// The message and the exit status.
    pub(super) fn at(self, name: &OsStr, started: SystemTime, duration: Duration) -> SpawnError {
        let (reason, errno, message) = match self {
            Self::NoProcess(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                let remedy = match errno {
                    libc::EAGAIN => ": the limit on processes is reached (ulimit -u, or the pids limit of the cgroup)",
                    _ => "",
                };
                let message = format!("cannot start a process for {}: {}{remedy}", quote_name(name), describe(errno));
                (NotStarted::CannotRun, errno, message)
            }
            Self::Refused { refusal: ExecRefusal { errno, .. }, file } => {
                let searched = !name.as_bytes().contains(&b'/');
                let file = file.as_ref().map_or(name, |file| OsStr::from_bytes(file.to_bytes()));
                let cause = cause(Path::new(file), errno, searched);
                let reason = reason(errno, searched);
                let hint = if reason == NotStarted::NotFound { hint(name) } else { "" };
                let errno = if errno == STARTS_ITSELF { libc::ELOOP } else { errno };
                (reason, errno, format!("cannot run {}: {cause}{hint}", quote_name(name)))
            }
        };
        SpawnError { reason, errno, message, started, duration }
    }
}

/// 127 when nothing of that name was found, 126 when it was found and could not be run (POSIX shells, env, timeout(1)); a
/// PATH with rubbish in it is a command that was not found (bash).
fn reason(errno: i32, searched: bool) -> NotStarted {
    match errno {
        libc::ENOENT => NotStarted::NotFound,
        libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG if searched => NotStarted::NotFound,
        _ => NotStarted::CannotRun,
    }
}

/// What a shell would have made of a command that was not found.
fn hint(name: &OsStr) -> &'static str {
    let name = name.as_bytes();
    let variable = name.split(|byte| *byte == b'=').next().filter(|variable| variable.len() < name.len());
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if variable.is_some_and(|variable| {
        variable.iter().all(is_letter) && variable.first().is_some_and(|first| !first.is_ascii_digit())
    }) {
        "; variables are set by env: -- env NAME=VALUE COMMAND"
    } else if name.iter().any(|byte| b" \t\n".contains(byte)) {
        "; take the quotes away, or use sh -c"
    } else {
        ""
    }
}

/// Why `file` could not be executed, as a person would say it.
fn cause(file: &Path, errno: i32, searched: bool) -> String {
    let resolved = from_start(file);
    let found = resolved.metadata().ok();
    match errno {
        libc::ENOENT if found.as_ref().is_some_and(fs::Metadata::is_file) => missing_interpreter(file, &resolved),
        libc::ENOENT | libc::ENOTDIR if searched => "command not found in PATH".to_owned(),
        libc::EACCES if found.as_ref().is_some_and(fs::Metadata::is_dir) => {
            format!("{} is a directory", quote_name(file))
        }
        libc::EACCES if found.is_some_and(|found| !is_executable(&found)) => {
            format!("{} is not executable: chmod +x makes it so", quote_name(file))
        }
        libc::ENOEXEC => format!(
            "{} is neither a program for this machine nor a script that starts with '#!', and '/bin/sh' did not run it",
            quote_name(file)
        ),
        libc::E2BIG => "its arguments and environment are too long together, or one argument alone is".to_owned(),
        libc::ETXTBSY => format!("{} is open for writing", quote_name(file)),
        STARTS_ITSELF => format!(
            "the first line of {} starts pushwrap with the file itself as the command, without end: name the program that \
             runs it, as in '#!/usr/bin/env -S pushwrap -- sh'",
            quote_name(file)
        ),
        libc::EINVAL => "an argument or a variable for it has a NUL byte".to_owned(),
        _ => describe(errno),
    }
}

fn is_executable(found: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0
}

/// ENOENT for a file that is there: the program that should run it is not.
fn missing_interpreter(file: &Path, resolved: &Path) -> String {
    let Some(interpreter) = interpreter(resolved) else { return describe(libc::ENOENT) };
    let said = format!("its interpreter {} is missing", quote_name(OsStr::from_bytes(&interpreter)));
    if interpreter.ends_with(b"\r") {
        return format!(
            "{said}: the first line of {} ends in a carriage return, which sed -i 's/\\r$//' takes away",
            quote_name(file)
        );
    }
    said
}

/// The interpreter that a file names: after `#!` (execve(2)), or in an ELF file as `PT_INTERP` (elf(5)).
fn interpreter(file: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(file).ok()?.take(4096).read_to_end(&mut head).ok()?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        return line[start..].split(|byte| matches!(byte, b' ' | b'\t')).next().map(<[u8]>::to_vec);
    }
    elf_interpreter(&head)
}

/// `PT_INTERP` of a 64-bit ELF file of this machine's byte order, if its first 4096 bytes hold it (they nearly always do).
fn elf_interpreter(head: &[u8]) -> Option<Vec<u8>> {
    const PT_INTERP: u32 = 3;
    let class_64 = head.starts_with(b"\x7fELF\x02");
    let word = |at: usize| Some(u64::from_ne_bytes(*head.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u32::from_ne_bytes(*head.get(at..)?.first_chunk()?));
    let quarter = |at: usize| Some(u16::from_ne_bytes(*head.get(at..)?.first_chunk()?));
    let table = usize::try_from(word(32)?).ok()?;
    let (size, count) = (usize::from(quarter(54)?), usize::from(quarter(56)?));
    let headers = (0..count).filter_map(|index| table.checked_add(size.checked_mul(index)?));
    let header = headers.into_iter().find(|at| class_64 && half(*at) == Some(PT_INTERP))?;
    let start = usize::try_from(word(header + 8)?).ok()?;
    let bytes = head.get(start..)?;
    bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)
}

/// The system's text for an error number, in lower case and without the number.
fn describe(errno: i32) -> String {
    nix::errno::Errno::from_raw(errno).desc().to_lowercase()
}

/// A name in quotation marks for a message.
fn quote_name(name: impl AsRef<OsStr>) -> String {
    format!("'{}'", escape_controls(&name.as_ref().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{EnvEntry, NotStarted, Program, elf_interpreter, files, interpreter, quote_name, reason};

    fn tried(name: &str, path: &str) -> Vec<String> {
        let files = files(name.as_bytes(), path.as_bytes()).unwrap();
        files.into_iter().map(|file| file.into_string().unwrap()).collect()
    }

    #[test]
    fn a_name_with_a_slash_is_not_searched_for() {
        assert_eq!(tried("./a", "/bin:/usr/bin"), ["./a"]);
    }

    #[test]
    fn empty_elements_of_path_are_the_current_directory() {
        assert_eq!(tried("a", "/bin:/usr/bin"), ["/bin/a", "/usr/bin/a"]);
        assert_eq!(tried("a", ":/bin"), ["a", "/bin/a"]);
        assert_eq!(tried("a", "/bin:"), ["/bin/a", "a"]);
        assert_eq!(tried("a", ""), ["a"]);
        assert!(tried("", "/bin").is_empty());
    }

    #[test]
    fn the_environment_keeps_order_duplicates_and_entries_without_a_value() {
        let program = Program {
            argv: vec!["true".into()],
            set: vec![("PUSHWRAP_TEXTFILE".into(), "/t".into())],
            unset: vec!["SECRET".into()],
        };
        let given = [c"A=1", c"SECRET=x", c"nothing", c"A=2", c"SECRETS=y", c"PUSHWRAP_TEXTFILE=old", c"LISTEN_PID=1"];
        let env = program.environment(&given).unwrap();
        let entries: Vec<String> = env
            .iter()
            .map(|entry| match entry {
                EnvEntry::Inherited(entry) => entry.to_str().unwrap().to_owned(),
                EnvEntry::Own(entry) => entry.to_str().unwrap().to_owned(),
                EnvEntry::OwnPid(_) => "own pid".to_owned(),
            })
            .collect();
        assert_eq!(entries, ["A=1", "nothing", "A=2", "SECRETS=y", "LISTEN_PID=1", "PUSHWRAP_TEXTFILE=/t"]);
    }

    #[test]
    fn not_found_and_cannot_run_are_told_apart() {
        assert_eq!(reason(libc::ENOENT, false), NotStarted::NotFound);
        assert_eq!(reason(libc::ENOTDIR, true), NotStarted::NotFound);
        assert_eq!(reason(libc::ENOTDIR, false), NotStarted::CannotRun);
        assert_eq!(reason(libc::EACCES, true), NotStarted::CannotRun);
        assert_eq!(reason(libc::ENOEXEC, true), NotStarted::CannotRun);
    }

    #[test]
    fn the_interpreter_of_a_program_is_found() {
        let own = interpreter(Path::new("/bin/sh")).map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(own.is_none_or(|own| own.starts_with("/lib")), "a dynamic ELF names its loader");
        assert_eq!(elf_interpreter(b"\x7fELF\x02"), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(quote_name("a\x1b[2J\r"), "'a\\u{1b}[2J\\r'");
    }
}

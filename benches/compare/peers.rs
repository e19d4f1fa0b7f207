//! The other programs: where they are, and which are missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::harness::server;
use super::machine::first_line;
use super::measure::Case;

/// What is measured where it is on PATH, with the argument that prints its version and the package that has it.
const PEERS: [(&str, &str, &str); 12] = [
    ("timeout", "--version", "coreutils"),
    ("curl", "--version", "curl"),
    ("tini", "--version", "tini"),
    ("dumb-init", "--version", "dumb-init"),
    ("time", "--version", "GNU time"),
    ("task-mon", "--version", "crate task-mon"),
    ("sentry-cli", "--version", "Python package sentry-cli"),
    ("cronalive", "", "Python package cronalive"),
    ("cronguard", "--version", "Python package cronguard, Python 3.12"),
    ("make", "--version", "make"),
    ("strace", "--version", "strace"),
    ("valgrind", "--version", "valgrind"),
];

/// The program on PATH, or unpacked for the tests.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
    // The tests need these and have a way to get them.
    found.or_else(|| ["dumb-init", "curl"].contains(&name).then(|| server::program(name)))
}

/// A case of a program that may be missing.
pub(crate) fn case<const N: usize>(name: &str, program: &str, arguments: [&str; N]) -> Option<Case> {
    Some(Case::new(name, find(program)?, arguments))
}

/// The names of those that are not here, each with its package.
pub(crate) fn missing() -> Vec<String> {
    let missing = PEERS.iter().filter(|(name, ..)| find(name).is_none());
    missing.map(|(name, _, package)| format!("{name} ({package})")).collect()
}

/// The versions of those that are here.
pub(crate) fn versions() -> Vec<String> {
    let version = |(name, argument, _): &(&str, &str, &str)| {
        let program = find(name)?;
        if argument.is_empty() {
            return Some((*name).to_owned());
        }
        let line = first_line(Command::new(program).arg(argument))?;
        let line = line.split(" libcurl/").next().unwrap_or_default();
        Some(if line.contains(name) { line.to_owned() } else { format!("{name} {line}") })
    };
    PEERS.iter().filter_map(version).chain(python().map(|python| python.version.clone())).collect()
}

/// An interpreter that finds the client library, without a shell script before it.
#[derive(Debug)]
pub(crate) struct Python {
    program: PathBuf,
    module_path: String,
    version: String,
}

/// Prints what the launcher of the tests hides: the interpreter, its PYTHONPATH, and versions.
const ASK: &str = "import os, sys, importlib.metadata as m, prometheus_client as p
print(sys.executable, os.environ.get('PYTHONPATH', ''), sep='\\n')
print('Python', sys.version.split()[0], 'with prometheus_client', m.version('prometheus_client'))";

/// The interpreter, where there is one.
pub(crate) fn python() -> Option<&'static Python> {
    static FOUND: OnceLock<Option<Python>> = OnceLock::new();
    let find = || {
        let output = Command::new(server::program("python-prometheus")).args(["-c", ASK]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut lines = text.lines();
        let (program, module_path, version) = (lines.next()?, lines.next()?, lines.next()?);
        let (program, module_path, version) =
            (Path::new(program).to_owned(), module_path.to_owned(), version.to_owned());
        Some(Python { program, module_path, version })
    };
    FOUND.get_or_init(find).as_ref()
}

impl Python {
    /// Runs a script with arguments.
    pub(crate) fn case(&self, name: &str, script: &str, arguments: &[&str]) -> Case {
        let all = ["-c", script].into_iter().chain(arguments.iter().copied());
        Case::new(name, &self.program, all).env("PYTHONPATH", &self.module_path)
    }
}

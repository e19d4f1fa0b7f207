//! The layers below the command line: the environment, and the env file below it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::env_file::EnvFile;
use super::known::{is_known, is_variable};
use super::origin::{Origin, Setting, variable};

/// What the name of every variable of ours begins with.
pub(super) const PREFIX: &str = "PUSHWRAP_";

/// The layers below the command line.
#[derive(Debug, Default)]
pub(super) struct Layers {
    environment: HashMap<String, OsString>,
    file: EnvFile,
}

impl Layers {
    /// The environment's `PUSHWRAP_` variables and no env file. Of two variables of one name the first counts, as for
    /// getenv(3).
    pub(super) fn new(environment: &[(OsString, OsString)]) -> Self {
        let mut layers = Self::default();
        for (name, value) in environment {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) {
                layers.environment.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
        layers
    }

    /// Puts an env file below the environment.
    pub(super) fn put_below(&mut self, file: EnvFile) {
        self.file = file;
    }

    /// The value of the option with this long name, without line ends behind it: a Secret made with `echo` has one. An empty
    /// variable is unset.
    pub(super) fn get(&self, long: &'static str) -> Option<Setting> {
        if self.environment.is_empty() && self.file.settings.is_empty() {
            return None;
        }
        let name = variable(long);
        if let Some(value) = self.environment.get(&name).and_then(|value| without_line_ends(value)) {
            return Some(Setting { value: value.to_owned(), origin: Origin::Variable(name) });
        }
        let (value, line) = self.file.settings.get(&name)?;
        let value = without_line_ends(value)?.to_owned();
        let origin = Origin::EnvFile { variable: name, path: self.file.path.clone(), line: *line };
        Some(Setting { value, origin })
    }

    /// The variables of ours that no option has, of both layers: misspelled ones.
    pub(super) fn unknown(&self) -> Vec<Origin> {
        let mut in_environment: Vec<&String> = self.environment.keys().filter(|name| !is_known(name)).collect();
        in_environment.sort_unstable();
        let is_misspelled = |name: &str| name.starts_with(PREFIX) && !is_variable(name);
        let in_file = self.file.settings.iter().filter(|(name, _)| is_misspelled(name));
        let mut in_file: Vec<(usize, &String)> = in_file.map(|(name, (_, line))| (*line, name)).collect();
        in_file.sort_unstable();
        let path = &self.file.path;
        let of_file =
            |(line, name): (usize, &String)| Origin::EnvFile { variable: name.clone(), path: path.clone(), line };
        in_environment.into_iter().cloned().map(Origin::Variable).chain(in_file.into_iter().map(of_file)).collect()
    }
}

/// A value without the line ends behind it; none where nothing else is there.
fn without_line_ends(value: &OsStr) -> Option<&OsStr> {
    let bytes = value.as_bytes();
    let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte))? + 1;
    bytes.get(..end).map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Write as _;

    use super::{EnvFile, Layers, Origin};

    #[test]
    fn the_environment_wins_and_empty_is_unset() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            file,
            "\u{feff}PUSHWRAP_INFO=a\n{}\nPUSHWRAP_URL=http://file\nPUSHWRAP_JOB=file\nPUSHWRAP_ULR=x",
            "x".repeat(100_000)
        )
        .unwrap();
        let given = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let mut layers = Layers::new(&[
            given("PUSHWRAP_URL", ""),
            given("PUSHWRAP_JOB", "environment"),
            given("PUSHWRAP_TEXTFILE", "x"),
            given("PUSHWRAP_X", ""),
        ]);
        layers.put_below(EnvFile::read(file.path()).unwrap());
        let url = layers.get("url").unwrap();
        assert_eq!(url.value, "http://file");
        assert!(matches!(url.origin, Origin::EnvFile { line: 3, .. }));
        assert_eq!(layers.get("job").unwrap().value, "environment");
        assert_eq!(layers.get("label"), None);
        assert_eq!(layers.get("info").unwrap().value, "a", "a byte order mark is none of its first name");
        let unknown: Vec<String> = layers.unknown().iter().map(ToString::to_string).collect();
        assert_eq!(unknown, ["PUSHWRAP_X".to_owned(), format!("PUSHWRAP_ULR ({}:5)", file.path().display())]);
    }
}

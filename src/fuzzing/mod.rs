//! What holds for every parser of bytes that others write, whatever these bytes are. `make fuzz` searches for bytes for which it
//! does not hold, and a unit test tries the committed inputs. Only these two builds have this module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a panic tells that something does not hold"
)]

mod addresses;
mod answers;
mod metrics;
mod settings;
mod spooled;
mod strict;

pub use addresses::{proxy, url};
pub use answers::{answer, gateway_json};
pub use metrics::{openmetrics, repair};
pub use settings::{env_file, schedule};
pub use spooled::spooled_push;

/// Panics where something does not hold for these bytes.
pub type Target = fn(&[u8]);

/// Every target: its name, which is that of its program and of the directory with its inputs, and its function.
pub const TARGETS: [(&str, Target); 9] = [
    ("repair", repair),
    ("openmetrics", openmetrics),
    ("url", url),
    ("proxy", proxy),
    ("env_file", env_file),
    ("schedule", schedule),
    ("spooled_push", spooled_push),
    ("gateway_json", gateway_json),
    ("answer", answer),
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::TARGETS;

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_holds_holds_for_every_committed_input() {
        for (name, target) in TARGETS {
            let inputs = files(&fuzz().join("corpus").join(name));
            assert!(inputs.len() >= 3, "{name} has {} inputs", inputs.len());
            for input in inputs {
                let bytes = fs::read(&input).unwrap();
                let panicked = catch_unwind(|| target(&bytes)).is_err();
                assert!(!panicked, "{} does not hold for {}", name, input.display());
            }
        }
    }

    #[test]
    fn what_holds_holds_for_the_corpus_of_metrics_files() {
        let corpus = fuzz().join("../tests/corpus");
        for input in ["good", "bad", "quirk"].iter().flat_map(|set| files(&corpus.join(set))) {
            let bytes = fs::read(&input).unwrap();
            for (name, target) in &TARGETS[..2] {
                let panicked = catch_unwind(|| target(&bytes)).is_err();
                assert!(!panicked, "{name} does not hold for {}", input.display());
            }
        }
    }

    /// The programs are not built with the tests, because they need libFuzzer.
    #[test]
    fn every_target_is_a_program_of_the_fuzz_crate() {
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")), "{name}");
            let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
            let call = format!("libfuzzer_sys::fuzz_target!(|data: &[u8]| pushwrap::fuzzing::{name}(data));\n");
            assert!(program.ends_with(&call), "{name}");
        }
        assert_eq!(files(&fuzz().join("fuzz_targets")).len(), TARGETS.len());
    }
}

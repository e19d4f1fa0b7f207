//! Finds and reads the metrics files of a command. They are whatever a job left there, so nothing here waits for a writer,
//! reads more than the limit allows, or trusts that what was there a moment ago is still the same.

mod arguments;
mod contents;
mod findings;
mod leftovers;
mod location;
mod memory;
mod patience;
mod private;
mod reader;

pub use arguments::gather;
pub use contents::{TextfileContents, WriterState};
pub use findings::say_findings;
pub use location::Textfile;
pub use patience::within;
pub use private::PrivateFile;
pub use reader::{DEFAULT_LIMIT, ReadOptions};

#[cfg(test)]
mod tests;

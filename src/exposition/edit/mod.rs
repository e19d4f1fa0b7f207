//! Changes of one series of a metrics file, by the rules of client libraries.

mod change;
mod instrument;
mod rewrite;

pub use change::{Change, Changed, Unchanged};
pub use instrument::{Buckets, Increment, MetricName, Observation, Step, Value};

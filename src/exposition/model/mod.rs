//! The model: families of samples, as the text format 0.0.4 has them.

mod family;
mod gateway_metrics;
mod kind;
mod labels;
pub(in crate::exposition) mod number;
mod sample;

pub use family::Family;
pub use kind::{Kind, Suffix};
pub use sample::{Position, Sample};

pub(in crate::exposition) use gateway_metrics::{PUSH_TIMES, gateway_kind, is_gateways_own};
pub(in crate::exposition) use labels::{pairs, unescape, write_escaped, write_labels, write_pairs};

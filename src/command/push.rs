//! placeholder
/// p
#[must_use]
pub fn run(_: crate::config::PushConfig, _: &[std::path::PathBuf]) -> u8 {
    1
}

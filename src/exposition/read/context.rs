//! What a file is read for.

/// The grouping key and the reserved names for which a file is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'c> {
    /// The grouping labels of the push, `job` included: the gateway replaces labels of the same name by them.
    pub grouping: &'c [(String, String)],
    /// Names of the families that the caller writes itself. A family of the file that has such a name, or collides with
    /// one, is dropped with a message.
    pub reserved: &'c [String],
}

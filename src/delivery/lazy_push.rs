//! A push that is composed where it is delivered, not where it is submitted.

use std::sync::{Arc, LazyLock};

use crate::delivery::spool::store::{RunRecord, StoredPush};
use crate::sink::Push;

/// A push that is composed by the first thread that delivers it: what goes into it may be large, and its disk slow. Clones are
/// the same push.
#[derive(Clone)]
pub struct LazyPush(Arc<LazyLock<(Push, Option<RunRecord>), Compose>>);

type Compose = Box<dyn FnOnce() -> (Push, Option<RunRecord>) + Send>;

impl LazyPush {
    /// A push that `compose` makes when it is needed.
    #[must_use]
    pub fn new(compose: impl FnOnce() -> Push + Send + 'static) -> Self {
        Self::recorded(|| (compose(), None))
    }

    /// A final push that `compose` makes and records in the state directory.
    #[must_use]
    pub fn recorded(compose: impl FnOnce() -> (Push, Option<RunRecord>) + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(compose))))
    }

    /// The push. The first call composes it.
    #[must_use]
    pub fn composed(&self) -> &Push {
        &self.0.0
    }

    /// The number of the run, where it was counted. The first call composes the push.
    pub(super) fn number(&self) -> Option<u64> {
        self.0.1.as_ref()?.number
    }

    /// The stored push for the sink of this index. The first call composes the push.
    pub(super) fn stored(&self, sink: usize) -> Option<(&RunRecord, &StoredPush)> {
        let record = self.0.1.as_ref()?;
        Some((record, record.stored(sink)?))
    }
}

impl From<Push> for LazyPush {
    fn from(push: Push) -> Self {
        Self::new(move || push)
    }
}

impl std::fmt::Debug for LazyPush {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LazyPush").finish_non_exhaustive()
    }
}

//! Every constant of time in delivery, with what it limits. Nothing else in this room or in `job::reporter` names a duration.

use std::time::Duration;

/// How long the push in flight may still take when a more important one waits.
pub(crate) const IN_FLIGHT_AFTER_NEWER: Duration = Duration::from_secs(2);

/// How long the push in flight may still take after an order to stop that came when the command had ended.
pub(crate) const IN_FLIGHT_AFTER_STOP: Duration = Duration::from_secs(2);

/// The budget of the final push after an order to stop: a KILL follows soon (GitHub Actions: 10 s after the first signal).
pub(crate) const BUDGET_AFTER_STOP: Duration = Duration::from_secs(5);

/// How long the dispatcher waits for pushes that were cancelled.
pub(crate) const WAIT_AFTER_SECOND_STOP: Duration = Duration::from_millis(100);

/// How long after its deadline a delivery is waited for before it is let go: it ends by itself, unless a file system or the
/// resolver hangs.
pub(crate) const WAIT_AFTER_DEADLINE: Duration = Duration::from_millis(150);

/// How much longer when a report is still being written to a file or to the state directory: on a slow disk it would be lost.
pub(crate) const WAIT_FOR_WRITE: Duration = Duration::from_secs(2);

/// How long the final push waits before it is repeated, because a gateway that left a push unanswered may still apply that one.
pub(crate) const PAUSE_BEFORE_REPEAT: Duration = Duration::from_secs(2);

/// A push that was left unanswered longer ago than this has been applied, or never will be.
pub(crate) const UNANSWERED_FOR_AT_MOST: Duration = Duration::from_mins(1);

/// How long a lock of the state directory is waited for where nothing says less. It is held for two writes to the disk.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(3);

/// A push that waited is not begun with less time than this.
pub(crate) const LEAST_FOR_SPOOLED: Duration = Duration::from_millis(300);

/// The longest that a push waits.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(30 * 24);

/// How long a gateway that cannot be reached is tried again at least; it is a tenth of the run's time where that is more.
pub(crate) const UNREACHABLE_FOR: Duration = Duration::from_secs(3);

/// The same where the push is kept in the state directory: the next run sends it.
pub(crate) const UNREACHABLE_WHERE_KEPT: Duration = Duration::from_secs(1);

/// How much of a run's time pushes of other groups get that wait. `flush` does the rest.
pub(crate) const FOR_OTHER_GROUPS: Duration = Duration::from_millis(500);

/// How long a gateway is asked at most for when the runs began whose metrics it has.
pub(crate) const START_TIMES_WITHIN: Duration = Duration::from_secs(2);

/// For how long its answer is used again.
pub(crate) const START_TIMES_FOR: Duration = Duration::from_secs(10);

/// How often is looked whether a write makes progress.
pub(crate) const LOOK_AT_PROGRESS: Duration = Duration::from_millis(50);

//! Files that an option names, or that other users can reach: opened without blocking, read up to a limit, replaced whole,
//! locked, and described in messages.

mod lock;
mod open;
mod path;
mod replace;
mod start;

pub use lock::{FileLock, lock_now, open_lock};
pub use open::{Bounded, Links, is_at, open, open_regular, read_bounded, read_regular};
pub use path::{directory_of, follow_links, is_abandoned, reason, reason_at};
pub use replace::{Durability, NewMode, Ownership, Replacement, TemporaryName, Written, temporary};
pub use start::{from_start, leave_directory};

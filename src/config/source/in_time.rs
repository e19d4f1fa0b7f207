//! Work on files that somebody named, before the command starts: a file system that hangs may not hold the command up.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long the start of a command waits for a file at most. It is the patience that the state directory has, too.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A thread that reads a file needs little; the command's peak RSS starts at ours.
const STACK_BYTES: usize = 64 * 1024;

/// Does the work on a thread of its own, and lets go of it after `patience`: a call into a file system that hangs returns to
/// nobody, and ends with the process. Where no thread can be made the work is done here.
pub(super) fn in_time<T: Send + 'static>(
    patience: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> Option<T> {
    let work = Arc::new(work);
    let (sender, receiver) = mpsc::sync_channel(1);
    let lent = Arc::clone(&work);
    let begun = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        // Nobody may be there any more to take it.
        let _ = sender.send(lent());
    });
    if begun.is_err() {
        return Some(work());
    }
    receiver.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use super::in_time;

    #[test]
    fn work_that_hangs_is_let_go() {
        let (keep, hung) = mpsc::channel::<()>();
        let hung = Mutex::new(hung);
        assert_eq!(in_time(Duration::from_millis(1), move || hung.lock().unwrap().recv().is_ok()), None);
        drop(keep);
        assert_eq!(in_time(Duration::from_mins(1), || 7), Some(7));
    }
}

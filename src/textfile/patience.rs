//! Work on a file system that may hang, on a thread that is let go.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Does the work on a thread of its own and waits for its result no longer than `patience`. Where no thread can be made the work is
/// done here.
pub fn within<T: Send + 'static>(
    patience: Duration,
    work: impl Fn() -> T + Send + Sync + Clone + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let on_thread = work.clone();
    match thread::Builder::new().spawn(move || drop(sender.send(on_thread()))) {
        Ok(_) => receiver.recv_timeout(patience).ok(),
        Err(_) => Some(work()),
    }
}

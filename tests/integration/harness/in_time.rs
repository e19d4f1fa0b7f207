//! Calls that are waited for, but not for ever: where pushwrap hangs its own test fails, and the others go on.

use std::fmt::Debug;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::PATIENCE;

/// How long a call may take: what it waits for itself has [`PATIENCE`].
pub(super) const LIMIT: Duration = PATIENCE.saturating_mul(2);

/// What std waits for without end.
pub(crate) trait InTime {
    /// Standard input is empty, both other streams are read to their end.
    fn output_in_time(&mut self) -> Output;

    /// The streams are what they were set to.
    fn status_in_time(&mut self) -> ExitStatus;
}

impl InTime for Command {
    #[track_caller]
    fn output_in_time(&mut self) -> Output {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn().unwrap_or_else(|error| panic!("cannot start {self:?}: {error}"));
        let streams = [read(child.stdout.take()), read(child.stderr.take())];
        let status = wait_in_time(&mut child, self);
        let [stdout, stderr] = streams.map(|stream| {
            stream.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("somebody holds on to the streams of {self:?}"))
        });
        Output { status, stdout, stderr }
    }

    #[track_caller]
    fn status_in_time(&mut self) -> ExitStatus {
        let mut child = self.spawn().unwrap_or_else(|error| panic!("cannot start {self:?}: {error}"));
        wait_in_time(&mut child, self)
    }
}

/// Waits for the end of `child`, or kills it and fails the test, which then names `call`.
#[track_caller]
pub(crate) fn wait_in_time(child: &mut Child, call: &dyn Debug) -> ExitStatus {
    if !ends_within(child, LIMIT) {
        let _ = child.kill();
        let _ = child.wait();
        panic!("it hangs, {LIMIT:?} after its start: {call:?}");
    }
    child.wait().expect("a child of ours")
}

/// Whether `child` ends before `limit`. It is left to be waited for. The kernel wakes the thread that waits: looking again and
/// again takes a tenth of a processor from what the test is about.
pub(crate) fn ends_within(child: &Child, limit: Duration) -> bool {
    let pid = Pid::from_raw(child.id().cast_signed());
    let (sender, receiver) = mpsc::channel::<()>();
    thread::spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        drop(sender);
    });
    receiver.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
}

/// Reads a stream to its end on a thread of its own, which a stream without an end does not hold up.
fn read(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let mut stream = stream.expect("a piped stream");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

//! Calls that are waited for, but not for ever: where pushwrap hangs its own test fails, and the others go on.

use std::fmt::Debug;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// How long a call may take: what it waits for itself has [`PATIENCE`].
const LIMIT: Duration = PATIENCE.saturating_mul(3);

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
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it hangs, {LIMIT:?} after its start: {call:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
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

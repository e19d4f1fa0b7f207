//! A gateway that does what no real one will: hang, break off, answer nonsense. It records every request, byte for byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::PATIENCE;

/// What is done with one connection.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Reads the request and answers with these bytes, then closes.
    Raw(Vec<u8>),
    /// Accepts and does nothing more: reads nothing, writes nothing.
    Silence,
    /// Reads the request and never answers.
    NoAnswer,
    /// Resets the connection while the request comes in.
    Reset,
    /// Reads the request and closes without an answer.
    Close,
    /// Reads the request, sends these bytes, then neither sends more nor closes.
    Stall(Vec<u8>),
    /// Reads the request and sends these bytes one at a time, each after a pause.
    Trickle(Vec<u8>, Duration),
    /// Reads the request, sends these bytes and then blanks for ever.
    Endless(Vec<u8>),
    /// Waits, then does the other.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// An ordinary answer with a status such as `503 Service Unavailable` and a body.
    pub(crate) fn status(status: &str, body: &str) -> Self {
        Self::with_headers(status, &[], body)
    }

    /// The same with further headers, such as `Retry-After: 1`.
    pub(crate) fn with_headers(status: &str, headers: &[&str], body: &str) -> Self {
        let headers = headers.iter().fold(String::new(), |all, header| all + header + "\r\n");
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        Self::Raw(answer.into_bytes())
    }

    /// What a real gateway says to a push that it takes.
    pub(crate) fn ok() -> Self {
        Self::status("200 OK", "")
    }

    /// Later.
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self::After(pause, Box::new(self))
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Every byte of it, head and body.
    pub(crate) raw: Vec<u8>,
}

impl Request {
    /// How long request line and headers are, with the blank line; none where they are not there yet.
    pub(crate) fn head_length(&self) -> Option<usize> {
        self.raw.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    }

    /// Request line and headers, without the blank line.
    pub(crate) fn head(&self) -> String {
        let end = self.head_length().map_or(self.raw.len(), |length| length - 4);
        String::from_utf8_lossy(&self.raw[..end]).into_owned()
    }

    /// The request line: `POST /metrics/job/x HTTP/1.1`.
    pub(crate) fn line(&self) -> String {
        self.head().lines().next().unwrap_or_default().to_owned()
    }

    /// The value of a header, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.head();
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// The body.
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.raw[self.head_length().unwrap_or(self.raw.len())..]).into_owned()
    }

    /// The samples of the body: its lines without those of HELP and TYPE.
    pub(crate) fn samples(&self) -> String {
        self.body().split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
    }

    /// Whether head and announced body are there.
    pub(crate) fn complete(&self) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        self.head_length().is_some_and(|head| self.raw.len() >= head + length)
    }
}

/// A listener on a free port that plays a script: one [`Reply`] for each connection, the last one again and again.
pub(crate) struct FakeGateway {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    came: Condvar,
    connections: Mutex<usize>,
    ended: Mutex<bool>,
    ends: Condvar,
}

/// What is behind the lock, also when a thread that held it has panicked: its test fails anyway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeGateway {
    /// Starts to listen and to play the script.
    pub(crate) fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::play(script, false)
    }

    /// The same for pushes alone: who asks what the gateway holds gets 404, which is no part of the script.
    pub(crate) fn without_api(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::play(script, true)
    }

    fn play(script: impl IntoIterator<Item = Reply>, hides_api: bool) -> Self {
        let script: Vec<Reply> = script.into_iter().collect();
        assert!(!script.is_empty(), "a script with at least one reply");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let gateway =
            Self { address: listener.local_addr().expect("a bound address"), shared: Arc::new(Shared::default()) };
        let shared = Arc::clone(&gateway.shared);
        thread::spawn(move || accept(&listener, (&script, hides_api), &shared));
        gateway
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        *locked(&self.shared.connections)
    }

    /// Every request read so far, in the order in which they were complete (or broke off).
    pub(crate) fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }

    /// Waits for this many requests.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let (requests, came) = (locked(&self.shared.requests), &self.shared.came);
        let waited = came.wait_timeout_while(requests, PATIENCE, |requests| requests.len() < count);
        let (requests, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "waited {PATIENCE:?} in vain for request {count}, after {}", requests.len());
        requests.clone()
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        *locked(&self.shared.ended) = true;
        self.shared.ends.notify_all();
        // Wakes the accepting thread, so that the port is closed.
        let _ = TcpStream::connect(self.address);
    }
}

/// Whether a client asks for the gateway's groups. It sends its request at once.
fn asks_for_groups(stream: &TcpStream) -> bool {
    const ASKS: &[u8] = b"GET /api/v1";
    let mut start = [0; ASKS.len()];
    let in_time = stream.set_read_timeout(Some(PATIENCE));
    let read = in_time.and_then(|()| stream.peek(&mut start)).and_then(|_| stream.set_read_timeout(None));
    read.is_ok() && start == ASKS
}

fn refuse_api(mut stream: TcpStream) -> io::Result<()> {
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn accept(listener: &TcpListener, (script, hides_api): (&[Reply], bool), shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if *locked(&shared.ended) {
            return;
        }
        if hides_api && asks_for_groups(&stream) {
            thread::spawn(move || refuse_api(stream).ok());
            continue;
        }
        let mut connections = locked(&shared.connections);
        let reply = script[(*connections).min(script.len() - 1)].clone();
        *connections += 1;
        drop(connections);
        let shared = Arc::clone(shared);
        // An error here is a client that went away, which is what many tests are about.
        thread::spawn(move || play(stream, reply, &shared).ok());
    }
}

fn play(mut stream: TcpStream, reply: Reply, shared: &Shared) -> io::Result<()> {
    match reply {
        Reply::After(pause, then) => {
            shared.pause(pause);
            play(stream, *then, shared)
        }
        Reply::Silence => {
            shared.until_end();
            drop(stream);
            Ok(())
        }
        // Closing with unread bytes makes Linux send RST instead of FIN (RFC 2525, section 2.17).
        Reply::Reset => {
            stream.read_exact(&mut [0])?;
            stream.peek(&mut [0]).map(drop)
        }
        Reply::NoAnswer => answer(&mut stream, shared, |_| shared.until_end()),
        Reply::Close => answer(&mut stream, shared, |_| ()),
        Reply::Raw(bytes) => answer(&mut stream, shared, |stream| {
            // Reading on until the client closes keeps the answer from being overtaken by a reset.
            let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ =
                stream.set_read_timeout(Some(Duration::from_secs(5))).and_then(|()| io::copy(stream, &mut io::sink()));
        }),
        Reply::Stall(bytes) => answer(&mut stream, shared, |stream| {
            let _ = stream.write_all(&bytes);
            shared.until_end();
        }),
        Reply::Trickle(bytes, pause) => answer(&mut stream, shared, |stream| {
            let _ = bytes.iter().try_for_each(|byte| {
                shared.pause(pause);
                stream.write_all(&[*byte])
            });
        }),
        Reply::Endless(bytes) => answer(&mut stream, shared, |stream| {
            let _ = stream.write_all(&bytes);
            while !*locked(&shared.ended) {
                if stream.write_all(&[b' '; 16384]).is_err() {
                    break;
                }
            }
        }),
    }
}

/// Reads and records the request, then lets `with` answer it.
fn answer(stream: &mut TcpStream, shared: &Shared, with: impl FnOnce(&mut TcpStream)) -> io::Result<()> {
    let mut request = Request { raw: Vec::new() };
    let mut buffer = vec![0; 64 * 1024];
    while !request.complete() {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => request.raw.extend_from_slice(&buffer[..count]),
        }
    }
    locked(&shared.requests).push(request);
    shared.came.notify_all();
    stream.set_nodelay(true)?;
    with(stream);
    Ok(())
}

impl Shared {
    /// Waits for so long, or until the test has ended.
    fn pause(&self, pause: Duration) {
        drop(self.ends.wait_timeout_while(locked(&self.ended), pause, |ended| !*ended));
    }

    fn until_end(&self) {
        self.pause(Duration::from_mins(10));
    }
}

/// An address that neither accepts nor refuses: a listener whose backlog is full, so that connect hangs.
pub(crate) struct FullBacklog {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    /// Fills the backlog of a listener that never accepts.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("a bound address");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
            assert!(waiting.len() < 10_000, "the backlog never fills");
        }
        Self { listener, _waiting: waiting }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("a bound address"))
    }
}

/// The URL of a port that nothing listens on: tcpmux, because a port that is free now may be another test's soon.
pub(crate) const CLOSED_PORT: &str = "http://127.0.0.1:1";

//! The entrance before a real gateway: it passes requests on, or does to them what networks and broken servers do, and records what
//! the gateway has acknowledged.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{self, MsgFlags, recv, setsockopt};

use super::harness::fake::Request;
use super::harness::server::ReservedPort;
use super::locked;

/// How long the entrance waits for a client or a gateway. Longer than any `--push-timeout` here.
const PATIENCE: Duration = Duration::from_secs(12);

/// What stands in `--info` before the number of the run, so that a request tells whose it is in every format.
pub(crate) const RUN_MARKER: &str = "soak-run-";

/// What is done with one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The request and the answer are passed on.
    Pass,
    /// The answer comes in small pieces.
    SlowAnswer,
    /// The request is read in small pieces.
    SlowRead,
    /// The status is passed on, and the rest of the answer never comes.
    StalledBody,
    /// The request is passed on, and instead of the answer comes a reset.
    LostAnswer,
    /// The request is passed on, and no answer comes.
    SilentAfter,
    ResetAtOnce,
    ResetInside,
    /// The request is read, and the connection closed.
    Eof,
    /// Nothing is read.
    Silent,
    /// The request is read, and no answer comes.
    NoAnswer,
    Status(u16),
    /// Half of a status line.
    HalfHead,
    Garbage,
    /// Headers without end.
    EndlessHead,
    /// 200 with a web page.
    WebPage,
    /// 200, and the gateway has not got the request.
    Lie,
    /// Nobody listens.
    Closed,
}

impl Mode {
    /// Everything that may go wrong while somebody listens.
    pub(crate) const FAULTS: [Self; 24] = [
        Self::SlowRead,
        Self::LostAnswer,
        Self::SilentAfter,
        Self::ResetAtOnce,
        Self::ResetInside,
        Self::Eof,
        Self::Silent,
        Self::NoAnswer,
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Status(429),
        Self::Status(408),
        Self::Status(400),
        Self::Status(401),
        Self::Status(404),
        Self::Status(413),
        Self::Status(302),
        Self::HalfHead,
        Self::Garbage,
        Self::EndlessHead,
        Self::WebPage,
        Self::Lie,
        Self::Pass,
    ];

    /// What it is counted under.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Pass => "works",
            Self::SlowAnswer | Self::SlowRead => "is slow",
            Self::Silent | Self::NoAnswer | Self::HalfHead | Self::EndlessHead => "hangs",
            Self::StalledBody => "answers and hangs",
            Self::LostAnswer | Self::SilentAfter => "takes the push, and its answer is lost",
            Self::ResetAtOnce | Self::ResetInside | Self::Eof => "breaks off",
            Self::Status(400 | 413) => "refuses the push (400, 413)",
            Self::Status(408 | 429 | 500..=599) => "is busy (408, 429, 5xx)",
            Self::Status(_) => "wants something else (302, 401, 404)",
            Self::Garbage | Self::WebPage => "answers with something else than a gateway's answer",
            Self::Lie => "says 200 and has not got it",
            Self::Closed => "is closed",
        }
    }
}

/// What a push says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// How it has ended.
    End,
    /// That it goes on, or was skipped, or how many runs there were.
    Other,
}

/// A push that came through the entrance.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The run whose metrics it carries.
    pub(crate) run: Option<u64>,
    pub(crate) content: Content,
    /// It says that a run was skipped, perhaps beside what an older run has left.
    pub(crate) has_skip: bool,
    pub(crate) method: String,
    /// The path, which ends with the job where the sink is a gateway.
    pub(crate) path: String,
    /// What the gateway has answered.
    pub(crate) status: Option<u16>,
    /// A status from 200 to 299 was passed on.
    pub(crate) is_acknowledged: bool,
    /// The gateway has not got it, whatever was passed on.
    pub(crate) is_lie: bool,
    pub(crate) at: Instant,
    pub(crate) done: Instant,
    /// How often the gateway had lost everything before.
    pub(crate) generation: usize,
}

impl Exchange {
    /// Whether the gateway has taken it.
    pub(crate) fn is_taken(&self) -> bool {
        !self.is_lie && self.status.is_some_and(is_success)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

struct Shared {
    target: Mutex<(String, usize)>,
    modes: Mutex<(Vec<Mode>, usize)>,
    exchanges: Mutex<Vec<Exchange>>,
}

/// A listener that accepts on a thread of its own.
struct Listening {
    socket: TcpListener,
    thread: JoinHandle<()>,
}

/// The entrance. It closes when it is dropped; connections that it has accepted end by themselves.
pub(crate) struct Entrance {
    port: ReservedPort,
    shared: Arc<Shared>,
    listening: Mutex<Option<Listening>>,
}

impl Entrance {
    /// An open entrance before the server at this address.
    pub(crate) fn before(address: &str) -> Self {
        let shared = Shared {
            target: Mutex::new((address.to_owned(), 0)),
            modes: Mutex::new((vec![Mode::Pass], 0)),
            exchanges: Mutex::default(),
        };
        let entrance = Self { port: ReservedPort::new(), shared: Arc::new(shared), listening: Mutex::default() };
        entrance.set(&[Mode::Pass]);
        entrance
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number)
    }

    /// The connections from now on are treated like this, one after the other and again from the first.
    pub(crate) fn set(&self, modes: &[Mode]) {
        *locked(&self.shared.modes) = (modes.to_vec(), 0);
        if modes == [Mode::Closed] { self.close() } else { self.open() }
    }

    /// Another server takes the place of the one that was there, which has lost everything.
    pub(crate) fn replace_target(&self, address: &str) {
        let mut target = locked(&self.shared.target);
        *target = (address.to_owned(), target.1 + 1);
    }

    /// How often everything was lost.
    pub(crate) fn generation(&self) -> usize {
        locked(&self.shared.target).1
    }

    /// The pushes that have come so far.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        locked(&self.shared.exchanges).clone()
    }

    fn open(&self) {
        let mut listening = locked(&self.listening);
        if listening.is_some() {
            return;
        }
        let socket = TcpListener::bind(("127.0.0.1", self.port.number)).expect("the port is ours");
        let (accepting, shared) = (socket.try_clone().expect("a second handle"), Arc::clone(&self.shared));
        let thread = thread::spawn(move || accept(&accepting, &shared));
        *listening = Some(Listening { socket, thread });
    }

    fn close(&self) {
        // Held until the port is free again.
        let mut listening = locked(&self.listening);
        let Some(Listening { socket, thread }) = listening.take() else { return };
        // accept(2) returns with EINVAL then.
        let _ = socket::shutdown(socket.as_raw_fd(), socket::Shutdown::Both);
        let _ = thread.join();
        drop(socket);
        drop(listening);
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let mode = {
            let mut modes = locked(&shared.modes);
            modes.1 += 1;
            modes.0[(modes.1 - 1) % modes.0.len()]
        };
        let shared = Arc::clone(shared);
        // An error is a client that has gone away.
        thread::spawn(move || serve(stream, mode, &shared).ok());
    }
}

fn serve(mut stream: TcpStream, mode: Mode, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    match mode {
        Mode::ResetAtOnce => return reset(&stream),
        Mode::ResetInside => return stream.read(&mut [0; 64]).and_then(|_| reset(&stream)),
        Mode::Silent => {
            thread::sleep(PATIENCE / 4);
            return Ok(());
        }
        _ => {}
    }
    let Some(request) = read(&mut stream, mode)? else { return Ok(()) };
    match mode {
        Mode::Eof => Ok(()),
        Mode::NoAnswer => until_gone(&mut stream),
        Mode::HalfHead => stream.write_all(b"HTTP/1.1 2").and_then(|()| until_gone(&mut stream)),
        Mode::Garbage => stream.write_all(b"SSH-2.0-\x1b[31mno\r\n"),
        Mode::EndlessHead => {
            stream.write_all(b"HTTP/1.1 503 no\r\n")?;
            (0..2000).try_for_each(|_| stream.write_all(b"X-Header: and one more, and one more, and one more\r\n"))
        }
        Mode::Status(status) => {
            shared.record(&request, Exchange { status: Some(status), is_lie: true, ..shared.exchange(&request) });
            stream.write_all(refusal(status).as_bytes()).and_then(|()| finish(&mut stream))
        }
        Mode::WebPage => {
            let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\nConnection: close\r\n\r\n\
                        <html>Log in</html>\n";
            stream.write_all(page.as_bytes()).and_then(|()| finish(&mut stream))
        }
        Mode::Lie => {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let lie = Exchange { status: Some(200), is_acknowledged: true, is_lie: true, ..shared.exchange(&request) };
            shared.record(&request, lie);
            stream.write_all(answer).and_then(|()| finish(&mut stream))
        }
        _ => shared.pass_on(&mut stream, mode, &request),
    }
}

fn refusal(status: u16) -> String {
    let more = match status {
        429 => "Retry-After: 0\r\n",
        302 => "Location: http://127.0.0.1:1/elsewhere\r\n",
        _ => "",
    };
    format!("HTTP/1.1 {status} no\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\nno")
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    // Closing sends RST instead of FIN (socket(7), SO_LINGER).
    setsockopt(stream, Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).map_err(io::Error::from)
}

/// Whether the client has closed. It sends nothing after its request.
fn is_gone(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let received = recv(stream.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK);
    stream.set_nonblocking(false)?;
    Ok(received != Err(Errno::EAGAIN))
}

/// Waits until the client closes.
fn until_gone(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

/// Closes this side first, so that no reset overtakes the answer.
fn finish(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    until_gone(stream)
}

/// A whole request; none where the client closes before its end.
fn read(stream: &mut TcpStream, mode: Mode) -> io::Result<Option<Request>> {
    let mut request = Request { raw: Vec::new() };
    let mut buffer = vec![0; if mode == Mode::SlowRead { 700 } else { 64 << 10 }];
    while !request.complete() {
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => request.raw.extend_from_slice(&buffer[..count]),
        }
        if mode == Mode::SlowRead {
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(Some(request))
}

impl Shared {
    /// What is known of a push before it is answered.
    fn exchange(&self, request: &Request) -> Exchange {
        let line = request.line();
        let mut parts = line.split(' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (method, path) = (next(), next());
        let body = plain_body(request);
        let has = |text: &str| memchr::memmem::find(&body, text.as_bytes()).is_some();
        let run = run_of(&body);
        let now = Instant::now();
        Exchange {
            content: if has("pushwrap_exit_code") { Content::End } else { Content::Other },
            has_skip: has("pushwrap_last_skipped_timestamp_seconds"),
            run,
            method,
            path,
            status: None,
            is_acknowledged: false,
            is_lie: false,
            at: now,
            done: now,
            generation: self.generation(),
        }
    }

    fn generation(&self) -> usize {
        locked(&self.target).1
    }

    /// Only pushes are recorded: pushwrap also asks what a gateway holds.
    fn record(&self, request: &Request, exchange: Exchange) {
        if !request.raw.starts_with(b"GET ") {
            locked(&self.exchanges).push(Exchange { done: Instant::now(), ..exchange });
        }
    }

    fn pass_on(&self, stream: &mut TcpStream, mode: Mode, request: &Request) -> io::Result<()> {
        let exchange = self.exchange(request);
        if is_gone(stream)? {
            // As a proxy does. What a busy gateway takes that late is another subject (docs/delivery.md).
            return Ok(());
        }
        let answer = self.ask(request).unwrap_or_default();
        let status = status_of(&answer);
        let is_passed_on = !matches!(mode, Mode::LostAnswer | Mode::SilentAfter);
        let is_acknowledged = is_passed_on && status.is_some_and(is_success);
        self.record(request, Exchange { status, is_acknowledged, ..exchange });
        if answer.is_empty() || mode == Mode::LostAnswer {
            return reset(stream);
        }
        match mode {
            Mode::SilentAfter => until_gone(stream),
            Mode::SlowAnswer => {
                for piece in answer.chunks(answer.len().div_ceil(12)) {
                    stream.write_all(piece)?;
                    thread::sleep(Duration::from_millis(10));
                }
                finish(stream)
            }
            Mode::StalledBody => {
                let end = answer.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
                stream.write_all(&answer[..end])?;
                stream.write_all(b"\r\nContent-Length: 100000\r\n\r\nhalf of")?;
                until_gone(stream)
            }
            _ => stream.write_all(&answer).and_then(|()| finish(stream)),
        }
    }

    /// The answer of the real server.
    fn ask(&self, request: &Request) -> io::Result<Vec<u8>> {
        let address = locked(&self.target).0.clone();
        let mut server = TcpStream::connect(address)?;
        server.set_read_timeout(Some(PATIENCE))?;
        server.write_all(&request.raw)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn status_of(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// The body as text, or as the protobuf of remote write, in which texts stand as they are.
fn plain_body(request: &Request) -> Vec<u8> {
    let body = &request.raw[request.head_length().unwrap_or(request.raw.len())..];
    if request.header("content-encoding").as_deref() == Some("snappy") {
        return snap::raw::Decoder::new().decompress_vec(body).unwrap_or_default();
    }
    body.to_vec()
}

/// The run whose `run_info` a body has.
fn run_of(body: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(body, RUN_MARKER.as_bytes())?;
    let digits = body[at + RUN_MARKER.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    String::from_utf8(digits.copied().collect()).ok()?.parse().ok()
}

//! The bytes between us and the gateway: a non-blocking socket whose every wait is bounded by the delivery's timer, TLS on top
//! of it, and the adapter that lets ureq speak HTTP over it. ureq's own transports give each partial write a new time-out.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, socket};
use rustls::ClientConnection;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::http::deadline::{Interruption, Timer};
use crate::http::head::{ResponseHead, final_status};

/// How much of an answer's beginning is kept to read its status from, in bytes.
const KEPT: usize = 16 * 1024;
/// How much is received at once before the head of an answer is complete, in bytes.
const PIECE: usize = 4 * 1024;
/// The room that ureq gets for what comes in, in bytes: the strict form of a head fits.
const INPUT_BUFFER: usize = 16 * 1024;
/// The longest that reading an error's text may take: the status is what counts.
pub(crate) const TEXT_TIME: Duration = Duration::from_secs(1);

/// A connected TCP socket. `WouldBlock` from a write means: the peer has something to say before it takes more.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    timer: Arc<Timer>,
}

impl Socket {
    /// Connects to the first address that takes it; each but the last gets at most half of what is left of the step.
    pub(crate) fn connect(addresses: &[SocketAddr], timer: &Arc<Timer>) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (at, address) in addresses.iter().enumerate() {
            let step = timer.left_of_step();
            let started = std::time::Instant::now();
            if at + 1 < addresses.len() {
                timer.limit_step(step / 2);
            }
            let connected = connect_one(*address, timer);
            timer.limit_step(step.saturating_sub(started.elapsed()));
            match connected {
                Ok(tcp) => return Ok(Self { tcp, timer: Arc::clone(timer) }),
                Err(error) if interruption_of(&error) == Some(Interruption::Stopped) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn wait(&self, events: PollFlags) -> io::Result<PollFlags> {
        self.timer.wait(Some(self.tcp.as_fd()), events).map_err(io::Error::from)
    }
}

fn connect_one(address: SocketAddr, timer: &Timer) -> io::Result<TcpStream> {
    // A connection that is begun is seen by the server, whatever becomes of it.
    timer.check()?;
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS | Errno::EINTR) => {
            timer.wait(Some(fd.as_fd()), PollFlags::POLLOUT)?;
        }
        Err(error) => return Err(error.into()),
    }
    let tcp = TcpStream::from(fd);
    if let Some(error) = tcp.take_error()? {
        return Err(error);
    }
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// The reason why a wait ended, when that is what `error` is about.
pub(crate) fn interruption_of(error: &io::Error) -> Option<Interruption> {
    error.get_ref()?.downcast_ref::<Interruption>().copied()
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.timer.check()?;
            match self.tcp.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::POLLIN)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => return done,
            };
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.timer.check()?;
            match self.tcp.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let seen = self.wait(PollFlags::POLLIN | PollFlags::POLLOUT)?;
                    if seen.contains(PollFlags::POLLIN) && !seen.contains(PollFlags::POLLOUT) {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A way to the gateway.
#[derive(Debug)]
pub(crate) enum Channel {
    /// Bytes as they are.
    Plain(Socket),
    /// Through TLS.
    Tls(Box<ClientConnection>, Socket),
}

/// The result of sending bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    /// The peer answered, or hung up, before it took all bytes.
    Answered,
}

impl Channel {
    fn send(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let sent = match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls, socket) => send_tls(tls, socket, bytes),
        };
        match sent {
            Ok(()) => Ok(Sent::All),
            Err(error) if early_answer(error.kind()) => Ok(Sent::Answered),
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls, socket) => receive_tls(tls, socket, buffer),
        }
    }
}

/// A peer that refuses a large body answers before it has taken it, then stops reading or resets the connection; its answer
/// is in our receive buffer all the same.
fn early_answer(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn send_tls(tls: &mut ClientConnection, socket: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() || tls.wants_write() {
        // Takes what fits below rustls's own limit of 64 KiB of unsent plain text.
        let taken = tls.writer().write(rest)?;
        rest = &rest[taken..];
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A session ticket is no answer.
                let ended = tls.read_tls(socket)? == 0;
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                if ended || state.plaintext_bytes_to_read() > 0 {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive_tls(tls: &mut ClientConnection, socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Hung up without close_notify: the lengths in HTTP tell whether something is missing (RFC 9112, section 9.8).
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            done => return done,
        }
        tls.read_tls(socket)?;
        if let Err(error) = tls.process_new_packets() {
            // Tells the peer why; nothing is lost when it no longer listens.
            let _ = tls.write_tls(socket);
            return Err(io::Error::other(error));
        }
    }
}

/// What happened on a connection, for the error message.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The first bytes that came back.
    pub(crate) received: Vec<u8>,
    /// Whether the peer stopped taking the request before its end.
    pub(crate) cut: bool,
    /// Whether all of the request was handed to the kernel.
    pub(crate) sent: bool,
}

impl Trace {
    /// The final status, when its line is there: enough to know what became of the push, whatever breaks afterwards.
    pub(crate) fn status(&self) -> Option<u16> {
        final_status(&self.received)
    }
}

/// One connection as ureq wants it.
pub(crate) struct Wire {
    channel: Channel,
    buffers: LazyBuffers,
    /// `scheme://host:port` where a proxy needs the absolute form (RFC 9112, section 3.2.2).
    absolute: Option<String>,
    /// The head of the request, kept back until the body follows, so that a small push is one packet.
    head: Option<Vec<u8>>,
    started: bool,
    answered: bool,
    /// What has come in and ureq has not got yet: a head that is not complete, or what follows it.
    received: Vec<u8>,
    has_passed_head: bool,
    trace: Arc<Mutex<Trace>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) fn new(channel: Channel, absolute: Option<String>, output_buffer: usize) -> Self {
        Self {
            channel,
            buffers: LazyBuffers::new(INPUT_BUFFER, output_buffer),
            absolute,
            head: None,
            started: false,
            answered: false,
            received: Vec::new(),
            has_passed_head: false,
            trace: Arc::default(),
        }
    }

    pub(crate) fn trace(&self) -> Arc<Mutex<Trace>> {
        Arc::clone(&self.trace)
    }

    fn record(&self, change: impl FnOnce(&mut Trace)) {
        change(&mut self.trace.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The beginning of what comes back is kept for an explanation.
    fn record_received(&self, start: usize) {
        self.record(|trace| {
            let room = KEPT.saturating_sub(trace.received.len()).min(self.received.len() - start);
            trace.received.extend_from_slice(&self.received[start..start + room]);
        });
    }

    fn flush_head(&mut self) -> io::Result<()> {
        match self.head.take() {
            Some(head) => self.send(&head),
            None => Ok(()),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.answered {
            self.answered = self.channel.send(bytes)? == Sent::Answered;
            let answered = self.answered;
            self.record(|trace| trace.cut |= answered);
        }
        Ok(())
    }
}

/// `POST /metrics/…` → `POST http://gw:9091/metrics/…`.
fn absolute_form(head: &[u8], origin: &str) -> Vec<u8> {
    let target = head.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    [&head[..target], origin.as_bytes(), &head[target..]].concat()
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let bytes = self.buffers.output()[..amount].to_vec();
        if self.started {
            let mut packet = self.head.take().unwrap_or_default();
            packet.extend(bytes);
            self.send(&packet)?;
        } else {
            self.started = true;
            self.head = Some(match &self.absolute {
                Some(origin) => absolute_form(&bytes, origin),
                None => bytes,
            });
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        self.flush_head()?;
        self.record(|trace| trace.sent = true);
        while !self.has_passed_head {
            let start = self.received.len();
            self.received.resize(start + PIECE, 0);
            let amount = self.channel.receive(&mut self.received[start..])?;
            self.received.truncate(start + amount);
            self.record_received(start);
            match ResponseHead::read(&self.received) {
                ResponseHead::Incomplete if amount > 0 => continue,
                ResponseHead::Incomplete | ResponseHead::Foreign => {}
                ResponseHead::Complete { strict, length } => drop(self.received.splice(..length, strict)),
            }
            self.has_passed_head = true;
        }
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            return Err(ureq::Error::LargeResponseHeader(INPUT_BUFFER, INPUT_BUFFER));
        }
        let amount = if self.received.is_empty() {
            self.channel.receive(room)?
        } else {
            let amount = room.len().min(self.received.len());
            room[..amount].copy_from_slice(&self.received[..amount]);
            self.received.drain(..amount);
            amount
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.channel, Channel::Tls(..))
    }
}

/// Hands ureq the one connection that is already there.
#[derive(Debug)]
pub(crate) struct PreparedConnection(Mutex<Option<Wire>>);

impl PreparedConnection {
    pub(crate) fn new(wire: Wire) -> Self {
        Self(Mutex::new(Some(wire)))
    }
}

impl Connector for PreparedConnection {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// ureq asks for addresses before it asks for a connection; ours is made already.
#[derive(Debug)]
pub(crate) struct UnusedResolver;

impl ureq::unversioned::resolver::Resolver for UnusedResolver {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Trace, absolute_form};

    fn status(received: &str) -> Option<u16> {
        Trace { received: received.as_bytes().to_vec(), ..Trace::default() }.status()
    }

    #[test]
    fn a_status_counts_as_soon_as_its_line_is_there() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status("HTTP/1.0 503 \n"), Some(503));
        assert_eq!(status("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nX"), Some(204));
        assert_eq!(status("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), None);
        assert_eq!(status("HTTP/1.1 200\r\n"), Some(200));
        assert_eq!(status("HTTP/1.1 20000 OK\r\n"), None);
        assert_eq!(status("HTTP/1.1 +20 OK\r\n"), None);
        // The body of the final answer, and no answer after an interim one.
        assert_eq!(status("HTTP/1.1 100 \n\nHTTP/1.1 500 \r\n\r\nHTTP/1.1 200 \r\n"), Some(500));
        assert_eq!(status("HTTP/1.1 200 OK"), None);
        assert_eq!(status("SSH-2.0-OpenSSH_9.2\r\n"), None);
        assert_eq!(status(""), None);
    }

    #[test]
    fn a_proxy_gets_the_absolute_form() {
        let head = absolute_form(b"PUT /metrics/job/x HTTP/1.1\r\nHost: gw\r\n\r\n", "http://gw");
        assert_eq!(head, b"PUT http://gw/metrics/job/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    }
}

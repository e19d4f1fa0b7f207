//! A gateway that comes and goes: a real one behind an entrance that passes on, resets, answers 503, or keeps the answer to itself.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::Pushgateway;

const OPEN: u8 = 0;
const RESET: u8 = 1;
const UNAVAILABLE: u8 = 2;
const SILENT: u8 = 3;

/// The entrance. Its threads end with the process.
pub(crate) struct FlappingGateway {
    address: String,
    mode: Arc<AtomicU8>,
}

impl FlappingGateway {
    /// An open entrance before this gateway.
    pub(crate) fn before(gateway: &Pushgateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, there) = (listener.local_addr().unwrap().to_string(), gateway.address());
        let mode = Arc::new(AtomicU8::new(OPEN));
        let shared = Arc::clone(&mode);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mode, there) = (shared.load(Ordering::Relaxed), there.clone());
                thread::spawn(move || serve(stream, mode, &there));
            }
        });
        Self { address, mode }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Comes and goes until then, and stays open.
    pub(crate) fn flap_until(&self, until: Instant) {
        while Instant::now() < until {
            self.mode.store(fastrand::u8(OPEN..=SILENT), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(fastrand::u64(100..1500)));
            self.mode.store(OPEN, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(fastrand::u64(100..1500)));
        }
    }
}

fn serve(mut stream: TcpStream, mode: u8, there: &str) {
    // A client that was killed is no failure of the entrance.
    let _ = match mode {
        RESET => Ok(()),
        UNAVAILABLE => unavailable(&mut stream),
        _ => pass_on(stream, there, mode == OPEN),
    };
}

fn unavailable(stream: &mut TcpStream) -> io::Result<()> {
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(stream, &mut io::sink()).map(drop)
}

fn pass_on(stream: TcpStream, there: &str, is_answered: bool) -> io::Result<()> {
    let gateway = TcpStream::connect(there)?;
    let (mut from, mut to) = (stream.try_clone()?, gateway.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (gateway, stream);
    if is_answered { io::copy(&mut from, &mut to) } else { io::copy(&mut from, &mut io::sink()) }?;
    to.shutdown(Shutdown::Both)
}

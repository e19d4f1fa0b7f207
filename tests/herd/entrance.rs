//! The way to a gateway, on which requests are counted and answers can be held back. All else passes as it comes, so that the
//! gateway sees a client that gives up.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A port on 127.0.0.1 that leads to the gateway. Its threads end with the process.
pub(crate) struct Entrance {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Entrance {
    /// The entrance before the gateway at this address. Answers come `delay` later than the gateway gives them.
    pub(crate) fn before(gateway: String, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, requests) = (listener.local_addr().unwrap().to_string(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (gateway, counted) = (gateway.clone(), Arc::clone(&counted));
                // A client that gave up, or a gateway that has ended with its round, is no failure of the entrance.
                thread::spawn(move || drop(serve(client, &gateway, delay, counted)));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come to the gateway so far: each has a connection of its own.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn serve(client: TcpStream, gateway: &str, delay: Duration, counted: Arc<AtomicUsize>) -> io::Result<()> {
    let (client, gateway) = (Arc::new(client), Arc::new(TcpStream::connect(gateway)?));
    let (from, to) = (Arc::clone(&client), Arc::clone(&gateway));
    thread::spawn(move || {
        drop(pass_request(&from, &to, &counted));
        drop(to.shutdown(Shutdown::Write));
    });
    let mut piece = [0; 4096];
    let begun = gateway.as_ref().read(&mut piece)?;
    thread::sleep(delay);
    client.as_ref().write_all(&piece[..begun])?;
    io::copy(&mut gateway.as_ref(), &mut client.as_ref())?;
    client.shutdown(Shutdown::Both)
}

fn pass_request(mut client: &TcpStream, mut gateway: &TcpStream, counted: &AtomicUsize) -> io::Result<()> {
    let mut piece = [0; 4096];
    let begun = client.read(&mut piece)?;
    counted.fetch_add(usize::from(begun > 0), Ordering::Relaxed);
    gateway.write_all(&piece[..begun])?;
    io::copy(&mut client, &mut gateway).map(drop)
}

//! From a host name to addresses, within the deadline. getaddrinfo(3) cannot be interrupted, so it runs on a thread of its own
//! that is left behind when time is up; addresses and `localhost` need neither lookup nor thread.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::http::deadline::{Interruption, Timer};
use crate::http::url::Host;

/// `RLIMIT_NPROC`, the control group's limit, or no memory.
const NO_THREAD: &str =
    "no thread can be made for the lookup (ulimit -u, or the pids limit of the cgroup); an IP address needs none";

/// Why there are no addresses.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// The resolver's own text.
    Failed(String),
    /// It did not answer in time, or the delivery was stopped.
    Halted(Interruption),
}

/// The addresses of `host`, never an empty list.
pub(crate) fn resolve(host: &Host, port: u16, timer: &Timer) -> Result<Vec<SocketAddr>, LookupError> {
    let addresses = match host {
        Host::V6(address) => vec![IpAddr::V6(*address)],
        Host::Name(name) => match name.parse::<Ipv4Addr>() {
            Ok(address) => vec![IpAddr::V4(address)],
            Err(_) if is_localhost(name) => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
            Err(_) => return look_up(name, port, timer),
        },
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// RFC 6761, section 6.3; curl does the same, and a scratch image has no /etc/hosts to ask.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// What the lookup thread leaves for the one that waits.
#[derive(Debug)]
struct LookupSlot {
    slot: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    wakeup: EventFd,
}

fn look_up(name: &str, port: u16, timer: &Timer) -> Result<Vec<SocketAddr>, LookupError> {
    crate::http::nss::use_built_in_modules();
    let failed = |error: nix::Error| LookupError::Failed(error.to_string());
    let wakeup = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
    let answer = Arc::new(LookupSlot { slot: Mutex::new(None), wakeup });
    let (asked, owned) = (Arc::clone(&answer), name.to_owned());
    let spawned = thread::Builder::new().name("lookup".to_owned()).spawn(move || {
        let found = ask(&owned, port);
        *asked.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        // EAGAIN: the eventfd is already readable.
        let _ = asked.wakeup.write(1);
    });
    if spawned.is_err() {
        // Without a thread nothing bounds the lookup. The next try may find one.
        return Err(LookupError::Failed(NO_THREAD.to_owned()));
    }
    timer.wait(Some(answer.wakeup.as_fd()), PollFlags::POLLIN).map_err(LookupError::Halted)?;
    let found = answer.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    found.unwrap_or_else(|| Err("the lookup ended without an answer".to_owned())).map_err(LookupError::Failed)
}

fn ask(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match (name, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found) }
        }
        // std's prefix says what our message says already.
        Err(error) => {
            Err(error.to_string().trim_start_matches("failed to lookup address information: ").to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Host, Interruption, LookupError, Timer, is_localhost, look_up, resolve};
    use crate::http::deadline::{Cancel, Deadline};

    fn timer(budget: Duration) -> Timer {
        Timer::new(Deadline::after(budget), Cancel::new())
    }

    #[test]
    fn addresses_and_localhost_need_no_look_up() {
        let timer = timer(Duration::from_secs(9));
        for (host, expected) in [
            (Host::Name("10.1.2.3".to_owned()), "[10.1.2.3:9091]"),
            (Host::V6("2001:db8::1".parse().unwrap()), "[[2001:db8::1]:9091]"),
            (Host::Name("LocalHost".to_owned()), "[[::1]:9091, 127.0.0.1:9091]"),
            (Host::Name("gw.localhost.".to_owned()), "[[::1]:9091, 127.0.0.1:9091]"),
        ] {
            assert_eq!(format!("{:?}", resolve(&host, 9091, &timer).unwrap()), expected);
        }
        assert!(!is_localhost("notlocalhost"));
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_in_the_resolvers_words() {
        let name = Host::Name("no-such-host.invalid".to_owned());
        match resolve(&name, 1, &timer(Duration::from_secs(30))) {
            Err(LookupError::Failed(text)) => assert!(!text.starts_with("failed to lookup") && !text.is_empty()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stopped_look_up_is_left_behind() {
        let timer = timer(Duration::ZERO);
        let started = Instant::now();
        let error = look_up("no-such-host.invalid", 1, &timer).unwrap_err();
        assert!(matches!(error, LookupError::Halted(Interruption::TimedOut)), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

//! Credentials for the gateway, and how its certificate is judged. Files are read here, at delivery, within its deadline: a token
//! may come through a pipe, and a pipe may never end.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::poll::PollFlags;

pub(crate) use crate::files::reason as plain;
use crate::http::deadline::Timer;
use crate::http::error::{Fault, Phase};
use crate::http::secret::Secret;
use crate::http::socket::interruption_of;

/// The most that is read of a password or token file.
const SECRET_MAX: usize = 64 * 1024;
/// The most that is read of a file with certificates; the largest CA bundles have a few hundred KiB.
const PEM_MAX: usize = 16 * 1024 * 1024;

/// The credentials for a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// None, or the user info of the URL.
    #[default]
    None,
    /// HTTP basic authentication (RFC 7617).
    Basic {
        /// The user's name.
        user: String,
        /// The password, or its file.
        password: Password,
    },
    /// A file with a bearer token (RFC 6750).
    Token(PathBuf),
}

/// A password, or its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// This one; empty where none was given.
    Value(Secret),
    /// The first line of this file.
    File(PathBuf),
}

/// How the gateway's certificate is judged, and our own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// `--cacert`: trust these certificates only. A plain server certificate is trusted for itself, as curl does.
    pub ca: Option<PathBuf>,
    /// `--cert` and `--key`.
    pub identity: Option<Identity>,
    /// `--insecure`: trust anybody.
    pub insecure: bool,
}

/// Our own certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and its intermediates.
    pub cert: PathBuf,
    /// Its key; `None` where it stands in the same file, as with curl.
    pub key: Option<PathBuf>,
}

/// A header line of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(crate) name: String,
    pub(crate) value: Secret,
}

impl Header {
    /// The header's name, as it was written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a text is no header; never shows the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderError(String);

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HeaderError {}

/// Headers that a push itself sets; another value would break it.
const OWN_HEADERS: [&str; 5] = ["content-length", "transfer-encoding", "content-encoding", "connection", "expect"];

impl FromStr for Header {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (name, value) =
            text.split_once(':').ok_or_else(|| HeaderError("a header is written 'Name: value'".to_owned()))?;
        // RFC 9110, section 5.6.2.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(HeaderError(
                "a header's name holds letters, digits and '-' only, as in 'Name: value'".to_owned(),
            ));
        }
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(HeaderError(format!("header '{name}' is pushwrap's own to set")));
        }
        let value = value.trim_matches([' ', '\t']);
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(HeaderError(format!("the value of header '{name}' holds a control character")));
        }
        Ok(Self { name: name.to_owned(), value: Secret::from(value) })
    }
}

/// RFC 7617, in UTF-8.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    Secret::from(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose()))))
}

/// The text of a file without the line end that editors and `echo` leave.
pub(crate) fn secret_file(path: &Path, what: &str, timer: &Timer) -> Result<Secret, Fault> {
    let name = format!("{what} file");
    let bytes = read_file(path, &name, SECRET_MAX, timer)?;
    let refuse = |why: &str| Fault::Setup(format!("{name} '{}' {why}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8"))?;
    let text = Secret::from(text);
    let line = text.expose().trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        return Err(refuse("is empty"));
    }
    Ok(Secret::from(line))
}

/// The content of a PEM file.
pub(crate) fn pem_file(path: &Path, what: &str, timer: &Timer) -> Result<Vec<u8>, Fault> {
    read_file(path, what, PEM_MAX, timer)
}

fn read_file(path: &Path, what: &str, max: usize, timer: &Timer) -> Result<Vec<u8>, Fault> {
    let read = open(path).and_then(|file| read_bounded(file, max, timer));
    read.map_err(|error| match interruption_of(&error) {
        Some(_) if timer.is_shortened() => Fault::Stopped,
        Some(_) => Fault::Timeout(Phase::Setup),
        None if error.kind() == io::ErrorKind::NotFound && is_descriptor(path) => Fault::Setup(format!(
            "cannot read {what} '{}': a run keeps no descriptor but the command's open; name a file",
            path.display()
        )),
        None => Fault::Setup(format!("cannot read {what} '{}': {}", path.display(), plain(&error))),
    })
}

/// Whether the path is that of an open file, as a shell's `<(…)` is.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd"].iter().any(|directory| path.parent() == Some(Path::new(directory)))
}

/// Without waiting for the writer of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.file_type().is_block_device() {
        return Err(io::Error::other("it is a device"));
    }
    Ok(file)
}

fn read_bounded(mut file: File, max: usize, timer: &Timer) -> io::Result<Vec<u8>> {
    let waits = !file.metadata()?.is_file();
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        timer.check()?;
        if waits {
            // A FIFO that nobody has opened for writing yet reads as ended; poll tells the difference.
            timer.wait(Some(file.as_fd()), PollFlags::POLLIN)?;
        }
        match file.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(amount) => bytes.extend_from_slice(&piece[..amount]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() > max {
            return Err(io::Error::other(format!("it has more than {} KiB", max / 1024)));
        }
    }
}

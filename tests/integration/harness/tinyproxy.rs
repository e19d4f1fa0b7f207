//! A real forward proxy: tinyproxy, with or without a password.

use std::fs;
use std::path::Path;

use super::server::{self, Server};

/// A running tinyproxy.
pub(crate) struct Tinyproxy(Server);

impl Tinyproxy {
    /// Starts one with further lines in its configuration, such as `BasicAuth user password`.
    #[track_caller]
    pub(crate) fn start(lines: &str) -> Self {
        Self(Server::start(&server::program("tinyproxy"), |port, dir: &Path| {
            let file = dir.join("tinyproxy.conf");
            let fixed = "Listen 127.0.0.1\nTimeout 60\nLogLevel Info\nMaxClients 20\n";
            fs::write(&file, format!("Port {port}\n{fixed}{lines}\n")).expect("tinyproxy.conf");
            vec!["-d".to_owned(), "-c".to_owned(), file.display().to_string()]
        }))
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.0.address()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.0.log()
    }
}

//! nginx in front of a gateway, as companies put it: one server block whose locations the test writes.

use std::fs;
use std::path::Path;

use super::server::{self, Server};

/// A running nginx.
pub(crate) struct Nginx {
    server: Server,
    scheme: &'static str,
}

/// Everything nginx writes by default goes elsewhere, so that any user can run it.
const HEAD: &str = "daemon off;\nmaster_process off;\npid DIR/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n\
    client_body_temp_path DIR/body;\nproxy_temp_path DIR/proxy;\nfastcgi_temp_path DIR/fastcgi;\nuwsgi_temp_path DIR/uwsgi;\n\
    scgi_temp_path DIR/scgi;\n";

impl Nginx {
    /// Plain HTTP. In `block`, `PORT` and `DIR` become the port and the server's private directory.
    #[track_caller]
    pub(crate) fn start(block: &str) -> Self {
        Self { server: run(&format!("server {{ listen 127.0.0.1:PORT;\n{block}\n}}\n")), scheme: "http" }
    }

    /// TLS; `block` names the certificate.
    #[track_caller]
    pub(crate) fn start_tls(block: &str) -> Self {
        Self { server: run(&format!("server {{ listen 127.0.0.1:PORT ssl;\n{block}\n}}\n")), scheme: "https" }
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address())
    }

    /// The same with the name `localhost`.
    pub(crate) fn url_by_name(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.server.port())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }
}

fn run(block: &str) -> Server {
    Server::start(&server::program("nginx"), |port, dir: &Path| {
        let path = dir.display().to_string();
        let config = format!("{HEAD}{block}}}\n").replace("PORT", &port.to_string()).replace("DIR", &path);
        let file = dir.join("nginx.conf");
        fs::write(&file, config).expect("nginx.conf");
        vec!["-c".to_owned(), file.display().to_string(), "-p".to_owned(), path, "-e".to_owned(), "stderr".to_owned()]
    })
}

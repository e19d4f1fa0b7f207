//! Which parts of what was typed are secret: `ps` must not show them while pushwrap runs.

use std::ops::Range;

use super::command_line::{Run, Sub};
use super::options::ConnectionOptions;
use super::parse::Action;

/// A value that was typed, and where in it the secret stands, in bytes.
pub type SecretValue<'a> = (&'a str, Range<usize>);

/// The values on the command line that hold a secret: the password of `--user`, what a header says, users in addresses.
#[must_use]
pub fn secret_values(action: &Action) -> Vec<SecretValue<'_>> {
    let (urls, remote_write, connection) = match action {
        Action::Run(run) => of_run(run),
        Action::Subcommand(Sub::Doctor(doctor)) => of_run(&doctor.run),
        Action::Subcommand(Sub::Push(push)) => (&push.destination.url[..], None, &push.connection),
        Action::Subcommand(Sub::Check(check)) => (&check.gateway.url[..], None, &check.connection),
        Action::Subcommand(Sub::Groups(groups)) => (&groups.gateway.url[..], None, &groups.connection),
        Action::Subcommand(Sub::Prune(prune)) => (&prune.gateway.url[..], None, &prune.connection),
        Action::Subcommand(Sub::Delete(delete)) => (&delete.gateway.url[..], None, &delete.connection),
        Action::Subcommand(Sub::Flush(flush)) => {
            (&flush.gateway.url[..], flush.remote_write.as_ref(), &flush.connection)
        }
        Action::Subcommand(Sub::Install(_) | Sub::Metric(_)) => return Vec::new(),
    };
    let addresses = urls.iter().chain(remote_write).chain(&connection.proxy);
    let addresses = addresses.filter_map(|url| Some((url.as_str(), user_of(url)?)));
    let after_colon = |text: &String| Some(text.find(':')? + 1..text.len());
    let headers = connection.header.iter().chain(&connection.user);
    addresses.chain(headers.filter_map(|text| Some((text.as_str(), after_colon(text)?)))).collect()
}

/// The addresses and the options of the connection that the run form has.
fn of_run(run: &Run) -> (&[String], Option<&String>, &ConnectionOptions) {
    (&run.destination.url, run.sinks.remote_write.as_ref(), &run.connection)
}

/// Where the user and password of an address stand. A password may hold a `/` that should have been escaped.
fn user_of(url: &str) -> Option<Range<usize>> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(start..)?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let has_port = authority.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let end = if authority.contains('@') || has_port { authority.rfind('@')? } else { rest.rfind('@')? };
    Some(start..start + end)
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn users_of_addresses_are_found() {
        for (url, user) in [
            ("http://u:p@gw:9091/x", Some("u:p")),
            ("u:p@gw", Some("u:p")),
            ("http://u:p/q@gw/", Some("u:p/q")),
            ("http://gw:9091/metrics/job@base64/YQ==", None),
            ("http://gw/a@b", None),
            ("none", None),
        ] {
            assert_eq!(user_of(url).map(|range| &url[range]), user, "{url}");
        }
    }
}

//! Which options may hold a secret: the one list for what no message may contain and for what the command must not find
//! in its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::origin::{items, variable};
use crate::text::{cut_end, redact_url};

/// The part of an option's value that may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// The whole value.
    Value,
    /// The user and the query of an address.
    Address,
}

/// Every option that may hold a secret, by its long name. A new one belongs here.
const SECRET_OPTIONS: [(&str, Secrecy); 5] = [
    ("user", Secrecy::Value),
    ("header", Secrecy::Value),
    ("url", Secrecy::Address),
    ("proxy", Secrecy::Address),
    ("remote-write", Secrecy::Address),
];

/// How many characters of a wrong value are printed.
pub(super) const VALUE_START: usize = 200;

fn secrecy(long: &str) -> Option<Secrecy> {
    SECRET_OPTIONS.iter().find(|(name, _)| *name == long).map(|(_, secrecy)| *secrecy)
}

/// The names of the variables that hold secrets in this environment. A name may stand in it twice: any of its values counts.
pub(super) fn secret_variables(environment: &[(OsString, OsString)]) -> Vec<OsString> {
    let holds_one = |(long, secrecy): &&(&str, Secrecy)| {
        let name = variable(long);
        let mut values = environment.iter().filter(|(known, _)| *known == *name).map(|(_, value)| value.as_bytes());
        match secrecy {
            Secrecy::Value => true,
            Secrecy::Address => values.any(|value| value.iter().any(|byte| b"@?".contains(byte))),
        }
    };
    SECRET_OPTIONS.iter().filter(holds_one).map(|(long, _)| variable(long).into()).collect()
}

/// The value in quotes, without what must not be printed.
pub(super) fn quote_value(long: &str, value: &OsStr) -> String {
    let text = value.to_string_lossy();
    match secrecy(long) {
        Some(Secrecy::Value) => String::new(),
        // What stands behind '?' may be a token.
        Some(Secrecy::Address) => match redact_url(&text).split_once('?') {
            Some((address, _)) => format!("'{}?…' ", cut_end(address, VALUE_START)),
            None => format!("'{}' ", cut_end(&redact_url(&text), VALUE_START)),
        },
        None => format!("'{}' ", cut_end(&text, VALUE_START)),
    }
}

/// The value as it may be listed: `set` where it is a secret, an address without its user and what stands behind `?`.
pub(super) fn listed(long: &str, value: &OsStr) -> String {
    match secrecy(long) {
        Some(Secrecy::Value) => "set".to_owned(),
        _ => quote_value(long, value).trim().trim_matches('\'').to_owned(),
    }
}

/// Whether a list of addresses may be cut inside a password, whose pieces have the form of addresses too: `http://me:3,cret@gw`.
pub(super) fn is_cut_secret(long: &str, value: &OsStr) -> bool {
    let pieces = items(value, b',');
    let has_scheme = |piece: &OsString| piece.to_string_lossy().contains("://");
    secrecy(long) == Some(Secrecy::Address)
        && value.as_bytes().contains(&b'@')
        && pieces.len() > 1
        && !pieces.iter().all(has_scheme)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{quote_value, secret_variables};

    #[test]
    fn secrets_are_not_quoted() {
        assert_eq!(quote_value("url", "u:p@gw".as_ref()), "'gw' ");
        assert_eq!(quote_value("url", "http://gw/?token=secret".as_ref()), "'http://gw/?…' ");
        assert_eq!(quote_value("user", "me:secret".as_ref()), "");
        assert_eq!(quote_value("job", "x".as_ref()), "'x' ");
    }

    #[test]
    fn long_values_are_cut_off() {
        assert_eq!(quote_value("job", "ä".repeat(100_000).as_ref()), format!("'{}…' ", "ä".repeat(200)));
    }

    #[test]
    fn each_of_two_variables_of_one_name_may_hold_a_secret() {
        let environment = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let always = ["PUSHWRAP_USER", "PUSHWRAP_HEADER"];
        assert_eq!(secret_variables(&environment(&[("PUSHWRAP_URL", "http://gw")])), always);
        let twice = environment(&[("PUSHWRAP_URL", "http://u:p@gw"), ("PUSHWRAP_URL", "http://gw")]);
        assert!(secret_variables(&twice).contains(&"PUSHWRAP_URL".into()));
    }
}

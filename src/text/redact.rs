//! Addresses without user and password, also inside a line of text.

/// A URL, or what should be one, without user and password.
pub(crate) fn redact_url(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => format!("{scheme}://{}", address(rest)),
        _ => behind_user(url).to_owned(),
    }
}

/// A URL behind its scheme, without the user if it has one. What stands before the path is `[USER[:PASSWORD]@]HOST[:PORT]` (RFC
/// 3986, section 3.2); where the port is none, it is the beginning of a password with an unescaped `/`.
fn address(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = |(host, port): (&str, &str)| host.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = !authority.contains('@') && authority.rsplit_once(':').is_none_or(has_port);
    if is_plain { rest } else { behind_user(rest) }
}

/// What follows the last `@`, because a password may hold one; but for that of a grouping key (`job@base64/YQ==`).
fn behind_user(rest: &str) -> &str {
    let ends_user = |before: &str, after: &str| !(before.contains('/') && after.starts_with("base64/"));
    let parts = rest.rmatch_indices('@').filter_map(|(at, _)| Some((rest.get(..at)?, rest.get(at + 1..)?)));
    parts.into_iter().find(|(before, after)| ends_user(before, after)).map_or(rest, |(_, after)| after)
}

/// A line with every address in it without its user: `http://USER:PASSWORD@HOST`, as far as its quotation marks reach, and
/// texts such as `USER:PASSWORD@HOST`.
pub(crate) fn redact_urls(line: &str) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let is_quoted = before[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric()).ends_with('\'');
        let end = if is_quoted { after.find('\'') } else { after.find(char::is_whitespace) };
        let (url, behind) = after.split_at(end.unwrap_or(after.len()));
        redacted.push_str(&redact_texts(before));
        redacted.push_str(address(url));
        rest = behind;
    }
    redacted + &redact_texts(rest)
}

/// Texts such as `USER:PASSWORD@HOST` without what stands before the `@`.
fn redact_texts(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_start_matches(['\'', '"', '(']);
        let is_user = |(before, host): (&str, &str)| {
            before.contains(':') && !before.contains(['/', '=', '{']) && !host.is_empty()
        };
        let mark = &word[..word.len() - bare.len()];
        let redacted = if bare.rsplit_once('@').is_some_and(is_user) { behind_user(bare) } else { bare };
        mark.to_owned() + redacted
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{redact_url, redact_urls};

    #[test]
    fn no_user_info_is_shown() {
        for (url, printed) in [
            ("http://u:p@ss@gw:99999/x", "http://gw:99999/x"),
            ("http://u:p/ss@gw/", "http://gw/"),
            ("u:p@gw", "gw"),
            ("u:p://ss@gw", "gw"),
            ("http://u:p@gw/metrics/job/a@gw", "http://gw"),
            ("http://gw/metrics/job@base64/YQ==", "http://gw/metrics/job@base64/YQ=="),
            ("http://u:p@base64/", "http://base64/"),
            ("gw:9091", "gw:9091"),
        ] {
            assert_eq!(redact_url(url), printed);
        }
        for (line, printed) in [
            ("'http://u:p@gw/x': no", "'http://gw/x': no"),
            ("--url=https://u:p/@gw", "--url=https://gw"),
            ("'http://me:s3 cret@gw' is wrong", "'http://gw' is wrong"),
            ("argument 'me:s3cret@gw:9091' found", "argument 'gw:9091' found"),
            (
                "to 'https://sso.example/login?user=me@x&rd=/' (302)",
                "to 'https://sso.example/login?user=me@x&rd=/' (302)",
            ),
            ("label=\"https://example.org/@me/p\" and", "label=\"https://example.org/@me/p\" and"),
            ("http://[::1]:9091/metrics/job@base64/YQ==", "http://[::1]:9091/metrics/job@base64/YQ=="),
            ("write USER:PASSWORD@ before", "write USER:PASSWORD@ before"),
            ("{job=\"a:b@c\"} at me@example.org", "{job=\"a:b@c\"} at me@example.org"),
        ] {
            assert_eq!(redact_urls(line), printed);
        }
    }
}

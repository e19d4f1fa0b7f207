//! The smallest HTTP client that tests need, never through a proxy of the machine.

use super::PATIENCE;

/// An answer: its status and its body as text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request; an error is a connection that failed or an answer that is none.
pub(crate) fn request(method: &str, url: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        // The library fills its buffers with zeros for each request, which takes a debug build longer than the request.
        .input_buffer_size(8 << 10)
        .output_buffer_size(8 << 10)
        .build()
        .into();
    let request = ureq::http::Request::builder().method(method).uri(url).body(body)?;
    let mut answer = agent.run(request)?;
    let body = answer.body_mut().with_config().limit(1 << 30).lossy_utf8(true).read_to_string()?;
    Ok(Answer { status: answer.status().as_u16(), body })
}

/// GET whose answer must be 200: its body.
#[track_caller]
pub(crate) fn get(url: &str) -> String {
    let answer = request("GET", url, b"").unwrap_or_else(|error| panic!("GET {url}: {error}"));
    assert_eq!(answer.status, 200, "GET {url}: {}", answer.body);
    answer.body
}

//! Asking a running node over HTTP.

use std::time::Duration;

use anyhow::{Context as _, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Longest time the client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(330);

/// What has a meaning in a URL: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value as part of a URL.
pub(crate) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}

/// A node's HTTP address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
}

/// An answer that is not a success.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    /// HTTP status.
    pub(crate) status: u16,
    /// What the node said.
    pub(crate) message: String,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned() }
    }

    /// GET, as JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let text = self.get_text(path)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}{path} did not answer JSON", self.base))
    }

    /// GET, as text.
    pub(crate) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.base);
        read(self.agent.get(&url).call().with_context(|| unreachable(&url))?)
    }

    /// POST; the answer as text.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: &[u8],
    ) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.base);
        let response = self
            .agent
            .post(&url)
            .header("content-type", content_type)
            .header("accept", accept)
            .send(body)
            .with_context(|| unreachable(&url))?;
        read(response)
    }
}

fn unreachable(url: &str) -> String {
    format!("cannot reach {url}; is headrope running there (headrope serve)?")
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<String> {
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
    if (200..300).contains(&status) {
        return Ok(text);
    }
    let problem: Option<Value> = serde_json::from_str(&text).ok();
    let said = problem
        .as_ref()
        .and_then(|p| p.get("detail").or_else(|| p.get("title")).or_else(|| p.get("message")))
        .and_then(Value::as_str)
        .map_or(text.clone(), str::to_owned);
    bail!(Refused { status, message: format!("{said} (HTTP {status})") })
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("GET /a b&c=d_-.~ö"), "GET%20%2Fa%20b%26c%3Dd_-.~%C3%B6");
    }
}

//! Questions to a server's REST API over one connection.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(330);
/// Largest answer in bytes.
const MAX_ANSWER: u64 = 1 << 30;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    /// GET of a path with parameters.
    Get { path: String, parameters: Vec<(&'static str, String)> },
    /// A statement in SQL with its parameters.
    Sql { statement: String, parameters: Value },
}

impl Question {
    /// A GET without parameters.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::Get { path: path.into(), parameters: Vec::new() }
    }

    /// Adds a parameter to a GET.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Get { parameters, .. } = &mut self {
            parameters.push((name, value.to_string()));
        }
        self
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The content as JSON.
    pub(crate) content: Value,
    /// Time from the question to the last byte of the answer.
    pub(crate) took: Duration,
}

impl Answer {
    /// The content of a success.
    ///
    /// # Errors
    /// When the status is another.
    pub(crate) fn success(&self) -> anyhow::Result<&Value> {
        ensure!(self.status == 200, "status {}: {}", self.status, self.content);
        Ok(&self.content)
    }

    /// The rows of a SQL answer.
    ///
    /// # Errors
    /// When it is no success, or has no rows.
    pub(crate) fn rows(&self) -> anyhow::Result<&Vec<Value>> {
        self.list("rows")
    }

    /// A list in the answer.
    ///
    /// # Errors
    /// When it is no success, or has no such list.
    pub(crate) fn list(&self, name: &str) -> anyhow::Result<&Vec<Value>> {
        let list = self.success()?.get(name).and_then(Value::as_array);
        list.with_context(|| format!("an answer without {name}"))
    }
}

/// A whole number, which large ones are as text in answers to SQL.
pub(crate) fn int(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// A client; it keeps its connection between questions.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    agent: ureq::Agent,
    base: String,
}

impl Asker {
    /// A client of the server at `host:port`.
    pub(crate) fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections_per_host(1);
        Self { agent: config.build().new_agent(), base: format!("http://{address}") }
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// When the server cannot be reached or its answer is no JSON.
    pub(crate) fn ask(&self, question: &Question) -> anyhow::Result<Answer> {
        let body = match question {
            Question::Get { .. } => Vec::new(),
            Question::Sql { statement, parameters } => {
                json!({ "query": statement, "params": parameters }).to_string().into_bytes()
            }
        };
        let began = Instant::now();
        let mut response = match question {
            Question::Get { path, parameters } => {
                let request = self.agent.get(format!("{}{path}", self.base));
                request.query_pairs(parameters.iter().map(|(n, v)| (*n, v.as_str()))).call()?
            }
            Question::Sql { .. } => self
                .agent
                .post(format!("{}/api/v1/sql", self.base))
                .header("content-type", "application/json")
                .send(body)?,
        };
        let content = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        let took = began.elapsed();
        let content = serde_json::from_slice(&content).with_context(|| {
            format!(
                "not JSON: {}",
                String::from_utf8_lossy(&content).chars().take(200).collect::<String>()
            )
        })?;
        Ok(Answer { status: response.status().as_u16(), content, took })
    }

    /// Whether a path answers with success; not reaching the server counts as no.
    pub(crate) fn is_fine(&self, path: &str) -> bool {
        let response = self.agent.get(format!("{}{path}", self.base)).call();
        response.is_ok_and(|r| r.status() == 200)
    }

    /// Asks for an administrative action; whether the server knows it.
    ///
    /// # Errors
    /// When the server cannot be reached or the action fails.
    pub(crate) fn admin(&self, action: &str) -> anyhow::Result<bool> {
        let url = format!("{}/api/v1/admin/{action}", self.base);
        let status = self.agent.post(&url).send("")?.status().as_u16();
        match status {
            200..=299 => Ok(true),
            404 | 405 => Ok(false),
            _ => bail!("{action}: status {status}"),
        }
    }

    /// Rows of a table.
    ///
    /// # Errors
    /// When the server does not answer with a count.
    pub(crate) fn count(&self, table: &str) -> anyhow::Result<u64> {
        let statement = format!("SELECT count(*) FROM {table}");
        let answer = self.ask(&Question::Sql { statement, parameters: json!({}) })?;
        let count = answer.rows()?.first().and_then(|row| row.get(0)).and_then(int);
        let count = count.and_then(|n| u64::try_from(n).ok());
        count.with_context(|| format!("not a count: {}", answer.content))
    }
}

//! A server process as a user runs it, for tests that need the real thing.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// Longest wait for a start, a stop or an answer. A machine this slow fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_headrope");

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    output: Option<JoinHandle<()>>,
    /// Address of OTLP/HTTP, `host:port`.
    pub(crate) otlp_http: String,
    /// Address of UI and REST, `host:port`.
    pub(crate) ui: String,
    /// Time from the start of the process until it was ready.
    pub(crate) ready_after: Duration,
    agent: ureq::Agent,
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Start {
    /// It is ready.
    Ready(Box<Server>),
    /// It ended before it was ready.
    Exited(ExitStatus),
}

/// An HTTP client that reports every status as an answer.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

impl Server {
    /// Starts a server on a data directory, on ports the system chooses; `log` takes its stderr.
    pub(crate) fn start(
        data_dir: &Path,
        log: &Path,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Start> {
        let began = Instant::now();
        let stderr = File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(BINARY)
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
            .envs(settings.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let (first_line, announced) = sync_channel(1);
        let output = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only the first line is of interest; the rest is drained.
                let _ = first_line.try_send(line);
            }
        });
        let mut server = Self {
            child,
            output: Some(output),
            otlp_http: String::new(),
            ui: String::new(),
            ready_after: Duration::ZERO,
            agent: agent(),
        };
        match announced.recv_timeout(PATIENCE) {
            Ok(line) => server.read_addresses(&line)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Start::Exited(server.child.wait()?)),
            Err(RecvTimeoutError::Timeout) => bail!("the server announced no address"),
        }
        while !server.is_ready() {
            if let Some(status) = server.exited()? {
                return Ok(Start::Exited(status));
            }
            ensure!(began.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        server.ready_after = began.elapsed();
        Ok(Start::Ready(Box::new(server)))
    }

    fn read_addresses(&mut self, line: &str) -> anyhow::Result<()> {
        let announced: Value =
            serde_json::from_str(line).with_context(|| format!("not a JSON line: {line}"))?;
        let address = |name: &str| {
            let address = announced.pointer(&format!("/listening/{name}")).and_then(Value::as_str);
            address.map(str::to_owned).with_context(|| format!("no address of {name} in {line}"))
        };
        self.otlp_http = address("otlp_http")?;
        self.ui = address("ui")?;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.agent.get(format!("http://{}/readyz", self.ui)).call().is_ok_and(|r| r.status() == 200)
    }

    /// How the process ended, if it did.
    pub(crate) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        // It may have ended by itself.
        let _ = self.child.kill();
        let status = self.child.wait()?;
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
        Ok(status)
    }

    /// Asks the process to end (SIGTERM) and waits until it does.
    pub(crate) fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().to_string();
        let sent =
            Command::new("kill").args(["-TERM", &pid]).status().context("cannot run kill")?;
        ensure!(sent.success(), "kill -TERM {pid} failed");
        let began = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            ensure!(began.elapsed() < PATIENCE, "the server did not stop after SIGTERM");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Posts to a path of the UI's address and gives back status and body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let mut response = self
            .agent
            .post(format!("http://{}{path}", self.ui))
            .header("content-type", "application/json")
            .send(body.to_string())?;
        let text = response.body_mut().with_config().limit(256 << 20).read_to_string()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((response.status().as_u16(), body))
    }

    /// The rows a SQL query answers.
    pub(crate) fn sql(&self, query: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let (status, mut answer) = self.post("/api/v1/sql", &json!({ "query": query }))?;
        ensure!(status == 200, "{query}: status {status}: {answer}");
        let rows = answer.get_mut("rows").map(Value::take).context("an answer without rows")?;
        Ok(serde_json::from_value(rows)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

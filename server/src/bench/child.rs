//! A server as a child process, and what the kernel says about it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// Ticks a second of the times in `/proc/PID/stat`; fixed for user space on Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// Longest wait for the child to be ready or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server under measurement; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    output: Option<JoinHandle<()>>,
    agent: ureq::Agent,
    data_dir: PathBuf,
    otlp_grpc: String,
    otlp_http: String,
    ui: String,
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Memory {
    /// Resident now (VmRSS).
    pub(crate) rss: u64,
    /// Most ever resident (VmHWM).
    pub(crate) peak: u64,
}

impl Server {
    /// Starts this binary's `serve` on a data directory and waits until it is ready. It inherits
    /// the environment, so `HEADROPE_…` settings apply to it.
    pub(crate) fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find this program's file")?;
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a server")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(Ok(line)) = lines.next() else { bail!("the server ended before it listened") };
        let output = std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let announced: Value = serde_json::from_str(&line)
            .with_context(|| format!("the server announced no addresses: {line}"))?;
        let address = |name: &str| {
            let address = announced.pointer(&format!("/listening/{name}")).and_then(Value::as_str);
            address.map(str::to_owned).with_context(|| format!("no address of {name} in {line}"))
        };
        let server = Self {
            child,
            output: Some(output),
            agent: ureq::Agent::config_builder().http_status_as_error(false).build().new_agent(),
            data_dir: data_dir.to_owned(),
            otlp_grpc: address("otlp_grpc")?,
            otlp_http: address("otlp_http")?,
            ui: address("ui")?,
        };
        let began = Instant::now();
        let ready = format!("http://{}/readyz", server.ui);
        while !server.agent.get(&ready).call().is_ok_and(|r| r.status() == 200) {
            ensure!(began.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Address of an OTLP protocol.
    pub(crate) fn address(&self, protocol: super::client::Protocol) -> &str {
        match protocol {
            super::client::Protocol::Grpc => &self.otlp_grpc,
            super::client::Protocol::Http => &self.otlp_http,
        }
    }

    /// Seconds of CPU the process has used, in user and kernel mode.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .context("cannot read the server's CPU time")?;
        cpu_of(&stat).context("cannot understand /proc/PID/stat")
    }

    /// Memory the process uses.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("cannot read the server's memory")?;
        Ok(memory_of(&status))
    }

    /// Bytes on disk by the last part of the file names.
    pub(crate) fn disk(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut sizes = BTreeMap::new();
        add_sizes(&self.data_dir, &mut sizes)?;
        Ok(sizes)
    }

    /// Asks for an administrative action; whether the server knows it.
    pub(crate) fn admin(&self, action: &str) -> anyhow::Result<bool> {
        let url = format!("http://{}/api/v1/admin/{action}", self.ui);
        let status = self.agent.post(&url).send("")?.status().as_u16();
        ensure!(matches!(status, 200..=299 | 404 | 405), "{action}: status {status}");
        Ok((200..=299).contains(&status))
    }

    /// Rows of a table.
    pub(crate) fn count(&self, table: &str) -> anyhow::Result<u64> {
        let query = json!({ "query": format!("SELECT count(*) FROM {table}") });
        let mut response = self
            .agent
            .post(format!("http://{}/api/v1/sql", self.ui))
            .header("content-type", "application/json")
            .send(query.to_string())?;
        let text = response.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text)?;
        let count = answer.pointer("/rows/0/0").context("a count without a row")?;
        let number = count.as_u64().or_else(|| count.as_str().and_then(|s| s.parse().ok()));
        number.with_context(|| format!("not a count: {text}"))
    }

    /// Waits until the process has used less than 5 % of one CPU for so long; at most ten minutes.
    pub(crate) fn wait_until_idle(&self, quiet: Duration) -> anyhow::Result<()> {
        const STEP: Duration = Duration::from_millis(250);
        let began = Instant::now();
        let mut since = (Instant::now(), self.cpu_seconds()?);
        while since.0.elapsed() < quiet {
            ensure!(began.elapsed() < Duration::from_secs(600), "the server is never idle");
            std::thread::sleep(STEP);
            let used = self.cpu_seconds()? - since.1;
            if used > 0.05 * quiet.as_secs_f64() {
                since = (Instant::now(), since.1 + used);
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
    }
}

/// Fields 14 and 15; the name in field 2 may contain anything, also spaces and parentheses.
fn cpu_of(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn memory_of(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    Memory { rss: field("VmRSS:").unwrap_or(0), peak: field("VmHWM:").unwrap_or(0) }
}

fn add_sizes(directory: &Path, sizes: &mut BTreeMap<String, u64>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go away meanwhile: compaction and retention go on.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            add_sizes(&entry.path(), sizes)?;
        } else {
            let path = entry.path();
            let kind = path.extension().map_or("(none)".into(), |e| e.to_string_lossy());
            *sizes.entry(kind.into_owned()).or_default() += metadata.len();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_understood() {
        let stat = "42 (a (odd) name) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 9 0";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("42 (x"), None);
        let memory = memory_of("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n");
        assert_eq!((memory.rss, memory.peak), (1 << 20, 2 << 20));
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(cpu_of(&own).is_some());
    }
}

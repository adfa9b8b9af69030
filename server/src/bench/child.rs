//! A server as a child process, and what the kernel says about it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::ask::Asker;

/// Ticks a second of the times in `/proc/PID/stat`; fixed for user space on Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// Longest wait for the child to be ready.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for the child to end, the last flush included.
const STOP_PATIENCE: Duration = Duration::from_secs(300);
/// Wait between two looks at the child.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A server under measurement; dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    output: Option<JoinHandle<()>>,
    asker: Asker,
    began: Instant,
    otlp_grpc: String,
    otlp_http: String,
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
    /// the environment, so `HEADROPE_…` settings apply to it; `settings` come on top. Unless the
    /// environment says otherwise it logs no more than warnings.
    ///
    /// # Errors
    /// When it does not start, or is not ready within a minute.
    pub(crate) fn start(data_dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("cannot find this program's file")?;
        let began = Instant::now();
        let log = std::env::var("HEADROPE_LOG").unwrap_or_else(|_| "warn".to_owned());
        let mut child = Command::new(binary)
            .args(["--log", &log, "serve"])
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
            .args(["--listen", "127.0.0.1:0"])
            .envs(settings.iter().copied())
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
            asker: Asker::new(&address("ui")?),
            began,
            otlp_grpc: address("otlp_grpc")?,
            otlp_http: address("otlp_http")?,
        };
        while !server.asker.is_fine("/readyz") {
            let waited = began.elapsed();
            ensure!(waited < START_PATIENCE, "the server is not ready after {START_PATIENCE:?}");
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(server)
    }

    /// When the process was started.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// A client of its REST API.
    pub(crate) const fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Address of an OTLP protocol.
    pub(crate) fn address(&self, protocol: super::client::Protocol) -> &str {
        match protocol {
            super::client::Protocol::Grpc => &self.otlp_grpc,
            super::client::Protocol::Http => &self.otlp_http,
        }
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// Seconds of CPU the process has used, in user and kernel mode.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_of(&self.proc("stat")?).context("cannot understand /proc/PID/stat")
    }

    /// Memory the process uses.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Ok(memory_of(&self.proc("status")?))
    }

    /// Bytes the process has had written to storage so far; `None` where the kernel does not count
    /// them.
    pub(crate) fn written(&self) -> Option<u64> {
        written_of(&self.proc("io").ok()?)
    }

    /// Waits until the process has used less than 5 % of one CPU for so long; at most ten minutes.
    ///
    /// # Errors
    /// When it is still at work after that.
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

    /// Asks the process to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end within five minutes, or not in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            let waited = began.elapsed();
            ensure!(waited < STOP_PATIENCE, "the server runs on {STOP_PATIENCE:?} after SIGTERM");
            std::thread::sleep(LOOK_AGAIN);
        }
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

fn written_of(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
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
        let io = "rchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(written_of(io), Some(4096));
        assert_eq!(written_of(""), None);
    }
}

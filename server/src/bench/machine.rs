//! What a run ran on: without it a figure says nothing.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::report::Latency;

/// Bytes of one write of the sync probe.
const PROBE_BYTES: usize = 64 << 10;
/// Writes of the sync probe.
const PROBES: u64 = 50;

/// The machine and its state before a run.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) processors: usize,
    /// Processes that wanted to run, on average over the last minute; 0 where that cannot be told.
    pub(crate) load_average: f64,
    /// Median time of writing 64 KiB and `fdatasync` in the data directory, milliseconds.
    pub(crate) sync_probe_ms: f64,
    /// Commit of the checkout the run was started in.
    pub(crate) commit: Option<String>,
    /// What the caller calls the run.
    pub(crate) label: Option<String>,
}

impl Machine {
    /// Looks at the machine and measures the disk below a directory.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub(crate) fn look(data_dir: &Path, label: Option<&str>) -> anyhow::Result<Self> {
        // The load comes first: the probe is load itself.
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Self {
            load_average: load.split(' ').next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
            cpu: model(&info).unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            sync_probe_ms: sync_probe(data_dir)?.p50_ms,
            commit: commit(),
            label: label.map(str::to_owned),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            writeln!(f, "| label | {label} |")?;
        }
        let commit = self.commit.as_deref().unwrap_or("unknown");
        writeln!(f, "| version, commit | {}, {commit} |", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "| CPU | {} × {} |", self.processors, self.cpu)?;
        writeln!(f, "| load average before the start | {:.2} |", self.load_average)?;
        writeln!(f, "| sync probe (64 KiB, p50), ms | {:.2} |", self.sync_probe_ms)
    }
}

fn model(info: &str) -> Option<&str> {
    let line = info.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start().trim_start_matches(':').trim())
}

/// Writes a block and waits until it is on disk, some times.
fn sync_probe(data_dir: &Path) -> anyhow::Result<Latency> {
    let path = data_dir.join("bench-probe.tmp");
    let cannot = || format!("cannot write to {}", path.display());
    let file = File::create(&path).with_context(cannot)?;
    let block = vec![0x5a; PROBE_BYTES];
    let mut all: Vec<Duration> = Vec::new();
    for at in 0..PROBES {
        let began = Instant::now();
        file.write_all_at(&block, at * PROBE_BYTES as u64).with_context(cannot)?;
        file.sync_data().with_context(cannot)?;
        all.push(began.elapsed());
    }
    fs::remove_file(&path).with_context(cannot)?;
    Ok(Latency::of(all))
}

/// The commit checked out here, where there is a git that knows one.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found() {
        let info = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu\n";
        assert_eq!(model(info), Some("AMD EPYC 9R14"));
        assert_eq!(model("processor: 0"), None);
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sync_probe(dir.path()).unwrap().max_ms > 0.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

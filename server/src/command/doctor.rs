//! `headrope doctor`: can this machine run headrope well?

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::ConfigArgs;
use crate::config::{self, Config};

/// Syncs that are timed.
const SYNCS: usize = 32;
/// Median sync above which acknowledgements will feel slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// Open files a busy node needs.
const WANTED_FILES: u64 = 8192;

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let (_, config) = config::load(args)?;
    let mut report = Report::default();
    report.line(true, "configuration", "no mistakes");
    disk(&config, &mut report);
    ports(&config, &mut report);
    limits(&mut report);
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn line(&mut self, good: bool, what: &str, found: &str) {
        println!("{}  {what:<16} {found}", if good { "ok  " } else { "FAIL" });
        self.failed += usize::from(!good);
    }
}

fn disk(config: &Config, report: &mut Report) {
    let dir = &config.storage.data_dir;
    let shown = dir.display();
    if let Err(error) = std::fs::create_dir_all(dir) {
        return report.line(false, "data directory", &format!("cannot create {shown}: {error}"));
    }
    match sync_times(dir) {
        Ok(mut times) => {
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            let worst = times.last().copied().unwrap_or_default();
            let found = format!("fdatasync of 64 KiB: median {median:.1?}, worst {worst:.1?}");
            report.line(median <= SLOW_SYNC, "sync latency", &found);
        }
        Err(error) => {
            report.line(false, "sync latency", &format!("cannot write to {shown}: {error}"))
        }
    }
}

fn sync_times(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let path = dir.join("doctor.tmp");
    let mut file = File::create(&path)?;
    let block = vec![7u8; 64 << 10];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(times)
}

fn ports(config: &Config, report: &mut Report) {
    let addresses = [
        ("OTLP/gRPC", config.collector.grpc_addr),
        ("OTLP/HTTP", config.collector.http_addr),
        ("pages", config.listen),
    ];
    for (what, address) in addresses {
        match std::net::TcpListener::bind(address) {
            Ok(_) => report.line(true, what, &format!("{address} is free")),
            Err(error) => report.line(
                false,
                what,
                &format!("{address}: {error}; stop what uses it or choose another address"),
            ),
        }
    }
}

/// The soft limit of open files, from the kernel's own account of this process.
fn limits(report: &mut Report) {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("Max open files"));
    let soft = line.and_then(|l| l.split_whitespace().nth(3));
    match soft {
        Some("unlimited") => report.line(true, "open files", "unlimited"),
        Some(n) => {
            let enough = n.parse::<u64>().is_ok_and(|n| n >= WANTED_FILES);
            let advice = if enough { "" } else { "; raise it with ulimit -n or LimitNOFILE" };
            report.line(enough, "open files", &format!("{n}, {WANTED_FILES} wanted{advice}"));
        }
        None => report.line(true, "open files", "not known on this system"),
    }
}

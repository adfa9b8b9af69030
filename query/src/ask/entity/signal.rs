//! What a metric says, by the words of its name.
//!
//! Names differ from system to system: semantic conventions and their older versions, the OpenTelemetry Collector's
//! receivers, Prometheus exporters, agents of vendors. Their words are much the same, so words decide, not whole names:
//! the first of [`RULES`] whose words are in a name says what the metric measures. The first word says whose it is
//! where that is not a process or container: [`SIDES`].

use headrope_analysis::verdict::Measure;

/// Whose metrics begin with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ask) enum Side {
    /// A process, its runtime, its container or pod.
    Process,
    /// A host.
    Host,
    /// A store, by what its calls have as `db.system.name` or `messaging.system`.
    Store(&'static [&'static str]),
}

const SIDES: [(&str, Side); 21] = [
    ("system", Side::Host),
    ("node", Side::Host),
    ("host", Side::Host),
    ("machine", Side::Host),
    ("postgresql", Side::Store(&["postgresql"])),
    ("postgres", Side::Store(&["postgresql"])),
    ("pg", Side::Store(&["postgresql"])),
    ("mysql", Side::Store(&["mysql", "mariadb"])),
    ("mysqld", Side::Store(&["mysql", "mariadb"])),
    ("mariadb", Side::Store(&["mysql", "mariadb"])),
    ("sqlserver", Side::Store(&["microsoft.sql_server", "mssql"])),
    ("mssql", Side::Store(&["microsoft.sql_server", "mssql"])),
    ("oracledb", Side::Store(&["oracle.db", "oracle"])),
    ("redis", Side::Store(&["redis"])),
    ("mongodb", Side::Store(&["mongodb"])),
    ("memcached", Side::Store(&["memcached"])),
    ("elasticsearch", Side::Store(&["elasticsearch"])),
    ("cassandra", Side::Store(&["cassandra"])),
    ("kafka", Side::Store(&["kafka"])),
    ("rabbitmq", Side::Store(&["rabbitmq"])),
    ("nats", Side::Store(&["nats"])),
];

/// What a series is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ask) enum Use {
    /// A reading.
    Reading(Measure),
    /// What may be used of what a reading of [`Measure::Memory`] is of.
    MemoryLimit,
    /// What is free of a file system.
    DiskFree,
    /// How large a file system is.
    DiskSize,
    /// That its store runs on its host.
    Presence,
}

/// Words that a name has, one of each group, and none of which it has.
struct Rule {
    of: &'static [&'static [&'static str]],
    without: &'static [&'static str],
    says: Use,
}

const fn rule(
    of: &'static [&'static [&'static str]],
    without: &'static [&'static str],
    measure: Measure,
) -> Rule {
    Rule { of, without, says: Use::Reading(measure) }
}

const SHARE: &[&str] =
    &["utilization", "utilisation", "util", "percent", "percentage", "pct", "ratio"];
const DISK: &[&str] =
    &["disk", "disks", "diskio", "filesystem", "fs", "volume", "blkio", "blockio", "storage"];
const MEMORY: &[&str] = &["memory", "mem", "heap", "rss"];

/// The first that fits decides.
const RULES: [Rule; 19] = [
    rule(&[&["throttled", "throttling", "throttle"]], &[], Measure::Throttled),
    rule(
        &[
            &["gc", "garbage"],
            &["duration", "pause", "time", "seconds", "ms", "elapsed", "milliseconds"],
        ],
        &["count", "since", "last", "timestamp"],
        Measure::Gc,
    ),
    rule(&[&["restart", "restarts", "restarted"]], &[], Measure::Restarts),
    rule(&[&["deadlock", "deadlocks"]], &[], Measure::Lock),
    rule(
        &[&["lock", "locks"], &["wait", "waits", "waiting", "blocked", "row"]],
        &[],
        Measure::Lock,
    ),
    rule(
        &[
            &["connection", "connections", "pool", "pools", "hikaricp"],
            &["wait", "acquire", "waited"],
            &["time", "duration", "seconds", "acquire", "ms", "milliseconds"],
        ],
        &[],
        Measure::PoolWait,
    ),
    rule(
        &[
            &["connection", "connections", "pool", "pools", "hikaricp"],
            &["pending", "waiting", "queued", "waiters"],
        ],
        &[],
        Measure::PoolPending,
    ),
    rule(
        &[
            &["network", "net", "tcp", "packet", "packets", "socket"],
            &[
                "error",
                "errors",
                "errs",
                "drop",
                "drops",
                "dropped",
                "loss",
                "lost",
                "retrans",
                "retransmit",
                "retransmits",
                "retransmitted",
                "retransmission",
                "retransmissions",
            ],
        ],
        &[],
        Measure::NetworkErrors,
    ),
    rule(&[MEMORY, SHARE], &["gc", "request", "requests"], Measure::MemoryUsed),
    Rule {
        of: &[MEMORY, &["limit", "limits", "max"]],
        without: &["request", "requests", "usage", "used", "failures"],
        says: Use::MemoryLimit,
    },
    rule(
        &[MEMORY, &["used", "usage", "rss", "working", "resident"]],
        &[
            "free",
            "available",
            "cache",
            "cached",
            "buffers",
            "virtual",
            "swap",
            "init",
            "gc",
            "after",
        ],
        Measure::Memory,
    ),
    rule(&[&["cpu"], SHARE, &["limit", "limits"]], &[], Measure::CpuBusy),
    rule(
        &[
            &["cpu"],
            &[
                "utilization",
                "utilisation",
                "util",
                "percent",
                "percentage",
                "pct",
                "ratio",
                "usage",
                "used",
                "time",
                "seconds",
                "rate",
                "total",
                "cores",
                "user",
                "system",
            ],
        ],
        &[
            "limit",
            "limits",
            "pressure",
            "waiting",
            "quota",
            "shares",
            "request",
            "requests",
            "count",
            "logical",
            "physical",
            "frequency",
            "period",
            "periods",
            "load",
            "guest",
        ],
        Measure::Cpu,
    ),
    Rule {
        of: &[DISK, &["avail", "available", "free"], &["bytes", "space", "available"]],
        without: &["inode", "inodes", "files"],
        says: Use::DiskFree,
    },
    Rule {
        of: &[DISK, &["size", "capacity", "total"], &["bytes", "space", "capacity", "size"]],
        without: &[
            "inode", "inodes", "files", "read", "write", "writes", "reads", "written", "io",
            "inuse", "used",
        ],
        says: Use::DiskSize,
    },
    rule(&[DISK, SHARE], &["inode", "inodes", "io"], Measure::DiskUsed),
    rule(
        &[
            DISK,
            &[
                "io",
                "read",
                "reads",
                "write",
                "writes",
                "written",
                "operation",
                "operations",
                "iops",
            ],
        ],
        &["free", "available", "capacity", "limit", "merged"],
        Measure::DiskBusy,
    ),
    Rule {
        of: &[&["backends", "threads", "brokers", "clients", "uptime", "up"]],
        without: &["cpu"],
        says: Use::Presence,
    },
    rule(&[&["pg"], &["stat"], &["activity"], &["count"]], &[], Measure::Lock),
];

/// The states of a series that count, where only some do.
const ONLY: [(&str, &str); 1] = [("pg_stat_activity_count", "\"Lock\"")];

/// States whose share is not use.
const NOT_USED: [&str; 7] = [
    "\"idle\"",
    "\"iowait\"",
    "\"free\"",
    "\"available\"",
    "\"cached\"",
    "\"buffered\"",
    "\"slab_reclaimable\"",
];

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ask) struct Signal {
    pub(in crate::ask) says: Use,
    pub(in crate::ask) side: Side,
}

impl Signal {
    /// Of the metric of that name, if its name tells.
    pub(in crate::ask) fn of(name: &str) -> Option<Self> {
        let words = words(name);
        let has = |wanted: &&str| words.iter().any(|word| word == wanted);
        let rule = RULES.iter().find(|rule| {
            rule.of.iter().all(|group| group.iter().any(&has)) && !rule.without.iter().any(&has)
        })?;
        let first = words.first().map_or("", String::as_str);
        let side =
            |word: &str| SIDES.iter().find(|(known, _)| *known == word).map(|(_, side)| *side);
        let first = match (first, words.get(1).map(String::as_str)) {
            ("k8s" | "kube", Some("node")) => "node",
            (first, _) => first,
        };
        let side = side(first).unwrap_or(Side::Process);
        let of_time = |word: &String| matches!(word.as_str(), "time" | "seconds");
        let is_share = SHARE.iter().any(has) || words.iter().any(of_time);
        let says = match (rule.says, side) {
            // Of a host it is known how much there is: as a share, or as time.
            (Use::Reading(Measure::Cpu), Side::Host) if is_share => Use::Reading(Measure::CpuBusy),
            (Use::Reading(Measure::Cpu), Side::Host) => return None,
            (Use::Reading(Measure::Memory) | Use::MemoryLimit, Side::Host) => return None,
            (Use::Presence, Side::Process | Side::Host) => return None,
            (says, _) => says,
        };
        Some(Self { says, side })
    }
}

/// Whether a series with these labels is of what is in use; `None` if it says nothing.
pub(in crate::ask) fn is_use(name: &str, labels: &str) -> Option<bool> {
    let only = ONLY.iter().find(|(metric, _)| *metric == name);
    let says = only.is_none_or(|(_, state)| labels.contains(state));
    says.then(|| !NOT_USED.iter().any(|unused| labels.contains(unused)))
}

/// The words of a name in small letters: apart by what is no letter or digit, and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_small = false;
    let mut word = String::new();
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_small) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase() || c.is_ascii_digit();
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    use Measure::{
        Cpu, CpuBusy, DiskBusy, DiskUsed, Gc, Lock, Memory, MemoryUsed, NetworkErrors, PoolPending,
        PoolWait, Restarts, Throttled,
    };

    const KNOWN: [(&[&str], Measure); 13] = [
        (
            &[
                "process.cpu.utilization",
                "process.cpu.time",
                "jvm.cpu.recent_utilization",
                "process.runtime.jvm.cpu.utilization",
                "container.cpu.usage",
                "container.cpu.time",
                "k8s.pod.cpu.usage",
                "container_cpu_usage_seconds_total",
                "process_cpu_seconds_total",
                "CpuUsage(m)",
                "process_cpu_usage",
            ],
            Cpu,
        ),
        (
            &[
                "k8s.pod.cpu_limit_utilization",
                "system.cpu.utilization",
                "system.cpu.time",
                "node_cpu_seconds_total",
            ],
            CpuBusy,
        ),
        (
            &[
                "container.cpu.throttled_time",
                "container.cpu.throttling_data.throttled_time",
                "container_cpu_cfs_throttled_seconds_total",
            ],
            Throttled,
        ),
        (
            &[
                "jvm.gc.duration",
                "v8js.gc.duration",
                "dotnet.gc.pause.time",
                "go_gc_duration_seconds",
                "jvm_gc_pause_seconds",
                "process.runtime.jvm.gc.duration",
            ],
            Gc,
        ),
        (&["k8s.pod.memory_limit_utilization", "system.memory.utilization"], MemoryUsed),
        (
            &[
                "container.memory.usage",
                "container_memory_working_set_bytes",
                "jvm.memory.used",
                "jvm_memory_used_bytes",
                "process_resident_memory_bytes",
            ],
            Memory,
        ),
        (&["db.client.connection.pending_requests", "hikaricp_connections_pending"], PoolPending),
        (&["db.client.connection.wait_time", "hikaricp.connections.acquire"], PoolWait),
        (
            &[
                "postgresql.deadlocks",
                "mysql.row_locks",
                "sqlserver.lock.wait.rate",
                "pg_stat_activity_count",
            ],
            Lock,
        ),
        (&["system.filesystem.utilization"], DiskUsed),
        (
            &[
                "system.disk.io_time",
                "system.disk.operations",
                "container_fs_writes_bytes_total",
                "node_disk_io_time_seconds_total",
            ],
            DiskBusy,
        ),
        (
            &[
                "system.network.errors",
                "node_netstat_Tcp_RetransSegs",
                "container_network_receive_packets_dropped_total",
            ],
            NetworkErrors,
        ),
        (&["k8s.container.restarts", "kube_pod_container_status_restarts_total"], Restarts),
    ];

    #[test]
    fn names_of_many_systems_say_the_same() {
        for (names, measure) in KNOWN {
            for name in names {
                assert_eq!(Signal::of(name).map(|s| s.says), Some(Use::Reading(measure)), "{name}");
            }
        }
        for name in [
            "http.server.request.duration",
            "jvm.memory.committed",
            "db.client.connection.create_time",
            "postgresql.locks",
            "system.cpu.load_average.1m",
            "jvm.thread.count",
            "k8s.container.cpu_request",
            "system.memory.usage",
            "k8s.node.cpu.usage",
        ] {
            assert_eq!(Signal::of(name), None, "{name}");
        }
        for name in [
            "k8s.container.memory_limit",
            "container_spec_memory_limit_bytes",
            "jvm.memory.limit",
            "jvm_memory_max_bytes",
        ] {
            assert_eq!(Signal::of(name).map(|s| s.says), Some(Use::MemoryLimit), "{name}");
        }
        let says = |name| Signal::of(name).map(|signal| signal.says);
        for (name, expected) in [
            ("node_filesystem_avail_bytes", Use::DiskFree),
            ("kubelet_volume_stats_available_bytes", Use::DiskFree),
            ("node_filesystem_size_bytes", Use::DiskSize),
            ("kubelet_volume_stats_capacity_bytes", Use::DiskSize),
        ] {
            assert_eq!(says(name), Some(expected), "{name}");
        }
        assert_eq!(Signal::of("postgresql.backends").map(|s| s.says), Some(Use::Presence));
    }

    #[test]
    fn only_some_states_count() {
        let activity =
            |kind| is_use("pg_stat_activity_count", &format!("{{\"wait_event_type\":\"{kind}\"}}"));
        assert_eq!((activity("Lock"), activity("IO")), (Some(true), None));
        let cpu = |mode| is_use("system.cpu.time", &format!("{{\"cpu.mode\":\"{mode}\"}}"));
        assert_eq!((cpu("user"), cpu("idle")), (Some(true), Some(false)));
    }
}

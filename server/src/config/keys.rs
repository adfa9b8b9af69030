//! Every setting there is.

/// A setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.name`.
    pub(crate) name: &'static str,
    /// Default, as it would be written in the file.
    pub(crate) default: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, help }
}

/// All settings, in the order they are printed.
pub(crate) const KEYS: &[Key] = &[
    key("server.listen", "127.0.0.1:8080", "Address of the pages, the API and /metrics."),
    key("collector.otlp_grpc", "127.0.0.1:4317", "Address of OTLP/gRPC."),
    key("collector.otlp_http", "127.0.0.1:4318", "Address of OTLP/HTTP."),
    key("collector.max_message", "64MiB", "Largest request, compressed or not."),
    key("collector.max_record", "1MiB", "Largest span, log record or metric."),
    key(
        "collector.max_in_flight",
        "auto",
        "Memory of all requests being received and decoded together; auto: eight times max_message.",
    ),
    key("collector.max_concurrent_requests", "256", "Requests worked on at once."),
    key("collector.max_connections", "4096", "Open connections on each OTLP address."),
    key("collector.body_timeout", "30s", "Longest time a request's body may take to arrive."),
    key(
        "collector.idle_timeout",
        "2m",
        "How long a connection may stay idle; above a minute, so that exporters can keep theirs.",
    ),
    key("collector.drain_timeout", "10s", "How long a stop waits for requests in flight."),
    key(
        "collector.cors_origins",
        "",
        "Origins browsers may send from, comma-separated; empty: none.",
    ),
    key(
        "collector.cors_headers",
        "",
        "Request headers browsers may send besides the usual ones, comma-separated.",
    ),
    key("storage.data_dir", "./headrope-data", "Directory that holds everything."),
    key(
        "storage.durability",
        "fsync",
        "What an acknowledgement promises: fsync (survives power loss) or page-cache (survives a crash of the process).",
    ),
    key(
        "storage.memory_budget",
        "512MiB",
        "Live rows plus requests in flight; above it requests are refused for a second.",
    ),
    key("storage.flush_bytes", "128MiB", "Live bytes at which they are written into segments."),
    key(
        "storage.flush_age",
        "2m",
        "Age of the oldest live row at which they are written into segments.",
    ),
    key(
        "storage.maintenance_interval",
        "10s",
        "How often segments are merged and expired ones dropped.",
    ),
    key("storage.compact_max_rows", "4194304", "Rows of a merged segment at most."),
    key(
        "storage.compact_fan_in",
        "8",
        "Segments of one level that are merged into one of the next.",
    ),
    key(
        "storage.compact_settled",
        "15m",
        "Time without a new segment after which those left over in a day are merged, however few.",
    ),
    key("storage.retain_traces", "14d", "How long spans are kept; forever keeps them."),
    key("storage.retain_logs", "14d", "How long log records are kept; forever keeps them."),
    key("storage.retain_metrics", "90d", "How long metric points are kept; forever keeps them."),
    key(
        "storage.retain_traces_bytes",
        "unlimited",
        "Room for spans on the disk; above it the oldest segments are dropped.",
    ),
    key("storage.retain_logs_bytes", "unlimited", "Room for logs and their text indexes."),
    key("storage.retain_metrics_bytes", "unlimited", "Room for metric points."),
    key("storage.retain_rollups", "400d", "How long roll-ups are kept; forever keeps them."),
    key("storage.min_free", "512MiB", "Free disk space below which requests are refused."),
    key("query.memory_budget", "1GiB", "Memory of all running queries together."),
    key(
        "query.metadata_cache",
        "512MiB",
        "Memory for what segment files say of themselves, about 4.5 MB for a million spans; beyond, it is \
         read again.",
    ),
    key("query.max_concurrent", "4", "Queries that run at once; more wait."),
    key("query.timeout", "30s", "Longest time a query may run."),
];

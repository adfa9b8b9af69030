//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bench::ingest::IngestArgs;
use crate::bench::query::QueryArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Full-stack APM and distributed tracing: OTLP in, answers out.
#[derive(Debug, Parser)]
#[command(name = "headrope", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Log filter, for example `info` or `warn,headrope_storage=debug`.
    #[arg(long, global = true, env = "HEADROPE_LOG", default_value = "info", hide_env = false)]
    pub(crate) log: String,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node.
    ///
    /// Prints one line of JSON with the addresses it listens on, then serves until SIGINT or SIGTERM.
    Serve(ServeArgs),
    /// Run a node over a temporary directory with the seeded shop: 24 hours of history, a live
    /// stream and named incidents.
    Demo(DemoArgs),
    /// Ask a question in SQL and print the rows.
    #[command(
        after_help = "Example:\n  headrope sql \"SELECT service_name, count(*) FROM spans GROUP BY 1 ORDER BY 2 DESC\""
    )]
    Sql(SqlArgs),
    /// Rank services or operations.
    #[command(after_help = "Example:\n  headrope top operations --by total-time --since 1h")]
    Top(TopArgs),
    /// Print the call chain of a trace with its critical path.
    Trace(TraceArgs),
    /// Say why requests are slow or fail, who is to blame, and what to do.
    Verdict(VerdictArgs),
    /// Say how much traffic services can take, and what gives way first when it grows.
    #[command(
        after_help = "Examples:\n  headrope capacity --since 30d\n  headrope capacity cart --since 7d\n  headrope capacity --what-if 2"
    )]
    Capacity(CapacityArgs),
    /// Send OTLP files (JSON or protobuf export requests) to a running node, with progress.
    Import(ImportArgs),
    /// Check or print the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check that this machine can run headrope well: disk, sync latency, ports, limits.
    Doctor(ConfigArgs),
    /// Verify, back up, restore and repair the data directory of a stopped node.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Load tests against a node started for the purpose.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory that holds everything [default: ./headrope-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// OTLP/gRPC address [default: 127.0.0.1:4317].
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_grpc: Option<SocketAddr>,
    /// OTLP/HTTP address [default: 127.0.0.1:4318].
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_http: Option<SocketAddr>,
    /// Address of the pages, the REST and SQL API and /metrics [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print the names of the fail points that `HEADROPE_FAILPOINT` knows, and exit.
    #[arg(long, hide = true)]
    pub(crate) list_failpoints: bool,
}

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Where the configuration comes from; without --data-dir a temporary directory is used.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Seed of the shop: the same seed gives the same shop.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Hours of history.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=168))]
    pub(crate) hours: u32,
    /// Traces per second, history and live stream alike.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) rate: f64,
    /// An incident that is going on now: slow-sql, cpu, gc, dependency-errors, n-plus-one,
    /// bad-deploy, lock, network-delay, pool-exhaustion, traffic-surge, noisy-neighbour,
    /// memory-leak, disk-full. Without it the history holds one of each and the live stream is healthy.
    #[arg(long)]
    pub(crate) incident: Option<headrope_testdata::Incident>,
}

/// Which node to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Address of the node.
    #[arg(long, env = "HEADROPE_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns for people.
    Table,
    /// One JSON document, as the API answers.
    Json,
    /// Comma-separated values.
    Csv,
}

/// Options of `sql`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SqlArgs {
    /// The question; `-` reads it from standard input.
    pub(crate) query: String,
    /// How rows are printed.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Which node to ask.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What `top` ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopScope {
    /// Services.
    Services,
    /// Operations.
    Operations,
    /// What is asked of databases, by who asks.
    Statements,
    /// Hosts that spans ran on.
    Hosts,
    /// What services call.
    Peers,
}

/// Order of `top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopBy {
    /// Number of calls.
    Calls,
    /// The single slowest call.
    Slowest,
    /// Sum of the response time: the hotspot.
    TotalTime,
    /// Number of errors.
    Errors,
    /// 99th percentile.
    P99,
    /// Response time that came on top of what there was before.
    Change,
}

/// Options of `top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// What is ranked.
    #[arg(value_enum, default_value = "services")]
    pub(crate) scope: TopScope,
    /// Order.
    #[arg(long, value_enum, default_value = "total-time")]
    pub(crate) by: TopBy,
    /// How far back to look, for example 15m, 1h, 7d.
    #[arg(long, default_value = "1h")]
    pub(crate) since: String,
    /// Number of rows.
    #[arg(short, long, default_value_t = 10)]
    pub(crate) n: u32,
    /// How rows are printed.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Which node to ask.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `verdict`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerdictArgs {
    /// Requests as this service sees them; without, as users see them.
    pub(crate) service: Option<String>,
    /// Only requests of this operation.
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// How far back to look, for example 15m, 1h, 7d.
    #[arg(long, default_value = "1h", conflicts_with_all = ["from", "to"])]
    pub(crate) since: String,
    /// Begin of the window, RFC 3339 or now-1h.
    #[arg(long, requires = "to")]
    pub(crate) from: Option<String>,
    /// End of the window.
    #[arg(long, requires = "from")]
    pub(crate) to: Option<String>,
    /// Begin of the reference [default: the time before the window].
    #[arg(long, requires = "reference_to")]
    pub(crate) reference_from: Option<String>,
    /// End of the reference.
    #[arg(long, requires = "reference_from")]
    pub(crate) reference_to: Option<String>,
    /// Print the answer of the API.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which node to ask.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `capacity`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CapacityArgs {
    /// Only this service, with its operations and days; with --what-if, where requests enter that grow.
    pub(crate) service: Option<String>,
    /// Say what gives way when there is this many times the traffic, for example 2.
    #[arg(long, value_name = "FACTOR")]
    pub(crate) what_if: Option<f64>,
    /// With --what-if: the operation requests enter by that grow.
    #[arg(long, requires = "what_if")]
    pub(crate) operation: Option<String>,
    /// How far back to look, for example 24h, 7d, 30d.
    #[arg(long, default_value = "7d", conflicts_with_all = ["from", "to"])]
    pub(crate) since: String,
    /// Begin of the window, RFC 3339 or now-1h.
    #[arg(long, requires = "to")]
    pub(crate) from: Option<String>,
    /// End of the window.
    #[arg(long, requires = "from")]
    pub(crate) to: Option<String>,
    /// Print the answer of the API.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which node to ask.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `trace`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceArgs {
    /// Trace id: 32 hex digits.
    pub(crate) id: headrope_model::TraceId,
    /// Print the answer of the API instead of a tree.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which node to ask.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// Files: OTLP JSON (one request, or one per line) or protobuf export requests.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Signal of protobuf files, which do not tell it themselves.
    #[arg(long, value_enum)]
    pub(crate) signal: Option<SignalArg>,
    /// OTLP/HTTP address of the node.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "http://127.0.0.1:4318")]
    pub(crate) endpoint: String,
}

/// A signal on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignalArg {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Logs.
    Logs,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report every mistake at once; exit code 2 if there is one.
    Check(ConfigArgs),
    /// Print every setting with its value and where it comes from.
    Print(ConfigArgs),
}

/// What to do with a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Read every byte and compare it with its checksum; exit code 1 when something is damaged.
    Verify(ConfigArgs),
    /// Make the catalog anew from the segments, when it is lost or damaged.
    RebuildCatalog(ConfigArgs),
    /// Copy everything to an empty or new directory. On the same file system segments are linked.
    Backup {
        /// Where to.
        #[arg(value_name = "DIR")]
        to: PathBuf,
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Copy a backup to the data directory, which must be empty or absent, and verify it.
    Restore {
        /// The backup.
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// Where the configuration comes from.
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Which load.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Store a workload, and print records per second and CPU second, acknowledgement latencies,
    /// memory, bytes on disk by what they are, and bytes written.
    #[command(
        after_help = "Example:\n  headrope bench ingest --records 1000000 --rate 60000 --json ingest.json"
    )]
    Ingest(IngestArgs),
    /// Store a workload, ask about it, and print how long right answers take: warm, first after a
    /// restart, and with cold caches.
    #[command(
        after_help = "Example:\n  headrope bench query --workload jaeger --records 2000000 --data-dir bench-data --json query.json"
    )]
    Query(QueryArgs),
}

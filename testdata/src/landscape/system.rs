//! A random system: services, operations, statements, stores, hosts, and what instruments them.

/// What a process runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    Java,
    Go,
    Node,
    Python,
    Dotnet,
}

/// How a service is instrumented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Stable names, every resource attribute, metrics of the process.
    Stable,
    /// The names of 2022, no instance id, metrics of the agent of those days.
    Old,
    /// Spans without a host, metrics of a Prometheus client and of cAdvisor.
    Prometheus,
    /// Pods alone: nothing of the process, metrics of the kubelet.
    Kubelet,
}

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) runtime: Runtime,
    pub(super) dialect: Dialect,
    /// Major, minor and patch.
    pub(super) version: [u32; 3],
    /// The host of each instance.
    pub(super) hosts: Vec<usize>,
    /// The store to which it keeps a pool of connections.
    pub(super) pool: Option<usize>,
    /// Resident memory of a quiet instance, bytes.
    pub(super) memory: f64,
}

/// A call of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: usize,
    /// How often it is made, 0 to 1.
    pub(super) chance: f64,
    /// Whether the caller can do without.
    pub(super) optional: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Calls at the same time.
    Calls(Vec<Call>),
    Query(usize),
    /// A call of an outside service.
    Outside(usize),
    /// A message to an operation that reads the queue.
    Publish(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
    Consumer,
}

#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) service: usize,
    /// The route, the full method, or the topic.
    pub(super) name: String,
    pub(super) protocol: Protocol,
    /// Median of its own work, microseconds.
    pub(super) work_us: f64,
    pub(super) sigma: f64,
    /// Part of the work that is CPU time.
    pub(super) cpu: f64,
    /// How often it fails by itself.
    pub(super) fails: f64,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Postgres,
    Mysql,
    Redis,
}

impl Engine {
    pub(super) const fn system(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    pub(super) const fn port(self) -> i64 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Redis => 6379,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) engine: Engine,
    pub(super) address: String,
    pub(super) namespace: String,
    pub(super) host: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) store: usize,
    pub(super) service: usize,
    pub(super) verb: &'static str,
    pub(super) table: String,
    pub(super) text: String,
    pub(super) median_us: f64,
    pub(super) writes: bool,
}

impl Statement {
    /// `db.query.summary`.
    pub(super) fn summary(&self) -> String {
        if self.table.is_empty() {
            self.verb.to_owned()
        } else {
            format!("{} {}", self.verb, self.table)
        }
    }
}

/// A queue and what reads it.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) address: String,
    pub(super) topic: String,
    pub(super) reader: usize,
}

#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) services: Vec<Service>,
    pub(super) operations: Vec<Operation>,
    pub(super) stores: Vec<Store>,
    pub(super) statements: Vec<Statement>,
    pub(super) outside: Vec<String>,
    pub(super) queues: Vec<Queue>,
    pub(super) hosts: Vec<String>,
    /// What users ask for, with weights.
    pub(super) entries: Vec<(usize, f64)>,
    /// Hosts and stores send the names of Prometheus exporters, not those of the collector's receivers.
    pub(super) exporters: bool,
}

//! Attributes that have a column of their own (OpenTelemetry semantic conventions 1.44), with the
//! older names that are folded into them. The attribute map keeps every key as it was sent, so both
//! names stay queryable.

/// Where a promoted attribute is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The resource.
    Resource,
    /// The span.
    Span,
}

/// The type of a promoted column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text; only string values are promoted.
    Text,
    /// 64-bit integer; only integer values are promoted.
    Int,
}

/// An attribute with its own column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promoted {
    /// Column name: the canonical key with dots as underscores.
    pub column: &'static str,
    /// Canonical key.
    pub key: &'static str,
    /// Older keys, in order of preference, used when the canonical key is absent.
    pub aliases: &'static [&'static str],
    /// Column type.
    pub kind: Kind,
    /// Where it is read from.
    pub level: Level,
}

const fn text(
    level: Level,
    column: &'static str,
    key: &'static str,
    aliases: &'static [&'static str],
) -> Promoted {
    Promoted { column, key, aliases, kind: Kind::Text, level }
}

const fn int(
    level: Level,
    column: &'static str,
    key: &'static str,
    aliases: &'static [&'static str],
) -> Promoted {
    Promoted { column, key, aliases, kind: Kind::Int, level }
}

/// Resource attributes promoted in every data set.
pub const RESOURCE: &[Promoted] = &[
    text(Level::Resource, "service_namespace", "service.namespace", &[]),
    text(Level::Resource, "service_version", "service.version", &[]),
    text(Level::Resource, "service_instance_id", "service.instance.id", &[]),
    text(
        Level::Resource,
        "deployment_environment_name",
        "deployment.environment.name",
        &["deployment.environment"],
    ),
    text(Level::Resource, "host_name", "host.name", &[]),
    text(Level::Resource, "host_id", "host.id", &[]),
    text(Level::Resource, "container_id", "container.id", &[]),
    text(Level::Resource, "k8s_namespace_name", "k8s.namespace.name", &[]),
    text(Level::Resource, "k8s_pod_name", "k8s.pod.name", &[]),
    text(Level::Resource, "k8s_pod_uid", "k8s.pod.uid", &[]),
    text(Level::Resource, "k8s_node_name", "k8s.node.name", &[]),
    text(Level::Resource, "k8s_deployment_name", "k8s.deployment.name", &[]),
    int(Level::Resource, "process_pid", "process.pid", &[]),
    text(Level::Resource, "telemetry_sdk_language", "telemetry.sdk.language", &[]),
];

/// Span attributes promoted in the spans data set.
pub const SPAN: &[Promoted] = &[
    text(Level::Span, "http_request_method", "http.request.method", &["http.method"]),
    int(
        Level::Span,
        "http_response_status_code",
        "http.response.status_code",
        &["http.status_code"],
    ),
    text(Level::Span, "http_route", "http.route", &[]),
    text(Level::Span, "url_path", "url.path", &["http.target"]),
    text(Level::Span, "url_full", "url.full", &["http.url"]),
    text(Level::Span, "server_address", "server.address", &["net.peer.name"]),
    int(Level::Span, "server_port", "server.port", &["net.peer.port"]),
    text(
        Level::Span,
        "network_peer_address",
        "network.peer.address",
        &["net.peer.ip", "net.sock.peer.addr"],
    ),
    text(Level::Span, "service_peer_name", "service.peer.name", &["peer.service"]),
    text(Level::Span, "db_system_name", "db.system.name", &["db.system"]),
    text(Level::Span, "db_namespace", "db.namespace", &["db.name"]),
    text(Level::Span, "db_collection_name", "db.collection.name", &["db.sql.table"]),
    text(Level::Span, "db_operation_name", "db.operation.name", &["db.operation"]),
    text(Level::Span, "db_query_summary", "db.query.summary", &[]),
    text(Level::Span, "db_query_text", "db.query.text", &["db.statement"]),
    text(Level::Span, "rpc_system_name", "rpc.system.name", &["rpc.system"]),
    text(Level::Span, "rpc_method", "rpc.method", &[]),
    text(Level::Span, "messaging_system", "messaging.system", &[]),
    text(
        Level::Span,
        "messaging_destination_name",
        "messaging.destination.name",
        &["messaging.destination"],
    ),
    text(
        Level::Span,
        "messaging_operation_type",
        "messaging.operation.type",
        &["messaging.operation"],
    ),
    text(Level::Span, "error_type", "error.type", &[]),
];

/// Key of the service name, which every data set has as `service_name`.
pub const SERVICE_NAME: &str = "service.name";
/// What the specification has a service without a name called.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// Attribute keys of an exception (span event or log record).
pub const EXCEPTION_TYPE: &str = "exception.type";
/// Message of an exception.
pub const EXCEPTION_MESSAGE: &str = "exception.message";
/// Stack trace of an exception.
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";

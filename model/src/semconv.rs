//! Attributes that have a column of their own (OpenTelemetry semantic conventions 1.44), with the
//! older names that are folded into them. The attribute map keeps every key as it was sent, so both
//! names stay queryable.

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
}

const fn text(
    column: &'static str,
    key: &'static str,
    aliases: &'static [&'static str],
) -> Promoted {
    Promoted { column, key, aliases, kind: Kind::Text }
}

const fn int(
    column: &'static str,
    key: &'static str,
    aliases: &'static [&'static str],
) -> Promoted {
    Promoted { column, key, aliases, kind: Kind::Int }
}

/// Resource attributes promoted in every data set.
pub const RESOURCE: &[Promoted] = &[
    text("service_namespace", "service.namespace", &[]),
    text("service_version", "service.version", &[]),
    text("service_instance_id", "service.instance.id", &[]),
    text("deployment_environment_name", "deployment.environment.name", &["deployment.environment"]),
    text("host_name", "host.name", &[]),
    text("host_id", "host.id", &[]),
    text("container_id", "container.id", &[]),
    text("k8s_namespace_name", "k8s.namespace.name", &[]),
    text("k8s_pod_name", "k8s.pod.name", &[]),
    text("k8s_pod_uid", "k8s.pod.uid", &[]),
    text("k8s_node_name", "k8s.node.name", &[]),
    text("k8s_deployment_name", "k8s.deployment.name", &[]),
    int("process_pid", "process.pid", &[]),
    text("telemetry_sdk_language", "telemetry.sdk.language", &[]),
];

/// Span attributes promoted in the spans data set.
pub const SPAN: &[Promoted] = &[
    text("http_request_method", "http.request.method", &["http.method"]),
    int("http_response_status_code", "http.response.status_code", &["http.status_code"]),
    text("http_route", "http.route", &[]),
    text("url_path", "url.path", &["http.target"]),
    text("url_full", "url.full", &["http.url"]),
    text("server_address", "server.address", &["net.peer.name"]),
    int("server_port", "server.port", &["net.peer.port"]),
    text("network_peer_address", "network.peer.address", &["net.peer.ip", "net.sock.peer.addr"]),
    text("service_peer_name", "service.peer.name", &["peer.service"]),
    text("db_system_name", "db.system.name", &["db.system"]),
    text("db_namespace", "db.namespace", &["db.name"]),
    text("db_collection_name", "db.collection.name", &["db.sql.table"]),
    text("db_operation_name", "db.operation.name", &["db.operation"]),
    text("db_query_summary", "db.query.summary", &[]),
    text("db_query_text", "db.query.text", &["db.statement"]),
    text("rpc_system_name", "rpc.system.name", &["rpc.system"]),
    text("rpc_method", "rpc.method", &[]),
    text("messaging_system", "messaging.system", &[]),
    text("messaging_destination_name", "messaging.destination.name", &["messaging.destination"]),
    text("messaging_operation_type", "messaging.operation.type", &["messaging.operation"]),
    text("error_type", "error.type", &[]),
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

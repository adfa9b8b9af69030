//! Columns of roll-ups: the step of time, labels, measures.

use super::{Column, ColumnDef, opt, req};
use crate::signal::DataSet;

/// What a roll-up knows of the spans of a row: how many, their durations and their starts.
const MEASURES: &[ColumnDef] = &[
    req("calls", Column::Int),
    req("total_ns", Column::Int),
    req("min_ns", Column::Int),
    req("max_ns", Column::Int),
    req("first_start", Column::Time),
    req("last_start", Column::Time),
    req("sketch", Column::Bytes),
];

/// What every roll-up tells spans apart by, besides its labels.
const STEP: &[ColumnDef] =
    &[req("step_ns", Column::Int), req("time", Column::Time), req("is_root", Column::Bool)];

/// Labels of spans that a roll-up tells them apart by, in the order of its rows; empty for other data sets.
/// The same columns as those of spans.
#[must_use]
pub const fn dimensions(data_set: DataSet) -> &'static [ColumnDef] {
    const OPERATION: &[ColumnDef] = &[
        req("service_name", Column::Label),
        req("name", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    const SERVICE: &[ColumnDef] = &[
        req("service_name", Column::Label),
        opt("service_namespace", Column::Label),
        opt("service_version", Column::Label),
        opt("service_instance_id", Column::Label),
        opt("deployment_environment_name", Column::Label),
        opt("host_name", Column::Label),
        opt("telemetry_sdk_language", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    const STATEMENT: &[ColumnDef] = &[
        req("service_name", Column::Label),
        opt("db_system_name", Column::Label),
        opt("db_namespace", Column::Label),
        opt("db_collection_name", Column::Label),
        opt("db_operation_name", Column::Label),
        opt("db_query_summary", Column::Label),
        opt("db_query_text", Column::Label),
        opt("server_address", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    const EDGE: &[ColumnDef] = &[
        req("service_name", Column::Label),
        opt("service_peer_name", Column::Label),
        opt("db_system_name", Column::Label),
        opt("db_namespace", Column::Label),
        opt("messaging_system", Column::Label),
        opt("messaging_destination_name", Column::Label),
        opt("rpc_system_name", Column::Label),
        opt("http_request_method", Column::Label),
        opt("server_address", Column::Label),
        opt("server_port", Column::Int),
        opt("network_peer_address", Column::Label),
        req("name", Column::Label),
        req("kind", Column::Label),
        req("status_code", Column::Label),
    ];
    match data_set {
        DataSet::OperationRollup => OPERATION,
        DataSet::ServiceRollup => SERVICE,
        DataSet::StatementRollup => STATEMENT,
        DataSet::EdgeRollup => EDGE,
        _ => &[],
    }
}

pub(super) fn columns(rollup: DataSet) -> Vec<ColumnDef> {
    [STEP, dimensions(rollup), MEASURES].concat()
}

pub(super) fn sort_columns(rollup: DataSet) -> Vec<&'static str> {
    let labels = dimensions(rollup).iter().map(|label| label.name);
    ["step_ns", "time"].into_iter().chain(labels).chain(["is_root"]).collect()
}

/// Which spans a roll-up counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All.
    All,
    /// Those that have a label.
    With(&'static str),
    /// Those whose label is one of a list.
    OneOf(&'static str, &'static [&'static str]),
}

/// Which spans a roll-up counts; all, if the data set is none.
#[must_use]
pub const fn counted(rollup: DataSet) -> Counted {
    match rollup {
        DataSet::StatementRollup => Counted::With("db_system_name"),
        DataSet::EdgeRollup => Counted::OneOf("kind", &["CLIENT", "PRODUCER", "CONSUMER"]),
        _ => Counted::All,
    }
}

//! `/sql`: an editor over everything that is stored.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use headrope_model::DataSet;
use headrope_model::schema::{self, Column};
use serde::Serialize;

use crate::error::render;
use crate::frame::Frame;
use crate::part::Island;
use crate::view::View;
use crate::{Ui, sql_text};

/// A column in the browser.
#[derive(Serialize)]
struct Field {
    name: &'static str,
    kind: &'static str,
    nullable: bool,
}

/// A table in the browser.
#[derive(Serialize)]
struct Table {
    name: &'static str,
    about: &'static str,
    fields: Vec<Field>,
}

/// A statement to start from.
struct Snippet {
    title: &'static str,
    sql: String,
    href: String,
}

#[derive(Template)]
#[template(path = "sql.html")]
struct Page {
    f: Frame,
    query: String,
    tables: Vec<Table>,
    snippets: Vec<Snippet>,
    completion: Island,
    run: bool,
}

const fn kind(column: Column) -> &'static str {
    match column {
        Column::TraceId | Column::SpanId => "hex",
        Column::Label | Column::Text => "text",
        Column::Time => "time",
        Column::Int | Column::Int32 => "int",
        Column::UInt | Column::UInt32 => "uint",
        Column::Double => "double",
        Column::Bool => "bool",
        Column::Bytes => "bytes",
        Column::Attributes => "map",
        Column::Events
        | Column::Links
        | Column::UIntList
        | Column::DoubleList
        | Column::TextList
        | Column::Quantiles
        | Column::Exemplars => "list",
    }
}

fn fields(data_set: DataSet) -> Vec<Field> {
    schema::columns(data_set)
        .iter()
        .map(|c| Field { name: c.name, kind: kind(c.column), nullable: c.nullable })
        .collect()
}

/// The view `traces` puts the parts of a trace together.
fn trace_fields() -> Vec<Field> {
    [
        ("trace_id", "hex"),
        ("start_time", "time"),
        ("end_time", "time"),
        ("duration_ns", "int"),
        ("root_service_name", "text"),
        ("root_name", "text"),
        ("root_status_code", "text"),
        ("has_root", "bool"),
        ("span_count", "int"),
        ("error_count", "int"),
        ("service_names", "list"),
    ]
    .into_iter()
    .map(|(name, kind)| Field { name, kind, nullable: name.starts_with("root") })
    .collect()
}

/// A view of a roll-up shows steps of one length.
fn rolled_up(name: &'static str, about: &'static str, data_set: DataSet) -> Table {
    let mut fields = fields(data_set);
    fields.retain(|field| field.name != "step_ns");
    Table { name, about, fields }
}

fn tables() -> Vec<Table> {
    let of = |name, about, data_set| Table { name, about, fields: fields(data_set) };
    vec![
        of("spans", "one row per span", DataSet::Spans),
        Table { name: "traces", about: "one row per trace", fields: trace_fields() },
        of("logs", "one row per record", DataSet::Logs),
        of("metrics", "one row per point", DataSet::Metrics),
        rolled_up(
            "operation_minute",
            "spans by operation and minute; also _hour, _day",
            DataSet::OperationRollup,
        ),
        rolled_up(
            "service_minute",
            "spans by instance and minute; also _hour, _day",
            DataSet::ServiceRollup,
        ),
        rolled_up(
            "statement_minute",
            "database calls by statement and minute; also _hour, _day",
            DataSet::StatementRollup,
        ),
        rolled_up(
            "edge_minute",
            "calls by caller and what is called, and minute; also _hour, _day",
            DataSet::EdgeRollup,
        ),
    ]
}

fn snippets(view: &View) -> Vec<Snippet> {
    let range = view.range;
    let spans = sql_text::during("start_time", range);
    let logs = sql_text::during("time", range);
    let list: [(&'static str, String); 7] = [
        ("Top services by total time", sql_text::figures("service_name", range, sql_text::ENTRY, "total_ns", 20)),
        ("Top operations by p99", sql_text::figures("service_name, name", range, sql_text::ENTRY, "p99_ns", 20)),
        ("Statements by total time", sql_text::figures("service_name, db_system_name, db_query_text", range, "db_query_text IS NOT NULL", "total_ns", 20)),
        ("Calls and p99 per minute", format!(
            "SELECT date_trunc('minute', start_time) AS minute,\n  count(*) AS calls,\n  approx_percentile_cont(duration_ns, 0.99) / 1e6 AS p99_ms\nFROM spans\nWHERE {spans}\n  AND {}\nGROUP BY 1\nORDER BY 1",
            sql_text::ENTRY
        )),
        ("Longest traces", "SELECT trace_id, start_time, duration_ns, root_service_name, root_name, span_count, error_count\nFROM traces\nWHERE ".to_owned() + &spans + "\nORDER BY duration_ns DESC\nLIMIT 50"),
        ("Errors by service and text", format!(
            "SELECT service_name, body, count(*) AS n, max(time) AS last\nFROM logs\nWHERE {logs}\n  AND severity_number >= 17\nGROUP BY service_name, body\nORDER BY n DESC\nLIMIT 50"
        )),
        ("Metrics that arrived", format!(
            "SELECT name, type, unit, count(*) AS points, count(DISTINCT series_id) AS series\nFROM metrics\nWHERE {logs}\nGROUP BY name, type, unit\nORDER BY points DESC"
        )),
    ];
    list.into_iter()
        .map(|(title, sql)| Snippet { title, href: sql_text::open(view, &sql), sql })
        .collect()
}

/// `GET /sql`.
pub(crate) async fn page(State(ui): State<Ui>, view: View) -> Response {
    let tables = tables();
    let snippets = snippets(&view);
    let asked = view.param("q").map(str::to_owned);
    let first = snippets.first().map(|s| s.sql.clone()).unwrap_or_default();
    render(&Page {
        f: Frame::new(&ui, &view, "sql", "SQL").here("SQL"),
        run: asked.is_some(),
        query: asked.unwrap_or(first),
        completion: Island::of(&tables),
        tables,
        snippets,
    })
}

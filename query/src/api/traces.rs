//! Traces: search and by id.

use axum::Json;
use axum::extract::{Path, State};
use headrope_model::TraceId;
use serde_json::Value;

use super::args::{Args, parse_tag};
use super::problem::Problem;
use crate::Queries;
use crate::answer::trace::{CriticalPath, Trace, TracePage, TraceQuery};

/// Spans of a trace in one answer unless the request says otherwise.
const SPANS: usize = 10_000;
/// Most spans of a trace in one answer.
const MAX_SPANS: usize = 50_000;

pub(super) async fn search(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<TracePage>, Problem> {
    let query = TraceQuery {
        service: args.text("service")?,
        operation: args.text("operation")?,
        min_duration_ns: args.duration("min_duration")?,
        max_duration_ns: args.duration("max_duration")?,
        errors_only: errors_only(&mut args)?,
        tags: tags(&mut args)?,
        order: args.word("order", "newest, slowest")?,
        limit: args.limit(20)?,
        cursor: args.text("cursor")?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.search_traces(&query).await?))
}

fn errors_only(args: &mut Args) -> Result<bool, Problem> {
    let parse = |text: &str| match text {
        "error" => Some(true),
        "any" => Some(false),
        _ => None,
    };
    Ok(args.parsed("status", "error or any", parse)?.unwrap_or(false))
}

/// `tags` is an object of typed values; each `q` is one `key=value`.
fn tags(args: &mut Args) -> Result<Vec<(String, Value)>, Problem> {
    let mut tags: Vec<(String, Value)> = Vec::new();
    if let Some(text) = args.text("tags")? {
        let wrong = |why: &str| {
            let example = r#"{"http.response.status_code":500,"cache.hit":true}"#;
            Problem::invalid(format!(
                "parameter tags must be a JSON object such as {example}: {why}"
            ))
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(members)) => tags.extend(members),
            Ok(_) => return Err(wrong("it is another JSON value")),
            Err(e) => return Err(wrong(&e.to_string())),
        }
    }
    for chip in args.all("q") {
        tags.push(parse_tag(&chip).map_err(|why| Problem::invalid(format!("parameter q: {why}")))?);
    }
    Ok(tags)
}

pub(super) fn trace_id(text: &str) -> Result<TraceId, Problem> {
    text.parse().map_err(|e| Problem::invalid(format!("{e}")))
}

pub(super) async fn trace(
    State(queries): State<Queries>,
    Path(id): Path<String>,
    mut args: Args,
) -> Result<Json<Trace>, Problem> {
    let id = trace_id(&id)?;
    let spans = args.limit_to(SPANS, MAX_SPANS)?;
    args.end()?;
    Ok(Json(queries.trace(id, spans).await?))
}

pub(super) async fn critical_path(
    State(queries): State<Queries>,
    Path(id): Path<String>,
    args: Args,
) -> Result<Json<CriticalPath>, Problem> {
    let id = trace_id(&id)?;
    args.end()?;
    Ok(Json(queries.trace(id, MAX_SPANS).await?.critical_path()))
}

//! From the engine's errors to ours.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::error::QueryError;

/// What the engine says when spill files reach their limit.
const SPILLING: &str = "disk space during the spilling";

/// An error below the engine: of a file, or of what is in it.
pub(super) fn fault(error: impl std::fmt::Display) -> QueryError {
    QueryError::Engine(error.to_string())
}

/// An error of a query we wrote ourselves: what would be the user's mistake is ours.
pub(crate) fn internal(error: impl Into<DataFusionError>) -> QueryError {
    match user(error.into()) {
        QueryError::Invalid(text) => QueryError::Engine(text),
        other => other,
    }
}

/// An error of a query the user wrote.
pub(crate) fn user(error: DataFusionError) -> QueryError {
    let position = error.diagnostic().and_then(|d| d.span).map(|s| s.start);
    let root = error.find_root();
    let text = match root {
        DataFusionError::SQL(parse, _) => parse.to_string(),
        DataFusionError::SchemaError(schema, _) => schema_text(schema),
        DataFusionError::Plan(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text) => text.clone(),
        DataFusionError::ResourcesExhausted(_) => {
            return QueryError::TooLarge(first_line(&root.strip_backtrace()));
        }
        // Spilling fails inside Arrow's writers, which keep the text of the cause only.
        DataFusionError::ArrowError(arrow, _) if arrow.to_string().contains(SPILLING) => {
            return QueryError::TooLarge("its spill files reach the limit".to_owned());
        }
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::IoError(..) => return QueryError::Engine(arrow.to_string()),
            _ => arrow.to_string(),
        },
        DataFusionError::External(source) => {
            return match source.downcast_ref::<QueryError>() {
                Some(QueryError::Invalid(text)) => QueryError::Invalid(text.clone()),
                _ => QueryError::Engine(source.to_string()),
            };
        }
        _ => return QueryError::Engine(error.strip_backtrace()),
    };
    match position {
        Some(at) if at.line > 0 => {
            QueryError::Invalid(format!("{text} (line {}, column {})", at.line, at.column))
        }
        _ => QueryError::Invalid(text),
    }
}

fn schema_text(error: &SchemaError) -> String {
    error.to_string()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

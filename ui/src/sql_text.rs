//! The SQL behind a table, so that it can be opened, changed and kept.

use headrope_model::TimeRange;

use crate::view::View;
use crate::zone::rfc3339;

/// A text literal.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A condition that a time column lies in the window.
pub(crate) fn during(column: &str, range: TimeRange) -> String {
    format!(
        "{column} >= TIMESTAMP '{}'\n  AND {column} < TIMESTAMP '{}'",
        rfc3339(range.from()),
        rfc3339(range.to())
    )
}

/// The entry spans of the window: requests a service answers, and spans without a parent.
pub(crate) const ENTRY: &str = "(kind IN ('SERVER', 'CONSUMER') OR parent_span_id IS NULL)";

/// Calls, errors and latency by some columns.
pub(crate) fn figures(
    by: &str,
    range: TimeRange,
    condition: &str,
    order: &str,
    limit: usize,
) -> String {
    format!(
        "SELECT {by},\n  count(*) AS calls,\n  \
         sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors,\n  \
         approx_percentile_cont(duration_ns, 0.5) AS p50_ns,\n  \
         approx_percentile_cont(duration_ns, 0.99) AS p99_ns,\n  \
         max(duration_ns) AS max_ns,\n  sum(duration_ns) AS total_ns\nFROM spans\nWHERE {}\n  AND {condition}\n\
         GROUP BY {by}\nORDER BY {order} DESC\nLIMIT {limit}",
        during("start_time", range)
    )
}

/// The workbench with this text in its editor.
pub(crate) fn open(view: &View, sql: &str) -> String {
    view.to("/sql").set("q", sql).to_string()
}

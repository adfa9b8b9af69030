//! Statements by who asks which database, as spans say.

use std::collections::BTreeMap;

use datafusion::arrow::array::Array as _;
use headrope_model::TimeRange;

use crate::answer::SpanScope;
use crate::answer::statement::StatementQuery;
use crate::ask::measure::{MEASURES, Measure, Measures};
use crate::ask::top::STATEMENT;
use crate::ask::{condition, text};
use crate::column::{Columns, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// Most calls that are looked at for how many rows they returned.
const MOST_CALLS: u64 = 100_000;

/// What tells statements apart; all of it is in the roll-up of statements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) service: String,
    pub(super) system: String,
    pub(super) namespace: Option<String>,
    pub(super) address: Option<String>,
    pub(super) statement: String,
}

impl Key {
    /// Whether a peer of call chains is this statement's database.
    pub(super) fn is_of(&self, peer: &str) -> bool {
        let words = [Some(&self.system), self.namespace.as_ref(), self.address.as_ref()];
        let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
        let rest = peer.strip_prefix(&words.join(" "));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
    }
}

/// Rows by their key; the last column is `value`.
fn statement(
    service: Option<&str>,
    system: Option<&str>,
    range: TimeRange,
    values: &str,
) -> (String, Params) {
    let (mut condition, mut params) = condition(range, SpanScope::All, service);
    match system {
        Some(system) => {
            condition.push_str(" AND db_system_name = $system");
            params.push(("system", text(system)));
        }
        None => condition.push_str(" AND db_system_name IS NOT NULL"),
    }
    let sql = format!(
        "SELECT service_name, db_system_name, db_namespace, server_address, {STATEMENT} AS statement, \
         {values} FROM spans WHERE {condition} GROUP BY 1, 2, 3, 4, 5"
    );
    (sql, params)
}

fn keys(columns: &Columns<'_>) -> Result<Vec<Key>, QueryError> {
    let text = |name| columns.texts(name);
    let (service, system) = (text("service_name")?, text("db_system_name")?);
    let (namespace, address) = (text("db_namespace")?, text("server_address")?);
    let statement = text("statement")?;
    let key = |row: usize| Key {
        service: service.owned(row),
        system: system.owned(row),
        namespace: namespace.get(row).filter(|text| !text.is_empty()).map(str::to_owned),
        address: address.get(row).filter(|text| !text.is_empty()).map(str::to_owned),
        statement: statement.owned(row),
    };
    Ok((0..columns.0.num_rows()).map(key).collect())
}

/// Calls of a window, also of services that are not asked for: who else asks a database, and how that
/// went, tells which way a statement is slow.
pub(super) async fn calls(
    session: &Session,
    query: &StatementQuery,
    range: TimeRange,
) -> Result<BTreeMap<Key, Measure>, QueryError> {
    let (sql, params) = statement(None, query.system.as_deref(), range, MEASURES);
    let mut found: BTreeMap<Key, Measure> = BTreeMap::new();
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let measures = Measures::of(&columns)?;
        for (row, key) in keys(&columns)?.into_iter().enumerate() {
            found.entry(key).or_default().merge(&measures.get(row)?);
        }
    }
    Ok(found)
}

/// When each was first asked, of all that is kept.
pub(super) async fn first(
    session: &Session,
    query: &StatementQuery,
) -> Result<BTreeMap<Key, i64>, QueryError> {
    let (service, system) = (query.service.as_deref(), query.system.as_deref());
    let (sql, params) = statement(service, system, TimeRange::ALL, "min(start_time) AS first");
    let mut found = BTreeMap::new();
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let first = columns.ints("first")?;
        for (row, key) in keys(&columns)?.into_iter().enumerate() {
            found.insert(key, int0(&first, row));
        }
    }
    Ok(found)
}

/// Mean rows a call returned, at the end of a window in which so many calls were made.
pub(super) async fn returned(
    session: &Session,
    query: &StatementQuery,
    range: TimeRange,
    calls: u64,
) -> Result<BTreeMap<Key, f64>, QueryError> {
    let (service, system) = (query.service.as_deref(), query.system.as_deref());
    let share = (MOST_CALLS as f64 / calls.max(1) as f64).min(1.0);
    let length = (range.duration_ns() as f64 * share) as i64;
    let end = TimeRange::new(range.to().saturating_sub(length), range.to()).unwrap_or(range);
    let rows = "avg(CAST(attr(attributes, 'db.response.returned_rows') AS DOUBLE)) AS rows";
    let (sql, params) = statement(service, system, end, rows);
    let mut found = BTreeMap::new();
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let rows = columns.doubles("rows")?;
        for (row, key) in keys(&columns)?.into_iter().enumerate() {
            if rows.is_valid(row) && rows.value(row).is_finite() {
                found.insert(key, rows.value(row));
            }
        }
    }
    Ok(found)
}

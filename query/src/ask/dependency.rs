//! What a service calls.

use super::MAX_LIMIT;
use super::measure::{MEASURES, Measure, Measures};
use super::top::condition;
use crate::answer::service::DependencyRow;
use crate::answer::{RankBy, SpanScope};
use crate::column::Columns;
use crate::engine::Session;
use crate::error::QueryError;
use headrope_model::TimeRange;

/// What kind of peer a client or producer span has, by the attributes that only that kind carries.
const KIND: &str = "CASE WHEN db_system_name IS NOT NULL THEN 'database' \
     WHEN messaging_system IS NOT NULL THEN 'messaging' \
     WHEN rpc_system_name IS NOT NULL THEN 'rpc' \
     WHEN http_request_method IS NOT NULL OR url_full IS NOT NULL THEN 'http' \
     ELSE 'other' END";

/// The peer's address as far as it is known.
const ADDRESS: &str = "CASE WHEN server_address IS NULL THEN network_peer_address \
     WHEN server_port IS NULL THEN server_address \
     ELSE server_address || ':' || CAST(server_port AS VARCHAR) END";

/// The peer of a client or producer span. `ask::chains` says the same of spans as they are stored, with the address of a
/// peer that has a name, too.
fn peer() -> String {
    format!(
        "CASE WHEN db_system_name IS NOT NULL THEN \
         concat_ws(' ', db_system_name, coalesce(db_namespace, service_peer_name, {ADDRESS})) \
         WHEN messaging_system IS NOT NULL THEN \
         concat_ws(' ', messaging_system, coalesce(messaging_destination_name, {ADDRESS})) \
         ELSE coalesce(service_peer_name, {ADDRESS}, name) END"
    )
}

pub(crate) async fn dependencies(
    session: &Session,
    service: &str,
    range: TimeRange,
) -> Result<Vec<DependencyRow>, QueryError> {
    let (all, params) = condition(range, SpanScope::All, Some(service));
    let peer = peer();
    let sql = format!(
        "SELECT {KIND} AS peer_kind, {peer} AS peer, {MEASURES} FROM spans \
         WHERE {all} AND kind IN ('CLIENT', 'PRODUCER') GROUP BY 1, 2"
    );
    let mut found: Vec<(String, String, Measure)> = Vec::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (kinds, peers) = (columns.texts("peer_kind")?, columns.texts("peer")?);
        let measures = Measures::of(&columns)?;
        for row in 0..batch.num_rows() {
            found.push((kinds.owned(row), peers.owned(row), measures.get(row)?));
        }
    }
    found.sort_by(|(a_kind, a_peer, a), (b_kind, b_peer, b)| {
        let by = RankBy::TotalTime;
        b.rank(by).cmp(&a.rank(by)).then_with(|| (a_peer, a_kind).cmp(&(b_peer, b_kind)))
    });
    found.truncate(MAX_LIMIT);
    let row = |(kind, peer, measure): (String, String, Measure)| DependencyRow {
        kind,
        peer,
        stats: measure.stats(range),
    };
    Ok(found.into_iter().map(row).collect())
}

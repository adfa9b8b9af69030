//! What services call, by the spans that make the calls.

use std::collections::BTreeMap;

use datafusion::arrow::array::Array as _;
use headrope_model::TimeRange;

use super::MAX_LIMIT;
use super::condition;
use super::measure::{MEASURES, Measure, Measures};
use super::peer::Called;
use crate::answer::service::DependencyRow;
use crate::answer::{RankBy, SpanScope};
use crate::column::{Columns, Texts};
use crate::engine::Session;
use crate::error::QueryError;

/// What tells peers apart; all of it is in the roll-up of edges.
const PEER: &str = "service_name, name, service_peer_name, server_address, server_port, \
     network_peer_address, db_system_name, db_namespace, messaging_system, \
     messaging_destination_name, rpc_system_name IS NOT NULL AS is_rpc, \
     http_request_method IS NOT NULL AS is_http";

/// By caller, peer and kind of peer.
pub(super) type Outgoing = BTreeMap<(String, String, &'static str), Measure>;

/// The calls of a service, or of all, by what they are to.
pub(super) async fn outgoing(
    session: &Session,
    service: Option<&str>,
    range: TimeRange,
) -> Result<Outgoing, QueryError> {
    let (all, params) = condition(range, SpanScope::All, service);
    let sql = format!(
        "SELECT {PEER}, {MEASURES} FROM spans WHERE {all} AND kind IN ('CLIENT', 'PRODUCER') \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
    );
    let mut found = Outgoing::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (caller, name) = (columns.texts("service_name")?, columns.texts("name")?);
        let text = |name| columns.texts(name);
        let (service, address) = (text("service_peer_name")?, text("server_address")?);
        let (network, port) = (text("network_peer_address")?, columns.ints("server_port")?);
        let (db, namespace) = (text("db_system_name")?, text("db_namespace")?);
        let messaging = text("messaging_system")?;
        let destination = text("messaging_destination_name")?;
        let (is_rpc, is_http) = (columns.bools("is_rpc")?, columns.bools("is_http")?);
        let measures = Measures::of(&columns)?;
        for row in 0..batch.num_rows() {
            let called = Called {
                name: name.text(row),
                service: known(&service, row),
                address: known(&address, row),
                port: port.is_valid(row).then(|| port.value(row)),
                network: known(&network, row),
                db: known(&db, row),
                namespace: known(&namespace, row),
                messaging: known(&messaging, row),
                destination: known(&destination, row),
                is_rpc: is_rpc.value(row),
                is_http: is_http.value(row),
                ..Called::default()
            };
            let (peer, kind) = called.peer();
            let key = (caller.owned(row), peer.name.to_string(), kind);
            found.entry(key).or_default().merge(&measures.get(row)?);
        }
    }
    Ok(found)
}

fn known(texts: &Texts, row: usize) -> Option<&str> {
    texts.get(row).filter(|text| !text.is_empty())
}

pub(crate) async fn dependencies(
    session: &Session,
    service: &str,
    range: TimeRange,
) -> Result<Vec<DependencyRow>, QueryError> {
    let mut found: Vec<_> = outgoing(session, Some(service), range).await?.into_iter().collect();
    // In the order of their names where they took as long.
    found.sort_by_key(|(_, measure)| std::cmp::Reverse(measure.rank(RankBy::TotalTime)));
    found.truncate(MAX_LIMIT);
    let row = |((_, peer, kind), measure): ((String, String, &str), Measure)| DependencyRow {
        kind: kind.to_owned(),
        peer,
        stats: measure.stats(range),
    };
    Ok(found.into_iter().map(row).collect())
}

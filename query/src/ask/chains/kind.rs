//! Kinds of spans that do not say theirs.
//!
//! Who converts spans from other formats often leaves the kind out, or says `INTERNAL` of everything. Calls are told from
//! work by what the spans name and by who is above and below them; what serves a call is told by its parent being another
//! service's, without a kind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use headrope_analysis::{SpanKind, SpanRecord};
use headrope_model::SpanId;

use super::Detail;

/// Makes spans without a kind calls that name what they call and are the innermost of their service: of those that say
/// `INTERNAL` only the ones that name a statement. Others forget what they name.
pub(super) fn infer(records: &mut [SpanRecord], details: &mut [Detail]) {
    let is_open = |record: &SpanRecord, detail: &Detail| {
        matches!(record.kind, SpanKind::Internal | SpanKind::Unspecified) && detail.peer.is_some()
    };
    if !records.iter().zip(&*details).any(|(record, detail)| is_open(record, detail)) {
        return;
    }
    let services: HashMap<SpanId, Arc<str>> =
        records.iter().map(|record| (record.span_id, Arc::clone(&record.service))).collect();
    let above = |record: &SpanRecord| services.get(&record.parent_span_id?);
    let inner: HashSet<SpanId> = records
        .iter()
        .filter(|record| above(record) == Some(&record.service))
        .filter_map(|record| record.parent_span_id)
        .collect();
    for (record, detail) in records.iter_mut().zip(details) {
        if !is_open(record, detail) {
            continue;
        }
        let kind = match inner.contains(&record.span_id) {
            true => None,
            false => kind(record, detail, above(record)),
        };
        match kind {
            Some(kind) => record.kind = kind,
            None => (detail.peer, detail.peer_kind) = (None, None),
        }
    }
}

/// Whether the name of a span is a statement or the summary of one, `SELECT orders`, as semantic conventions name spans
/// of databases; of those that change rows HTTP has one, too, followed by a path.
pub(super) fn is_statement(name: &str) -> bool {
    const VERBS: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "UPSERT"];
    let Some((verb, of)) = name.split_once(' ') else { return false };
    VERBS.contains(&verb) && !of.starts_with('/') && !of.contains("://")
}

/// The kind of the innermost span of a service that names a peer, by the service of its parent; `None` if it is no call.
fn kind(record: &SpanRecord, detail: &Detail, above: Option<&Arc<str>>) -> Option<SpanKind> {
    let peer = detail.peer.as_ref()?;
    let within = above == Some(&record.service);
    match (record.kind, detail.peer_kind.as_deref()) {
        (SpanKind::Internal, _) => peer.statement.is_some().then_some(SpanKind::Client),
        // Nobody but a store's own span serves a statement.
        (_, Some("database")) => (within || above.is_none()).then_some(SpanKind::Client),
        (_, Some("messaging")) => within.then_some(SpanKind::Producer),
        _ => within.then_some(SpanKind::Client),
    }
}

#[cfg(test)]
mod tests {
    use headrope_analysis::SpanStatus;
    use headrope_analysis::ledger::Peer;

    use super::*;

    const INTERNAL: SpanKind = SpanKind::Internal;
    const NONE: SpanKind = SpanKind::Unspecified;

    /// Id, parent, kind, service, what kind of peer it names and whether with a statement.
    type Span = (u64, u64, SpanKind, &'static str, Option<(&'static str, bool)>);

    /// What became of spans, and whether they still name a peer.
    fn inferred(spans: &[Span]) -> Vec<(SpanKind, bool)> {
        let id = |id: u64| SpanId::from_bytes(&id.to_be_bytes());
        let record = |&(own, parent, kind, service, _): &Span| SpanRecord {
            span_id: id(own).unwrap(),
            parent_span_id: id(parent),
            kind,
            service: service.into(),
            status: SpanStatus::Unset,
            host: "".into(),
            name: "".into(),
            start_ns: 0,
            duration_ns: 1,
            source: 0,
        };
        let detail = |peer: &Option<(&str, bool)>| Detail {
            instance: None,
            peer: peer.map(|(kind, statement)| Peer {
                name: "peer".into(),
                is_store: kind == "database",
                statement: statement.then(|| "SELECT".into()),
            }),
            peer_kind: peer.map(|(kind, _)| kind.into()),
        };
        let mut records: Vec<SpanRecord> = spans.iter().map(record).collect();
        let mut details: Vec<Detail> = spans.iter().map(|span| detail(&span.4)).collect();
        infer(&mut records, &mut details);
        records.iter().zip(&details).map(|(r, d)| (r.kind, d.peer.is_some())).collect()
    }

    #[test]
    fn the_innermost_spans_that_name_a_peer_are_calls() {
        let found = inferred(&[
            (1, 0, NONE, "front", Some(("http", false))),
            (2, 1, NONE, "front", None),
            (3, 2, NONE, "front", Some(("http", false))),
            (4, 3, NONE, "orders", Some(("http", false))),
            (5, 4, NONE, "orders", Some(("database", true))),
            (6, 4, NONE, "orders", Some(("messaging", false))),
            (7, 6, NONE, "mailer", Some(("messaging", false))),
            (8, 4, NONE, "orders", Some(("database", true))),
            (9, 8, NONE, "orders", Some(("database", true))),
        ]);
        let (client, producer) = ((SpanKind::Client, true), (SpanKind::Producer, true));
        let other = (NONE, false);
        assert_eq!(
            found,
            [other, other, client, other, client, producer, other, other, client],
            "{found:?}"
        );
    }

    #[test]
    fn names_may_be_statements() {
        for name in ["SELECT orders", "INSERT INTO orders VALUES (?)", "DELETE shop.carts"] {
            assert!(is_statement(name), "{name}");
        }
        for name in ["DELETE /carts/1", "DELETE http://cart/1", "SELECT", "Update cart", "GET x"] {
            assert!(!is_statement(name), "{name}");
        }
    }

    #[test]
    fn internal_spans_call_if_they_name_a_statement() {
        let found = inferred(&[
            (1, 0, SpanKind::Server, "orders", None),
            (2, 1, INTERNAL, "orders", Some(("database", false))),
            (3, 1, INTERNAL, "orders", Some(("database", true))),
            (4, 1, INTERNAL, "orders", Some(("database", true))),
            (5, 4, SpanKind::Client, "orders", Some(("database", true))),
        ]);
        let client = (SpanKind::Client, true);
        let (server, other) = ((SpanKind::Server, false), (INTERNAL, false));
        assert_eq!(found, [server, other, client, other, client]);
    }
}

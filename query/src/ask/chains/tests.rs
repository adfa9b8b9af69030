use std::collections::{BTreeMap, BTreeSet};

use headrope_testdata::{Shop, ShopConfig};
use proptest::prelude::*;

use super::plan::{MOST_SPANS, Plan};
use super::read::Reader;
use super::*;
use crate::QueryConfig;
use crate::engine::Session;
use crate::tests::{empty, send};

const SECOND: i64 = 1_000_000_000;
/// 2025-01-06T00:10:00Z.
const FROM: i64 = 1_736_122_200 * SECOND;

proptest! {
    #[test]
    fn what_is_read_and_held_is_bounded(
        spans in 0_u64..10_000_000_000,
        seconds in 1_i64..1_000_000,
        p99_ns in 0_i64..200 * SECOND,
    ) {
        let range = TimeRange::new(FROM, FROM + seconds * SECOND).unwrap();
        let plan = Plan::of(range, spans, p99_ns);
        let rate = spans as f64 / range.duration_ns() as f64;
        let length: i64 = plan.stretches.iter().map(TimeRange::duration_ns).sum();
        let tails = plan.tail_ns as f64 * plan.stretches.len() as f64;
        prop_assert!(rate * (length as f64 + tails) <= 210_000.0, "{plan:?}");
        prop_assert!(rate * length as f64 * plan.share <= MOST_SPANS as f64 * 1.01, "{plan:?}");
        prop_assert!(spans > MOST_SPANS || plan.share >= 1.0 && length == range.duration_ns());
        // Requests are looked at for as long at least as their ends are waited for.
        prop_assert!(plan.stretches.len() == 1 || length as f64 >= tails * 0.99, "{plan:?}");
        for pair in plan.stretches.windows(2) {
            prop_assert!(pair[0].to() <= pair[1].from(), "{plan:?}");
        }
        let inside = |s: &TimeRange| s.from() >= range.from() && s.to() <= range.to();
        prop_assert!(!plan.stretches.is_empty() && plan.stretches.iter().all(inside), "{plan:?}");
    }
}

/// A minute of the shop, and its spans by trace as SQL counts them.
async fn shop() -> (Arc<Session>, TimeRange, BTreeMap<String, u64>, tempfile::TempDir) {
    let (engine, queries, dir) = empty(QueryConfig::default()).await;
    let range = TimeRange::new(FROM, FROM + 60 * SECOND).unwrap();
    let shop = Box::new(Shop::with_config(ShopConfig {
        seed: 5,
        traces_per_second: 8.0,
        start_ns: FROM - 3600 * SECOND,
        ..ShopConfig::default()
    }));
    for slice in shop.slices(range, 20) {
        send(&engine, slice).await;
    }
    engine.flush().await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let session = Arc::new(Session::open(&queries.machine(), snapshot).unwrap());
    let mut counted = BTreeMap::new();
    let sql = "SELECT trace_id, count(*) AS n FROM spans GROUP BY 1";
    for batch in session.rows(sql, Vec::new()).await.unwrap() {
        let columns = Columns(&batch);
        let (ids, counts) = (columns.texts("trace_id").unwrap(), columns.ints("n").unwrap());
        let rows =
            (0..batch.num_rows()).map(|row| (ids.owned(row), counts.value(row).unsigned_abs()));
        counted.extend(rows);
    }
    (session, range, counted, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_requests_are_all_looked_at() {
    let (session, range, counted, _dir) = shop().await;
    let mut seen = BTreeMap::new();
    let met = chains(&session, range, |stretch, stretches, chain: &Chain| {
        assert_eq!((stretch, stretches), (range, 1));
        let received = chain.chain.nodes.iter().filter(|node| !node.is_synthetic).count();
        seen.insert(chain.id.to_string(), (received + chain.chain.duplicates) as u64);
    });
    let met = met.await.unwrap();
    assert_eq!(seen, counted);
    assert_eq!(met.figures.spans, counted.values().sum::<u64>());
    assert!((met.figures.sampled - 1.0).abs() < 1e-9, "{:?}", met.figures);
    let services: BTreeSet<&str> = met.places.iter().map(|place| &*place.service).collect();
    assert!(services.len() > 5 && met.places.iter().all(|place| place.host.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_be_held_become_fewer_traces_each_of_them_whole() {
    let (session, range, counted, _dir) = shop().await;
    let all: u64 = counted.values().sum();
    for most in [all, all / 4, all / 16, 40] {
        let mut reader = Reader::new(1.0);
        let share = reader.read(&session, range, range, most).await.unwrap();
        let held = reader.take();
        let spans: u64 = held.values().map(|rows| rows.len() as u64).sum();
        assert!(spans <= 2 * most, "{spans} of {most}");
        assert_eq!(share < 1.0, 2 * most < all, "{share} of {most}");
        for (id, rows) in &held {
            assert_eq!(counted.get(&id.to_string()), Some(&(rows.len() as u64)), "{id}");
        }
        // The share is what it says, give or take five standard errors of a share of traces.
        let (n, got) = (counted.len() as f64, held.len() as f64);
        let error = (n * share * (1.0 - share)).sqrt();
        assert!((got - n * share).abs() <= 5.0 * error + 1.0, "{got} of {n}, share {share}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_in_a_stretch_is_read_whether_pages_begin_there_or_not() {
    let (session, range, _counted, _dir) = shop().await;
    for (from, to) in [(0, 60_000), (7_123, 7_124), (7_123, 19_456), (59_000, 60_000)] {
        let part = TimeRange::new(range.from() + from * 1_000_000, range.from() + to * 1_000_000);
        let part = part.unwrap();
        let mut reader = Reader::new(1.0);
        reader.read(&session, part, part, u64::MAX).await.unwrap();
        let mut got: Vec<String> = Vec::new();
        for rows in reader.take().into_values() {
            got.extend(rows.iter().map(|row| row.record.span_id.to_string()));
        }
        got.sort_unstable();
        let sql = format!("SELECT span_id FROM spans WHERE {IN_RANGE} ORDER BY span_id");
        let mut want = Vec::new();
        for batch in session.rows(&sql, in_range(part)).await.unwrap() {
            let (columns, rows) = (Columns(&batch), batch.num_rows());
            let ids = columns.texts("span_id").unwrap();
            want.extend((0..rows).map(|row| ids.owned(row)));
        }
        assert_eq!(got, want, "{from} to {to} ms");
        // Others of the same pages are not decoded.
        assert!(reader.rows <= 2 * want.len() as u64 + 2_000, "{} {}", reader.rows, want.len());
    }
}

#[test]
fn pods_of_deployments_name_their_replica_set() {
    let set = |pod: &str| {
        let place = Place {
            service: "".into(),
            version: None,
            instance: None,
            container: None,
            pod: Some(pod.into()),
            host: None,
            node: None,
        };
        place.replica_set().map(str::to_owned)
    };
    assert_eq!(set("frontend-579b9bff58-t2dbm").as_deref(), Some("579b9bff58"));
    assert_eq!(set("order-api-v2-6cfdd55578-gfj6q").as_deref(), Some("6cfdd55578"));
    for other in
        ["orders-db-0", "node-exporter-x7k2p", "cart", "a-b-c", "report-28471234-xk2pz", ""]
    {
        assert_eq!(set(other), None, "{other}");
    }
}

//! What joins in the shop, which says of everything where it ran.

use crate::tests::{Placed, seeded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_joins() {
    let data = seeded(Placed::Mixed).await;
    let found = data.queries.coverage(data.range).await.unwrap();
    let spans: u64 = found.services.iter().map(|service| service.spans).sum();
    assert_eq!(spans, data.oracle.span_count());
    let logs: u64 = found.services.iter().map(|service| service.logs).sum();
    let sent: u64 = data.oracle.logs_by_service().values().sum();
    assert_eq!(logs, sent);
    assert!((found.spans_with_host - 1.0).abs() < 1e-9, "{found:?}");
    assert!(found.collector_host.is_none());
    let measured = found.services.iter().filter(|service| !service.measures.is_empty());
    assert!(measured.clone().count() * 10 >= found.services.len() * 8, "{found:?}");
    assert!(measured.into_iter().all(|service| service.joined_by.is_some()));
    let on_hosts = |s: &&crate::answer::coverage::ServiceCoverage| {
        s.host_measures.contains(&"cpu_utilization")
    };
    assert!(found.services.iter().filter(on_hosts).count() * 2 > found.services.len());
    let postgres = found.peers.iter().filter(|peer| peer.peer.starts_with("postgresql"));
    assert!(postgres.clone().count() > 0);
    assert!(postgres.into_iter().all(|peer| peer.measures.contains(&"lock")), "{:?}", found.peers);
}

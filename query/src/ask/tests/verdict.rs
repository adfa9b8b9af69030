//! Verdicts over the shop with one incident each, against what the shop knows of it.

use headrope_testdata::Incident;
use serde_json::Value;

use crate::answer::verdict::{Verdict, VerdictQuery};
use crate::tests::{rows, shop_under, shop_without};

/// The verdict over a window with an incident, or without, against the time before it.
async fn verdict(incident: Option<Incident>) -> Verdict {
    let shop = shop_under(incident).await;
    let query = VerdictQuery {
        range: shop.window,
        reference: Some(shop.reference),
        service: None,
        operation: None,
    };
    shop.queries.verdict(&query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_of_the_shop_are_found() {
    let mut wrong = Vec::new();
    for (incident, who, cause, action) in [
        (Incident::SlowSql, "SELECT orders order_items", "statement", "fix_statement"),
        (Incident::Cpu, "shop-node-2", "cpu", "scale_out"),
        (Incident::Gc, "search", "garbage_collection", "raise_limit"),
        (Incident::DependencyErrors, "api.payments.example", "external", "wait_for_external"),
        (Incident::NPlusOne, "catalog", "release", "roll_back"),
        (Incident::BadDeploy, "cart", "release", "roll_back"),
    ] {
        let found = verdict(Some(incident)).await;
        let first = found.culprits.first().cloned();
        let names = first.iter().flat_map(|c| {
            [Some(&c.service), c.peer.as_ref(), c.statement.as_ref(), c.host.as_ref()]
        });
        let is_named = names.flatten().any(|name| name.contains(who));
        let cause_of = first.as_ref().map(|c| c.cause);
        if !is_named || cause_of != Some(cause) || found.action != action || !found.confident {
            let others: Vec<_> =
                found.culprits.iter().map(|c| (&c.service, &c.peer, c.cause, c.harm)).collect();
            let evidence: Vec<_> = found.evidence.iter().map(|e| &e.text).collect();
            wrong.push(format!("{incident}: {}\n  {others:?}\n  {evidence:?}", found.summary));
        }
        // What fails says so in the logs of who calls it.
        let said = found.evidence.iter().filter(|e| e.metric == "log pattern").count();
        assert!(said <= 3 && (said > 0 || incident != Incident::DependencyErrors), "{incident}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_may_send_no_spans() {
    for (incident, action) in [(None, "none"), (Some(Incident::SlowSql), "fix_statement")] {
        let shop = shop_without(incident, "edge-gateway").await;
        let query = VerdictQuery {
            range: shop.window,
            reference: Some(shop.reference),
            service: None,
            operation: None,
        };
        let found = shop.queries.verdict(&query).await.unwrap();
        assert_eq!(found.action, action, "{}", found.summary);
        assert!(found.trust.requests.iter().all(|n| *n > 2000), "{:?}", found.trust);
        assert!(found.trust.rootless > 0.9, "{:?}", found.trust);
        assert!(found.trust.advice.iter().any(|advice| advice.contains("lack their root")));
        // The overview counts what services answer then.
        let overview = shop.queries.overview(shop.window).await.unwrap();
        assert_eq!(overview.totals_of, "entry");
        assert!(overview.totals.calls > overview.previous.calls / 2, "{:?}", overview.totals);
        assert!(overview.totals.calls > 10_000, "{:?}", overview.totals);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_shop_has_no_culprit() {
    let found = verdict(None).await;
    assert!(!found.confident, "{}\n{:?}", found.summary, found.culprits.first());
    assert_eq!(found.action, "none");
    let lines: i64 = found.ledger.lines.iter().map(|line| line.added_ns).sum();
    // Each line is rounded.
    assert!((lines + found.ledger.others_ns - found.ledger.excess_ns).abs() <= 21);
    assert!(found.trust.requests.iter().all(|n| *n > 2000), "{:?}", found.trust);
    assert!(found.trust.covered > 0.9, "{:?}", found.trust);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_has_the_verdict_and_the_map() {
    let shop = shop_under(Some(Incident::SlowSql)).await;
    let (from, to) = (shop.window.from(), shop.window.to());
    let sql = async |query: String| {
        rows(&shop.queries, &query.replace("$w", &format!("{from}, {to}"))).await
    };
    let asked = |service: Option<&str>| VerdictQuery {
        range: shop.window,
        reference: None,
        service: service.map(str::to_owned),
        operation: None,
    };
    let found = shop.queries.verdict(&asked(None)).await.unwrap();
    let want: Vec<Vec<Value>> = found
        .culprits
        .iter()
        .zip(1..)
        .map(|(c, place)| {
            vec![
                place.into(),
                (found.confident && place == 1).into(),
                c.service.clone().into(),
                c.peer.clone().into(),
                c.cause.into(),
                c.added_ns.into(),
            ]
        })
        .collect();
    let columns = "place, blamed, service, peer, cause, added_ns";
    assert_eq!(sql(format!("SELECT {columns} FROM culprits($w)")).await, want);
    let sums = "SELECT sum(added_ns), count(*), sum(share) > 0.999 FROM ledger($w)";
    let ledger = &found.ledger;
    let added: i64 = ledger.lines.iter().map(|line| line.added_ns).sum();
    let want: Vec<Value> =
        vec![(added + ledger.others_ns).into(), (ledger.lines.len() + 1).into(), true.into()];
    assert_eq!(sql(sums.to_owned()).await, [want]);
    let joined = "SELECT count(*) FROM culprits($w) AS c JOIN ledger($w) AS l USING (service)";
    let pairs = found
        .culprits
        .iter()
        .map(|c| found.ledger.lines.iter().filter(|line| line.service == c.service).count());
    assert_eq!(sql(joined.to_owned()).await, [[Value::from(pairs.sum::<usize>())]]);
    let of_one = shop.queries.verdict(&asked(Some("orders"))).await.unwrap();
    let count = "SELECT count(*) FROM ledger($w, 'orders')".to_owned();
    assert_eq!(sql(count).await, [[Value::from(of_one.ledger.lines.len() + 1)]]);
    let map = shop.queries.map(shop.window).await.unwrap();
    let want: Vec<Vec<Value>> = map
        .edges
        .iter()
        .map(|e| vec![e.caller.clone().into(), e.callee.clone().into(), e.red.calls.into()])
        .collect();
    let edges = "SELECT caller, callee, calls FROM service_map($w)".to_owned();
    assert_eq!(sql(edges).await, want);
}

//! Verdicts over the shop with one incident each, against what the shop knows of it.

use headrope_testdata::Incident;

use crate::answer::verdict::{Verdict, VerdictQuery};
use crate::tests::shop_under;

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

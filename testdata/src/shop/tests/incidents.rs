//! Each incident changes the data the way the real fault would, and nothing else much.

use std::collections::BTreeMap;

use super::view::{Seen, mean, metrics, numbers, quantile, range, spans};
use super::{Incident, Planned, Shop, ShopConfig, config};
use crate::config::Truth;

/// The same shop without and with the incident during seconds 0 to 80.
fn pair(incident: Incident) -> (Shop, Shop, Truth) {
    let healthy = ShopConfig { orphans_ppm: 0, ..config(60.0) };
    let planned = vec![Planned::new(incident, range(0, 80))];
    let faulty = Shop::with_config(ShopConfig { incidents: planned, ..healthy.clone() });
    let truth = faulty.truths().remove(0);
    assert_eq!(truth.incident, incident);
    (Shop::with_config(healthy), faulty, truth)
}

fn median(all: &[Seen], keep: impl Fn(&Seen) -> bool) -> f64 {
    quantile(all.iter().filter(|s| keep(s)).map(Seen::ns), 0.5)
}

fn failing(all: &[Seen], keep: impl Fn(&Seen) -> bool) -> f64 {
    mean(all.iter().filter(|s| keep(s)).map(|s| f64::from(u8::from(s.failed()))))
}

fn metric(
    shop: &Shop,
    name: &str,
    keep: impl Fn(&BTreeMap<String, String>, &BTreeMap<String, String>) -> bool,
) -> f64 {
    let all = metrics(shop, 20, 60);
    mean(numbers(&all, name).filter(|(r, a, _)| keep(r, a)).map(|(_, _, value)| value))
}

#[test]
fn slow_sql_slows_one_statement_and_not_the_cpu() {
    let (healthy, faulty, truth) = pair(Incident::SlowSql);
    let (before, after) = (spans(&healthy, 20, 60), spans(&faulty, 20, 60));
    let statement = |s: &Seen| s.attributes.get("db.query.summary") == Some(&truth.statement);
    let factor = median(&after, statement) / median(&before, statement);
    assert!((20.0..40.0).contains(&factor), "{factor}");
    let other = |s: &Seen| {
        s.attributes
            .get("db.query.summary")
            .is_some_and(|t| t == "SELECT users" || t == "INSERT orders")
    };
    assert!((1.0..1.3).contains(&(median(&after, other) / median(&before, other))));
    let of_orders = |r: &BTreeMap<String, String>, _: &BTreeMap<String, String>| {
        r.get("service.name").is_some_and(|n| *n == truth.service)
    };
    let cpu = metric(&faulty, "process.cpu.utilization", of_orders)
        / metric(&healthy, "process.cpu.utilization", of_orders);
    assert!((0.9..1.1).contains(&cpu), "{cpu}");
    let active = |_: &BTreeMap<String, String>, a: &BTreeMap<String, String>| {
        a.get("state").is_some_and(|s| s == "active")
    };
    let backends = metric(&faulty, "pg_stat_activity_count", active)
        / metric(&healthy, "pg_stat_activity_count", active);
    assert!(backends > 1.5, "{backends}");
}

#[test]
fn a_saturated_host_slows_everything_on_it() {
    let (healthy, faulty, truth) = pair(Incident::Cpu);
    let (before, after) = (spans(&healthy, 20, 60), spans(&faulty, 20, 60));
    let internal = |on: bool| {
        let host = truth.host.clone();
        move |s: &Seen| {
            s.span.kind == 1
                && s.span.parent_span_id.len() == 8
                && (s.resource["host.name"] == host) == on
        }
    };
    let slower = median(&after, internal(true)) / median(&before, internal(true));
    assert!((4.0..9.0).contains(&slower), "{slower}");
    let elsewhere = median(&after, internal(false)) / median(&before, internal(false));
    assert!((0.9..1.1).contains(&elsewhere), "{elsewhere}");
    let idle = |r: &BTreeMap<String, String>, a: &BTreeMap<String, String>| {
        r.get("host.name") == Some(&truth.host) && a["cpu.mode"] == "idle"
    };
    assert!(metric(&faulty, "system.cpu.utilization", idle) < 0.03);
    let on_host = |r: &BTreeMap<String, String>, _: &BTreeMap<String, String>| {
        r.get("host.name") == Some(&truth.host)
    };
    assert!(metric(&faulty, "system.cpu.load_average.1m", on_host) > 35.0);
    let runaway = |r: &BTreeMap<String, String>, _: &BTreeMap<String, String>| {
        r.get("process.executable.name").is_some_and(|n| n == "log-compactor")
    };
    let cores = 2.0 * 16.0 * metric(&faulty, "process.cpu.utilization", runaway);
    assert!((10.0..14.0).contains(&cores), "{cores}");
}

#[test]
fn pauses_show_in_spans_and_in_the_collector_metric() {
    let (healthy, faulty, truth) = pair(Incident::Gc);
    let (before, after) = (spans(&healthy, 10, 70), spans(&faulty, 10, 70));
    let server = |s: &Seen| s.service() == "search" && s.span.kind == 2;
    let p90 = |all: &[Seen]| quantile(all.iter().filter(|s| server(s)).map(Seen::ns), 0.9);
    assert!(p90(&after) > 8.0 * p90(&before), "{} {}", p90(&before), p90(&after));
    assert!(
        (0.8..1.4).contains(&(median(&after, server) / median(&before, server)))
            || p90(&after) > 1e9
    );
    let old = |r: &BTreeMap<String, String>, a: &BTreeMap<String, String>| {
        r.get("service.name") == Some(&truth.service)
            && a.get("jvm.memory.pool.name").is_some_and(|p| p == "G1 Old Gen")
    };
    let heap = metric(&faulty, "jvm.memory.used", old) / metric(&healthy, "jvm.memory.used", old);
    assert!(heap > 1.6, "{heap}");
}

#[test]
fn a_failing_provider_fails_payments_after_retries() {
    let (healthy, faulty, truth) = pair(Incident::DependencyErrors);
    let (before, after) = (spans(&healthy, 20, 60), spans(&faulty, 20, 60));
    let payments = |s: &Seen| s.is("payment", "POST /payments");
    assert!(failing(&before, payments) < 0.02);
    assert!((0.35..0.65).contains(&failing(&after, payments)), "{}", failing(&after, payments));
    let calls = |all: &[Seen]| {
        let to = all.iter().filter(|s| s.attributes.get("server.address") == Some(&truth.peer));
        to.count() as f64 / all.iter().filter(|s| payments(s)).count() as f64
    };
    assert!(calls(&after) > 1.8 * calls(&before));
    assert!(after.iter().any(|s| s.attributes.contains_key("http.request.resend_count")));
}

#[test]
fn n_plus_one_asks_once_per_product_in_the_new_version() {
    let (healthy, faulty, truth) = pair(Incident::NPlusOne);
    let per_list = |shop: &Shop| {
        let all = spans(shop, 40, 60);
        let lists: Vec<&Seen> =
            all.iter().filter(|s| s.is("catalog", "GET /api/products")).collect();
        let of = |s: &Seen| {
            let children = all.iter().filter(|c| {
                c.span.trace_id == s.span.trace_id && c.span.parent_span_id == s.span.span_id
            });
            children.filter(|c| c.attributes.contains_key("db.query.text")).count() as f64
        };
        assert!(lists.len() > 50);
        let versions: Vec<&str> =
            lists.iter().map(|s| s.resource["service.version"].as_str()).collect();
        (mean(lists.iter().map(|s| of(s))), versions.iter().all(|v| *v == truth.version))
    };
    let ((before, _), (after, new)) = (per_list(&healthy), per_list(&faulty));
    assert!((0.95..=1.0).contains(&before), "{before}");
    assert!((24.0..=25.0).contains(&after), "{after}");
    assert!(new, "after the roll-out every instance runs the new version");
}

#[test]
fn a_bad_deploy_hurts_only_where_it_has_arrived() {
    let (_, faulty, truth) = pair(Incident::BadDeploy);
    // The second replica gets it at second 10: the roll-out is under way.
    let all = spans(&faulty, 0, 18);
    let server = |s: &Seen| s.service() == truth.service && s.span.kind == 2;
    let on = |s: &Seen| server(s) && s.resource["service.version"] == truth.version;
    let off = |s: &Seen| server(s) && s.resource["service.version"] != truth.version;
    assert!(failing(&all, on) > 0.2);
    assert!(failing(&all, off) < 0.05);
    assert!(median(&all, on) > 10.0 * median(&all, off));
    let instances = |shop: &Shop, from: i64, to: i64| -> std::collections::BTreeSet<String> {
        let all = spans(shop, from, to);
        all.iter().filter(|s| server(s)).map(|s| s.resource["k8s.pod.uid"].clone()).collect()
    };
    let (during, after) = (instances(&faulty, 30, 40), instances(&faulty, 80, 90));
    assert_eq!((during.len(), after.len()), (3, 3));
    assert!(during.is_disjoint(&after), "a roll-back makes new pods");
    let recovered = spans(&faulty, 80, 90);
    assert!(failing(&recovered, server) < 0.05);
}

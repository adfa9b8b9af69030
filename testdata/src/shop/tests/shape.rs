//! Traces are trees in time, logs belong to spans, and the amounts are realistic.

use std::collections::{HashMap, HashSet};

use super::view::{Seen, flat, mean, range, spans};
use super::{Shop, ShopConfig, config};

fn by_id(all: &[Seen]) -> HashMap<(&[u8], &[u8]), &Seen> {
    all.iter().map(|s| ((&s.span.trace_id[..], &s.span.span_id[..]), s)).collect()
}

#[test]
fn every_parent_is_there_and_outlasts_its_children() {
    let shop = Shop::with_config(ShopConfig { orphans_ppm: 0, clock_skew_ns: 0, ..config(40.0) });
    let all = spans(&shop, 0, 40);
    let by_id = by_id(&all);
    assert_eq!(by_id.len(), all.len(), "span ids repeat");
    for child in &all {
        assert!(child.span.start_time_unix_nano <= child.span.end_time_unix_nano);
        if child.span.parent_span_id.is_empty() {
            continue;
        }
        let parent = by_id[&(&child.span.trace_id[..], &child.span.parent_span_id[..])];
        assert!(parent.span.start_time_unix_nano <= child.span.start_time_unix_nano);
        // A consumer works after the message was sent; everything else is waited for.
        if child.span.kind != 5 {
            assert!(
                child.span.end_time_unix_nano <= parent.span.end_time_unix_nano,
                "{} outlasts {}",
                child.span.name,
                parent.span.name
            );
        }
    }
}

#[test]
fn one_clock_is_ahead_by_what_was_planned() {
    let skew = 7_000_000;
    let plain = Shop::with_config(ShopConfig { clock_skew_ns: 0, ..config(20.0) });
    let skewed = Shop::with_config(ShopConfig { clock_skew_ns: skew, ..config(20.0) });
    let (plain, skewed) = (spans(&plain, 0, 10), spans(&skewed, 0, 10));
    let plain = by_id(&plain);
    let mut moved = 0;
    for span in &skewed {
        let was = plain[&(&span.span.trace_id[..], &span.span.span_id[..])];
        let by = span.span.start_time_unix_nano - was.span.start_time_unix_nano;
        let expected = if span.resource["host.name"] == "shop-node-4" { skew as u64 } else { 0 };
        assert_eq!(by, expected);
        assert_eq!(span.ns(), was.ns());
        moved += u64::from(by > 0);
    }
    assert!(moved > 100);
}

#[test]
fn orphans_are_planted_at_the_planned_rate() {
    let shop = Shop::with_config(ShopConfig { orphans_ppm: 100_000, ..config(40.0) });
    let all = spans(&shop, 0, 30);
    let by_id = by_id(&all);
    let orphaned: HashSet<&[u8]> = all
        .iter()
        .filter(|s| !s.span.parent_span_id.is_empty())
        .filter(|s| !by_id.contains_key(&(&s.span.trace_id[..], &s.span.parent_span_id[..])))
        .map(|s| &s.span.trace_id[..])
        .collect();
    let traces: HashSet<&[u8]> = all.iter().map(|s| &s.span.trace_id[..]).collect();
    let rate = orphaned.len() as f64 / traces.len() as f64;
    // A pick that is a root or a leaf is not lost, so it is less than a tenth.
    assert!((0.03..0.1).contains(&rate), "{rate}");
}

#[test]
fn links_point_at_the_send_span() {
    let all = spans(&Shop::with_config(ShopConfig { orphans_ppm: 0, ..config(40.0) }), 0, 30);
    let by_id = by_id(&all);
    let mut own_trace = 0;
    let consumers = all.iter().filter(|s| s.span.kind == 5);
    for consumer in consumers {
        let link = &consumer.span.links[0];
        let sender = by_id[&(&link.trace_id[..], &link.span_id[..])];
        assert_eq!(sender.span.name, "send orders");
        assert!(sender.span.end_time_unix_nano <= consumer.span.start_time_unix_nano + 3_000_000);
        own_trace += u64::from(link.trace_id != consumer.span.trace_id);
    }
    assert!(own_trace > 10);
}

#[test]
fn logs_belong_to_spans() {
    let shop = Shop::with_config(ShopConfig { orphans_ppm: 0, ..config(30.0) });
    let all = spans(&shop, 0, 30);
    let by_id = by_id(&all);
    let (mut lines, mut texts, mut structured) = (0, HashSet::new(), 0);
    for resource in shop.slice(range(0, 30)).logs.iter().flat_map(|r| &r.resource_logs) {
        let of = flat(&resource.resource.clone().unwrap_or_default().attributes);
        for scope in &resource.scope_logs {
            for record in &scope.log_records {
                lines += 1;
                let owner = by_id[&(&record.trace_id[..], &record.span_id[..])];
                assert_eq!(owner.resource, of, "the line and its span differ in resource");
                let body = crate::oracle::body_text(record.body.as_ref().unwrap());
                assert!(!body.contains(['{', '}']) || !record.event_name.is_empty(), "{body}");
                structured += u64::from(!record.event_name.is_empty());
                let logger = scope.scope.as_ref().unwrap().name.clone();
                let first = body.split(' ').next().unwrap_or_default().to_owned();
                texts.insert((logger, record.severity_number, first));
            }
        }
    }
    let per_span = f64::from(lines) / all.len() as f64;
    assert!((0.42..0.58).contains(&per_span), "{per_span} lines per span");
    assert!(texts.len() >= 40, "{} templates", texts.len());
    assert!(structured > 0);
}

#[test]
fn amounts_are_realistic() {
    let shop = Shop::with_config(config(100.0));
    let slice = shop.slice(range(0, 30));
    let bytes: usize = slice.traces.iter().map(prost::Message::encoded_len).sum();
    let all = spans(&shop, 0, 30);
    let per_span = bytes as f64 / all.len() as f64;
    assert!((390.0..460.0).contains(&per_span), "{per_span} bytes per span");

    let failed = all.iter().filter(|s| s.failed()).count() as f64 / all.len() as f64;
    assert!((0.018..0.035).contains(&failed), "{failed} of spans failed");
    assert!(all.iter().all(|s| s.failed() == s.span.events.iter().any(|e| e.name == "exception")));

    let mut sizes: HashMap<&[u8], u64> = HashMap::new();
    all.iter().for_each(|s| *sizes.entry(&s.span.trace_id).or_default() += 1);
    let average = mean(sizes.values().map(|n| *n as f64));
    assert!((12.0..17.0).contains(&average), "{average} spans per trace");
    let checkouts: Vec<u64> = all
        .iter()
        .filter(|s| s.is("edge-gateway", "POST /checkout") && !s.failed())
        .filter(|s| s.attributes["http.response.status_code"] == "200")
        .map(|s| sizes[&s.span.trace_id[..]])
        .collect();
    assert!(checkouts.iter().all(|n| (25..=45).contains(n)), "{checkouts:?}");
    let roots = all.iter().filter(|s| s.service() == "edge-gateway");
    let failed_roots = mean(roots.map(|s| f64::from(u8::from(s.failed()))));
    assert!(failed_roots < 0.012, "{failed_roots} of user requests failed");
}

#[test]
fn old_and_new_attribute_names_both_occur() {
    let all = spans(&Shop::with_config(config(40.0)), 0, 20);
    let old = all.iter().filter(|s| s.attributes.contains_key("http.status_code"));
    assert!(old.clone().count() > 0);
    assert!(old.clone().all(|s| s.service() == "shipping"));
    for key in ["db.query.text", "db.query.summary", "rpc.method", "messaging.system", "url.full"] {
        assert!(all.iter().any(|s| s.attributes.contains_key(key)), "{key} does not occur");
    }
}

use std::collections::BTreeSet;

use headrope_model::TimeRange;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};
use proptest::prelude::*;

use super::*;
use crate::config::ShopConfig;
use crate::shop::Shop;

/// A span as a plain row: service, name, kind, failed, duration.
type Row = (u8, u8, i32, bool, u64);

fn request(rows: &[Row]) -> ExportTraceServiceRequest {
    let resource_spans = rows.iter().enumerate().map(|(at, (service, name, kind, failed, ns))| {
        let value = AnyValue { value: Some(Value::StringValue(format!("s{service}"))) };
        let service = KeyValue { key: SERVICE_NAME.into(), value: Some(value), key_strindex: 0 };
        // Service 0 has no name.
        let attributes = if rows[at].0 == 0 { Vec::new() } else { vec![service] };
        let span = Span {
            trace_id: vec![1 + (at % 5) as u8; 16],
            span_id: (1 + at as u64).to_be_bytes().to_vec(),
            name: format!("o{name}"),
            kind: *kind,
            start_time_unix_nano: 1000,
            end_time_unix_nano: 1000 + ns,
            status: failed.then(|| Status { message: String::new(), code: 2 }),
            ..Span::default()
        };
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn service_name(number: u8) -> String {
    if number == 0 { "unknown_service".into() } else { format!("s{number}") }
}

proptest! {
    #[test]
    fn rankings_and_quantiles_equal_a_naive_recount(
        rows in prop::collection::vec((0u8..4, 0u8..4, 1i32..6, any::<bool>(), 0u64..50), 0..80),
        q in 0.0f64..=1.0,
        n in 0usize..6,
    ) {
        let mut oracle = Oracle::new();
        oracle.fold_traces(&request(&rows));
        prop_assert_eq!(oracle.span_count(), rows.len() as u64);
        prop_assert_eq!(oracle.error_count(), rows.iter().filter(|r| r.3).count() as u64);
        for kinds in [Kinds::All, Kinds::Entry] {
            let counted = |r: &&Row| kinds == Kinds::All || r.2 == 2 || r.2 == 5;
            let groups: BTreeSet<(u8, u8)> = rows.iter().filter(counted).map(|r| (r.0, r.1)).collect();
            for by in [By::Calls, By::Slowest, By::TotalTime, By::Errors] {
                let mut expected: Vec<Ranked> = groups.iter().map(|(s, o)| {
                    let of = rows.iter().filter(counted).filter(|r| (r.0, r.1) == (*s, *o));
                    let value = match by {
                        By::Calls => of.count() as u128,
                        By::Slowest => of.map(|r| u128::from(r.4)).max().unwrap_or(0),
                        By::TotalTime => of.map(|r| u128::from(r.4)).sum(),
                        By::Errors => of.filter(|r| r.3).count() as u128,
                    };
                    Ranked { service: service_name(*s), operation: format!("o{o}"), value }
                }).collect();
                expected.sort_by(|a, b| (b.value, &a.service, &a.operation).cmp(&(a.value, &b.service, &b.operation)));
                expected.truncate(n);
                prop_assert_eq!(oracle.top_operations(by, kinds, n), expected);
            }
        }
        for (service, stats) in oracle.services(Kinds::All) {
            let mut durations: Vec<u64> =
                rows.iter().filter(|r| service_name(r.0) == service).map(|r| r.4).collect();
            durations.sort_unstable();
            // The definition: the smallest value that at least q of all values do not exceed.
            let enough = |v: &&u64| {
                let below = durations.iter().filter(|d| *d <= *v).count() as f64;
                below >= q * durations.len() as f64
            };
            prop_assert_eq!(stats.quantile_ns(q), durations.iter().find(enough).copied());
            prop_assert_eq!(stats.count, durations.len() as u64);
        }
    }
}

#[test]
fn traces_of_the_shop_come_back_whole() {
    let shop = Shop::with_config(ShopConfig { traces_per_second: 20.0, ..ShopConfig::default() });
    let from = shop.config().start_ns;
    let range = TimeRange::new(from, from + 20_000_000_000).unwrap();
    let mut oracle = Oracle::new();
    let mut recount = (0, 0, 0);
    for slice in shop.slices(range, 2) {
        oracle.fold(&slice);
        let scopes = slice.traces.iter().flat_map(|r| &r.resource_spans);
        recount.0 += scopes.flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum::<usize>();
        let scopes = slice.logs.iter().flat_map(|r| &r.resource_logs);
        recount.1 += scopes.flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum::<usize>();
        recount.2 += slice.metrics.len();
    }
    assert_eq!((oracle.span_count(), oracle.log_count()), (recount.0 as u64, recount.1 as u64));
    assert!(oracle.point_count() > 1000 && recount.2 == 6);
    let ids = oracle.trace_ids();
    let sampled = oracle.sample_traces(40, 9);
    assert_eq!(sampled, oracle.sample_traces(40, 9));
    assert_ne!(sampled, oracle.sample_traces(40, 10));
    assert_eq!(sampled.iter().collect::<BTreeSet<_>>().len(), 40);
    assert_eq!(ids.iter().map(|id| oracle.trace(id).len()).sum::<usize>(), recount.0);
    assert_eq!(oracle.logs_by_service().values().sum::<u64>(), oracle.log_count());
    assert!(ids.iter().map(|id| oracle.logs_of_trace(id)).sum::<u64>() <= oracle.log_count());
    let of_cart = oracle.logs_by_severity("cart");
    assert_eq!(of_cart.values().sum::<u64>(), oracle.logs_by_service()["cart"]);
    assert!(oracle.trace(&TraceId::from_bytes(&[9; 16]).unwrap()).is_empty());
    assert_eq!(oracle.ignored(), 0);
}

#[test]
fn terms_count_lines_not_occurrences() {
    let mut terms = HashMap::new();
    terms::count("Cache miss, cache MISS order=7000 Straße", &mut terms);
    terms::count("{\"order\":7000,\"total\":12.5}", &mut terms);
    let of = |term: &str| terms.get(term).copied().unwrap_or(0);
    assert_eq!((of("cache"), of("miss"), of("order"), of("7000"), of("straße")), (1, 1, 2, 2, 1));
    assert_eq!((of("12"), of("5"), of("Cache")), (1, 1, 0));
}

#[test]
fn invalid_ids_are_left_out() {
    let mut bad = request(&[(1, 1, 2, false, 5)]);
    bad.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![0; 16];
    let mut oracle = Oracle::new();
    oracle.fold_traces(&bad);
    assert_eq!((oracle.span_count(), oracle.ignored()), (0, 1));
}

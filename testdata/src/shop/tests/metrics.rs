//! Metrics agree with the spans they are made from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::view::{flat, mean, metrics, numbers, spans};
use super::{Shop, ShopConfig, config};

#[test]
fn request_histograms_count_exactly_the_server_spans() {
    let shop = Shop::with_config(ShopConfig { orphans_ppm: 0, clock_skew_ns: 0, ..config(30.0) });
    let all = spans(&shop, 0, 30);
    let servers: HashMap<(&[u8], &[u8]), u64> = all
        .iter()
        .filter(|s| s.span.kind == 2)
        .map(|s| ((&s.span.trace_id[..], &s.span.span_id[..]), s.ns()))
        .collect();
    let (mut count, mut sum, mut exemplars) = (0, 0.0, 0);
    for measured in metrics(&shop, 0, 30) {
        let Some(Data::Histogram(histogram)) = &measured.metric.data else { continue };
        for point in &histogram.data_points {
            assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
            assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
            count += point.count;
            sum += point.sum.unwrap();
            for exemplar in &point.exemplars {
                let ns = servers[&(&exemplar.trace_id[..], &exemplar.span_id[..])];
                assert!((point.max.unwrap() - ns as f64 / 1e9).abs() < 1e-12);
                exemplars += 1;
            }
        }
    }
    assert_eq!(count, servers.len() as u64);
    let expected = servers.values().sum::<u64>() as f64 / 1e9;
    assert!((sum / expected - 1.0).abs() < 1e-9, "{sum} {expected}");
    assert!(exemplars > 100);
}

#[test]
fn all_kinds_occur_and_no_series_repeats_a_point() {
    let shop = Shop::with_config(config(20.0));
    let mut kinds = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut series = BTreeSet::new();
    for measured in metrics(&shop, 0, 60) {
        names.insert(measured.metric.name.clone());
        let resource = format!("{:?}", measured.resource);
        let mut seen = |attributes: &[_], time: u64| {
            let key = (resource.clone(), measured.metric.name.clone(), flat(attributes), time);
            assert!(series.insert(key), "{} repeats", measured.metric.name);
        };
        match measured.metric.data.as_ref().unwrap() {
            Data::Gauge(d) => {
                kinds.insert("gauge");
                d.data_points.iter().for_each(|p| seen(&p.attributes, p.time_unix_nano));
            }
            Data::Sum(d) => {
                kinds.insert(match (d.is_monotonic, d.aggregation_temporality) {
                    (true, 1) => "delta",
                    (true, _) => "counter",
                    (false, _) => "level",
                });
                d.data_points.iter().for_each(|p| seen(&p.attributes, p.time_unix_nano));
            }
            Data::Histogram(d) => {
                kinds.insert("histogram");
                d.data_points.iter().for_each(|p| seen(&p.attributes, p.time_unix_nano));
            }
            Data::ExponentialHistogram(d) => {
                kinds.insert("exponential");
                for p in &d.data_points {
                    let buckets = p.positive.as_ref().unwrap();
                    assert_eq!(buckets.bucket_counts.iter().sum::<u64>() + p.zero_count, p.count);
                    seen(&p.attributes, p.time_unix_nano);
                }
            }
            Data::Summary(d) => {
                kinds.insert("summary");
                d.data_points.iter().for_each(|p| seen(&p.attributes, p.time_unix_nano));
            }
        }
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    assert!(names.len() >= 40, "{names:?}");
}

#[test]
fn counters_never_fall() {
    let shop = Shop::with_config(ShopConfig { diurnal: true, ..config(5.0) });
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let mut rose = 0;
    for from in [0, 60, 3600, 40_000] {
        let all = metrics(&shop, from, from + 30);
        let counters = all.iter().filter(|m| {
            matches!(&m.metric.data, Some(Data::Sum(d)) if d.is_monotonic && d.aggregation_temporality == 2)
        });
        let names: BTreeSet<&str> = counters.map(|m| m.metric.name.as_str()).collect();
        for name in names {
            for (resource, attributes, value) in numbers(&all, name) {
                let key = format!("{name} {resource:?} {attributes:?}");
                let before = last.insert(key, value).unwrap_or(0.0);
                assert!(value >= before, "{name} fell from {before} to {value}");
                rose += u64::from(value > before);
            }
        }
    }
    assert!(rose > 100);
}

#[test]
fn utilisation_follows_the_rate() {
    let shop = Shop::with_config(ShopConfig { diurnal: true, ..config(60.0) });
    // 04:00 against 20:00 UTC.
    let (night, evening) = (4 * 3600, 20 * 3600);
    let busy = |from: i64| {
        let all = metrics(&shop, from, from + 20);
        let idle = numbers(&all, "system.cpu.utilization")
            .filter(|(_, attributes, _)| attributes["cpu.mode"] == "idle")
            .map(|(_, _, value)| value);
        1.0 - mean(idle)
    };
    let calls = |from: i64| spans(&shop, from, from + 20).len() as f64;
    let load_ratio = busy(evening) / busy(night);
    let call_ratio = calls(evening) / calls(night);
    assert!((3.0..5.5).contains(&call_ratio), "{call_ratio}");
    // The idle part does not grow with the rate.
    assert!(
        (call_ratio * 0.6..call_ratio * 1.1).contains(&load_ratio),
        "{load_ratio} {call_ratio}"
    );
    assert!((0.4..0.75).contains(&busy(evening)));
}

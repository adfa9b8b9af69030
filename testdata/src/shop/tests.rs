mod faults;
mod incidents;
mod metrics;
mod shape;
pub(crate) mod view;

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::config::{Incident, Planned};
use crate::oracle::Oracle;
use view::{START, range, spans};

fn config(traces_per_second: f64) -> ShopConfig {
    ShopConfig { traces_per_second, ..ShopConfig::default() }
}

/// Every request of the slices as bytes.
fn bytes(slices: impl Iterator<Item = Slice>) -> [Vec<Vec<u8>>; 3] {
    let mut all: [Vec<Vec<u8>>; 3] = Default::default();
    for slice in slices {
        all[0].extend(slice.traces.iter().map(|r| r.encode_to_vec()));
        all[1].extend(slice.logs.iter().map(|r| r.encode_to_vec()));
        all[2].extend(slice.metrics.iter().map(|r| r.encode_to_vec()));
    }
    all
}

#[test]
fn one_configuration_gives_one_sequence_of_bytes() {
    let once = bytes(Shop::with_config(config(10.0)).slices(range(0, 30), 3));
    let again = bytes(Shop::with_config(config(10.0)).slices(range(0, 30), 3));
    assert!(once == again);
    let other = ShopConfig { seed: 2, ..config(10.0) };
    assert!(once != bytes(Shop::with_config(other).slices(range(0, 30), 3)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_cut_gives_the_same_requests(
        seed in 0u64..1000,
        window in 1u32..6,
        interval in prop::sample::select(vec![7u32, 10, 15]),
        mut cuts in prop::collection::vec(0i64..40, 0..5),
    ) {
        let planned = Planned::new(Incident::BadDeploy, range(5, 25));
        let shop = Shop::with_config(ShopConfig {
            seed, batch_window_s: window, metric_interval_s: interval, batch_records: 90,
            diurnal: seed % 2 == 0, incidents: vec![planned], ..config(4.0)
        });
        let whole = bytes(std::iter::once(shop.slice(range(0, 40))));
        cuts.extend([0, 40]);
        cuts.sort_unstable();
        // Newest first, each piece made on its own.
        let mut pieces: Vec<Slice> =
            cuts.windows(2).rev().map(|cut| shop.slice(range(cut[0], cut[1]))).collect();
        pieces.reverse();
        prop_assert!(whole == bytes(pieces.into_iter()));
        let step = 1 + (seed % 9) as u32;
        prop_assert!(whole == bytes(shop.slices(range(0, 40), step)));
    }

    #[test]
    fn an_exact_amount_is_met_to_the_record(spans in 1u64..3000, logs in 1u64..1500) {
        let shop = Shop::with_config(config(20.0));
        let mut oracle = Oracle::without_terms();
        shop.exactly(START, spans, logs).for_each(|slice| oracle.fold(&slice));
        prop_assert_eq!((oracle.span_count(), oracle.log_count()), (spans, logs));
    }
}

#[test]
fn a_batch_holds_at_most_the_configured_records() {
    let shop = Shop::with_config(ShopConfig { batch_records: 64, ..config(30.0) });
    let slice = shop.slice(range(0, 10));
    let sizes: Vec<usize> = slice
        .traces
        .iter()
        .map(|r| r.resource_spans.iter().flat_map(|s| &s.scope_spans).map(|s| s.spans.len()).sum())
        .collect();
    assert!(sizes.iter().all(|size| (1..=64).contains(size)), "{sizes:?}");
    assert!(sizes.contains(&64));
}

#[test]
fn the_shape_of_the_world_is_what_the_readme_says() {
    let shop = Shop::with_config(config(40.0));
    let all = spans(&shop, 0, 60);
    let distinct = |f: &dyn Fn(&view::Seen) -> String| {
        all.iter().map(f).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(distinct(&|s| s.resource["service.name"].clone()), 15);
    assert_eq!(distinct(&|s| s.resource["service.instance.id"].clone()), 45);
    assert_eq!(distinct(&|s| s.resource["host.name"].clone()), 6);
    assert_eq!(distinct(&|s| s.resource["telemetry.sdk.language"].clone()), 8);
}

#[test]
fn no_traffic_gives_no_records_and_ends() {
    let shop = Shop::with_config(config(0.0));
    assert!(shop.slice(range(0, 20)).traces.is_empty());
    assert_eq!(shop.exactly(START, 5, 5).count(), 0);
}

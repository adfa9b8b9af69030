//! Random systems are repeatable, diverse, and their labels true.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn short() -> Size {
    Size { traces_per_second: 15.0, reference_s: 60, window_s: 120, ..Size::default() }
}

#[test]
fn a_seed_gives_one_landscape() {
    for seed in [1, 7] {
        let (once, again) = (landscape(seed, &short()), landscape(seed, &short()));
        assert_eq!(once.truth, again.truth);
        assert!(once.slices().eq(again.slices()));
    }
}

#[test]
fn systems_differ_and_hang_together() {
    let (mut sizes, mut names, mut kinds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..32 {
        let one = landscape(seed, &Size { traces_per_second: 5.0, ..short() });
        sizes.insert(one.counts.0);
        kinds.insert(one.truth.fault);
        let slice = one.slices().next().unwrap();
        let mut spans: BTreeMap<Vec<u8>, (Vec<u8>, u64, u64)> = BTreeMap::new();
        let mut services = BTreeSet::new();
        for resource in slice.traces.iter().flat_map(|r| &r.resource_spans) {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            services.insert(crate::attrs::text_of(attributes, "service.name").to_owned());
            for span in resource.scope_spans.iter().flat_map(|s| &s.spans) {
                let times = (span.start_time_unix_nano, span.end_time_unix_nano);
                assert!(times.0 <= times.1);
                let id = (span.parent_span_id.clone(), times.0, times.1);
                assert!(spans.insert(span.span_id.clone(), id).is_none(), "an id twice");
            }
        }
        for (parent, from, _) in spans.values().filter(|span| !span.0.is_empty()) {
            assert!(spans[parent].1 <= *from, "a child begins before its parent");
        }
        let roots = spans.values().filter(|span| span.0.is_empty()).count();
        assert!(roots > 10 && spans.len() / roots < 60, "{seed}: {} of {roots}", spans.len());
        names.extend(services);
    }
    assert!(sizes.len() > 12 && *sizes.first().unwrap() >= 6 && *sizes.last().unwrap() <= 30);
    assert!(names.len() > 150, "{}", names.len());
    assert!(kinds.len() > 11, "{kinds:?}");
}

#[test]
fn every_fault_is_noticed_and_explains_what_users_see() {
    let mut wrong = Vec::new();
    for seed in 0..32 {
        let one = landscape(seed, &Size { traces_per_second: 30.0, ..Size::default() });
        let truth = &one.truth;
        let noticed = !truth.affected.is_empty();
        let (planted, healthy) = (truth.planted_share, truth.fault.is_none());
        if noticed == healthy || (!healthy && planted < 0.6) {
            wrong.push(format!(
                "{seed} {:?} {:?} {planted} {:?}",
                truth.fault, truth.place, truth.affected
            ));
        }
        for effect in truth.affected.iter().chain(&truth.unaffected).filter(|e| e.requests > 500) {
            let harmless = effect.without_ms - effect.reference_ms;
            assert!(harmless < f64::max(0.12 * effect.reference_ms, 4.0), "{seed} {effect:?}");
        }
        if let [fault] = &truth.faults[..] {
            assert!((fault.overall.added_ns - truth.mean.added_ns).abs() < 1.0);
            assert_ne!(fault.entity, Entity::None);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

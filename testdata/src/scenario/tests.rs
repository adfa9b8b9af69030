//! Scenarios are repeatable, diverse, and true.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::fault::Change;

fn kind(seed: u64) -> Option<Incident> {
    Incident::ALL.get((seed % 16) as usize).copied()
}

/// Short ranges: enough to compare, too short to judge.
fn short() -> Size {
    Size { traces_per_second: 20.0, reference_s: 40, window_s: 60, ..Size::default() }
}

#[test]
fn two_hundred_seeds_hold_every_kind_at_many_places() {
    let mut places: BTreeMap<Option<Incident>, BTreeSet<Place>> = BTreeMap::new();
    let mut strengths: BTreeMap<Option<Incident>, BTreeSet<u64>> = BTreeMap::new();
    let mut changes: BTreeMap<&str, u32> = BTreeMap::new();
    let mut amounts = BTreeSet::new();
    let mut shops = BTreeSet::new();
    for seed in 0..208 {
        let drawn = draw::draw(seed, kind(seed), &Size::default());
        let fault = drawn.faults.first().cloned();
        let place = fault.as_ref().map_or(Place::Usual, |f| f.place.clone());
        places.entry(kind(seed)).or_default().insert(place);
        let strength = fault.and_then(|f| f.strength).unwrap_or_default();
        strengths.entry(kind(seed)).or_default().insert(strength.to_bits());
        amounts.insert(drawn.shop.coincidences.len());
        shops.insert(drawn.shop.seed);
        for coincidence in &drawn.shop.coincidences {
            let name = match coincidence.change {
                Change::Deploy(_) => "deploy",
                Change::Traffic(_) => "traffic",
                Change::Batch(..) => "batch",
                Change::SlowEntry(..) => "slow entry",
                Change::LogPattern(_) => "log pattern",
                Change::Drift(..) => "drift",
                Change::Statement(..) => "statement",
                Change::ScaleOut(_) => "scale out",
            };
            *changes.entry(name).or_default() += 1;
        }
    }
    assert_eq!(places.len(), 14, "thirteen kinds of fault, and health");
    assert_eq!(amounts, BTreeSet::from([1, 2, 3]));
    assert_eq!(shops.len(), 208);
    assert!(changes.len() == 8 && changes.values().all(|n| *n > 20), "{changes:?}");
    let distinct: usize = places.values().map(BTreeSet::len).sum();
    assert!(distinct >= 70, "{distinct} places");
    for (kind, places) in places.iter().filter(|(kind, _)| kind.is_some()) {
        assert!(places.len() >= 2, "{kind:?} has {places:?}");
        assert!(strengths[kind].len() >= 12, "{kind:?} varies too little");
    }
}

#[test]
fn every_drawn_place_exists() {
    use crate::plan::spot::spot_of;
    for seed in 0..416 {
        let Some(fault) = draw::draw(seed, kind(seed), &short()).faults.pop() else { continue };
        let found = spot_of(fault.incident, &fault.place);
        assert!(found.is_some() || fault.place == Place::Usual, "{fault:?}");
    }
}

#[test]
fn a_seed_gives_one_scenario_and_one_sequence_of_bytes() {
    use prost::Message as _;
    for seed in [3, 9, 11] {
        let (once, again) = (scenario(seed, &short()), scenario(seed, &short()));
        assert_eq!(once, again);
        let bytes = |s: &Scenario| -> Vec<Vec<u8>> {
            let slice = s.shop().slice(s.range());
            slice.traces.iter().map(|r| r.encode_to_vec()).collect()
        };
        assert!(bytes(&once) == bytes(&again));
        let json = serde_json::to_string(&once).unwrap();
        let parsed: Scenario = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed.truth.entity, once.truth.entity);
        assert_eq!((parsed.range(), parsed.shop.seed), (once.range(), once.shop.seed));
    }
    assert_ne!(scenario(3, &short()).shop.seed, scenario(19, &short()).shop.seed);
}

#[test]
fn every_fault_hurts_users_and_explains_most_of_what_they_see() {
    let size = Size::default();
    let mut wrong = Vec::new();
    for seed in 0..32 {
        let Some(incident) = kind(seed) else { continue };
        let drawn = draw::draw(seed, Some(incident), &size);
        let one = scenario(seed, &size);
        let what = format!("seed {seed} {incident} {:?} {:?}", one.truth.place, one.truth.affected);
        let truth = &one.truth;
        let wanted = drawn.faults.first().and_then(|f| f.strength).unwrap();
        let mut check = |holds: bool, why: &str| {
            if !holds {
                wrong.push(format!("{why}: {what}"));
            }
        };
        check(!truth.affected.is_empty(), "nobody notices");
        check((0.7..=1.0).contains(&truth.planted_share), "explains too little");
        check(truth.entity != Entity::None && truth.cause != Cause::None, "nobody is to blame");
        check(truth.strength <= 2.3 * wanted, "had to be much stronger than drawn");
        // A surge is everywhere, and what is refused or asked again is not where it is refused.
        let local = !matches!(incident, Incident::TrafficSurge | Incident::DependencyErrors);
        if let Some(share) = truth.entity_share.filter(|_| local) {
            check(share > 0.6, &format!("{share} at the entity, {:?}", truth.excess));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn healthy_windows_are_as_fast_as_the_reference() {
    for seed in [13, 14, 15, 29, 30, 31] {
        let one = scenario(seed, &Size::default());
        assert_eq!((one.truth.entity, one.truth.action), (Entity::None, Action::None));
        assert!(one.truth.affected.is_empty() && one.truth.planted_share == 0.0);
        assert!((1..=3).contains(&one.distractors.len()));
        for effect in one.truth.unaffected.iter().filter(|e| e.requests > 200) {
            let ratio = effect.window_ms / effect.reference_ms;
            assert!((0.8..1.25).contains(&ratio), "{seed} {effect:?} {:?}", one.distractors);
            // One recommendation page in ten fails at all times.
            assert!(effect.window_failed - effect.reference_failed < 0.06, "{effect:?}");
        }
    }
}

#[test]
fn users_do_not_notice_harmless_changes() {
    for seed in 0..64 {
        let one = scenario(seed, &Size::default());
        let all = one.truth.affected.iter().chain(&one.truth.unaffected);
        for effect in all.filter(|effect| effect.requests > 200) {
            let harmless = Effect {
                window_ms: effect.without_ms,
                without_ms: effect.reference_ms,
                ..effect.clone()
            };
            assert!(!harmless.is_slow(), "{seed} {effect:?} {:?}", one.distractors);
        }
    }
}

#[test]
fn the_cost_of_a_fault_is_what_its_operations_lose() {
    for seed in [0, 2, 3, 5, 9, 11] {
        let one = scenario(seed, &short());
        let [fault] = &one.truth.faults[..] else { panic!("one fault") };
        let all: Vec<&Effect> = one.truth.affected.iter().chain(&one.truth.unaffected).collect();
        let sum = |of: &dyn Fn(&Effect) -> f64| -> f64 {
            all.iter().map(|effect| of(effect) * effect.requests as f64).sum()
        };
        let requests = one.truth.mean.requests as f64;
        let added = 1e6 * sum(&Effect::added_ms) / requests;
        assert!((fault.overall.added_ns - added).abs() < 1.0 + 1e-6 * added.abs(), "{seed}");
        assert!((one.truth.mean.added_ns - added).abs() < 1.0 + 1e-6 * added.abs(), "{seed}");
        assert!((fault.overall.failed - sum(&Effect::added_failures)).abs() < 1e-6, "{seed}");
        assert!(fault.overall.affected > 0.0 && fault.overall.affected <= 1.0);
        assert_eq!(fault.share, 1.0);
        // Entries and places add up to the whole.
        let entries: f64 =
            fault.entries.iter().map(|e| e.cost.added_ns * e.requests as f64).sum::<f64>();
        assert!((entries / requests - added).abs() < 0.02 * added.abs() + 1e3, "{seed}");
        let parts: f64 = one.truth.mean.parts.iter().map(|part| part.added_ns).sum();
        assert!((parts - added).abs() < 0.15 * added.abs() + 1e5, "{seed} {parts} {added}");
    }
}

#[test]
fn a_healthy_scenario_has_no_cost() {
    let one = scenario_of(5, None, &short());
    assert!(one.truth.faults.is_empty() && one.truth.fault.is_none());
    assert_eq!((one.truth.mean.added_ns, one.truth.mean.parts.len()), (0.0, 0));
}

#[test]
fn two_faults_are_apart_and_both_are_felt() {
    let mut kinds = BTreeSet::new();
    for seed in 0..12 {
        let one = scenario_pair(seed, &short());
        let [first, second] = &one.truth.faults[..] else { panic!("two faults: {seed}") };
        assert_ne!(first.fault, second.fault);
        assert_ne!(first.entity, second.entity);
        assert!(first.share >= second.share && second.share > 0.0, "{seed}");
        assert!((first.share + second.share - 1.0).abs() < 1e-9);
        assert_eq!((Some(first.fault), &first.entity), (one.truth.fault, &one.truth.entity));
        // What each of them adds is together what both add.
        let added = first.overall.added_ns + second.overall.added_ns;
        assert!((added - one.truth.mean.added_ns).abs() < 1.0, "{seed}");
        kinds.extend([first.fault, second.fault]);
    }
    assert!(kinds.len() >= 12 && !kinds.contains(&Incident::TrafficSurge), "{kinds:?}");
}

#[test]
fn a_pair_holds_each_fault_as_it_is_alone() {
    // Two faults on the ways of different requests do not meet: each costs what it costs alone.
    let mut one = draw::draw(6, Some(Incident::Lock), &short());
    let lock = crate::catalogue::statements::Stmt::StockReserve.facts().text;
    let edge = Place::Edge("web-frontend".into(), "search".into());
    let range = TimeRange::new(one.window.from(), one.window.to()).unwrap();
    one.shop.coincidences.clear();
    one.faults = vec![
        Fault::new(Incident::Lock, Place::Statement(lock.into()), 900.0, range),
        Fault::new(Incident::NetworkDelay, edge, 90.0, range),
    ];
    one.shop.faults.clone_from(&one.faults);
    let both = measure::measure(&one);
    for at in 0..2 {
        let alone = measure::measure(&one.alone(at));
        assert_eq!(both.costs[at].overall, alone.costs[0].overall);
        assert_eq!(both.costs[at].entries, alone.costs[0].entries);
    }
}

/// Mean time of the requests of an entry operation as the gateway's spans have it.
fn sent_ms(shop: &ShopConfig, range: TimeRange, operation: &str) -> (u64, f64) {
    let shop = ShopConfig { orphans_ppm: 0, ..shop.clone() };
    let slice = Shop::with_config(shop).slice(range);
    let spans = slice.traces.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
    let roots = spans
        .flat_map(|s| &s.spans)
        .filter(|s| s.parent_span_id.is_empty() && s.name == operation && s.kind == 2);
    let (mut count, mut sum) = (0, 0);
    for root in roots {
        count += 1;
        sum += root.end_time_unix_nano - root.start_time_unix_nano;
    }
    (count, sum as f64 / 1e6 / f64::max(count as f64, 1.0))
}

#[test]
fn the_truth_is_the_difference_between_two_shops() {
    for seed in [0, 1, 2, 4, 5, 6, 7, 8, 10, 11] {
        let one = scenario(seed, &short());
        let without = ShopConfig { faults: Vec::new(), ..one.shop.clone() };
        let Some(worst) = one.truth.affected.first() else { continue };
        let faulty = sent_ms(&one.shop, one.window, &worst.operation);
        let healthy = sent_ms(&without, one.window, &worst.operation);
        assert_eq!((faulty.0, healthy.0), (worst.requests, worst.requests), "the same requests");
        assert!((faulty.1 - worst.window_ms).abs() < 1e-3, "{} {worst:?}", faulty.1);
        assert!((healthy.1 - worst.without_ms).abs() < 1e-3, "{} {worst:?}", healthy.1);
        // The places add up to what the requests lost.
        let listed: f64 = one.truth.excess.iter().map(|e| e.excess_ms).sum();
        let slow = one.truth.affected.iter().map(|e| e.added_ms() * e.requests as f64).sum::<f64>();
        assert!((listed / slow - 1.0).abs() < 0.15, "{seed} {listed} {slow}");
    }
}

#[test]
fn requests_beside_the_fault_are_as_they_would_have_been() {
    // A lock on stock rows concerns the checkout alone.
    let mut one = draw::draw(6, Some(Incident::Lock), &short());
    let text = crate::catalogue::statements::Stmt::StockReserve.facts().text;
    let range = TimeRange::new(one.window.from(), one.window.to()).unwrap();
    one.faults = vec![Fault::new(Incident::Lock, Place::Statement(text.into()), 900.0, range)];
    one.shop.faults.clone_from(&one.faults);
    let measured = measure::measure(&one);
    assert_eq!(measured.affected.len(), 1);
    assert_eq!(measured.affected[0].operation, "POST /checkout");
    for effect in &measured.unaffected {
        assert!(effect.added_ms().abs() < 1e-9, "{effect:?}");
        assert!(effect.added_failures().abs() < 1e-9, "{effect:?}");
    }
}

#[test]
fn no_fault_shows_in_which_metrics_exist() {
    let names = |seed: u64| -> BTreeSet<String> {
        let one = draw::draw(seed, kind(seed), &short());
        let slice = Shop::with_config(one.shop).slice(one.window);
        let metrics = slice.metrics.into_iter().flat_map(|r| r.resource_metrics);
        let metrics = metrics.flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
        metrics.map(|m| m.name).collect()
    };
    let healthy = names(13);
    assert!(healthy.len() > 60, "{}", healthy.len());
    for seed in 0..13 {
        assert_eq!(names(seed), healthy, "{:?}", kind(seed));
    }
}

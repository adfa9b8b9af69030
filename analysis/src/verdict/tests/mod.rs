use headrope_model::SpanId;
use proptest::prelude::*;

use super::*;
use crate::dependency::Outcomes;
use crate::ledger::{Peer, Profile, ProfileBuilder};
use crate::trace::{CallChain, SpanKind, SpanRecord, SpanStatus, assemble};

mod failures;

const MS: i64 = 1_000_000;

/// A shop of three services and a store; times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Shop {
    front: i64,
    cart: i64,
    price: i64,
    /// The ways from the front and from the cart.
    way: [i64; 3],
    statements: i64,
    statement: i64,
    /// The cart ends after asking the price.
    ends_early: bool,
    fails: bool,
    /// Its statements fail, and the cart guesses instead.
    refused: bool,
}

const USUAL: Shop = Shop {
    front: 10,
    cart: 8,
    price: 5,
    way: [2, 2, 2],
    statements: 2,
    statement: 4,
    ends_early: false,
    fails: false,
    refused: false,
};

struct Trace(Vec<SpanRecord>);

impl Trace {
    fn push(
        &mut self,
        parent: u64,
        service: &str,
        name: &str,
        kind: SpanKind,
        start: i64,
        length: i64,
    ) -> u64 {
        let id = self.0.len() as u64 + 1;
        self.0.push(SpanRecord {
            span_id: SpanId::from_bytes(&id.to_be_bytes()).unwrap(),
            parent_span_id: (parent > 0)
                .then(|| SpanId::from_bytes(&parent.to_be_bytes()).unwrap()),
            kind,
            status: SpanStatus::Unset,
            service: service.into(),
            host: "one".into(),
            name: name.into(),
            start_ns: 1_700_000_000_000 * MS + start,
            duration_ns: length,
            source: 0,
        });
        id
    }
}

/// A request, its times off by up to a tenth.
fn request(shop: Shop, noise: u64) -> CallChain {
    use SpanKind::{Client, Server};
    let mut dice = noise.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut time = |ms: i64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        ms * MS * (95 + i64::try_from(dice % 11).unwrap()) / 100
    };
    let [to_cart, to_price, to_price_again] = shop.way.map(&mut time);
    let (front, cart, price, again) =
        (time(shop.front), time(shop.cart), time(shop.price), time(shop.price));
    let statements: Vec<i64> = (0..if shop.ends_early { 0 } else { shop.statements })
        .map(|_| time(shop.statement))
        .collect();
    let inner = cart + price + 2 * to_price + statements.iter().sum::<i64>();
    let all = front + inner + 2 * to_cart + again + 2 * to_price_again;
    let mut trace = Trace(Vec::new());
    let root = trace.push(0, "front", "GET /cart", Server, 0, all);
    let call = trace.push(root, "front", "cart.Get", Client, front / 2, inner + 2 * to_cart);
    let get = trace.push(call, "cart", "cart.Get", Server, front / 2 + to_cart, inner);
    let mut at = front / 2 + to_cart + cart / 2;
    let ask = trace.push(get, "cart", "price.Of", Client, at, price + 2 * to_price);
    trace.push(ask, "price", "price.Of", Server, at + to_price, price);
    at += price + 2 * to_price;
    for length in statements {
        trace.push(get, "cart", "SELECT items", Client, at, length);
        at += length;
    }
    if shop.refused {
        for statement in trace.0.iter_mut().filter(|span| &*span.name == "SELECT items") {
            statement.status = SpanStatus::Error;
        }
        trace.push(get, "cart", "guess", SpanKind::Internal, at - MS, MS);
    }
    let at = front / 2 + inner + 2 * to_cart;
    let ask = trace.push(root, "front", "price.Sum", Client, at, again + 2 * to_price_again);
    trace.push(ask, "price", "price.Sum", Server, at + to_price_again, again);
    if shop.fails {
        for span in trace.0.iter_mut().take(3) {
            span.status = SpanStatus::Error;
        }
    }
    assemble(trace.0)
}

fn requests(n: u64, seed: u64, shop: impl Fn(u64) -> Shop) -> Profile {
    asking(n, seed, true, shop)
}

/// Requests that ask a store, or something outside.
fn asking(n: u64, seed: u64, is_store: bool, shop: impl Fn(u64) -> Shop) -> Profile {
    let mut profile = ProfileBuilder::default();
    for at in 0..n {
        let remote = |node: &crate::trace::Node| {
            (&*node.name == "SELECT items").then(|| Peer {
                name: "mysql shop".into(),
                is_store,
                statement: Some("SELECT items".into()),
            })
        };
        profile.add(&request(shop(at), seed * 1000 + at + 1), remote, |_| None);
    }
    profile.finish()
}

fn inputs(shop: Shop, seed: u64) -> Inputs {
    Inputs {
        reference: requests(120, seed, |_| USUAL),
        window: requests(100, seed + 7, |_| shop),
        load: 1.0,
        ..Inputs::default()
    }
}

fn service(name: &str) -> Node {
    Node::Service(name.into())
}

#[test]
fn planted_faults_are_found() {
    let store = Node::Peer("mysql shop".into());
    let faults = [
        (Shop { cart: 60, ..USUAL }, service("cart"), Cause::Unknown),
        (Shop { way: [30, 2, 2], ..USUAL }, service("cart"), Cause::Network),
        (Shop { way: [2, 30, 30], ..USUAL }, service("price"), Cause::Network),
        (Shop { statement: 50, ..USUAL }, store, Cause::Statement),
        (Shop { statements: 20, ..USUAL }, service("cart"), Cause::MoreCalls),
        (Shop { ends_early: true, ..USUAL }, service("cart"), Cause::Code),
        (Shop { fails: true, ..USUAL }, service("cart"), Cause::Code),
    ];
    for (shop, node, cause) in faults {
        let found = judge(&inputs(shop, 3));
        let first = found.culprits.first().unwrap();
        assert!(found.is_confident, "{shop:?}: {first:?}");
        assert_eq!((&first.suspect.node, first.cause), (&node, cause), "{shop:?}: {found:?}");
        assert_eq!(found.action, cause.action());
    }
}

#[test]
fn what_requests_can_do_without_is_degraded() {
    let slow = Shop { statement: 50, ..USUAL };
    let of = |outcomes: &[(u64, bool)]| {
        let mut failing = Outcomes::default();
        for (times, fails) in outcomes {
            (0..*times).for_each(|_| failing.observe(true, *fails));
        }
        judge(&Inputs {
            reference: asking(120, 3, false, |_| USUAL),
            window: asking(100, 10, false, |_| slow),
            failing: [("mysql shop".into(), failing)].into(),
            load: 1.0,
            ..Inputs::default()
        })
    };
    let weak = of(&[(30, false), (1, true)]);
    assert_eq!(weak.culprits.first().map(|first| first.cause), Some(Cause::External));
    assert_eq!(weak.action, Action::DegradeDependency);
    assert_eq!(of(&[(1, false), (30, true)]).action, Action::WaitForExternal);
    // Too few failures to know.
    assert_eq!(of(&[(3, false)]).action, Action::WaitForExternal);
    assert_eq!(of(&[]).action, Action::WaitForExternal);
}

#[test]
fn a_version_does_not_slow_the_way_of_one_caller() {
    let release = Release {
        service: "price".into(),
        told: Told::Version,
        version: "2".into(),
        before: vec!["1".into()],
    };
    let with = |way| {
        let releases = vec![release.clone()];
        let found = judge(&Inputs { releases, ..inputs(Shop { way, ..USUAL }, 3) });
        let first = found.culprits.first().unwrap();
        (first.suspect.node.clone(), first.cause)
    };
    assert_eq!(with([2, 30, 2]), (service("price"), Cause::Network));
    assert_eq!(with([2, 30, 30]), (service("price"), Cause::Release));
}

#[test]
fn the_instance_that_a_slow_way_leads_to_is_named() {
    let requests = |n: u64, seed: u64, way: i64| {
        let mut profile = ProfileBuilder::default();
        for at in 0..n {
            let of_two = if at % 2 == 0 { "price-1" } else { "price-2" };
            let slow = if at % 2 == 0 { 2 } else { way };
            let chain = request(Shop { way: [2, slow, slow], ..USUAL }, seed * 1000 + at + 1);
            let place =
                |node: &crate::trace::Node| (&*node.service == "price").then(|| of_two.into());
            profile.add(&chain, |_| None, place);
        }
        profile.finish()
    };
    let found = judge(&Inputs {
        reference: requests(120, 3, 2),
        window: requests(100, 10, 60),
        load: 1.0,
        ..Inputs::default()
    });
    let first = found.culprits.first().unwrap();
    assert_eq!((&first.suspect.node, first.cause), (&service("price"), Cause::Network));
    assert_eq!(first.instance.as_deref(), Some("price-2"));
}

#[test]
fn a_surge_uses_more_cpu_and_leaves_more_garbage() {
    let mut surge = inputs(Shop { cart: 60, ..USUAL }, 4);
    surge.load = 3.0;
    assert_eq!(judge(&surge).action, Action::ThrottleCaller);
    // More requests leave more garbage, but not ten times as much.
    for (window, action) in [(0.06, Action::ThrottleCaller), (0.2, Action::RaiseLimit)] {
        let garbage = Reading {
            measure: Measure::Gc,
            owner: Owner::Service("cart".into(), None),
            metric: String::new(),
            reference: Some(0.02),
            window,
            spread: None,
        };
        surge.readings = vec![garbage];
        assert_eq!(judge(&surge).action, action, "{window}");
    }
}

#[test]
fn readings_tell_causes_apart() {
    let slow = Shop { cart: 60, ..USUAL };
    let of = |measure, reference, window| {
        let reading = Reading {
            measure,
            owner: Owner::Service("cart".into(), None),
            metric: String::new(),
            reference: Some(reference),
            window,
            spread: None,
        };
        let found = judge(&Inputs { readings: vec![reading], ..inputs(slow, 4) });
        let first = found.culprits.into_iter().next().unwrap();
        (first.cause, first.readings)
    };
    assert_eq!(of(Measure::Gc, 0.01, 0.4), (Cause::GarbageCollection, vec![0]));
    assert_eq!(of(Measure::PoolPending, 0.0, 9.0), (Cause::Pool, vec![0]));
    assert_eq!(of(Measure::Cpu, 0.5, 1.9), (Cause::Cpu, vec![0]));
    assert_eq!(of(Measure::MemoryUsed, 0.5, 0.99), (Cause::Memory, vec![0]));
    assert_eq!(of(Measure::Memory, 1e8, 9e8), (Cause::Memory, vec![0]));
    assert_eq!(of(Measure::DiskBusy, 1e3, 9e6), (Cause::Disk, vec![0]));
    // A collector that works four times as long and still next to never proves nothing.
    assert_eq!(of(Measure::Gc, 0.001, 0.004), (Cause::Unknown, vec![]));
    // What did not change proves nothing.
    assert_eq!(of(Measure::Gc, 0.4, 0.41), (Cause::Unknown, vec![]));
    // Where memory is as before, or far from its limit, CPU is what is left.
    assert_eq!(of(Measure::Memory, 1e8, 1.02e8), (Cause::Cpu, vec![]));
    assert_eq!(of(Measure::MemoryUsed, 0.5, 0.7), (Cause::Cpu, vec![]));
    assert_eq!(of(Measure::MemoryUsed, 0.5, 0.9), (Cause::Unknown, vec![]));
    let release = Release {
        service: "cart".into(),
        told: Told::ReplicaSet,
        version: "2".into(),
        before: vec!["1".into()],
    };
    let other = Release { service: "price".into(), ..release.clone() };
    let with = |releases| {
        let memory = Reading {
            measure: Measure::Memory,
            owner: Owner::Service("cart".into(), None),
            metric: String::new(),
            reference: Some(1e8),
            window: 1e8,
            spread: None,
        };
        judge(&Inputs { releases, readings: vec![memory], ..inputs(slow, 4) }).action
    };
    assert_eq!(with(vec![release.clone()]), Action::RollBack);
    // A release that meets a surge is none of its cause if the CPU grew with the requests, and is if it grew by far more.
    let surge = |cpu| {
        let reading = Reading {
            measure: Measure::Cpu,
            owner: Owner::Service("cart".into(), None),
            metric: String::new(),
            reference: Some(0.5),
            window: 0.5 * cpu,
            spread: None,
        };
        let (readings, releases) = (vec![reading], vec![release.clone()]);
        judge(&Inputs { readings, releases, load: 3.0, ..inputs(slow, 4) }).action
    };
    assert_eq!(surge(3.0), Action::ThrottleCaller);
    assert_eq!(surge(9.0), Action::RollBack);
    assert_eq!(with(vec![other]), Action::ScaleOut);
}

#[test]
fn a_neighbour_is_to_blame_for_what_it_takes() {
    let reading = |measure, owner, reference, window| Reading {
        measure,
        owner,
        metric: String::new(),
        reference,
        window,
        spread: None,
    };
    let host = || Owner::Host("one".into());
    let judged = |others: f64, own: f64| {
        let readings = vec![
            reading(Measure::CpuBusy, host(), Some(0.3), 0.97),
            reading(Measure::OtherContainers, host(), Some(0.01), others),
            reading(Measure::Cpu, Owner::Service("price".into(), None), Some(0.5), own),
        ];
        let hosts = ["cart", "price"].map(|name| (name.into(), vec!["one".into()]));
        let slow = inputs(Shop { cart: 60, ..USUAL }, 4);
        let found = judge(&Inputs { readings, hosts: hosts.into(), ..slow });
        found.culprits.first().map(|culprit| culprit.cause)
    };
    assert_eq!(judged(2.5, 0.5), Some(Cause::NoisyNeighbour));
    // Another service of the same host takes it; the neighbour twice of nothing.
    assert_eq!(judged(0.02, 2.5), Some(Cause::Cpu));
}

#[test]
fn a_host_harms_all_that_run_on_it() {
    let busy = Reading {
        measure: Measure::CpuBusy,
        owner: Owner::Host("one".into()),
        metric: String::new(),
        reference: Some(0.3),
        window: 0.97,
        spread: None,
    };
    // Each of the three takes a little longer, none a tenth of a request.
    let slow = Shop { front: 14, cart: 12, price: 7, ..USUAL };
    let judged = |hosts: &[&str]| {
        let hosts = hosts.iter().map(|name| ((*name).into(), vec!["one".into()]));
        judge(&Inputs { readings: vec![busy.clone()], hosts: hosts.collect(), ..inputs(slow, 4) })
    };
    let together = judged(&["front", "cart", "price"]);
    let harms: Vec<f64> = together.culprits.iter().map(|c| c.suspect.harm).collect();
    assert!(harms.iter().all(|harm| *harm < 0.1) && harms.iter().sum::<f64>() > 0.1, "{harms:?}");
    assert!(together.is_confident && together.action == Action::ScaleOut, "{together:?}");
    // If one of them runs elsewhere, the others come before it, though it may harm more than each.
    let without = judged(&["cart", "price"]);
    let on_it = |c: &Culprit| c.suspect.node != service("front");
    assert!(without.culprits.first().is_some_and(on_it), "{:?}", without.culprits);
}

#[test]
fn more_calls_harm_the_requests_that_make_them() {
    // One request in ten is a page; the others take much longer.
    let others = |n: u64| {
        let mut profile = ProfileBuilder::default();
        for _ in 0..n {
            let mut trace = Trace(Vec::new());
            trace.push(0, "front", "report", SpanKind::Server, 0, 900 * MS);
            profile.add(&assemble(trace.0), |_| None, |_| None);
        }
        profile.finish()
    };
    let with_others = |mut pages: Profile, n: u64| {
        pages.merge(&others(n));
        pages
    };
    let found = judge(&Inputs {
        reference: with_others(requests(120, 3, |_| USUAL), 1080),
        window: with_others(requests(100, 10, |_| Shop { statements: 20, ..USUAL }), 900),
        load: 1.0,
        ..Inputs::default()
    });
    let first = found.culprits.first().unwrap();
    assert_eq!((&first.suspect.node, first.cause), (&service("cart"), Cause::MoreCalls));
    // Eighteen statements of four milliseconds more on a request of some forty.
    assert!(found.is_confident && first.suspect.calls > 1.0, "{first:?}");
}

#[test]
fn few_requests_say_nothing() {
    let mut few = inputs(Shop { cart: 60, ..USUAL }, 5);
    few.window = requests(20, 1, |_| Shop { cart: 60, ..USUAL });
    let found = judge(&few);
    assert!(!found.is_confident && found.abstains.is_some());
    assert_eq!(found.action, Action::Unknown);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_is_blamed_for_chance(seed in 0_u64..1_000_000) {
        let found = judge(&inputs(USUAL, seed));
        prop_assert!(!found.is_confident, "{:?}", found.culprits.first());
        prop_assert_eq!(found.action, Action::None);
        // Nor if somebody's signal is raised meanwhile.
        let readings = ["front", "cart", "price"].map(|name| Reading {
            measure: Measure::Gc,
            owner: Owner::Service(name.into(), None),
            metric: String::new(),
            reference: Some(0.01),
            window: 0.4,
            spread: None,
        });
        let found = judge(&Inputs { readings: readings.to_vec(), ..inputs(USUAL, seed) });
        prop_assert!(!found.is_confident, "{:?}", found.culprits.first());
    }

    #[test]
    fn shares_are_of_one(seed in 0_u64..1_000_000, cart in 1_i64..80, way in 1_i64..40) {
        let found = judge(&inputs(Shop { cart, way: [way, 2, 2], ..USUAL }, seed));
        let shares: f64 = found.culprits.iter().map(|culprit| culprit.share).sum();
        prop_assert!(found.culprits.is_empty() || (shares - 1.0).abs() < 1e-9, "{}", shares);
        for culprit in &found.culprits {
            prop_assert!((0.0..=1.0).contains(&culprit.confidence), "{:?}", culprit);
        }
    }
}

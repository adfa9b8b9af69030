use std::collections::BTreeMap;

use proptest::prelude::*;

use headrope_model::SpanId;

use super::*;
use crate::trace::{CallChain, Node, SpanKind, SpanRecord, SpanStatus, assemble};

const MS: i64 = 1_000_000;

/// A span by number: its parent's number, service, name, kind, start and duration in milliseconds.
type Plan = (u64, u64, &'static str, &'static str, SpanKind, i64, i64);

fn records(plans: &[Plan]) -> Vec<SpanRecord> {
    let record = |plan: &Plan| {
        let (id, parent, service, name, kind, start, duration) = *plan;
        SpanRecord {
            span_id: SpanId::from_bytes(&id.to_be_bytes()).unwrap(),
            parent_span_id: (parent > 0)
                .then(|| SpanId::from_bytes(&parent.to_be_bytes()).unwrap()),
            kind,
            status: SpanStatus::Unset,
            service: service.into(),
            host: "one".into(),
            name: name.into(),
            start_ns: 1_700_000_000_000 * MS + start * MS,
            duration_ns: duration * MS,
            source: 0,
        }
    };
    plans.iter().map(record).collect()
}

fn chain(plans: &[Plan]) -> CallChain {
    assemble(records(plans))
}

/// Clients without a child of another service call a database.
fn remote(node: &Node) -> Option<Peer> {
    (node.kind == SpanKind::Client).then(database)
}

fn database() -> Peer {
    Peer { name: "db".into(), is_store: true, statement: Some("SELECT".into()) }
}

fn profile(chains: &[CallChain]) -> Profile {
    let mut profile = ProfileBuilder::default();
    for chain in chains {
        profile.add(chain, remote, |_| None);
    }
    profile.finish()
}

/// A page of a shop: the front asks the cart, which asks its database so many times for so long.
fn page(way: i64, asks: i64, each: i64, own: i64) -> CallChain {
    use SpanKind::{Client, Server};
    let served = own + asks * each;
    let mut plans: Vec<Plan> = vec![
        (1, 0, "front", "GET /cart", Server, 0, 10 + served + 2 * way),
        (2, 1, "front", "cart.Get", Client, 5, served + 2 * way),
        (3, 2, "cart", "cart.Get", Server, 5 + way, served),
    ];
    plans.extend((0..asks).map(|n| {
        let id = u64::try_from(n).unwrap() + 4;
        (id, 3, "cart", "SELECT", Client, 5 + way + own + n * each, each)
    }));
    chain(&plans)
}

fn part(service: &str, name: &str, wait: Wait) -> Part {
    Part { operation: Operation { service: service.into(), name: name.into() }, wait }
}

fn excess(ledger: &Ledger, part: &Part) -> f64 {
    ledger.lines.iter().find(|line| line.part == *part).map_or(0.0, |line| line.excess_ns)
}

fn pages(n: usize, make: impl Fn(i64) -> CallChain) -> Profile {
    profile(&(0..n).map(|at| make(i64::try_from(at).unwrap() % 3)).collect::<Vec<_>>())
}

#[test]
fn the_extra_time_is_its_parts() {
    let reference = pages(60, |n| page(2, 2, 5, 7 + n));
    let ms = MS as f64;
    let statement = part("cart", "SELECT", Wait::Remote(database()));
    let way = part("front", "cart.Get", Wait::Way("cart".into()));
    let work = part("cart", "cart.Get", Wait::Work);
    for (changed, guilty, by_count, by_time) in [
        (pages(40, |n| page(2, 2, 25, 7 + n)), &statement, 0.0, 40.0),
        (pages(40, |n| page(2, 12, 5, 7 + n)), &statement, 50.0, 0.0),
        (pages(40, |n| page(32, 2, 5, 7 + n)), &way, 0.0, 60.0),
        (pages(40, |n| page(2, 2, 5, 107 + n)), &work, 0.0, 100.0),
    ] {
        let found = ledger(&reference, &changed);
        let first = found.lines.first().unwrap();
        assert_eq!(&first.part, guilty);
        // The times of 60 and of 40 pages have means that differ by a fraction of a millisecond.
        assert!((first.by_count_ns / ms - by_count).abs() < 0.1, "{first:?}");
        assert!((first.by_time_ns / ms - by_time).abs() < 0.1, "{first:?}");
        assert!((found.excess_ns / ms - by_count - by_time).abs() < 0.1);
        assert!(first.z == 0.0 || first.z > 5.0, "{first:?}");
        assert_eq!(found.compared, (40, 40));
    }
    assert!(excess(&ledger(&reference, &reference), &work).abs() < 1.0);
}

/// A request of one service whose three operations each take `more` longer now and then, by turns or together.
fn jittery(n: i64, more: i64, together: bool) -> CallChain {
    use SpanKind::{Internal, Server};
    let turn = n % 3;
    let own = |at: i64| 20 + more + if together || turn == at { 10 * turn } else { 0 };
    let (a, b, c) = (own(0), own(1), own(2));
    chain(&[
        (1, 0, "cart", "GET /cart", Server, 0, a + b + c),
        (2, 1, "cart", "load", Internal, a, b),
        (3, 1, "cart", "render", Internal, a + b, c),
    ])
}

#[test]
fn all_work_of_a_service_is_surer_than_the_surest_of_it() {
    let of = |n: i64, more, together| {
        profile(&(0..n).map(|n| jittery(n, more, together)).collect::<Vec<_>>())
    };
    let of_ledger = |together| {
        let found = ledger(&of(60, 0, together), &of(45, 3, together));
        assert_eq!(found.lines.len(), 3);
        let surest = found.lines.iter().map(|line| line.z).fold(0.0, f64::max);
        (surest, found.work_z["cart"])
    };
    // Nine milliseconds in all; the variance of a sum is not the sum of variances when operations are slow together.
    let of_sum = |variance: f64| 9.0 / (variance / 59.0 + variance / 44.0).sqrt();
    let (surest, together) = of_ledger(true);
    let thirds = 2.0 / 3.0 * 30.0_f64.powi(2);
    assert!((together - of_sum(thirds)).abs() < 0.05 * together, "{together} {surest}");
    let (surest, apart) = of_ledger(false);
    assert!(apart > surest && apart > together, "{apart} {surest} {together}");
}

#[test]
fn calls_without_a_kind_are_told_by_who_answers() {
    use SpanKind::Unspecified as Any;
    let chain = chain(&[
        (1, 0, "front", "page", Any, 0, 100),
        (2, 1, "front", "cart.Get", Any, 10, 60),
        (3, 2, "cart", "cart.Get", Any, 30, 20),
        (4, 1, "front", "render", Any, 80, 10),
    ]);
    let found = profile(&[chain]);
    let (_, entry) = found.entries.first_key_value().unwrap();
    let times = entry.parts.iter().map(|(part, sum)| (part.clone(), sum.time_ns / MS as f64));
    let expected = [
        (part("cart", "cart.Get", Wait::Work), 20.0),
        (part("front", "cart.Get", Wait::Way("cart".into())), 40.0),
        (part("front", "page", Wait::Work), 30.0),
        (part("front", "render", Wait::Work), 10.0),
    ];
    assert_eq!(times.collect::<Vec<_>>(), expected);
}

#[test]
fn another_mix_is_nobodys_fault() {
    let slow = |_| chain(&[(1, 0, "front", "report", SpanKind::Server, 0, 900)]);
    let fast = |n: i64| page(2, 2, 5, 7 + n);
    let (mut reference, mut window) = (pages(90, fast), pages(30, fast));
    reference.merge(&pages(10, slow));
    window.merge(&pages(70, slow));
    let found = ledger(&reference, &window);
    assert!(found.excess_ns.abs() < 0.05 * MS as f64, "{}", found.excess_ns);
    assert_eq!(found.entries.iter().map(|e| e.requests).collect::<Vec<_>>(), [(90, 30), (10, 70)]);
}

#[test]
fn what_a_handler_no_longer_does_is_its_change() {
    use SpanKind::{Client, Server};
    let whole = |_| page(2, 1, 5, 7);
    let early = |n: i64| match n {
        0 => page(2, 1, 5, 7),
        _ => chain(&[
            (1, 0, "front", "GET /cart", Server, 0, 20),
            (2, 1, "front", "cart.Get", Client, 5, 10),
            (3, 2, "cart", "cart.Get", Server, 6, 5),
        ]),
    };
    let changes = shapes(&pages(60, whole), &pages(60, early));
    let names: Vec<_> = changes.iter().map(|c| (&*c.parent.service, &*c.child.name)).collect();
    assert_eq!(names, [("cart", "SELECT")]);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((change.reference, change.spans), (1.0, (60, 60)));
    assert!((change.window - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(shapes(&pages(60, whole), &pages(60, whole)), []);
}

#[test]
fn failures_begin_where_the_chain_of_errors_ends() {
    use SpanKind::{Client, Server};
    let plans = [
        (1, 0, "front", "GET /cart", Server, 0, 50),
        (2, 1, "front", "cart.Get", Client, 5, 30),
        (3, 2, "cart", "cart.Get", Server, 6, 28),
        (4, 3, "cart", "SELECT", Client, 8, 5),
        (5, 3, "cart", "render", SpanKind::Internal, 20, 5),
    ];
    let mut spans = records(&plans);
    // The statement failed and was tried again; what broke the request came after it.
    for (at, failed) in [(0, true), (1, true), (2, true), (3, true), (4, true)] {
        spans[at].status = if failed { SpanStatus::Error } else { SpanStatus::Ok };
    }
    let found = profile(&[assemble(spans)]);
    let (_, entry) = found.entries.first_key_value().unwrap();
    assert_eq!(entry.failed, 1);
    assert_eq!(entry.failures.keys().collect::<Vec<_>>(), [&part("cart", "render", Wait::Work)]);
}

/// Any tree of spans, in any order.
fn any_chain() -> impl Strategy<Value = Vec<SpanRecord>> {
    let span =
        (0_u64..12, 0_usize..4, 0_usize..3, 0_usize..4, -50_i64..400, 0_i64..300, any::<bool>());
    prop::collection::vec(span, 1..12).prop_map(|spans| {
        const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
        const NAMES: [&str; 3] = ["get", "put", "list"];
        const KINDS: [SpanKind; 4] =
            [SpanKind::Server, SpanKind::Client, SpanKind::Internal, SpanKind::Unspecified];
        let spans = spans.into_iter().enumerate().map(|(at, span)| {
            let (parent, service, name, kind, start, duration, failed) = span;
            let id = at as u64 + 1;
            let parent = if at == 0 { 0 } else { parent % id };
            let plan = (id, parent, SERVICES[service], NAMES[name], KINDS[kind], start, duration);
            let mut record = records(&[plan]).remove(0);
            record.status = if failed { SpanStatus::Error } else { SpanStatus::Unset };
            record
        });
        spans.collect()
    })
}

/// Whether the work of services is what their parts come to, request by request.
fn works_as_alone(all: &Profile, chains: &[CallChain]) -> bool {
    let mut expected: BTreeMap<(Entry, Arc<str>), (f64, f64)> = BTreeMap::new();
    for one in chains.iter().map(|chain| profile(std::slice::from_ref(chain))) {
        let mut of_request: BTreeMap<(Entry, Arc<str>), f64> = BTreeMap::new();
        for (entry, sums) in &one.entries {
            for (part, sum) in sums.parts.iter().filter(|(part, _)| part.wait == Wait::Work) {
                let key = (entry.clone(), part.operation.service.clone());
                *of_request.entry(key).or_default() += sum.time_ns;
            }
        }
        for (key, time) in of_request {
            let sums = expected.entry(key).or_default();
            *sums = (sums.0 + time, sums.1 + time * time);
        }
    }
    let of = |entry: &Entry| all.entries.get(entry).map(|sums| &sums.work);
    let found: usize = all.entries.values().map(|sums| sums.work.len()).sum();
    let close = |a: f64, b: f64| (a - b).abs() <= 1.0 + 1e-9 * b;
    found == expected.len()
        && expected.iter().all(|((entry, service), (time, square))| {
            let sum = of(entry).and_then(|work| work.get(service));
            sum.is_some_and(|sum| close(sum.time_ns, *time) && close(sum.square_ns, *square))
        })
}

proptest! {
    #[test]
    fn parts_and_lines_add_up(
        reference in prop::collection::vec(any_chain(), 1..8),
        window in prop::collection::vec(any_chain(), 1..8),
        turn in any::<prop::sample::Index>(),
    ) {
        let chains = |all: &[Vec<SpanRecord>]| all.iter().cloned().map(assemble).collect::<Vec<_>>();
        let (was, is) = (profile(&chains(&reference)), profile(&chains(&window)));
        for entry in was.entries.values().chain(is.entries.values()) {
            let parts: f64 = entry.parts.values().map(|sum| sum.time_ns).sum();
            prop_assert!((parts - entry.time_ns).abs() <= 1.0 + 1e-9 * entry.time_ns);
            prop_assert_eq!(entry.failures.values().sum::<u64>(), entry.failed);
        }
        prop_assert!(works_as_alone(&was, &chains(&reference)));
        let found = ledger(&was, &is);
        prop_assert!(found.work_z.values().all(|z| z.is_finite()));
        let lines: f64 = found.lines.iter().map(|line| line.excess_ns).sum();
        prop_assert!((lines - found.excess_ns).abs() <= 1.0, "{} {}", lines, found.excess_ns);
        for line in &found.lines {
            prop_assert!((line.by_count_ns + line.by_time_ns - line.excess_ns).abs() < 1e-3);
            prop_assert!(line.z.is_finite());
            // Typical times are no longer than mean ones.
            let takes: f64 = is.entries.values().filter_map(|e| e.parts.get(&line.part)).map(|p| p.time_ns).sum();
            prop_assert!((0.0..=takes).contains(&line.gain_ns), "{} of {}", line.gain_ns, takes);
        }
        // The order of requests and of spans is nothing.
        let turned: Vec<Vec<SpanRecord>> = window
            .iter()
            .rev()
            .map(|spans| {
                let mut spans = spans.clone();
                let at = turn.index(spans.len());
                spans.rotate_left(at);
                spans
            })
            .collect();
        let again = ledger(&was, &profile(&chains(&turned)));
        prop_assert_eq!(again.lines.len(), found.lines.len());
        prop_assert!((again.excess_ns - found.excess_ns).abs() <= 1.0);
        // Nor is where profiles are made.
        let mut merged = Profile::default();
        for chain in chains(&window) {
            merged.merge(&profile(std::slice::from_ref(&chain)));
        }
        prop_assert_eq!(merged.requests(), is.requests());
        prop_assert_eq!(&merged.children, &is.children);
        prop_assert_eq!(merged.visits, is.visits);
    }
}

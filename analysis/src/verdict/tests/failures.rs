//! What failures, and other shapes, are and are not blamed for.

use super::*;

#[test]
fn what_failed_spans_leave_out_is_no_other_shape() {
    let operation =
        |name: &str| crate::ledger::Operation { service: "cart".into(), name: name.into() };
    let profile = |fine: u64, failed: u64, with: u64| {
        let mut profile = Profile::default();
        profile.visits.insert(operation("page"), fine);
        profile.failed.insert(operation("page"), failed);
        profile.children.insert((operation("page"), operation("store")), (with, with));
        profile.entries.entry(operation("page")).or_default().requests = fine + failed;
        profile
    };
    let shape = |reference: &Profile, window: &Profile| {
        let (ledger, shapes) =
            (crate::ledger::ledger(reference, window), crate::ledger::shapes(reference, window));
        assert!(!shapes.is_empty());
        suspects(reference, window, &ledger, &shapes).first().map_or(0.0, |suspect| suspect.shape)
    };
    let before = profile(1000, 0, 430);
    // Of those that store something 220 fail: of the others fewer store something.
    assert!(shape(&before, &profile(780, 220, 210)) < 0.01);
    // As many fewer store something, and nothing fails.
    assert!(shape(&before, &profile(1000, 0, 270)) > 0.2);
}

#[test]
fn who_is_refused_and_does_without_is_not_to_blame() {
    let some = |refused: bool| {
        move |n| Shop { refused: refused && n % 3 == 0, ends_early: n % 3 == 1, ..USUAL }
    };
    let found = judge(&Inputs {
        reference: requests(120, 3, some(false)),
        window: requests(100, 10, some(true)),
        load: 1.0,
        ..Inputs::default()
    });
    let first = found.culprits.first().unwrap();
    assert_eq!(first.suspect.node, Node::Peer("mysql shop".into()));
    assert_eq!((first.cause, found.action), (Cause::External, Action::Repair));
    let share = failing(&requests(99, 10, some(true)), &first.suspect.node);
    assert_eq!(share, [0.0, 1.0 / 3.0]);
    // A third of the requests, twice their time, less two standard errors.
    assert!(first.suspect.failure > 0.4 && first.suspect.failure < 2.0 / 3.0, "{first:?}");
    let cart = found.culprits.iter().find(|culprit| culprit.suspect.node == service("cart"));
    assert!(cart.is_none_or(|cart| cart.suspect.shape == 0.0), "{cart:?}");
}

#[test]
fn more_requests_that_always_failed_are_nobodys_fault() {
    let entry =
        |name: &str| crate::ledger::Operation { service: "front".into(), name: name.into() };
    let (page, report) = ((entry("page"), 0), (entry("report"), 5));
    let profile = |pages: u64, reports: u64| {
        let mut profile = Profile::default();
        for ((entry, each), requests) in [(&page, pages), (&report, reports)] {
            let sums = profile.entries.entry(entry.clone()).or_default();
            sums.requests = requests;
            if let Some(failed) = requests.checked_div(*each) {
                let part = crate::ledger::Part {
                    operation: entry.clone(),
                    wait: crate::ledger::Wait::Work,
                };
                sums.failures.insert(part, failed);
            }
        }
        profile
    };
    let harm = |reference: &Profile, window: &Profile| {
        let (ledger, shapes) = (crate::ledger::ledger(reference, window), Vec::new());
        suspects(reference, window, &ledger, &shapes).first().map_or(0.0, |suspect| suspect.failure)
    };
    assert!(harm(&profile(900, 100), &profile(500, 500)) == 0.0);
    // Nor does another mix hide that more of one kind fail.
    let mut worse = profile(500, 500);
    let report = worse.entries.get_mut(&report.0).unwrap();
    report.failures.values_mut().for_each(|failed| *failed *= 2);
    assert!(harm(&profile(100, 900), &worse) > 0.3);
}

#[test]
fn calls_side_by_side_end_in_another_order() {
    let operation =
        |name: &str| crate::ledger::Operation { service: "cart".into(), name: name.into() };
    let part = |name: &str| {
        let callee = crate::ledger::Wait::Way(name.into());
        Some(crate::ledger::Part { operation: operation(name), wait: callee })
    };
    // Both are called; the stock was last, now the price is, or nothing more is called after it.
    let profile = |price_last: u64, stocks: u64| {
        let mut profile = Profile::default();
        profile.visits.insert(operation("page"), 1000);
        profile.children.insert((operation("page"), operation("price")), (1000, 1000));
        profile.children.insert((operation("page"), operation("stock")), (stocks, stocks));
        profile.last.insert((operation("page"), part("price")), price_last);
        profile.last.insert((operation("page"), part("stock")), 1000 - price_last);
        profile
    };
    let early = |window: &Profile| crate::ledger::early_ends(&profile(0, 1000), window).len();
    assert_eq!(early(&profile(600, 1000)), 0);
    assert_eq!(early(&profile(600, 400)), 1);
}

#[test]
fn what_few_failures_do_not_explain_stays_with_who_is_slow() {
    let slow = |n: u64| Shop { front: 100, fails: n.is_multiple_of(25), ..USUAL };
    let found = judge(&Inputs {
        reference: requests(120, 3, |_| USUAL),
        window: requests(200, 10, slow),
        load: 1.0,
        ..Inputs::default()
    });
    let first = found.culprits.first().unwrap();
    assert_eq!(first.suspect.node, service("front"), "{:?}", found.culprits);
}

#[test]
fn who_is_slow_and_fails_without_a_sign_of_want_is_another_program() {
    let judged = |readings: Vec<Reading>| {
        let slow = |n: u64| Shop { cart: 300, fails: n.is_multiple_of(10), ..USUAL };
        let found = judge(&Inputs {
            reference: requests(120, 3, |_| USUAL),
            window: requests(200, 10, slow),
            load: 1.0,
            readings,
            ..Inputs::default()
        });
        found.culprits.first().map(|first| (first.suspect.node.clone(), first.cause))
    };
    let reading = |measure, window| Reading {
        measure,
        owner: Owner::Service("cart".into(), None),
        metric: String::new(),
        reference: Some(0.5),
        window,
        spread: None,
    };
    let memory = reading(Measure::MemoryUsed, 0.5);
    assert_eq!(judged(vec![memory.clone()]), Some((service("cart"), Cause::Code)));
    assert_eq!(
        judged(vec![memory, reading(Measure::Cpu, 1.9)]),
        Some((service("cart"), Cause::Cpu))
    );
    // Where nothing is measured no sign can be seen.
    assert_eq!(judged(Vec::new()), Some((service("cart"), Cause::Unknown)));
}

use headrope_model::SpanId;
use proptest::prelude::*;

use super::*;
use crate::noise::Noise;
use crate::trace::{CallChain, SpanKind, SpanRecord, SpanStatus, assemble};

fn span(n: u64, parent: u64, kind: SpanKind, name: &str, from: i64, to: i64) -> SpanRecord {
    let id = |n: u64| SpanId::from_bytes(&n.to_be_bytes()).unwrap();
    SpanRecord {
        span_id: id(n),
        parent_span_id: (parent > 0).then(|| id(parent)),
        kind,
        status: SpanStatus::Unset,
        service: "shop".into(),
        host: "h".into(),
        name: name.into(),
        start_ns: 1_000 + from,
        duration_ns: to - from,
        source: n as usize,
    }
}

fn call(n: u64, parent: u64, name: &str, from: i64, to: i64) -> SpanRecord {
    span(n, parent, SpanKind::Client, name, from, to)
}

fn failing(record: SpanRecord) -> SpanRecord {
    SpanRecord { status: SpanStatus::Error, ..record }
}

/// A name is `target` or `target#identity`; `!` at its end marks a write, `+` a resend.
fn described(name: &str) -> Call<'_> {
    let (body, is_read) = name.strip_suffix('!').map_or((name, true), |b| (b, false));
    let (body, is_resend) = body.strip_suffix('+').map_or((body, false), |b| (b, true));
    match body.split_once('#') {
        Some((target, identity)) => Call { target, identity: Some(identity), is_read, is_resend },
        None => Call { target: body, identity: None, is_read, is_resend },
    }
}

fn call_of<'a>(chain: &'a CallChain) -> impl Fn(usize) -> Option<Call<'a>> {
    |i| chain.nodes.get(i).filter(|n| n.kind == SpanKind::Client).map(|n| described(&n.name))
}

/// `(kind, span of the caller, target, spans of the calls)`.
fn found(mut records: Vec<SpanRecord>) -> Vec<(RepeatKind, u64, String, Vec<u64>)> {
    records.push(span(1, 0, SpanKind::Server, "GET /", 0, 1_000));
    let chain = assemble(records);
    let source = |i: usize| chain.nodes[i].source.unwrap() as u64;
    find(&chain, call_of(&chain))
        .into_iter()
        .map(|r| (r.kind, source(r.caller), r.target, r.calls.into_iter().map(source).collect()))
        .collect()
}

#[test]
fn calls_one_after_the_other_are_a_loop() {
    let after = |n: u64| call(n, 1, "select", 10 * n as i64, 10 * n as i64 + 8);
    let looped: Vec<_> = (2..7).map(after).collect();
    assert_eq!(found(looped), [(RepeatKind::Loop, 1, "select".into(), vec![2, 3, 4, 5, 6])]);
    assert!(found((2..6).map(after).collect()).is_empty());
    // Two statements in turn are two loops.
    let turn = |n: u64| {
        call(n, 1, if n.is_multiple_of(2) { "a" } else { "b" }, 10 * n as i64, 10 * n as i64 + 8)
    };
    assert_eq!(found((2..12).map(turn).collect()).len(), 2);
    // Side by side is a fan-out.
    let beside: Vec<_> = (2..20).map(|n| call(n, 1, "select", n as i64, 100)).collect();
    assert!(found(beside).is_empty());
    // Different targets are none.
    let other: Vec<_> =
        (2..20).map(|n| call(n, 1, &format!("s{n}"), 10 * n as i64, 10 * n as i64 + 5)).collect();
    assert!(found(other).is_empty());
}

#[test]
fn spans_between_handler_and_statement_do_not_hide_a_loop() {
    let mut records = Vec::new();
    for i in 0..6u64 {
        let at = 20 * i as i64;
        records.push(span(100 + i, 1, SpanKind::Internal, "Repository.find", at, at + 15));
        records.push(call(200 + i, 100 + i, "select", at + 1, at + 14));
    }
    let got = found(records.clone());
    assert_eq!(got, [(RepeatKind::Loop, 1, "select".into(), (200..206).collect())]);
    // Another service answers for itself.
    for record in &mut records {
        record.service = format!("{}-{}", record.service, record.source % 100).into();
    }
    assert!(found(records).is_empty());
}

#[test]
fn an_attempt_after_a_failure_is_a_retry() {
    let retry = |calls: Vec<u64>| vec![(RepeatKind::Retry, 1, "pay".to_owned(), calls)];
    let first = failing(call(2, 1, "pay", 0, 10));
    assert_eq!(found(vec![first.clone(), call(3, 1, "pay", 20, 30)]), retry(vec![3]));
    let second = failing(call(3, 1, "pay", 20, 30));
    assert_eq!(
        found(vec![first.clone(), second, call(4, 1, "pay", 40, 50), call(5, 1, "pay", 60, 70)]),
        retry(vec![3, 4])
    );
    assert!(found(vec![call(2, 1, "pay", 0, 10), call(3, 1, "pay", 20, 30)]).is_empty());
    assert!(found(vec![first, call(3, 1, "ship", 20, 30)]).is_empty());
    assert_eq!(found(vec![call(2, 1, "pay", 0, 10), call(3, 1, "pay+", 20, 30)]), retry(vec![3]));
    // Other items of a loop are no retries if it is known that they are others.
    let items = vec![failing(call(2, 1, "pay#1", 0, 10)), call(3, 1, "pay#2", 20, 30)];
    assert!(found(items).is_empty());
    // A second attempt beside the first, known to be the same; without identity it may be a fan-out.
    let hedge = |identity: &str| {
        let name = format!("pay{identity}");
        vec![failing(call(2, 1, &name, 0, 30)), call(3, 1, &name, 20, 40)]
    };
    assert_eq!(found(hedge("#7")), retry(vec![3]));
    assert!(found(hedge("")).is_empty());
}

#[test]
fn retries_do_not_make_a_loop() {
    let attempt = |n: u64| failing(call(n, 1, "pay#1!", 10 * n as i64, 10 * n as i64 + 8));
    let got = found((2..12).map(attempt).collect());
    assert_eq!(got, [(RepeatKind::Retry, 1, "pay".into(), (3..12).collect())]);
}

#[test]
fn the_same_read_again_is_a_duplicate_wherever_it_was_first() {
    let handler = |n: u64, from: i64| span(n, 1, SpanKind::Server, "inner", from, from + 100);
    let records = vec![
        handler(10, 0),
        call(11, 10, "get#7", 10, 20),
        handler(20, 200),
        call(21, 20, "get#7", 210, 220),
        call(22, 20, "get#8", 230, 240),
        call(23, 20, "put#9!", 250, 260),
        call(24, 20, "put#9!", 270, 280),
    ];
    assert_eq!(found(records), [(RepeatKind::DuplicateRead, 20, "get".into(), vec![21])]);
}

fn any_trace() -> impl Strategy<Value = Vec<SpanRecord>> {
    let one =
        (any::<prop::sample::Index>(), 0i64..60, 0i64..25, 0usize..7, 0usize..7, any::<bool>());
    prop::collection::vec(one, 0..40).prop_map(|shapes| {
        let mut spans = vec![span(1, 0, SpanKind::Server, "GET /", 0, 90)];
        for (i, (parent, from, length, kind, name, error)) in shapes.into_iter().enumerate() {
            let parent = spans[parent.index(spans.len())].source as u64;
            let name = ["a", "a", "a#1", "a#2", "b#1", "b#1!", "b+"][name];
            let kind = match kind {
                0 => SpanKind::Internal,
                1 => SpanKind::Server,
                2 => SpanKind::Consumer,
                _ => SpanKind::Client,
            };
            let record = span(i as u64 + 2, parent, kind, name, from, from + length);
            spans.push(if error { failing(record) } else { record });
        }
        spans
    })
}

proptest! {
    #[test]
    fn what_is_reported_is_true(records in any_trace()) {
        let chain = assemble(records);
        for r in find(&chain, call_of(&chain)) {
            prop_assert!(r.calls.is_sorted());
            let caller = &chain.nodes[r.caller];
            for c in &r.calls {
                prop_assert_eq!(described(&chain.nodes[*c].name).target, r.target.as_str());
                prop_assert!(r.caller < *c && *c < r.caller + caller.subtree_size);
            }
            let running = |t: &i64| r.calls.iter().any(|c| {
                let n = &chain.nodes[*c];
                n.start_ns <= *t && *t < n.end_ns()
            });
            let covered = (caller.start_ns..caller.end_ns()).filter(running).count();
            prop_assert_eq!(r.time_ns, covered as i64);
            prop_assert!((0.0..=1.0).contains(&r.share));
            if r.kind == RepeatKind::Loop {
                prop_assert!(r.in_sequence >= LEAST_LOOP);
            }
        }
    }

    #[test]
    fn in_sequence_is_the_longest_chain(records in any_trace()) {
        let chain = assemble(records);
        for r in find(&chain, call_of(&chain)).iter().filter(|r| r.calls.len() <= 12) {
            let times: Vec<(i64, i64)> =
                r.calls.iter().map(|c| (chain.nodes[*c].start_ns, chain.nodes[*c].end_ns())).collect();
            let fits = |set: u32| {
                let chosen: Vec<_> = (0..times.len()).filter(|i| set >> i & 1 == 1).map(|i| times[i]).collect();
                chosen.iter().enumerate().all(|(i, a)| chosen[i + 1..].iter().all(|b| a.1 <= b.0 || b.1 <= a.0))
            };
            let most = (0..1u32 << times.len()).filter(|s| fits(*s)).map(u32::count_ones).max();
            prop_assert_eq!(Some(r.in_sequence as u32), most);
        }
    }

    #[test]
    fn sums_do_not_depend_on_order(traces in prop::collection::vec(any_trace(), 0..6), seed in any::<u64>()) {
        let totals = |traces: &[Vec<SpanRecord>]| {
            let mut totals = RepeatTotals::default();
            for records in traces {
                let chain = assemble(records.clone());
                totals.observe(&chain, call_of(&chain));
            }
            totals
        };
        let all = totals(&traces);
        let mut noise = Noise::new(seed);
        let mut shuffled = traces.clone();
        shuffled.iter_mut().for_each(|t| noise.shuffle(t));
        noise.shuffle(&mut shuffled);
        prop_assert_eq!(&totals(&shuffled), &all);
        let (a, b) = traces.split_at(traces.len() / 2);
        let mut merged = totals(b);
        merged.merge(&totals(a));
        prop_assert_eq!(&merged, &all);
        for (_, s) in all.iter() {
            prop_assert!(s.callers > 0 && s.calls >= s.callers && s.loops <= s.callers);
            prop_assert!(s.retries < s.calls + 1 && s.retries_succeeded <= s.retries);
            prop_assert!(s.loop_ns <= s.caller_ns && s.retry_ns <= s.caller_ns);
        }
    }
}

#[test]
fn a_large_loop_is_counted_in_full() {
    let n = 20_000u64;
    let mut records: Vec<_> =
        (2..n).map(|i| call(i, 1, "select", 10 * i as i64, 10 * i as i64 + 5)).collect();
    records.push(span(1, 0, SpanKind::Server, "GET /", 0, 10 * n as i64));
    let chain = assemble(records);
    let mut totals = RepeatTotals::default();
    totals.observe(&chain, call_of(&chain));
    let (key, sums) = totals.iter().next().unwrap();
    assert_eq!((key.operation.as_str(), key.target.as_str()), ("GET /", "select"));
    assert_eq!((sums.callers, sums.loops, sums.loop_calls), (1, 1, n - 2));
    assert_eq!(sums.loop_ns, 5 * u128::from(n - 2));
}

use proptest::prelude::*;

use super::{Calls, Slow, Surroundings, added, slow};
use crate::verdict::{Measure, Owner, Reading};

fn calls(calls: f64, mean_ms: f64) -> Calls {
    Calls { calls, total_ns: calls * mean_ms * 1e6 }
}

fn reading(measure: Measure, reference: f64, window: f64) -> Reading {
    let owner = Owner::Store("postgresql shop".into());
    let reference = Some(reference);
    Reading { measure, owner, metric: "m".to_owned(), reference, window, spread: None }
}

fn of(reference: Calls, window: Calls, around: &Surroundings<'_>) -> (Slow, usize) {
    let (slow, proof) = slow(reference, window, around);
    (slow, proof.len())
}

#[test]
fn the_kind_follows_from_what_was_added_and_what_was_measured() {
    let nothing = Surroundings::default();
    let before = calls(100.0, 5.0);
    assert_eq!(of(before, calls(105.0, 5.2), &nothing), (Slow::Not, 0));
    assert_eq!(of(before, calls(0.0, 0.0), &nothing), (Slow::Not, 0));
    assert_eq!(of(calls(0.0, 0.0), calls(3.0, 5.0), &nothing), (Slow::New, 0));
    // Too few to tell.
    assert_eq!(of(calls(5.0, 5.0), calls(5.0, 50.0), &nothing), (Slow::Not, 0));
    assert_eq!(of(before, calls(900.0, 5.5), &nothing), (Slow::MoreCalls, 0));
    let slower = calls(110.0, 50.0);
    assert_eq!(of(before, slower, &nothing), (Slow::Statement, 0));
    for (measure, was, is, kind, alone) in [
        (Measure::Lock, 0.0, 4.0, Slow::Lock, Slow::Lock),
        (Measure::DiskUsed, 0.5, 0.99, Slow::Io, Slow::Io),
        (Measure::DiskBusy, 0.1, 0.9, Slow::Io, Slow::Statement),
        (Measure::CpuBusy, 0.3, 0.97, Slow::Saturated, Slow::Statement),
    ] {
        let store = [reading(measure, was, is), reading(Measure::Gc, 0.1, 0.1)];
        let around = Surroundings { store: &store, growth: &[1.0, 4.0, 8.0], ..nothing };
        assert_eq!(of(before, slower, &around), (kind, 1));
        // Where nothing else of the database is slower, the statement keeps it busy.
        for growth in [&[1.0, 1.4, 8.0][..], &[]] {
            assert_eq!(of(before, slower, &Surroundings { growth, ..around }).0, alone);
        }
        // More calls are more calls whatever the database does.
        assert_eq!(of(before, calls(900.0, 5.5), &around).0, Slow::MoreCalls);
    }
    let caller = [reading(Measure::PoolPending, 0.0, 12.0)];
    let around = Surroundings { caller: &caller, ..nothing };
    assert_eq!(of(before, slower, &around), (Slow::PoolWait, 1));
}

#[test]
fn a_way_is_slow_if_all_that_takes_it_is_and_nothing_else() {
    let (before, slower) = (calls(100.0, 5.0), calls(100.0, 45.0));
    let kind = |same_way: &[f64], other_ways: &[f64]| {
        let around = Surroundings { same_way, other_ways, ..Surroundings::default() };
        of(before, slower, &around).0
    };
    let ms = 1e6;
    assert_eq!(kind(&[38.0 * ms, 41.0 * ms], &[0.1 * ms, -ms]), Slow::Network);
    // Another statement on the same way is as fast as ever.
    assert_eq!(kind(&[38.0 * ms, 0.0], &[0.1 * ms]), Slow::Statement);
    // Others are slow, too.
    assert_eq!(kind(&[38.0 * ms], &[39.0 * ms]), Slow::Statement);
    // Nothing to compare with.
    assert_eq!(kind(&[], &[]), Slow::Statement);
    assert_eq!(kind(&[38.0 * ms], &[]), Slow::Statement);
}

proptest! {
    #[test]
    fn what_is_added_adds_up(a in (0.0f64..1e6, 0.0f64..1e4), b in (0.0f64..1e6, 0.0f64..1e4)) {
        let (before, now) = (calls(a.0, a.1), calls(b.0, b.1));
        let split = added(before, now);
        let both = split.by_calls_ns + split.by_duration_ns;
        let difference = now.total_ns - before.total_ns;
        prop_assert!((both - difference).abs() <= 1e-9 * (before.total_ns + now.total_ns).max(1.0));
        // Of two windows in turn the one has what the other lacks.
        let back = added(now, before);
        prop_assert!((back.by_calls_ns + split.by_calls_ns).abs() <= 1e-3);
        prop_assert!((back.by_duration_ns + split.by_duration_ns).abs() <= 1e-3);
    }
}

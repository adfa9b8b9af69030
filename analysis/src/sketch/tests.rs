use proptest::prelude::*;

use super::*;

/// Latencies over the whole range, with many ties and small values.
fn latency() -> impl Strategy<Value = i64> {
    prop_oneof![
        -3i64..200,
        1_000i64..5_000_000_000,
        any::<i64>(),
        (0u32..63).prop_map(|e| 1i64 << e),
        (0u32..63, -1i64..2).prop_map(|(e, d)| (1i64 << e).saturating_add(d)),
    ]
}

fn latencies() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(latency(), 0..300)
}

fn sketch(values: &[i64]) -> Sketch {
    values.iter().copied().collect()
}

fn nearest_rank(values: &[i64], q: f64) -> f64 {
    let mut sorted: Vec<i64> = values.iter().map(|v| (*v).max(0)).collect();
    sorted.sort_unstable();
    let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
    sorted[rank - 1] as f64
}

proptest! {
    #[test]
    fn quantiles_keep_the_stated_error(values in latencies(), q in 0.0f64..=1.0) {
        let got = sketch(&values).quantile(q);
        if values.is_empty() {
            prop_assert_eq!(got, None);
            return Ok(());
        }
        let (got, exact) = (got.unwrap(), nearest_rank(&values, q));
        prop_assert!((got - exact).abs() <= RELATIVE_ERROR * exact, "{} for {}", got, exact);
    }

    #[test]
    fn summary_numbers_are_exact(values in latencies()) {
        let s = sketch(&values);
        let kept: Vec<i64> = values.iter().map(|v| (*v).max(0)).collect();
        prop_assert_eq!(s.count(), values.len() as u64);
        prop_assert_eq!(s.sum(), kept.iter().map(|v| *v as u128).sum::<u128>());
        prop_assert_eq!(s.min(), kept.iter().copied().min());
        prop_assert_eq!(s.max(), kept.iter().copied().max());
        prop_assert_eq!(s.buckets().map(|b| b.1).sum::<u64>(), s.count());
        prop_assert!(s.buckets().zip(s.buckets().skip(1)).all(|(a, b)| a.0 < b.0));
    }

    #[test]
    fn merging_is_inserting_everything(a in latencies(), b in latencies(), c in latencies()) {
        let all: Vec<i64> = a.iter().chain(&b).chain(&c).copied().collect();
        let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
        let merged = |parts: &[&Sketch]| {
            let mut out = Sketch::new();
            parts.iter().for_each(|p| out.merge(p));
            out
        };
        prop_assert_eq!(merged(&[&a, &b, &c]), sketch(&all));
        prop_assert_eq!(merged(&[&merged(&[&c, &b]), &a]), sketch(&all));
        prop_assert_eq!(merged(&[&a, &merged(&[&b, &c])]), sketch(&all));
    }

    #[test]
    fn inserting_n_times_is_inserting_once_n_times(v in latency(), n in 0u64..50) {
        let mut at_once = Sketch::new();
        at_once.insert_n(v, n);
        prop_assert_eq!(at_once, (0..n).map(|_| v).collect::<Sketch>());
    }

    #[test]
    fn bytes_come_back(values in latencies()) {
        let s = sketch(&values);
        prop_assert_eq!(Sketch::from_bytes(&s.to_bytes()), Ok(s));
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Ok(s) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(s.to_bytes(), bytes);
            prop_assert_eq!(s.quantile(0.5).is_some(), s.count() > 0);
        }
    }

    #[test]
    fn damage_never_passes_as_another_sketch(
        values in prop::collection::vec(1i64..1_000_000, 1..40), at in any::<prop::sample::Index>(), flip in 1u8..=255,
    ) {
        let s = sketch(&values);
        let mut bytes = s.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes.clone());
            prop_assert!(other != s);
        }
        bytes.truncate(at);
        // A cut may fall between two buckets; what is left must still agree with min, max and sum.
        if let Ok(other) = Sketch::from_bytes(&bytes) {
            prop_assert!(other.count() <= s.count());
        }
    }

    #[test]
    fn a_value_lies_within_its_bucket(v in 1i64..=i64::MAX) {
        let key = scale::key(v).unwrap();
        let at = (v as f64).log2() * 64.0;
        prop_assert!(at <= f64::from(key) + 1e-9 && at > f64::from(key) - 1.0 - 1e-9, "{}: {}", v, key);
        prop_assert!(v <= scale::largest(key));
        prop_assert_eq!(scale::key(scale::largest(key)), Some(key));
        prop_assert!(key == 0 || v > scale::largest(key - 1));
    }
}

#[test]
fn powers_of_two_end_their_bucket() {
    for e in 0..63u16 {
        assert_eq!(scale::key(1i64 << e), Some(64 * e));
        assert_eq!(scale::largest(64 * e), 1i64 << e);
    }
    assert_eq!(scale::key(i64::MAX), Some(scale::MAX_KEY));
    assert_eq!(scale::key(0), None);
    assert_eq!(scale::key(-1), None);
}

#[test]
fn the_stated_error_is_half_a_bucket() {
    let base = 2f64.powf(1.0 / 64.0);
    let half = (base - 1.0) / (base + 1.0);
    assert!(half < RELATIVE_ERROR && RELATIVE_ERROR < half + 1e-5);
}

#[test]
fn ranks_at_the_ends_and_odd_questions() {
    let s = sketch(&[0, 0, 10, 20, 1_000_003]);
    assert_eq!(s.quantile(0.0), Some(0.0));
    assert_eq!(s.quantile(0.4), Some(0.0));
    assert_eq!(s.quantile(1.0), Some(1_000_003.0));
    assert_eq!(s.quantile(7.0), Some(1_000_003.0));
    assert_eq!(s.quantile(f64::NAN), None);
    assert_eq!(Sketch::new().quantile(0.5), None);
    assert_eq!(Sketch::new().mean(), None);
    assert_eq!(s.mean(), Some(200_006.6));
}

#[test]
fn counts_saturate_and_stay_readable() {
    let mut s = Sketch::new();
    s.insert_n(i64::MAX, u64::MAX);
    s.insert_n(i64::MAX, u64::MAX);
    s.insert_n(5, 7);
    assert_eq!(s.count(), u64::MAX);
    assert_eq!(Sketch::from_bytes(&s.to_bytes()), Ok(s));
}

#[test]
fn unknown_versions_and_leftovers_are_refused() {
    assert_eq!(Sketch::from_bytes(&[]), Err(SketchError::Damaged(0)));
    assert_eq!(Sketch::from_bytes(&[9, 0]), Err(SketchError::Version(9)));
    let mut bytes = sketch(&[1, 2, 3]).to_bytes();
    bytes.push(0);
    assert!(Sketch::from_bytes(&bytes).is_err());
    // A minimum that is not in the first bucket.
    assert!(Sketch::from_bytes(&[1, 0, 2, 3, 5, 0, 2]).is_err());
}

proptest! {
    #[test]
    fn many_at_once_are_the_same_sketches(
        values in prop::collection::vec((0u32..5, latency()), 0..400),
    ) {
        let mut batch = super::SketchBatch::default();
        let mut want = vec![Sketch::new(); 5];
        for (group, ns) in &values {
            batch.insert(*group, *ns);
            want[*group as usize].insert(*ns);
        }
        let mut got = batch.finish();
        got.resize(5, Sketch::new());
        prop_assert_eq!(got, want);
    }

    #[test]
    fn a_total_is_the_merged_sketch(
        parts in prop::collection::vec((0u8..3, latencies()), 0..12),
    ) {
        let (mut total, mut want) = (super::SketchTotal::new(), Sketch::new());
        for (how, values) in &parts {
            let part = sketch(values);
            match how {
                0 => values.iter().for_each(|ns| total.insert(*ns)),
                1 => total.merge(&part),
                _ => total.merge_bytes(&part.to_bytes()).unwrap(),
            }
            want.merge(&part);
        }
        prop_assert_eq!(total.finish(), want);
    }

    #[test]
    fn damaged_bytes_are_told_apart_alike(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let read = Sketch::from_bytes(&bytes).map(|_| ());
        prop_assert_eq!(super::SketchTotal::new().merge_bytes(&bytes), read);
    }
}

use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE, NANOS_PER_SECOND};
use proptest::prelude::*;

use super::*;

const SCALES: [LogScale; 3] = [LogScale::Quarter, LogScale::Eighth, LogScale::OneTwoFive];

fn range(from: i64, length: i64) -> TimeRange {
    TimeRange::new(from, from.saturating_add(length)).unwrap()
}

proptest! {
    #[test]
    fn a_value_lies_in_its_bucket_and_no_other(ns in any::<i64>(), scale in prop::sample::select(&SCALES)) {
        let i = scale.index(ns);
        if ns <= 0 {
            prop_assert_eq!(i, 0);
        } else {
            prop_assert!(scale.lower_ns(i) <= ns && ns <= scale.upper_ns(i));
            prop_assert!(scale.upper_ns(i - 1) < ns);
        }
    }

    #[test]
    fn bars_hold_every_value(
        values in prop::collection::vec((0i64..10_000_000_000, any::<bool>()), 0..200),
        scale in prop::sample::select(&SCALES),
    ) {
        let mut histogram = LatencyHistogram::new(scale);
        for (ns, failed) in &values {
            histogram.add(*ns, 1, u64::from(*failed));
        }
        let bars = histogram.bars();
        for bar in &bars {
            let inside = values.iter().filter(|(ns, _)| bar.from_ns <= *ns && *ns <= bar.to_ns);
            prop_assert_eq!(inside.clone().count() as u64, bar.count);
            prop_assert_eq!(inside.filter(|(_, failed)| *failed).count() as u64, bar.errors);
        }
        prop_assert_eq!(bars.iter().map(|b| b.count).sum::<u64>(), values.len() as u64);
        prop_assert!(bars.windows(2).all(|w| w[0].to_ns < w[1].from_ns));
    }

    #[test]
    fn octave_scales_nest_in_the_sketch(values in prop::collection::vec(0i64..i64::MAX, 0..200)) {
        let sketch: Sketch = values.iter().copied().collect();
        for scale in [LogScale::Quarter, LogScale::Eighth] {
            let mut direct = LatencyHistogram::new(scale);
            values.iter().for_each(|v| direct.add(*v, 1, 0));
            prop_assert_eq!(LatencyHistogram::from_sketch(scale, &sketch).bars(), direct.bars());
        }
    }

    #[test]
    fn every_instant_has_one_bucket(from in -1_000_000i64..1 << 60, length in 1i64..1 << 55, target in 1usize..500, at in 0.0f64..1.0) {
        let r = range(from, length);
        let buckets = TimeBuckets::about(r, target);
        prop_assert!(!buckets.is_empty() && buckets.len() <= target + 1, "{}", buckets.len());
        prop_assert_eq!(buckets.start_ns(0).rem_euclid(buckets.step_ns()), 0);
        let instant = (from + (length as f64 * at) as i64).clamp(r.from(), r.to() - 1);
        let i = buckets.index(instant).unwrap();
        prop_assert!(buckets.start_ns(i) <= instant && instant < buckets.start_ns(i + 1));
        prop_assert!(buckets.start_ns(0) <= r.from() && buckets.start_ns(buckets.len()) >= r.to());
        prop_assert!(buckets.start_ns(1) > r.from() && buckets.start_ns(buckets.len() - 1) < r.to());
    }

    #[test]
    fn a_heatmap_keeps_what_lies_in_its_range(points in prop::collection::vec((0i64..1000, 0i64..100_000), 0..100)) {
        let times = TimeBuckets::with_step(range(100, 500), 50);
        let mut map = Heatmap::new(times, LogScale::OneTwoFive);
        points.iter().for_each(|(t, ns)| map.add(*t, *ns, 1, 0));
        let inside = points.iter().filter(|(t, _)| (100..600).contains(t)).count() as u64;
        prop_assert_eq!(map.cells().map(|c| c.bar.count).sum::<u64>(), inside);
        for cell in map.cells() {
            let exact = points.iter().filter(|(t, ns)| {
                (cell.time_ns..cell.time_ns + 50).contains(t) && cell.bar.from_ns <= *ns && *ns <= cell.bar.to_ns
            });
            prop_assert_eq!(exact.count() as u64, cell.bar.count);
        }
    }
}

#[test]
fn one_two_five_reads_well() {
    let ends: Vec<i64> = (1..=8).map(|i| LogScale::OneTwoFive.upper_ns(i)).collect();
    assert_eq!(ends, [1, 2, 5, 10, 20, 50, 100, 200]);
    assert_eq!(LogScale::OneTwoFive.upper_ns(LogScale::OneTwoFive.index(i64::MAX)), i64::MAX);
}

#[test]
fn steps_are_round() {
    let hour = range(0, NANOS_PER_HOUR);
    assert_eq!(time_step_ns(hour, 60), NANOS_PER_MINUTE);
    assert_eq!(time_step_ns(hour, 59), 2 * NANOS_PER_MINUTE);
    assert_eq!(time_step_ns(range(0, 24 * NANOS_PER_HOUR), 120), 15 * NANOS_PER_MINUTE);
    assert_eq!(time_step_ns(range(0, NANOS_PER_SECOND), 100), NANOS_PER_SECOND / 100);
    assert_eq!(time_step_ns(range(7, 0), 100), 1);
    assert_eq!(time_step_ns(hour, 0), NANOS_PER_HOUR);
}

#[test]
fn extreme_ranges_stay_bounded() {
    assert!(TimeBuckets::about(TimeRange::ALL, 100).len() <= TimeBuckets::MAX);
    assert!(TimeBuckets::with_step(TimeRange::ALL, 1).len() <= TimeBuckets::MAX);
    let empty = TimeBuckets::about(range(5, 0), 10);
    assert!(empty.is_empty() && empty.index(5).is_none());
    assert_eq!(TimeBuckets::with_step(range(0, 10), -4).step_ns(), 1);
}

#[test]
fn the_ruler_of_a_known_distribution() {
    let sketch: Sketch = (1..=1000).map(|ms| ms * 1_000_000).collect();
    let got = ruler(&sketch);
    assert_eq!(got.len(), RULER.len());
    for (q, ns) in got {
        let exact = (q * 1000.0).ceil() * 1e6;
        assert!((ns - exact).abs() <= crate::sketch::RELATIVE_ERROR * exact, "{q}: {ns}");
    }
    assert!(ruler(&Sketch::new()).is_empty());
}

//! Which stretches of time roll-ups answer for, and which are read from the spans.

use headrope_model::rollup::STEPS_NS;

/// A half-open stretch of time, Unix nanoseconds. Wider than what can be stored, so that its ends can
/// be aligned.
pub(super) type Stretch = (i128, i128);

/// A range of time cut up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Length of the steps and a stretch of whole ones, which the roll-up's rows answer for.
    pub(super) steps: Vec<(i64, Stretch)>,
    /// Read from spans.
    pub(super) spans: Vec<Stretch>,
}

/// What is known of the spans that a roll-up counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// Earliest and latest start.
    pub(super) extent: (i64, i64),
    /// Up to then either may have been dropped.
    pub(super) horizon: Option<i64>,
}

const fn up(time: i128, step: i128) -> i128 {
    -((-time).div_euclid(step) * step)
}

const fn down(time: i128, step: i128) -> i128 {
    time.div_euclid(step) * step
}

/// Cuts the range from `first` to `last`, both included, up: whole steps as long as possible, of those
/// lengths that divide `within` (the steps a statement groups by), and what is left at the ends.
/// Beyond the extent there is nothing to count, so a range that reaches so far ends on a whole step.
pub(super) fn cut(first: i64, last: i64, within: Option<i64>, counted: Counted) -> Pieces {
    let mut pieces = Pieces::default();
    let usable = |step: &&i64| within.is_none_or(|within| within % **step == 0);
    let steps: Vec<i128> = STEPS_NS.iter().rev().filter(usable).map(|s| i128::from(*s)).collect();
    let (earliest, latest) = (i128::from(counted.extent.0), i128::from(counted.extent.1));
    let (first, last) = (i128::from(first), i128::from(last));
    let (Some(longest), Some(shortest)) = (steps.first(), steps.last()) else { return pieces };
    if latest < first || last < earliest {
        return pieces;
    }
    let mut from = if first <= earliest { down(earliest, *longest) } else { first };
    let to = if last >= latest { up(latest + 1, *longest) } else { last + 1 };
    if let Some(horizon) = counted.horizon {
        let complete = up(i128::from(horizon) + 1, *shortest).clamp(from, to);
        pieces.spans.push((from, complete));
        from = complete;
    }
    whole(from, to, &steps, &mut pieces);
    pieces.spans.retain(|(from, to)| from < to && *from <= latest && earliest < *to);
    pieces
}

/// Whole steps between two times, the longest first.
fn whole(from: i128, to: i128, steps: &[i128], pieces: &mut Pieces) {
    let Some((step, shorter)) = steps.split_first() else {
        pieces.spans.push((from, to));
        return;
    };
    let (start, end) = (up(from, *step), down(to, *step));
    if start >= end {
        return whole(from, to, shorter, pieces);
    }
    // A step is one of `STEPS_NS`.
    pieces.steps.push((i64::try_from(*step).unwrap_or(i64::MAX), (start, end)));
    if from < start {
        whole(from, start, shorter, pieces);
    }
    if end < to {
        whole(end, to, shorter, pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000_000;

    fn instant() -> impl Strategy<Value = i64> {
        // Often on or beside the start of a step.
        (0i64..6 * 24 * 60, prop_oneof![Just(0), Just(1), Just(-1), 0..MINUTE])
            .prop_map(|(minute, ns)| minute * MINUTE + ns)
    }

    fn end() -> impl Strategy<Value = i64> {
        prop_oneof![6 => instant(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn every_instant_is_counted_once(
            (a, b) in (end(), end()),
            (c, d) in (instant(), instant()),
            horizon in prop::option::of(instant()),
            within in prop::option::of(prop::sample::select(vec![1, 5, 60, 90, 1440, 2880])),
            instants in prop::collection::vec(instant(), 100),
        ) {
            let (first, last, extent) = (a.min(b), a.max(b), (c.min(d), c.max(d)));
            let within = within.map(|minutes: i64| minutes * MINUTE);
            let pieces = cut(first, last, within, Counted { extent, horizon });
            let mut stretches = pieces.spans.clone();
            for (step, (from, to)) in &pieces.steps {
                let s = i128::from(*step);
                prop_assert!(from < to && from % s == 0 && to % s == 0);
                prop_assert!(within.is_none_or(|w| w % step == 0));
                prop_assert!(horizon.is_none_or(|h| i128::from(h) < *from));
                stretches.push((*from, *to));
            }
            let edges = [first, last, extent.0, extent.1, horizon.unwrap_or(0)];
            for at in instants.into_iter().chain(edges) {
                if at < extent.0 || at > extent.1 {
                    continue;
                }
                let t = i128::from(at);
                let times = stretches.iter().filter(|(from, to)| *from <= t && t < *to).count();
                prop_assert_eq!(times, usize::from(first <= at && at <= last), "{} in {:?}", at, pieces);
            }
        }
    }

    #[test]
    fn long_steps_in_the_middle() {
        let hour = 60 * MINUTE;
        let day = 24 * hour;
        let counted = Counted { extent: (0, 100 * day), horizon: None };
        let pieces = cut(day - hour - MINUTE, 3 * day + MINUTE - 1, None, counted);
        let wide = |a: i64, b: i64| (i128::from(a), i128::from(b));
        assert_eq!(
            pieces,
            Pieces {
                steps: vec![
                    (day, wide(day, 3 * day)),
                    (hour, wide(day - hour, day)),
                    (MINUTE, wide(day - hour - MINUTE, day - hour)),
                    (MINUTE, wide(3 * day, 3 * day + MINUTE)),
                ],
                spans: Vec::new(),
            }
        );
        // All there is: days only.
        assert_eq!(cut(i64::MIN, i64::MAX, None, counted).steps, [(day, wide(0, 101 * day))]);
        // Nothing divides it.
        assert_eq!(cut(0, day, Some(90_000_000_000), counted), Pieces::default());
    }
}

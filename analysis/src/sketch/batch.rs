//! Sketches of many groups at once.

use super::{Bucket, Sketch, scale};

/// Bits of a bucket in a packed pair.
const BUCKET_BITS: u32 = 16;

/// What is known of a group besides its buckets.
#[derive(Debug, Clone, Copy)]
struct Ends {
    sum: u128,
    min: i64,
    max: i64,
}

/// Collects values of many groups and makes a sketch of each. Values are kept as pairs of group and
/// bucket, eight bytes each, and sorted once: cheaper than finding the place in a sketch for each.
#[derive(Debug, Default)]
pub struct SketchBatch {
    /// Group, then bucket: 0 for zeros, else one more than the key.
    pairs: Vec<u64>,
    ends: Vec<Option<Ends>>,
}

impl SketchBatch {
    /// Without values, with room for some.
    #[must_use]
    pub fn with_capacity(values: usize) -> Self {
        Self { pairs: Vec::with_capacity(values), ends: Vec::new() }
    }

    /// Adds a value in nanoseconds to a group; a negative one counts as zero. Groups are numbered
    /// from 0; memory grows with the greatest number.
    pub fn insert(&mut self, group: u32, ns: i64) {
        let ns = ns.max(0);
        let bucket = scale::key(ns).map_or(0, |key| u64::from(key) + 1);
        self.pairs.push(u64::from(group) << BUCKET_BITS | bucket);
        let at = group as usize;
        if self.ends.len() <= at {
            self.ends.resize(at + 1, None);
        }
        let value = u128::from(ns.unsigned_abs());
        self.ends[at] = Some(match self.ends[at] {
            None => Ends { sum: value, min: ns, max: ns },
            Some(e) => {
                Ends { sum: e.sum.saturating_add(value), min: e.min.min(ns), max: e.max.max(ns) }
            }
        });
    }

    /// The sketch of each group; empty for a group without values.
    #[must_use]
    pub fn finish(mut self) -> Vec<Sketch> {
        self.pairs.sort_unstable();
        let sketch = |e: &Option<Ends>| match e {
            None => Sketch::new(),
            Some(e) => Sketch { sum: e.sum, min: e.min, max: e.max, ..Sketch::new() },
        };
        let mut sketches: Vec<Sketch> = self.ends.iter().map(sketch).collect();
        let group_of = |pair: &u64| (pair >> BUCKET_BITS) as usize;
        for group in self.pairs.chunk_by(|a, b| group_of(a) == group_of(b)) {
            let Some(sketch) = group.first().and_then(|p| sketches.get_mut(group_of(p))) else {
                continue;
            };
            sketch.buckets.reserve_exact(group.chunk_by(|a, b| a == b).count());
            for run in group.chunk_by(|a, b| a == b) {
                let count = run.len() as u64;
                match run.first().and_then(|pair| (*pair as u16).checked_sub(1)) {
                    None => sketch.zeros = count,
                    Some(key) => sketch.buckets.push(Bucket { key, count }),
                }
            }
        }
        sketches
    }
}

//! A sketch that many values or sketches are added to.

use super::scale::{self, PER_OCTAVE};
use super::{Bucket, Sketch, SketchError};

/// Buckets from which on counts are kept in pages.
const MANY: usize = 24;
/// Octaves of the scale.
const OCTAVES: usize = 64;

/// Counts by octave: adding is a table look-up.
#[derive(Debug, Clone)]
struct Pages {
    /// Number of the octave's page, plus one; 0 without.
    page_of: [u8; OCTAVES],
    pages: Vec<[u64; PER_OCTAVE]>,
}

impl Pages {
    const fn new() -> Self {
        Self { page_of: [0; OCTAVES], pages: Vec::new() }
    }

    fn add(&mut self, key: u16, count: u64) {
        let (octave, k) = (usize::from(key) / PER_OCTAVE, usize::from(key) % PER_OCTAVE);
        let Some(page) = self.page_of.get_mut(octave) else { return };
        if *page == 0 {
            self.pages.push([0; PER_OCTAVE]);
            // There are at most 64 pages.
            *page = self.pages.len() as u8;
        }
        if let Some(counts) = self.pages.get_mut(usize::from(*page - 1)) {
            counts[k] = counts[k].saturating_add(count);
        }
    }

    fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let octaves = (0u16..).zip(&self.page_of);
        octaves
            .filter_map(|(octave, page)| {
                Some((octave, self.pages.get(usize::from(*page).checked_sub(1)?)?))
            })
            .flat_map(|(octave, counts)| {
                let keys = octave * PER_OCTAVE as u16..;
                keys.zip(counts).filter(|(_, n)| **n > 0).map(|(key, n)| Bucket { key, count: *n })
            })
    }
}

/// Adds up values and sketches; equal to [`Sketch::insert`] and [`Sketch::merge`], but adding costs
/// the same however many buckets there are.
#[derive(Debug, Clone, Default)]
pub struct SketchTotal {
    /// Everything, or without buckets if these are in `pages`.
    sketch: Sketch,
    /// Whether something was added.
    any: bool,
    pages: Option<Box<Pages>>,
}

impl SketchTotal {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value in nanoseconds; a negative one counts as zero.
    pub fn insert(&mut self, ns: i64) {
        let ns = ns.max(0);
        self.widen(ns, ns);
        self.sketch.sum = self.sketch.sum.saturating_add(u128::from(ns.unsigned_abs()));
        match scale::key(ns) {
            None => self.sketch.zeros = self.sketch.zeros.saturating_add(1),
            Some(key) => self.add(key, 1),
        }
    }

    /// Adds everything a sketch holds.
    pub fn merge(&mut self, other: &Sketch) {
        if other.is_empty() {
            return;
        }
        self.widen(other.min, other.max);
        self.sketch.zeros = self.sketch.zeros.saturating_add(other.zeros);
        self.sketch.sum = self.sketch.sum.saturating_add(other.sum);
        for bucket in &other.buckets {
            self.add(bucket.key, bucket.count);
        }
    }

    /// Adds everything a sketch in its compact form holds.
    ///
    /// # Errors
    /// See [`Sketch::from_bytes`]; part of it may have been added.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        let header = super::bytes::read(bytes, |key, count| self.add(key, count))?;
        if !header.is_empty {
            self.widen(header.min, header.max);
            self.sketch.zeros = self.sketch.zeros.saturating_add(header.zeros);
            self.sketch.sum = self.sketch.sum.saturating_add(header.sum);
        }
        Ok(())
    }

    /// What was added.
    #[must_use]
    pub fn finish(mut self) -> Sketch {
        if let Some(pages) = self.pages.take() {
            self.sketch.buckets = pages.buckets().collect();
        }
        self.sketch
    }

    /// Memory it takes beside itself, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let pages = self.pages.as_ref().map_or(0, |p| {
            size_of::<Pages>() + p.pages.capacity() * size_of::<[u64; PER_OCTAVE]>()
        });
        pages + self.sketch.buckets.capacity() * size_of::<Bucket>()
    }

    fn add(&mut self, key: u16, count: u64) {
        if let Some(pages) = &mut self.pages {
            return pages.add(key, count);
        }
        let buckets = &mut self.sketch.buckets;
        match buckets.binary_search_by_key(&key, |b| b.key) {
            Ok(at) => buckets[at].count = buckets[at].count.saturating_add(count),
            Err(_) if buckets.len() >= MANY => {
                let mut pages = Box::new(Pages::new());
                for bucket in std::mem::take(buckets) {
                    pages.add(bucket.key, bucket.count);
                }
                pages.add(key, count);
                self.pages = Some(pages);
            }
            Err(at) => buckets.insert(at, Bucket { key, count }),
        }
    }

    fn widen(&mut self, min: i64, max: i64) {
        if std::mem::replace(&mut self.any, true) {
            self.sketch.min = self.sketch.min.min(min);
            self.sketch.max = self.sketch.max.max(max);
        } else {
            (self.sketch.min, self.sketch.max) = (min, max);
        }
    }
}

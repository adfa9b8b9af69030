//! Which bucket a value falls in, in integers, so that every machine agrees.

use super::SCALE;

/// Buckets per power of two.
pub(super) const PER_OCTAVE: usize = 1 << SCALE;

/// `2^(k/64)` for `k` in `0..64` as a fixed-point number with 63 fraction bits, rounded down. Built
/// from repeated square roots: `2^(k/64)` is the product of `2^(1/2)`, `2^(1/4)`, … over the bits of
/// `k`.
const BOUNDS: [u64; PER_OCTAVE] = bounds();

const fn bounds() -> [u64; PER_OCTAVE] {
    let mut roots = [0u128; SCALE as usize];
    let mut value: u128 = 2 << 63;
    let mut r = 0;
    while r < roots.len() {
        // The root of x * 2^-63 is sqrt(x * 2^63) * 2^-63.
        value = (value << 63).isqrt();
        roots[r] = value;
        r += 1;
    }
    let mut out = [0u64; PER_OCTAVE];
    let mut k = 0;
    while k < PER_OCTAVE {
        let mut product: u128 = 1 << 63;
        let mut r = 0;
        while r < roots.len() {
            if (k >> (roots.len() - 1 - r)) & 1 == 1 {
                product = (product * roots[r]) >> 63;
            }
            r += 1;
        }
        out[k] = product as u64;
        k += 1;
    }
    out
}

/// Key of a positive value; `None` for zero and less.
pub(crate) fn key(ns: i64) -> Option<u16> {
    if ns <= 0 {
        return None;
    }
    let v = ns.unsigned_abs();
    let octave = v.ilog2();
    let base = octave as usize * PER_OCTAVE;
    let mantissa = v << v.leading_zeros();
    // A value on a bound belongs to the bucket below it.
    let cell = (mantissa >> (63 - CELL_BITS)) as usize & (CELLS - 1);
    let below = usize::from(BELOW[cell]);
    let k = below + usize::from(BOUNDS.get(below).is_some_and(|bound| *bound < mantissa));
    u16::try_from(base + k).ok()
}

/// Bits after the leading one that choose a cell.
const CELL_BITS: u32 = 7;
/// Cells of equal length that an octave is cut into. A bucket is at least `2^(1/64) - 1`, or 1/92, of
/// an octave's start long, so that no cell of 1/128 holds two bounds.
const CELLS: usize = 1 << CELL_BITS;
/// Bounds below the start of each cell.
const BELOW: [u8; CELLS] = below();

const fn below() -> [u8; CELLS] {
    let mut out = [0; CELLS];
    let mut cell = 0;
    while cell < CELLS {
        let start = (1u64 << 63) + ((cell as u64) << (63 - CELL_BITS));
        let mut k = 0;
        while k < PER_OCTAVE && BOUNDS[k] < start {
            k += 1;
        }
        out[cell] = k as u8;
        cell += 1;
    }
    out
}

/// Largest key of any value.
pub(super) const MAX_KEY: u16 = 63 * PER_OCTAVE as u16;

/// The value whose relative distance to both ends of the bucket is smallest: the harmonic mean of
/// the ends. Key 0 holds 1 ns only.
pub(super) fn middle(key: u16) -> f64 {
    if key == 0 {
        return 1.0;
    }
    let (lo, hi) = (bound(key - 1), bound(key));
    2.0 * lo * hi / (lo + hi)
}

/// Largest integer in the bucket.
pub(crate) fn largest(key: u16) -> i64 {
    let (octave, k) = (usize::from(key) / PER_OCTAVE, usize::from(key) % PER_OCTAVE);
    let fixed = u128::from(BOUNDS[k]);
    i64::try_from((fixed << octave) >> 63).unwrap_or(i64::MAX)
}

/// `2^(key/64)`.
fn bound(key: u16) -> f64 {
    (f64::from(key) / PER_OCTAVE as f64).exp2()
}

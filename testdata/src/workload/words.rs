//! A vocabulary whose words are as frequent as Zipf's law has it.

use crate::dice::{Dice, exp};

/// Distinct words.
pub(super) const VOCABULARY: u64 = 50_000;
/// Natural logarithm of [`VOCABULARY`].
const LN_VOCABULARY: f64 = 10.819_778_284_410_283;

/// None holds `z` or `q`, so that a term with these letters is no word.
const SYLLABLES: [&str; 32] = [
    "ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "na", "pe", "ra", "si", "to", "vu", "we",
    "ster", "lin", "mar", "con", "tal", "dor", "net", "gen", "pol", "ver", "sum", "tri", "cal",
    "per", "nor", "wil",
];

/// Rank of a word, 0 the most frequent: the chance of rank `k` falls as `1 / (k + 1)`.
pub(super) fn rank(dice: &mut Dice) -> u64 {
    let rank = exp(dice.unit() * LN_VOCABULARY) as u64;
    rank.clamp(1, VOCABULARY) - 1
}

/// Appends the word of a rank; frequent words are shorter.
pub(super) fn push(rank: u64, out: &mut String) {
    let syllables = match rank {
        0..512 => 2,
        512..16_384 => 3,
        _ => 4,
    };
    // An odd factor permutes the numbers below a power of two: no two ranks of a length share a word.
    let mut number = rank.wrapping_mul(0x9e37_79b1) % (1 << (5 * syllables));
    for _ in 0..syllables {
        out.push_str(SYLLABLES[(number % 32) as usize]);
        number /= 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_zipf() {
        let mut dice = Dice::new(1, 1);
        let n = 200_000;
        let mut counts = vec![0u32; VOCABULARY as usize];
        (0..n).for_each(|_| counts[rank(&mut dice) as usize] += 1);
        // ln(2) / ln(50,000) of all draws are the first word; ten ranks on it is a sixth of that.
        let share = |rank: usize| f64::from(counts[rank]) / f64::from(n);
        assert!((share(0) - 0.0641).abs() < 0.003, "{}", share(0));
        assert!((share(9) / share(0) - 0.1375).abs() < 0.02, "{}", share(9) / share(0));
        let seen = counts.iter().filter(|c| **c > 0).count();
        assert!(seen > 20_000, "{seen}");
    }

    #[test]
    fn words_hold_neither_z_nor_q() {
        let mut word = String::new();
        for rank in 0..VOCABULARY {
            word.clear();
            push(rank, &mut word);
            assert!(word.len() >= 4 && !word.contains(['z', 'q']), "{word}");
        }
    }
}

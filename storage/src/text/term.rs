//! How the tokens of a piece are kept.
//!
//! * Numbers of one or two digits are on so many lines, in so many places, that they tell nothing
//!   apart: not at all.
//! * Frequent tokens by their text, with the rows that hold them, exactly.
//! * The others, which are most (ids and numbers, each on few rows), by a [key](key): three letters of
//!   the text and bits of its hash. Several may share a key, and one that is nowhere may have the key
//!   of another: their rows are candidates.

use super::token::MAX_TOKEN_BYTES;

/// A token is frequent from one row in so many on.
const FREQUENT_SHARE: u32 = 2048;
/// … and from so many rows on.
const FREQUENT_ROWS: u32 = 4;
/// Letters of a token in its key.
const LETTERS: usize = 3;
const LETTER_BITS: u32 = 6;
const PREFIX_BITS: u32 = LETTER_BITS * LETTERS as u32;

/// Rows from which on a token of a piece of so many rows is frequent.
pub(super) const fn frequent_from(rows: u32) -> u32 {
    let share = rows / FREQUENT_SHARE;
    if share > FREQUENT_ROWS { share } else { FREQUENT_ROWS }
}

/// Whether a token is not indexed.
pub(super) fn is_left_out(token: &str) -> bool {
    token.len() <= 2 && token.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a token that is not indexed may begin like this.
pub(super) fn may_begin_left_out(prefix: &str) -> bool {
    is_left_out(prefix)
}

pub(super) fn hash(token: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(token.as_bytes())
}

/// Bits of the hash in a key, for so many rare tokens: a token that is nowhere has the key of another
/// in a few cases of a thousand (letters tell about two thousand groups apart in practice).
pub(super) const fn hash_bits(rare: usize) -> u32 {
    let log = (rare as u64 + 1).ilog2();
    if log < 12 {
        8
    } else if log > 24 {
        20
    } else {
        log - 4
    }
}

/// The key of a token.
pub(super) fn key(token: &str, hash: u64, hash_bits: u32) -> u64 {
    (prefix(token) << hash_bits) | (hash & ((1 << hash_bits) - 1))
}

/// The keys of the tokens that begin like this.
pub(super) fn keys_beginning(text: &str, hash_bits: u32) -> std::ops::RangeInclusive<u64> {
    let known = text.len().min(LETTERS);
    let open = LETTER_BITS * u32::try_from(LETTERS - known).unwrap_or(0) + hash_bits;
    let first = prefix(text) << hash_bits;
    first..=(first | ((1 << open) - 1))
}

/// The first letters, six bits each; zeros behind the end.
fn prefix(token: &str) -> u64 {
    let letters = token.bytes().chain(std::iter::repeat(0)).take(LETTERS);
    letters.fold(0, |code, byte| (code << LETTER_BITS) | letter(byte))
}

fn letter(byte: u8) -> u64 {
    u64::from(match byte {
        0 => 0,
        b'0'..=b'9' => 1 + byte - b'0',
        b'a'..=b'z' => 11 + byte - b'a',
        b'_' => 37,
        _ => 38 + byte % 26,
    })
}

const _: () = assert!(PREFIX_BITS + 20 < 64 && MAX_TOKEN_BYTES < 256);

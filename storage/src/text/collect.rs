//! The tokens of rows and the rows of tokens, in memory.

use super::term;

/// Bytes of the first block of a token's rows; each further one is twice as long, up to the last.
const FIRST_BLOCK: usize = 8;
const LAST_BLOCK: usize = 256;
/// Bytes at the end of a block that say where the next one is.
const LINK: usize = 4;

/// A token: its text, and its rows as differences from one to the next, in linked blocks.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) hash: u64,
    /// Rows that hold it.
    pub(super) rows: u32,
    text_at: u32,
    text_len: u8,
    block_len: u16,
    room: u16,
    first: u32,
    last: u32,
    first_block: u32,
    tail: u32,
}

/// Rows by token. What it holds is at most 4 GiB, which its user keeps it far below.
#[derive(Debug, Default)]
pub(super) struct Collection {
    texts: Vec<u8>,
    terms: Vec<Term>,
    /// Numbers of terms plus one, by hash; zero is free.
    slots: Vec<u32>,
    blocks: Vec<u8>,
}

impl Collection {
    /// Memory it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.len()
            + self.blocks.len()
            + self.terms.len() * size_of::<Term>()
            + self.slots.len() * 4
    }

    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub(super) fn text(&self, term: &Term) -> &str {
        let at = term.text_at as usize;
        let bytes = self.texts.get(at..at + usize::from(term.text_len)).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }

    /// Notes that a row holds a token. Rows come in ascending order.
    pub(super) fn note(&mut self, token: &str, row: u32) {
        if (self.terms.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = term::hash(token);
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 20) as usize & mask;
        loop {
            let number = self.slots.get(at).copied().unwrap_or(0);
            if number == 0 {
                break;
            }
            let known = number as usize - 1;
            let same = self
                .terms
                .get(known)
                .is_some_and(|term| term.hash == hash && self.text(term) == token);
            if same {
                self.add(known, row);
                return;
            }
            at = (at + 1) & mask;
        }
        let term = Term {
            hash,
            rows: 1,
            text_at: u32::try_from(self.texts.len()).unwrap_or(u32::MAX),
            text_len: u8::try_from(token.len()).unwrap_or(u8::MAX),
            block_len: 0,
            room: 0,
            first: row,
            last: row,
            first_block: 0,
            tail: 0,
        };
        self.texts.extend_from_slice(token.as_bytes());
        self.terms.push(term);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = u32::try_from(self.terms.len()).unwrap_or(0);
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1 << 12);
        let mut slots = vec![0_u32; size];
        for (term, number) in self.terms.iter().zip(1..) {
            let mut at = (term.hash >> 20) as usize & (size - 1);
            while slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = number;
            }
        }
        self.slots = slots;
    }

    fn add(&mut self, number: usize, row: u32) {
        let Some(term) = self.terms.get_mut(number) else { return };
        if term.last == row {
            return;
        }
        let mut gap = row - term.last;
        term.last = row;
        term.rows += 1;
        loop {
            let [low, ..] = gap.to_le_bytes();
            gap >>= 7;
            let byte = if gap > 0 { low | 0x80 } else { low & 0x7f };
            if term.room == 0 {
                open_block(term, &mut self.blocks);
            }
            if let Some(place) = self.blocks.get_mut(term.tail as usize) {
                *place = byte;
            }
            term.tail += 1;
            term.room -= 1;
            if gap == 0 {
                return;
            }
        }
    }

    /// Appends the rows of a term to `out`, ascending.
    pub(super) fn rows(&self, term: &Term, out: &mut Vec<u32>) {
        let mut row = term.first;
        out.push(row);
        let (mut at, mut len) = (term.first_block as usize, FIRST_BLOCK);
        let mut left = len;
        for _ in 1..term.rows {
            let (mut gap, mut shift) = (0_u32, 0);
            loop {
                if left == 0 {
                    let link = self.blocks.get(at..at + LINK).and_then(|l| l.try_into().ok());
                    at = u32::from_le_bytes(link.unwrap_or_default()) as usize;
                    len = next_len(len);
                    left = len;
                }
                let byte = self.blocks.get(at).copied().unwrap_or_default();
                at += 1;
                left -= 1;
                gap |= u32::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 || shift > 28 {
                    break;
                }
            }
            row += gap;
            out.push(row);
        }
    }
}

const fn next_len(len: usize) -> usize {
    if len * 2 > LAST_BLOCK { LAST_BLOCK } else { len * 2 }
}

/// Appends an empty block for a term and links it to the one before.
fn open_block(term: &mut Term, blocks: &mut Vec<u8>) {
    let len = match usize::from(term.block_len) {
        0 => FIRST_BLOCK,
        len => next_len(len),
    };
    let at = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    blocks.resize(blocks.len() + len + LINK, 0);
    if term.block_len == 0 {
        term.first_block = at;
    } else {
        let tail = term.tail as usize;
        if let Some(link) = blocks.get_mut(tail..tail + LINK) {
            link.copy_from_slice(&at.to_le_bytes());
        }
    }
    let short = u16::try_from(len).unwrap_or(u16::MAX);
    (term.block_len, term.room, term.tail) = (short, short, at);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_of_every_token(
            rows in prop::collection::vec(
                (1_u32..100_000, prop::collection::vec("[ab]{0,2}|[a-f]{1,4}", 0..12)),
                0..300,
            ),
        ) {
            let mut all = Collection::default();
            let mut want: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
            let mut row = 0;
            for (step, tokens) in rows {
                row += step;
                for token in tokens {
                    all.note(&token, row);
                    want.entry(token).or_default().insert(row);
                }
            }
            let mut got = BTreeMap::new();
            for term in all.terms() {
                let mut rows = Vec::new();
                all.rows(term, &mut rows);
                prop_assert_eq!(rows.len(), term.rows as usize);
                got.insert(all.text(term).to_owned(), rows);
            }
            let want: BTreeMap<_, Vec<u32>> =
                want.into_iter().map(|(t, r)| (t, r.into_iter().collect())).collect();
            prop_assert_eq!(got, want);
        }
    }
}

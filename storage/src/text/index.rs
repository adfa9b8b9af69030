//! Lookup in the text index of a segment.

use std::path::Path;

use super::bits::BitReader;
use super::build::KEY_LOW_BITS;
use super::file::{self, IndexFile, Part, Piece};
use super::posting::{self, Blocks};
use super::query::{Node, TextQuery};
use super::rows::{Gather, RowSet};
use super::term;
use crate::error::StorageError;

/// The open text index of one segment: its directory in memory, the rest read when it is asked for.
/// Every part is verified when it is read.
pub struct TextIndex {
    file: IndexFile,
    rows: u32,
    bytes: u64,
    blocks: Blocks,
    pieces: Vec<Piece>,
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextIndex")
            .field("path", &self.file.path())
            .field("rows", &self.rows)
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}

/// What an index knows of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Rows that may match: every row that matches is among them.
    pub rows: RowSet,
    /// Those of them that are known to match; `None` when all are.
    pub certain: Option<RowSet>,
}

impl Candidates {
    const fn exact(rows: RowSet) -> Self {
        Self { rows, certain: None }
    }

    fn possible(rows: RowSet) -> Self {
        let certain = (!rows.is_empty()).then(RowSet::none);
        Self { rows, certain }
    }

    /// Whether every row is known to match.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.certain.is_none()
    }

    /// Whether a row, one of [`Candidates::rows`], is known to match.
    #[must_use]
    pub fn is_certain(&self, row: u32) -> bool {
        self.certain.as_ref().is_none_or(|rows| rows.contains(row))
    }

    fn combine(self, other: &Self, op: impl Fn(&mut RowSet, &RowSet)) -> Self {
        let mut rows = self.rows.clone();
        op(&mut rows, &other.rows);
        if self.certain.is_none() && other.certain.is_none() {
            return Self::exact(rows);
        }
        let mut certain = self.certain.unwrap_or(self.rows);
        op(&mut certain, other.certain.as_ref().unwrap_or(&other.rows));
        let certain = (certain.len() < rows.len()).then_some(certain);
        Self { rows, certain }
    }

    fn complement(&self, all: u32) -> Self {
        match &self.certain {
            None => Self::exact(self.rows.complement(all)),
            Some(certain) => {
                Self { rows: certain.complement(all), certain: Some(self.rows.complement(all)) }
            }
        }
    }
}

impl TextIndex {
    /// Opens an index and verifies its directory.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the file is not what was written, [`StorageError::TooNew`]
    /// when a newer version wrote it, [`StorageError::Io`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let (file, directory, read) = IndexFile::open(path)?;
        let terms: usize = directory.pieces.iter().map(|p| p.frequent.len()).sum();
        let blocks: usize = directory.pieces.iter().map(|p| p.rare.len()).sum();
        // What the directory takes in memory: its texts, and a place for each part.
        let bytes = read + (terms * 48 + blocks * 24) as u64;
        let (rows, blocks, pieces) = (directory.rows, directory.blocks, directory.pieces);
        Ok(Self { file, rows, bytes, blocks, pieces })
    }

    /// Whether there is a file, written in today's format. One of an older format serves as none: all
    /// rows are candidates, and compaction writes the segment anew.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_current(path: &Path) -> Result<bool, StorageError> {
        file::is_current(path)
    }

    /// Rows of the segment.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Memory it takes while it is open, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows that may match, and which of them are known to. `None`: every row may match, scan them
    /// all.
    ///
    /// A row without a body counts as one with an empty body.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn candidates(&self, query: &TextQuery) -> Result<Option<Candidates>, StorageError> {
        if query.matches_all() {
            return Ok(None);
        }
        let found = self.find(&query.root)?;
        let all = found.rows.len() >= u64::from(self.rows);
        Ok((!all || found.is_exact()).then_some(found))
    }

    fn find(&self, node: &Node) -> Result<Candidates, StorageError> {
        match node {
            Node::All => Ok(Candidates::exact(RowSet::all(self.rows))),
            Node::Run { tokens, prefix } => self.run(tokens, *prefix),
            Node::And(nodes) => self.all_of(nodes),
            Node::Or(nodes) => {
                let mut found = Candidates::exact(RowSet::none());
                for node in nodes {
                    found = found.combine(&self.find(node)?, RowSet::union);
                }
                Ok(found)
            }
            Node::Not(inner) => Ok(self.find(inner)?.complement(self.rows)),
        }
    }

    fn all_of(&self, nodes: &[Node]) -> Result<Candidates, StorageError> {
        // Rare words first: one that is nowhere answers without reading the rows of the others.
        let (rare, others): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(|node| {
            matches!(node, Node::Run { tokens, .. } if tokens.iter().any(|t| !self.is_frequent(t)))
        });
        let mut found: Option<Candidates> = None;
        for node in rare.into_iter().chain(others) {
            let next = self.find(node)?;
            let both = match found {
                Some(found) => found.combine(&next, RowSet::intersect),
                None => next,
            };
            if both.rows.is_empty() {
                return Ok(Candidates::exact(RowSet::none()));
            }
            found = Some(both);
        }
        Ok(found.unwrap_or_else(|| Candidates::exact(RowSet::all(self.rows))))
    }

    fn is_frequent(&self, token: &str) -> bool {
        self.pieces.iter().any(|piece| piece.frequent(token).is_some())
    }

    /// Rows that have the tokens one after the other: those that have all of them may.
    fn run(&self, tokens: &[Box<str>], prefix: bool) -> Result<Candidates, StorageError> {
        let whole = if prefix { tokens.len().saturating_sub(1) } else { tokens.len() };
        let (words, beginning) = tokens.split_at(whole);
        let (rare, others): (Vec<_>, Vec<_>) = words.iter().partition(|t| !self.is_frequent(t));
        let mut found: Option<Candidates> = None;
        let mut narrow = |next: Candidates| {
            let both = match found.take() {
                Some(found) => found.combine(&next, RowSet::intersect),
                None => next,
            };
            let empty = both.rows.is_empty();
            found = Some(both);
            empty
        };
        for word in rare.into_iter().chain(others) {
            if narrow(self.word(word)?) {
                return Ok(Candidates::exact(RowSet::none()));
            }
        }
        for beginning in beginning {
            narrow(self.beginning(beginning)?);
        }
        let found = found.unwrap_or_else(|| Candidates::exact(RowSet::all(self.rows)));
        Ok(if tokens.len() <= 1 { found } else { Candidates::possible(found.rows) })
    }

    /// Rows that have a token.
    fn word(&self, token: &str) -> Result<Candidates, StorageError> {
        if term::is_left_out(token) {
            return Ok(Candidates::possible(RowSet::all(self.rows)));
        }
        let hash = term::hash(token);
        let (mut exact, mut coarse) = (Gather::new(self.rows), Gather::new(self.rows));
        for piece in &self.pieces {
            if let Some(part) = piece.frequent(token) {
                self.exact(piece, part, &mut exact)?;
            } else {
                let key = term::key(token, hash, piece.hash_bits);
                self.coarse(piece, key..=key, &mut coarse)?;
            }
        }
        Ok(between(exact.finish(), coarse.finish()))
    }

    /// Rows that have a token that begins like this.
    fn beginning(&self, text: &str) -> Result<Candidates, StorageError> {
        let (mut exact, mut coarse) = (Gather::new(self.rows), Gather::new(self.rows));
        for piece in &self.pieces {
            let from = piece.frequent.partition_point(|f| &*f.text < text);
            let these = piece.frequent.iter().skip(from).take_while(|f| f.text.starts_with(text));
            for frequent in these {
                self.exact(piece, frequent.part, &mut exact)?;
            }
            self.coarse(piece, term::keys_beginning(text, piece.hash_bits), &mut coarse)?;
        }
        if term::may_begin_left_out(text) {
            return Ok(between(exact.finish(), RowSet::all(self.rows)));
        }
        Ok(between(exact.finish(), coarse.finish()))
    }

    fn exact(&self, piece: &Piece, part: Part, found: &mut Gather) -> Result<(), StorageError> {
        let bytes = self.file.part(part)?;
        posting::read_exact(piece.rows, piece.first_row, &bytes, found)
            .ok_or_else(|| self.file.damaged(part.offset, "the rows of a token are unreadable"))
    }

    /// Adds the blocks of rare tokens with these keys.
    fn coarse(
        &self,
        piece: &Piece,
        keys: std::ops::RangeInclusive<u64>,
        found: &mut Gather,
    ) -> Result<(), StorageError> {
        let from = piece.rare.partition_point(|r| r.key <= *keys.start()).saturating_sub(1);
        let blocks = piece.rare.iter().skip(from).take_while(|r| r.key <= *keys.end());
        for block in blocks {
            let bytes = self.file.part(block.part)?;
            read_block(self.blocks, piece, block.key, &bytes, &keys, found).ok_or_else(|| {
                self.file.damaged(block.part.offset, "a block of tokens is unreadable")
            })?;
        }
        Ok(())
    }
}

impl Piece {
    fn frequent(&self, token: &str) -> Option<Part> {
        let at = self.frequent.binary_search_by(|f| f.text.as_ref().cmp(token)).ok()?;
        self.frequent.get(at).map(|f| f.part)
    }
}

/// Of some rows it is certain, of others possible.
fn between(certain: RowSet, mut possible: RowSet) -> Candidates {
    if possible.is_empty() {
        return Candidates::exact(certain);
    }
    possible.union(&certain);
    let certain = (certain.len() < possible.len()).then_some(certain);
    Candidates { rows: possible, certain }
}

fn read_block(
    blocks: Blocks,
    piece: &Piece,
    first: u64,
    bytes: &[u8],
    wanted: &std::ops::RangeInclusive<u64>,
    found: &mut Gather,
) -> Option<()> {
    let mut bits = BitReader::new(bytes);
    let more = bits.plain(7)?;
    let k = bits.plain(5)?;
    let mut key = first;
    let mut hits = vec![wanted.contains(&key)];
    for _ in 0..more {
        let low = u64::from(bits.plain(KEY_LOW_BITS)?);
        let high = u64::from(bits.rice(k)?) << KEY_LOW_BITS;
        key = key.checked_add(high + low + 1)?;
        hits.push(wanted.contains(&key));
    }
    let Some(last) = hits.iter().rposition(|hit| *hit) else { return Some(()) };
    for hit in hits.into_iter().take(last + 1) {
        let found = hit.then_some(&mut *found);
        posting::read_coarse(blocks, piece.rows, piece.first_row, &mut bits, found)?;
    }
    Some(())
}

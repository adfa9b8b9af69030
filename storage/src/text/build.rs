//! Building the index of a segment.

use std::path::Path;

use super::bits::{BitWriter, rice_parameter};
use super::collect::{Collection, Term};
use super::file::{Directory, Frequent, IndexWriter, Piece, Rare};
use super::index::TextIndex;
use super::posting;
use super::term;
use super::token::Tokens;
use crate::error::StorageError;

/// Memory in bytes at which a piece of the index is written and the next one begins.
const MEMORY_BUDGET: usize = 128 << 20;
/// Rows after which the memory in use is looked at again; a multiple of those of a block.
const CHECK_EVERY: u32 = 4096;
/// Rare tokens of a block.
const BLOCK_TERMS: usize = 128;
/// Low bits of the difference of two keys that are written as they are.
pub(super) const KEY_LOW_BITS: u32 = 8;

/// Collects the rows of a segment, in the order of the segment.
pub struct TextIndexBuilder {
    file: IndexWriter,
    budget: usize,
    directory: Directory,
    first_row: u32,
    rows: u32,
    piece: Collection,
    token: String,
}

impl std::fmt::Debug for TextIndexBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextIndexBuilder").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl TextIndexBuilder {
    /// Starts the file; it appears under `path` when [`TextIndexBuilder::finish`] returns, and
    /// under `path` with `.tmp` appended until then.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        Self::with_memory_budget(path, MEMORY_BUDGET)
    }

    /// As [`TextIndexBuilder::create`], with another number of bytes of memory the build may take
    /// (at least what 4096 rows need). Rows beyond it go to a further piece of the same file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn with_memory_budget(path: &Path, bytes: usize) -> Result<Self, StorageError> {
        Ok(Self {
            file: IndexWriter::create(path)?,
            budget: bytes.min(1 << 30),
            directory: Directory::default(),
            first_row: 0,
            rows: 0,
            piece: Collection::default(),
            token: String::new(),
        })
    }

    /// As an older version wrote it.
    #[cfg(test)]
    pub(super) const fn in_version_2(mut self) -> Self {
        self.directory.blocks = posting::Blocks::VERSION_2;
        self
    }

    /// Adds the next row by its body, empty if it has none.
    ///
    /// # Errors
    /// When a full piece cannot be written, or the segment has more than `u32::MAX - 1` rows.
    pub fn push(&mut self, body: &str) -> Result<(), StorageError> {
        let row = self.rows - self.first_row;
        if row > 0 && row.is_multiple_of(CHECK_EVERY) && self.piece.bytes() > self.budget {
            self.end_piece()?;
        }
        let many = "a segment has more rows than an index can number";
        let next = self.rows.checked_add(1).filter(|rows| *rows < u32::MAX);
        let next = next.ok_or_else(|| StorageError::TextIndex(many.to_owned()))?;
        let row = self.rows - self.first_row;
        let mut tokens = Tokens::new(body);
        self.token.clear();
        while tokens.append_next(&mut self.token) {
            if !term::is_left_out(&self.token) {
                self.piece.note(&self.token, row);
            }
            self.token.clear();
        }
        self.rows = next;
        Ok(())
    }

    /// Writes what is left, makes the file durable under its name and answers its size in bytes.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left under `path` then.
    pub fn finish(mut self) -> Result<u64, StorageError> {
        self.end_piece()?;
        self.directory.rows = self.rows;
        self.file.finish(&self.directory)
    }

    fn end_piece(&mut self) -> Result<(), StorageError> {
        let rows = self.rows - self.first_row;
        if rows == 0 {
            return Ok(());
        }
        let all = std::mem::take(&mut self.piece);
        let least = term::frequent_from(rows);
        let (mut frequent, rare): (Vec<&Term>, Vec<&Term>) =
            all.terms().iter().partition(|term| term.rows >= least);
        let hash_bits = term::hash_bits(rare.len());
        let mut keyed: Vec<(u64, &Term)> = rare
            .into_iter()
            .map(|term| (term::key(all.text(term), term.hash, hash_bits), term))
            .collect();
        keyed.sort_unstable_by_key(|(key, term)| (*key, term.hash));
        frequent.sort_unstable_by_key(|term| all.text(term));
        let rare = self.write_rare(&all, rows, &keyed)?;
        let frequent = self.write_frequent(&all, rows, &frequent)?;
        let first_row = self.first_row;
        self.directory.pieces.push(Piece { first_row, rows, hash_bits, frequent, rare });
        self.first_row = self.rows;
        Ok(())
    }

    fn write_rare(
        &mut self,
        all: &Collection,
        rows: u32,
        keyed: &[(u64, &Term)],
    ) -> Result<Vec<Rare>, StorageError> {
        let groups: Vec<&[(u64, &Term)]> = keyed.chunk_by(|a, b| a.0 == b.0).collect();
        let mut blocks = Vec::with_capacity(groups.len().div_ceil(BLOCK_TERMS));
        let mut list = Vec::new();
        for block in groups.chunks(BLOCK_TERMS) {
            let keys: Vec<u64> = block.iter().filter_map(|g| g.first()).map(|g| g.0).collect();
            let gaps: Vec<u64> =
                keys.iter().zip(keys.iter().skip(1)).map(|(a, b)| b - a - 1).collect();
            let k = rice_parameter(gaps.iter().map(|g| g >> KEY_LOW_BITS).sum(), gaps.len());
            let mut out = BitWriter::default();
            out.plain(u32::try_from(gaps.len()).unwrap_or(u32::MAX), 7);
            out.plain(k, 5);
            for gap in gaps {
                out.plain(
                    u32::try_from(gap & ((1 << KEY_LOW_BITS) - 1)).unwrap_or(0),
                    KEY_LOW_BITS,
                );
                out.rice(u32::try_from(gap >> KEY_LOW_BITS).unwrap_or(u32::MAX), k);
            }
            for group in block {
                list.clear();
                group.iter().for_each(|(_, term)| all.rows(term, &mut list));
                if group.len() > 1 {
                    list.sort_unstable();
                    list.dedup();
                }
                posting::write_coarse(self.directory.blocks, rows, &list, &mut out);
            }
            let part = self.file.append(&out.finish())?;
            blocks.push(Rare { key: keys.first().copied().unwrap_or(0), part });
        }
        Ok(blocks)
    }

    fn write_frequent(
        &mut self,
        all: &Collection,
        rows: u32,
        terms: &[&Term],
    ) -> Result<Vec<Frequent>, StorageError> {
        let mut list = Vec::new();
        let one = |term: &&Term| {
            list.clear();
            all.rows(term, &mut list);
            let mut out = BitWriter::default();
            posting::write_exact(rows, &list, &mut out);
            let part = self.file.append(&out.finish())?;
            Ok(Frequent { text: all.text(term).into(), part })
        };
        terms.iter().map(one).collect()
    }
}

impl TextIndex {
    /// Builds the index of a segment from the bodies of its rows in the order of the segment, empty
    /// for a row without one. See [`TextIndexBuilder`] for adding row by row. Answers the size of the
    /// file in bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn build<'a>(
        rows: impl IntoIterator<Item = &'a str>,
        path: &Path,
    ) -> Result<u64, StorageError> {
        let mut builder = TextIndexBuilder::create(path)?;
        for body in rows {
            builder.push(body)?;
        }
        builder.finish()
    }
}

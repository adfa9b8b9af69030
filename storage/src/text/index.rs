//! Lookup in the text index of a segment.

use std::path::{Path, PathBuf};

use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Index, InvertedIndexReader, SegmentReader};

use super::build::{ATTRIBUTE, BODY, fault, push_attribute_token};
use super::bundle;
use super::query::{Node, TextQuery};
use super::rows::{Gather, RowSet};
use crate::error::StorageError;

/// The open text index of one segment. Opening verifies the whole file; keep it open.
pub struct TextIndex {
    path: PathBuf,
    rows: u32,
    bytes: u64,
    pieces: Vec<Piece>,
}

struct Piece {
    first_row: u32,
    body: std::sync::Arc<InvertedIndexReader>,
    attribute: std::sync::Arc<InvertedIndexReader>,
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextIndex")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .field("pieces", &self.pieces.len())
            .finish_non_exhaustive()
    }
}

/// What is known of the rows of a node: all of `certain` match, and none outside `possible`.
enum Bounds {
    Exact(RowSet),
    Between { certain: RowSet, possible: RowSet },
}

impl Bounds {
    fn split(self) -> (RowSet, RowSet) {
        match self {
            Self::Exact(rows) => (rows.clone(), rows),
            Self::Between { certain, possible } => (certain, possible),
        }
    }

    fn possible(&self) -> &RowSet {
        match self {
            Self::Exact(rows) | Self::Between { possible: rows, .. } => rows,
        }
    }

    fn combine(self, other: Self, op: impl Fn(&mut RowSet, &RowSet)) -> Self {
        match (self, other) {
            (Self::Exact(mut mine), Self::Exact(theirs)) => {
                op(&mut mine, &theirs);
                Self::Exact(mine)
            }
            (mine, theirs) => {
                let (mut certain, mut possible) = mine.split();
                let (their_certain, their_possible) = theirs.split();
                op(&mut certain, &their_certain);
                op(&mut possible, &their_possible);
                Self::Between { certain, possible }
            }
        }
    }
}

impl TextIndex {
    /// Opens an index and verifies its checksums.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the file is not what was written, [`StorageError::TooNew`]
    /// when a newer version wrote it, [`StorageError::Io`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let (table, directories, bytes) = bundle::open(path)?;
        let mut pieces = Vec::with_capacity(directories.len());
        for (piece, directory) in table.pieces.iter().zip(directories) {
            let damaged = |detail: String| StorageError::Corrupt {
                path: path.to_owned(),
                offset: piece.offset(),
                detail,
            };
            let segments = Index::open(directory)
                .and_then(|index| index.searchable_segments())
                .map_err(|e| damaged(e.to_string()))?;
            let [segment] = segments.as_slice() else {
                return Err(damaged(format!("{} segments in one piece", segments.len())));
            };
            let reader = SegmentReader::open(segment).map_err(|e| damaged(e.to_string()))?;
            if reader.max_doc() != piece.rows {
                let detail = format!("{} rows instead of {}", reader.max_doc(), piece.rows);
                return Err(damaged(detail));
            }
            let field = |name| -> tantivy::Result<_> {
                let field: Field = reader.schema().get_field(name)?;
                reader.inverted_index(field)
            };
            pieces.push(Piece {
                first_row: piece.first_row,
                body: field(BODY).map_err(|e| damaged(e.to_string()))?,
                attribute: field(ATTRIBUTE).map_err(|e| damaged(e.to_string()))?,
            });
        }
        Ok(Self { path: path.to_owned(), rows: table.rows, bytes, pieces })
    }

    /// Rows of the segment.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Size of the file in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows that may match; every row that matches is among them, and when the query
    /// [is exact](TextQuery::is_exact), no other. `None`: every row may match, scan them all.
    ///
    /// A row without a body counts as one with an empty body.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn candidates(&self, query: &TextQuery) -> Result<Option<RowSet>, StorageError> {
        if query.matches_all() {
            return Ok(None);
        }
        let (_, possible) = self.bounds(&query.root)?.split();
        Ok((possible.len() < u64::from(self.rows)).then_some(possible))
    }

    /// Rows that have the attribute `key` with the value `value`, both exactly as they were given
    /// to the build.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn attribute(&self, key: &str, value: &str) -> Result<RowSet, StorageError> {
        let mut token = String::with_capacity(key.len() + value.len() + 1);
        push_attribute_token(&mut token, key, value);
        let mut found = Gather::new(self.rows);
        for piece in &self.pieces {
            let info = piece.attribute.terms().get(token.as_bytes()).map_err(fault)?;
            if let Some(info) = info {
                read(&piece.attribute, &info, piece.first_row, &mut found)?;
            }
        }
        Ok(found.finish())
    }

    fn bounds(&self, node: &Node) -> Result<Bounds, StorageError> {
        match node {
            Node::All => Ok(Bounds::Exact(RowSet::all(self.rows))),
            Node::Run { tokens, prefix } => self.run(tokens, *prefix),
            Node::And(nodes) => self.all_of(nodes),
            Node::Or(nodes) => {
                let mut found = Bounds::Exact(RowSet::none());
                for node in nodes {
                    found = found.combine(self.bounds(node)?, RowSet::union);
                }
                Ok(found)
            }
            Node::Not(inner) => Ok(match self.bounds(inner)? {
                Bounds::Exact(rows) => Bounds::Exact(rows.complement(self.rows)),
                Bounds::Between { certain, possible } => Bounds::Between {
                    certain: possible.complement(self.rows),
                    possible: certain.complement(self.rows),
                },
            }),
        }
    }

    fn all_of(&self, nodes: &[Node]) -> Result<Bounds, StorageError> {
        // A word that is nowhere answers without reading the rows of the others.
        for node in nodes {
            if let Node::Run { tokens, prefix: false } = node
                && !self.occurs(tokens)?
            {
                return Ok(Bounds::Exact(RowSet::none()));
            }
        }
        let mut found = Bounds::Exact(RowSet::all(self.rows));
        for node in nodes {
            if found.possible().is_empty() {
                break;
            }
            found = found.combine(self.bounds(node)?, RowSet::intersect);
        }
        Ok(found)
    }

    /// Whether there is a piece that has every token.
    fn occurs(&self, tokens: &[Box<str>]) -> Result<bool, StorageError> {
        for piece in &self.pieces {
            let mut everywhere = true;
            for token in tokens {
                everywhere &= piece.body.terms().get(token.as_bytes()).map_err(fault)?.is_some();
            }
            if everywhere {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn run(&self, tokens: &[Box<str>], prefix: bool) -> Result<Bounds, StorageError> {
        let mut possible = RowSet::none();
        for piece in &self.pieces {
            if let Some(rows) = piece.run(tokens, prefix, self.rows)? {
                possible.union(&rows);
            }
        }
        Ok(if tokens.len() <= 1 || possible.is_empty() {
            Bounds::Exact(possible)
        } else {
            Bounds::Between { certain: RowSet::none(), possible }
        })
    }
}

impl Piece {
    /// Rows that have all the tokens, in whatever order; `None` when one of them is nowhere.
    fn run(
        &self,
        tokens: &[Box<str>],
        prefix: bool,
        rows: u32,
    ) -> Result<Option<RowSet>, StorageError> {
        let whole = if prefix { tokens.len().saturating_sub(1) } else { tokens.len() };
        let (words, beginning) = tokens.split_at(whole);
        let mut infos = Vec::with_capacity(words.len());
        for word in words {
            match self.body.terms().get(word.as_bytes()).map_err(fault)? {
                Some(info) => infos.push(info),
                None => return Ok(None),
            }
        }
        infos.sort_by_key(|info| info.doc_freq);
        let mut found: Option<RowSet> = None;
        for info in &infos {
            let mut of_word = Gather::new(rows);
            read(&self.body, info, self.first_row, &mut of_word)?;
            found = Some(meet(found, of_word.finish()));
        }
        if let [beginning] = beginning {
            found = Some(meet(found, self.beginning(beginning, rows)?));
        }
        Ok(found)
    }

    /// Rows that have a token that begins like this.
    fn beginning(&self, prefix: &str, rows: u32) -> Result<RowSet, StorageError> {
        let mut found = Gather::new(rows);
        let mut stream =
            self.body.terms().range().ge(prefix.as_bytes()).into_stream().map_err(fault)?;
        while stream.advance() && stream.key().starts_with(prefix.as_bytes()) {
            read(&self.body, stream.value(), self.first_row, &mut found)?;
        }
        Ok(found.finish())
    }
}

fn meet(found: Option<RowSet>, rows: RowSet) -> RowSet {
    match found {
        Some(mut found) => {
            found.intersect(&rows);
            found
        }
        None => rows,
    }
}

/// Adds the rows of a term.
fn read(
    terms: &InvertedIndexReader,
    info: &tantivy::postings::TermInfo,
    first_row: u32,
    rows: &mut Gather,
) -> Result<(), StorageError> {
    let mut postings: BlockSegmentPostings =
        terms.read_block_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(fault)?;
    while postings.block_len() > 0 {
        rows.add(first_row, postings.docs());
        postings.advance();
    }
    Ok(())
}

//! Building the index of a segment.

use std::ops::Range;
use std::path::Path;

use tantivy::directory::{ManagedDirectory, OwnedBytes, RamDirectory, TerminatingWrite};
use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf, Value};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::tokenizer::{
    RawTokenizer, TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager,
};
use tantivy::{Directory, Index, IndexSettings, SingleSegmentIndexWriter};

use super::bundle::BundleWriter;
use super::index::TextIndex;
use super::token::{MAX_TOKEN_BYTES, Tokens};
use crate::error::StorageError;

/// Memory in bytes at which a piece of the index is written and the next one begins.
const MEMORY_BUDGET: usize = 96 << 20;
/// Rows after which the memory in use is looked at again.
const CHECK_EVERY: u32 = 256;

pub(super) const BODY: &str = "body";
pub(super) const ATTRIBUTE: &str = "attribute";
const WORDS: &str = "words";
const RAW: &str = "raw";

pub(super) fn fault(error: impl std::fmt::Display) -> StorageError {
    StorageError::TextIndex(error.to_string())
}

fn schema() -> (Schema, Field, Field) {
    let indexed = |tokenizer| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(IndexRecordOption::Basic)
                .set_fieldnorms(false),
        )
    };
    let mut schema = Schema::builder();
    let body = schema.add_text_field(BODY, indexed(WORDS));
    let attribute = schema.add_text_field(ATTRIBUTE, indexed(RAW));
    (schema.build(), body, attribute)
}

/// Appends the one token that stands for `key = value`.
///
/// Keys and values are exact, also in letter case. Long ones, and such that contain the separator,
/// are represented by a 128-bit hash.
pub(super) fn push_attribute_token(out: &mut String, key: &str, value: &str) {
    let plain = key.len() + value.len() < MAX_TOKEN_BYTES;
    if plain && !key.contains('\0') && !value.contains('\0') {
        out.push_str(key);
        out.push('\0');
        out.push_str(value);
        return;
    }
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key.as_bytes());
    hash.update(value.as_bytes());
    out.push('\0');
    out.push_str(&format!("{:032x}", hash.digest128()));
}

/// Collects the rows of a segment, in the order of the segment.
pub struct TextIndexBuilder {
    bundle: BundleWriter,
    budget: usize,
    first_row: u32,
    rows: u32,
    piece: Option<PieceWriter>,
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
    /// (at least 1 MiB are taken). Rows beyond it go to a further piece of the same file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn with_memory_budget(path: &Path, bytes: usize) -> Result<Self, StorageError> {
        let bundle = BundleWriter::create(path)?;
        Ok(Self { bundle, budget: bytes.max(1 << 20), first_row: 0, rows: 0, piece: None })
    }

    /// Adds the next row: its body (empty if it has none) and its attributes.
    ///
    /// # Errors
    /// When a full piece cannot be written, or the segment has more than `u32::MAX - 1` rows.
    pub fn push<'a>(
        &mut self,
        body: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), StorageError> {
        let in_piece = self.rows - self.first_row;
        let full = in_piece > 0
            && in_piece.is_multiple_of(CHECK_EVERY)
            && self.piece.as_ref().is_some_and(|piece| piece.writer.mem_usage() > self.budget);
        if full {
            self.end_piece()?;
        }
        let next = self.rows.checked_add(1).filter(|rows| *rows < u32::MAX);
        let next = next.ok_or_else(|| fault("a segment has more rows than an index can number"))?;
        let mut piece = match self.piece.take() {
            Some(piece) => piece,
            None => PieceWriter::new(self.budget)?,
        };
        piece.push(body, attributes)?;
        self.piece = Some(piece);
        self.rows = next;
        Ok(())
    }

    /// Writes what is left, makes the file durable under its name and answers its size in bytes.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is left under `path` then.
    pub fn finish(mut self) -> Result<u64, StorageError> {
        self.end_piece()?;
        self.bundle.finish(self.rows)
    }

    fn end_piece(&mut self) -> Result<(), StorageError> {
        let Some(piece) = self.piece.take() else { return Ok(()) };
        let parts = piece.finish()?;
        self.bundle.append(self.first_row, self.rows - self.first_row, parts)?;
        self.first_row = self.rows;
        Ok(())
    }
}

impl TextIndex {
    /// Builds the index of a segment from its rows in the order of the segment: the body of each
    /// (empty if it has none) and its attributes. See [`TextIndexBuilder`] for adding row by row.
    /// Answers the size of the file in bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn build<'a, A>(
        rows: impl IntoIterator<Item = (&'a str, A)>,
        path: &Path,
    ) -> Result<u64, StorageError>
    where
        A: IntoIterator<Item = (&'a str, &'a str)>,
    {
        let mut builder = TextIndexBuilder::create(path)?;
        for (body, attributes) in rows {
            builder.push(body, attributes)?;
        }
        builder.finish()
    }
}

/// One tantivy segment in the making.
struct PieceWriter {
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter<Row>,
    body: Field,
    attribute: Field,
}

impl PieceWriter {
    fn new(budget: usize) -> Result<Self, StorageError> {
        let directory = RamDirectory::create();
        let (schema, body, attribute) = schema();
        let tokenizers = TokenizerManager::new();
        tokenizers.register(WORDS, Words::default());
        tokenizers.register(RAW, TextAnalyzer::from(RawTokenizer::default()));
        let writer = Index::builder()
            .schema(schema)
            .tokenizers(tokenizers)
            .settings(IndexSettings {
                docstore_compression: Compressor::None,
                docstore_compress_dedicated_thread: false,
                ..IndexSettings::default()
            })
            .single_segment_index_writer(directory.clone(), budget)
            .map_err(fault)?;
        Ok(Self { directory, writer, body, attribute })
    }

    fn push<'a>(
        &mut self,
        body: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), StorageError> {
        let mut row = Row { text: body.to_owned(), values: Vec::new() };
        if !body.is_empty() {
            row.values.push((self.body, 0..body.len()));
        }
        for (key, value) in attributes {
            let start = row.text.len();
            push_attribute_token(&mut row.text, key, value);
            row.values.push((self.attribute, start..row.text.len()));
        }
        self.writer.add_document(row).map_err(fault)
    }

    /// The parts to keep: all but the store, which holds nothing (an empty one takes its place).
    fn finish(self) -> Result<Vec<(String, OwnedBytes)>, StorageError> {
        let index = self.writer.finalize().map_err(fault)?;
        let mut names: Vec<_> = index.directory().list_managed_files().into_iter().collect();
        names.sort();
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            let is_store = name.extension().is_some_and(|extension| extension == "store");
            let file = if is_store {
                empty_part()?
            } else {
                self.directory.open_read(&name).map_err(fault)?.read_bytes().map_err(fault)?
            };
            parts.push((name.to_string_lossy().into_owned(), file));
        }
        Ok(parts)
    }
}

/// An empty file as tantivy expects it, with its own footer.
fn empty_part() -> Result<OwnedBytes, StorageError> {
    let ram = RamDirectory::create();
    let name = Path::new("empty");
    let managed = ManagedDirectory::wrap(Box::new(ram.clone())).map_err(fault)?;
    managed.open_write(name).map_err(fault)?.terminate().map_err(fault)?;
    ram.open_read(name).map_err(fault)?.read_bytes().map_err(fault)
}

/// A row on its way to tantivy: all its text, and which range belongs to which field.
#[derive(Debug)]
struct Row {
    text: String,
    values: Vec<(Field, Range<usize>)>,
}

#[derive(Debug, Clone, Copy)]
struct Text<'a>(&'a str);

impl<'a> Value<'a> for Text<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(ReferenceValueLeaf::Str(self.0))
    }
}

#[derive(Debug, Clone)]
struct Values<'a> {
    text: &'a str,
    values: std::slice::Iter<'a, (Field, Range<usize>)>,
}

impl<'a> Iterator for Values<'a> {
    type Item = (Field, Text<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, range) = self.values.next()?;
        Some((*field, Text(self.text.get(range.clone()).unwrap_or_default())))
    }
}

impl Document for Row {
    type Value<'a> = Text<'a>;
    type FieldsValuesIter<'a> = Values<'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        Values { text: &self.text, values: self.values.iter() }
    }
}

/// The product's tokens as a tantivy tokenizer.
#[derive(Debug, Clone, Default)]
struct Words {
    token: Token,
}

struct WordStream<'a> {
    tokens: Tokens<'a>,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream { tokens: Tokens::new(text), token: &mut self.token }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        // Positions and offsets are not indexed; a position of 0 keeps tantivy's sums small.
        self.token.position = 0;
        self.token.text.clear();
        self.tokens.append_next(&mut self.token.text)
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

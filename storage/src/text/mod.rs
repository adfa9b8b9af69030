//! The text index of one log segment, and the search language it answers.
//!
//! A [`TextIndex`] is one file beside a Parquet segment: a tantivy inverted index whose document
//! id is the row number. It has no document store, no norms and no positions, so it can say which
//! rows *may* match ([`TextIndex::candidates`]); [`TextQuery::matches`] is what a match *is*, and
//! the caller applies it to the candidates unless [`TextQuery::is_exact`].
//!
//! Reading order: `token` (what a word is), `query` (the language), `rows` (sets of rows), `build`,
//! `bundle` (the file), `index` (lookup).

mod build;
mod bundle;
mod index;
mod parse;
mod query;
mod rows;
mod token;

#[cfg(test)]
mod tests;

pub use build::TextIndexBuilder;
pub use index::TextIndex;
pub use query::{Matcher, TextQuery, TextQueryError};
pub use rows::RowSet;
pub use token::MAX_TOKEN_BYTES;

//! The text index of one log segment, and the search language it answers.
//!
//! A [`TextIndex`] is one file beside a Parquet segment. It says which rows *may* match
//! ([`TextIndex::candidates`]), and of which of them that is certain; [`TextQuery::matches`] is what a
//! match *is*, and the caller applies it to the others. Tokens that are on many rows are exact to the
//! row; ids and numbers, each on few rows, are kept by bits of their hash and blocks of rows, which is
//! what makes the index small (ADR 008).
//!
//! Reading order: `token` (what a word is), `query` (the language), `rows` (sets of rows), `term` (how
//! a token is kept), `collect` and `build`, `bits` and `posting` (the encodings), `file`, `index`
//! (lookup).

mod bits;
mod build;
mod collect;
mod file;
mod index;
mod parse;
mod posting;
mod query;
mod rows;
mod term;
mod token;

#[cfg(test)]
mod tests;

pub use build::TextIndexBuilder;
pub use index::{Candidates, TextIndex};
pub use query::{Matcher, TextQuery, TextQueryError};
pub use rows::RowSet;
pub use token::MAX_TOKEN_BYTES;
pub(crate) use token::is_word_byte;

//! Templates of log lines, and groups of errors.
//!
//! [`mask()`] takes out what is plainly a value. [`Learner`] finds the templates of the lines it sees, after
//! Drain (He, Zhu, Zheng and Lyu, *Drain: An Online Log Parsing Approach with Fixed Depth Tree*, ICWS
//! 2017), and [`Patterns`] tells the template of a line. [`error_group()`] does for exceptions what
//! templates do for lines.
//!
//! Segments keep templates of their own, by which lines are counted without being read: [`Covers`] tells which
//! of them are one.
//!
//! Drain goes through lines one after the other and what it finds depends on their order. Here lines are
//! learnt in the order of their masked text, so that the result depends on the set of lines only:
//! segments flushed or merged in another order have the same templates. An id is the hash of the
//! template's text and means the same everywhere; a template that becomes more general in a merge gets
//! another id, which [`Patterns::id_of`] of the old text tells.

mod cover;
mod drain;
mod error_group;
mod frame;
mod hash;
mod mask;
mod patterns;
#[cfg(test)]
mod tests;

pub use cover::{Covers, as_masked, is_telling};
pub use error_group::{ErrorGroup, TOP_FRAMES, error_group};
pub use mask::mask;
pub use patterns::{Learner, PatternId, Patterns};

/// What stands in a template for a word that differs from line to line.
pub const WILDCARD: &str = "<*>";
/// Share of the words of a line and a template that must be equal, in the same places, for the line to
/// belong to it: the similarity threshold of Drain, with the value that its authors' benchmark uses for
/// most data sets (Zhu et al., *Tools and Benchmarks for Automated Log Parsing*, ICSE 2019).
pub const SIMILARITY: f64 = 0.5;
/// Fewest words with letters of their own of a template that tells its lines from others.
pub const LEAST_WORDS: usize = 3;
/// Words at the start of a line that lead down the tree: a tree of depth 4, counting the root and the
/// level of the lengths, as in the paper.
pub const LEADING_WORDS: usize = 2;
/// Most branches of a node of the tree; further words share the branch of the wildcard (the paper's
/// `maxChild`).
pub const MOST_BRANCHES: usize = 100;
/// Most shapes of lines that a learner keeps: a shape is a number of words and the first words. Of more,
/// those with the smallest hashes are kept, a sample that does not depend on order.
pub const MOST_SHAPES: usize = 4_096;
/// Most distinct masked lines of a shape that a learner keeps, again those with the smallest hashes: a
/// frequent line must not crowd out a rare one, and this many show which words differ.
pub const LINES_OF_A_SHAPE: usize = 16;
/// Most templates of a set; those that were learnt from fewest lines are dropped, and their lines belong
/// to [`PatternId::OTHER`] unless another template is similar.
pub const MOST_PATTERNS: usize = 1_024;
/// Words of a line that are looked at; the rest counts as one word.
pub const MOST_WORDS: usize = 128;
/// Bytes of a line that are looked at.
pub const MOST_BYTES: usize = 8_192;

//! The search language.
//!
//! ```text
//! timeout checkout          both words
//! "connection refused"      the words one after the other
//! 10.0.0.7  user-id         as a phrase: 10 0 0 7, user id
//! conn*                     words that begin with conn
//! -debug   NOT debug        without the word
//! error OR warn             either; binds weaker than the AND of neighbours
//! (error OR warn) payment   groups
//! ```
//!
//! `AND` may be written out. `AND`, `OR` and `NOT` are operators in upper case only; in quotes they
//! are words. Letter case is ignored. Characters that belong to no word are separators; a part
//! without any word is ignored. An empty query matches every row.

use super::parse;
use super::token::TokenBuf;

/// Why a search text is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextQueryError {
    /// A quote without its end.
    #[error("the quote opened at byte {at} is not closed; add a `\"`")]
    UnclosedQuote {
        /// Offset of the quote.
        at: usize,
    },
    /// A parenthesis without its end.
    #[error(
        "the parenthesis opened at byte {at} is not closed; add a `)`, or quote the text around it"
    )]
    UnclosedGroup {
        /// Offset of the parenthesis.
        at: usize,
    },
    /// A closing parenthesis without its begin.
    #[error("nothing is open to close at byte {at}; remove the `)`, or quote the text around it")]
    UnexpectedClose {
        /// Offset of the parenthesis.
        at: usize,
    },
    /// An operator without something on its right or left.
    #[error("`{operator}` at byte {at} lacks an operand; quote it to search for the word")]
    MissingOperand {
        /// The operator.
        operator: &'static str,
        /// Its offset.
        at: usize,
    },
    /// The query is longer than allowed.
    #[error("the query has {bytes} bytes, at most {max} are allowed; shorten it")]
    TooLong {
        /// Length.
        bytes: usize,
        /// Largest length.
        max: usize,
    },
    /// Groups and negations are nested deeper than allowed.
    #[error("the query is nested deeper than {max} levels; flatten it")]
    TooDeep {
        /// Deepest nesting.
        max: usize,
    },
}

/// A node of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Every row.
    All,
    /// Tokens one after the other; with `prefix` the last one needs only its beginning.
    Run { tokens: Vec<Box<str>>, prefix: bool },
    /// All of them.
    And(Vec<Node>),
    /// Any of them.
    Or(Vec<Node>),
    /// Not it.
    Not(Box<Node>),
}

/// A parsed search text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    pub(super) root: Node,
}

impl TextQuery {
    /// Parses a search text; see the module for the language.
    ///
    /// # Errors
    /// When quotes, parentheses or operators do not fit, or the text is too long or nested.
    pub fn parse(text: &str) -> Result<Self, TextQueryError> {
        Ok(Self { root: parse::parse(text)? })
    }

    /// Whether a text matches. For many texts use [`TextQuery::matcher`].
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.matcher().matches(text)
    }

    /// A matcher that uses its buffer again from text to text.
    #[must_use]
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { root: &self.root, needed: needed(&self.root), tokens: TokenBuf::default() }
    }

    /// Whether every text matches.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        self.root == Node::All
    }
}

/// Tells of one text after the other whether it matches.
#[derive(Debug)]
pub struct Matcher<'a> {
    root: &'a Node,
    /// A token without which no text matches.
    needed: Option<&'a str>,
    tokens: TokenBuf,
}

/// The longest token without which no text matches.
fn needed(node: &Node) -> Option<&str> {
    match node {
        Node::Run { tokens, .. } => tokens.iter().map(AsRef::as_ref).max_by_key(|t| t.len()),
        Node::And(nodes) => nodes.iter().filter_map(needed).max_by_key(|t| t.len()),
        Node::All | Node::Or(_) | Node::Not(_) => None,
    }
}

/// Whether a text of ASCII holds a token, perhaps as part of a word: the letter case of other
/// characters changes in ways that bytes do not show.
fn may_hold(text: &str, token: &str) -> bool {
    let (text, token) = (text.as_bytes(), token.as_bytes());
    let Some((first, rest)) = token.split_first() else { return true };
    let places = memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text);
    places
        .map(|at| at + 1..at + token.len())
        .any(|behind| text.get(behind).is_some_and(|behind| behind.eq_ignore_ascii_case(rest)))
}

impl Matcher<'_> {
    /// Whether a text matches.
    pub fn matches(&mut self, text: &str) -> bool {
        if *self.root == Node::All {
            return true;
        }
        if self.needed.is_some_and(|token| text.is_ascii() && !may_hold(text, token)) {
            return false;
        }
        self.tokens.fill(text);
        holds(self.root, &self.tokens)
    }
}

fn holds(node: &Node, text: &TokenBuf) -> bool {
    match node {
        Node::All => true,
        Node::Run { tokens, prefix } => {
            let starts = (text.len() + 1).saturating_sub(tokens.len());
            (0..starts).any(|start| run_at(tokens, *prefix, text, start))
        }
        Node::And(nodes) => nodes.iter().all(|n| holds(n, text)),
        Node::Or(nodes) => nodes.iter().any(|n| holds(n, text)),
        Node::Not(inner) => !holds(inner, text),
    }
}

fn run_at(tokens: &[Box<str>], prefix: bool, text: &TokenBuf, start: usize) -> bool {
    tokens.iter().enumerate().all(|(i, wanted)| {
        text.get(start + i).is_some_and(|found| {
            if prefix && i + 1 == tokens.len() {
                found.starts_with(&**wanted)
            } else {
                found == &**wanted
            }
        })
    })
}

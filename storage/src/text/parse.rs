//! From a search text to its tree, by recursive descent.

use super::query::{Node, TextQueryError};
use super::token::{is_word, tokens_of};

/// Longest search text in bytes.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of groups and negations.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lexeme<'a> {
    Open,
    Close,
    And,
    Or,
    /// As written: `-` or `NOT`.
    Not(&'static str),
    Phrase(&'a str),
    Word(&'a str),
}

pub(super) fn parse(text: &str) -> Result<Node, TextQueryError> {
    if text.len() > MAX_BYTES {
        return Err(TextQueryError::TooLong { bytes: text.len(), max: MAX_BYTES });
    }
    let lexemes = lex(text)?;
    let mut parser = Parser { lexemes: &lexemes, at: 0 };
    let root = parser.alternatives(0)?;
    match parser.peek() {
        Some((at, _)) => Err(TextQueryError::UnexpectedClose { at }),
        None => Ok(root.unwrap_or(Node::All)),
    }
}

fn lex(text: &str) -> Result<Vec<(usize, Lexeme<'_>)>, TextQueryError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (lexeme, len) = next_lexeme(rest, at)?;
        if let Some(lexeme) = lexeme {
            found.push((at, lexeme));
        }
        at += len;
    }
    Ok(found)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '"')
}

/// The lexeme at the start of `rest`, if there is one, and the bytes it takes (at least one).
fn next_lexeme(rest: &str, at: usize) -> Result<(Option<Lexeme<'_>>, usize), TextQueryError> {
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or(' ');
    match first {
        '(' => return Ok((Some(Lexeme::Open), 1)),
        ')' => return Ok((Some(Lexeme::Close), 1)),
        '"' => {
            let inside = chars.as_str();
            let len = inside.find('"').ok_or(TextQueryError::UnclosedQuote { at })?;
            return Ok((inside.get(..len).map(Lexeme::Phrase), len + 2));
        }
        '-' if chars.next().is_some_and(|c| is_word(c) || matches!(c, '"' | '(')) => {
            return Ok((Some(Lexeme::Not("-")), 1));
        }
        c if c.is_whitespace() => return Ok((None, c.len_utf8())),
        _ => {}
    }
    let len = rest.find(ends_word).unwrap_or(rest.len());
    let word = rest.get(..len).unwrap_or_default();
    let lexeme = match word {
        "AND" => Lexeme::And,
        "OR" => Lexeme::Or,
        "NOT" => Lexeme::Not("NOT"),
        _ => Lexeme::Word(word),
    };
    Ok((Some(lexeme), len))
}

struct Parser<'a, 'b> {
    lexemes: &'b [(usize, Lexeme<'a>)],
    at: usize,
}

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<(usize, Lexeme<'a>)> {
        self.lexemes.get(self.at).copied()
    }

    fn take(&mut self, wanted: Lexeme<'_>) -> Option<usize> {
        let (at, found) = self.peek()?;
        (found == wanted).then(|| {
            self.at += 1;
            at
        })
    }

    /// `None`: there are no words in it.
    fn alternatives(&mut self, depth: usize) -> Result<Option<Node>, TextQueryError> {
        let mut nodes = Vec::new();
        let mut operator = None;
        loop {
            let before = self.at;
            nodes.extend(self.conjunction(depth)?);
            let empty = self.at == before;
            let next = self.take(Lexeme::Or);
            if empty && let Some(at) = next.or(operator) {
                return Err(TextQueryError::MissingOperand { operator: "OR", at });
            }
            if next.is_none() {
                return Ok(join(nodes, Node::Or));
            }
            operator = next;
        }
    }

    fn conjunction(&mut self, depth: usize) -> Result<Option<Node>, TextQueryError> {
        let mut nodes = Vec::new();
        let mut operator = None;
        loop {
            let before = self.at;
            nodes.extend(self.operand(depth)?);
            let empty = self.at == before;
            let next = self.take(Lexeme::And);
            if empty && let Some(at) = next.or(operator) {
                return Err(TextQueryError::MissingOperand { operator: "AND", at });
            }
            if empty && next.is_none() {
                return Ok(join(nodes, Node::And));
            }
            operator = next;
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Option<Node>, TextQueryError> {
        if depth > MAX_DEPTH {
            return Err(TextQueryError::TooDeep { max: MAX_DEPTH });
        }
        let Some((at, lexeme)) = self.peek() else { return Ok(None) };
        match lexeme {
            Lexeme::Close | Lexeme::And | Lexeme::Or => return Ok(None),
            _ => self.at += 1,
        }
        match lexeme {
            Lexeme::Open => {
                let inner = self.alternatives(depth + 1)?;
                self.take(Lexeme::Close).ok_or(TextQueryError::UnclosedGroup { at })?;
                Ok(inner)
            }
            Lexeme::Not(operator) => {
                let before = self.at;
                let inner = self.operand(depth + 1)?;
                if self.at == before {
                    return Err(TextQueryError::MissingOperand { operator, at });
                }
                Ok(inner.map(|node| Node::Not(Box::new(node))))
            }
            Lexeme::Phrase(text) => Ok(run(text, false)),
            Lexeme::Word(text) => Ok(word(text)),
            Lexeme::Close | Lexeme::And | Lexeme::Or => Ok(None),
        }
    }
}

fn join(mut nodes: Vec<Node>, make: impl FnOnce(Vec<Node>) -> Node) -> Option<Node> {
    if nodes.len() > 1 { Some(make(nodes)) } else { nodes.pop() }
}

fn word(text: &str) -> Option<Node> {
    let stem = text.trim_end_matches('*');
    run(stem, stem.len() < text.len() && stem.ends_with(is_word))
}

fn run(text: &str, prefix: bool) -> Option<Node> {
    let tokens = tokens_of(text);
    (!tokens.is_empty()).then_some(Node::Run { tokens, prefix })
}

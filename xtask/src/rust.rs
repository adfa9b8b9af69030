//! Rust sources as tokens, without what only tests see.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::finding::Finding;
use crate::tree::Tree;

/// A production source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// File, relative to the workspace.
    pub(crate) path: String,
    /// Lines outside of test items.
    pub(crate) lines: usize,
    /// Tokens outside of test items and attributes.
    pub(crate) tokens: Vec<TokenTree>,
}

/// The production sources, and the files that could not be read as Rust.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The sources.
    pub(crate) files: Vec<Source>,
    /// What could not be read.
    pub(crate) findings: Vec<Finding>,
}

/// Whether a Rust file is only compiled for tests (or, like generated ones, not written by hand).
pub(crate) fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let file = parts.next_back().unwrap_or_default();
    file == "tests.rs"
        || file.ends_with("_tests.rs")
        || parts.any(|part| matches!(part, "tests" | "fuzz" | "examples"))
}

/// Reads every production source.
pub(crate) fn parse_all(tree: &Tree) -> Sources {
    let mut sources = Sources::default();
    for (path, text) in tree.texts() {
        if path.ends_with(".rs") && !is_test_path(path) {
            match parse(path, text) {
                Ok(source) => sources.files.push(source),
                Err(finding) => sources.findings.push(finding),
            }
        }
    }
    sources
}

/// Reads one source.
pub(crate) fn parse(path: &str, text: &str) -> Result<Source, Finding> {
    let stream: TokenStream = text.parse().map_err(|e: proc_macro2::LexError| {
        Finding::fault(path, e.span().start().line, format!("not Rust: {e}"))
    })?;
    let mut test_lines = BTreeSet::new();
    let tokens = without_tests(stream, &mut test_lines);
    Ok(Source { path: path.to_owned(), lines: text.lines().count() - test_lines.len(), tokens })
}

/// Drops attributes and the items behind `#[cfg(test)]` and `#[test]`, in every block.
fn without_tests(stream: TokenStream, test_lines: &mut BTreeSet<usize>) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if !is_punct(&token, '#') {
            kept.push(descend(token, test_lines));
            continue;
        }
        // `#![…]` belongs to what is around it.
        let inner = tokens.next_if(|t| is_punct(t, '!')).is_some();
        let first_line = token.span().start().line;
        let Some(TokenTree::Group(attribute)) = tokens.next() else { continue };
        if inner || !is_test_attribute(&attribute) {
            continue;
        }
        let mut last_line = first_line;
        for token in tokens.by_ref() {
            last_line = token.span().end().line;
            let ends = match &token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                other => is_punct(other, ';'),
            };
            if ends {
                break;
            }
        }
        test_lines.extend(first_line..=last_line);
    }
    kept
}

fn descend(token: TokenTree, test_lines: &mut BTreeSet<usize>) -> TokenTree {
    let TokenTree::Group(group) = token else { return token };
    let inner = without_tests(group.stream(), test_lines).into_iter().collect();
    let mut without = Group::new(group.delimiter(), inner);
    without.set_span(group.span());
    TokenTree::Group(without)
}

fn is_test_attribute(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    matches!(text.as_str(), "test" | "tokio::test" | "cfg(test)")
        || text.starts_with("cfg(all(test")
}

/// Whether a token is this punctuation.
pub(crate) fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == wanted)
}

/// Whether a token is this word.
pub(crate) fn is_ident(token: &TokenTree, wanted: &str) -> bool {
    matches!(token, TokenTree::Ident(i) if i == wanted)
}

/// The line a token begins on.
pub(crate) fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Calls `visit` with every sequence of sibling tokens: the file's and that of each group.
pub(crate) fn each_level(tokens: &[TokenTree], visit: &mut impl FnMut(&[TokenTree])) {
    visit(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            let inner: Vec<_> = group.stream().into_iter().collect();
            each_level(&inner, visit);
        }
    }
}

//! Files and functions that are too long to be read in one go.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenTree};

use crate::finding::Finding;
use crate::rust::{Source, Sources, each_level, is_ident, is_punct};

/// Lines of a file above which it is warned of.
const FILE_WARN: usize = 400;
/// Lines of a file above which the check fails.
const FILE_FAIL: usize = 600;
/// Lines of code of a function body above which the check fails; clippy has the same limit.
const FUNCTION_FAIL: usize = 70;

pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    sources.files.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.lines;
    if lines > FILE_FAIL {
        let text = format!("{lines} lines, more than {FILE_FAIL}; split the file");
        findings.push(Finding::fault(&source.path, 0, text));
    } else if lines > FILE_WARN {
        let text = format!("{lines} lines, more than {FILE_WARN}; consider splitting the file");
        findings.push(Finding::warning(&source.path, 0, text));
    }
    each_level(&source.tokens, &mut |tokens| {
        for (at, token) in tokens.iter().enumerate() {
            let name = match (is_ident(token, "fn"), tokens.get(at + 1)) {
                (true, Some(TokenTree::Ident(name))) => name,
                _ => continue,
            };
            let lines = body(&tokens[at..]).map_or(0, code_lines);
            if lines > FUNCTION_FAIL {
                let line = name.span().start().line;
                let text = format!(
                    "the function `{name}` has {lines} lines of code, more than {FUNCTION_FAIL}; \
                     give its parts names"
                );
                findings.push(Finding::fault(&source.path, line, text));
            }
        }
    });
    findings
}

/// The block of the function that begins here; `None` for a declaration.
fn body(tokens: &[TokenTree]) -> Option<&Group> {
    let end = tokens.iter().find(|t| {
        is_punct(t, ';') || matches!(t, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace)
    });
    match end {
        Some(TokenTree::Group(block)) => Some(block),
        _ => None,
    }
}

/// Lines inside a block that carry a token.
fn code_lines(block: &Group) -> usize {
    fn collect(group: &Group, lines: &mut BTreeSet<usize>) {
        for token in group.stream() {
            let span = token.span();
            match &token {
                TokenTree::Group(inner) => {
                    lines.insert(span.start().line);
                    lines.insert(span.end().line);
                    collect(inner, lines);
                }
                _ => lines.extend(span.start().line..=span.end().line),
            }
        }
    }
    let mut lines = BTreeSet::new();
    collect(block, &mut lines);
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::parse;

    fn findings(text: &str) -> Vec<String> {
        let source = parse("a/src/x.rs", text).unwrap();
        check_file(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_function_fails_and_comments_do_not_count() {
        let body = |n: usize| "    call();\n    // why\n\n".repeat(n);
        let long = format!("struct A;\nimpl A {{\n  fn f(&self) -> u8 {{\n{}}}\n}}\n", body(71));
        assert_eq!(
            findings(&long),
            [
                "a/src/x.rs:3: the function `f` has 71 lines of code, more than 70; give its parts names"
            ]
        );
        assert!(findings(&format!("fn f() {{\n{}}}\n", body(70))).is_empty());
        assert!(
            findings(&format!("#[cfg(test)]\nmod tests {{ fn f() {{\n{}}} }}\n", body(99)))
                .is_empty()
        );
    }

    #[test]
    fn a_declaration_has_no_body() {
        let text =
            format!("trait T {{ fn f(); }}\nconst X: u8 = {{\n{}1\n}};", "call();\n".repeat(90));
        assert!(findings(&text).is_empty());
    }

    #[test]
    fn a_long_file_warns_then_fails_and_tests_do_not_count() {
        let text = |n: usize| "const X: u8 = 1;\n".repeat(n);
        assert!(findings(&text(400)).is_empty());
        assert_eq!(
            findings(&text(401)),
            ["a/src/x.rs: warning: 401 lines, more than 400; consider splitting the file"]
        );
        assert_eq!(findings(&text(601)), ["a/src/x.rs: 601 lines, more than 600; split the file"]);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", text(390), text(500));
        assert!(findings(&tested).is_empty());
    }
}

//! Words and habits that production code does not have.

use proc_macro2::TokenTree;

use crate::finding::Finding;
use crate::rust::{Source, Sources, each_level, is_ident, is_punct, line};

/// Macros that stand for something missing.
const MACROS: &[(&str, &str)] = &[
    ("todo", "write it, or refuse the case with an error"),
    ("unimplemented", "write it, or refuse the case with an error"),
    ("dbg", "use `tracing`"),
];

pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    sources.files.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    each_level(&source.tokens, &mut |tokens| {
        for at in 0..tokens.len() {
            let here = &tokens[at..];
            let found = missing(here)
                .or_else(|| unwrap(here))
                .or_else(|| unbounded(&tokens[..at], here))
                .or_else(|| detached(&tokens[..at], here));
            if let Some(text) = found {
                findings.push(Finding::fault(&source.path, line(&tokens[at]), text));
            }
        }
    });
    findings
}

fn missing(here: &[TokenTree]) -> Option<String> {
    let [TokenTree::Ident(name), bang, ..] = here else { return None };
    let (word, advice) = MACROS.iter().find(|(word, _)| name == word)?;
    is_punct(bang, '!').then(|| format!("`{word}!` outside of tests; {advice}"))
}

fn unwrap(here: &[TokenTree]) -> Option<String> {
    let [dot, name, TokenTree::Group(arguments), ..] = here else { return None };
    let found = is_punct(dot, '.') && is_ident(name, "unwrap") && arguments.stream().is_empty();
    found.then(|| "`.unwrap()` outside of tests; return the error, or say why there is none".into())
}

fn unbounded(before: &[TokenTree], here: &[TokenTree]) -> Option<String> {
    let [TokenTree::Ident(name), ..] = here else { return None };
    let found = match name.to_string().as_str() {
        "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => true,
        // A channel's constructor in other crates; elsewhere the word is free.
        "unbounded" => before.last().is_some_and(|t| is_punct(t, ':')),
        _ => false,
    };
    found.then(|| format!("`{name}`: queues are bounded"))
}

/// `tokio::spawn(…);` as a statement, or with its handle thrown away.
fn detached(before: &[TokenTree], here: &[TokenTree]) -> Option<String> {
    let [tokio, c1, c2, spawn, TokenTree::Group(_), end, ..] = here else { return None };
    let is_spawn = is_ident(tokio, "tokio")
        && is_punct(c1, ':')
        && is_punct(c2, ':')
        && (is_ident(spawn, "spawn") || is_ident(spawn, "spawn_blocking"))
        && is_punct(end, ';');
    let thrown_away = match before {
        [] => true,
        [.., TokenTree::Group(_)] => true,
        [.., name, equals] if is_punct(equals, '=') => is_ident(name, "_"),
        [.., last] => is_punct(last, ';'),
    };
    (is_spawn && thrown_away).then(|| "a detached task; keep its handle, or use a tracker".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::parse;

    fn lines(text: &str) -> Vec<usize> {
        let source = parse("a/src/x.rs", text).unwrap();
        check_file(&source).iter().map(|f| f.line).collect()
    }

    #[test]
    fn habits_are_found_in_code_only() {
        let text = "
            fn f() {
                a.unwrap();
                todo!()
            }
            // a.unwrap() todo!()
            /// `todo!` and `.unwrap()`
            const TEXT: &str = \"a.unwrap() todo!()\";
            fn unwrap_or() { a.unwrap_or(1); b.unwrap_or_default(); }
            #[cfg(test)]
            mod tests { fn f() { a.unwrap(); todo!() } }
            #[test]
            fn g() { a.unwrap(); }
            fn h() { select! { x = y.unwrap() => {} } }
            use tokio::sync::mpsc::unbounded_channel;
            fn unbounded() { flume::unbounded() }
        ";
        let mut found = lines(text);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 14, 15, 16]);
    }

    #[test]
    fn a_task_keeps_its_handle() {
        let text = "fn f() {
            tokio::spawn(a);
            let _ = tokio::spawn(a);
            let handle = tokio::spawn(a);
            tasks.push(tokio::spawn(a));
            tracker.spawn(a);
            x();
            tokio::spawn(a);
            tokio::spawn(a)
        }";
        assert_eq!(lines(text), [2, 3, 8]);
    }
}

//! Cycles between the top-level modules of a crate.
//!
//! An edge is a path in production code that leads from one top-level module to another: through
//! `crate::`, through `super::`, or, in the root, through the module's name. A name the root
//! re-exports counts as the module it comes from.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use crate::finding::Finding;
use crate::rust::{Source, Sources, is_ident, is_punct, line};

/// The module that stands for items of the root itself.
const ROOT: &str = "(root)";
/// Crates in which no two top-level modules may use each other; elsewhere two may.
const STRICT: &[&str] = &["model", "analysis", "storage", "query"];

/// Where an edge is written.
type Place = (String, usize);
type Edges = BTreeMap<(String, String), Place>;

pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in &sources.files {
        let mut parts = source.path.splitn(3, '/');
        if let (Some(name), Some("src"), Some(rest)) = (parts.next(), parts.next(), parts.next())
            && !rest.starts_with("bin/")
        {
            crates.entry(name).or_default().push(source);
        }
    }
    crates.into_iter().flat_map(|(name, files)| check_crate(name, &files)).collect()
}

fn check_crate(name: &str, files: &[&Source]) -> Vec<Finding> {
    let edges = edges(files);
    let allowed = if STRICT.contains(&name) { 1 } else { 2 };
    let mut findings = Vec::new();
    for cycle in cycles(&edges).into_iter().filter(|cycle| cycle.len() > allowed) {
        let members: Vec<_> = cycle.iter().map(|m| format!("`{m}`")).collect();
        let members = members.join(", ");
        for ((from, to), (path, line)) in &edges {
            if cycle.contains(from) && cycle.contains(to) {
                let text = format!(
                    "the modules {members} use each other, here `{from}` uses `{to}`; move what \
                     they share below them"
                );
                findings.push(Finding::fault(path, *line, text));
            }
        }
    }
    findings
}

/// The module path of a file: `src/a/b.rs` is `a::b`, `src/a/mod.rs` is `a`, the root is empty.
fn module_of(path: &str) -> Vec<String> {
    let rest = path.splitn(3, '/').nth(2).unwrap_or_default();
    let rest = rest.strip_suffix(".rs").unwrap_or(rest);
    let mut parts: Vec<String> = rest.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    if matches!(parts.as_slice(), [only] if only == "lib" || only == "main") {
        parts.clear();
    }
    parts
}

fn edges(files: &[&Source]) -> Edges {
    let modules: BTreeSet<String> =
        files.iter().filter_map(|f| module_of(&f.path).into_iter().next()).collect();
    let mut exports = BTreeMap::new();
    for file in files.iter().filter(|f| module_of(&f.path).is_empty()) {
        let mut walk = Walk::new(&modules, &exports);
        walk.exporting = true;
        walk.level(&file.tokens, &[], &mut Vec::new());
        let found = walk.exported;
        exports.extend(found);
    }
    let mut edges = Edges::new();
    for file in files {
        let module = module_of(&file.path);
        let from = module.first().map_or(ROOT, String::as_str).to_owned();
        let mut found = Vec::new();
        Walk::new(&modules, &exports).level(&file.tokens, &module, &mut found);
        for (to, line) in found.into_iter().filter(|(to, _)| *to != from) {
            edges.entry((from.clone(), to)).or_insert_with(|| (file.path.clone(), line));
        }
    }
    edges
}

/// A walk over the tokens of a file in search of paths.
struct Walk<'a> {
    modules: &'a BTreeSet<String>,
    exports: &'a BTreeMap<String, String>,
    /// Whether the re-exports of the root are collected, instead of edges.
    exporting: bool,
    exported: BTreeMap<String, String>,
}

impl<'a> Walk<'a> {
    const fn new(modules: &'a BTreeSet<String>, exports: &'a BTreeMap<String, String>) -> Self {
        Self { modules, exports, exporting: false, exported: BTreeMap::new() }
    }

    fn level(&mut self, tokens: &[TokenTree], module: &[String], found: &mut Vec<(String, usize)>) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if module.is_empty() && is_ident(token, "pub") && self.re_export(&tokens[at..]) {
                at += tokens[at..].iter().position(|t| is_punct(t, ';')).unwrap_or(0);
                continue;
            }
            if is_ident(token, "mod")
                && let [TokenTree::Ident(name), TokenTree::Group(block), ..] = &tokens[at + 1..]
            {
                let inner: Vec<_> = block.stream().into_iter().collect();
                self.level(&inner, &[module, &[name.to_string()]].concat(), found);
                at += 3;
                continue;
            }
            if let Some(base) = self.base(tokens, at, module) {
                self.follow(&tokens[at..], &base, found);
            }
            if let TokenTree::Group(group) = token {
                let inner: Vec<_> = group.stream().into_iter().collect();
                self.level(&inner, module, found);
            }
            at += 1;
        }
    }

    /// The module a path that begins at a token is relative to, if a path begins there.
    fn base(&self, tokens: &[TokenTree], at: usize, module: &[String]) -> Option<Vec<String>> {
        let token = &tokens[at];
        let continues = at > 0 && is_punct(&tokens[at - 1], ':');
        let leads_on =
            |t: &[TokenTree]| matches!(t, [a, b, ..] if is_punct(a, ':') && is_punct(b, ':'));
        if continues || !leads_on(&tokens[at + 1..]) {
            return None;
        }
        if is_ident(token, "crate") {
            return Some(Vec::new());
        }
        if is_ident(token, "super") {
            return module.split_last().map(|(_, parent)| parent.to_vec());
        }
        let TokenTree::Ident(name) = token else { return None };
        let relative = module.is_empty() && self.modules.contains(&name.to_string());
        relative.then(Vec::new)
    }

    /// Follows a path from its first word to the modules it reaches.
    fn follow(&self, tokens: &[TokenTree], base: &[String], found: &mut Vec<(String, usize)>) {
        let mut base = base.to_vec();
        let mut rest = tokens;
        // `crate` and `super` were taken into account by the base; a name of the root was not.
        if is_ident(&rest[0], "crate") || is_ident(&rest[0], "super") {
            rest = rest.get(3..).unwrap_or_default();
        }
        while let [first, c1, c2, more @ ..] = rest
            && is_ident(first, "super")
            && is_punct(c1, ':')
            && is_punct(c2, ':')
        {
            base.pop();
            rest = more;
        }
        if !base.is_empty() {
            return;
        }
        match rest.first() {
            Some(TokenTree::Ident(name)) => {
                found.push((self.resolve(&name.to_string()), name.span().start().line));
            }
            Some(TokenTree::Group(names)) if names.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = names.stream().into_iter().collect();
                for part in inner.split(|t| is_punct(t, ',')) {
                    if let Some(TokenTree::Ident(name)) = part.first() {
                        found.push((self.resolve(&name.to_string()), line(&part[0])));
                    }
                }
            }
            _ => {}
        }
    }

    fn resolve(&self, name: &str) -> String {
        if self.modules.contains(name) {
            return name.to_owned();
        }
        self.exports.get(name).map_or(ROOT, String::as_str).to_owned()
    }

    /// Whether this is `pub use module::…` of the root; notes its names when asked to.
    fn re_export(&mut self, tokens: &[TokenTree]) -> bool {
        let mut rest = tokens.get(1..).unwrap_or_default();
        if let [TokenTree::Group(_), more @ ..] = rest {
            rest = more;
        }
        let [first, more @ ..] = rest else { return false };
        let path: Vec<TokenTree> = more.iter().take_while(|t| !is_punct(t, ';')).cloned().collect();
        let skip = if path.first().is_some_and(|t| is_ident(t, "crate")) { 3 } else { 0 };
        let Some(TokenTree::Ident(module)) = path.get(skip) else { return false };
        if !is_ident(first, "use") || !self.modules.contains(&module.to_string()) {
            return false;
        }
        if self.exporting {
            note_names(&path, &module.to_string(), &mut self.exported);
        }
        true
    }
}

/// Every word of a re-export that may be a name of the root, as one of its module.
fn note_names(path: &[TokenTree], module: &str, exported: &mut BTreeMap<String, String>) {
    for token in path {
        match token {
            TokenTree::Ident(name) => {
                exported.insert(name.to_string(), module.to_owned());
            }
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                note_names(&inner, module, exported);
            }
            _ => {}
        }
    }
}

/// Sets of modules that reach each other; each module that is in no cycle is a set of its own.
fn cycles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let nodes: BTreeSet<&String> = edges.keys().flat_map(|(from, to)| [from, to]).collect();
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        nodes.iter().map(|node| (*node, reachable(node, edges))).collect();
    let mut sets: Vec<BTreeSet<String>> = Vec::new();
    for node in &nodes {
        if sets.iter().any(|set| set.contains(*node)) {
            continue;
        }
        let together = |other: &&&String| {
            node == *other
                || (reach.get(*node).is_some_and(|r| r.contains(**other))
                    && reach.get(**other).is_some_and(|r| r.contains(*node)))
        };
        sets.push(nodes.iter().filter(together).map(|n| (*n).clone()).collect());
    }
    sets
}

fn reachable<'a>(from: &String, edges: &'a Edges) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(node) = next.pop() {
        for (_, to) in edges.keys().filter(|(start, _)| start == node) {
            if seen.insert(to) {
                next.push(to);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::parse;

    fn edges_of(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(p, t)| parse(p, t).unwrap()).collect();
        let sources: Vec<&Source> = sources.iter().collect();
        edges(&sources).into_keys().map(|(from, to)| format!("{from} {to}")).collect()
    }

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let parsed = files.iter().map(|(p, t)| parse(p, t).unwrap()).collect();
        let sources = Sources { files: parsed, findings: Vec::new() };
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_way_to_write_an_edge_is_seen() {
        let found = edges_of(&[
            (
                "m/src/lib.rs",
                "mod a; mod b; mod c; mod d; mod e; pub use d::{Deep, inner::Deeper as D};",
            ),
            ("m/src/a.rs", "use crate::b::X; fn f() { crate::c::g(); }"),
            ("m/src/b/mod.rs", "use super::c::Y;"),
            ("m/src/b/deep.rs", "use super::super::a::Z; use super::sibling; use self::own;"),
            ("m/src/c.rs", "use crate::{a, e::{f, g}}; use crate::Deep;"),
            ("m/src/d.rs", "mod inner { use super::own; use super::super::e::X; }"),
            (
                "m/src/e.rs",
                "// use crate::a;\n#[cfg(test)] mod tests { use crate::b; }\n use std::a::b; use b::c;",
            ),
        ]);
        assert_eq!(found, ["a b", "a c", "b a", "b c", "c a", "c d", "c e", "d e"]);
    }

    #[test]
    fn the_root_counts_for_its_own_items_only() {
        let found = edges_of(&[
            ("m/src/main.rs", "mod a; mod b; pub use a::Name; fn main() { b::run(); }"),
            ("m/src/a.rs", "pub struct Name;"),
            ("m/src/b.rs", "use crate::Name; use crate::CONSTANT;"),
        ]);
        assert_eq!(found, ["(root) b", "b (root)", "b a"]);
    }

    #[test]
    fn a_cycle_fails_at_each_of_its_edges() {
        let two = [
            ("storage/src/a.rs", "use crate::b::X;"),
            ("storage/src/b.rs", "\nuse crate::a::Y;"),
            ("storage/src/c.rs", "use crate::a::Y;"),
        ];
        let found = findings(&two);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].starts_with("storage/src/b.rs:2: the modules `a`, `b` use each other"));
        let elsewhere = two.map(|(path, text)| (path.replace("storage", "server"), text));
        let elsewhere: Vec<_> = elsewhere.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        assert!(findings(&elsewhere).is_empty());
    }

    #[test]
    fn three_in_a_circle_fail_everywhere() {
        let circle = [
            ("ui/src/a.rs", "use crate::b::X;"),
            ("ui/src/b.rs", "use crate::c::X;"),
            ("ui/src/c.rs", "use crate::a::X;"),
        ];
        assert_eq!(findings(&circle).len(), 3);
    }
}

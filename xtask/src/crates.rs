//! Which crate may import which, and what every crate's manifest has.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::tree::Tree;

const PREFIX: &str = "headrope-";

/// Crates of the workspace, and what each may depend on. Imports run one way.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("analysis", &["model"]),
    ("storage", &["analysis", "model"]),
    ("collector", &["storage", "model"]),
    ("query", &["storage", "analysis", "model"]),
    ("ui", &["query", "analysis", "model"]),
    ("server", &["collector", "ui", "query", "storage", "analysis", "model", "testdata"]),
    ("testdata", &["model"]),
    ("agents", &[]),
    ("xtask", &[]),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        let Some((member, "Cargo.toml")) = path.rsplit_once('/') else { continue };
        if member.contains('/') {
            continue;
        }
        findings.extend(check_manifest(member, path, text));
    }
    findings
}

fn check_manifest(member: &str, path: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(e) => return vec![Finding::fault(path, 0, format!("not TOML: {e}"))],
    };
    let mut findings = Vec::new();
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool);
    if inherits != Some(true) {
        let text = "the crate does not inherit the lints; add `[lints] workspace = true`";
        findings.push(Finding::fault(path, 0, text));
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member) else {
        let text =
            format!("the crate `{member}` has no place in the layers; see xtask/src/crates.rs");
        findings.push(Finding::fault(path, 0, text));
        return findings;
    };
    for (table, kind) in dependency_tables(&manifest) {
        for name in table.keys() {
            let Some(target) = name.strip_prefix(PREFIX) else { continue };
            let for_tests = kind == "dev-dependencies" && target == "testdata";
            if !for_tests && !allowed.contains(&target) {
                let line = line_of(text, kind, name);
                let may =
                    if allowed.is_empty() { "no crate".to_owned() } else { allowed.join(", ") };
                let text = format!("`{member}` must not depend on `{target}`; it may use {may}");
                findings.push(Finding::fault(path, line, text));
            }
        }
    }
    findings
}

/// Every table of dependencies, also those for one target, with its kind.
fn dependency_tables(manifest: &toml::Table) -> Vec<(&toml::Table, &'static str)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let scopes = std::iter::once(manifest)
        .chain(targets.into_iter().flat_map(|t| t.values().filter_map(toml::Value::as_table)));
    scopes
        .flat_map(|scope| {
            KINDS.iter().filter_map(|kind| Some((scope.get(*kind)?.as_table()?, *kind)))
        })
        .collect()
}

/// The line of a dependency in the table of its kind; 0 if it is written in an unusual way.
fn line_of(text: &str, kind: &str, name: &str) -> usize {
    let mut places = BTreeMap::new();
    let mut section = "";
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        } else if line.starts_with(name) {
            places.entry(section.contains(&format!("{kind}]"))).or_insert(at + 1);
        }
    }
    places.last_key_value().map_or(0, |(_, line)| *line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(member: &str, text: &str) -> Vec<String> {
        let path = format!("{member}/Cargo.toml");
        let text = format!("[lints]\nworkspace = true\n{text}");
        let tree = Tree::of(&[(&path, &text)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_layer_may_use_those_below() {
        let text = "[dependencies]\nheadrope-model.workspace = true\nheadrope-storage = { path = \"x\" }\nserde = \"1\"\n[dev-dependencies]\nheadrope-testdata.workspace = true\n";
        assert!(findings("collector", text).is_empty());
    }

    #[test]
    fn upward_and_sideways_is_refused_with_its_line() {
        let text =
            "[dependencies]\nheadrope-model.workspace = true\nheadrope-query.workspace = true\n";
        assert_eq!(
            findings("collector", text),
            [
                "collector/Cargo.toml:5: `collector` must not depend on `query`; it may use storage, model"
            ]
        );
        let for_target = "[target.'cfg(unix)'.build-dependencies]\nheadrope-ui = \"1\"\n";
        assert_eq!(
            findings("model", for_target),
            ["model/Cargo.toml:4: `model` must not depend on `ui`; it may use no crate"]
        );
        let production = "[dependencies]\nheadrope-testdata.workspace = true\n";
        assert_eq!(findings("query", production).len(), 1);
        let development = "[dev-dependencies]\nheadrope-query.workspace = true\n";
        assert_eq!(findings("storage", development).len(), 1);
    }

    #[test]
    fn every_crate_has_a_place_and_the_lints() {
        assert_eq!(findings("common", "").len(), 1);
        let tree = Tree::of(&[("model/Cargo.toml", "[package]\nname = \"headrope-model\"\n")]);
        assert_eq!(check(&tree).len(), 1);
    }
}

//! What is in the repository beside the code: licences, lock files, addresses.

use crate::finding::Finding;
use crate::tree::Tree;

/// Hosts that serve packages, in two parts so that this file does not contain them.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("proxy.golang", ".org"),
    ("sum.golang", ".org"),
    ("repo.maven", ".apache.org"),
    ("repo1", ".maven.org"),
    ("arti", "factory"),
];

/// Lock files by name, and what begins the address of a package in them.
const LOCK_FILES: &[(&str, &str)] = &[
    ("package-lock.json", "\"resolved\":"),
    ("npm-shrinkwrap.json", "\"resolved\":"),
    ("yarn.lock", "resolved \""),
    ("pnpm-lock.yaml", "tarball:"),
    ("uv.lock", "url = \""),
    ("poetry.lock", "url = \""),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = licence(tree);
    for (path, text) in tree.texts() {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some((_, address)) = LOCK_FILES.iter().find(|(lock, _)| *lock == name) {
            let message = "a lock file with the address of a package; write it without";
            findings.extend(lines_with(path, text, address, message));
        }
        if name != "Cargo.lock" && !is_vendored(path) {
            for (front, back) in REGISTRIES {
                let message = "the address of a package registry; leave it to the user's settings";
                findings.extend(lines_with(path, text, &format!("{front}{back}"), message));
            }
        }
    }
    findings.extend(tree.paths().filter(|path| is_vendored(path)).filter_map(|path| {
        let message = "a vendored file without its licence; add a LICENSE beside it or a header";
        (!has_notice(tree, path)).then(|| Finding::fault(path, 0, message))
    }));
    findings
}

fn licence(tree: &Tree) -> Vec<Finding> {
    let finding = match tree.text("LICENSE") {
        Some(text) if text.contains("Apache License") && text.contains("Version 2.0") => None,
        Some(_) => Some(Finding::fault("LICENSE", 0, "not the Apache License, Version 2.0")),
        None => Some(Finding::fault("LICENSE", 0, "is missing")),
    };
    finding.into_iter().collect()
}

fn lines_with(path: &str, text: &str, wanted: &str, message: &str) -> Vec<Finding> {
    let with = text.lines().enumerate().filter(|(_, line)| line.contains(wanted));
    with.map(|(at, _)| Finding::fault(path, at + 1, message)).collect()
}

fn is_vendored(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|directory| directory == "vendor")
}

/// Whether a vendored file has a notice: a `NAME.LICENSE` or `LICENSE-NAME.txt` beside it, for a
/// directory of its own a `LICENSE` in it, or words in its head.
fn has_notice(tree: &Tree, path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.contains("LICENSE") || name.contains("NOTICE") || name == "README.md" {
        return true;
    }
    let stems = name.match_indices('.').map(|(at, _)| &name[..at]).chain([name]);
    let beside = stems.into_iter().any(|stem| {
        tree.has(&format!("{directory}/{stem}.LICENSE"))
            || tree.has(&format!("{directory}/LICENSE-{stem}.txt"))
    });
    let own_directory = !directory.ends_with("/vendor") && directory != "vendor";
    let inside = own_directory
        && ["LICENSE", "LICENSE.txt", "LICENSE.md"]
            .iter()
            .any(|licence| tree.has(&format!("{directory}/{licence}")));
    let head: String = tree.text(path).unwrap_or_default().chars().take(2000).collect();
    let head = head.to_lowercase();
    beside || inside || head.contains("license") || head.contains("copyright")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENCE: (&str, &str) = ("LICENSE", "Apache License\nVersion 2.0, January 2004\n");

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(&[&[LICENCE], files].concat());
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_licence_is_there() {
        assert!(findings(&[]).is_empty());
        assert_eq!(check(&Tree::of(&[])).len(), 1);
        assert_eq!(check(&Tree::of(&[("LICENSE", "MIT")])).len(), 1);
    }

    #[test]
    fn addresses_of_registries_are_found() {
        let address = ["see https://registry.npmjs", ".org/x"].concat();
        let readme = format!("# Title\n\n{address}\n");
        assert_eq!(
            findings(&[("README.md", &readme)]),
            ["README.md:3: the address of a package registry; leave it to the user's settings"]
        );
        let lock =
            ["source = \"registry+https://github.com/rust-lang/crates", ".io-index\""].concat();
        assert!(findings(&[("Cargo.lock", &lock)]).is_empty());
        assert_eq!(findings(&[(".cargo/config.toml", &lock)]).len(), 1);
    }

    #[test]
    fn lock_files_name_no_addresses() {
        let with = "{\n \"resolved\": \"https://host/x.tgz\"\n}";
        assert_eq!(findings(&[("e2e/package-lock.json", with)]).len(), 1);
        assert!(findings(&[("e2e/package-lock.json", "{\"version\": \"1\"}")]).is_empty());
    }

    #[test]
    fn vendored_files_keep_their_licence() {
        let dir = "ui/assets/vendor";
        let bare = format!("{dir}/chart.min.js");
        assert_eq!(findings(&[(&bare, "var a")]).len(), 1);
        assert!(findings(&[(&bare, "/*! (c) Copyright 2020 X, MIT */")]).is_empty());
        assert!(findings(&[(&bare, "var a"), (&format!("{dir}/chart.LICENSE"), "MIT")]).is_empty());
        let licence_of_all = format!("{dir}/LICENSE");
        assert_eq!(findings(&[(&bare, "var a"), (&licence_of_all, "MIT")]).len(), 1);
        let own = format!("{dir}/chart/a.js");
        assert!(findings(&[(&own, "var a"), (&format!("{dir}/chart/LICENSE"), "MIT")]).is_empty());
    }
}

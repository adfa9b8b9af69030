//! Where captured real data lies. It is not part of the repository, so tests that need it ask here
//! and skip, saying why, when it is absent.

use std::path::PathBuf;

/// Environment variable that names the folder of shared data.
pub const SHARED_DATA_VARIABLE: &str = "HEADROPE_SHARED_DATA";

/// The path of `name` inside the shared data folder: `$HEADROPE_SHARED_DATA`, or `../shared/data`
/// beside the repository. When it does not exist, prints the reason to stderr and returns `None`;
/// the caller then skips.
#[must_use]
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let found = base().map(|base| base.join(name)).filter(|path| path.exists());
    if found.is_none() {
        eprintln!(
            "skipped: shared data {name:?} not found; set {SHARED_DATA_VARIABLE} to the folder that holds it"
        );
    }
    found
}

fn base() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(SHARED_DATA_VARIABLE) {
        return Some(PathBuf::from(named));
    }
    // Cargo sets this for every test and bench; each crate lies directly under the repository root.
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    Some(manifest.parent()?.parent()?.join("shared").join("data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_none() {
        assert!(shared_data("there is no such folder").is_none());
    }
}

//! What a data directory holds, in bytes by what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Bytes by part: `index` (text indexes), `log`, `catalog`, `other`, and each data set by its name.
pub(crate) type Parts = BTreeMap<String, u64>;

/// The parts of a data directory. A file that goes away meanwhile is left out.
///
/// # Errors
/// When a directory cannot be listed.
pub(crate) fn parts(data_dir: &Path) -> anyhow::Result<Parts> {
    let mut parts = Parts::new();
    for (path, bytes) in files(data_dir)?.into_iter().filter(|(_, bytes)| *bytes > 0) {
        let inside = path.strip_prefix(data_dir).unwrap_or(&path);
        *parts.entry(part(inside).to_owned()).or_default() += bytes;
    }
    Ok(parts)
}

/// Every file below a directory with its size.
///
/// # Errors
/// When a directory cannot be listed.
pub(crate) fn files(directory: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let list = || format!("cannot list {}", directory.display());
        for entry in fs::read_dir(&directory).with_context(list)? {
            let entry = entry.with_context(list)?;
            // Compaction and retention go on, so a listed file may be gone.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                found.push((entry.path(), metadata.len()));
            }
        }
    }
    Ok(found)
}

/// What a file is, by its path inside the data directory.
fn part(path: &Path) -> &str {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let directory = path.parent().and_then(Path::to_str).unwrap_or_default();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match (directory, extension) {
        ("segments", "idx") => "index",
        // A segment is called after its data set.
        ("segments", "parquet") => name.rsplit_once('-').map_or("other", |(data_set, _)| data_set),
        ("log", _) => "log",
        ("", _) if name.starts_with("catalog.") => "catalog",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let parts = [
            ("segments/spans-01J.parquet", "spans"),
            ("segments/trace_parts-01J.parquet", "trace_parts"),
            ("segments/logs-01J.idx", "index"),
            ("segments/logs-01J.parquet.tmp", "other"),
            ("log/00000000000000000001.log", "log"),
            ("catalog.sqlite", "catalog"),
            ("catalog.sqlite-wal", "catalog"),
            ("LOCK", "other"),
        ];
        for (path, expected) in parts {
            assert_eq!(part(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn sizes_add_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("log/1.log"), [0; 5]).unwrap();
        fs::write(dir.path().join("log/2.log"), [0; 7]).unwrap();
        fs::write(dir.path().join("LOCK"), []).unwrap();
        assert_eq!(parts(dir.path()).unwrap(), Parts::from([("log".to_owned(), 12)]));
    }
}

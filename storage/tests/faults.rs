//! The engine on a disk that fails, loses power, fills up and rots.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "faults/backup.rs"]
mod backup;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/flips.rs"]
mod flips;
#[path = "faults/full.rs"]
mod full;
#[path = "faults/model.rs"]
mod model;
#[path = "faults/rows.rs"]
mod rows;

use std::path::Path;
use std::time::Duration;

use headrope_storage::StorageConfig;

/// Nothing happens by itself: background work is driven by the tests.
fn config(dir: &Path) -> StorageConfig {
    let mut config = StorageConfig::new(dir.to_owned());
    config.flush_age = Duration::from_secs(3600);
    config.maintenance_interval = Duration::from_secs(3600);
    config.compact_fan_in = 2;
    config.min_free_bytes = 0;
    config
}

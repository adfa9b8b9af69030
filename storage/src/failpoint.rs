//! Named points at which a process can be made to die, so that tests can prove what a crash there
//! leaves behind. `HEADROPE_FAILPOINT=name` aborts at the first hit, `name=N` at the N-th. Without
//! the variable a hit costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every point, in the order a batch meets them.
pub const NAMES: &[&str] = &[
    "log.before_write",
    "log.after_write",
    "log.after_sync",
    "flush.before_segments",
    "flush.after_rollup",
    "flush.after_spans",
    "flush.before_commit",
    "flush.after_commit",
    "flush.after_trim",
    "compact.before_commit",
    "compact.after_commit",
    "compact.after_delete",
    "retention.after_commit",
];

/// Environment variable that arms a point.
pub const VARIABLE: &str = "HEADROPE_FAILPOINT";

struct Armed {
    name: String,
    left: AtomicU64,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let (name, nth) = text.split_once('=').unwrap_or((&text, "1"));
            let left = AtomicU64::new(nth.parse().unwrap_or(1));
            Some(Armed { name: name.to_owned(), left })
        })
        .as_ref()
}

/// Aborts the process here if this point is armed and due.
pub(crate) fn hit(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "{name} is not in failpoint::NAMES");
    if let Some(armed) = armed()
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

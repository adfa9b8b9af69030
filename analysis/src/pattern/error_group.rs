//! Errors that are the same error.

use super::frame::frames;
use super::hash::hash;
use super::mask;

/// Frames at the top of the stack that tell errors apart.
pub const TOP_FRAMES: usize = 5;

/// What errors of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The hash of the rest: the same for the same error everywhere.
    pub id: u64,
    /// The type of the exception as it was told, numbers masked.
    pub kind: String,
    /// The first line of the message, [masked](mask()).
    pub message: String,
    /// Where it was thrown: up to [`TOP_FRAMES`] functions, the innermost first, without line numbers.
    /// Empty if there is no stack trace or it is in no known form.
    pub frames: Vec<String>,
}

/// The group of an error from the attributes `exception.type`, `exception.message` and
/// `exception.stacktrace`; any may be empty. The id survives other line numbers, addresses, and values in
/// the message. Stack traces of Java, .NET, JavaScript, Python, Ruby, PHP, Go and Rust are understood; of
/// others the type and the message decide alone.
#[must_use]
pub fn error_group(kind: &str, message: &str, stack_trace: &str) -> ErrorGroup {
    let kind = mask(kind.trim());
    let first = message.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let message = mask(first);
    let mut frames = frames(stack_trace);
    frames.truncate(TOP_FRAMES);
    let parts: Vec<&str> = [kind.as_str(), message.as_str()]
        .into_iter()
        .chain(frames.iter().map(String::as_str))
        .collect();
    ErrorGroup { id: hash(&parts), kind, message, frames }
}

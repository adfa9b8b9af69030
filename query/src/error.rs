//! What can go wrong with a question.

/// A failure to answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question itself is wrong; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// What was asked for does not exist in the time asked for.
    #[error("{0} was not found; widen the time range or check the id")]
    NotFound(String),
    /// The question ran longer than allowed.
    #[error("the query ran longer than {0:?}; narrow the time range or add a filter")]
    Timeout(std::time::Duration),
    /// Too many questions at once, or too much memory asked for.
    #[error("the server is busy: {0}; retry in a second")]
    Busy(String),
    /// The question needs more memory or disk than queries may use.
    #[error(
        "the query needs more memory than it may use: {0}; narrow the time range, add a filter or a LIMIT"
    )]
    TooLarge(String),
    /// Planning or execution failed.
    #[error("query engine: {0}")]
    Engine(String),
}

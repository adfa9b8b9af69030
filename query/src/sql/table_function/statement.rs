//! What the calls of one statement share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headrope_model::time::now_ns;
use tokio::sync::OnceCell;

use crate::answer::verdict::{Verdict, VerdictQuery};
use crate::ask;
use crate::engine::Session;
use crate::error::QueryError;

/// Most calls in one statement: each may be a question of its own.
const MOST_CALLS: usize = 8;

/// A question for a verdict, and its answer once it is there.
type Asked = (VerdictQuery, Arc<OnceCell<Arc<Verdict>>>);

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) session: Arc<Session>,
    /// What `now` means in all its calls, so that the same words are the same question.
    pub(super) now_ns: i64,
    calls: AtomicUsize,
    verdicts: Mutex<Vec<Asked>>,
}

impl Statement {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, now_ns: now_ns(), calls: AtomicUsize::new(0), verdicts: Mutex::default() }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn call(&self) -> Result<(), String> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < MOST_CALLS {
            return Ok(());
        }
        Err(format!("a statement may call functions that are tables {MOST_CALLS} times"))
    }

    /// Asked once, whichever of its tables are used.
    pub(super) async fn verdict(&self, query: &VerdictQuery) -> Result<Arc<Verdict>, QueryError> {
        let cell = self.cell(query);
        let ask = || async {
            let found = Box::pin(ask::verdict::verdict(&self.session, query)).await;
            found.map(Arc::new)
        };
        cell.get_or_try_init(ask).await.map(Arc::clone)
    }

    fn cell(&self, query: &VerdictQuery) -> Arc<OnceCell<Arc<Verdict>>> {
        let mut asked = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = asked.iter().find(|(known, _)| known == query) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(OnceCell::new());
        asked.push((query.clone(), Arc::clone(&cell)));
        cell
    }
}

#[cfg(test)]
mod tests {
    use headrope_model::TimeRange;

    use super::*;
    use crate::QueryConfig;
    use crate::tests::empty;

    #[tokio::test]
    async fn the_same_verdict_is_asked_for_once() {
        let (engine, queries, _dir) = empty(QueryConfig::default()).await;
        let session = Session::open(&queries.machine(), engine.snapshot().await.unwrap()).unwrap();
        let statement = Statement::new(Arc::new(session));
        let query = |service: Option<&str>| VerdictQuery {
            range: TimeRange::new(0, 1_000_000_000).unwrap(),
            reference: None,
            service: service.map(str::to_owned),
            operation: None,
        };
        let asked = query(None);
        let (one, same) = tokio::join!(statement.verdict(&asked), statement.verdict(&asked));
        let (one, same) = (one.unwrap(), same.unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        let other = statement.verdict(&query(Some("checkout"))).await.unwrap();
        assert!(!Arc::ptr_eq(&one, &other));
    }

    #[tokio::test]
    async fn calls_are_counted() {
        let (engine, queries, _dir) = empty(QueryConfig::default()).await;
        let session = Session::open(&queries.machine(), engine.snapshot().await.unwrap()).unwrap();
        let statement = Statement::new(Arc::new(session));
        for _ in 0..MOST_CALLS {
            statement.call().unwrap();
        }
        assert!(statement.call().unwrap_err().contains("8 times"));
    }
}

//! Admission: how many questions run and wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::QueryConfig;
use crate::error::QueryError;

/// Lets a bounded number of questions run, a bounded number wait, and refuses the rest.
#[derive(Debug)]
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    concurrent: usize,
}

/// The right to run, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(config: &QueryConfig) -> Self {
        let concurrent = config.concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            running: Arc::new(Semaphore::new(concurrent)),
            waiting: Semaphore::new(config.waiting.min(Semaphore::MAX_PERMITS)),
            concurrent,
        }
    }

    /// Waits for a turn, at most `patience`.
    pub(crate) async fn enter(&self, patience: Duration) -> Result<Turn, QueryError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(Turn { _permit: permit });
        }
        let busy = || QueryError::Busy(format!("{} queries are running", self.concurrent));
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        match tokio::time::timeout(patience, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Turns that nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.running.available_permits()
    }
}

//! The one door to answers.

use std::sync::Arc;

use headrope_model::{TimeRange, TraceId};
use headrope_storage::Engine;

use crate::answer::latency::{Latency, LatencyQuery};
use crate::answer::log::{LogPage, LogQuery, LogVolume};
use crate::answer::service::{
    DependencyRow, MetricSeries, OperationRow, Overview, Series, ServiceRow, TopQuery, TopRow,
};
use crate::answer::trace::{Trace, TracePage, TraceQuery};
use crate::error::QueryError;

/// Answers questions about one storage engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    engine: Arc<Engine>,
}

/// Shorthand for the result of a question.
pub type Answer<T> = Result<T, QueryError>;

impl Queries {
    /// Wraps an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn pending<T>(&self) -> Answer<T> {
        let version = self.engine.snapshot().version();
        Err(QueryError::Engine(format!("no answer at version {version}")))
    }

    /// The first page.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn overview(&self, _range: TimeRange) -> Answer<Overview> {
        self.pending()
    }

    /// The service inventory, by name.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn services(&self, _range: TimeRange) -> Answer<Vec<ServiceRow>> {
        self.pending()
    }

    /// Operations of a service, by total time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn operations(&self, _service: &str, _range: TimeRange) -> Answer<Vec<OperationRow>> {
        self.pending()
    }

    /// What a service calls, by total time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn dependencies(
        &self,
        _service: &str,
        _range: TimeRange,
    ) -> Answer<Vec<DependencyRow>> {
        self.pending()
    }

    /// Resource metrics of the hosts and instances a service ran on: CPU, memory, GC, pools.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn resources(&self, _service: &str, _range: TimeRange) -> Answer<Vec<MetricSeries>> {
        self.pending()
    }

    /// A TOP-N ranking.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn top(&self, _query: &TopQuery) -> Answer<Vec<TopRow>> {
        self.pending()
    }

    /// Calls, errors and percentiles of a service (or of everything) over time, entry spans.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn series(&self, _service: Option<&str>, _range: TimeRange) -> Answer<Series> {
        self.pending()
    }

    /// A latency distribution.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn latency(&self, _query: &LatencyQuery) -> Answer<Latency> {
        self.pending()
    }

    /// A trace with its call chain and critical path; at most `max_spans` spans in the answer.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when no span of it is stored.
    pub async fn trace(&self, _id: TraceId, _max_spans: usize) -> Answer<Trace> {
        self.pending()
    }

    /// Traces that match, as summaries.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn search_traces(&self, _query: &TraceQuery) -> Answer<TracePage> {
        self.pending()
    }

    /// Log records that match, newest first.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn search_logs(&self, _query: &LogQuery) -> Answer<LogPage> {
        self.pending()
    }

    /// Number of matching records over time by severity class (`limit` and `cursor` are ignored).
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_volume(&self, _query: &LogQuery) -> Answer<LogVolume> {
        self.pending()
    }
}

//! The questions the pages ask.

use async_trait::async_trait;
use headrope_model::{TimeRange, TraceId};
use headrope_query::answer::anomaly::Anomalies;
use headrope_query::answer::latency::{Latency, LatencyQuery};
use headrope_query::answer::log::{LogPage, LogQuery, LogVolume};
use headrope_query::answer::service::{
    DependencyRow, MetricSeries, OperationRow, Overview, Series, ServiceRow, Top, TopQuery,
};
use headrope_query::answer::trace::{Trace, TracePage, TraceQuery};
use headrope_query::answer::verdict::{Verdict, VerdictQuery};
use headrope_query::{Queries, QueryError};

/// Shorthand for the result of a question.
pub type Answer<T> = Result<T, QueryError>;

/// Whatever can answer the pages' questions: [`Queries`] in the product, a fixture in tests. The
/// meaning of each method is that of the method of the same name of [`Queries`].
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// See [`Queries::overview`].
    async fn overview(&self, range: TimeRange) -> Answer<Overview>;
    /// See [`Queries::services`].
    async fn services(&self, range: TimeRange) -> Answer<Vec<ServiceRow>>;
    /// See [`Queries::operations`].
    async fn operations(&self, service: &str, range: TimeRange) -> Answer<Vec<OperationRow>>;
    /// See [`Queries::dependencies`].
    async fn dependencies(&self, service: &str, range: TimeRange) -> Answer<Vec<DependencyRow>>;
    /// See [`Queries::resources`].
    async fn resources(&self, service: &str, range: TimeRange) -> Answer<Vec<MetricSeries>>;
    /// See [`Queries::top`].
    async fn top(&self, query: &TopQuery) -> Answer<Top>;
    /// See [`Queries::series`].
    async fn series(&self, service: Option<&str>, range: TimeRange) -> Answer<Series>;
    /// See [`Queries::latency`].
    async fn latency(&self, query: &LatencyQuery) -> Answer<Latency>;
    /// See [`Queries::trace`].
    async fn trace(&self, id: TraceId, max_spans: usize) -> Answer<Trace>;
    /// See [`Queries::search_traces`].
    async fn search_traces(&self, query: &TraceQuery) -> Answer<TracePage>;
    /// See [`Queries::search_logs`].
    async fn search_logs(&self, query: &LogQuery) -> Answer<LogPage>;
    /// See [`Queries::log_volume`].
    async fn log_volume(&self, query: &LogQuery) -> Answer<LogVolume>;
    /// See [`Queries::anomalies`], of all services.
    async fn anomalies(&self, range: TimeRange) -> Answer<Anomalies>;
    /// See [`Queries::verdict`].
    async fn verdict(&self, query: &VerdictQuery) -> Answer<Verdict>;
}

#[async_trait]
impl Answers for Queries {
    async fn overview(&self, range: TimeRange) -> Answer<Overview> {
        Self::overview(self, range).await
    }

    async fn services(&self, range: TimeRange) -> Answer<Vec<ServiceRow>> {
        Self::services(self, range).await
    }

    async fn operations(&self, service: &str, range: TimeRange) -> Answer<Vec<OperationRow>> {
        Self::operations(self, service, range).await
    }

    async fn dependencies(&self, service: &str, range: TimeRange) -> Answer<Vec<DependencyRow>> {
        Self::dependencies(self, service, range).await
    }

    async fn resources(&self, service: &str, range: TimeRange) -> Answer<Vec<MetricSeries>> {
        Self::resources(self, service, range).await
    }

    async fn top(&self, query: &TopQuery) -> Answer<Top> {
        Self::top(self, query).await
    }

    async fn series(&self, service: Option<&str>, range: TimeRange) -> Answer<Series> {
        Self::series(self, service, range).await
    }

    async fn latency(&self, query: &LatencyQuery) -> Answer<Latency> {
        Self::latency(self, query).await
    }

    async fn trace(&self, id: TraceId, max_spans: usize) -> Answer<Trace> {
        Self::trace(self, id, max_spans).await
    }

    async fn search_traces(&self, query: &TraceQuery) -> Answer<TracePage> {
        Self::search_traces(self, query).await
    }

    async fn search_logs(&self, query: &LogQuery) -> Answer<LogPage> {
        Self::search_logs(self, query).await
    }

    async fn log_volume(&self, query: &LogQuery) -> Answer<LogVolume> {
        Self::log_volume(self, query).await
    }

    async fn anomalies(&self, range: TimeRange) -> Answer<Anomalies> {
        Self::anomalies(self, range, None).await
    }

    async fn verdict(&self, query: &VerdictQuery) -> Answer<Verdict> {
        Self::verdict(self, query).await
    }
}

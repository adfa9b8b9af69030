//! The one door to answers.

use std::sync::Arc;
use std::time::Duration;

use headrope_model::{TimeRange, TraceId};
use headrope_storage::Engine;
use tokio_util::task::AbortOnDropHandle;

use crate::answer::anomaly::Anomalies;
use crate::answer::attribute::{AttributeQuery, Attributes};
use crate::answer::capacity::{Capacity, CapacityQuery, WhatIf, WhatIfQuery};
use crate::answer::change::{ChangeQuery, ChangeRow, Changes, NewChange};
use crate::answer::coverage::Coverage;
use crate::answer::difference::{DifferenceQuery, Differences};
use crate::answer::latency::{Latency, LatencyQuery};
use crate::answer::log::{LogPage, LogQuery, LogVolume};
use crate::answer::map::Map;
use crate::answer::pattern::{ErrorGroups, ErrorQuery, LogPatterns, PatternQuery};
use crate::answer::service::{
    DependencyRow, MetricSeries, OperationRow, Overview, Series, ServiceRow, Top, TopQuery,
};
use crate::answer::statement::{StatementQuery, Statements};
use crate::answer::trace::{Trace, TracePage, TraceQuery};
use crate::answer::verdict::{Verdict, VerdictQuery};
use crate::ask;
use crate::engine::{Machine, QueryConfig, Session};
use crate::error::QueryError;
use crate::sql::{self, SqlAnswer, SqlRequest};

/// Answers questions about one storage engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    engine: Arc<Engine>,
    machine: Arc<Machine>,
}

/// What a panic below the door is answered with.
const BROKEN: &str = "it broke on this question; please report the question";

/// Shorthand for the result of a question.
pub type Answer<T> = Result<T, QueryError>;

impl Queries {
    /// Wraps an engine, with default limits.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self::with_config(engine, QueryConfig::default())
    }

    /// Wraps an engine. Where spill files cannot be made, every question says so.
    #[must_use]
    pub fn with_config(engine: Arc<Engine>, config: QueryConfig) -> Self {
        Self { engine, machine: Arc::new(Machine::new(config)) }
    }

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> &QueryConfig {
        &self.machine.config
    }

    /// Bytes of the memory budget in use by running queries.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.machine.memory_used()
    }

    /// What all questions share.
    #[cfg(test)]
    pub(crate) fn machine(&self) -> Arc<Machine> {
        Arc::clone(&self.machine)
    }

    /// Answers a question in SQL.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn sql(&self, request: &SqlRequest) -> Answer<SqlAnswer> {
        let config = self.config();
        let asked = request.timeout_ms.map(Duration::from_millis);
        let limit = asked.unwrap_or(config.timeout).min(config.max_timeout);
        let rows = request.max_rows.unwrap_or(config.default_rows).min(config.max_rows);
        let bytes = config.max_result_bytes;
        let request = request.clone();
        self.ask_for(limit, move |session| async move {
            sql::run(&session, &request, rows, bytes).await
        })
        .await
    }

    async fn ask<T, F>(&self, work: impl FnOnce(Arc<Session>) -> F + Send + 'static) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send,
    {
        self.ask_for(self.config().timeout, work).await
    }

    /// Runs the work in its turn, over one snapshot, within the time, on the threads for queries.
    /// Dropping the future stops it.
    async fn ask_for<T, F>(
        &self,
        limit: Duration,
        work: impl FnOnce(Arc<Session>) -> F + Send + 'static,
    ) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send,
    {
        let (machine, engine) = (Arc::clone(&self.machine), Arc::clone(&self.engine));
        let answer = async move {
            let _turn = machine.gate.enter(limit / 2).await?;
            let session = Session::open(
                &machine,
                engine.snapshot().await.map_err(|e| QueryError::Engine(e.to_string()))?,
            )?;
            Box::pin(work(Arc::new(session))).await
        };
        let task = AbortOnDropHandle::new(self.machine.threads()?.spawn(answer));
        match tokio::time::timeout(limit, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueryError::Engine(BROKEN.to_owned())),
            Err(_) => Err(QueryError::Timeout(limit)),
        }
    }

    /// The first page.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn overview(&self, range: TimeRange) -> Answer<Overview> {
        self.ask(move |s| async move { ask::overview::overview(&s, range).await }).await
    }

    /// Which attributes records have.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn attributes(&self, query: &AttributeQuery) -> Answer<Attributes> {
        let query = query.clone();
        self.ask(move |s| async move { ask::attribute::attributes(&s, &query).await }).await
    }

    /// The service inventory, by name.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn services(&self, range: TimeRange) -> Answer<Vec<ServiceRow>> {
        self.ask(move |s| async move { ask::service::services(&s, None, range).await }).await
    }

    /// One service of the inventory.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when it sent no span in the range.
    pub async fn service(&self, name: &str, range: TimeRange) -> Answer<ServiceRow> {
        let asked = name.to_owned();
        let found = self
            .ask(move |s| async move { ask::service::services(&s, Some(&asked), range).await })
            .await?;
        let missing = || QueryError::NotFound(format!("service {name:?}"));
        found.into_iter().next().ok_or_else(missing)
    }

    /// Operations of a service, by total time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn operations(&self, service: &str, range: TimeRange) -> Answer<Vec<OperationRow>> {
        let service = service.to_owned();
        self.ask(move |s| async move { ask::service::operations(&s, &service, range).await }).await
    }

    /// What a service calls, by total time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn dependencies(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Answer<Vec<DependencyRow>> {
        let service = service.to_owned();
        self.ask(move |s| async move { ask::dependency::dependencies(&s, &service, range).await })
            .await
    }

    /// Resource metrics of the hosts and instances a service ran on: CPU, memory, GC, pools.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn resources(&self, service: &str, range: TimeRange) -> Answer<Vec<MetricSeries>> {
        let service = service.to_owned();
        self.ask(move |s| async move { ask::resource::resources(&s, &service, range).await }).await
    }

    /// A TOP-N ranking.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn top(&self, query: &TopQuery) -> Answer<Top> {
        let query = query.clone();
        self.ask(move |s| async move { ask::top::top(&s, &query).await }).await
    }

    /// Calls, errors and percentiles of a service (or of everything) over time, entry spans.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn series(&self, service: Option<&str>, range: TimeRange) -> Answer<Series> {
        let service = service.map(str::to_owned);
        self.ask(move |s| async move { ask::service::series(&s, service.as_deref(), range).await })
            .await
    }

    /// A latency distribution.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn latency(&self, query: &LatencyQuery) -> Answer<Latency> {
        let query = query.clone();
        self.ask(move |s| async move { ask::latency::latency(&s, &query).await }).await
    }

    /// A trace with its call chain and critical path; at most `max_spans` spans in the answer.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when no span of it is stored.
    pub async fn trace(&self, id: TraceId, max_spans: usize) -> Answer<Trace> {
        self.ask(move |s| async move { ask::trace::trace(&s, id, max_spans).await }).await
    }

    /// Who calls whom, how often, how fast, and who needs whom.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn map(&self, range: TimeRange) -> Answer<Map> {
        self.ask(move |s| async move { ask::map::map(&s, range).await }).await
    }

    /// How well spans, metrics and logs join, and what to add.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn coverage(&self, range: TimeRange) -> Answer<Coverage> {
        self.ask(move |s| async move { ask::coverage::coverage(&s, range).await }).await
    }

    /// Why requests of a window are slower or fail more than those of a reference.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn verdict(&self, query: &VerdictQuery) -> Answer<Verdict> {
        let query = query.clone();
        self.ask(move |s| async move { ask::verdict::verdict(&s, &query).await }).await
    }

    /// How much traffic services can take.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn capacity(&self, query: &CapacityQuery) -> Answer<Capacity> {
        let query = query.clone();
        self.ask(move |s| async move { ask::capacity::capacity(&s, &query).await }).await
    }

    /// What gives way first when traffic grows.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when no request of the service and operation entered.
    pub async fn what_if(&self, query: &WhatIfQuery) -> Answer<WhatIf> {
        let query = query.clone();
        self.ask(move |s| async move { ask::capacity::what_if(&s, &query).await }).await
    }

    /// The log records of a trace, newest first; without a `range` of its own the query takes the
    /// trace's, an hour wider on either side.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] when no span of it is stored.
    pub async fn trace_logs(&self, id: TraceId, query: &LogQuery) -> Answer<LogPage> {
        let query = query.clone();
        self.ask(move |s| async move {
            let range = match query.range == TimeRange::ALL {
                true => ask::trace::extent(&s, id).await?.of_logs(),
                false => query.range,
            };
            let query = LogQuery { trace_id: Some(id), range, ..query };
            ask::log::search(&s, &query).await
        })
        .await
    }

    /// Traces that match, as summaries.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn search_traces(&self, query: &TraceQuery) -> Answer<TracePage> {
        let query = query.clone();
        self.ask(move |s| async move { ask::search::search(&s, &query).await }).await
    }

    /// Log records that match, newest first.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn search_logs(&self, query: &LogQuery) -> Answer<LogPage> {
        let query = query.clone();
        self.ask(move |s| async move { ask::log::search(&s, &query).await }).await
    }

    /// Number of matching records over time by severity class (`limit` and `cursor` are ignored).
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_volume(&self, query: &LogQuery) -> Answer<LogVolume> {
        let query = query.clone();
        self.ask(move |s| async move { ask::log::volume(&s, &query).await }).await
    }

    /// What log records have in common, how often each pattern comes, and what is new.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_patterns(&self, query: &PatternQuery) -> Answer<LogPatterns> {
        let query = query.clone();
        self.ask(move |s| async move { ask::pattern::patterns(&s, &query).await }).await
    }

    /// Exceptions by type, message and origin.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn errors(&self, query: &ErrorQuery) -> Answer<ErrorGroups> {
        let query = query.clone();
        self.ask(move |s| async move { ask::error::errors(&s, &query).await }).await
    }

    /// What services ask of databases.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn statements(&self, query: &StatementQuery) -> Answer<Statements> {
        let query = query.clone();
        self.ask(move |s| async move { ask::statement::statements(&s, &query).await }).await
    }

    /// What is different about slow or failed traces.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn differences(&self, query: &DifferenceQuery) -> Answer<Differences> {
        let query = query.clone();
        self.ask(move |s| async move { ask::difference::differences(&s, &query).await }).await
    }

    /// What changed: versions, instances, kinds of work, logs, errors, and what was recorded.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn changes(&self, query: &ChangeQuery) -> Answer<Changes> {
        let query = query.clone();
        self.ask(move |s| async move { ask::change::changes(&s, &query).await }).await
    }

    /// Records a change as an event; when this returns it is durable.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn record_change(&self, change: NewChange) -> Answer<ChangeRow> {
        ask::change::record::record(&self.engine, change).await
    }

    /// When services behaved unlike before.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn anomalies(&self, range: TimeRange, service: Option<&str>) -> Answer<Anomalies> {
        let service = service.map(str::to_owned);
        self.ask(
            move |s| async move { ask::anomaly::anomalies(&s, range, service.as_deref()).await },
        )
        .await
    }
}

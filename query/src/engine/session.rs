//! One question: a session whose tables all see the same snapshot.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionContext;
use headrope_model::{DataSet, TimeRange, TraceId};
use headrope_storage::Snapshot;

use super::catalog::{CATALOG, SnapshotCatalog};
use super::extent;
use super::fault::internal;
use super::found::{self, Found};
use super::longest::{self, Long, Wish};
use super::machine::Machine;
use super::rows::{self, Part};
use super::table::{ScanCounts, Source};
use crate::error::QueryError;

/// Values of the named parameters of a statement.
pub(crate) type Params = Vec<(&'static str, ScalarValue)>;

/// A session over one snapshot.
pub(crate) struct Session {
    /// Made for the first statement: answers that need none are spared it.
    context: OnceLock<SessionContext>,
    base: Arc<SessionState>,
    source: Source,
}

impl Session {
    /// Opens a session over a snapshot, which stays readable until the session is dropped.
    pub(crate) fn open(
        machine: &Arc<Machine>,
        snapshot: Arc<Snapshot>,
    ) -> Result<Self, QueryError> {
        let source = Source {
            machine: Arc::clone(machine),
            snapshot,
            counts: Arc::new(ScanCounts::default()),
        };
        let base = Arc::clone(machine.base()?);
        Ok(Self { context: OnceLock::new(), base, source })
    }

    /// The engine's context.
    pub(crate) fn context(&self) -> &SessionContext {
        self.context.get_or_init(|| {
            let catalogs = MemoryCatalogProviderList::new();
            let catalog = SnapshotCatalog::new(self.source.clone());
            catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
            let state = SessionStateBuilder::new_from_existing(self.base.as_ref().clone())
                .with_catalog_list(Arc::new(catalogs))
                .build();
            SessionContext::new_with_state(state)
        })
    }

    /// Where a trace is; `None` when no span of it is stored.
    pub(crate) async fn find(&self, id: TraceId) -> Result<Option<Found>, QueryError> {
        let (machine, snapshot) =
            (Arc::clone(&self.source.machine), Arc::clone(&self.source.snapshot));
        let search = move || found::find(&machine.footers, &snapshot, id);
        let found = tokio::task::spawn_blocking(search).await;
        found.map_err(|e| QueryError::Engine(e.to_string()))?.map_err(internal)
    }

    /// Memory that all questions share.
    pub(super) fn memory_pool(&self) -> &Arc<dyn MemoryPool> {
        &self.base.runtime_env().memory_pool
    }

    /// The traces that took longest, longest first.
    pub(crate) async fn longest(&self, wish: Wish) -> Result<Vec<Long>, QueryError> {
        let Source { machine, snapshot, .. } = &self.source;
        let found =
            longest::longest(&machine.footers, snapshot, self.memory_pool(), wish, longest::PARTS);
        found.await.map_err(internal)
    }

    /// The spans of a trace that was found, with some columns.
    pub(crate) async fn spans_of(
        &self,
        id: TraceId,
        found: Found,
        columns: &[&str],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let Source { machine, snapshot, .. } = &self.source;
        let context = self.base.task_ctx();
        let spans = found::spans(&machine.footers, snapshot, id, found.extent, columns, context);
        Box::pin(spans).await.map_err(internal)
    }

    /// Columns of rows of segments, by part and in the order of rows.
    pub(crate) async fn rows_of(
        &self,
        parts: Vec<Part>,
        columns: &[&str],
    ) -> Result<Vec<Vec<RecordBatch>>, QueryError> {
        rows::read_all(&self.source.machine.footers, parts, columns).await.map_err(internal)
    }

    /// Columns of live rows of a data set, in no order.
    pub(crate) async fn live_rows(
        &self,
        data_set: DataSet,
        live: Vec<RecordBatch>,
        columns: &[&str],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let (footers, context) = (&self.source.machine.footers, self.base.task_ctx());
        rows::live(footers, data_set, live, columns, context).await.map_err(internal)
    }

    /// What all questions share.
    pub(crate) const fn machine(&self) -> &Arc<Machine> {
        &self.source.machine
    }

    /// The snapshot every table sees, to be kept.
    pub(crate) fn shared_snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.source.snapshot)
    }

    /// The snapshot every table sees.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.source.snapshot
    }

    /// Plans a statement of ours.
    pub(crate) async fn plan(&self, sql: &str, params: Params) -> Result<DataFrame, QueryError> {
        let frame = Box::pin(self.context().sql(sql)).await.map_err(internal)?;
        if params.is_empty() {
            return Ok(frame);
        }
        frame.with_param_values(ParamValues::from(params)).map_err(internal)
    }

    /// The rows of a statement of ours. The statement bounds them.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        params: Params,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let frame = Box::pin(self.plan(sql, params)).await?;
        Box::pin(frame.collect()).await.map_err(internal)
    }

    /// Hands batches that hold the spans of a range to `each`, with columns as they are stored; see `extent`.
    pub(crate) async fn spans_within(
        &self,
        range: TimeRange,
        columns: &'static [&'static str],
        mut each: impl FnMut(&RecordBatch) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let Source { machine, snapshot, .. } = &self.source;
        let each = |batch: &RecordBatch| each(batch).map_err(extent::Stopped::Each);
        let read = extent::spans_within(&machine.footers, snapshot, range, columns, each);
        read.await.map_err(|stopped| match stopped {
            extent::Stopped::Engine(e) => internal(e),
            extent::Stopped::Each(e) => e,
        })
    }

    /// Segments read and segments skipped so far.
    pub(crate) fn segments(&self) -> (u64, u64) {
        let counts = &self.source.counts;
        (counts.scanned.load(Ordering::Relaxed), counts.pruned.load(Ordering::Relaxed))
    }

    /// The roll-ups that were read so far, as [`crate::SqlStats::rollup`] names them.
    pub(crate) fn rollups(&self) -> Option<String> {
        let read = self.source.counts.rollups.load(Ordering::Relaxed);
        let all = DataSet::ROLLUPS.iter().enumerate().filter(|(at, _)| read & (1 << at) != 0);
        let names = all.map(|(_, d)| d.name().strip_suffix("_rollup").unwrap_or(d.name()));
        let names: Vec<&str> = names.collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("version", &self.source.snapshot.version()).finish()
    }
}

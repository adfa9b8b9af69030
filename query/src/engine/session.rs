//! One question: a session whose tables all see the same snapshot.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionContext;
use headrope_model::TraceId;
use headrope_storage::Snapshot;

use super::catalog::{CATALOG, SnapshotCatalog};
use super::fault::internal;
use super::found::{self, Found};
use super::machine::Machine;
use super::table::{Chosen, ScanCounts, Source};
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
            chosen: None,
        };
        let base = Arc::clone(machine.base()?);
        Ok(Self { context: OnceLock::new(), base, source })
    }

    /// A session over the same snapshot whose table of logs has these rows only.
    pub(crate) fn choosing(&self, chosen: Chosen) -> Self {
        let source = Source { chosen: Some(Arc::new(chosen)), ..self.source.clone() };
        Self { context: OnceLock::new(), base: Arc::clone(&self.base), source }
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

    /// Segments read and segments skipped so far.
    pub(crate) fn segments(&self) -> (u64, u64) {
        let counts = &self.source.counts;
        (counts.scanned.load(Ordering::Relaxed), counts.pruned.load(Ordering::Relaxed))
    }

    /// The roll-ups that were read so far.
    pub(crate) fn rollups(&self) -> Option<&'static str> {
        const NAMES: [&str; 8] = [
            "",
            "operation",
            "service",
            "operation, service",
            "statement",
            "operation, statement",
            "service, statement",
            "operation, service, statement",
        ];
        let read = self.source.counts.rollups.load(Ordering::Relaxed);
        NAMES.get(read).copied().filter(|names| !names.is_empty())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("version", &self.source.snapshot.version()).finish()
    }
}

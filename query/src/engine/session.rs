//! One question: a session whose tables all see the same snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use headrope_storage::Snapshot;

use super::catalog::{CATALOG, SnapshotCatalog};
use super::fault::internal;
use super::machine::Machine;
use super::table::{ScanCounts, Source};
use crate::error::QueryError;

/// Values of the named parameters of a statement.
pub(crate) type Params = Vec<(&'static str, ScalarValue)>;

/// A session over one snapshot.
pub(crate) struct Session {
    context: SessionContext,
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
        let catalogs = MemoryCatalogProviderList::new();
        catalogs
            .register_catalog(CATALOG.to_owned(), Arc::new(SnapshotCatalog::new(source.clone())));
        let state = SessionStateBuilder::new_from_existing(machine.base()?.clone())
            .with_catalog_list(Arc::new(catalogs))
            .build();
        Ok(Self { context: SessionContext::new_with_state(state), source })
    }

    /// The engine's context.
    pub(crate) const fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The snapshot every table sees.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.source.snapshot
    }

    /// Plans a statement of ours.
    pub(crate) async fn plan(&self, sql: &str, params: Params) -> Result<DataFrame, QueryError> {
        let frame = Box::pin(self.context.sql(sql)).await.map_err(internal)?;
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

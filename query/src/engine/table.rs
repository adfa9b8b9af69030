//! A table of one data set over one snapshot: decides what is read.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::conjunction;
use datafusion::physical_plan::ExecutionPlan;
use headrope_model::DataSet;
use headrope_model::schema::{self, Column};
use headrope_storage::text::{RowSet, TextQuery};
use headrope_storage::{LiveBatch, Segment, Snapshot};

use super::ids::{self, IdFilter};
use super::machine::Machine;
use super::node::ScanExec;
use super::prune::{Known, may_match};
use super::scan::{File, Rows, Scan};
use crate::function::text;

/// What the tables of one question share.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) machine: Arc<Machine>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) counts: Arc<ScanCounts>,
}

/// Which rows of a data set a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    All,
    /// Those of segments that a roll-up counts.
    CountedBy(DataSet),
    /// All others: live ones, and those of segments that it does not count.
    NotCountedBy(DataSet),
}

impl Part {
    fn has_segment(self, segment: &Segment) -> bool {
        match self {
            Self::All => true,
            Self::CountedBy(rollup) => segment.meta().rollups.contains(rollup),
            Self::NotCountedBy(rollup) => !segment.meta().rollups.contains(rollup),
        }
    }

    const fn has_live(self) -> bool {
        !matches!(self, Self::CountedBy(_))
    }
}

/// Segments that were read and that were skipped without opening them.
#[derive(Debug, Default)]
pub(crate) struct ScanCounts {
    pub(crate) scanned: AtomicU64,
    pub(crate) pruned: AtomicU64,
    /// The roll-ups that were read, a bit for each of [`DataSet::ROLLUPS`].
    pub(crate) rollups: AtomicUsize,
}

/// One data set of a snapshot as SQL sees it.
#[derive(Debug)]
pub(crate) struct Table {
    data_set: DataSet,
    part: Part,
    stored: SchemaRef,
    schema: SchemaRef,
    source: Source,
}

impl Table {
    pub(crate) fn new(data_set: DataSet, source: Source) -> Self {
        Self::part(data_set, Part::All, source)
    }

    /// Some rows of a data set.
    pub(crate) fn part(data_set: DataSet, part: Part, source: Source) -> Self {
        let (stored, schema) = (schema::stored(data_set), schema::query(data_set));
        Self { data_set, part, stored, schema, source }
    }

    /// What the tables of the question share.
    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// Whether it has all rows of a data set.
    pub(crate) fn is_all_of(&self, data_set: DataSet) -> bool {
        self.data_set == data_set && self.part == Part::All
    }

    fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let part = self.part;
        self.source.snapshot.segments(self.data_set).iter().filter(move |s| part.has_segment(s))
    }

    fn live(&self) -> &[LiveBatch] {
        if self.part.has_live() { self.source.snapshot.live(self.data_set) } else { &[] }
    }

    /// Least and greatest time of each segment and live batch.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (i64, i64)> {
        let segments = self.segments().map(|s| (s.meta().min_time, s.meta().max_time));
        segments.chain(self.live().iter().map(|l| (l.min_time, l.max_time)))
    }

    fn count(&self, scanned: usize) {
        let counts = &self.source.counts;
        let pruned = self.segments().count().saturating_sub(scanned);
        counts.scanned.fetch_add(scanned as u64, Ordering::Relaxed);
        counts.pruned.fetch_add(pruned as u64, Ordering::Relaxed);
        if let Some(at) = DataSet::ROLLUPS.iter().position(|d| *d == self.data_set) {
            counts.rollups.fetch_or(1 << at, Ordering::Relaxed);
        }
    }

    /// Segments and live batches that may hold a row the filters let through.
    fn pick(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<(Vec<Arc<Segment>>, Vec<RecordBatch>)> {
        let segments: Vec<&Arc<Segment>> = self.segments().collect();
        let live = self.live();
        let from_segments = segments.iter().map(|s| Known {
            min_time: s.meta().min_time,
            max_time: s.meta().max_time,
            rows: s.meta().rows,
            services: s.meta().services.as_deref(),
        });
        let from_live = live.iter().map(|l| Known {
            min_time: l.min_time,
            max_time: l.max_time,
            rows: l.batch.num_rows() as u64,
            services: None,
        });
        let known: Vec<Known<'_>> = from_segments.chain(from_live).collect();
        let df_schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        // A filter that cannot be planned here is left to the filter above the scan.
        let exprs =
            filters.iter().filter_map(|f| state.create_physical_expr(f.clone(), &df_schema).ok());
        let keep = may_match(self.data_set, &self.schema, conjunction(exprs), &known);
        let (keep_segments, keep_live) = keep.split_at(segments.len().min(keep.len()));
        let mut segments: Vec<Arc<Segment>> = segments
            .iter()
            .zip(keep_segments)
            .filter(|(_, k)| **k)
            .map(|(s, _)| Arc::clone(s))
            .collect();
        // The newest first: what asks for the last rows finds them before it reads the rest.
        segments.sort_by_key(|s| std::cmp::Reverse(s.meta().max_time));
        let live =
            live.iter().zip(keep_live).filter(|(_, k)| **k).map(|(l, _)| l.batch.clone()).collect();
        Ok((segments, live))
    }

    /// Row numbers to read in each segment, from the text indexes.
    async fn select(
        &self,
        segments: Vec<Arc<Segment>>,
        queries: Vec<TextQuery>,
    ) -> Result<Vec<File>> {
        if queries.is_empty() {
            return Ok(segments.into_iter().map(|segment| File { segment, rows: None }).collect());
        }
        let texts = Arc::clone(&self.source.machine.texts);
        let lookup = move || -> Result<Vec<File>, headrope_storage::StorageError> {
            let mut files = Vec::with_capacity(segments.len());
            for segment in segments {
                let mut rows: Option<RowSet> = None;
                for query in &queries {
                    let Some(found) = texts.candidates(&segment, query)? else { continue };
                    match &mut rows {
                        Some(rows) => rows.intersect(&found.rows),
                        None => rows = Some(found.rows),
                    }
                }
                if rows.as_ref().is_none_or(|rows| !rows.is_empty()) {
                    files.push(File { segment, rows: rows.map(Rows::Set) });
                }
            }
            Ok(files)
        };
        let found = tokio::task::spawn_blocking(lookup)
            .await
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        found.map_err(|e| DataFusionError::External(Box::new(e)))
    }

    /// Whether rows are worth filtering while they are decoded: when wide columns are read and a
    /// filter may leave few rows. Aggregates over narrow columns are faster without.
    fn late(&self, projection: &[usize], filters: &[Expr], ids: &[IdFilter]) -> bool {
        if !ids.is_empty() {
            return true;
        }
        let columns = schema::columns(self.data_set);
        let wide = |at: &usize| {
            columns.get(*at).is_some_and(|c| {
                matches!(
                    c.column,
                    Column::Attributes
                        | Column::Events
                        | Column::Links
                        | Column::Text
                        | Column::Bytes
                )
            })
        };
        !filters.is_empty() && projection.iter().any(wide)
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_table_definition(&self) -> Option<&str> {
        None
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, datafusion::logical_expr::LogicalPlan>> {
        None
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Only conditions on ids are checked exactly by the scan; the others help to skip rows.
        let kind = |filter: &&Expr| match ids::translate(filter, &self.stored) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(kind).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection: Vec<usize> =
            projection.map_or_else(|| (0..self.schema.fields().len()).collect(), Clone::clone);
        let (on_ids, others): (Vec<_>, Vec<_>) = filters
            .iter()
            .map(|f| (ids::translate(f, &self.stored), f))
            .partition(|(id, _)| id.is_some());
        let ids: Vec<IdFilter> = on_ids.into_iter().filter_map(|(id, _)| id).collect();
        let others: Vec<Expr> = others.into_iter().map(|(_, f)| f.clone()).collect();
        let impossible = ids.iter().any(|id| id.ids.is_empty());
        let (segments, live) =
            if impossible { (Vec::new(), Vec::new()) } else { self.pick(state, &others)? };
        let queries = text_queries(self.data_set, &self.schema, &others);
        let files = self.select(segments, queries).await?;
        self.count(files.len());
        let scan = Scan {
            footers: Arc::clone(&self.source.machine.footers),
            data_set: self.data_set,
            late: self.late(&projection, &others, &ids),
            // A limit may stop the scan only when every row it yields counts.
            limit: limit.filter(|_| filters.is_empty()),
            exactly: false,
            projection,
            lookups: Vec::new(),
            ids,
            files,
            live,
        };
        Ok(Arc::new(ScanExec::new(scan, state.config_options())?))
    }
}

/// The searches on the body of a log record among the filters.
fn text_queries(data_set: DataSet, schema: &Schema, filters: &[Expr]) -> Vec<TextQuery> {
    if data_set != DataSet::Logs || schema.field_with_name("body").is_err() {
        return Vec::new();
    }
    filters.iter().filter_map(|f| text::query_on(f, "body")).collect()
}

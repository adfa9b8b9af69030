//! The physical plan of a scan: the union of Parquet files and live batches.
//!
//! ```text
//! Projection (ids to hex text) ◀─ Filter (ids, as bytes) ◀─ Union ◀─┬─ Parquet, text as Utf8View
//!                                                                  └─ Projection (text to Utf8View) ◀─ live batches
//! ```
//!
//! Only the columns asked for are read, decoded and cast.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetRowSelection,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::{Column, cast};
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use headrope_model::{DataSet, schema};
use headrope_storage::Segment;
use headrope_storage::text::RowSet;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::RowSelection;

use super::ids::IdFilter;
use crate::function::hex;

/// Above this share of a segment's rows, decoding everything beats jumping from row to row.
const SELECT_AT_MOST_PERCENT: u64 = 35;

/// A segment to read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) segment: Arc<Segment>,
    /// Rows to read, `None` for all.
    pub(crate) rows: Option<RowSet>,
    /// No other rows may be read, as nothing filters them afterwards.
    pub(crate) exactly: bool,
}

/// What to read and how.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) data_set: DataSet,
    /// Columns of the query schema, in the order of the output.
    pub(crate) projection: Vec<usize>,
    /// Conditions on ids; all hold for every row of the output.
    pub(crate) ids: Vec<IdFilter>,
    /// Filter rows while decoding them.
    pub(crate) late: bool,
    /// Rows after which each part may stop.
    pub(crate) limit: Option<usize>,
    pub(crate) files: Vec<File>,
    pub(crate) live: Vec<RecordBatch>,
}

/// Keeps a segment's files until the plan is dropped.
#[derive(Debug)]
struct Pin(#[expect(dead_code, reason = "held, not read")] Arc<Segment>);

impl Scan {
    pub(crate) fn plan(mut self, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let output = Arc::new(schema::query(self.data_set).project(&self.projection)?);
        let read = self.columns_read()?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            parts.push(self.parquet(state, files, &read)?);
        }
        let live = std::mem::take(&mut self.live);
        if !live.is_empty() {
            parts.push(self.live(state, live, &read)?);
        }
        if parts.is_empty() {
            return Ok(Arc::new(EmptyExec::new(output)));
        }
        let mut plan = UnionExec::try_new(parts)?;
        if !self.ids.is_empty() {
            let input = plan.schema();
            let filters: Result<Vec<_>> = self.ids.iter().map(|f| f.physical(&input)).collect();
            plan = Arc::new(FilterExec::try_new(conjunction(filters?), plan)?);
        }
        self.as_output(state.config_options(), plan, &output)
    }

    /// Columns to read: those asked for, then those only the id filters need.
    fn columns_read(&self) -> Result<Vec<usize>> {
        let stored = schema::stored(self.data_set);
        let mut read = self.projection.clone();
        for filter in &self.ids {
            let at = stored.index_of(&filter.column)?;
            if !read.contains(&at) {
                read.push(at);
            }
        }
        Ok(read)
    }

    fn parquet(
        &self,
        state: &dyn Session,
        files: Vec<File>,
        read: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scanned = schema::scanned(self.data_set);
        let url = ObjectStoreUrl::local_filesystem();
        let runtime = state.runtime_env();
        let reader = CachedParquetFileReaderFactory::new(
            runtime.object_store(&url)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source = ParquetSource::new(Arc::clone(&scanned))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader))
            .with_pushdown_filters(self.late);
        let mut statistics = Statistics::new_unknown(&scanned);
        let rows: u64 = files.iter().map(|f| f.segment.meta().rows).sum();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        statistics.num_rows = match files.iter().any(|f| f.rows.is_some()) {
            true => Precision::Inexact(rows),
            false => Precision::Exact(rows),
        };
        let groups = groups(files, state.config().target_partitions())?;
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(read.to_vec()))?
            .with_limit(self.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn live(
        &self,
        state: &dyn Session,
        batches: Vec<RecordBatch>,
        read: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = state.config().target_partitions().clamp(1, batches.len());
        let mut split: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions];
        for (at, batch) in batches.into_iter().enumerate() {
            if let Some(partition) = split.get_mut(at % partitions) {
                partition.push(batch);
            }
        }
        let stored = schema::stored(self.data_set);
        let source = MemorySourceConfig::try_new(&split, stored, Some(read.to_vec()))?
            .with_limit(self.limit)
            .with_show_sizes(false);
        let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(source);
        let input = plan.schema();
        let target = schema::scanned(self.data_set).project(read)?;
        if input.as_ref() == &target {
            return Ok(plan);
        }
        let exprs: Result<Vec<ProjectionExpr>> = (0..target.fields().len())
            .map(|at| as_type(&input, at, target.field(at).data_type()))
            .collect();
        Ok(Arc::new(ProjectionExec::try_new(exprs?, plan)?))
    }

    /// Ids to text, and only the columns asked for.
    fn as_output(
        &self,
        config: &ConfigOptions,
        plan: Arc<dyn ExecutionPlan>,
        output: &SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = plan.schema();
        if &input == output {
            return Ok(plan);
        }
        let config = Arc::new(config.clone());
        let exprs = output.fields().iter().enumerate().map(|(at, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
            let expr = match input.field(at).data_type() {
                DataType::FixedSizeBinary(_) => Arc::new(ScalarFunctionExpr::new(
                    hex::NAME,
                    hex::function(),
                    vec![column],
                    Arc::clone(field),
                    Arc::clone(&config),
                )),
                _ => column,
            };
            ProjectionExpr { expr, alias: field.name().clone() }
        });
        Ok(Arc::new(ProjectionExec::try_new(exprs.collect::<Vec<_>>(), plan)?))
    }
}

fn as_type(input: &Schema, at: usize, target: &DataType) -> Result<ProjectionExpr> {
    let field = input.field(at);
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
    let expr =
        if field.data_type() == target { column } else { cast(column, input, target.clone())? };
    Ok(ProjectionExpr { expr, alias: field.name().clone() })
}

/// Spreads files over the partitions by size, keeping their order inside each.
fn groups(files: Vec<File>, partitions: usize) -> Result<Vec<FileGroup>> {
    let partitions = partitions.clamp(1, files.len().max(1));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions];
    for file in files {
        let bytes = file.segment.meta().bytes;
        let file = partitioned(file)?;
        if let Some((total, group)) = groups.iter_mut().min_by_key(|(total, _)| *total) {
            *total += bytes.max(1);
            group.push(file);
        }
    }
    Ok(groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect())
}

fn partitioned(file: File) -> Result<PartitionedFile> {
    let meta = file.segment.meta();
    let location = object_store::path::Path::from_absolute_path(file.segment.path())
        .map_err(|e| DataFusionError::External(Box::new(e)))?;
    let rows = usize::try_from(meta.rows).unwrap_or(usize::MAX);
    // A segment never changes under its name, so its age does not matter to caches.
    let object = ObjectMeta {
        location,
        last_modified: Default::default(),
        size: meta.bytes,
        e_tag: None,
        version: None,
    };
    let mut part = PartitionedFile::new_from_meta(object);
    let few = |set: &RowSet| file.exactly || set.len() * 100 <= meta.rows * SELECT_AT_MOST_PERCENT;
    if let Some(set) = file.rows.filter(few) {
        let ranges = set.ranges().map(|r| r.start as usize..r.end as usize);
        let selection = RowSelection::from_consecutive_ranges(ranges, rows);
        part = part.with_extension(ParquetRowSelection::new(selection));
    }
    Ok(part.with_extension(Pin(file.segment)))
}

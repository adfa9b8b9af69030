//! The physical plan of a scan: the union of Parquet files and live batches.
//!
//! ```text
//! Projection (ids to hex text) ◀─ Filter (ids, as bytes) ◀─ Union ◀─┬─ Parquet, text as Utf8View
//!                                                                  └─ Projection (text to Utf8View) ◀─ live batches
//! ```
//!
//! Only the columns asked for are read, decoded and cast.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{Statistics, exec_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource as _, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::{Column, cast};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use headrope_model::{DataSet, schema};
use headrope_storage::Segment;
use headrope_storage::dense::WHOLE;
use headrope_storage::text::RowSet;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::RowSelection;

use super::attributes::{Adapters, Lookup};
use super::ids::IdFilter;
use super::reader::Readers;
use crate::function::hex;
use crate::segment::Footers;

/// A column that a part of a scan yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// A column of the query schema.
    Column(usize),
    /// A single attribute, by its place among them.
    Lookup(usize),
}

/// Above this share of a segment's rows, decoding everything beats jumping from row to row.
const SELECT_AT_MOST_PERCENT: u64 = 35;

/// A segment to read.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) segment: Arc<Segment>,
    /// Rows to read, `None` for all.
    pub(crate) rows: Option<Rows>,
}

/// Some rows of a segment, by their numbers.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Set(RowSet),
    /// Ascending and apart from each other.
    Ranges(Vec<Range<usize>>),
}

impl Rows {
    /// Rows by their numbers, which are ascending.
    pub(crate) fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for row in numbers {
            match ranges.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => ranges.push(row..row + 1),
            }
        }
        Self::Ranges(ranges)
    }

    fn len(&self) -> u64 {
        match self {
            Self::Set(set) => set.len(),
            Self::Ranges(ranges) => ranges.iter().map(|r| r.len() as u64).sum(),
        }
    }

    fn selection(&self, of: usize) -> RowSelection {
        match self {
            Self::Set(set) => {
                let ranges = set.ranges().map(|r| r.start as usize..r.end as usize);
                RowSelection::from_consecutive_ranges(ranges, of)
            }
            Self::Ranges(ranges) => {
                RowSelection::from_consecutive_ranges(ranges.iter().cloned(), of)
            }
        }
    }
}

/// What to read and how.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) footers: Arc<Footers>,
    pub(crate) data_set: DataSet,
    /// Columns of the query schema, in the order of the output.
    pub(crate) projection: Vec<usize>,
    /// Single attributes, which follow them.
    pub(crate) lookups: Vec<Lookup>,
    /// Conditions on ids; all hold for every row of the output.
    pub(crate) ids: Vec<IdFilter>,
    /// Filter rows while decoding them.
    pub(crate) late: bool,
    /// Rows after which each part may stop.
    pub(crate) limit: Option<usize>,
    /// Read the rows named for each file and no others, however many they are.
    pub(crate) exactly: bool,
    pub(crate) files: Vec<File>,
    pub(crate) live: Vec<RecordBatch>,
}

/// Keeps a segment's files until the plan is dropped.
#[derive(Debug)]
pub(super) struct Pin(pub(super) Arc<Segment>);

impl Scan {
    /// The plan of the scan.
    pub(crate) fn plan(mut self, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let output = self.output()?;
        let items = self.items()?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            parts.push(self.parquet(config, files, &items)?);
        }
        let live = std::mem::take(&mut self.live);
        if !live.is_empty() {
            parts.push(self.live(config, live, &items)?);
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
        self.as_output(config, plan, &output)
    }

    /// The schema of the rows.
    pub(crate) fn output(&self) -> Result<SchemaRef> {
        let columns = schema::query(self.data_set).project(&self.projection)?;
        let columns = columns.fields().iter().map(Arc::clone);
        let lookups = self.lookups.iter().map(|lookup| Arc::new(lookup.field()));
        Ok(Arc::new(Schema::new(columns.chain(lookups).collect::<Vec<_>>())))
    }

    /// What each part yields: the output, then columns that only the id filters need.
    fn items(&self) -> Result<Vec<Item>> {
        let stored = schema::stored(self.data_set);
        let columns = self.projection.iter().map(|at| Item::Column(*at));
        let mut items: Vec<Item> =
            columns.chain((0..self.lookups.len()).map(Item::Lookup)).collect();
        for filter in &self.ids {
            let at = stored.index_of(&filter.column)?;
            if !self.projection.contains(&at) && !items.contains(&Item::Column(at)) {
                items.push(Item::Column(at));
            }
        }
        Ok(items)
    }

    /// The items as expressions over columns of `schema`, which has those that are needed.
    fn exprs(
        &self,
        items: &[Item],
        schema: &Schema,
        config: &Arc<ConfigOptions>,
    ) -> Result<Vec<ProjectionExpr>> {
        let scanned = schema::scanned(self.data_set);
        let expr = |item: &Item| match item {
            Item::Column(at) => {
                let target = scanned.field(*at);
                as_type(schema, schema.index_of(target.name())?, target.data_type())
            }
            Item::Lookup(at) => {
                let missing = || exec_datafusion_err!("a scan has no attribute {at}");
                let lookup = self.lookups.get(*at).ok_or_else(missing)?;
                let whole = schema.index_of(WHOLE)?;
                let from = as_type(schema, whole, &schema::attributes_type())?.expr;
                let expr = lookup.expr(from, Arc::clone(config));
                Ok(ProjectionExpr { expr, alias: lookup.name() })
            }
        };
        items.iter().map(expr).collect()
    }

    fn parquet(
        &self,
        config: &ConfigOptions,
        files: Vec<File>,
        items: &[Item],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scanned = schema::scanned(self.data_set);
        let url = ObjectStoreUrl::local_filesystem();
        let reader = Readers(Arc::clone(&self.footers));
        let options = TableParquetOptions {
            global: config.execution.parquet.clone(),
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
        let options = Arc::new(config.clone());
        let exprs = ProjectionExprs::new(self.exprs(items, &scanned, &options)?);
        let source = source.try_pushdown_projection(&exprs)?;
        let source = source.ok_or_else(|| exec_datafusion_err!("a scan takes no projection"))?;
        let adapters = Adapters { data_set: self.data_set, config: options };
        let groups = groups(files, config.execution.target_partitions, self.exactly)?;
        let scan = FileScanConfigBuilder::new(url, source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_limit(self.limit)
            .with_expr_adapter(Some(Arc::new(adapters)))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    fn live(
        &self,
        config: &ConfigOptions,
        batches: Vec<RecordBatch>,
        items: &[Item],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = config.execution.target_partitions.clamp(1, batches.len());
        let mut split: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions];
        for (at, batch) in batches.into_iter().enumerate() {
            if let Some(partition) = split.get_mut(at % partitions) {
                partition.push(batch);
            }
        }
        let stored = schema::stored(self.data_set);
        let mut read: Vec<usize> = Vec::with_capacity(items.len());
        for item in items {
            let at = match item {
                Item::Column(at) => *at,
                Item::Lookup(_) => stored.index_of(WHOLE)?,
            };
            if !read.contains(&at) {
                read.push(at);
            }
        }
        let source = MemorySourceConfig::try_new(&split, stored, Some(read))?
            .with_limit(self.limit)
            .with_show_sizes(false);
        let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(source);
        let input = plan.schema();
        let exprs = self.exprs(items, &input, &Arc::new(config.clone()))?;
        Ok(Arc::new(ProjectionExec::try_new(exprs, plan)?))
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
fn groups(files: Vec<File>, partitions: usize, exactly: bool) -> Result<Vec<FileGroup>> {
    let partitions = partitions.clamp(1, files.len().max(1));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions];
    for file in files {
        let bytes = file.segment.meta().bytes;
        let file = partitioned(file, exactly)?;
        if let Some((total, group)) = groups.iter_mut().min_by_key(|(total, _)| *total) {
            *total += bytes.max(1);
            group.push(file);
        }
    }
    Ok(groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect())
}

fn partitioned(file: File, exactly: bool) -> Result<PartitionedFile> {
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
    let few = |set: &Rows| exactly || set.len() * 100 <= meta.rows * SELECT_AT_MOST_PERCENT;
    if let Some(set) = file.rows.filter(few) {
        part = part.with_extension(ParquetRowSelection::new(set.selection(rows)));
    }
    Ok(part.with_extension(Pin(file.segment)))
}

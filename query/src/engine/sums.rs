//! Sums over groups of rows, from batches whose labels are dictionaries.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, RecordBatch, new_null_array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use headrope_model::schema;

use super::labels::{Groups, Value};
use super::scan::Scan;

/// Rows of an output batch.
const OUTPUT_ROWS: usize = 8 << 10;

/// The sums so far.
pub(super) struct State {
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of a batch.
    indices: Vec<usize>,
}

impl State {
    /// None yet.
    pub(super) fn new(aggregates: &[Arc<AggregateFunctionExpr>], keys: usize) -> Result<Self> {
        let accumulators = aggregates.iter().map(|a| a.create_groups_accumulator());
        Ok(Self {
            groups: Groups::new(keys),
            accumulators: accumulators.collect::<Result<_>>()?,
            indices: Vec::new(),
        })
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.groups.bytes() + self.accumulators.iter().map(|a| a.size()).sum::<usize>()
    }

    /// Labels and states of all groups.
    pub(super) fn finish(mut self, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        if self.groups.len() == 0 {
            return Ok(Vec::new());
        }
        let mut columns = self.groups.arrays();
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let all = RecordBatch::try_new(Arc::clone(schema), columns)?;
        let starts = (0..all.num_rows()).step_by(OUTPUT_ROWS);
        Ok(starts.map(|at| all.slice(at, OUTPUT_ROWS.min(all.num_rows() - at))).collect())
    }
}

/// Evaluates filter and arguments over batches with labels as dictionaries.
pub(super) struct Reader {
    /// Types of the columns, for one that a file lacks.
    stored: SchemaRef,
    filter: Option<Value>,
    keys: Vec<usize>,
    arguments: Vec<Vec<Value>>,
}

impl Reader {
    /// For rows that have the columns at these places of the scan's output.
    pub(super) fn new(
        scan: &Scan,
        needed: &[usize],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        keys: &[usize],
        arguments: &[Vec<Arc<dyn PhysicalExpr>>],
    ) -> Result<Self> {
        let output = scan.output()?;
        let place = |at: usize| needed.iter().position(|n| *n == at);
        let value = |expr: &Arc<dyn PhysicalExpr>| Value::new(expr, &output, place);
        let stored = schema::stored(scan.data_set);
        let of = |at: &usize| scan.projection.get(*at).copied();
        let indices: Vec<usize> = needed.iter().filter_map(of).collect();
        Ok(Self {
            stored: Arc::new(stored.project(&indices)?),
            filter: filter.map(value).transpose()?,
            keys: keys.iter().filter_map(|at| place(*at)).collect(),
            arguments: arguments
                .iter()
                .map(|exprs| exprs.iter().map(value).collect::<Result<Vec<_>>>())
                .collect::<Result<_>>()?,
        })
    }

    /// Adds the rows of a batch that pass the filter.
    pub(super) fn add(
        &mut self,
        batch: &RecordBatch,
        names: &[&str],
        state: &mut State,
    ) -> Result<()> {
        let column = |(at, name): (usize, &&str)| match batch.column_by_name(name) {
            Some(column) => Arc::clone(column),
            None => new_null_array(self.stored.field(at).data_type(), batch.num_rows()),
        };
        let mut columns: Vec<ArrayRef> = names.iter().enumerate().map(column).collect();
        let mut count = batch.num_rows();
        if let Some(filter) = &mut self.filter {
            let holds = filter.of(&columns, count)?;
            let wrong = || exec_datafusion_err!("a filter yields {}", holds.data_type());
            let holds = holds.as_boolean_opt().ok_or_else(wrong)?;
            let passing = holds.true_count();
            if passing == 0 {
                return Ok(());
            }
            if passing < count {
                let fields = columns.iter().map(|c| Field::new("", c.data_type().clone(), true));
                let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                let all = RecordBatch::try_new(schema, columns)?;
                columns = filter_record_batch(&all, holds)?.columns().to_vec();
                count = passing;
            }
        }
        let keys: Vec<ArrayRef> =
            self.keys.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        let State { groups, accumulators, indices } = state;
        groups.of(&keys, indices)?;
        for (accumulator, arguments) in accumulators.iter_mut().zip(&mut self.arguments) {
            let values = arguments.iter_mut().map(|a| a.of(&columns, count));
            let values = values.collect::<Result<Vec<_>>>()?;
            accumulator.update_batch(&values, indices, None, groups.len())?;
        }
        Ok(())
    }
}

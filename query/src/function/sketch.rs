//! `latency_sketch`, `sketch_merge` and `p`: mergeable percentiles.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Builder,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, exec_err, not_impl_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDFImpl, Signature, Volatility,
};
use headrope_analysis::Sketch;

/// Bytes one occupied bucket of a sketch takes.
const BUCKET_BYTES: usize = 16;

/// `latency_sketch(ns)` or `sketch_merge(sketch)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SketchOf {
    signature: Signature,
    merges: bool,
}

impl SketchOf {
    /// Of values in nanoseconds.
    pub(super) fn values() -> Self {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        Self { signature, merges: false }
    }

    /// Of sketches.
    pub(super) fn sketches() -> Self {
        let signature = Signature::exact(vec![DataType::Binary], Volatility::Immutable);
        Self { signature, merges: true }
    }
}

impl AggregateUDFImpl for SketchOf {
    fn name(&self) -> &str {
        if self.merges { "sketch_merge" } else { "latency_sketch" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{} does not take DISTINCT", self.name());
        }
        Ok(Box::new(One { sketch: Sketch::new(), merges: self.merges }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many { sketches: Vec::new(), buckets: 0, merges: self.merges }))
    }
}

fn damaged(error: impl std::error::Error) -> DataFusionError {
    DataFusionError::Execution(format!("not a latency sketch: {error}"))
}

/// Calls `each` with the row and its value for every row that is not null.
fn each_value(array: &ArrayRef, mut each: impl FnMut(usize, i64)) -> Result<()> {
    let Some(values) = array.as_primitive_opt::<Int64Type>() else {
        return exec_err!("latency_sketch takes nanoseconds, not {}", array.data_type());
    };
    for (row, value) in values.iter().enumerate() {
        if let Some(value) = value {
            each(row, value);
        }
    }
    Ok(())
}

/// Calls `each` with the row and its sketch for every row that is not null.
fn each_sketch(array: &ArrayRef, mut each: impl FnMut(usize, &Sketch)) -> Result<()> {
    let Some(values) = array.as_binary_opt::<i32>() else {
        return exec_err!("sketch_merge takes sketches, not {}", array.data_type());
    };
    for (row, bytes) in values.iter().enumerate() {
        if let Some(bytes) = bytes {
            each(row, &Sketch::from_bytes(bytes).map_err(damaged)?);
        }
    }
    Ok(())
}

fn first(arrays: &[ArrayRef]) -> Result<&ArrayRef> {
    match arrays.first() {
        Some(array) => Ok(array),
        None => exec_err!("a sketch takes one argument"),
    }
}

#[derive(Debug)]
struct One {
    sketch: Sketch,
    merges: bool,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.merges {
            return self.merge_batch(values);
        }
        each_value(first(values)?, |_, ns| self.sketch.insert(ns))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let bytes = (!self.sketch.is_empty()).then(|| self.sketch.to_bytes());
        Ok(ScalarValue::Binary(bytes))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sketch.bucket_count() * BUCKET_BYTES
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_sketch(first(states)?, |_, sketch| self.sketch.merge(sketch))
    }
}

#[derive(Debug)]
struct Many {
    sketches: Vec<Sketch>,
    /// Buckets of all sketches, for the memory account.
    buckets: usize,
    merges: bool,
}

impl Many {
    fn change(&mut self, group: usize, change: impl FnOnce(&mut Sketch)) {
        if let Some(sketch) = self.sketches.get_mut(group) {
            let before = sketch.bucket_count();
            change(sketch);
            self.buckets += sketch.bucket_count() - before;
        }
    }
}

impl GroupsAccumulator for Many {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sketches.resize(total.max(self.sketches.len()), Sketch::new());
        let passes =
            |row: usize| filter.is_none_or(|f| row < f.len() && f.is_valid(row) && f.value(row));
        let group = |row: usize| groups.get(row).copied().filter(|_| passes(row));
        let array = first(values)?;
        if self.merges {
            return each_sketch(array, |row, sketch| {
                if let Some(group) = group(row) {
                    self.change(group, |mine| mine.merge(sketch));
                }
            });
        }
        each_value(array, |row, ns| {
            if let Some(group) = group(row) {
                self.change(group, |mine| mine.insert(ns));
            }
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.sketches);
        let mut out = BinaryBuilder::with_capacity(taken.len(), taken.len() * 256);
        for sketch in &taken {
            self.buckets = self.buckets.saturating_sub(sketch.bucket_count());
            out.append_option((!sketch.is_empty()).then(|| sketch.to_bytes()));
        }
        Ok(Arc::new(out.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sketches.resize(total.max(self.sketches.len()), Sketch::new());
        each_sketch(first(values)?, |row, sketch| {
            if let Some(group) = groups.get(row) {
                self.change(*group, |mine| mine.merge(sketch));
            }
        })
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let array = first(values)?;
        let mut each = Self { sketches: Vec::new(), buckets: 0, merges: self.merges };
        let groups: Vec<usize> = (0..array.len()).collect();
        each.update_batch(values, &groups, filter, array.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sketches.capacity() * size_of::<Sketch>() + self.buckets * BUCKET_BYTES
    }
}

/// `p(sketch, q)`: the q-quantile in nanoseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    signature: Signature,
}

impl Percentile {
    pub(super) fn new() -> Self {
        let types = vec![DataType::Binary, DataType::Float64];
        Self { signature: Signature::exact(types, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Percentile {
    fn name(&self) -> &str {
        "p"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [sketch, q] = args.args.as_slice() else {
            return exec_err!("p takes two arguments: a sketch and a number from 0 to 1");
        };
        let (sketches, qs) = (sketch.to_array(args.number_rows)?, q.to_array(args.number_rows)?);
        let (Some(sketches), Some(qs)) =
            (sketches.as_binary_opt::<i32>(), qs.as_primitive_opt::<Float64Type>())
        else {
            return exec_err!("p takes a sketch and a number from 0 to 1");
        };
        let mut out = Float64Builder::with_capacity(sketches.len());
        for (bytes, q) in sketches.iter().zip(qs.iter()) {
            let value = match (bytes, q) {
                (Some(bytes), Some(q)) => Sketch::from_bytes(bytes).map_err(damaged)?.quantile(q),
                _ => None,
            };
            out.append_option(value);
        }
        let array: ArrayRef = Arc::new(out.finish());
        match (sketch, q) {
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) if !array.is_empty() => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            _ => Ok(ColumnarValue::Array(array)),
        }
    }
}

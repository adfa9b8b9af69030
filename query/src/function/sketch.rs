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
use headrope_analysis::sketch::SketchTotal;

/// What a sketch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Input {
    /// Values in nanoseconds.
    Values,
    /// Sketches.
    Sketches,
    /// A value or a sketch on each row; the other one is null.
    Either,
}

/// `latency_sketch(ns)`, `sketch_merge(sketch)` or what stands for the first over roll-ups.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SketchOf {
    signature: Signature,
    input: Input,
}

impl SketchOf {
    /// Of values in nanoseconds.
    pub(super) fn values() -> Self {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        Self { signature, input: Input::Values }
    }

    /// Of sketches.
    pub(super) fn sketches() -> Self {
        let signature = Signature::exact(vec![DataType::Binary], Volatility::Immutable);
        Self { signature, input: Input::Sketches }
    }

    /// Of values and sketches: two arguments, one of which is null.
    pub(super) fn either() -> Self {
        let types = vec![DataType::Int64, DataType::Binary];
        let signature = Signature::exact(types, Volatility::Immutable);
        Self { signature, input: Input::Either }
    }
}

impl AggregateUDFImpl for SketchOf {
    fn name(&self) -> &str {
        match self.input {
            Input::Values => "latency_sketch",
            Input::Sketches => "sketch_merge",
            Input::Either => "latency_sketch_of_rollup",
        }
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
        Ok(Box::new(One { total: SketchTotal::new(), input: self.input }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Many::new(self.input)))
    }
}

fn damaged(error: impl std::error::Error) -> DataFusionError {
    DataFusionError::Execution(format!("not a latency sketch: {error}"))
}

/// Calls `each` with the row and its value for every row that is not null.
fn each_value(array: &ArrayRef, mut each: impl FnMut(usize, i64) -> Result<()>) -> Result<()> {
    let Some(values) = array.as_primitive_opt::<Int64Type>() else {
        return exec_err!("latency_sketch takes nanoseconds, not {}", array.data_type());
    };
    for (row, value) in values.iter().enumerate() {
        if let Some(value) = value {
            each(row, value)?;
        }
    }
    Ok(())
}

/// Calls `each` with the row and its sketch for every row that is not null.
fn each_sketch(array: &ArrayRef, mut each: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let Some(values) = array.as_binary_opt::<i32>() else {
        return exec_err!("sketch_merge takes sketches, not {}", array.data_type());
    };
    for (row, bytes) in values.iter().enumerate() {
        if let Some(bytes) = bytes {
            each(row, bytes)?;
        }
    }
    Ok(())
}

/// Calls `each` with the row and what it holds for every row that holds something.
fn each_input(
    input: Input,
    arrays: &[ArrayRef],
    mut each: impl FnMut(usize, What<'_>) -> Result<()>,
) -> Result<()> {
    match (input, arrays) {
        (Input::Values, [values]) => each_value(values, |row, ns| each(row, What::Value(ns))),
        (Input::Sketches, [sketches]) => {
            each_sketch(sketches, |row, bytes| each(row, What::Sketch(bytes)))
        }
        (Input::Either, [values, sketches]) => {
            each_value(values, |row, ns| each(row, What::Value(ns)))?;
            each_sketch(sketches, |row, bytes| each(row, What::Sketch(bytes)))
        }
        _ => exec_err!("a sketch takes one argument"),
    }
}

/// What a row adds to a sketch.
#[derive(Clone, Copy)]
enum What<'a> {
    Value(i64),
    Sketch(&'a [u8]),
}

impl What<'_> {
    fn add_to(self, total: &mut SketchTotal) -> Result<()> {
        match self {
            Self::Value(ns) => {
                total.insert(ns);
                Ok(())
            }
            Self::Sketch(bytes) => total.merge_bytes(bytes).map_err(damaged),
        }
    }
}

/// The sketch in bytes; nothing for an empty one.
fn bytes(total: SketchTotal) -> Option<Vec<u8>> {
    let sketch = total.finish();
    (!sketch.is_empty()).then(|| sketch.to_bytes())
}

#[derive(Debug)]
struct One {
    total: SketchTotal,
    input: Input,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_input(self.input, values, |_, what| what.add_to(&mut self.total))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(bytes(self.total.clone())))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.total.heap_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_input(Input::Sketches, states, |_, what| what.add_to(&mut self.total))
    }
}

#[derive(Debug)]
struct Many {
    totals: Vec<SketchTotal>,
    /// Memory of all of them beside themselves, in bytes.
    heap: usize,
    input: Input,
}

impl Many {
    const fn new(input: Input) -> Self {
        Self { totals: Vec::new(), heap: 0, input }
    }

    fn add(
        &mut self,
        input: Input,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let passes =
            |row: usize| filter.is_none_or(|f| row < f.len() && f.is_valid(row) && f.value(row));
        each_input(input, values, |row, what| {
            let group = groups.get(row).filter(|_| passes(row));
            let Some(total) = group.and_then(|g| self.totals.get_mut(*g)) else { return Ok(()) };
            let before = total.heap_bytes();
            what.add_to(total)?;
            self.heap += total.heap_bytes() - before;
            Ok(())
        })
    }

    fn resize(&mut self, groups: usize) {
        self.totals.resize(groups.max(self.totals.len()), SketchTotal::new());
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
        self.resize(total);
        self.add(self.input, values, groups, filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.totals);
        let mut out = BinaryBuilder::with_capacity(taken.len(), taken.len() * 256);
        for total in taken {
            self.heap = self.heap.saturating_sub(total.heap_bytes());
            out.append_option(bytes(total));
        }
        Ok(Arc::new(out.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        self.add(Input::Sketches, values, groups, None)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each = Self::new(self.input);
        let groups: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &groups, filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<SketchTotal>() + self.heap
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

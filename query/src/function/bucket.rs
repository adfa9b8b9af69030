//! `time_bucket` and `latency_bucket`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, IntervalUnit, TimestampNanosecondType,
};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use headrope_analysis::histogram::LogScale;
use headrope_model::schema::time_type;

/// Nanoseconds in a day, for intervals.
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// `time_bucket(step, time)`: the start of the step that holds the time.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TimeBucket {
    signature: Signature,
}

impl TimeBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The step in nanoseconds.
pub(crate) fn step_ns(step: &ScalarValue) -> Result<i64> {
    let ns = match step {
        ScalarValue::Int64(Some(ns)) => *ns,
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            if interval.months != 0 {
                return plan_err!(
                    "time_bucket cannot use months, which differ in length; use days"
                );
            }
            i64::from(interval.days)
                .checked_mul(NANOS_PER_DAY)
                .and_then(|days| days.checked_add(interval.nanoseconds))
                .unwrap_or(0)
        }
        _ => 0,
    };
    match ns {
        1.. => Ok(ns),
        _ => plan_err!("the step given to time_bucket must be positive"),
    }
}

/// The type a step is turned into.
fn step_type(given: &DataType) -> Result<DataType> {
    match given {
        DataType::Interval(_) => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
        step if step.is_integer() => Ok(DataType::Int64),
        other => plan_err!(
            "the step given to time_bucket must be an INTERVAL or nanoseconds, not {other}"
        ),
    }
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(time_type())
    }

    /// Refuses a step that cannot be used while the query is planned, so that an empty table does
    /// not hide the mistake.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let [Some(step), _] = args.scalar_arguments {
            let step = step.cast_to(&step_type(&step.data_type())?)?;
            step_ns(&step)?;
        }
        Ok(Arc::new(Field::new(self.name(), time_type(), true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [step, time] = arg_types else {
            return plan_err!("time_bucket takes two arguments: a step and a time");
        };
        let step = step_type(step)?;
        match time {
            DataType::Timestamp(_, _) | DataType::Utf8 | DataType::Utf8View | DataType::Null => {
                Ok(vec![step, time_type()])
            }
            other => plan_err!("time_bucket takes a timestamp, not {other}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [step, time] = args.args.as_slice() else {
            return exec_err!("time_bucket takes two arguments");
        };
        let ColumnarValue::Scalar(step) = step else {
            return plan_err!("the step given to time_bucket must be a constant");
        };
        let step = step_ns(step)?;
        let floor = |t: i64| t.checked_sub(t.rem_euclid(step)).unwrap_or(i64::MIN);
        let array = time.to_array(args.number_rows)?;
        let Some(times) = array.as_primitive_opt::<TimestampNanosecondType>() else {
            return exec_err!("time_bucket takes a timestamp, not {}", array.data_type());
        };
        let out: TimestampNanosecondArray = times.unary(floor);
        same_shape(time, Arc::new(out.with_timezone("UTC")))
    }
}

/// `latency_bucket(ns)`: the largest latency of the logarithmic bucket (four to each doubling) that
/// holds the latency.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct LatencyBucket {
    signature: Signature,
}

impl LatencyBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LatencyBucket {
    fn name(&self) -> &str {
        "latency_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [latency] = args.args.as_slice() else {
            return exec_err!("latency_bucket takes one argument");
        };
        let array = latency.to_array(args.number_rows)?;
        let Some(values) = array.as_primitive_opt::<Int64Type>() else {
            return exec_err!("latency_bucket takes nanoseconds, not {}", array.data_type());
        };
        let scale = LogScale::Quarter;
        let out: Int64Array = values.unary(|ns| scale.upper_ns(scale.index(ns)));
        same_shape(latency, Arc::new(out))
    }
}

/// A scalar if the argument was one.
fn same_shape(argument: &ColumnarValue, array: ArrayRef) -> Result<ColumnarValue> {
    match argument {
        ColumnarValue::Scalar(_) if !array.is_empty() => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
        }
        _ => Ok(ColumnarValue::Array(array)),
    }
}

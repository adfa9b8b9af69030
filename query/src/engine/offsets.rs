//! Times of log records that a file keeps as distances (see [`headrope_storage::offsets`]): SQL sees the
//! times, as an expression over the columns of the file at hand.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::exec_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use headrope_storage::offsets::{self, Moment};

/// Columns that a file may keep as distances.
const COLUMNS: [&str; 2] = ["event_time", "observed_time"];

/// Which times of a file are distances.
#[derive(Debug)]
pub(super) struct Times(Vec<Time>);

#[derive(Debug)]
struct Time {
    name: &'static str,
    /// The full time and the distance, as columns of the file.
    columns: [Column; 2],
    data_type: DataType,
}

impl Times {
    /// Those of a file with this schema.
    pub(super) fn of(file: &Schema) -> Self {
        let time = |name: &'static str| {
            let at = Moment::of(file, name)?;
            let column = |at: usize| Some(Column::new(file.fields().get(at)?.name(), at));
            let data_type = file.fields().get(at.time)?.data_type().clone();
            Some(Time { name, columns: [column(at.time)?, column(at.offset)?], data_type })
        };
        Self(COLUMNS.into_iter().filter_map(time).collect())
    }

    /// A column as an expression over those of the file, if it is kept as a distance.
    pub(super) fn expr(
        &self,
        column: &str,
        config: &Arc<ConfigOptions>,
    ) -> Option<Arc<dyn PhysicalExpr>> {
        let time = self.0.iter().find(|time| time.name == column)?;
        let args = time.columns.iter().map(|c| Arc::new(c.clone()) as Arc<dyn PhysicalExpr>);
        let function = Arc::new(ScalarUDF::new_from_impl(Joined {
            data_type: time.data_type.clone(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }));
        let field = Arc::new(Field::new(column, time.data_type.clone(), true));
        let (args, config) = (args.collect(), Arc::clone(config));
        Some(Arc::new(ScalarFunctionExpr::new(column, function, args, field, config)))
    }
}

/// A time and a distance from it, put together.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "time_after"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        match arrays.as_slice() {
            [time, offset] => Ok(ColumnarValue::Array(offsets::join(time, offset)?)),
            _ => exec_err!("a time is put together from two columns"),
        }
    }
}

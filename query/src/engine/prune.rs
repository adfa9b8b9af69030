//! Which segments and live batches cannot hold a row that a query asks for.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, TimestampNanosecondArray, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::common::pruning::PruningStatistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::prelude::Column;
use headrope_model::DataSet;
use headrope_model::schema::time_column;

/// What is known of a segment or a live batch without reading it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Earliest value of the time column, Unix nanoseconds.
    pub(crate) min_time: i64,
    /// Latest value of the time column (of trace parts: the latest end).
    pub(crate) max_time: i64,
    /// Rows.
    pub(crate) rows: u64,
    /// Every service name, if they are known.
    pub(crate) services: Option<&'a [String]>,
}

struct Containers<'a> {
    data_set: DataSet,
    known: &'a [Known<'a>],
}

/// For each container whether it may hold a row for which the predicate (over the data set's query
/// schema) is true.
pub(crate) fn may_match(
    data_set: DataSet,
    schema: &SchemaRef,
    predicate: Arc<dyn PhysicalExpr>,
    known: &[Known<'_>],
) -> Vec<bool> {
    let all = vec![true; known.len()];
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
    let Some(pruning) = builder.build(predicate) else { return all };
    // A predicate that cannot be evaluated over statistics prunes nothing.
    pruning.prune(&Containers { data_set, known }).unwrap_or(all)
}

impl Containers<'_> {
    fn is_time(&self, column: &Column) -> bool {
        column.name == time_column(self.data_set)
            || (self.data_set == DataSet::TraceParts && column.name == "end_time")
    }

    fn times(&self, of: impl Fn(&Known<'_>) -> i64) -> ArrayRef {
        let values: TimestampNanosecondArray = self.known.iter().map(|k| Some(of(k))).collect();
        Arc::new(values.with_timezone("UTC"))
    }
}

impl PruningStatistics for Containers<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.is_time(column).then(|| self.times(|k| k.min_time))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.is_time(column).then(|| self.times(|k| k.max_time))
    }

    fn num_containers(&self) -> usize {
        self.known.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.is_time(column).then(|| {
            let zeros: UInt64Array = self.known.iter().map(|_| Some(0)).collect();
            Arc::new(zeros) as ArrayRef
        })
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows: UInt64Array = self.known.iter().map(|k| Some(k.rows)).collect();
        Some(Arc::new(rows))
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if column.name != "service_name" {
            return None;
        }
        let asked: HashSet<&str> = values.iter().filter_map(|v| v.try_as_str().flatten()).collect();
        let answer = |known: &Known<'_>| {
            let services = known.services?;
            let among = services.iter().filter(|s| asked.contains(s.as_str())).count();
            match among {
                0 => Some(false),
                n if n == services.len() => Some(true),
                _ => None,
            }
        };
        Some(self.known.iter().map(answer).collect())
    }
}

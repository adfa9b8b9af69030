//! Columns of log records that a file keeps as others ([`headrope_storage::joined`]): SQL sees one, as an
//! expression over the columns of the file at hand.

use std::sync::Arc;

use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use headrope_storage::joined::{Join, Joined};

/// Which columns a file keeps as others.
#[derive(Debug)]
pub(super) struct JoinedColumns(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    name: &'static str,
    join: Join,
    /// Columns of the file.
    columns: Vec<Column>,
    /// As SQL sees it.
    data_type: DataType,
}

impl JoinedColumns {
    /// Those of a file with this schema; `query` is the schema SQL sees.
    pub(super) fn of(file: &Schema, query: &Schema) -> Self {
        let kept = |name: &'static str| {
            let Joined { join, columns } = Joined::of(file, name)?;
            let column = |at: usize| Some(Column::new(file.fields().get(at)?.name(), at));
            let columns = columns.into_iter().map(column).collect::<Option<_>>()?;
            let data_type = query.field_with_name(name).ok()?.data_type().clone();
            Some(Kept { name, join, columns, data_type })
        };
        Self(Joined::COLUMNS.into_iter().filter_map(kept).collect())
    }

    /// A column as an expression over those of the file, if it is kept as others.
    pub(super) fn expr(
        &self,
        column: &str,
        config: &Arc<ConfigOptions>,
    ) -> Option<Arc<dyn PhysicalExpr>> {
        let kept = self.0.iter().find(|kept| kept.name == column)?;
        let args = kept.columns.iter().map(|c| Arc::new(c.clone()) as Arc<dyn PhysicalExpr>);
        let function = Arc::new(ScalarUDF::new_from_impl(JoinColumns {
            join: kept.join,
            data_type: kept.data_type.clone(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }));
        let field = Arc::new(Field::new(column, kept.data_type.clone(), true));
        let (args, config) = (args.collect(), Arc::clone(config));
        Some(Arc::new(ScalarFunctionExpr::new(column, function, args, field, config)))
    }
}

/// Columns put together.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JoinColumns {
    join: Join,
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for JoinColumns {
    fn name(&self) -> &str {
        match self.join {
            Join::Time => "time_after",
            Join::Body => "filled_in",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let joined = self.join.join(&arrays)?;
        Ok(ColumnarValue::Array(cast(&joined, &self.data_type)?))
    }
}

#[cfg(test)]
mod tests {
    use headrope_storage::Export;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use prost::Message as _;

    use crate::QueryConfig;
    use crate::sql::SqlRequest;
    use crate::tests::{append, empty};

    const SECOND: u64 = 1_000_000_000;
    /// 2025-01-06T00:10:00Z.
    const FROM: u64 = 1_736_122_200 * SECOND;

    /// Records with every combination of event time and time of observation.
    fn records(part: u64) -> Vec<LogRecord> {
        let times = [(1, 0), (0, 2), (3, 3), (4, 9), (9, 4), (6, 6 + 3600)];
        let at = |s: u64| if s == 0 { 0 } else { FROM + s * SECOND + part };
        let record = |(event, observed): &(u64, u64)| LogRecord {
            time_unix_nano: at(*event),
            observed_time_unix_nano: at(*observed),
            body: Some(AnyValue {
                value: Some(Value::StringValue(format!("part {part}: {event} {observed}"))),
            }),
            ..LogRecord::default()
        };
        times.iter().map(record).collect()
    }

    /// Answers over two requests, flushed and merged or not.
    async fn answers(flushed: bool, merged: bool, queries: &[&str]) -> Vec<String> {
        let (engine, questions, _dir) = empty(QueryConfig::default()).await;
        for part in 0..2 {
            let log_records = records(part);
            let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
            let request = ExportLogsServiceRequest { resource_logs };
            let payload = request.encode_to_vec();
            append(&engine, Export::Logs(request), payload).await;
            if flushed {
                engine.flush().await.unwrap();
            }
        }
        if merged {
            engine.compact().await.unwrap();
        }
        let mut found = Vec::new();
        for query in queries {
            let request = SqlRequest { query: (*query).to_owned(), ..SqlRequest::default() };
            let answer = questions.sql(&request).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
            let json: serde_json::Value = serde_json::from_str(&answer.json()).unwrap();
            found.push(json["rows"].to_string());
        }
        found
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn times_are_those_that_were_sent() {
        let queries = [
            "SELECT body, time, event_time, observed_time FROM logs ORDER BY time, body",
            "SELECT body FROM logs WHERE event_time IS NULL ORDER BY body",
            "SELECT body FROM logs WHERE observed_time IS NULL ORDER BY body",
            "SELECT body FROM logs WHERE event_time = time AND observed_time > time ORDER BY body",
            "SELECT body FROM logs WHERE observed_time > TIMESTAMP '2025-01-06T01:00:00Z' ORDER BY body",
            "SELECT body FROM logs WHERE event_time < TIMESTAMP '2025-01-06T00:10:04Z' ORDER BY body",
            "SELECT count(event_time), min(observed_time), max(observed_time) FROM logs",
        ];
        let live = answers(false, false, &queries).await;
        let of = |rows: &[&str]| {
            let both = |part| rows.iter().map(move |row| format!("[\"part {part}: {row}\"]"));
            format!("[{}]", both(0).chain(both(1)).collect::<Vec<_>>().join(","))
        };
        assert_eq!(live[1], of(&["0 2"]));
        assert_eq!(live[2], of(&["1 0"]));
        assert_eq!(live[3], of(&["4 9", "6 3606"]));
        assert_eq!(live[4], of(&["6 3606"]));
        assert_eq!(live[5], of(&["1 0", "3 3"]));
        assert_eq!(answers(true, false, &queries).await, live);
        assert_eq!(answers(true, true, &queries).await, live);
    }
}

//! An answer in one of four formats.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use headrope_model::attr::push_str;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{SqlAnswer, json, type_name};
use crate::error::QueryError;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `{"columns": […], "rows": [[…]], "stats": {…}}`.
    #[default]
    Json,
    /// Comma-separated values with a header; nested values as JSON.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Arrow, Self::Parquet];

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The first format an `Accept` header names that there is; JSON for none and for `*/*`;
    /// `None` if it only names others.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else { return Some(Self::Json) };
        accept.split(',').find_map(|range| {
            let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match media.as_str() {
                "*/*" | "application/*" | "application/json" => Some(Self::Json),
                "text/csv" | "text/*" => Some(Self::Csv),
                "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
                "application/vnd.apache.parquet" => Some(Self::Parquet),
                _ => None,
            }
        })
    }
}

impl SqlAnswer {
    /// The answer as bytes. Takes time for many rows: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the format cannot hold a column's type.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, QueryError> {
        match format {
            Format::Json => Ok(self.json().into_bytes()),
            Format::Csv => self.csv().map_err(|e| failed("CSV", &e)),
            Format::Arrow => self.arrow().map_err(|e| failed("Arrow", &e)),
            Format::Parquet => self.parquet().map_err(|e| failed("Parquet", &e)),
        }
    }

    /// The answer as JSON text.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = String::from("{\"columns\":[");
        for (at, field) in self.schema.fields().iter().enumerate() {
            out.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
            push_str(field.name(), &mut out);
            out.push_str(",\"type\":");
            push_str(type_name(field.data_type()), &mut out);
            out.push('}');
        }
        out.push_str("],\"rows\":[");
        for (at, batch) in self.batches.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            json::push_rows(batch, &mut out);
        }
        let s = &self.stats;
        out.push_str(&format!(
            "],\"stats\":{{\"rows\":{},\"elapsed_ms\":{},\"segments_scanned\":{},\
             \"segments_pruned\":{},\"rollup\":",
            s.rows, s.elapsed_ms, s.segments_scanned, s.segments_pruned
        ));
        match &s.rollup {
            Some(rollup) => push_str(rollup, &mut out),
            None => out.push_str("null"),
        }
        out.push_str(&format!(",\"truncated\":{}}}}}", s.truncated));
        out
    }

    fn csv(&self) -> Result<Vec<u8>, ArrowError> {
        let mut out = Vec::new();
        let mut writer = WriterBuilder::new().with_header(true).build(&mut out);
        let empty = [RecordBatch::new_empty(Arc::clone(&self.schema))];
        let batches = if self.batches.is_empty() { &empty } else { self.batches.as_slice() };
        for batch in batches {
            writer.write(&flat(batch)?)?;
        }
        drop(writer);
        Ok(out)
    }

    fn arrow(&self) -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
        for batch in &self.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        writer.into_inner()
    }

    fn parquet(&self) -> Result<Vec<u8>, parquet::errors::ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let mut out = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut out, Arc::clone(&self.schema), Some(properties))?;
        for batch in &self.batches {
            writer.write(batch)?;
        }
        writer.close()?;
        Ok(out)
    }
}

fn failed(format: &str, error: &dyn std::fmt::Display) -> QueryError {
    QueryError::Invalid(format!("the answer cannot be written as {format}: {error}; ask for JSON"))
}

/// Nested columns as JSON text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
            continue;
        }
        let mut out = StringBuilder::new();
        for row in 0..column.len() {
            let mut text = String::new();
            json::push(column, row, &mut text);
            out.append_option((text != "null").then_some(text));
        }
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(out.finish()));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}
